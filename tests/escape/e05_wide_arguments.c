// Classes 5 and 7: bits beyond 32 do not change a decision; flags that would detach a child from its tracer or make name spaces are refused.
#include "escape.h"
static const unsigned long HIGH = 1UL << 32;
static void attack(void)
{
    static const unsigned long forbidden[] = {CLONE_UNTRACED, CLONE_PTRACE, CLONE_PARENT, CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWUTS, CLONE_NEWCGROUP, CLONE_PIDFD};
    int parent = 0;
    for (unsigned index = 0; index < sizeof forbidden / sizeof *forbidden; index++) {
        REFUSED(syscall(SYS_clone, forbidden[index] | SIGCHLD, 0, &parent, 0, 0), EPERM);
        REFUSED(syscall(SYS_clone, forbidden[index] | SIGCHLD | HIGH, 0, &parent, 0, 0), EPERM);
    }
    unsigned long arguments[11] = {CLONE_UNTRACED, 0, 0, 0, SIGCHLD};
    REFUSED(syscall(SYS_clone3, arguments, sizeof arguments), ENOSYS);
    REFUSED(unshare(CLONE_NEWUSER), EPERM);
    REFUSED(syscall(SYS_unshare, CLONE_NEWUSER | HIGH), EPERM);
    int pair[2];
    socketpair(AF_UNIX, SOCK_STREAM, 0, pair);
    HOLE_IF(syscall(SYS_fcntl, pair[0], F_SETOWN, stranger) == 0);
    HOLE_IF(syscall(SYS_fcntl, pair[0], F_SETOWN | HIGH, stranger) == 0);
    HOLE_IF(syscall(SYS_fcntl, pair[0] | HIGH, F_SETSIG, SIGKILL) == 0);
    HOLE_IF(ioctl(pair[0], 0x8901 /* FIOSETOWN */, &stranger) == 0);
    HOLE_IF(ioctl(pair[0], 0x8902 /* SIOCSPGRP */, &stranger) == 0);
    REFUSED(syscall(1022, 0, 0, 0, 0, 0, 0), ENOSYS);
    REFUSED(syscall(-1L, 0, 0, 0), ENOSYS);
    for (int round = 0; round < 200; round++) {
        pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD | (round & 1 ? CLONE_FILES : 0) | (round & 2 ? CLONE_FS : 0), 0, 0, 0, 0);
        if (child == 0)
            _exit(open(secret, O_RDONLY) >= 0);
        int status = 0;
        waitpid(child, &status, 0);
        HOLE_IF(status != 0);
    }
}
