// Every call that waits, interrupted by a handler without and with SA_RESTART; what siginfo says; order of delivery.
// flags: -pthread -lrt
// grant: cow
#include "guest.h"
#include <mqueue.h>
#include <poll.h>
#include <pthread.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/select.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <ucontext.h>

/* The call is interrupted after 20 ms. If it is restarted, the second interruption, 40 ms later, ends it by a jump out of nothing: it
 * closes over the helper's pipe. So each call has its own way to end: `rescue` is run by the handler the second time. */
static volatile sig_atomic_t caught;
static void (*volatile rescue)(void);
static void on_alarm(int number)
{
    int saved = errno;
    if (++caught == 2 && rescue)
        rescue();
    errno = saved;
}
static int fds[2], locked, queue_id, set_id, events, inner;
static mqd_t named;
static char full[65536];
static void write_byte(void) { write(fds[1], "w", 1); }
static void read_all(void) { read(fds[0], full, sizeof full); }
static void post_message(void) { struct { long type; char text; } message = {1, 'x'}; msgsnd(queue_id, &message, 1, 0); }
static void raise_semaphore(void) { semctl(set_id, 0, SETVAL, 1); }
static void post_named(void) { mq_send(named, "x", 1, 0); }
static void take_named(void) { char text[16]; mq_receive(named, text, sizeof text, NULL); }
static void count_up(void) { uint64_t one = 1; write(events, &one, 8); }
static pid_t helper;
static void end_helper(void) { kill(helper, SIGKILL); }
static void unlock(void) { end_helper(); }

