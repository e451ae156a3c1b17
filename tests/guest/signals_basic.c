// Handlers, masks, dispositions, pending signals, queueing and order, information carried.
#include "guest.h"

static volatile sig_atomic_t caught, last, value, code, nested;
static int order[64], order_count;
static void on_signal(int number)
{
    caught++, last = number;
    if (order_count < 64)
        order[order_count++] = number;
}
static void on_info(int number, siginfo_t *info, void *context)
{
    on_signal(number);
    value = info->si_value.sival_int, code = info->si_code;
    if (order_count)
        order[order_count - 1] = info->si_value.sival_int ? info->si_value.sival_int : number;
}
static void print_order(const char *what)
{
    char text[512] = "";
    for (int index = 0; index < order_count; index++)
        sprintf(text + strlen(text), " %d", order[index]);
    say("%s:%s", what, text);
    order_count = 0;
}
CASE(handlers)
{
    struct sigaction action = {.sa_handler = on_signal}, old;
    SHOW(sigaction(SIGUSR1, &action, &old));
    TRUE(old.sa_handler == SIG_DFL);
    SHOW(raise(SIGUSR1));
    say("caught %d last %d", caught, last);
    SHOW(kill(getpid(), SIGUSR1));
    say("caught %d", caught);
    SHOW(sigaction(SIGKILL, &action, NULL)), SHOW(sigaction(SIGSTOP, &action, NULL)), SHOW(sigaction(0, &action, NULL)), SHOW(sigaction(65, &action, NULL));
    SHOW(sigaction(SIGKILL, NULL, &old));
    SHOW(syscall(SYS_rt_sigaction, SIGUSR1, &action, NULL, 4)), SHOW(syscall(SYS_rt_sigaction, SIGUSR1, (void *)1, NULL, 8));
    action.sa_handler = SIG_IGN;
    SHOW(sigaction(SIGUSR1, &action, &old));
    TRUE(old.sa_handler == on_signal);
    SHOW(raise(SIGUSR1));
    say("caught %d", caught);
}
static void on_nested(int number)
{
    sigset_t mask;
    nested++;
    sigprocmask(SIG_BLOCK, NULL, &mask);
    say("in %d: USR1 blocked %d USR2 blocked %d", number, sigismember(&mask, SIGUSR1), sigismember(&mask, SIGUSR2));
    if (number == SIGUSR1 && nested == 1) {
        raise(SIGUSR1);
        raise(SIGUSR2);
        say("leaving %d", number);
    }
}
CASE(masks_in_handlers)
{
    struct sigaction action = {.sa_handler = on_nested};
    sigaddset(&action.sa_mask, SIGUSR2);
    sigaction(SIGUSR1, &action, NULL), sigaction(SIGUSR2, &action, NULL);
    raise(SIGUSR1);
    say("nested %d", nested);
    nested = 0;
    action.sa_flags = SA_NODEFER;
    sigemptyset(&action.sa_mask);
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    say("nested %d", nested);
    struct sigaction once = {.sa_handler = on_signal, .sa_flags = SA_RESETHAND}, now;
    sigaction(SIGUSR1, &once, NULL);
    raise(SIGUSR1);
    sigaction(SIGUSR1, NULL, &now);
    TRUE(now.sa_handler == SIG_DFL);
}
CASE(blocking_and_pending)
{
    sigset_t set, old, pending;
    signal(SIGUSR1, on_signal), signal(SIGUSR2, on_signal);
    sigemptyset(&set), sigaddset(&set, SIGUSR1), sigaddset(&set, SIGUSR2), sigaddset(&set, SIGKILL);
    SHOW(sigprocmask(SIG_BLOCK, &set, &old));
    raise(SIGUSR2), raise(SIGUSR1), raise(SIGUSR1);
    say("caught %d", caught);
    SHOW(sigpending(&pending));
    say("%d %d %d", sigismember(&pending, SIGUSR1), sigismember(&pending, SIGUSR2), sigismember(&pending, SIGHUP));
    sigprocmask(SIG_BLOCK, NULL, &set);
    say("KILL in mask %d", sigismember(&set, SIGKILL));
    SHOW(sigprocmask(SIG_SETMASK, &old, NULL));
    say("caught %d", caught);
    print_order("order"); /* lowest number last pushed, so the highest runs first... as Linux does */
    SHOW(sigprocmask(77, &old, NULL)), SHOW(syscall(SYS_rt_sigprocmask, SIG_BLOCK, (void *)1, NULL, 8)), SHOW(syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, NULL, 4));
}
CASE(ignored_while_blocked)
{
    sigset_t set, pending;
    sigemptyset(&set), sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGUSR1, SIG_IGN);
    raise(SIGUSR1);
    sigpending(&pending);
    say("%d", sigismember(&pending, SIGUSR1));
    signal(SIGUSR1, on_signal);
    raise(SIGUSR1);
    signal(SIGUSR1, SIG_IGN); /* discards what is pending */
    sigpending(&pending);
    say("%d", sigismember(&pending, SIGUSR1));
}
CASE(queueing)
{
    struct sigaction action = {.sa_sigaction = on_info, .sa_flags = SA_SIGINFO};
    sigset_t set;
    sigfillset(&action.sa_mask);
    sigemptyset(&set);
    for (int number = SIGRTMIN; number <= SIGRTMIN + 3; number++)
        sigaction(number, &action, NULL), sigaddset(&set, number);
    sigaction(SIGUSR1, &action, NULL), sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (int index = 0; index < 4; index++) {
        SHOW(sigqueue(getpid(), SIGRTMIN + 2, (union sigval){.sival_int = 200 + index}));
        SHOW(sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 100 + index}));
        SHOW(sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 1 + index}));
    }
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    print_order("order");
    say("caught %d code %d", caught, code);
    SHOW(sigqueue(getpid(), 65, (union sigval){0})), SHOW(sigqueue(999999, SIGUSR1, (union sigval){0})), SHOW(sigqueue(getpid(), 0, (union sigval){0}));
    siginfo_t forged = {.si_code = SI_KERNEL};
    SHOW(syscall(SYS_rt_sigqueueinfo, getppid(), SIGCONT, &forged));
    forged.si_code = SI_TKILL;
    SHOW(syscall(SYS_rt_sigqueueinfo, getppid(), SIGCONT, &forged));
}
CASE(information)
{
    struct sigaction action = {.sa_sigaction = on_info, .sa_flags = SA_SIGINFO};
    sigaction(SIGUSR1, &action, NULL);
    kill(getpid(), SIGUSR1);
    say("kill: code %d", code);
    raise(SIGUSR1);
    say("raise: code %d", code);
    sigqueue(getpid(), SIGUSR1, (union sigval){.sival_int = 5});
    say("sigqueue: code %d value %d", code, value);
    SHOW(syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGUSR1));
    say("tgkill: code %d", code);
    SHOW(syscall(SYS_tkill, syscall(SYS_gettid), SIGUSR1));
    SHOW(syscall(SYS_tgkill, getpid(), 999999, SIGUSR1)), SHOW(syscall(SYS_tgkill, 999999, getpid(), 0)), SHOW(syscall(SYS_tgkill, -1, 1, 0));
}
CASE(waiting_for_signals)
{
    sigset_t set, none, all;
    siginfo_t info;
    struct timespec brief = {0, 20000000}, zero = {0, 0};
    sigemptyset(&none), sigemptyset(&set), sigaddset(&set, SIGUSR1), sigaddset(&set, SIGRTMIN), sigfillset(&all);
    signal(SIGUSR1, on_signal);
    sigprocmask(SIG_BLOCK, &set, NULL);
    SHOW(sigtimedwait(&set, &info, &zero)), SHOW(sigtimedwait(&set, &info, &brief));
    raise(SIGUSR1);
    SHOW(sigtimedwait(&set, &info, &brief));
    say("number %d code %d caught %d", info.si_signo, info.si_code, caught);
    sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = 77});
    SHOW(sigwaitinfo(&set, &info) == SIGRTMIN);
    say("value %d", info.si_value.sival_int);
    int number = 0;
    raise(SIGUSR1);
    SHOW(sigwait(&set, &number));
    say("%d", number);
    raise(SIGUSR1);
    SHOW(sigsuspend(&none));
    say("caught %d", caught);
    sigset_t mask;
    sigprocmask(SIG_BLOCK, NULL, &mask);
    say("mask restored %d", sigismember(&mask, SIGUSR1));
    pid_t child = fork();
    if (child == 0) {
        sleep_ms(30);
        kill(getppid(), SIGUSR1);
        _exit(0);
    }
    SHOW(sigwaitinfo(&set, &info));
    say("from child %d", info.si_pid == child);
    wait_for("child", child);
    zero.tv_nsec = -1;
    SHOW(sigtimedwait(&set, &info, &zero));
    SHOW(syscall(SYS_rt_sigsuspend, &none, 4));
}
static volatile sig_atomic_t on_other_stack;
static char alternate[65536];
static void on_stack(int number)
{
    char here;
    on_other_stack = &here > alternate && &here < alternate + sizeof alternate;
    stack_t now;
    sigaltstack(NULL, &now);
    say("handler on the alternate stack %d flagged %d", on_other_stack, !!(now.ss_flags & SS_ONSTACK));
    stack_t change = {.ss_flags = SS_DISABLE};
    SHOW(sigaltstack(&change, NULL));
}
CASE(alternate_stack)
{
    stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate}, old;
    struct sigaction action = {.sa_handler = on_stack, .sa_flags = SA_ONSTACK};
    SHOW(sigaltstack(&stack, &old));
    say("disabled before %d", !!(old.ss_flags & SS_DISABLE));
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    action.sa_flags = 0;
    sigaction(SIGUSR1, &action, NULL);
    raise(SIGUSR1);
    stack.ss_size = 100;
    SHOW(sigaltstack(&stack, NULL));
    stack.ss_flags = 77;
    SHOW(sigaltstack(&stack, NULL)), SHOW(sigaltstack((void *)1, NULL));
}
static void on_overflow(int number, siginfo_t *info, void *context)
{
    char here;
    say("overflow handled on the alternate stack %d", &here > alternate && &here < alternate + sizeof alternate);
    _exit(7);
}
static int recurse(int depth)
{
    volatile char frame[4096];
    frame[0] = depth;
    return recurse(depth + 1) + frame[0];
}
CASE(stack_overflow)
{
    pid_t child = fork();
    if (child == 0) {
        stack_t stack = {.ss_sp = alternate, .ss_size = sizeof alternate};
        struct sigaction action = {.sa_sigaction = on_overflow, .sa_flags = SA_ONSTACK | SA_SIGINFO};
        sigaltstack(&stack, NULL), sigaction(SIGSEGV, &action, NULL);
        _exit(recurse(0));
    }
    wait_for("child", child);
}
CASE(inheritance)
{
    sigset_t set, pending;
    signal(SIGUSR1, on_signal);
    sigemptyset(&set), sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGUSR1);
    pid_t child = fork();
    if (child == 0) {
        sigpending(&pending);
        say("child: pending %d", sigismember(&pending, SIGUSR1));
        raise(SIGUSR1);
        sigprocmask(SIG_UNBLOCK, &set, NULL);
        say("child: caught %d", caught);
        _exit(0);
    }
    wait_for("child", child);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    say("parent: caught %d", caught);
}
