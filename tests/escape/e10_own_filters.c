// Class 10: a guest's own filters neither weaken ours nor hide calls from the library OS, whatever they say and whoever installs them.
#include "escape.h"
#include <linux/filter.h>
#include <linux/seccomp.h>

static long install(unsigned verdict, unsigned flags)
{
    struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, verdict)};
    struct sock_fprog program = {1, code};
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}
static void still_confined(void)
{
    char link[64] = "";
    HOLE_IF(open(secret, O_RDONLY) >= 0);
    HOLE_IF(syscall(SYS_unshare, 0x10000000) == 0);
    HOLE_IF(syscall(SYS_mount, "none", "/tmp", "tmpfs", 0, 0) == 0);
    HOLE_IF(syscall(SYS_io_uring_setup, 1, link) >= 0);
    HOLE_IF(syscall(0x40000000 | SYS_getpid) >= 0);
    HOLE_IF(kill(stranger, 0) == 0);
    HOLE_IF(open("/tmp/made", O_CREAT | O_RDWR, 0600) < 0); /* what the library OS alone can answer, it still answers */
    HOLE_IF(access("/tmp/made", F_OK) != 0);
}
static void in_child(unsigned verdict)
{
    pid_t child = fork();
    if (child == 0) {
        holes = 0;
        HOLE_IF(install(verdict, 0) != 0);
        still_confined();
        fflush(stdout);
        _exit(holes);
    }
    int status;
    waitpid(child, &status, 0);
    HOLE_IF(status != 0);
}
static volatile int stop;
static void *rewrite(void *argument)
{
    struct sock_filter *code = argument;
    while (!stop)
        code->k ^= 0x7fff0000 ^ 0x7ff00000;
    return NULL;
}
static void attack(void)
{
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    in_child(SECCOMP_RET_ALLOW);
    in_child(0x7ffc0000 /* SECCOMP_RET_LOG */);
    REFUSED(install(SECCOMP_RET_ALLOW, 8 /* NEW_LISTENER */), EINVAL);
    REFUSED(install(0x7fc00000 /* USER_NOTIF */, 8), EINVAL);
    pid_t child = fork();
    if (child == 0) { /* every call an error: also those that would be notified to us */
        install(SECCOMP_RET_ERRNO | EDOM, 0);
        _exit(!(open(secret, O_RDONLY) == -1 && errno == EDOM && syscall(SYS_mount, 0, 0, 0, 0, 0) == -1 && errno == EDOM));
    }
    int status = 0;
    waitpid(child, &status, 0);
    HOLE_IF(status == 0); /* exit_group is an error, too: it can only end by a signal */
    HOLE_IF(!WIFSIGNALED(status));
    static struct sock_filter racy[] = {BPF_STMT(BPF_RET | BPF_K, 0x7fff0000)};
    pthread_t writer;
    pthread_create(&writer, NULL, rewrite, racy);
    for (int round = 0; round < 50; round++) {
        child = fork();
        if (child == 0) {
            struct sock_fprog program = {1, racy};
            syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 1, &program);
            int opened = open(secret, O_RDONLY);
            _exit(opened >= 0);
        }
        waitpid(child, &status, 0);
        HOLE_IF(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    }
    stop = 1;
    pthread_join(writer, NULL);
    for (int deep = 0; deep < 2000; deep++) /* many filters: bounded by Linux's own rule */
        if (install(SECCOMP_RET_ALLOW, 0) != 0)
            break;
    still_confined();
}
