/* ptrace, for life and death: attach, resume, stop, registers. Every function acts on one stopped (or, for shim_interrupt,
 * running) tracee of the calling thread. ESRCH means the tracee was killed meanwhile: its exit will be reported. */
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>
#include "shim.h"

#define SEIZE_OPTIONS                                                                                                         \
    (PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC |            \
     PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL)

#define KERNEL_ERESTARTSYS 512 /* include/linux/errno.h: never seen by user space, but by a tracer */
#define KERNEL_ERESTARTNOINTR 513

static int result(long value) { return value < 0 ? -errno : (int)value; }

int shim_seize(int pid) { return result(ptrace(PTRACE_SEIZE, pid, 0, SEIZE_OPTIONS)); }
/* How each task is resumed, by number; only pages of it that are touched exist. */
#define TASKS (1 << 22)
static uint8_t modes[TASKS];

void shim_set_mode(int tid, int mode)
{
    if (tid > 0 && tid < TASKS)
        modes[tid] = (uint8_t)mode;
}

int shim_resume(int tid, int signal)
{
    static const int requests[] = {PTRACE_CONT, PTRACE_SYSCALL, PTRACE_SINGLESTEP};
    return result(ptrace(requests[tid > 0 && tid < TASKS ? modes[tid] : 0], tid, 0, signal));
}

/* Any request with plain numbers or addresses of ours, as the kernel's own call takes them: its result, or -errno. */
int64_t shim_ptrace(uint64_t request, int tid, uint64_t address, uint64_t data)
{
    long value = syscall(SYS_ptrace, request, tid, address, data);
    return value < 0 ? -errno : value;
}
int shim_resume_to_exit(int tid) { return result(ptrace(PTRACE_SYSCALL, tid, 0, 0)); }
int shim_listen(int tid) { return result(ptrace(PTRACE_LISTEN, tid, 0, 0)); }
int shim_interrupt(int tid) { return result(ptrace(PTRACE_INTERRUPT, tid, 0, 0)); }

static int poke(int tid, size_t offset, uint64_t value) { return result(ptrace(PTRACE_POKEUSER, tid, offset, value)); }

/* Finish a call at its RET_TRACE stop without executing it: number -1 makes the kernel skip it and return rax. */
int shim_answer(int tid, int64_t value)
{
    int error = poke(tid, offsetof(struct user_regs_struct, orig_rax), (uint64_t)-1);
    if (!error)
        error = poke(tid, offsetof(struct user_regs_struct, rax), (uint64_t)value);
    return error ? error : shim_resume(tid, 0);
}

/* Turn the call at its RET_TRACE stop into another one; the kernel runs the filter again on the new number. */
int shim_renumber(int tid, uint64_t number)
{
    int error = poke(tid, offsetof(struct user_regs_struct, orig_rax), number);
    return error ? error : shim_resume(tid, 0);
}

int shim_registers(int tid, uint64_t *registers27)
{
    struct user_regs_struct registers;
    if (ptrace(PTRACE_GETREGS, tid, 0, &registers) < 0)
        return -errno;
    memcpy(registers27, &registers, sizeof registers);
    return 0;
}

int shim_set_registers(int tid, const uint64_t *registers27)
{
    struct user_regs_struct registers;
    memcpy(&registers, registers27, sizeof registers);
    return result(ptrace(PTRACE_SETREGS, tid, 0, &registers));
}

/* The signals a stopped tracee blocks, a bit each. The kernel leaves SIGKILL and SIGSTOP out of what is set. */
int shim_signal_mask(int tid, uint64_t *mask) { return result(ptrace(PTRACE_GETSIGMASK, tid, sizeof *mask, mask)); }
int shim_set_signal_mask(int tid, uint64_t mask) { return result(ptrace(PTRACE_SETSIGMASK, tid, sizeof mask, &mask)); }

