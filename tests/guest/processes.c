// fork, vfork, posix_spawn, clone: what is copied, what is shared, what the parent learns.
// flags: -pthread
#include "guest.h"
#include <linux/sched.h>
#include <spawn.h>

extern char **environ;
int guest_child(int argc, char **argv)
{
    say("child got %d arguments, last %s, comes with %s", argc, argv[argc - 1], getenv("MARK") ? getenv("MARK") : "no mark");
    return 7;
}
static pid_t above;
__attribute__((constructor)) static void who_is_above(void)
{
    above = getppid();
}
CASE(the_parent_of_the_first)
{
    TRUE(above > 0 && above != getppid());
    SHOW(kill(above, 0));
    SHOW(kill(above, 77));
    SHOW(sched_getscheduler(above));
    OK(getpgid(above));
    OK(getsid(above));
}
static int global = 1;
CASE(fork_copies)
{
    int local = 1;
    pid_t parent = getpid();
    pid_t child = fork();
    if (child == 0) {
        TRUE(getppid() == parent && getpid() != parent);
        TRUE(syscall(SYS_gettid) == getpid());
        global = local = 2;
        _exit(global + local);
    }
    wait_for("child", child);
    TRUE(child > 0 && child != parent);
    say("%d %d", global, local);
}
CASE(grandchildren)
{
    for (int level = 0; level < 10; level++) {
        pid_t child = fork();
        if (child != 0) {
            int status;
            MUST(waitpid(child, &status, 0));
            if (level == 0)
                show_status("ten levels", status);
            else
                _exit(WEXITSTATUS(status) + 1);
            return;
        }
    }
    _exit(0);
}
CASE(many_children)
{
    int sum = 0, status;
    for (int index = 0; index < 60; index++) {
        pid_t child = fork();
        if (child == 0)
            _exit(index);
        if (child < 0)
            say("fork %d: %s", index, error_name(errno));
    }
    for (int index = 0; index < 60; index++) {
        MUST(wait(&status));
        sum += WEXITSTATUS(status);
    }
    say("sum %d", sum);
    SHOW(wait(&status));
}
CASE(vfork_suspends_the_parent)
{
    volatile int shared = 1;
    pid_t child = vfork();
    if (child == 0) {
        shared = 2;
        _exit(5);
    }
    say("%d", shared);
    wait_for("child", child);
    child = vfork();
    if (child == 0) {
        execl(guest_program, "prog", "--after", "vfork", NULL);
        _exit(126);
    }
    wait_for("exec", child);
    child = vfork();
    if (child == 0) {
        execl("/no-such-place/program", "x", NULL);
        _exit(127);
    }
    wait_for("failed exec", child);
}
CASE(spawn)
{
    pid_t child;
    char *argv[] = {"prog", "--spawned", "yes", NULL}, *env[] = {"MARK=spawn", NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t set;
    int result = posix_spawn(&child, guest_program, NULL, NULL, argv, env);
    wait_for("child", child);
    say("posix_spawn %d", result);
    SHOW(posix_spawn(&child, "/no-such-place", NULL, NULL, argv, env));
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "output", O_CREAT | O_WRONLY, 0644);
    posix_spawnattr_init(&attributes);
    sigemptyset(&set);
    posix_spawnattr_setsigmask(&attributes, &set);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    SHOW(posix_spawn(&child, guest_program, &actions, &attributes, argv, env));
    wait_for("child", child);
    show_file("output");
}
static int clone_body(void *argument)
{
    *(int *)argument = 42;
    return 3;
}
CASE(clone_flags)
{
    static char stack[65536] __attribute__((aligned(16)));
    int shared = 0, own = 0;
    pid_t child = clone(clone_body, stack + sizeof stack, CLONE_VM | SIGCHLD, &shared);
    wait_for("shared memory", child);
    say("%d", shared);
    child = clone(clone_body, stack + sizeof stack, SIGCHLD, &own);
    wait_for("own memory", child);
    say("%d", own);
    int fd = MUST(open("/dev/null", O_RDONLY));
    child = syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, 0);
    if (child == 0) {
        close(fd);
        _exit(0);
    }
    wait_for("shared descriptors", child);
    SHOW(close(fd));
    MUST(mkdir("d", 0755));
    child = syscall(SYS_clone, CLONE_FS | SIGCHLD, NULL, NULL, NULL, 0);
    if (child == 0) {
        MUST(chdir("d"));
        umask(077);
        _exit(0);
    }
    wait_for("shared working directory", child);
    char buffer[PATH_MAX];
    TRUE(getcwd(buffer, sizeof buffer) && !strcmp(buffer + strlen(buffer) - 2, "/d"));
    say("umask %o", umask(022));
    SHOW(syscall(SYS_clone, CLONE_SIGHAND | SIGCHLD, NULL, NULL, NULL, 0));
    SHOW(syscall(SYS_clone, CLONE_THREAD | SIGCHLD, NULL, NULL, NULL, 0));
}
CASE(clone_without_signal)
{
    int status;
    pid_t child = syscall(SYS_clone, 0, NULL, NULL, NULL, 0);
    if (child == 0)
        _exit(9);
    SHOW(waitpid(child, &status, 0)); /* not a "child" without __WCLONE */
    TRUE(waitpid(child, &status, __WCLONE) == child);
    show_status("child", status);
}
CASE(clone3_call)
{
    pid_t parent_tid = 0;
    int pidfd = -1;
    struct clone_args arguments = {.flags = CLONE_PARENT_SETTID | CLONE_PIDFD, .exit_signal = SIGCHLD, .parent_tid = (uintptr_t)&parent_tid, .pidfd = (uintptr_t)&pidfd};
    pid_t child = syscall(SYS_clone3, &arguments, sizeof arguments);
    if (child == -1) {
        say("clone3: %s", error_name(errno));
        return;
    }
    if (child == 0)
        _exit(4);
    TRUE(parent_tid == child && pidfd >= 0);
    wait_for("child", child);
    SHOW(syscall(SYS_clone3, &arguments, 8));
    SHOW(syscall(SYS_clone3, (void *)1, sizeof arguments));
}
CASE(orphans)
{
    int fds[2];
    MUST(pipe(fds));
    pid_t child = fork();
    if (child == 0) {
        pid_t me = getpid();
        if (fork() == 0) {
            while (getppid() == me)
                sleep_ms(5);
            char note = getppid() > 0 && getppid() != me;
            write(fds[1], &note, 1);
            _exit(0);
        }
        _exit(0);
    }
    wait_for("child", child);
    char note = 0;
    MUST(close(fds[1]));
    SHOW(read(fds[0], &note, 1));
    say("reparented %d", note);
}
CASE(exit_codes)
{
    int codes[] = {0, 1, 127, 128, 255, 256, -1};
    for (unsigned index = 0; index < sizeof codes / sizeof *codes; index++) {
        pid_t child = fork();
        if (child == 0)
            _exit(codes[index]);
        wait_for("child", child);
    }
}
CASE(fork_in_a_signal_storm)
{
    /* Children are created while timer signals arrive: fork restarts, and nothing is created twice. */
    struct sigaction action = {.sa_handler = SIG_IGN};
    MUST(sigaction(SIGPROF, &action, NULL));
    int children = 0;
    for (int index = 0; index < 30; index++) {
        pid_t child = fork();
        if (child == 0)
            _exit(0);
        children += child > 0;
        kill(getpid(), SIGPROF);
    }
    int reaped = 0;
    while (wait(NULL) > 0)
        reaped++;
    say("%d %d", children, reaped);
}
