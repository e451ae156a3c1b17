// POSIX message queues: names, priorities, waiting, polling, notification, what a descriptor shares.
// flags: -lrt
// grant: cow
// user: nobody
#include "guest.h"
#include <mqueue.h>
#include <poll.h>
#include <sys/epoll.h>

static const char *own_name(int number)
{
    static char names[4][64];
    snprintf(names[number], sizeof names[number], "/pylibos-test-%d-%d", getpid(), number);
    return names[number];
}
static mqd_t make(const char *name, int flags, long messages, long size)
{
    struct mq_attr shape = {.mq_maxmsg = messages, .mq_msgsize = size};
    return mq_open(name, flags | O_CREAT, 0600, &shape);
}
static void get(mqd_t queue)
{
    char text[8193] = "";
    unsigned priority = 99;
    ssize_t size = mq_receive(queue, text, 8192, &priority);
    if (size < 0)
        say("receive: %s", error_name(errno));
    else
        say("receive: %zd bytes of priority %u '%.*s'", size, priority, (int)size, text);
}
static void show_attributes(const char *what, mqd_t queue)
{
    struct mq_attr shape;
    if (mq_getattr(queue, &shape) < 0)
        say("%s: %s", what, error_name(errno));
    else
        say("%s: flags %lo, %ld of %ld messages of %ld bytes", what, shape.mq_flags, shape.mq_curmsgs, shape.mq_maxmsg, shape.mq_msgsize);
}
static int ready(mqd_t queue)
{
    struct pollfd polled = {queue, POLLIN | POLLOUT, 0};
    poll(&polled, 1, 0);
    return polled.revents;
}

