// Process groups, sessions, and job control stops without a terminal.
#include "guest.h"

static void *shared_page(void)
{
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
}
CASE(groups)
{
    pid_t child = fork();
    if (child == 0) {
        TRUE(getpgid(0) == getppid() || getpgid(0) != getpid());
        SHOW(setpgid(0, 0));
        TRUE(getpgrp() == getpid());
        TRUE(getpgid(getpid()) == getpid());
        SHOW(setpgid(0, 0));
        SHOW(setpgid(0, 999999)), SHOW(setpgid(-1, 0)), SHOW(setpgid(0, -1)), SHOW(setpgid(999999, 0)), SHOW(getpgid(999999));
        _exit(0);
    }
    wait_for("child", child);
    child = fork();
    if (child == 0)
        pause();
    SHOW(setpgid(child, child));
    TRUE(getpgid(child) == child);
    SHOW(setpgid(child, getpgrp()));
    TRUE(getpgid(child) == getpgrp());
    kill(child, SIGKILL);
    wait_for("child", child);
}
CASE(sessions)
{
    pid_t child = fork();
    if (child == 0) {
        pid_t before = getsid(0);
        TRUE(setsid() == getpid());
        TRUE(getsid(0) == getpid() && getpgrp() == getpid() && before != getpid());
        SHOW(setsid());
        SHOW(open("/dev/tty", O_RDWR));
        SHOW(getsid(999999));
        pid_t inner = fork();
        if (inner == 0) {
            TRUE(getsid(0) == getppid());
            _exit(0);
        }
        wait_for("inner", inner);
        SHOW(setpgid(0, getppid()));
        _exit(0);
    }
    wait_for("child", child);
}
CASE(signal_a_group)
{
    int *ready = shared_page();
    pid_t leader = 0;
    for (int index = 0; index < 3; index++) {
        pid_t child = fork();
        if (child == 0) {
            setpgid(0, leader);
            __atomic_add_fetch(ready, 1, __ATOMIC_SEQ_CST);
            for (;;)
                pause();
        }
        if (!leader)
            leader = child;
        setpgid(child, leader);
    }
    while (__atomic_load_n(ready, __ATOMIC_SEQ_CST) < 3)
        sleep_ms(2);
    SHOW(kill(-leader, 0));
    SHOW(killpg(leader, SIGTERM));
    int status, killed = 0;
    while (waitpid(-leader, &status, 0) > 0)
        killed += WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM;
    say("killed %d", killed);
    SHOW(kill(-leader, 0)), SHOW(kill(-999999, 0)), SHOW(kill(999999, 0)), SHOW(kill(getpid(), 0)), SHOW(kill(getpid(), 65)), SHOW(kill(getpid(), -1));
}
CASE(stop_and_continue_a_group)
{
    int status;
    int *ready = shared_page();
    pid_t child = fork();
    if (child == 0) {
        setpgid(0, 0);
        if (fork() == 0) {
            __atomic_add_fetch(ready, 1, __ATOMIC_SEQ_CST);
            for (;;)
                pause();
        }
        __atomic_add_fetch(ready, 1, __ATOMIC_SEQ_CST);
        for (;;)
            pause();
    }
    while (__atomic_load_n(ready, __ATOMIC_SEQ_CST) < 2)
        sleep_ms(2);
    SHOW(kill(-child, SIGSTOP));
    TRUE(waitpid(child, &status, WUNTRACED) == child);
    show_status("leader", status);
    SHOW(kill(-child, SIGCONT));
    TRUE(waitpid(child, &status, WCONTINUED) == child);
    show_status("leader", status);
    SHOW(kill(-child, SIGKILL));
    wait_for("leader", child);
}
CASE(default_stops)
{
    int numbers[] = {SIGTSTP, SIGTTIN, SIGTTOU, SIGSTOP};
    for (int index = 0; index < 4; index++) {
        int status;
        pid_t child = fork();
        if (child == 0) {
            setpgid(0, 0);
            raise(numbers[index]);
            _exit(4);
        }
        TRUE(waitpid(child, &status, WUNTRACED) == child);
        show_status("child", status);
        MUST(kill(child, SIGCONT));
        wait_for("child", child);
    }
}
static volatile sig_atomic_t caught;
static void count(int number)
{
    caught++;
}
CASE(stop_cancels_continue)
{
    signal(SIGCONT, count);
    sigset_t set, pending;
    sigemptyset(&set), sigaddset(&set, SIGTSTP), sigaddset(&set, SIGCONT);
    MUST(sigprocmask(SIG_BLOCK, &set, NULL));
    MUST(raise(SIGTSTP));
    MUST(raise(SIGCONT));
    sigpending(&pending);
    say("stop pending %d continue pending %d", sigismember(&pending, SIGTSTP), sigismember(&pending, SIGCONT));
    MUST(raise(SIGTSTP));
    sigpending(&pending);
    say("stop pending %d continue pending %d", sigismember(&pending, SIGTSTP), sigismember(&pending, SIGCONT));
    MUST(raise(SIGCONT));
    MUST(sigprocmask(SIG_UNBLOCK, &set, NULL));
    say("caught %d", caught);
}
CASE(kill_a_stopped_process)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        raise(SIGSTOP);
        _exit(0);
    }
    MUST(waitpid(child, &status, WUNTRACED));
    MUST(kill(child, SIGTERM));
    SHOW(waitpid(child, &status, WNOHANG));
    MUST(kill(child, SIGKILL));
    wait_for("child", child);
}
