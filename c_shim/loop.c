/* The receive loop: one blocking wait over the seccomp listener, the tracees' stops, host streams and a deadline.
 *
 * The usual wait is a blocking SECCOMP_IOCTL_NOTIF_RECV alone: a poll before it costs 1.1 us per call. Stops, the deadline and
 * requests arrive as signals, and the kernel itself closes the race between looking at their flags and going to sleep: RECV
 * refuses a struct that is not zero (EINVAL), and the handler writes into that struct. Only while a host stream is watched, or
 * without listener, is the wait a ppoll. The process must have no other thread that takes these signals.
 *
 * What needs no decision is answered here (signals passed on, calls the table says to continue); everything else becomes one
 * shim_event, with the path a call names already fetched, so that Python enters C once per call.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "shim.h"

#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif
#define STOP_EVENT 128 /* PTRACE_EVENT_STOP */

#define WATCHED_MAX 65536 /* descriptors below it are known to be watched or not; a higher one counts as watched for ever */
#define TAG_BITS 40        /* of an event's data; the rest is the descriptor */

/* What the handler says to the loop. The fields are written by both, so they are touched atomically. */
static struct seccomp_notif received;
static int children_pending, timer_expired;
static unsigned requests; /* bit n: signal n */

static unsigned char watched[WATCHED_MAX];
static int watched_count;

static timer_t timer;
static uint64_t timer_armed; /* what the timer is set to, CLOCK_MONOTONIC ns; 0 off */
static sigset_t waking;

static void note_signal(int signal)
{
    if (signal == SIGCHLD)
        __atomic_store_n(&children_pending, 1, __ATOMIC_RELAXED);
    else if (signal == SIGALRM)
        __atomic_store_n(&timer_expired, 1, __ATOMIC_RELAXED);
    else
        __atomic_fetch_or(&requests, 1U << signal, __ATOMIC_RELAXED);
    *(volatile __u32 *)&received.flags = 1; /* RECV, if it has not begun, will refuse; flags of a received one are not read */
}

/* There are events of tracees that no SIGCHLD will announce. */
void shim_note_children(void) { __atomic_store_n(&children_pending, 1, __ATOMIC_RELAXED); }