/* The message of a stopped task's event (PTRACE_GETEVENTMSG); 0 when the task is gone. */
int64_t shim_event_message(int tid)
{
    unsigned long message = 0;
    return ptrace(PTRACE_GETEVENTMSG, tid, 0, &message) < 0 ? 0 : (int64_t)message;
}

/* What shim_wait_stop saw of other tasks. A task has at most a stop and its end pending, so the room suffices for 8000. */
#define SEEN_MAX 16384
static struct {
    int tid, status;
} seen[SEEN_MAX];
static unsigned seen_count;

/* The oldest event that was put aside, of tid or (-1) of any task: 1 and *tid, *status; 0 when there is none. */
int shim_take_seen(int *tid, int *status)
{
    for (unsigned i = 0; i < seen_count; i++)
        if (*tid < 0 || seen[i].tid == *tid) {
            *tid = seen[i].tid;
            *status = seen[i].status;
            memmove(seen + i, seen + i + 1, (--seen_count - i) * sizeof *seen);
            return 1;
        }
    return 0;
}

/* Keep the calling thread on the processor it runs on (1), or let it go where it could before (0). A stop that crosses processors
 * costs 30 to 50 us, one on the same processor 5 to 9. */
int shim_stay(int here)
{
    static cpu_set_t before;
    static int staying;
    if (here == staying)
        return 0;
    cpu_set_t set = before;
    if (here) {
        int processor = sched_getcpu();
        if (processor < 0 || sched_getaffinity(0, sizeof before, &before))
            return -errno;
        CPU_ZERO(&set);
        CPU_SET(processor, &set);
    }
    if (sched_setaffinity(0, sizeof set, &set))
        return -errno;
    staying = here;
    return 0;
}

/* One tracee at a time can be kept on the processor of the calling thread, which stays there itself: woken from a stop it would be
 * placed on an idle processor otherwise, and come back with the next one. */
static int kept;
static cpu_set_t kept_before;

int shim_keep(int tid)
{
    int processor = sched_getcpu();
    cpu_set_t set;
    if (kept || processor < 0)
        return -EBUSY;
    if (sched_getaffinity(tid, sizeof kept_before, &kept_before) || !CPU_ISSET(processor, &kept_before))
        return -EINVAL;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    if (sched_setaffinity(tid, sizeof set, &set))
        return -errno;
    kept = tid;
    return 0;
}

/* Let the tracee go where it could before. now: its number, which an exec may have changed; 0 when it is gone. */
int shim_let_go(int tid, int now)
{
    if (kept != tid)
        return 0;
    kept = 0;
    return now && sched_setaffinity(now, sizeof kept_before, &kept_before) ? -errno : 0;
}

/* Wait for the next stop of one tracee: its wait status (positive), or -errno. Events of others are put aside, but they are taken:
 * the end of a killed thread group's leader is reported only when its other threads have been waited for. */
int shim_wait_stop(int tid)
{
    int status;
    if (shim_take_seen(&tid, &status))
        return status;
    for (;;) {
        int pid = waitpid(seen_count < SEEN_MAX ? -1 : tid, &status, __WALL);
        if (pid == tid)
            return status;
        if (pid > 0) {
            seen[seen_count].tid = pid;
            seen[seen_count++].status = status;
            shim_note_children();
        } else if (errno != EINTR)
            return -errno;
    }
}

/* Deliver a signal. A notified call that was interrupted before the supervisor received it would return EINTR although nothing
 * happened yet: have the kernel re-issue it, after the handler has run. */
int shim_signal_pass(struct shim_loop *loop, int tid, int signal)
{
    struct user_regs_struct r;
    if (ptrace(PTRACE_GETREGS, tid, 0, &r) < 0)
        return -errno;
    if ((long)r.rax == -KERNEL_ERESTARTSYS && r.orig_rax < SHIM_CALLS && loop->notified_only[r.orig_rax]) {
        int error = poke(tid, offsetof(struct user_regs_struct, rax), (uint64_t)-KERNEL_ERESTARTNOINTR);
        if (error)
            return error;
    }
    return shim_resume(tid, signal);
}