static void attempt(const char *what, long (*call)(void), void (*end)(void))
{
    for (int restart = 0; restart < 2; restart++) {
        struct sigaction action = {.sa_handler = on_alarm, .sa_flags = restart ? SA_RESTART : 0};
        struct itimerval timer = {.it_value = {0, 20000}, .it_interval = {0, 40000}}, none = {0};
        caught = 0, rescue = end;
        MUST(sigaction(SIGALRM, &action, NULL));
        MUST(setitimer(ITIMER_REAL, &timer, NULL));
        errno = 0;
        long result = call();
        int error = errno;
        MUST(setitimer(ITIMER_REAL, &none, NULL));
        say("%s%s: %s", what, restart ? " with SA_RESTART" : "", result == -1 ? error_name(error) : caught >= 2 ? "restarted" : "returned");
    }
}
static char byte;
static long do_read(void) { return read(fds[0], &byte, 1); }
static long do_readv(void) { struct iovec vector = {&byte, 1}; return readv(fds[0], &vector, 1); }
static long do_write(void) { return write(fds[1], &byte, 1); }
static long do_splice(void) { return splice(fds[0], NULL, inner, NULL, 1, 0); }
static long do_poll(void) { struct pollfd polled = {fds[0], POLLIN, 0}; return poll(&polled, 1, 5000); }
static long do_select(void) { fd_set set; FD_ZERO(&set); FD_SET(fds[0], &set); return select(fds[0] + 1, &set, NULL, NULL, NULL); }
static long do_pselect(void) { fd_set set; FD_ZERO(&set); FD_SET(fds[0], &set); return pselect(fds[0] + 1, &set, NULL, NULL, NULL, NULL); }
static long do_epoll(void)
{
    struct epoll_event event = {.events = EPOLLIN};
    int set = MUST(epoll_create1(0));
    MUST(epoll_ctl(set, EPOLL_CTL_ADD, fds[0], &event));
    long result = epoll_wait(set, &event, 1, 5000);
    int error = errno;
    close(set);
    errno = error;
    return result;
}
static long do_eventfd(void) { uint64_t value; return read(events, &value, 8); }
static long do_timerfd(void)
{
    int fd = MUST(timerfd_create(CLOCK_MONOTONIC, 0));
    struct itimerspec spec = {.it_value = {0, 150000000}};
    MUST(timerfd_settime(fd, 0, &spec, NULL));
    uint64_t count;
    long result = read(fd, &count, 8);
    int error = errno;
    close(fd);
    errno = error;
    return result;
}
static long do_msgrcv(void) { struct { long type; char text; } message; return msgrcv(queue_id, &message, 1, 0, 0); }
static long do_semop(void) { struct sembuf down = {0, -1, 0}; return semop(set_id, &down, 1); }
static long do_mq_receive(void) { char text[16]; return mq_receive(named, text, sizeof text, NULL); }
static long do_mq_send(void) { return mq_send(named, "y", 1, 0); }
static long do_sigwait(void) { sigset_t set; sigemptyset(&set), sigaddset(&set, SIGUSR2); return sigwaitinfo(&set, NULL); }
static long do_sigsuspend(void) { sigset_t set; sigemptyset(&set); return sigsuspend(&set); }
static long do_pause(void) { return pause(); }
static long do_nanosleep(void) { struct timespec nap = {0, 200000000}; return nanosleep(&nap, NULL); }
static long do_absolute_sleep(void)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += 1;
    int error = clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
    errno = error;
    return error ? -1 : 0;
}
static int held(void)
{
    int ready[2];
    sigset_t alarm_only;
    sigemptyset(&alarm_only), sigaddset(&alarm_only, SIGALRM);
    MUST(sigprocmask(SIG_BLOCK, &alarm_only, NULL)); /* the set-up may take longer than it is to the first interruption */
    MUST(pipe(ready));
    helper = fork();
    if (helper == 0) {
        signal(SIGALRM, SIG_DFL), alarm(25);
        MUST(sigprocmask(SIG_UNBLOCK, &alarm_only, NULL));
        struct flock whole = {.l_type = F_WRLCK};
        int own = MUST(open("lock", O_RDWR));
        MUST(flock(own, LOCK_EX)), MUST(fcntl(own, F_SETLKW, &whole));
        MUST(write(ready[1], "r", 1));
        for (;;)
            pause();
    }
    while (read(ready[0], &byte, 1) < 0 && errno == EINTR)
        ;
    close(ready[0]), close(ready[1]);
    caught = 0;
    return sigprocmask(SIG_UNBLOCK, &alarm_only, NULL);
}
static long finish_helper(long result)
{
    int error = errno;
    kill(helper, SIGKILL);
    while (waitpid(helper, NULL, 0) < 0 && errno == EINTR)
        ;
    errno = error;
    return result;
}
static long do_flock(void) { held(); long result = flock(locked, LOCK_EX); flock(locked, LOCK_UN); return finish_helper(result); }
static long do_record_lock(void)
{
    struct flock whole = {.l_type = F_WRLCK}, none = {.l_type = F_UNLCK};
    held();
    long result = fcntl(locked, F_SETLKW, &whole);
    int error = errno;
    fcntl(locked, F_SETLK, &none);
    errno = error;
    return finish_helper(result);
}
static long do_waitpid(void) { held(); return finish_helper(waitpid(helper, NULL, 0)); }
static long do_waitid(void) { siginfo_t info; held(); return finish_helper(waitid(P_PID, helper, &info, WEXITED | WNOWAIT)); }
static long do_fifo_open(void) { int fd = open("fifo", O_RDONLY); if (fd >= 0) close(fd); return fd; }
static void open_other_end(void)
{
    if (fork() == 0) {
        open("fifo", O_WRONLY);
        _exit(0);
    }
}
static int listening, pair[2];
static long do_accept(void) { int fd = accept(listening, NULL, NULL); if (fd >= 0) close(fd); return fd; }
static struct sockaddr_un address = {AF_UNIX, "socket"};
static void connect_to(void) { int fd = socket(AF_UNIX, SOCK_STREAM, 0); connect(fd, (void *)&address, sizeof address); }
static long do_recv(void) { return recv(pair[0], &byte, 1, 0); }
static long do_recvmsg(void) { struct iovec vector = {&byte, 1}; struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1}; return recvmsg(pair[0], &message, 0); }
static long do_recvfrom(void) { struct sockaddr_un from; socklen_t size = sizeof from; return recvfrom(pair[0], &byte, 1, 0, (void *)&from, &size); }
static void send_byte(void) { send(pair[1], "s", 1, 0); }
static int word;
static long do_futex(void) { struct timespec limit = {1, 0}; return syscall(SYS_futex, &word, 0, 0, &limit, NULL, 0); }

