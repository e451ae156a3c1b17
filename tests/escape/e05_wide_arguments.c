// Classes 5 and 7: bits beyond 32 do not change a decision; flags that would make name spaces are refused, and a child whose creator asks
// for it to be untraced, or gives it another parent, is contained as any other.
#include "escape.h"
static const unsigned long HIGH = 1UL << 32;
/* A child made with these flags, by clone or clone3, is as contained as its creator. */
static void try_child(unsigned long flags, int clone3)
{
    static int number;
    unsigned long arguments[11] = {flags, (unsigned long)&number, 0, (unsigned long)&number, flags & CLONE_PARENT ? 0 : SIGCHLD};
    char said = '?';
    int ends[2];
    if (pipe(ends) != 0)
        return;
    long child = clone3 ? syscall(SYS_clone3, arguments, sizeof arguments) : syscall(SYS_clone, flags | SIGCHLD, 0, &number, 0, 0);
    if (child == 0) {
        said = open(secret, O_RDONLY) >= 0 || kill(stranger, 0) == 0 ? 'H' : 'c';
        _exit(write(ends[1], &said, 1) != 1);
    }
    close(ends[1]);
    HOLE_IF(child < 0);
    HOLE_IF(child > 0 && (read(ends[0], &said, 1) != 1 || said != 'c'));
    close(ends[0]);
    if (child > 0)
        waitpid((pid_t)child, 0, 0);
}

static void attack(void)
{
    static const unsigned long forbidden[] = {CLONE_NEWUSER, CLONE_NEWNS, CLONE_NEWPID, CLONE_NEWNET, CLONE_NEWIPC, CLONE_NEWUTS, CLONE_NEWCGROUP};
    static const unsigned long contained[] = {CLONE_UNTRACED, CLONE_PTRACE, CLONE_PARENT, CLONE_PIDFD, CLONE_UNTRACED | CLONE_PARENT};
    int parent = 0;
    for (unsigned index = 0; index < sizeof forbidden / sizeof *forbidden; index++) {
        unsigned long arguments[11] = {forbidden[index], 0, 0, 0, SIGCHLD};
        REFUSED(syscall(SYS_clone, forbidden[index] | SIGCHLD, 0, &parent, 0, 0), EPERM);
        REFUSED(syscall(SYS_clone, forbidden[index] | SIGCHLD | HIGH, 0, &parent, 0, 0), EPERM);
        REFUSED(syscall(SYS_clone3, arguments, sizeof arguments), EPERM);
    }
    for (unsigned index = 0; index < sizeof contained / sizeof *contained; index++)
        for (int clone3 = 0; clone3 < 2; clone3++)
            try_child(contained[index], clone3);
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
