// clone3: struct clone_args as the kernel checks it, every combination of flags that libc, Go, the JVM and Chromium use; clone with a pidfd.
// flags: -pthread -Wno-override-init
// grant: cow
#include "guest.h"
#include <linux/sched.h>
#include <poll.h>
#include <pthread.h>
#include <spawn.h>

#ifndef CLONE_CLEAR_SIGHAND
#define CLONE_CLEAR_SIGHAND 0x100000000ULL
#endif
#ifndef CLONE_INTO_CGROUP
#define CLONE_INTO_CGROUP 0x200000000ULL
#endif
#ifndef P_PIDFD
#define P_PIDFD 3
#endif
#define CLONE3(arguments) syscall(SYS_clone3, &(arguments), sizeof(struct clone_args))
/* A clone3 that must fail: prints how; a child that exists all the same says so. */
#define FAILS(...)                                                           \
    do {                                                                     \
        struct clone_args failing = {.exit_signal = SIGCHLD, __VA_ARGS__};   \
        fails(#__VA_ARGS__, &failing, sizeof failing);                       \
    } while (0)
static void fails(const char *what, void *arguments, size_t size)
{
    long child = syscall(SYS_clone3, arguments, size);
    if (child == 0)
        _exit(99);
    say("%s: %s", what, child < 0 ? error_name(errno) : "made");
    if (child > 0)
        waitpid(child, NULL, __WALL);
}
static char stack[65536] __attribute__((aligned(16)));

CASE(sizes)
{
    struct { struct clone_args known; char more[4096]; } big = {.known = {.exit_signal = SIGCHLD}};
    fails("too small", &big, 63);
    fails("nothing", &big, 0);
    fails("too large", &big, 4097);
    big.more[100] = 1;
    fails("unknown set", &big, sizeof big.known + 200);
    fails("bad address", (void *)1, sizeof big.known);
    for (size_t size = 64; size <= 88; size += 8) {
        long child = syscall(SYS_clone3, &big, size);
        if (child == 0)
            _exit(size);
        wait_for("sized", child);
    }
    long child = syscall(SYS_clone3, &big, sizeof big.known + 90);
    if (child == 0)
        _exit(7);
    wait_for("larger than known", child);
}
CASE(refused)
{
    unsigned number = 12345;
    FAILS(.flags = 1ULL << 40);
    FAILS(.flags = 0x400000 /* CLONE_DETACHED */);
    FAILS(.flags = SIGCHLD);
    FAILS(.exit_signal = 65);
    FAILS(.exit_signal = 0x100000000ULL);
    FAILS(.stack_size = 4096);
    FAILS(.stack = 4096);
    FAILS(.stack = 1ULL << 63, .stack_size = 4096);
    FAILS(.flags = CLONE_SIGHAND);
    FAILS(.flags = CLONE_THREAD | CLONE_VM | CLONE_SIGHAND);
    FAILS(.flags = CLONE_THREAD, .exit_signal = 0);
    FAILS(.flags = CLONE_PARENT);
    FAILS(.flags = CLONE_VM | CLONE_SIGHAND | CLONE_CLEAR_SIGHAND);
    FAILS(.flags = CLONE_INTO_CGROUP, .cgroup = 1ULL << 40);
    FAILS(.flags = CLONE_INTO_CGROUP, .cgroup = 1000);
    FAILS(.set_tid = 0, .set_tid_size = 1);
    FAILS(.set_tid = (uintptr_t)&number, .set_tid_size = 0);
    FAILS(.set_tid = (uintptr_t)&number, .set_tid_size = 33);
    FAILS(.set_tid = 1, .set_tid_size = 1);
    FAILS(.flags = CLONE_PIDFD | CLONE_PARENT_SETTID, .pidfd = (uintptr_t)&number, .parent_tid = (uintptr_t)&number);
    FAILS(.flags = CLONE_NEWUSER | CLONE_FS);
}
CASE(fork_with_numbers)
{
    pid_t parent_tid = 0, child_tid = 0;
    int pidfd = -1;
    struct clone_args arguments = {
        .flags = CLONE_PARENT_SETTID | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | CLONE_PIDFD, .exit_signal = SIGCHLD,
        .parent_tid = (uintptr_t)&parent_tid, .child_tid = (uintptr_t)&child_tid, .pidfd = (uintptr_t)&pidfd};
    pid_t child = MUST(CLONE3(arguments));
    if (child == 0)
        _exit(child_tid == getpid() && parent_tid == 0 ? 4 : 5);
    TRUE(parent_tid == child);
    TRUE(child_tid == 0);
    say("cloexec %d", fcntl(pidfd, F_GETFD));
    struct pollfd ready = {pidfd, POLLIN, 0};
    SHOW(poll(&ready, 1, 10000));
    siginfo_t info = {0};
    SHOW(waitid(P_PIDFD, pidfd, &info, WEXITED | WNOWAIT));
    say("code %d status %d child %d", info.si_code, info.si_status, info.si_pid == child);
    SHOW(waitid(P_PIDFD, pidfd, &info, WEXITED));
    SHOW(waitid(P_PIDFD, pidfd, &info, WEXITED));
    SHOW(syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0));
    close(pidfd);
}
CASE(other_exit_signals)
{
    signal(SIGUSR1, SIG_IGN);
    struct clone_args arguments = {.exit_signal = SIGUSR1};
    pid_t child = MUST(CLONE3(arguments));
    if (child == 0)
        _exit(3);
    int status;
    SHOW(waitpid(child, &status, 0));
    TRUE(waitpid(child, &status, __WCLONE) == child);
    show_status("clone child", status);
    arguments.exit_signal = 0;
    child = MUST(CLONE3(arguments));
    if (child == 0)
        _exit(6);
    TRUE(waitpid(child, &status, __WALL) == child);
    show_status("without signal", status);
}
/* A child on a stack of its own may not return through C code: two registers carry function and argument, as libc does it. */
static long on_stack(struct clone_args *arguments, void (*body)(void *), void *argument)
{
    register void *r12 __asm__("r12") = (void *)body;
    register void *r13 __asm__("r13") = argument;
    register long r8 __asm__("r8") = 0x5151;
    long result, kept_rdx = 0x7272;
    __asm__ volatile("syscall\n\ttest %%rax,%%rax\n\tjnz 1f\n\tcmp $0x5151,%%r8\n\tjne 2f\n\tcmp $0x7272,%%rdx\n\tjne 2f\n\t"
                     "xor %%ebp,%%ebp\n\tmov %%r13,%%rdi\n\tcall *%%r12\n2:\n\tmov $231,%%eax\n\tmov $77,%%edi\n\tsyscall\n1:"
                     : "=a"(result), "+d"(kept_rdx), "+r"(r8)
                     : "a"((long)SYS_clone3), "D"(arguments), "S"(sizeof *arguments), "r"(r12), "r"(r13)
                     : "rcx", "r11", "memory");
    say("registers kept: %d", r8 == 0x5151 && kept_rdx == 0x7272);
    return result;
}
static volatile int shared;
static void set_and_leave(void *value)
{
    shared = (int)(long)value;
    syscall(SYS_exit, 5);
}
CASE(own_stack)
{
    struct clone_args arguments = {.exit_signal = SIGCHLD, .stack = (uintptr_t)stack, .stack_size = sizeof stack};
    long child = on_stack(&arguments, set_and_leave, (void *)9);
    wait_for("copy", child);
    say("shared %d", shared);
    arguments.flags = CLONE_VM | CLONE_VFORK;
    child = on_stack(&arguments, set_and_leave, (void *)10);
    say("shared %d", shared);
    wait_for("vfork", child);
    arguments.flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_SYSVSEM;
    child = on_stack(&arguments, set_and_leave, (void *)11);
    wait_for("everything but the thread group", child);
    say("shared %d", shared);
}
CASE(thread)
{
    static pid_t parent_tid, child_tid = 1;
    struct clone_args arguments = {
        .flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID,
        .stack = (uintptr_t)stack, .stack_size = sizeof stack, .parent_tid = (uintptr_t)&parent_tid, .child_tid = (uintptr_t)&child_tid};
    long child = on_stack(&arguments, set_and_leave, (void *)21);
    TRUE(parent_tid == child && child != getpid());
    while (*(volatile pid_t *)&child_tid)
        syscall(SYS_futex, &child_tid, 0 /* FUTEX_WAIT */, 1, NULL, NULL, 0);
    say("shared %d", shared);
    arguments.flags |= CLONE_PIDFD;
    int pidfd = -1;
    arguments.pidfd = (uintptr_t)&pidfd;
    fails("thread with EBADF pidfd address", &(struct clone_args){.flags = arguments.flags, .stack = (uintptr_t)stack, .stack_size = sizeof stack,
        .pidfd = 8, .parent_tid = (uintptr_t)&parent_tid}, sizeof arguments);
}
static void handler(int number) { (void)number; }
static void report_handlers(void *unused)
{
    struct sigaction usr1, usr2, term;
    (void)unused;
    sigaction(SIGUSR1, NULL, &usr1), sigaction(SIGUSR2, NULL, &usr2), sigaction(SIGTERM, NULL, &term);
    _exit((usr1.sa_handler == SIG_DFL) | (usr2.sa_handler == SIG_IGN) << 1 | (term.sa_handler == SIG_DFL) << 2);
}
CASE(clear_sighand)
{
    signal(SIGUSR1, handler), signal(SIGUSR2, SIG_IGN), signal(SIGTERM, handler);
    struct clone_args arguments = {.flags = CLONE_CLEAR_SIGHAND, .exit_signal = SIGCHLD};
    pid_t child = MUST(CLONE3(arguments));
    if (child == 0)
        report_handlers(NULL);
    wait_for("fork", child);
    arguments = (struct clone_args){.flags = CLONE_CLEAR_SIGHAND | CLONE_VM | CLONE_VFORK, .exit_signal = SIGCHLD, .stack = (uintptr_t)stack, .stack_size = sizeof stack};
    child = on_stack(&arguments, report_handlers, NULL);
    wait_for("as posix_spawn does", child);
    struct sigaction own;
    sigaction(SIGUSR1, NULL, &own);
    say("the parent's stays %d", own.sa_handler == handler);
}
CASE(parent_of_the_child)
{
    int fds[2];
    MUST(pipe(fds));
    pid_t child = fork();
    if (child == 0) {
        struct clone_args arguments = {.flags = CLONE_PARENT};
        pid_t sibling = MUST(CLONE3(arguments));
        if (sibling == 0)
            _exit(12);
        MUST(write(fds[1], &sibling, sizeof sibling));
        SHOW(waitpid(sibling, NULL, __WALL));
        _exit(0);
    }
    pid_t sibling;
    MUST(read(fds[0], &sibling, sizeof sibling));
    wait_for("child", child);
    int status;
    TRUE(waitpid(sibling, &status, __WALL) == sibling);
    show_status("the child's sibling", status);
}
CASE(plain_clone_with_pidfd)
{
    int pidfd = -1;
    pid_t child = MUST(syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, NULL, &pidfd, NULL, 0));
    if (child == 0)
        for (;;)
            pause();
    TRUE(pidfd >= 0);
    siginfo_t info = {0};
    SHOW(syscall(SYS_pidfd_send_signal, pidfd, SIGTERM, NULL, 0));
    SHOW(waitid(P_PIDFD, pidfd, &info, WEXITED));
    say("code %d status %d", info.si_code, info.si_status);
    SHOW(syscall(SYS_clone, CLONE_PIDFD | CLONE_PARENT_SETTID | SIGCHLD, NULL, &pidfd, NULL, 0));
    child = MUST(syscall(SYS_clone, CLONE_UNTRACED | CLONE_PTRACE | SIGCHLD, NULL, NULL, NULL, 0));
    if (child == 0)
        _exit(8);
    wait_for("untraced", child);
    child = MUST(syscall(SYS_clone, CLONE_PARENT | SIGCHLD, NULL, NULL, NULL, 0));
    if (child == 0)
        _exit(8);
    SHOW(waitpid(child, NULL, __WALL));
}
static void *thread_body(void *value) { return (char *)value + 1; }
CASE(libc)
{
    pthread_t threads[8];
    for (long index = 0; index < 8; index++)
        if (pthread_create(&threads[index], NULL, thread_body, (void *)index))
            say("pthread_create failed");
    long sum = 0;
    for (int index = 0; index < 8; index++) {
        void *value;
        pthread_join(threads[index], &value);
        sum += (long)value;
    }
    say("sum %ld", sum);
    char *const argv[] = {"true", NULL}, *const envp[] = {NULL};
    pid_t child;
    SHOW(posix_spawn(&child, "/bin/true", NULL, NULL, argv, envp));
    wait_for("spawned", child);
    say("missing: %s", error_name(posix_spawn(&child, "/no/such", NULL, NULL, argv, envp)));
}