CASE(descriptors)
{
    MUST(pipe(fds));
    attempt("read", do_read, write_byte), attempt("readv", do_readv, write_byte);
    int other[2];
    MUST(pipe(other));
    inner = other[1];
    attempt("splice", do_splice, write_byte);
    attempt("poll", do_poll, write_byte);
    attempt("select", do_select, NULL), attempt("pselect", do_pselect, NULL), attempt("epoll_wait", do_epoll, NULL);
    MUST(fcntl(fds[1], F_SETFL, O_NONBLOCK));
    while (write(fds[1], full, sizeof full) > 0)
        ;
    MUST(fcntl(fds[1], F_SETFL, 0));
    attempt("write", do_write, read_all);
    events = MUST(eventfd(0, 0));
    attempt("eventfd", do_eventfd, count_up), attempt("timerfd", do_timerfd, NULL);
}
CASE(sockets)
{
    listening = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    MUST(bind(listening, (void *)&address, sizeof address));
    MUST(listen(listening, 5));
    attempt("accept", do_accept, connect_to);
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    attempt("recv", do_recv, send_byte), attempt("recvmsg", do_recvmsg, send_byte), attempt("recvfrom", do_recvfrom, send_byte);
    struct timeval limit = {3, 0};
    MUST(setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
    attempt("recv with a time-out", do_recv, send_byte);
}
CASE(ipc)
{
    queue_id = MUST(msgget(IPC_PRIVATE, 0600)), set_id = MUST(semget(IPC_PRIVATE, 1, 0600));
    attempt("msgrcv", do_msgrcv, post_message), attempt("semop", do_semop, raise_semaphore);
    MUST(msgctl(queue_id, IPC_RMID, NULL)), MUST(semctl(set_id, 0, IPC_RMID));
    char name[64];
    struct mq_attr shape = {.mq_maxmsg = 1, .mq_msgsize = 16};
    snprintf(name, sizeof name, "/pylibos-test-%d", getpid());
    named = MUST(mq_open(name, O_CREAT | O_EXCL | O_RDWR, 0600, &shape));
    MUST(mq_unlink(name));
    attempt("mq_receive", do_mq_receive, post_named);
    MUST(mq_send(named, "z", 1, 0));
    attempt("mq_send", do_mq_send, take_named);
}
CASE(files_and_processes)
{
    make_file("lock", "", 0600);
    locked = MUST(open("lock", O_RDWR));
    attempt("flock", do_flock, unlock), attempt("F_SETLKW", do_record_lock, unlock);
    MUST(mkfifo("fifo", 0600));
    attempt("open of a FIFO", do_fifo_open, open_other_end);
    SHOW(wait(NULL) > 0);
    attempt("waitpid", do_waitpid, end_helper), attempt("waitid", do_waitid, end_helper);
}
CASE(time_and_signals)
{
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGUSR2);
    MUST(sigprocmask(SIG_BLOCK, &set, NULL));
    attempt("sigwaitinfo", do_sigwait, NULL), attempt("sigsuspend", do_sigsuspend, NULL), attempt("pause", do_pause, NULL);
    attempt("nanosleep", do_nanosleep, NULL), attempt("absolute clock_nanosleep", do_absolute_sleep, NULL);
    attempt("futex", do_futex, NULL);
}

