// Class 7: whoever is created by whatever means is attached before its first instruction, and flags in memory are read once.
#include "escape.h"
#include <linux/sched.h>

static struct clone_args arguments;
static volatile int stop;

/* Swaps harmless flags for forbidden ones while others call clone3. */
static void *flip(void *unused)
{
    static const unsigned long long worse[] = {CLONE_NEWUSER, CLONE_UNTRACED, CLONE_NEWPID | CLONE_NEWNET, CLONE_NEWUSER | CLONE_NEWNS};
    (void)unused;
    for (unsigned n = 0; !stop; n++) {
        __atomic_store_n(&arguments.flags, worse[n & 3], __ATOMIC_RELAXED);
        __atomic_store_n(&arguments.flags, 0, __ATOMIC_RELAXED);
    }
    return NULL;
}
/* In the child: a call the host would answer differently from the sandbox. Exit code 0 when it was answered by the sandbox. */
static void probe(void)
{
    char link[256] = "";
    int bad = syscall(SYS_openat, AT_FDCWD, secret, O_RDONLY) >= 0 || syscall(SYS_unshare, CLONE_NEWUSER) == 0;
    ssize_t n = syscall(SYS_readlinkat, AT_FDCWD, "/proc/self/ns/user", link, sizeof link - 1);
    (void)n;
    bad |= syscall(SYS_mount, "none", "/tmp", "tmpfs", 0, 0) == 0;
    syscall(SYS_exit_group, bad);
}
static void reap(long child)
{
    int status;
    if (child <= 0)
        return;
    if (waitpid(child, &status, __WALL) == child)
        HOLE_IF(!WIFEXITED(status) || WEXITSTATUS(status) != 0);
}
static void attack(void)
{
    static const unsigned long flags[] = {
        SIGCHLD, CLONE_UNTRACED | SIGCHLD, CLONE_PTRACE | SIGCHLD, CLONE_UNTRACED, CLONE_PARENT | SIGCHLD, CLONE_VFORK | CLONE_UNTRACED | SIGCHLD,
        CLONE_FS | CLONE_FILES | CLONE_UNTRACED | SIGCHLD};
    pthread_t flipper;
    long each = rounds / 8 + 1;
    for (long round = 0; round < each; round++) {
        long child = syscall(SYS_clone, flags[round % 7], NULL, NULL, NULL, NULL);
        if (child == 0)
            probe();
        reap(child);
    }
    for (int bit = 8; bit < 34; bit++) { /* each flag alone, in either call */
        if ((1ULL << bit) & (CLONE_VM | CLONE_THREAD | CLONE_SIGHAND | CLONE_SETTLS))
            continue;
        struct clone_args one = {.flags = 1ULL << bit, .exit_signal = SIGCHLD};
        long child = syscall(SYS_clone3, &one, sizeof one);
        if (child == 0)
            probe();
        reap(child);
        child = bit < 32 ? syscall(SYS_clone, (1UL << bit) | SIGCHLD, NULL, NULL, NULL, NULL) : -1;
        if (child == 0)
            probe();
        reap(child);
    }
    arguments.exit_signal = SIGCHLD;
    pthread_create(&flipper, NULL, flip, NULL);
    for (long round = 0; round < each; round++) {
        long child = syscall(SYS_clone3, &arguments, sizeof arguments);
        if (child == 0)
            probe();
        reap(child);
    }
    stop = 1;
    pthread_join(flipper, NULL);
}
