/* The receive loop: one blocking wait over the seccomp listener, the tracees' stops, host streams and a deadline.
 *
 * What needs no decision is answered here (signals passed on, calls the table says to continue); everything else becomes one
 * shim_event, with the path and the descriptor a call names already fetched, so that Python enters C once per call.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "shim.h"

#ifndef SECCOMP_ADDFD_FLAG_SEND
#define SECCOMP_ADDFD_FLAG_SEND (1UL << 1)
#endif
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif
#define STOP_EVENT 128 /* PTRACE_EVENT_STOP */
#define NO_PATH (~0ULL)

int shim_loop_open(struct shim_loop *loop)
{
    sigset_t set;
    sigemptyset(&set);
    int taken[] = {SIGCHLD, SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    for (size_t i = 0; i < sizeof taken / sizeof *taken; i++)
        sigaddset(&set, taken[i]);
    if (sigprocmask(SIG_BLOCK, &set, NULL))
        return -errno;
    loop->listener = -1;
    loop->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    loop->streams = epoll_create1(EPOLL_CLOEXEC);
    return loop->signals < 0 || loop->streams < 0 ? -errno : 0;
}

int shim_watch(struct shim_loop *loop, int descriptor, unsigned events, uint64_t tag)
{
    struct epoll_event event = {.events = events | EPOLLONESHOT, .data.u64 = tag};
    if (!events)
        return epoll_ctl(loop->streams, EPOLL_CTL_DEL, descriptor, NULL) && errno != ENOENT && errno != EBADF ? -errno : 0;
    if (epoll_ctl(loop->streams, EPOLL_CTL_ADD, descriptor, &event) == 0)
        return 0;
    return errno == EEXIST && epoll_ctl(loop->streams, EPOLL_CTL_MOD, descriptor, &event) == 0 ? 0 : -errno;
}

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

int shim_install(struct shim_loop *loop, uint64_t id, int descriptor, int close_on_exec, int send)
{
    struct seccomp_notif_addfd add = {.id = id, .srcfd = (unsigned)descriptor, .newfd_flags = close_on_exec ? 02000000 : 0};
    if (send)
        add.flags = SECCOMP_ADDFD_FLAG_SEND;
    int number = ioctl(loop->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add);
    return number < 0 ? -errno : number;
}

static void fill_call(struct shim_loop *loop, struct shim_event *event, int kind, int tid, uint64_t number, const uint64_t *argument)
{
    event->kind = (uint64_t)kind;
    event->tid = (uint64_t)tid;
    event->number = number;
    memcpy(event->argument, argument, sizeof event->argument);
    event->path_size = NO_PATH;
    event->identity = 0;
    if (number >= SHIM_CALLS)
        return;
    int path = loop->path_argument[number], descriptor = loop->descriptor_argument[number];
    if (path && argument[path - 1]) {
        int64_t n = shim_read_string(tid, argument[path - 1], event->path, sizeof event->path);
        if (n >= 0) {
            event->path_address = argument[path - 1];
            event->path_size = (uint64_t)n;
        }
    }
    if (descriptor && (int)argument[descriptor - 1] >= 0) {
        uint64_t identity[3];
        if (shim_identity(tid, (int)argument[descriptor - 1], identity) == 0) {
            event->identity = 1;
            event->device = identity[0];
            event->inode = identity[1];
            event->mode = identity[2];
        }
    }
}

/* 1: event filled; 0: nothing to report. */
static int receive_notification(struct shim_loop *loop, struct shim_event *event)
{
    struct seccomp_notif notification;
    memset(&notification, 0, sizeof notification);
    if (ioctl(loop->listener, SECCOMP_IOCTL_NOTIF_RECV, &notification))
        return errno == ENOENT || errno == EINTR ? 0 : -errno;
    uint64_t argument[6];
    for (int i = 0; i < 6; i++)
        argument[i] = notification.data.args[i];
    event->id = notification.id;
    event->instruction = notification.data.instruction_pointer;
    fill_call(loop, event, EVENT_NOTIFIED, (int)notification.pid, (uint64_t)(uint32_t)notification.data.nr, argument);
    /* The copies above may be of a process that reused the number: believe them only if the call still waits. */
    return ioctl(loop->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &notification.id) == 0;
}

struct syscall_info { /* struct ptrace_syscall_info, include/uapi/linux/ptrace.h (5.3) */
    uint8_t op, pad[3];
    uint32_t arch;
    uint64_t instruction, stack;
    uint64_t number, argument[6];
    uint32_t data;
};

/* Whether a call would close or replace the passage descriptor. */
static int touches_passage(const struct shim_loop *loop, const struct syscall_info *call)
{
    uint32_t first = (uint32_t)call->argument[0], second = (uint32_t)call->argument[1], passage = (uint32_t)loop->passage;
    switch (call->number) {
    case 3: return first == passage;                                  /* close */
    case 33: case 292: return second == passage || first == passage;  /* dup2, dup3 */
    case 32: case 72: return first == passage;                        /* dup, fcntl */
    case 0: case 1: case 45: case 47: return first == passage;        /* read, write, recvfrom, recvmsg */
    default: return 0;
    }
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
    if (info.number < SHIM_CALLS && loop->traced_action[info.number] == ACTION_CONTINUE) {
        shim_resume(tid, 0);
        return 0;
    }
    event->instruction = info.instruction;
    event->stack = info.stack;
    event->id = 0;
    fill_call(loop, event, EVENT_TRACED, tid, info.number, info.argument);
    return 1;
}

static int wait_child(struct shim_loop *loop, struct shim_event *event)
{
    int status;
    int tid = waitpid(-1, &status, __WALL | WNOHANG);
    if (tid <= 0) {
        loop->children_pending = 0;
        return 0;
    }
    event->tid = (uint64_t)tid;
    event->value = 0;
    if (!WIFSTOPPED(status)) {
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
    if (detail == STOP_EVENT)
        event->value = (uint64_t)signal;
    else if (detail) {
        unsigned long message = 0;
        ptrace(PTRACE_GETEVENTMSG, tid, 0, &message);
        event->value = message;
    }
    return 1;
}

static int remaining(const struct shim_loop *loop, struct timespec *left)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t at = (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
    if (at >= loop->deadline)
        return 0;
    left->tv_sec = (time_t)((loop->deadline - at) / 1000000000ULL);
    left->tv_nsec = (long)((loop->deadline - at) % 1000000000ULL);
    return 1;
}

/* Block until there is something for Python. Returns 0 with *event filled, or -errno. */
int shim_next(struct shim_loop *loop, struct shim_event *event)
{
    for (;;) {
        while (loop->children_pending) {
            int result = wait_child(loop, event);
            if (result)
                return result < 0 ? result : 0;
        }
        struct pollfd wait[3] = {{loop->signals, POLLIN, 0}, {loop->streams, POLLIN, 0}, {loop->listener, POLLIN, 0}};
        struct timespec left;
        if (loop->deadline && !remaining(loop, &left)) {
            loop->deadline = 0;
            event->kind = EVENT_TIMER;
            return 0;
        }
        int n = ppoll(wait, loop->listener < 0 ? 2 : 3, loop->deadline ? &left : NULL, NULL);
        if (n < 0 && errno != EINTR)
            return -errno;
        if (n <= 0)
            continue;
        if (wait[0].revents) {
            struct signalfd_siginfo info;
            while (read(loop->signals, &info, sizeof info) == sizeof info) {
                loop->children_pending = 1;
                if (info.ssi_signo != SIGCHLD) {
                    event->kind = EVENT_REQUEST;
                    event->detail = info.ssi_signo;
                    return 0;
                }
            }
        }
        if (wait[1].revents) {
            struct epoll_event ready;
            if (epoll_wait(loop->streams, &ready, 1, 0) == 1) {
                event->kind = EVENT_STREAM;
                event->value = ready.data.u64;
                event->detail = ready.events;
                return 0;
            }
        }
        if (loop->listener >= 0 && (wait[2].revents & POLLIN)) {
            int result = receive_notification(loop, event);
            if (result)
                return result < 0 ? result : 0;
        } else if (loop->listener >= 0 && (wait[2].revents & POLLHUP)) {
            loop->listener = -1; /* no task uses the filter any more */
        }
    }
}