/* -- what a handler is told ---------------------------------------------------------------------------------------------- */
static siginfo_t seen[16];
static volatile sig_atomic_t seen_count;
static void record(int number, siginfo_t *information, void *context)
{
    if (seen_count < 16)
        seen[seen_count++] = *information;
}
static void watch(int number, int flags)
{
    struct sigaction action = {.sa_sigaction = record, .sa_flags = SA_SIGINFO | flags};
    sigfillset(&action.sa_mask);
    MUST(sigaction(number, &action, NULL));
}
CASE(information_about_children)
{
    watch(SIGCHLD, 0);
    sigset_t block, none;
    sigemptyset(&none), sigemptyset(&block), sigaddset(&block, SIGCHLD);
    MUST(sigprocmask(SIG_BLOCK, &block, NULL));
    pid_t child = fork();
    if (child == 0)
        _exit(7);
    sigsuspend(&none);
    say("exit: code %d status %d from it %d", seen[0].si_code, seen[0].si_status, seen[0].si_pid == child);
    waitpid(child, NULL, 0);
    child = fork();
    if (child == 0)
        for (;;)
            pause();
    int expected[] = {SIGSTOP, SIGCONT, SIGKILL};
    for (int index = 0; index < 3; index++) {
        MUST(kill(child, expected[index]));
        sigsuspend(&none);
        say("%d: code %d status %d from it %d", expected[index], seen[1 + index].si_code, seen[1 + index].si_status, seen[1 + index].si_pid == child);
    }
    wait_for("child", child);
    watch(SIGCHLD, SA_NOCLDSTOP);
    seen_count = 0;
    child = fork();
    if (child == 0)
        for (;;)
            pause();
    int status;
    MUST(kill(child, SIGSTOP)), MUST(waitpid(child, &status, WUNTRACED));
    MUST(kill(child, SIGCONT)), MUST(waitpid(child, &status, WCONTINUED));
    MUST(kill(child, SIGKILL));
    wait_for("child", child);
    sigset_t pending;
    MUST(sigpending(&pending));
    say("stops are not told %d, its end is %d", seen_count == 0, sigismember(&pending, SIGCHLD));
}
CASE(information_about_timers_and_pipes)
{
    watch(SIGRTMIN + 3, 0), watch(SIGPIPE, 0), watch(SIGIO, 0);
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 3, .sigev_value.sival_int = 33};
    MUST(timer_create(CLOCK_MONOTONIC, &event, &timer));
    sigset_t block, none;
    sigemptyset(&none), sigemptyset(&block), sigaddset(&block, SIGRTMIN + 3);
    MUST(sigprocmask(SIG_BLOCK, &block, NULL));
    struct itimerspec spec = {.it_value = {0, 5000000}, .it_interval = {0, 5000000}};
    MUST(timer_settime(timer, 0, &spec, NULL));
    sleep_ms(40);
    sigsuspend(&none);
    MUST(timer_delete(timer));
    say("timer: code %d value %d overrun %d", seen[0].si_code, seen[0].si_value.sival_int, seen[0].si_overrun >= 3);
    int pipes[2];
    MUST(pipe(pipes)), MUST(close(pipes[0]));
    SHOW(write(pipes[1], "x", 1));
    say("pipe: signal %d code %d from myself %d", seen[1].si_signo, seen[1].si_code, seen[1].si_pid == getpid());
    seen_count = 0;
    int ends[2];
    MUST(pipe(ends));
    MUST(fcntl(ends[0], F_SETOWN, getpid())), MUST(fcntl(ends[0], F_SETFL, O_ASYNC | O_NONBLOCK));
    MUST(write(ends[1], "x", 1));
    say("async: %d signal, number %d code %x", seen_count, seen[0].si_signo, seen[0].si_code);
}
CASE(another_signal_than_sigio)
{
    int ends[2];
    watch(SIGRTMIN + 4, 0);
    MUST(pipe(ends)), MUST(fcntl(ends[0], F_SETOWN, getpid()));
    SHOW(fcntl(ends[0], F_SETSIG, SIGRTMIN + 4));
    MUST(fcntl(ends[0], F_SETFL, O_ASYNC | O_NONBLOCK));
    MUST(write(ends[1], "x", 1));
    say("%d told, descriptor right %d", seen_count, seen_count && seen[0].si_fd == ends[0]);
}
CASE(user_of_the_sender)
{
    watch(SIGUSR1, 0);
    MUST(kill(getpid(), SIGUSR1));
    say("code %d by me %d as me %d", seen[0].si_code, seen[0].si_pid == getpid(), seen[0].si_uid == getuid());
}
static int order[16];
static volatile sig_atomic_t order_count;
static void note(int number)
{
    order[order_count++] = number;
}
CASE(order_of_delivery)
{
    int numbers[] = {SIGTERM, SIGRTMIN + 1, SIGUSR2, SIGHUP, SIGRTMIN, SIGUSR1, SIGRTMIN + 1, SIGHUP};
    struct sigaction action = {.sa_handler = note};
    sigset_t all, none;
    sigfillset(&action.sa_mask), sigfillset(&all), sigemptyset(&none);
    for (int index = 0; index < 8; index++)
        MUST(sigaction(numbers[index], &action, NULL));
    MUST(sigprocmask(SIG_SETMASK, &all, NULL));
    pid_t child = fork();
    if (child == 0) {
        for (int index = 0; index < 8; index++)
            MUST(kill(getppid(), numbers[index]));
        _exit(0);
    }
    while (waitpid(child, NULL, 0) != child)
        ;
    MUST(sigprocmask(SIG_SETMASK, &none, NULL));
    for (int index = 0; index < order_count; index++)
        say("%d", order[index] >= SIGRTMIN ? order[index] - SIGRTMIN + 100 : order[index]);
}
static volatile sig_atomic_t steps;
static void skip(int number, siginfo_t *information, void *context)
{
    ucontext_t *state = context;
    steps++;
    say("signal %d code %d address right %d trap %lld mask empty %d", number, information->si_code, information->si_addr == (void *)0x1230,
        state->uc_mcontext.gregs[REG_TRAPNO], sigismember(&state->uc_sigmask, SIGUSR1) == 0);
    state->uc_mcontext.gregs[REG_RBX] = 0x77;
    state->uc_mcontext.gregs[REG_RIP] += 3;
    sigaddset(&state->uc_sigmask, SIGUSR1);
}
CASE(context_of_a_fault)
{
    struct sigaction action = {.sa_sigaction = skip, .sa_flags = SA_SIGINFO};
    MUST(sigaction(SIGSEGV, &action, NULL));
    long value = 5;
    register long changed asm("rbx") = 1;
    asm volatile("mov (%1), %%rax" : "+r"(changed) : "r"(0x1230L) : "rax", "memory");
    say("steps %d, the handler's register arrives %ld %ld", steps, (long)changed, value);
    sigset_t mask;
    MUST(sigprocmask(SIG_BLOCK, NULL, &mask));
    say("and its mask %d", sigismember(&mask, SIGUSR1));
}
