// wait4, waitid and their options; SIGCHLD dispositions.
#include "guest.h"

static pid_t sleeper(void)
{
    pid_t child = fork();
    if (child == 0) {
        for (;;)
            pause();
    }
    return child;
}
CASE(options)
{
    int status = 77;
    siginfo_t info = {0};
    pid_t child = sleeper();
    SHOW(waitpid(child, &status, WNOHANG));
    SHOW(waitid(P_PID, child, &info, WEXITED | WNOHANG));
    say("nothing yet %d", info.si_pid);
    MUST(kill(child, SIGSTOP));
    TRUE(waitpid(child, &status, WUNTRACED) == child);
    show_status("stop", status);
    SHOW(waitpid(child, &status, WUNTRACED | WNOHANG));
    MUST(kill(child, SIGCONT));
    TRUE(waitpid(child, &status, WCONTINUED) == child);
    show_status("continue", status);
    MUST(kill(child, SIGSTOP));
    SHOW(waitid(P_PID, child, &info, WSTOPPED));
    say("code %d status %d signal %d of child %d", info.si_code, info.si_status, info.si_signo, info.si_pid == child);
    MUST(kill(child, SIGCONT));
    SHOW(waitid(P_PID, child, &info, WCONTINUED | WNOWAIT));
    say("code %d status %d", info.si_code, info.si_status);
    SHOW(waitid(P_PID, child, &info, WCONTINUED));
    MUST(kill(child, SIGKILL));
    SHOW(waitid(P_PID, child, &info, WEXITED | WNOWAIT));
    say("code %d status %d", info.si_code, info.si_status);
    TRUE(waitpid(child, &status, 0) == child);
    show_status("end", status);
    SHOW(waitpid(child, &status, 0));
}
CASE(errors)
{
    int status;
    SHOW(waitpid(-1, &status, 0)), SHOW(waitpid(1, &status, 0)), SHOW(waitpid(-1, &status, 0x100000)), SHOW(waitid(P_ALL, 0, NULL, 0));
    SHOW(waitid(77, 0, NULL, WEXITED)), SHOW(waitpid(INT_MIN, &status, 0));
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    SHOW(syscall(SYS_wait4, -1, (void *)1, 0, NULL));
    SHOW(waitpid(-1, &status, 0));
}
CASE(groups)
{
    int status;
    pid_t a = fork();
    if (a == 0) {
        setpgid(0, 0);
        _exit(1);
    }
    setpgid(a, a);
    pid_t b = fork();
    if (b == 0)
        _exit(2);
    TRUE(waitpid(0, &status, 0) == b);
    show_status("own group", status);
    TRUE(waitpid(-a, &status, 0) == a);
    show_status("its group", status);
    SHOW(waitpid(-a, &status, 0));
}
CASE(ignored_children)
{
    signal(SIGCHLD, SIG_IGN);
    pid_t child = fork();
    if (child == 0) {
        sleep_ms(20);
        _exit(3);
    }
    int status;
    SHOW(waitpid(child, &status, 0));
    struct sigaction action = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT};
    sigaction(SIGCHLD, &action, NULL);
    child = fork();
    if (child == 0)
        _exit(3);
    SHOW(waitpid(child, &status, 0));
}
static volatile sig_atomic_t count, code, child_status, sender;
static void on_child(int number, siginfo_t *info, void *context)
{
    count++, code = info->si_code, child_status = info->si_status, sender = info->si_pid;
}
CASE(child_signals)
{
    struct sigaction action = {.sa_sigaction = on_child, .sa_flags = SA_SIGINFO | SA_RESTART};
    sigaction(SIGCHLD, &action, NULL);
    pid_t child = sleeper();
    MUST(kill(child, SIGSTOP));
    while (count < 1)
        sleep_ms(5);
    say("stopped: code %d status %d by child %d", code, child_status, sender == child);
    MUST(kill(child, SIGCONT));
    while (count < 2)
        sleep_ms(5);
    say("continued: code %d", code);
    action.sa_flags |= SA_NOCLDSTOP;
    sigaction(SIGCHLD, &action, NULL);
    MUST(kill(child, SIGSTOP));
    MUST(kill(child, SIGTERM));
    MUST(kill(child, SIGCONT));
    while (count < 3)
        sleep_ms(5);
    say("killed: code %d status %d", code, child_status);
    wait_for("child", child);
}
CASE(resource_usage)
{
    struct rusage usage = {0};
    int status;
    pid_t child = fork();
    if (child == 0) {
        volatile unsigned long spin = 0;
        long start = clock();
        while (clock() - start < 30000)
            spin++;
        _exit(0);
    }
    TRUE(wait4(child, &status, 0, &usage) == child);
    say("some time %d, some memory %d", usage.ru_utime.tv_usec + usage.ru_stime.tv_usec > 10000, usage.ru_maxrss > 100);
    MUST(getrusage(RUSAGE_CHILDREN, &usage));
    say("children %d", usage.ru_utime.tv_usec + usage.ru_stime.tv_usec > 10000);
    SHOW(getrusage(RUSAGE_SELF, &usage)), SHOW(getrusage(77, &usage)), SHOW(getrusage(RUSAGE_THREAD, &usage));
}
CASE(killed_by_signals)
{
    int numbers[] = {SIGTERM, SIGKILL, SIGSEGV, SIGABRT, SIGPIPE, SIGALRM, SIGUSR1, SIGHUP, 34, 64};
    struct rlimit none = {0, 0};
    MUST(setrlimit(RLIMIT_CORE, &none));
    for (unsigned index = 0; index < sizeof numbers / sizeof *numbers; index++) {
        pid_t child = sleeper();
        MUST(kill(child, numbers[index]));
        wait_for("child", child);
    }
    pid_t child = fork();
    if (child == 0) {
        *(volatile int *)8 = 1;
        _exit(0);
    }
    wait_for("fault", child);
    child = fork();
    if (child == 0)
        __builtin_trap();
    wait_for("trap", child);
    child = fork();
    if (child == 0)
        abort();
    wait_for("abort", child);
    child = fork();
    if (child == 0) {
        volatile int zero = 0;
        _exit(100 / zero);
    }
    wait_for("division", child);
}
