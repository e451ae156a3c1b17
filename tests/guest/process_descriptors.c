// Process descriptors, kcmp and what prctl tells: reaching another process by more than its number.
// user: nobody
// grant: cow
#include "guest.h"
#include <poll.h>
#include <sys/prctl.h>
#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#define KCMP(a, b, kind, x, y) syscall(SYS_kcmp, a, b, kind, (unsigned long)(x), (unsigned long)(y))
static pid_t sleeper(void)
{
    pid_t child = fork();
    if (child == 0)
        for (;;)
            pause();
    return child;
}
static void handler(int number, siginfo_t *info, void *context)
{
    say("signal %d code %d value %d from parent %d", number, info->si_code, info->si_value.sival_int, info->si_pid == getppid());
    _exit(5);
}
CASE(send_signal)
{
    int ready[2];
    MUST(pipe(ready));
    pid_t child = fork();
    if (child == 0) {
        struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
        sigaction(SIGUSR1, &action, NULL);
        write(ready[1], "", 1);
        for (;;)
            pause();
    }
    char byte;
    MUST(read(ready[0], &byte, 1));
    int pidfd = MUST(syscall(SYS_pidfd_open, child, 0));
    SHOW(syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0));
    SHOW(syscall(SYS_pidfd_send_signal, pidfd, 65, NULL, 0));
    SHOW(syscall(SYS_pidfd_send_signal, pidfd, SIGUSR1, NULL, 64));
    SHOW(syscall(SYS_pidfd_send_signal, 1, SIGUSR1, NULL, 0));
    SHOW(syscall(SYS_pidfd_send_signal, 77, SIGUSR1, NULL, 0));
    siginfo_t info = {0};
    info.si_signo = SIGUSR1, info.si_code = SI_QUEUE, info.si_value.sival_int = 42, info.si_pid = getpid(), info.si_uid = getuid();
    SHOW(syscall(SYS_pidfd_send_signal, pidfd, SIGUSR2, &info, 0));
    long sent = syscall(SYS_pidfd_send_signal, pidfd, SIGUSR1, &info, 0);
    struct pollfd end = {pidfd, POLLIN, 0};
    SHOW(poll(&end, 1, 10000));
    say("sent %ld", sent);
    SHOW(syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0)); /* a zombie */
    siginfo_t ended = {0};
    SHOW(waitid(P_PIDFD, pidfd, &ended, WEXITED));
    say("code %d status %d", ended.si_code, ended.si_status);
    SHOW(syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0));
}
CASE(wait_options)
{
    pid_t child = sleeper();
    int pidfd = MUST(syscall(SYS_pidfd_open, child, O_NONBLOCK));
    siginfo_t info = {0};
    SHOW(waitid(P_PIDFD, pidfd, &info, WEXITED));
    SHOW(waitid(P_PIDFD, pidfd, &info, WEXITED | WNOHANG));
    SHOW(waitid(P_PIDFD, 1, &info, WEXITED));
    SHOW(waitid(P_PIDFD, 77, &info, WEXITED));
    MUST(kill(child, SIGSTOP));
    while (waitid(P_PIDFD, pidfd, &info, WSTOPPED) < 0 && errno == EAGAIN)
        sleep_ms(1);
    say("code %d status %d", info.si_code, info.si_status);
    MUST(kill(child, SIGCONT));
    while (waitid(P_PIDFD, pidfd, &info, WCONTINUED | WNOWAIT) < 0 && errno == EAGAIN)
        sleep_ms(1);
    say("code %d status %d", info.si_code, info.si_status);
    MUST(kill(child, SIGKILL));
    while (waitid(P_PIDFD, pidfd, &info, WEXITED) < 0 && errno == EAGAIN)
        sleep_ms(1);
    say("code %d status %d", info.si_code, info.si_status);
}
CASE(open_errors)
{
    SHOW(syscall(SYS_pidfd_open, 0, 0));
    SHOW(syscall(SYS_pidfd_open, -1, 0));
    SHOW(syscall(SYS_pidfd_open, getpid(), 1));
    SHOW(syscall(SYS_pidfd_open, 0x7ffffff0, 0));
    int pidfd = MUST(syscall(SYS_pidfd_open, getpid(), 0));
    char path[64], text[1024], expected[64];
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", pidfd);
    int fd = MUST(open(path, O_RDONLY));
    ssize_t n = MUST(read(fd, text, sizeof text - 1));
    text[n] = 0;
    snprintf(expected, sizeof expected, "\nPid:\t%d\n", getpid());
    TRUE(strstr(text, expected) != NULL);
    TRUE(!strncmp(text, "pos:\t0\n", 7));
}
CASE(get_descriptor)
{
    int pipes[2], ready[2];
    MUST(pipe(pipes));
    MUST(pipe(ready));
    pid_t child = fork();
    if (child == 0) {
        int own = MUST(dup(pipes[1]));
        own = MUST(dup2(own, 50));
        write(ready[1], "", 1);
        for (;;)
            pause();
    }
    char byte;
    MUST(read(ready[0], &byte, 1));
    int pidfd = MUST(syscall(SYS_pidfd_open, child, 0));
    int copy = syscall(SYS_pidfd_getfd, pidfd, 50, 0);
    TRUE(copy >= 0);
    say("cloexec %d", fcntl(copy, F_GETFD));
    SHOW(write(copy, "x", 1));
    SHOW(read(pipes[0], &byte, 1));
    SHOW(syscall(SYS_pidfd_getfd, pidfd, 51, 0));
    SHOW(syscall(SYS_pidfd_getfd, pidfd, 50, 1));
    SHOW(syscall(SYS_pidfd_getfd, 1, 50, 0));
    SHOW(KCMP(getpid(), child, 0, copy, 50));
    TRUE(KCMP(getpid(), child, 0, pipes[0], 50) > 0);
    kill(child, SIGKILL);
    wait_for("child", child);
    SHOW(syscall(SYS_pidfd_getfd, pidfd, 50, 0));
}
CASE(compare)
{
    pid_t copy = sleeper();
    pid_t shared = MUST(syscall(SYS_clone, CLONE_FILES | CLONE_FS | SIGCHLD, NULL, NULL, NULL, 0));
    if (shared == 0)
        for (;;)
            pause();
    say("files %d %d", KCMP(getpid(), shared, 2, 0, 0) == 0, KCMP(getpid(), copy, 2, 0, 0) == 0);
    say("fs %d %d", KCMP(getpid(), shared, 3, 0, 0) == 0, KCMP(getpid(), copy, 3, 0, 0) == 0);
    say("memory %d %d", KCMP(getpid(), getpid(), 1, 0, 0) == 0, KCMP(getpid(), copy, 1, 0, 0) == 0);
    say("handlers %d", KCMP(getpid(), copy, 4, 0, 0) == 0);
    say("descriptor %d %d", KCMP(getpid(), copy, 0, 1, 1) == 0, KCMP(getpid(), getpid(), 0, 1, 999) == 0);
    SHOW(KCMP(getpid(), copy, 99, 0, 0));
    SHOW(KCMP(getpid(), getpid(), 0, 1, 999));
    SHOW(KCMP(getpid(), 0x7ffffff0, 1, 0, 0));
    SHOW(KCMP(0, getpid(), 1, 0, 0));
    kill(copy, SIGKILL), kill(shared, SIGKILL);
    wait_for("copy", copy), wait_for("shared", shared);
}
CASE(advice)
{
    char *memory = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(memory, 1, 65536);
    pid_t child = sleeper();
    int pidfd = MUST(syscall(SYS_pidfd_open, child, 0));
    struct iovec vector = {memory, 65536};
    SHOW(syscall(SYS_process_madvise, pidfd, &vector, 1, 99, 0));
    SHOW(syscall(SYS_process_madvise, pidfd, &vector, 1, MADV_WILLNEED, 1));
    SHOW(syscall(SYS_process_madvise, 1, &vector, 1, MADV_WILLNEED, 0));
    int self = MUST(syscall(SYS_pidfd_open, getpid(), 0));
    SHOW(syscall(SYS_process_madvise, self, &vector, 1, 20 /* MADV_COLD */, 0));
    SHOW(syscall(SYS_process_mrelease, pidfd, 0));
    SHOW(syscall(SYS_process_mrelease, pidfd, 1));
    SHOW(syscall(SYS_process_mrelease, 1, 0));
    kill(child, SIGKILL);
    wait_for("child", child);
    SHOW(syscall(SYS_process_mrelease, pidfd, 0));
    SHOW(syscall(SYS_process_madvise, pidfd, &vector, 1, MADV_WILLNEED, 0));
}
CASE(what_prctl_tells)
{
    int value = 77;
    char name[16];
    SHOW(prctl(PR_SET_NAME, "a name that is too long"));
    SHOW(prctl(PR_GET_NAME, name));
    say("%s", name);
    SHOW(prctl(PR_GET_DUMPABLE)), SHOW(prctl(PR_SET_DUMPABLE, 2)), SHOW(prctl(PR_SET_DUMPABLE, 0)), SHOW(prctl(PR_GET_DUMPABLE));
    SHOW(prctl(PR_SET_DUMPABLE, 1));
    SHOW(prctl(PR_SET_PDEATHSIG, 65)), SHOW(prctl(PR_SET_PDEATHSIG, SIGUSR1)), SHOW(prctl(PR_GET_PDEATHSIG, &value));
    say("death signal %d", value);
    SHOW(prctl(PR_SET_PDEATHSIG, 0));
    SHOW(prctl(PR_GET_CHILD_SUBREAPER, &value));
    say("subreaper %d", value);
    SHOW(prctl(PR_SET_CHILD_SUBREAPER, 1)), SHOW(prctl(PR_GET_CHILD_SUBREAPER, &value));
    say("subreaper %d", value);
    SHOW(prctl(PR_GET_TIMERSLACK)), SHOW(prctl(PR_SET_TIMERSLACK, 12345)), SHOW(prctl(PR_GET_TIMERSLACK)), SHOW(prctl(PR_SET_TIMERSLACK, 0));
    SHOW(prctl(PR_GET_TIMERSLACK));
    SHOW(prctl(PR_GET_KEEPCAPS)), SHOW(prctl(PR_SET_KEEPCAPS, 2)), SHOW(prctl(PR_SET_KEEPCAPS, 1)), SHOW(prctl(PR_GET_KEEPCAPS));
    SHOW(prctl(PR_GET_SECCOMP)), SHOW(prctl(PR_GET_TIMING)), SHOW(prctl(PR_GET_TSC, &value));
    say("tsc %d", value);
    SHOW(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0)), SHOW(prctl(PR_SET_NO_NEW_PRIVS, 1, 1, 0, 0)), SHOW(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    SHOW(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
    SHOW(prctl(PR_GET_NO_NEW_PRIVS, 1, 0, 0, 0));
    SHOW(prctl(9999, 0, 0, 0, 0));
}
CASE(death_signal)
{
    int fds[2];
    MUST(pipe(fds));
    pid_t child = fork();
    if (child == 0) {
        pid_t grandchild = fork();
        if (grandchild == 0) {
            prctl(PR_SET_PDEATHSIG, SIGTERM);
            write(fds[1], "", 1);
            for (;;)
                pause();
        }
        char byte;
        read(fds[0], &byte, 1);
        _exit(0);
    }
    MUST(close(fds[1]));
    wait_for("child", child);
    char byte;
    SHOW(read(fds[0], &byte, 1)); /* the end: the grandchild is gone */
}
CASE(subreaper)
{
    int fds[2];
    MUST(prctl(PR_SET_CHILD_SUBREAPER, 1));
    MUST(pipe(fds));
    pid_t child = fork();
    if (child == 0) {
        pid_t grandchild = fork();
        if (grandchild == 0) {
            char byte;
            MUST(close(fds[1]));
            read(fds[0], &byte, 1);
            _exit(7);
        }
        write(fds[1], "", 0);
        _exit(0);
    }
    wait_for("child", child);
    MUST(close(fds[1]));
    int status;
    pid_t orphan = waitpid(-1, &status, 0);
    TRUE(orphan > 0 && orphan != child);
    show_status("orphan", status);
}
