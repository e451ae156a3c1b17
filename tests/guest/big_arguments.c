// Arguments and environment near the limits: one string of 128 KiB, many small ones, a large total.
#include "guest.h"

extern char **environ;
static unsigned long digest(const char *string)
{
    unsigned long sum = 5381;
    for (; *string; string++)
        sum = sum * 33 + (unsigned char)*string;
    return sum;
}
int guest_child(int argc, char **argv)
{
    unsigned long sum = 0, total = 0;
    for (int index = 1; index < argc; index++)
        sum += digest(argv[index]), total += strlen(argv[index]) + 1;
    int variables = 0;
    for (char **variable = environ; *variable; variable++)
        sum += digest(*variable), total += strlen(*variable) + 1, variables++;
    say("%d arguments %d variables %lu bytes digest %lx", argc, variables, total, sum);
    return 0;
}
static void run(char **argv, char **env)
{
    pid_t child = fork();
    if (child == 0) {
        execve(guest_program, argv, env);
        say("%s", error_name(errno));
        _exit(1);
    }
    int status;
    MUST(waitpid(child, &status, 0));
    if (status)
        show_status("child", status);
}
CASE(one_long_string)
{
    char *none[] = {NULL}, *string = malloc(131073);
    memset(string, 'a', 131072);
    string[131071] = 0; /* 128 KiB with the terminator: the most one string may be */
    char *argv[] = {"p", "--x", string, NULL};
    run(argv, none);
    string[131071] = 'a', string[131072] = 0;
    run(argv, none);
    string[131071] = 0;
    char *short_argv[] = {"p", "--x", NULL}, *env[] = {string, NULL};
    run(short_argv, env);
}
CASE(many_strings)
{
    static char *argv[20003];
    char *none[] = {NULL};
    argv[0] = "p", argv[1] = "--x";
    for (int index = 2; index < 20002; index++) {
        argv[index] = malloc(16);
        snprintf(argv[index], 16, "argument-%d", index);
    }
    run(argv, none);
    char *short_argv[] = {"p", "--x", NULL};
    run(short_argv, argv);
}
CASE(large_total)
{
    static char *argv[20];
    char *none[] = {NULL};
    argv[0] = "p", argv[1] = "--x";
    for (int index = 2; index < 14; index++) {
        argv[index] = malloc(100001);
        memset(argv[index], 'a' + index, 100000);
        argv[index][100000] = 0;
    }
    run(argv, none);
}
CASE(small_stack_limit)
{
    static char *argv[20];
    char *none[] = {NULL};
    struct rlimit limit;
    MUST(getrlimit(RLIMIT_STACK, &limit));
    limit.rlim_cur = 1 << 20; /* arguments may take a quarter of it */
    MUST(setrlimit(RLIMIT_STACK, &limit));
    argv[0] = "p", argv[1] = "--x";
    for (int index = 2; index < 6; index++) {
        argv[index] = malloc(100001);
        memset(argv[index], 'a' + index, 100000);
        argv[index][100000] = 0;
    }
    run(argv, none);
    argv[3] = NULL;
    run(argv, none);
}
