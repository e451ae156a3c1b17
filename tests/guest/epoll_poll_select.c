// epoll, poll, ppoll, select, pselect: readiness, edge and one-shot modes, errors, signal masks.
#include "guest.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/select.h>

CASE(poll_calls)
{
    int fds[2];
    MUST(pipe(fds));
    struct pollfd polled[4] = {{fds[0], POLLIN, 0}, {fds[1], POLLOUT, 0}, {-1, POLLIN, 0}, {999, POLLIN, 0}};
    SHOW(poll(polled, 3, 0));
    say("%x %x %x", polled[0].revents, polled[1].revents, polled[2].revents);
    SHOW(poll(polled, 4, 0));
    say("invalid %x", polled[3].revents);
    MUST(write(fds[1], "x", 1));
    SHOW(poll(polled, 3, -1));
    MUST(close(fds[1]));
    char byte;
    MUST(read(fds[0], &byte, 1));
    SHOW(poll(polled, 1, 0));
    say("hang up %x", polled[0].revents);
    SHOW(poll(NULL, 0, 20));
    SHOW(poll((void *)1, 1, 0));
    SHOW(poll(polled, 1 << 30, 0));
    make_file("f", "x", 0644);
    int file = MUST(open("f", O_RDONLY)), dir = MUST(open(".", O_RDONLY)), null = MUST(open("/dev/null", O_RDWR));
    struct pollfd others[3] = {{file, POLLIN | POLLOUT, 0}, {dir, POLLIN, 0}, {null, POLLIN | POLLOUT, 0}};
    SHOW(poll(others, 3, 0));
    say("%x %x %x", others[0].revents, others[1].revents, others[2].revents);
}
CASE(select_calls)
{
    int fds[2];
    MUST(pipe(fds));
    fd_set readers, writers;
    struct timeval zero = {0, 0}, brief = {0, 30000};
    FD_ZERO(&readers); FD_ZERO(&writers);
    FD_SET(fds[0], &readers); FD_SET(fds[1], &writers);
    SHOW(select(fds[1] + 1, &readers, &writers, NULL, &zero));
    say("%d %d", !!FD_ISSET(fds[0], &readers), !!FD_ISSET(fds[1], &writers));
    FD_ZERO(&readers); FD_SET(fds[0], &readers);
    SHOW(select(fds[0] + 1, &readers, NULL, NULL, &brief));
    say("left %ld", (long)brief.tv_usec);
    FD_ZERO(&readers); FD_SET(40, &readers);
    SHOW(select(41, &readers, NULL, NULL, &zero));
    SHOW(select(-1, NULL, NULL, NULL, &zero));
    brief.tv_usec = 0, brief.tv_sec = -1;
    SHOW(select(0, NULL, NULL, NULL, &brief));
    SHOW(select(10, (void *)1, NULL, NULL, &zero));
}
CASE(epoll_levels_and_edges)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = 1}, got[4];
    int fds[2], ep = MUST(epoll_create1(EPOLL_CLOEXEC));
    MUST(pipe(fds));
    SHOW(fcntl(ep, F_GETFD));
    SHOW(epoll_ctl(ep, EPOLL_CTL_ADD, fds[0], &event));
    SHOW(epoll_ctl(ep, EPOLL_CTL_ADD, fds[0], &event));
    SHOW(epoll_wait(ep, got, 4, 0));
    MUST(write(fds[1], "ab", 2));
    SHOW(epoll_wait(ep, got, 4, -1));
    say("%x %lu", got[0].events, (unsigned long)got[0].data.u64);
    SHOW(epoll_wait(ep, got, 4, 0));
    event.events = EPOLLIN | EPOLLET, event.data.u64 = 2;
    SHOW(epoll_ctl(ep, EPOLL_CTL_MOD, fds[0], &event));
    SHOW(epoll_wait(ep, got, 4, 0));
    SHOW(epoll_wait(ep, got, 4, 0));
    MUST(write(fds[1], "c", 1));
    SHOW(epoll_wait(ep, got, 4, 0));
    event.events = EPOLLIN | EPOLLONESHOT;
    SHOW(epoll_ctl(ep, EPOLL_CTL_MOD, fds[0], &event));
    SHOW(epoll_wait(ep, got, 4, 0));
    SHOW(epoll_wait(ep, got, 4, 0));
    SHOW(epoll_ctl(ep, EPOLL_CTL_DEL, fds[0], NULL));
    SHOW(epoll_ctl(ep, EPOLL_CTL_DEL, fds[0], NULL));
    SHOW(epoll_ctl(ep, EPOLL_CTL_MOD, fds[0], &event));
}
CASE(epoll_errors)
{
    struct epoll_event event = {.events = EPOLLIN}, got[2];
    int ep = MUST(epoll_create(1));
    make_file("f", "x", 0644);
    int file = MUST(open("f", O_RDONLY)), dir = MUST(open(".", O_RDONLY));
    SHOW(epoll_ctl(ep, EPOLL_CTL_ADD, file, &event));
    SHOW(epoll_ctl(ep, EPOLL_CTL_ADD, dir, &event));
    SHOW(epoll_ctl(ep, EPOLL_CTL_ADD, ep, &event));
    SHOW(epoll_ctl(ep, EPOLL_CTL_ADD, 999, &event));
    SHOW(epoll_ctl(0, EPOLL_CTL_ADD, ep, &event) == -1);
    SHOW(epoll_ctl(ep, 77, ep, &event));
    SHOW(epoll_wait(ep, got, 0, 0)), SHOW(epoll_wait(999, got, 2, 0)), SHOW(epoll_wait(file, got, 2, 0));
    SHOW(epoll_create(0)), SHOW(epoll_create1(77));
    SHOW(epoll_wait(ep, got, 2, 20));
}
CASE(epoll_follows_the_open_file)
{
    struct epoll_event event = {.events = EPOLLIN}, got[2];
    int ep = MUST(epoll_create1(0)), fd = MUST(eventfd(1, 0)), copy = MUST(dup(fd)), inner = MUST(epoll_create1(0));
    SHOW(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event));
    MUST(close(fd));
    SHOW(epoll_wait(ep, got, 2, 0)); /* the duplicate keeps it alive */
    MUST(close(copy));
    SHOW(epoll_wait(ep, got, 2, 0));
    fd = MUST(eventfd(1, 0));
    SHOW(epoll_ctl(inner, EPOLL_CTL_ADD, fd, &event));
    SHOW(epoll_ctl(ep, EPOLL_CTL_ADD, inner, &event));
    SHOW(epoll_wait(ep, got, 2, 0));
}
static volatile sig_atomic_t caught;
static void count(int number)
{
    caught++;
}
CASE(masks)
{
    sigset_t blocked, none;
    struct sigaction action = {.sa_handler = count, .sa_flags = SA_RESTART};
    MUST(sigaction(SIGUSR1, &action, NULL));
    sigemptyset(&none), sigemptyset(&blocked), sigaddset(&blocked, SIGUSR1);
    MUST(sigprocmask(SIG_BLOCK, &blocked, NULL));
    MUST(kill(getpid(), SIGUSR1));
    struct timespec brief = {0, 20000000};
    SHOW(poll(NULL, 0, 10));
    say("caught %d", caught);
    SHOW(ppoll(NULL, 0, &brief, &none));
    say("caught %d", caught);
    MUST(kill(getpid(), SIGUSR1));
    SHOW(pselect(0, NULL, NULL, NULL, &brief, &none));
    MUST(kill(getpid(), SIGUSR1));
    int ep = MUST(epoll_create1(0));
    struct epoll_event got;
    SHOW(epoll_pwait(ep, &got, 1, 1000, &none));
    say("caught %d", caught);
    SHOW(ppoll(NULL, 0, &brief, &blocked));
}
CASE(many_descriptors)
{
    struct epoll_event event = {.events = EPOLLIN}, got[300];
    int ep = MUST(epoll_create1(0));
    for (int index = 0; index < 200; index++) {
        int fd = MUST(eventfd(index % 2, 0));
        event.data.fd = fd;
        MUST(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &event));
    }
    SHOW(epoll_wait(ep, got, 300, 0));
    SHOW(epoll_wait(ep, got, 10, 0));
}
