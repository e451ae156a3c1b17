/*
 * The operations of micro.c that take two: an exchange of one byte between processes or threads, and making either.
 *
 * It must stay static and touch nothing but pipes and loopback. Sources: pipe(2), tcp(7), futex(2), pthread_create(3), fork(2).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
#include "micro.h"

static pid_t partner;
static pthread_t partner_thread;
static _Atomic uint32_t turn;

/* --- two parties exchanging one byte: one operation is a round trip --------------------------------------------------- */

static int echo_until_closed(int in, int out)
{
    char byte;
    while (read(in, &byte, 1) == 1)
        if (write(out, &byte, 1) != 1)
            return 1;
    return 0;
}

int setup_pipe(void)
{
    int to[2], from[2];
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0)
        return fail("pipe2");
    partner = fork();
    if (partner < 0)
        return fail("fork");
    if (partner == 0) {
        close(to[1]);
        close(from[0]);
        _exit(echo_until_closed(to[0], from[1]));
    }
    close(to[0]);
    close(from[1]);
    fd_a = to[1];
    fd_b = from[0];
    return 0;
}

int run_ping_pong(long n)
{
    char byte = 'p';
    while (n-- > 0)
        if (write(fd_a, &byte, 1) != 1 || read(fd_b, &byte, 1) != 1)
            return fail("ping-pong");
    return 0;
}

void teardown_partner(void)
{
    close_both();
    if (partner > 0)
        waitpid(partner, NULL, 0);
    partner = 0;
}

static int tcp_no_delay(int fd)
{
    int one = 1;
    return setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static int tcp_partner(const struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof *address) != 0 || tcp_no_delay(fd) != 0)
        return 1;
    return echo_until_closed(fd, fd);
}

int setup_tcp(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0)
        return fail("socket");
    if (bind(listener, (struct sockaddr *)&address, size) != 0 || listen(listener, 1) != 0
        || getsockname(listener, (struct sockaddr *)&address, &size) != 0) {
        fail("bind and listen");
        close(listener);
        return -1;
    }
    partner = fork();
    if (partner == 0) {
        close(listener);
        _exit(tcp_partner(&address));
    }
    fd_a = partner < 0 ? -1 : accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    close(listener);
    if (fd_a < 0 || tcp_no_delay(fd_a) != 0)
        return fail("accept4");
    fd_b = dup(fd_a);
    return fd_b < 0 ? fail("dup") : 0;
}

/* --- threads ------------------------------------------------------------------------------------------------------------ */

static void *return_argument(void *argument) { return argument; }

int run_thread_create(long n)
{
    while (n-- > 0) {
        pthread_t thread;
        if ((errno = pthread_create(&thread, NULL, return_argument, NULL)) != 0)
            return fail("pthread_create");
        pthread_join(thread, NULL);
    }
    return 0;
}

static void futex_wait(uint32_t value) { syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0); }
static void futex_wake(void) { syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0); }

/* turn: 0 the main thread's, 1 the partner's, 2 stop. */
static void *futex_partner(void *unused)
{
    for (;;) {
        uint32_t value = atomic_load(&turn);
        if (value == 2)
            return unused;
        if (value == 1) {
            atomic_store(&turn, 0);
            futex_wake();
        } else {
            futex_wait(0);
        }
    }
}

int setup_futex(void)
{
    atomic_store(&turn, 0);
    errno = pthread_create(&partner_thread, NULL, futex_partner, NULL);
    return errno != 0 ? fail("pthread_create") : 0;
}

int run_futex(long n)
{
    while (n-- > 0) {
        atomic_store(&turn, 1);
        futex_wake();
        while (atomic_load(&turn) == 1)
            futex_wait(1);
    }
    return 0;
}

void teardown_futex(void)
{
    atomic_store(&turn, 2);
    futex_wake();
    pthread_join(partner_thread, NULL);
}

/* --- processes ---------------------------------------------------------------------------------------------------------- */

static int reap(pid_t child)
{
    int status;
    if (waitpid(child, &status, 0) != child)
        return fail("waitpid");
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : fail_short("child status");
}

int run_fork(long n)
{
    while (n-- > 0) {
        pid_t child = fork();
        if (child < 0)
            return fail("fork");
        if (child == 0)
            _exit(0);
        if (reap(child) != 0)
            return -1;
    }
    return 0;
}

int run_fork_exec(long n)
{
    char *arguments[] = {(char *)self_path, "true", NULL};
    char *environment[] = {NULL};
    while (n-- > 0) {
        pid_t child = fork();
        if (child < 0)
            return fail("fork");
        if (child == 0) {
            execve(self_path, arguments, environment);
            _exit(127);
        }
        if (reap(child) != 0)
            return -1;
    }
    return 0;
}
