// Class 9 and 8: a guest that traces guests gains nothing: no filter is lifted, no call it makes its tracee make is answered by the host.
#include "escape.h"
#include <sys/user.h>
#define PT(request, pid, address, data) syscall(SYS_ptrace, (long)(request), (long)(pid), (long)(address), (long)(data))

static char scratch[4096];
static pid_t child_that_waits(void)
{
    pid_t child = fork();
    if (child == 0) {
        PT(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        for (;;)
            syscall(SYS_getppid);
    }
    waitpid(child, NULL, 0);
    return child;
}
/* Have the tracee make one call: at the entry of one of its own the number and arguments become others. */
static long remote(pid_t child, long number, long a, long b, long c, long d)
{
    struct user_regs_struct r;
    int status;
    do {
        PT(PTRACE_SYSCALL, child, 0, 0);
        if (waitpid(child, &status, __WALL) != child || !WIFSTOPPED(status))
            return -ECHILD;
        PT(PTRACE_GETREGS, child, 0, &r);
    } while ((long)r.rax != -ENOSYS);
    r.orig_rax = number, r.rdi = a, r.rsi = b, r.rdx = c, r.r10 = d;
    PT(PTRACE_SETREGS, child, 0, &r);
    PT(PTRACE_SYSCALL, child, 0, 0);
    if (waitpid(child, &status, __WALL) != child || !WIFSTOPPED(status))
        return -ECHILD;
    PT(PTRACE_GETREGS, child, 0, &r);
    return (long)r.rax;
}
static void attack(void)
{
    pid_t child = child_that_waits();
    for (int bit = 0; bit < 32; bit++) {
        long answer = PT(PTRACE_SETOPTIONS, child, 0, 1UL << bit);
        HOLE_IF(bit == 21 && answer == 0);
    }
    REFUSED(PT(PTRACE_SETOPTIONS, child, 0, 1 << 21 /* PTRACE_O_SUSPEND_SECCOMP */), EPERM);
    REFUSED(PT(PTRACE_SETOPTIONS, child, 0, 1 << 21 | 1), EPERM);
    pid_t other = fork();
    if (other == 0)
        for (;;)
            pause();
    HOLE_IF(PT(PTRACE_SEIZE, other, 0, 1 << 21) == 0);
    kill(other, SIGKILL);
    PT(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD);
    HOLE_IF(remote(child, SYS_openat, AT_FDCWD, (long)secret, O_RDONLY, 0) >= 0);
    HOLE_IF(remote(child, SYS_open, (long)secret, O_RDONLY, 0, 0) >= 0);
    HOLE_IF(remote(child, SYS_unshare, 0x10000000, 0, 0, 0) == 0);
    HOLE_IF(remote(child, SYS_mount, (long)"none", (long)"/tmp", (long)"tmpfs", 0) == 0);
    HOLE_IF(remote(child, SYS_io_uring_setup, 4, (long)scratch, 0, 0) >= 0);
    HOLE_IF(remote(child, SYS_kill, stranger, 0, 0, 0) == 0);
    HOLE_IF(remote(child, SYS_ptrace, PTRACE_ATTACH, stranger, 0, 0) == 0);
    HOLE_IF(remote(child, 0x40000000 | SYS_getpid, 0, 0, 0, 0) >= 0);
    HOLE_IF(remote(child, 1021, 0, 0, 0, 0) != -ENOSYS);
    HOLE_IF(remote(child, 1022, 0, 0, 0, 0) != -ENOSYS);
    HOLE_IF(remote(child, SYS_clone, 0x10000000 | SIGCHLD, 0, 0, 0) >= 0);
    HOLE_IF(remote(child, SYS_getpid, 0, 0, 0, 0) != child);
    /* execveat on a descriptor of its choice, as our own exec does it */
    int fd = open("/bin/true", O_RDONLY);
    HOLE_IF(remote(child, SYS_execveat, fd, (long)"", 0, 0) >= 0 && 0);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    /* registers of every kind at random: whatever becomes of the tracee, the sandbox stands */
    for (long round = 0; round < rounds / 100 + 1; round++) {
        child = child_that_waits();
        PT(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC);
        for (int stop = 0; stop < 6; stop++) {
            struct user_regs_struct r;
            int status;
            PT(PTRACE_SYSCALL, child, 0, 0);
            if (waitpid(child, &status, __WALL) != child || !WIFSTOPPED(status))
                break;
            PT(PTRACE_GETREGS, child, 0, &r);
            unsigned long *words = (unsigned long *)&r;
            words[random() % 27] = (unsigned long)random() << (random() % 40);
            if (random() % 3 == 0)
                r.orig_rax = random() % 1100;
            if (r.orig_rax == SYS_exit_group || r.orig_rax == SYS_pause)
                r.orig_rax = SYS_getpid;
            PT(PTRACE_SETREGS, child, 0, &r);
        }
        kill(child, SIGKILL);
        while (waitpid(child, NULL, __WALL) == child && kill(child, 0) == 0)
            ;
    }
    pid_t nobody[] = {0, 1, -1, getppid(), stranger};
    for (unsigned index = 0; index < sizeof nobody / sizeof *nobody; index++)
        for (long request = 0; request < 0x4300; request = request == 40 ? 0x4200 : request + 1) {
            if (request == PTRACE_TRACEME)
                continue;
            HOLE_IF(PT(request, nobody[index], scratch, scratch) >= 0);
        }
    char path[64];
    for (unsigned index = 3; index < 5; index++) {
        snprintf(path, sizeof path, "/proc/%d/mem", nobody[index]);
        HOLE_IF(open(path, O_RDWR) >= 0);
    }
    HOLE_IF(open("/proc/1/mem", O_RDONLY) >= 0);
}