int shim_loop_open(struct shim_loop *loop)
{
    static const int taken[] = {SIGCHLD, SIGALRM, SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    struct sigaction action = {.sa_handler = note_signal, .sa_flags = SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGALRM};
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        sigaddset(&set, taken[i]);
    action.sa_mask = set;
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        if (sigaction(taken[i], &action, NULL))
            return -errno;
    if (sigprocmask(SIG_UNBLOCK, &set, NULL) || timer_create(CLOCK_MONOTONIC, &event, &timer))
        return -errno;
    waking = set;
    __atomic_store_n(&children_pending, 1, __ATOMIC_RELAXED);
    loop->listener = -1;
    loop->streams = epoll_create1(EPOLL_CLOEXEC);
    return loop->streams < 0 ? -errno : 0;
}

static void mark_watched(int descriptor, int now)
{
    if (descriptor < 0)
        return;
    if (descriptor >= WATCHED_MAX) {
        watched_count += now;
        return;
    }
    watched_count += now - watched[descriptor];
    watched[descriptor] = (unsigned char)now;
}

/* Report events of a descriptor once, with a tag below 2^40; none withdraws. While one is watched every wait is the slower ppoll. */
int shim_watch(struct shim_loop *loop, int descriptor, unsigned events, uint64_t tag)
{
    struct epoll_event event = {.events = events | EPOLLONESHOT, .data.u64 = (uint64_t)(unsigned)descriptor << TAG_BITS | tag};
    int error = 0;
    mark_watched(descriptor, 0);
    if (!events)
        return epoll_ctl(loop->streams, EPOLL_CTL_DEL, descriptor, NULL) && errno != ENOENT && errno != EBADF ? -errno : 0;
    if (epoll_ctl(loop->streams, EPOLL_CTL_ADD, descriptor, &event))
        error = errno == EEXIST && epoll_ctl(loop->streams, EPOLL_CTL_MOD, descriptor, &event) == 0 ? 0 : -errno;
    if (!error)
        mark_watched(descriptor, 1);
    return error;
}

/* How many descriptors are watched: only while there are none is the wait the fast one. */
int shim_watching(void) { return watched_count; }

/* Take the listener the init process sends, and ask for synchronous wake-ups where the kernel has them (6.6). */
int shim_receive_listener(int control)
{
    char byte, space[CMSG_SPACE(sizeof(int))];
    struct iovec vector = {&byte, 1};
    struct msghdr header = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    ssize_t n = recvmsg(control, &header, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (n != 1)
        return n < 0 ? -errno : -EPROTO;
    struct cmsghdr *control_message = CMSG_FIRSTHDR(&header);
    if (!control_message || control_message->cmsg_type != SCM_RIGHTS)
        return -EPROTO;
    int listener;
    memcpy(&listener, CMSG_DATA(control_message), sizeof listener);
    ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP, 0);
    return listener;
}

int shim_reply(struct shim_loop *loop, uint64_t id, int64_t value, int continue_call)
{
    struct seccomp_notif_resp answer = {.id = id};
    if (continue_call)
        answer.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    else if (value < 0 && value > -4096)
        answer.error = (int)value;
    else
        answer.val = value;
    return ioctl(loop->listener, SECCOMP_IOCTL_NOTIF_SEND, &answer) ? -errno : 0;
}

/* With send, the call ends with the new number. Two requests, not SECCOMP_ADDFD_FLAG_SEND: that one wakes the caller without
 * SYNC_WAKE_UP, 8 to 30 us later. Nothing but the caller's death can come between the two (WAIT_KILLABLE_RECV). */
int shim_install(struct shim_loop *loop, uint64_t id, int descriptor, int close_on_exec, int send)
{
    struct seccomp_notif_addfd add = {.id = id, .srcfd = (unsigned)descriptor, .newfd_flags = close_on_exec ? O_CLOEXEC : 0};
    int number = ioctl(loop->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add);
    if (number < 0)
        return -errno;
    if (send)
        shim_reply(loop, id, number, 0);
    return number;
}

static void fill_call(struct shim_loop *loop, struct shim_event *event, int kind, int tid, uint64_t number, const uint64_t *argument)
{
    event->kind = (uint64_t)kind;
    event->tid = (uint64_t)tid;
    event->number = number;
    memcpy(event->argument, argument, sizeof event->argument);
    event->path_size = SHIM_NO_PATH;
    if (number >= SHIM_CALLS)
        return;
    int path = loop->path_argument[number];
    if (path && argument[path - 1]) {
        int64_t n = shim_read_string(tid, argument[path - 1], event->path, sizeof event->path);
        if (n >= 0) {
            event->path_address = argument[path - 1];
            event->path_size = (uint64_t)n;
        }
    }
}

/* Whether the call of a notification still waits for its answer. 0 is nobody's. */
int shim_is_waiting(struct shim_loop *loop, uint64_t id) { return !id || ioctl(loop->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &id) == 0; }

/* Whether the kernel may execute a call at once: a matter of its number, and of one register. */
static int passes(const struct shim_loop *loop, uint64_t number, const uint64_t *argument)
{
    if (number >= SHIM_CALLS)
        return 0;
    if (loop->action[number] == ACTION_CONTINUE)
        return 1;
    const struct shim_rule *rule = &loop->rule[number];
    for (int i = 0; i < rule->count; i++)
        if ((uint32_t)argument[rule->argument] == rule->values[i])
            return 1;
    return 0;
}

/* 1: event filled; 0: nothing to report; -errno. Blocks, unless a signal has come since the caller last looked (see the top). */
static int receive_notification(struct shim_loop *loop, struct shim_event *event)
{
    if (ioctl(loop->listener, SECCOMP_IOCTL_NOTIF_RECV, &received)) {
        if (errno == EINTR || errno == EINVAL)
            return 0;
        if (errno != ENOENT)
            return -errno;
        /* The call was given up meanwhile, or no task uses the filter any more. */
        struct pollfd end = {loop->listener, 0, 0};
        if (poll(&end, 1, 0) == 1 && (end.revents & POLLHUP))
            loop->listener = -1;
        return 0;
    }
    uint64_t id = received.id, argument[6];
    for (int i = 0; i < 6; i++)
        argument[i] = received.data.args[i];
    if (passes(loop, (uint64_t)(uint32_t)received.data.nr, argument)) {
        shim_reply(loop, id, 0, 1);
        return 0;
    }
    event->id = id;
    event->instruction = received.data.instruction_pointer;
    fill_call(loop, event, EVENT_NOTIFIED, (int)received.pid, (uint64_t)(uint32_t)received.data.nr, argument);
    if (event->number < SHIM_CALLS) {
        int64_t value;
        int answered = shim_names_answer(loop, id, (int)event->tid, event->number, argument, event->path, event->path_size, &value);
        if (answered) {
            loop->answered++;
            if (answered == 1)
                shim_reply(loop, id, value, 0);
            return 0;
        }
    }
    /* The copies above may be of a process that reused the number: believe them only if the call still waits. */
    return shim_is_waiting(loop, id);
}

struct syscall_info { /* struct ptrace_syscall_info, include/uapi/linux/ptrace.h (5.3) */
    uint8_t op, pad[3];
    uint32_t arch;
    uint64_t instruction, stack;
    uint64_t number, argument[6];
    uint32_t data;
};

/* Whether a call that the kernel may execute as it is names the passage descriptor. The library OS refuses it by itself in all others. */
static int touches_passage(const struct shim_loop *loop, const struct syscall_info *call)
{
    uint32_t first = (uint32_t)call->argument[0], second = (uint32_t)call->argument[1], passage = (uint32_t)loop->passage;
    switch (call->number) {
    case 0: case 1: case 3: case 5: case 16: case 17: case 18: case 19: case 20:  /* read write close fstat ioctl pread pwrite readv writev */
    case 32: case 72: case 42: case 43: case 44: case 45: case 46: case 47: /* dup fcntl, sockets */
    case 48: case 49: case 50: case 51: case 52: case 54: case 55: case 288: case 299: case 307:
    case 73: case 278: case 295: case 296: case 327: case 328: /* flock vmsplice preadv pwritev */
    case 8: case 74: case 75: case 77: case 187: case 221: case 277: case 285: case 306: /* lseek fsync fdatasync ftruncate, advice, fallocate */
        return first == passage;
    case 33: case 292: case 40: case 276: /* dup2 dup3 sendfile tee */
        return second == passage || first == passage;
    case 275: case 326: case 233: /* splice copy_file_range epoll_ctl */
        return first == passage || (uint32_t)call->argument[2] == passage;
    default: return 0;
    }
}

/* close_range over the passage stops below it: what lies above (only with a raised RLIMIT_NOFILE) stays open. */
static void spare_passage(const struct shim_loop *loop, const struct syscall_info *call, int tid)
{
    uint32_t first = (uint32_t)call->argument[0], last = (uint32_t)call->argument[1], passage = (uint32_t)loop->passage;
    if (first == passage)
        ptrace(PTRACE_POKEUSER, tid, offsetof(struct user_regs_struct, rdi), (uint64_t)passage + 1);
    else if (first < passage && last >= passage)
        ptrace(PTRACE_POKEUSER, tid, offsetof(struct user_regs_struct, rsi), (uint64_t)passage - 1);
}

/* Whether a connect names the loopback: a guess that saves a way through Python. The memory may say something else when the kernel reads
 * it, which is why loopback_connects is set only where no address leads anywhere else. */
static int is_loopback(int tid, const uint64_t *argument)
{
    struct sockaddr_in6 name = {0};
    uint64_t size = argument[2] & 0xffffffff;
    if (size < sizeof(struct sockaddr_in) || size > sizeof(struct sockaddr_storage))
        return 0;
    if (shim_read(tid, argument[1], &name, size < sizeof name ? size : sizeof name) < 0)
        return 0;
    if (name.sin6_family == AF_INET)
        return ntohl(((struct sockaddr_in *)&name)->sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    return name.sin6_family == AF_INET6 && size >= sizeof name && IN6_IS_ADDR_LOOPBACK(&name.sin6_addr);
}

static int traced_call(struct shim_loop *loop, struct shim_event *event, int tid)
{
    struct syscall_info info;
    if (ptrace(0x420e /* PTRACE_GET_SYSCALL_INFO */, tid, sizeof info, &info) < 0)
        return errno == ESRCH ? 0 : -errno;
    if (loop->passage && touches_passage(loop, &info)) {
        shim_answer(tid, -EBADF);
        return 0;
    }
    if (loop->passage && info.number == 436 /* close_range */)
        spare_passage(loop, &info, tid);
    if (passes(loop, info.number, info.argument) || (loop->loopback_connects && info.number == SYS_connect && is_loopback(tid, info.argument))) {
        shim_resume(tid, 0);
        return 0;
    }
    event->instruction = info.instruction;
    event->stack = info.stack;
    event->id = 0;
    fill_call(loop, event, EVENT_TRACED, tid, info.number, info.argument);
    return 1;
}

/* A task that is resumed with MODE_CALLS, or up to an exit, is at one of the two stops of a call. */
static int syscall_stop(struct shim_event *event, int tid)
{
    struct syscall_info info;
    if (ptrace(0x420e /* PTRACE_GET_SYSCALL_INFO */, tid, sizeof info, &info) < 0)
        return errno == ESRCH ? 0 : -errno;
    event->id = info.op;
    event->value = info.arch;
    event->instruction = info.instruction;
    event->stack = info.stack;
    event->number = info.op == 1 /* PTRACE_SYSCALL_INFO_ENTRY */ ? info.number : 0;
    for (int i = 0; i < 6; i++)
        event->argument[i] = info.op == 1 ? info.argument[i] : 0;
    return 1;
}

static int wait_child(struct shim_loop *loop, struct shim_event *event)
{
    int status;
    __atomic_store_n(&children_pending, 0, __ATOMIC_RELAXED); /* before the look: a later signal sets it again */
    int tid = -1;
    if (!shim_take_seen(&tid, &status))
        tid = waitpid(-1, &status, __WALL | WNOHANG);
    if (tid <= 0)
        return 0;
    __atomic_store_n(&children_pending, 1, __ATOMIC_RELAXED);
    event->tid = (uint64_t)tid;
    event->value = 0;
    if (!WIFSTOPPED(status)) {
        shim_set_mode(tid, MODE_FREE);
        event->kind = EVENT_EXIT;
        event->value = (uint64_t)(uint32_t)status;
        return 1;
    }
    int signal = WSTOPSIG(status), detail = status >> 16;
    if (detail == PTRACE_EVENT_SECCOMP)
        return traced_call(loop, event, tid);
    event->detail = (uint64_t)detail;
    if (detail == 0 && signal != (SIGTRAP | 0x80)) {
        event->kind = EVENT_SIGNAL;
        event->detail = (uint64_t)signal;
        if (loop->report_signals)
            return 1;
        shim_signal_pass(loop, tid, signal);
        return 0;
    }
    event->kind = EVENT_STOP;
    if (!detail)
        return syscall_stop(event, tid);
    if (detail == STOP_EVENT)
        event->value = (uint64_t)signal;
    else {
        unsigned long message = 0;
        ptrace(PTRACE_GETEVENTMSG, tid, 0, &message);
        event->value = message;
    }
    return 1;
}

/* Have SIGALRM come at the deadline; set the timer only when the deadline has changed. */
static int arm_timer(const struct shim_loop *loop)
{
    if (loop->deadline == timer_armed)
        return 0;
    timer_armed = loop->deadline;
    struct itimerspec when = {{0, 0}, {(time_t)(timer_armed / 1000000000ULL), (long)(timer_armed % 1000000000ULL)}};
    return timer_settime(timer, TIMER_ABSTIME, &when, NULL) ? -errno : 0;
}

static int deadline_passed(struct shim_loop *loop)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (!loop->deadline || (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec < loop->deadline)
        return 0;
    loop->deadline = timer_armed = 0;
    return 1;
}

/* What came as a signal. 1: event filled; 0: nothing left; -errno. */
static int take_signals(struct shim_loop *loop, struct shim_event *event)
{
    unsigned asked = __atomic_load_n(&requests, __ATOMIC_RELAXED);
    if (asked) {
        int signal = __builtin_ctz(asked);
        __atomic_fetch_and(&requests, ~(1U << signal), __ATOMIC_RELAXED);
        event->kind = EVENT_REQUEST;
        event->detail = (uint64_t)signal;
        return 1;
    }
    if (__atomic_exchange_n(&timer_expired, 0, __ATOMIC_RELAXED) && deadline_passed(loop)) {
        event->kind = EVENT_TIMER;
        return 1;
    }
    while (__atomic_load_n(&children_pending, __ATOMIC_RELAXED)) {
        int result = wait_child(loop, event);
        if (result)
            return result;
    }
    return 0;
}

static int signal_waits(void)
{
    return __atomic_load_n(&children_pending, __ATOMIC_RELAXED) || __atomic_load_n(&timer_expired, __ATOMIC_RELAXED) ||
           __atomic_load_n(&requests, __ATOMIC_RELAXED);
}

/* Wait for streams, listener and signals together. 1: *event is a stream's; 0: look at the signals, or (*readable) receive; -errno. */
static int wait_for_all(struct shim_loop *loop, struct shim_event *event, int *readable)
{
    struct pollfd wait[2] = {{loop->streams, POLLIN, 0}, {loop->listener, POLLIN, 0}};
    sigset_t open;
    int n = 0, error = 0;
    sigprocmask(SIG_BLOCK, &waking, &open);
    if (!signal_waits()) {
        n = ppoll(wait, loop->listener < 0 ? 1 : 2, NULL, &open);
        error = n < 0 && errno != EINTR ? -errno : 0;
    }
    sigprocmask(SIG_SETMASK, &open, NULL);
    if (n <= 0)
        return error;
    struct epoll_event ready;
    if (wait[0].revents && epoll_wait(loop->streams, &ready, 1, 0) == 1) {
        mark_watched((int)(ready.data.u64 >> TAG_BITS), 0); /* once: it is silent until it is watched again */
        event->kind = EVENT_STREAM;
        event->value = ready.data.u64 & ((1ULL << TAG_BITS) - 1);
        event->detail = ready.events;
        return 1;
    }
    if (wait[1].revents & POLLIN)
        *readable = 1;
    else if (wait[1].revents & POLLHUP)
        loop->listener = -1; /* no task uses the filter any more */
    return 0;
}

/* Block until there is something for Python. Returns 0 with *event filled, or -errno. */
int shim_next(struct shim_loop *loop, struct shim_event *event)
{
    shim_descriptor_keep(0, 0, NULL);
    for (;;) {
        int result = arm_timer(loop);
        if (result)
            return result;
        memset(&received, 0, sizeof received);
        __atomic_signal_fence(__ATOMIC_SEQ_CST); /* first the struct, then the flags: a signal in between is seen in one or the other */
        if (signal_waits()) {
            result = take_signals(loop, event);
            if (result)
                return result < 0 ? result : 0;
            continue;
        }
        int readable = loop->listener >= 0 && watched_count == 0;
        if (!readable)
            result = wait_for_all(loop, event, &readable);
        if (!result && readable)
            result = receive_notification(loop, event);
        if (result)
            return result < 0 ? result : 0;
    }
}
