// Classes 8, 9, 10 and 24: the supervisor and host processes cannot be traced, read, signalled; no filter or tracer of the guest's own.
#include "escape.h"
static void attack(void)
{
    char byte;
    struct iovec here = {&byte, 1}, there = {&byte, 1};
    pid_t targets[] = {stranger, getppid(), 1};
    struct { unsigned short length; void *filter; } program = {0, NULL};
    for (int index = 0; index < 3; index++) {
        pid_t target = targets[index];
        HOLE_IF(ptrace(PTRACE_SEIZE, target, 0, 0x200000 /* PTRACE_O_SUSPEND_SECCOMP */) == 0);
        HOLE_IF(ptrace(PTRACE_ATTACH, target, 0, 0) == 0);
        HOLE_IF(process_vm_readv(target, &here, 1, &there, 1, 0) > 0);
        HOLE_IF(process_vm_writev(target, &here, 1, &there, 1, 0) > 0);
        HOLE_IF(syscall(SYS_pidfd_open, target, 0) >= 0);
        HOLE_IF(syscall(SYS_kcmp, target, getpid(), 0, 0, 0) >= 0);
    }
    HOLE_IF(ptrace(PTRACE_TRACEME, 0, 0, 0) == 0);
    REFUSED(kill(stranger, 0), ESRCH);
    REFUSED(kill(-stranger, 0), ESRCH);
    REFUSED(syscall(SYS_tgkill, stranger, stranger, SIGTERM), ESRCH);
    REFUSED(syscall(SYS_tkill, stranger, SIGTERM), ESRCH);
    HOLE_IF(syscall(SYS_seccomp, 1, 8, &program) >= 0);
    HOLE_IF(prctl(PR_SET_SECCOMP, 2, &program, 0, 0) == 0);
    HOLE_IF(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) < 0);
    kill(0, SIGCONT);
    signal(SIGTERM, SIG_IGN);
    kill(-1, SIGTERM);
}
