// execve and friends: errors, scripts, descriptors, environment, what survives.
// flags: -pthread
#include "guest.h"
#include <pthread.h>
#include <sys/prctl.h>

extern char **environ;
static volatile sig_atomic_t unused;
static void handler(int number)
{
    unused = number;
}
int guest_child(int argc, char **argv)
{
    if (!strcmp(argv[1], "--report")) {
        sigset_t mask;
        struct sigaction action;
        char name[17] = "", cwd[PATH_MAX] = "";
        prctl(PR_GET_NAME, name);
        sigprocmask(SIG_BLOCK, NULL, &mask);
        say("argc %d argv0 %s comm %s", argc, argv[0], name);
        say("USR1 blocked %d", sigismember(&mask, SIGUSR1));
        sigaction(SIGUSR2, NULL, &action);
        say("USR2 ignored %d", action.sa_handler == SIG_IGN);
        sigaction(SIGINT, NULL, &action);
        say("INT default %d", action.sa_handler == SIG_DFL);
        say("umask %o", umask(0));
        getcwd(cwd, sizeof cwd);
        say("directory %s", strrchr(cwd, '/'));
        sigset_t pending;
        sigpending(&pending);
        say("USR1 pending %d", sigismember(&pending, SIGUSR1));
        stack_t stack;
        sigaltstack(NULL, &stack);
        say("alternate stack disabled %d", !!(stack.ss_flags & SS_DISABLE));
        return 0;
    }
    if (!strcmp(argv[1], "--descriptors")) {
        for (int fd = 3; fd < 30; fd++)
            if (fcntl(fd, F_GETFD) >= 0)
                say("open %d", fd);
        return 0;
    }
    if (!strcmp(argv[1], "--tid")) {
        say("leader %d", syscall(SYS_gettid) == getpid() && getpid() == atoi(argv[2]));
        return 0;
    }
    if (!strcmp(argv[1], "--pause")) {
        write(50, "", 1);
        for (;;)
            pause();
    }
    for (int index = 0; index < argc; index++)
        say("argv[%d] %s", index, strrchr(argv[index], '/') ? strrchr(argv[index], '/') : argv[index]);
    for (char **variable = environ; *variable; variable++)
        if (!strncmp(*variable, "TEST_", 5))
            say("%s", *variable);
    return 0;
}
static void run(const char *path, char *const argv[], char *const env[])
{
    pid_t child = fork();
    if (child == 0) {
        execve(path, argv, env);
        say("%s: %s", path, error_name(errno));
        _exit(1);
    }
    int status;
    MUST(waitpid(child, &status, 0));
    if (status)
        show_status(path, status);
}
static char *no_env[] = {NULL};
CASE(errors)
{
    char *argv[] = {"x", NULL}, long_name[300];
    run("missing", argv, no_env), run("", argv, no_env), run(".", argv, no_env), run("/dev/null", argv, no_env);
    make_file("plain", "echo hello\n", 0644), make_file("text", "no magic here\n", 0755), make_file("empty", "", 0755);
    run("plain", argv, no_env), run("text", argv, no_env), run("empty", argv, no_env), run("plain/x", argv, no_env), run("text/", argv, no_env);
    MUST(symlink("loop", "loop"));
    run("loop", argv, no_env);
    memset(long_name, 'a', 299), long_name[299] = 0;
    run(long_name, argv, no_env);
    make_file("bad-elf", "\177ELF\2\1\1", 0755);
    run("bad-elf", argv, no_env);
    char header[64] = "\177ELF\2\1\1";
    header[16] = 2, header[18] = 40; /* an ELF file for ARM */
    int fd = MUST(open("arm", O_CREAT | O_WRONLY, 0755));
    MUST(write(fd, header, 64));
    close(fd);
    run("arm", argv, no_env);
    SHOW(syscall(SYS_execve, NULL, argv, no_env)), SHOW(syscall(SYS_execve, (void *)1, argv, no_env));
    SHOW(syscall(SYS_execve, guest_program, (void *)1, no_env)), SHOW(syscall(SYS_execve, guest_program, argv, (void *)1));
    char *bad_argv[] = {"x", (char *)1, NULL};
    SHOW(syscall(SYS_execve, guest_program, bad_argv, no_env));
}
CASE(too_big)
{
    char *huge = malloc(200000);
    memset(huge, 'x', 199999), huge[199999] = 0;
    char *argv[] = {"x", huge, NULL};
    run(guest_program, argv, no_env);
    static char *many[20000];
    huge[1000] = 0;
    for (int index = 0; index < 19999; index++)
        many[index] = huge;
    run(guest_program, many, no_env);
    many[0] = "p", many[1] = "--count", many[2] = NULL;
    run(guest_program, many, no_env);
}
CASE(busy_text)
{
    char *argv[] = {"x", "--args", NULL};
    int fd = MUST(open("program", O_CREAT | O_RDWR, 0755));
    int from = MUST(open(guest_program, O_RDONLY));
    char block[65536];
    ssize_t length;
    while ((length = read(from, block, sizeof block)) > 0)
        MUST(write(fd, block, length));
    run("./program", argv, no_env);
    close(fd);
    argv[0] = "program";
    char *with[] = {"program", "--args", NULL};
    run("./program", with, no_env);
}
CASE(arguments_and_environment)
{
    char *argv[] = {"zero", "--args", "", "with space", "\xff\xfe", NULL}, *env[] = {"TEST_A=1", "TEST_EMPTY=", "TEST_A=2", NULL};
    run(guest_program, argv, env);
    char *alone[] = {NULL};
    int status;
    pid_t child = fork();
    if (child == 0) {
        execve("/bin/true", alone, no_env); /* Linux makes argv[0] an empty string */
        _exit(1);
    }
    MUST(waitpid(child, &status, 0));
    show_status("no arguments", status);
}
static void script(const char *name, const char *format, const char *path)
{
    char text[PATH_MAX];
    snprintf(text, sizeof text, format, path);
    make_file(name, text, 0755);
}
CASE(scripts)
{
    char *argv[] = {"called-as", "one", "two", NULL}, *env[] = {"TEST_E=env", NULL}, path[200];
    script("plain", "#!%s --args\n", guest_program);
    run("./plain", argv, env);
    script("spaces", "#!  %s   --args  and more  \n", guest_program);
    run("./spaces", argv, env);
    script("no-newline", "#!%s --args", guest_program);
    run("./no-newline", argv, env);
    make_file("empty-line", "#!\n", 0755), make_file("blank", "#!   \n", 0755), make_file("absent", "#!/no-such-place/interpreter\n", 0755);
    run("./empty-line", argv, env), run("./blank", argv, env), run("./absent", argv, env);
    make_file("directory", "#!/\n", 0755);
    run("./directory", argv, env);
    script("not-executable", "#!%s --args\n", guest_program);
    MUST(chmod("not-executable", 0644));
    run("./not-executable", argv, env);
    getcwd(path, sizeof path - 10);
    strcat(path, "/plain");
    script("nested", "#!%s inner\n", path);
    run("./nested", argv, env);
    getcwd(path, sizeof path - 10);
    strcat(path, "/nested");
    script("nested2", "#!%s deeper\n", path);
    run("./nested2", argv, env);
    script("relative", "#!./plain rel\n%s", "");
    run("./relative", argv, env);
    make_file("self", "", 0755);
    getcwd(path, sizeof path - 10);
    strcat(path, "/self");
    script("self", "#!%s\n", path);
    run("./self", argv, env);
    make_file("shell", "#!/bin/sh\necho from the shell: $0 $1 $TEST_E\n", 0755);
    run("./shell", argv, env);
    char *empty[] = {NULL};
    (void)empty;
}
CASE(by_descriptor)
{
    char *argv[] = {"by-fd", "--args", NULL};
    int fd = MUST(open(guest_program, O_RDONLY | O_CLOEXEC)), path = MUST(open(guest_program, O_PATH));
    for (int turn = 0; turn < 2; turn++) {
        pid_t child = fork();
        if (child == 0) {
            fexecve(turn ? path : fd, argv, no_env);
            say("fexecve: %s", error_name(errno));
            _exit(1);
        }
        wait_for("fexecve", child);
    }
    make_file("script", "#!/bin/sh\necho script\n", 0755);
    int script_fd = MUST(open("script", O_RDONLY | O_CLOEXEC)), kept = MUST(open("script", O_RDONLY));
    pid_t child = fork();
    if (child == 0) {
        fexecve(script_fd, argv, no_env);
        say("script with cloexec: %s", error_name(errno));
        _exit(1);
    }
    wait_for("script", child);
    child = fork();
    if (child == 0) {
        fexecve(kept, argv, no_env);
        say("script: %s", error_name(errno));
        _exit(1);
    }
    wait_for("script kept", child);
    int dir = MUST(open(".", O_RDONLY));
    child = fork();
    if (child == 0) {
        syscall(SYS_execveat, dir, "script", argv, no_env, 0);
        _exit(1);
    }
    wait_for("execveat", child);
    MUST(symlink("script", "link"));
    SHOW(syscall(SYS_execveat, dir, "link", argv, no_env, AT_SYMLINK_NOFOLLOW));
    SHOW(syscall(SYS_execveat, 999, "script", argv, no_env, 0)), SHOW(syscall(SYS_execveat, dir, "", argv, no_env, 0));
    SHOW(syscall(SYS_execveat, dir, "", argv, no_env, AT_EMPTY_PATH)), SHOW(syscall(SYS_execveat, dir, "script", argv, no_env, 0x7700));
    int memory = MUST(syscall(SYS_memfd_create, "image", 1)), from = MUST(open(guest_program, O_RDONLY));
    char block[65536];
    ssize_t length;
    while ((length = read(from, block, sizeof block)) > 0)
        MUST(write(memory, block, length));
    child = fork();
    if (child == 0) {
        fexecve(memory, argv, no_env);
        say("memfd: %s", error_name(errno));
        _exit(1);
    }
    wait_for("memfd", child);
}
CASE(what_survives)
{
    char *argv[] = {"reporter", "--report", NULL};
    sigset_t set;
    char stack[MINSIGSTKSZ];
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    MUST(sigaltstack(&alternate, NULL));
    sigemptyset(&set), sigaddset(&set, SIGUSR1);
    MUST(sigprocmask(SIG_BLOCK, &set, NULL));
    signal(SIGUSR2, SIG_IGN), signal(SIGINT, handler);
    MUST(raise(SIGUSR1));
    prctl(PR_SET_NAME, "renamed");
    umask(0026);
    MUST(mkdir("inner", 0777)), MUST(chdir("inner"));
    run(guest_program, argv, no_env);
}
CASE(close_on_exec)
{
    char *argv[] = {"p", "--descriptors", NULL};
    make_file("f", "", 0644);
    int keep = MUST(open("f", O_RDONLY)), drop = MUST(open("f", O_RDONLY | O_CLOEXEC)), dir = MUST(open(".", O_RDONLY)), hidden = MUST(open(".", O_RDONLY | O_CLOEXEC));
    TRUE(keep < drop && drop < dir && dir < hidden);
    MUST(dup3(drop, 20, 0)), MUST(dup3(keep, 21, O_CLOEXEC)), MUST(fcntl(keep, F_DUPFD_CLOEXEC, 22));
    MUST(open("/proc/self/stat", O_RDONLY | O_CLOEXEC));
    run(guest_program, argv, no_env);
}
static void *exec_from_thread(void *argument)
{
    char number[16];
    snprintf(number, sizeof number, "%d", getpid());
    char *argv[] = {"p", "--tid", number, NULL};
    execve(guest_program, argv, no_env);
    say("exec: %s", error_name(errno));
    return NULL;
}
static void *sleeper(void *argument)
{
    pause();
    return NULL;
}
CASE(from_a_thread)
{
    pid_t child = fork();
    if (child == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, sleeper, NULL);
        pthread_create(&thread, NULL, exec_from_thread, NULL);
        pthread_join(thread, NULL);
        _exit(1);
    }
    wait_for("process", child);
}
CASE(many_in_turn)
{
    char *argv[] = {"true", NULL};
    int good = 0;
    for (int index = 0; index < 20; index++) {
        pid_t child = fork();
        if (child == 0) {
            execve("/bin/true", argv, no_env);
            _exit(1);
        }
        int status;
        MUST(waitpid(child, &status, 0));
        good += status == 0;
    }
    say("%d", good);
}
CASE(search_path)
{
    pid_t child = fork();
    if (child == 0) {
        execlp("sh", "sh", "-c", "echo found by PATH; exit 6", NULL);
        _exit(1);
    }
    wait_for("execlp", child);
    say("%d", WEXITSTATUS(system("exit 9")));
    char line[64] = "";
    FILE *stream = popen("echo through a pipe", "r");
    fgets(line, sizeof line, stream);
    say("%s%d", line, pclose(stream));
}
static void copy_program(const char *name)
{
    int to = MUST(open(name, O_CREAT | O_RDWR | O_TRUNC, 0755)), from = MUST(open(guest_program, O_RDONLY));
    char block[65536];
    ssize_t length;
    while ((length = read(from, block, sizeof block)) > 0)
        MUST(write(to, block, length));
    MUST(close(to));
    MUST(close(from));
}
CASE(running_text)
{
    int ready[2];
    copy_program("program");
    MUST(pipe(ready));
    pid_t child = fork();
    if (child == 0) {
        dup2(ready[1], 50);
        execl("./program", "program", "--pause", NULL);
        _exit(9);
    }
    MUST(close(ready[1]));
    char byte;
    MUST(read(ready[0], &byte, 1));
    SHOW(open("program", O_WRONLY));
    SHOW(open("program", O_RDWR | O_CREAT, 0700));
    SHOW(open("program", O_RDONLY | O_TRUNC));
    SHOW(truncate("program", 0));
    int fd = open("program", O_RDONLY);
    TRUE(fd >= 0);
    SHOW(chmod("program", 0700));
    SHOW(rename("program", "other"));
    SHOW(open("other", O_WRONLY));
    pid_t second = fork();
    if (second == 0) {
        execl("./other", "other", "--args", NULL);
        _exit(9);
    }
    wait_for("again", second);
    MUST(kill(child, SIGKILL));
    wait_for("child", child);
    TRUE(open("other", O_RDWR) >= 0);
}
CASE(vfork_and_failure)
{
    for (volatile int round = 0; round < 3; round++) {
        volatile int error = 0;
        pid_t child = vfork();
        if (child == 0) {
            execl(round ? "/no/such/program" : "/etc/passwd", "x", NULL);
            error = errno;
            _exit(3);
        }
        say("round %d: %s", round, error_name(error));
        wait_for("vforked", child);
    }
}