CASE(names)
{
    const char *name = own_name(0);
    OK(mq_open(name, O_RDWR));
    mqd_t queue = MUST(mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0640, NULL));
    SHOW(mq_open(name, O_RDWR | O_CREAT | O_EXCL, 0640, NULL));
    show_attributes("default", queue);
    SHOW(fcntl(queue, F_GETFD));
    say("access %o", (unsigned)fcntl(queue, F_GETFL) & O_ACCMODE);
    SHOW(make(own_name(1), O_RDWR, 0, 10)), SHOW(make(own_name(1), O_RDWR, 10, 0)), SHOW(make(own_name(1), O_RDWR, -1, -1));
    SHOW(mq_open("/", O_RDWR | O_CREAT, 0600, NULL)), SHOW(mq_open("/a/b", O_RDWR | O_CREAT, 0600, NULL));
    SHOW(mq_open("none", O_RDWR | O_CREAT, 0600, NULL)), SHOW(mq_open("/.", O_RDWR | O_CREAT, 0600, NULL));
    char longer[300] = "/";
    memset(longer + 1, 'n', 256);
    SHOW(mq_open(longer, O_RDWR | O_CREAT, 0600, NULL)), SHOW(mq_unlink(longer));
    SHOW(syscall(SYS_mq_open, (void *)8, O_RDWR, 0, NULL));
    SHOW(mq_unlink(name)), SHOW(mq_unlink(name));
    OK(mq_open(name, O_RDWR));
    SHOW(mq_send(queue, "nameless", 8, 0));
    get(queue);
    mqd_t next = MUST(make(name, O_RDWR, 3, 20));
    show_attributes("another of the same name", next);
    SHOW(mq_close(next)), SHOW(mq_close(queue)), SHOW(mq_close(queue));
    SHOW(mq_unlink(name));
}
CASE(priorities)
{
    mqd_t queue = MUST(make(own_name(0), O_RDWR | O_NONBLOCK, 8, 16));
    MUST(mq_unlink(own_name(0)));
    static const struct {
        unsigned priority;
        const char *text;
    } sent[] = {{1, "a"}, {5, "b"}, {1, "c"}, {32767, "d"}, {0, "e"}, {5, "f"}};
    for (int index = 0; index < 6; index++)
        MUST(mq_send(queue, sent[index].text, 1, sent[index].priority));
    show_attributes("six", queue);
    for (int index = 0; index < 7; index++)
        get(queue);
    SHOW(mq_send(queue, "x", 1, 32768)), SHOW(mq_send(queue, "seventeen bytes..", 17, 0)), SHOW(mq_send(queue, "", 0, 3));
    char small[15];
    SHOW(mq_receive(queue, small, 15, NULL));
    get(queue);
    SHOW(mq_send(-1, "x", 1, 0)), SHOW(mq_receive(-1, small, 15, NULL)), SHOW(mq_send(1, "x", 1, 0));
    SHOW(mq_send(queue, (void *)8, 5, 0));
    MUST(mq_send(queue, "kept?", 5, 0));
    mqd_t reader = MUST(dup(queue));
    SHOW(mq_receive(reader, (void *)8, 16, NULL));
    show_attributes("after a fault", queue);
}
CASE(access_modes)
{
    const char *name = own_name(0);
    mqd_t both = MUST(make(name, O_RDWR, 4, 8192)), reader = MUST(mq_open(name, O_RDONLY)), writer = MUST(mq_open(name, O_WRONLY | O_NONBLOCK));
    SHOW(mq_send(reader, "x", 1, 0)), SHOW(mq_send(writer, "x", 1, 0));
    char text[8192];
    SHOW(mq_receive(writer, text, sizeof text, NULL)), SHOW(mq_receive(reader, text, sizeof text, NULL));
    struct mq_attr change = {.mq_flags = O_NONBLOCK}, before;
    SHOW(mq_setattr(reader, &change, &before));
    say("before %lo", before.mq_flags);
    show_attributes("reader", reader), show_attributes("both", both), show_attributes("writer", writer);
    SHOW(mq_receive(reader, text, sizeof text, NULL));
    say("%d", (fcntl(reader, F_GETFL) & O_NONBLOCK) != 0);
    mqd_t copy = MUST(dup(reader));
    change.mq_flags = 0;
    SHOW(mq_setattr(copy, &change, NULL));
    show_attributes("shared by dup", reader);
    change.mq_flags = O_APPEND;
    SHOW(mq_setattr(reader, &change, NULL));
    struct mq_attr shape;
    SHOW(mq_getattr(0, &shape));
    MUST(mq_unlink(name));
}
CASE(waiting)
{
    mqd_t queue = MUST(make(own_name(0), O_RDWR, 2, 8192));
    MUST(mq_unlink(own_name(0)));
    pid_t child = fork();
    if (child == 0) {
        get(queue);
        _exit(0);
    }
    sleep_ms(30);
    MUST(mq_send(queue, "to a waiter", 11, 4));
    wait_for("receiver", child);
    MUST(mq_send(queue, "1", 1, 1)), MUST(mq_send(queue, "2", 1, 2));
    child = fork();
    if (child == 0) {
        _exit(mq_send(queue, "3", 1, 3) ? errno : 0);
    }
    sleep_ms(30);
    show_attributes("full", queue);
    get(queue);
    wait_for("sender", child);
    show_attributes("full again", queue);
    get(queue), get(queue);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    char text[8192];
    SHOW(mq_timedreceive(queue, text, sizeof text, NULL, &until));
    until.tv_nsec += 30000000;
    if (until.tv_nsec >= 1000000000)
        until.tv_sec++, until.tv_nsec -= 1000000000;
    SHOW(mq_timedreceive(queue, text, sizeof text, NULL, &until));
    MUST(mq_send(queue, "1", 1, 1)), MUST(mq_send(queue, "2", 1, 2));
    SHOW(mq_timedsend(queue, "x", 1, 0, &until));
    until.tv_nsec = 1000000000;
    SHOW(mq_timedsend(queue, "x", 1, 0, &until));
    show_attributes("two", queue);
}
static void nothing(int number)
{
}
CASE(signals_interrupt)
{
    mqd_t queue = MUST(make(own_name(0), O_RDWR, 2, 8192));
    MUST(mq_unlink(own_name(0)));
    char text[8192];
    for (int restart = 0; restart < 2; restart++) {
        struct sigaction action = {.sa_handler = nothing, .sa_flags = restart ? SA_RESTART : 0};
        MUST(sigaction(SIGALRM, &action, NULL));
        struct itimerval timer = {.it_value = {0, 30000}};
        MUST(setitimer(ITIMER_REAL, &timer, NULL));
        pid_t child = fork();
        if (child == 0) {
            sleep_ms(80);
            MUST(mq_send(queue, "late", 4, 0));
            _exit(0);
        }
        SHOW(mq_receive(queue, text, sizeof text, NULL));
        wait_for("sender", child);
        show_attributes("left", queue);
    }
}
CASE(polling)
{
    mqd_t queue = MUST(make(own_name(0), O_RDWR | O_NONBLOCK, 2, 8192));
    MUST(mq_unlink(own_name(0)));
    for (int round = 0; round < 3; round++) {
        say("empty %x", ready(queue));
        MUST(mq_send(queue, "x", 1, 0));
        say("one %x", ready(queue));
        MUST(mq_send(queue, "y", 1, 0));
        say("full %x", ready(queue));
        SHOW(mq_send(queue, "z", 1, 0));
        get(queue);
        say("one %x", ready(queue));
        get(queue);
    }
    mqd_t single = MUST(make(own_name(1), O_RDWR | O_NONBLOCK, 1, 8192));
    MUST(mq_unlink(own_name(1)));
    say("empty %x", ready(single));
    MUST(mq_send(single, "x", 1, 0));
    say("full %x", ready(single));
    get(single);
    say("empty %x", ready(single));
    int set = MUST(epoll_create1(0));
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = 7};
    MUST(epoll_ctl(set, EPOLL_CTL_ADD, queue, &event));
    SHOW(epoll_wait(set, &event, 1, 0));
    pid_t child = fork();
    if (child == 0) {
        sleep_ms(20);
        MUST(mq_send(queue, "wake", 4, 0));
        _exit(0);
    }
    SHOW(epoll_wait(set, &event, 1, 5000));
    get(queue);
    SHOW(epoll_wait(set, &event, 1, 0));
    wait_for("sender", child);
}
static volatile int told;
static siginfo_t seen;
static void tell(int number, siginfo_t *information, void *context)
{
    told++, seen = *information;
}
CASE(notification)
{
    mqd_t queue = MUST(make(own_name(0), O_RDWR | O_NONBLOCK, 4, 8192));
    MUST(mq_unlink(own_name(0)));
    struct sigaction action = {.sa_sigaction = tell, .sa_flags = SA_SIGINFO};
    MUST(sigaction(SIGUSR1, &action, NULL));
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1, .sigev_value.sival_int = 4711};
    SHOW(mq_notify(queue, &event)), SHOW(mq_notify(queue, &event));
    pid_t child = fork();
    if (child == 0) {
        SHOW(mq_notify(queue, &event));
        SHOW(mq_notify(queue, NULL));
        MUST(mq_send(queue, "first", 5, 0)), MUST(mq_send(queue, "second", 6, 0));
        _exit(0);
    }
    wait_for("child", child);
    say("told %d: signal %d code %d value %d", told, seen.si_signo, seen.si_code, seen.si_value.sival_int);
    TRUE(seen.si_pid == child && seen.si_uid == getuid());
    SHOW(mq_notify(queue, &event));
    MUST(mq_send(queue, "not empty", 9, 0));
    say("told %d", told);
    get(queue), get(queue), get(queue);
    MUST(mq_send(queue, "again", 5, 0));
    say("told %d", told);
    get(queue);
    SHOW(mq_notify(queue, &event)), SHOW(mq_notify(queue, NULL)), SHOW(mq_notify(queue, NULL));
    MUST(mq_send(queue, "quiet", 5, 0));
    say("told %d", told);
    get(queue);
    event.sigev_notify = SIGEV_NONE;
    SHOW(mq_notify(queue, &event));
    event.sigev_notify = SIGEV_SIGNAL;
    SHOW(mq_notify(queue, &event));
    MUST(mq_send(queue, "none", 4, 0));
    SHOW(mq_notify(queue, &event));
    event.sigev_notify = 55;
    SHOW(mq_notify(queue, &event));
    event.sigev_notify = SIGEV_SIGNAL, event.sigev_signo = 65;
    SHOW(mq_notify(queue, &event)), SHOW(mq_notify(0, NULL));
    get(queue);
    event.sigev_signo = SIGUSR1;
    mqd_t other = MUST(make(own_name(1), O_RDWR | O_NONBLOCK, 4, 8192));
    MUST(mq_unlink(own_name(1)));
    child = fork();
    if (child == 0) {
        SHOW(mq_notify(other, &event));
        _exit(0);
    }
    wait_for("registered and gone", child);
    SHOW(mq_notify(other, &event));
    SHOW(mq_close(other));
}
CASE(limit)
{
    mqd_t queues[32];
    int made = 0;
    struct rlimit limit = {200000, 200000};
    MUST(setrlimit(RLIMIT_MSGQUEUE, &limit));
    char name[64];
    for (; made < 32; made++) {
        snprintf(name, sizeof name, "/pylibos-test-%d-m%d", getpid(), made);
        if ((queues[made] = make(name, O_RDWR, 10, 8192)) == (mqd_t)-1)
            break;
        MUST(mq_unlink(name));
    }
    say("%d, then %s", made, error_name(errno));
    MUST(mq_close(queues[0]));
    queues[0] = MUST(make(name, O_RDWR, 10, 8192));
    MUST(mq_unlink(name));
}
