// Signals that interrupt blocking calls: EINTR without SA_RESTART, restarted with it, and calls that are never restarted.
#include "guest.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/socket.h>

static volatile sig_atomic_t caught;
static int wake_fd = -1;
static void on_alarm(int number)
{
    caught++;
    if (wake_fd >= 0 && caught == 2)
        write(wake_fd, "w", 1);
}
static void arm(int restart)
{
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = restart ? SA_RESTART : 0};
    struct itimerval timer = {.it_value = {0, 30000}, .it_interval = {0, 30000}};
    caught = 0;
    MUST(sigaction(SIGALRM, &action, NULL));
    MUST(setitimer(ITIMER_REAL, &timer, NULL));
}
static void disarm(void)
{
    struct itimerval none = {0};
    MUST(setitimer(ITIMER_REAL, &none, NULL));
    wake_fd = -1;
}
#define INTERRUPTED(expression)                                                                \
    do {                                                                                       \
        arm(0);                                                                                \
        SHOW(expression);                                                                      \
        disarm();                                                                              \
    } while (0)
CASE(without_restart)
{
    int fds[2], sockets[2];
    char byte;
    struct pollfd polled;
    struct epoll_event event = {.events = EPOLLIN};
    MUST(pipe(fds)), MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets));
    int ep = MUST(epoll_create1(0));
    MUST(epoll_ctl(ep, EPOLL_CTL_ADD, fds[0], &event));
    polled = (struct pollfd){fds[0], POLLIN, 0};
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fds[0], &set);
    INTERRUPTED(read(fds[0], &byte, 1));
    INTERRUPTED(recv(sockets[0], &byte, 1, 0));
    INTERRUPTED(poll(&polled, 1, 5000));
    INTERRUPTED(select(fds[0] + 1, &set, NULL, NULL, NULL));
    INTERRUPTED(epoll_wait(ep, &event, 1, 5000));
    INTERRUPTED(pause());
    struct timespec nap = {5, 0}, left = {0, 0};
    INTERRUPTED(nanosleep(&nap, &left));
    say("left between 4 and 5 seconds %d", left.tv_sec == 4);
    INTERRUPTED(clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL));
    pid_t child = fork();
    if (child == 0) {
        sleep(20);
        _exit(0);
    }
    INTERRUPTED(waitpid(child, NULL, 0));
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    static char block[1 << 20];
    arm(0);
    ssize_t written = write(fds[1], block, sizeof block);
    disarm();
    say("partial write %zd", written);
    INTERRUPTED(write(fds[1], block, 1));
}
CASE(with_restart)
{
    int fds[2];
    char byte;
    MUST(pipe(fds));
    wake_fd = fds[1];
    arm(1);
    SHOW(read(fds[0], &byte, 1));
    disarm();
    say("caught at least twice %d", caught >= 2);
    pid_t child = fork();
    if (child == 0) {
        sleep_ms(100);
        _exit(5);
    }
    arm(1);
    wait_for("child", child);
    disarm();
    say("caught at least twice %d", caught >= 2);
    struct pollfd polled = {fds[0], POLLIN, 0};
    arm(1);
    SHOW(poll(&polled, 1, 5000)); /* never restarted */
    disarm();
    arm(1);
    SHOW(pause());
    disarm();
    struct timespec nap = {5, 0};
    arm(1);
    SHOW(nanosleep(&nap, NULL));
    disarm();
    int ep = MUST(epoll_create1(0));
    struct epoll_event event;
    arm(1);
    SHOW(epoll_wait(ep, &event, 1, 5000));
    disarm();
}
CASE(ignored_signals_do_not_interrupt)
{
    struct itimerval timer = {.it_value = {0, 10000}, .it_interval = {0, 10000}};
    signal(SIGALRM, SIG_IGN);
    MUST(setitimer(ITIMER_REAL, &timer, NULL));
    struct timespec nap = {0, 80000000};
    long before = now_ms();
    SHOW(nanosleep(&nap, NULL));
    say("full time %d", now_ms() - before >= 80);
    int fds[2];
    MUST(pipe(fds));
    struct pollfd polled = {fds[0], POLLIN, 0};
    SHOW(poll(&polled, 1, 60));
}
CASE(stop_and_continue_do_not_interrupt)
{
    int fds[2], status;
    MUST(pipe(fds));
    pid_t child = fork();
    if (child == 0) {
        char byte;
        ssize_t got = read(fds[0], &byte, 1);
        _exit(got == 1 ? 21 : errno);
    }
    sleep_ms(30);
    MUST(kill(child, SIGSTOP));
    MUST(waitpid(child, &status, WUNTRACED));
    MUST(kill(child, SIGCONT));
    sleep_ms(30);
    MUST(write(fds[1], "x", 1));
    wait_for("reader", child);
    child = fork();
    if (child == 0) {
        long before = now_ms();
        struct timespec nap = {0, 200000000};
        int result = nanosleep(&nap, NULL);
        _exit(result == 0 && now_ms() - before >= 200 ? 22 : 1);
    }
    sleep_ms(30);
    MUST(kill(child, SIGSTOP));
    MUST(waitpid(child, &status, WUNTRACED));
    MUST(kill(child, SIGCONT));
    wait_for("sleeper", child);
}
CASE(futex_and_locks)
{
    static int word;
    struct timespec limit = {5, 0};
    INTERRUPTED(syscall(SYS_futex, &word, 0 /* FUTEX_WAIT */, 0, &limit, NULL, 0));
    int value = 1;
    SHOW(syscall(SYS_futex, &value, 0, 0, &limit, NULL, 0));
    struct timespec brief = {0, 10000000};
    SHOW(syscall(SYS_futex, &word, 0, 0, &brief, NULL, 0));
    SHOW(syscall(SYS_futex, &word, 1 /* FUTEX_WAKE */, 1, NULL, NULL, 0)), SHOW(syscall(SYS_futex, (void *)2, 0, 0, NULL, NULL, 0));
    SHOW(syscall(SYS_futex, (void *)4096, 0, 0, NULL, NULL, 0)), SHOW(syscall(SYS_futex, &word, 77, 0, NULL, NULL, 0));
}
