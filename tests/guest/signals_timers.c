// alarm, setitimer, timer_create: one shot, repeating, overruns, which clock, what exec and fork do.
// flags: -pthread -lrt
#include "guest.h"

static volatile sig_atomic_t caught, value, code, overruns;
static void on_signal(int number, siginfo_t *info, void *context)
{
    caught++, value = info->si_value.sival_int, code = info->si_code;
    if (info->si_code == SI_TIMER && info->si_overrun > overruns)
        overruns = info->si_overrun;
}
static void install(int number)
{
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    MUST(sigaction(number, &action, NULL));
}
CASE(alarms)
{
    install(SIGALRM);
    SHOW(alarm(100) > 0);
    SHOW(alarm(1) >= 99);
    pause();
    say("caught %d", caught);
    SHOW(alarm(0));
}
CASE(interval_timers)
{
    struct itimerval timer = {.it_value = {0, 5000}, .it_interval = {0, 5000}}, old;
    install(SIGALRM);
    SHOW(setitimer(ITIMER_REAL, &timer, &old));
    while (caught < 5)
        pause();
    SHOW(getitimer(ITIMER_REAL, &old));
    say("interval %ld", (long)old.it_interval.tv_usec);
    timer.it_value.tv_usec = 0;
    SHOW(setitimer(ITIMER_REAL, &timer, NULL));
    SHOW(getitimer(ITIMER_REAL, &old));
    say("stopped %d", old.it_value.tv_sec == 0 && old.it_value.tv_usec == 0);
    timer.it_value.tv_usec = 1000000;
    SHOW(setitimer(ITIMER_REAL, &timer, NULL)), SHOW(setitimer(77, &timer, NULL)), SHOW(setitimer(ITIMER_REAL, (void *)1, NULL)), SHOW(getitimer(0, (void *)1));
}
CASE(processor_time)
{
    struct itimerval timer = {.it_value = {0, 20000}};
    volatile unsigned long spin = 0;
    install(SIGVTALRM), install(SIGPROF);
    SHOW(setitimer(ITIMER_VIRTUAL, &timer, NULL));
    while (!caught)
        spin++;
    say("virtual");
    SHOW(setitimer(ITIMER_PROF, &timer, NULL));
    while (caught < 2)
        spin++;
    say("profiling");
}
CASE(posix_timers)
{
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value.sival_int = 4711};
    struct itimerspec spec = {.it_value = {0, 10000000}}, old;
    install(SIGRTMIN);
    SHOW(timer_create(CLOCK_MONOTONIC, &event, &timer));
    SHOW(timer_settime(timer, 0, &spec, NULL));
    while (!caught)
        pause();
    say("value %d code %d", value, code);
    spec.it_interval.tv_nsec = 2000000;
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    SHOW(timer_settime(timer, 0, &spec, NULL));
    sleep_ms(60);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    say("overruns %d", overruns > 5);
    TRUE(timer_getoverrun(timer) >= 0);
    SHOW(timer_gettime(timer, &old));
    say("interval %ld", old.it_interval.tv_nsec);
    SHOW(timer_delete(timer));
    SHOW(syscall(SYS_timer_delete, 12345)), SHOW(syscall(SYS_timer_create, 77, NULL, &timer)), SHOW(syscall(SYS_timer_settime, 12345, 0, &spec, NULL));
}
CASE(fork_clears_timers)
{
    install(SIGALRM);
    struct itimerval timer = {.it_value = {100, 0}}, now;
    MUST(setitimer(ITIMER_REAL, &timer, NULL));
    pid_t child = fork();
    if (child == 0) {
        getitimer(ITIMER_REAL, &now);
        say("child has %ld", (long)now.it_value.tv_sec);
        _exit(0);
    }
    wait_for("child", child);
    getitimer(ITIMER_REAL, &now);
    say("parent still has %d", now.it_value.tv_sec > 90);
}
