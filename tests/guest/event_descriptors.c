// eventfd, timerfd, signalfd, pidfd.
#include "guest.h"
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

CASE(events)
{
    uint64_t value = 5;
    int fd = MUST(eventfd(3, EFD_NONBLOCK));
    SHOW(read(fd, &value, 8));
    say("%lu", value);
    SHOW(read(fd, &value, 8));
    value = 5;
    SHOW(write(fd, &value, 8)), SHOW(write(fd, &value, 8));
    SHOW(read(fd, &value, 8));
    say("%lu", value);
    SHOW(read(fd, &value, 4)), SHOW(write(fd, &value, 4));
    value = -1;
    SHOW(write(fd, &value, 8));
    value = -2;
    SHOW(write(fd, &value, 8)), SHOW(write(fd, &value, 8));
    int semaphore = MUST(eventfd(2, EFD_SEMAPHORE | EFD_NONBLOCK));
    SHOW(read(semaphore, &value, 8));
    say("%lu", value);
    SHOW(read(semaphore, &value, 8)), SHOW(read(semaphore, &value, 8));
    SHOW(eventfd(0, 0x77));
}
CASE(events_between_processes)
{
    uint64_t value = 7;
    int fd = MUST(eventfd(0, 0));
    pid_t child = fork();
    if (child == 0) {
        sleep_ms(20);
        MUST(write(fd, &value, 8));
        _exit(0);
    }
    value = 0;
    SHOW(read(fd, &value, 8));
    say("%lu", value);
    wait_for("child", child);
}
CASE(timers)
{
    uint64_t count = 0;
    int fd = MUST(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK));
    struct itimerspec spec = {.it_value = {0, 10000000}, .it_interval = {0, 10000000}}, old;
    SHOW(read(fd, &count, 8));
    SHOW(timerfd_settime(fd, 0, &spec, NULL));
    struct pollfd polled = {fd, POLLIN, 0};
    SHOW(poll(&polled, 1, 2000));
    sleep_ms(50);
    SHOW(read(fd, &count, 8));
    say("several %d", count >= 4);
    SHOW(timerfd_gettime(fd, &old));
    say("interval %ld", old.it_interval.tv_nsec);
    spec.it_value.tv_nsec = 0;
    SHOW(timerfd_settime(fd, 0, &spec, &old));
    SHOW(poll(&polled, 1, 30));
    spec.it_value.tv_nsec = 2000000000;
    SHOW(timerfd_settime(fd, 0, &spec, NULL));
    SHOW(timerfd_create(77, 0)), SHOW(timerfd_create(CLOCK_REALTIME, 0x77));
    SHOW(timerfd_settime(0, 0, &spec, NULL) == -1);
    int blocking = MUST(timerfd_create(CLOCK_REALTIME, 0));
    struct itimerspec absolute = {0};
    MUST(clock_gettime(CLOCK_REALTIME, &absolute.it_value));
    absolute.it_value.tv_sec -= 1;
    SHOW(timerfd_settime(blocking, TFD_TIMER_ABSTIME, &absolute, NULL));
    SHOW(read(blocking, &count, 8));
    say("%lu", count);
}
CASE(signals)
{
    sigset_t set;
    struct signalfd_siginfo info[3];
    sigemptyset(&set), sigaddset(&set, SIGUSR1), sigaddset(&set, SIGUSR2), sigaddset(&set, SIGCHLD);
    MUST(sigprocmask(SIG_BLOCK, &set, NULL));
    int fd = MUST(signalfd(-1, &set, SFD_NONBLOCK));
    SHOW(read(fd, info, sizeof info));
    MUST(kill(getpid(), SIGUSR2)), MUST(kill(getpid(), SIGUSR1)), MUST(kill(getpid(), SIGUSR1));
    SHOW(read(fd, info, sizeof info) / (int)sizeof *info);
    say("%d %d from self %d", info[0].ssi_signo, info[1].ssi_signo, info[0].ssi_pid == (unsigned)getpid());
    union sigval value = {.sival_int = 99};
    MUST(sigqueue(getpid(), SIGUSR1, value));
    SHOW(read(fd, info, sizeof *info) / (int)sizeof *info);
    say("%d code %d", info[0].ssi_int, info[0].ssi_code);
    pid_t child = fork();
    if (child == 0)
        _exit(3);
    struct pollfd polled = {fd, POLLIN, 0};
    SHOW(poll(&polled, 1, 5000));
    SHOW(read(fd, info, sizeof *info) / (int)sizeof *info);
    say("signal %d status %d of child %d", info[0].ssi_signo, info[0].ssi_status, info[0].ssi_pid == (unsigned)child);
    wait_for("child", child);
    SHOW(read(fd, info, 10)), SHOW(signalfd(77, &set, 0)), SHOW(signalfd(0, &set, 0)), SHOW(signalfd(-1, &set, 0x77));
    sigemptyset(&set), sigaddset(&set, SIGTERM);
    TRUE(signalfd(fd, &set, 0) == fd);
}
CASE(process_descriptors)
{
    siginfo_t info = {0};
    pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    int fd = syscall(SYS_pidfd_open, child, 0);
    TRUE(fd >= 0);
    if (fd < 0) {
        kill(child, SIGKILL);
        wait_for("child", child);
        return;
    }
    struct pollfd polled = {fd, POLLIN, 0};
    SHOW(poll(&polled, 1, 0));
    SHOW(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0));
    SHOW(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0));
    SHOW(poll(&polled, 1, 5000));
    SHOW(waitid(P_PIDFD, fd, &info, WEXITED));
    say("code %d status %d", info.si_code, info.si_status);
    SHOW(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0));
    SHOW(syscall(SYS_pidfd_open, 0, 0)), SHOW(syscall(SYS_pidfd_open, -5, 0)), SHOW(syscall(SYS_pidfd_open, 1 << 29, 0));
}
CASE(process_directories)
{
    char path[64];
    siginfo_t info;
    pid_t child = fork();
    if (child == 0) {
        pause();
        _exit(0);
    }
    snprintf(path, sizeof path, "/proc/%d", child);
    int fd = MUST(open(path, O_RDONLY | O_DIRECTORY));
    SHOW(syscall(SYS_pidfd_send_signal, fd, 0, NULL, 0));
    SHOW(syscall(SYS_pidfd_send_signal, fd, 77, NULL, 0));
    SHOW(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 1 << 10));
    SHOW(syscall(SYS_pidfd_send_signal, 77, SIGTERM, NULL, 0));
    SHOW(syscall(SYS_pidfd_send_signal, open("/proc", O_RDONLY), SIGTERM, NULL, 0));
    snprintf(path, sizeof path, "/proc/%d/task/%d", child, child);
    SHOW(syscall(SYS_pidfd_send_signal, open(path, O_RDONLY), SIGTERM, NULL, 0));
    SHOW(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0));
    SHOW(waitid(P_PID, child, &info, WEXITED | WNOWAIT));
    SHOW(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0));
    wait_for("child", child);
    SHOW(syscall(SYS_pidfd_send_signal, fd, SIGTERM, NULL, 0));
}
