// Clocks, sleeping, and the vDSO and vsyscall pages.
#include "guest.h"
#include <setjmp.h>
#include <sys/auxv.h>
#include <sys/times.h>

CASE(reading)
{
    clockid_t ids[] = {CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_MONOTONIC_RAW, CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, CLOCK_BOOTTIME, CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID, CLOCK_TAI};
    for (unsigned index = 0; index < sizeof ids / sizeof *ids; index++) {
        struct timespec a, b, raw, resolution;
        int bad = clock_gettime(ids[index], &a) | syscall(SYS_clock_gettime, ids[index], &raw) | clock_gettime(ids[index], &b) | clock_getres(ids[index], &resolution);
        double first = a.tv_sec + a.tv_nsec / 1e9, middle = raw.tv_sec + raw.tv_nsec / 1e9, last = b.tv_sec + b.tv_nsec / 1e9;
        say("clock %d: %d ordered %d resolution %d", ids[index], bad, first <= middle + 0.02 && middle <= last + 0.02, resolution.tv_nsec > 0);
    }
    struct timespec now;
    SHOW(clock_gettime(77, &now)), SHOW(syscall(SYS_clock_gettime, CLOCK_REALTIME, (void *)1)), SHOW(clock_getres(77, &now));
    struct timeval tv;
    SHOW(gettimeofday(&tv, NULL));
    SHOW(llabs((long long)tv.tv_sec - time(NULL)) <= 1);
    SHOW(syscall(SYS_time, NULL) - time(NULL) <= 1), SHOW(syscall(SYS_gettimeofday, &tv, NULL));
    struct tms usage;
    TRUE(times(&usage) > 0);
}
CASE(sleeping)
{
    struct timespec nap = {0, 30000000}, until;
    long before = now_ms();
    SHOW(nanosleep(&nap, NULL));
    say("slept %d", now_ms() - before >= 30);
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += 30000000;
    if (until.tv_nsec >= 1000000000)
        until.tv_sec++, until.tv_nsec -= 1000000000;
    before = now_ms();
    SHOW(clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL));
    say("slept %d", now_ms() - before >= 29);
    nap.tv_nsec = 1000000000;
    SHOW(nanosleep(&nap, NULL));
    nap.tv_nsec = -1;
    SHOW(nanosleep(&nap, NULL)), SHOW(syscall(SYS_nanosleep, (void *)1, NULL)), SHOW(clock_nanosleep(77, 0, &until, NULL)), SHOW(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &until, NULL));
}
static sigjmp_buf target;
static void on_fault(int number)
{
    siglongjmp(target, 1);
}
CASE(old_page)
{
    signal(SIGSEGV, on_fault);
    if (!sigsetjmp(target, 1)) {
        long (*old_time)(long *) = (void *)0xffffffffff600400;
        long value = old_time(NULL);
        say("vsyscall time %d", labs(value - time(NULL)) <= 1);
    } else
        say("vsyscall faults");
    TRUE(getauxval(AT_SYSINFO_EHDR) != 0);
}
CASE(fast_calls)
{
    struct timespec now;
    for (int index = 0; index < 100000; index++)
        clock_gettime(CLOCK_MONOTONIC, &now);
    unsigned processor, node;
    SHOW(getcpu(&processor, &node));
}
CASE(processor_time)
{
    struct timespec before, after;
    volatile unsigned long spin = 0;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before);
    long start = clock();
    while (clock() - start < 20000)
        spin++;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after);
    TRUE((after.tv_sec - before.tv_sec) * 1000000000L + after.tv_nsec - before.tv_nsec >= 15000000);
    clockid_t id;
    SHOW(clock_getcpuclockid(getpid(), &id));
    SHOW(clock_gettime(id, &after));
}
