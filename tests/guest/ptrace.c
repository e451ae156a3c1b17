// ptrace of one process by another: every kind of stop, what a tracer may read and change, how it waits, and who may trace whom.
// flags: -pthread
// user: nobody
// grant: cow
#include "guest.h"
#include <elf.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/ptrace.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/user.h>
#undef PTRACE_GETREGS
#define PT(request, pid, address, data) syscall(SYS_ptrace, request, pid, (long)(address), (long)(data))
enum { TRACEME, PEEKTEXT, PEEKDATA, PEEKUSER, POKETEXT, POKEDATA, POKEUSER, CONT, KILL, STEP, GETREGS = 12, SETREGS, GETFPREGS, ATTACH = 16, DETACH = 17, SYSCALL = 24 };

int guest_child(int argc, char **argv)
{
    (void)argc;
    if (!strcmp(argv[1], "--exit"))
        return 5;
    return 1;
}
/* A status word in words. */
static void show_stop(const char *what, int status)
{
    if (!WIFSTOPPED(status)) {
        show_status(what, status);
        return;
    }
    if (status >> 16)
        say("%s: event %d signal %d", what, status >> 16, WSTOPSIG(status));
    else
        say("%s: stop %s%d", what, WSTOPSIG(status) & 0x80 ? "call " : "", WSTOPSIG(status) & 0x7f);
}
static int next(pid_t pid)
{
    int status = -1;
    pid_t found = waitpid(pid, &status, __WALL);
    if (found < 0)
        say("wait: %s", error_name(errno));
    return status;
}
static int go(int request, pid_t pid, int signal)
{
    if (PT(request, pid, 0, signal) < 0)
        say("resume: %s", error_name(errno));
    return next(pid);
}
/* A child that asks to be traced and stops. */
static pid_t traced(void (*body)(void), long options)
{
    pid_t child = fork();
    if (child == 0) {
        MUST(PT(TRACEME, 0, 0, 0));
        raise(SIGSTOP);
        body();
        _exit(0);
    }
    show_stop("begin", next(child));
    MUST(PT(PTRACE_SETOPTIONS, child, 0, options));
    return child;
}
static void finish(pid_t child)
{
    int status;
    do
        status = go(CONT, child, 0);
    while (WIFSTOPPED(status));
    show_stop("end", status);
}
static struct user_regs_struct registers(pid_t pid)
{
    struct user_regs_struct r;
    MUST(PT(GETREGS, pid, 0, &r));
    return r;
}
static volatile int marker = 17;
static void some_calls(void)
{
    syscall(SYS_getppid);
    mkdir("made", 0700);
    rmdir("made");
    syscall(SYS_times, NULL);
    syscall(499);
    syscall(SYS_getpriority, 0, 0);
    close(open("/dev/null", O_RDONLY));
    _exit(marker);
}
CASE(calls)
{
    pid_t child = traced(some_calls, PTRACE_O_TRACESYSGOOD);
    for (int index = 0; index < 40; index++) {
        int status = go(SYSCALL, child, 0);
        if (!WIFSTOPPED(status)) {
            show_stop("end", status);
            break;
        }
        struct user_regs_struct r = registers(child);
        struct ptrace_syscall_info info;
        long size = PT(PTRACE_GET_SYSCALL_INFO, child, sizeof info, &info);
        if (info.op == PTRACE_SYSCALL_INFO_ENTRY)
            say("entry %lld: rax %lld, info %llu of %ld arch %x", r.orig_rax, (long long)r.rax, info.entry.nr, size, info.arch);
        else
            say("exit %lld: error %d, failed %lld of %ld", r.orig_rax, info.exit.is_error, info.exit.is_error ? (long long)r.rax : 0, size);
    }
}
CASE(another_call_another_answer)
{
    pid_t child = traced(some_calls, PTRACE_O_TRACESYSGOOD);
    show_stop("getppid", go(SYSCALL, child, 0));
    struct user_regs_struct r = registers(child);
    r.orig_rax = SYS_getpgrp; /* another call */
    MUST(PT(SETREGS, child, 0, &r));
    show_stop("exit", go(SYSCALL, child, 0));
    r = registers(child);
    TRUE((pid_t)r.rax == getpgrp());
    show_stop("mkdir", go(SYSCALL, child, 0));
    r = registers(child);
    r.orig_rax = -1, r.rax = -EXDEV; /* no call */
    MUST(PT(SETREGS, child, 0, &r));
    show_stop("exit", go(SYSCALL, child, 0));
    say("skipped: %lld", (long long)registers(child).rax);
    SHOW(access("made", F_OK));
    show_stop("rmdir", go(SYSCALL, child, 0));
    show_stop("exit", go(SYSCALL, child, 0));
    r = registers(child);
    say("rmdir: %lld", (long long)r.rax);
    for (int stops = 0; stops < 30; stops++) {
        int status = go(SYSCALL, child, 0);
        if (!WIFSTOPPED(status)) {
            show_stop("end", status);
            break;
        }
        r = registers(child);
        if (r.orig_rax == SYS_exit_group) {
            r.rdi = 42;
            MUST(PT(SETREGS, child, 0, &r));
        }
    }
}
CASE(memory)
{
    static volatile long word = 0x1122334455667788;
    pid_t child = traced(some_calls, 0);
    long value = 0;
    SHOW(PT(PEEKDATA, child, &word, &value));
    say("%lx", value);
    SHOW(PT(POKEDATA, child, &marker, 33));
    SHOW(PT(PEEKDATA, child, 8, &value)), SHOW(PT(POKEDATA, child, 8, 1));
    SHOW(PT(POKETEXT, child, "read only" , 0x41));
    SHOW(PT(PEEKUSER, child, offsetof(struct user, regs.orig_rax), &value)), SHOW(PT(PEEKUSER, child, 3, &value)), SHOW(PT(PEEKUSER, child, 1 << 20, &value));
    struct user_regs_struct r;
    struct iovec set = {&r, sizeof r};
    SHOW(PT(PTRACE_GETREGSET, child, NT_PRSTATUS, &set));
    say("size %zu same %d", set.iov_len, r.rip == registers(child).rip);
    char area[8192];
    set = (struct iovec){area, sizeof area};
    SHOW(PT(PTRACE_GETREGSET, child, NT_X86_XSTATE, &set));
    TRUE(set.iov_len >= 576);
    set = (struct iovec){area, 16};
    SHOW(PT(PTRACE_GETREGSET, child, NT_PRSTATUS, &set));
    say("size %zu", set.iov_len);
    SHOW(PT(PTRACE_GETREGSET, child, 9999, &set)), SHOW(PT(PTRACE_GETREGSET, child, NT_PRSTATUS, 8));
    struct user_fpregs_struct floating;
    SHOW(PT(GETFPREGS, child, 0, &floating));
    unsigned long mask = 0;
    SHOW(PT(PTRACE_GETSIGMASK, child, 8, &mask)), SHOW(PT(PTRACE_GETSIGMASK, child, 4, &mask));
    say("mask %lx", mask);
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/mem", child);
    int fd = MUST(open(path, O_RDWR));
    SHOW(pread(fd, &value, 8, (off_t)&word));
    say("%lx", value);
    int other = 34;
    SHOW(pwrite(fd, &other, 4, (off_t)&marker));
    SHOW(pread(fd, &value, 8, 8));
    finish(child);
}
static volatile sig_atomic_t handled;
static void handler(int number) { handled = number; }
static void signals_to_self(void)
{
    signal(SIGUSR1, handler), signal(SIGUSR2, handler);
    raise(SIGUSR1);
    say("first %d", handled);
    handled = 0;
    raise(SIGUSR1);
    say("second %d", handled);
    handled = 0;
    raise(SIGUSR1);
    say("third %d", handled);
    raise(SIGTERM);
    say("not reached");
}
CASE(signals)
{
    pid_t child = traced(signals_to_self, 0);
    siginfo_t info;
    SHOW(PT(PTRACE_GETSIGINFO, child, 0, &info));
    say("signal %d code %d", info.si_signo, info.si_code);
    show_stop("first", go(CONT, child, 0));
    SHOW(PT(PTRACE_GETSIGINFO, child, 0, &info));
    say("signal %d code %d from itself %d", info.si_signo, info.si_code, info.si_pid == child);
    show_stop("second", go(CONT, child, SIGUSR1));
    show_stop("third", go(CONT, child, 0));
    show_stop("fatal", go(CONT, child, SIGUSR2));
    show_stop("end", go(CONT, child, SIGTERM));
}
static void a_few_instructions(void)
{
    __asm__ volatile("nop\n\tnop\n\tnop\n\tmov $110,%%eax\n\tsyscall\n\tnop\n\tmov $231,%%eax\n\tmov $7,%%edi\n\tsyscall" ::: "rax", "rdi", "rcx", "r11");
}
CASE(single_step)
{
    pid_t child = traced(a_few_instructions, 0);
    int steps = 0, status;
    long code = 0;
    for (;;) {
        status = go(STEP, child, 0);
        if (!WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
            break;
        siginfo_t info;
        MUST(PT(PTRACE_GETSIGINFO, child, 0, &info));
        code |= 1L << info.si_code;
        steps++;
    }
    TRUE(steps > 9);
    say("codes %lx", code);
    show_stop("end", status);
}
static void breakpoint(void)
{
    __asm__ volatile("int3");
    _exit(8);
}
CASE(break_point)
{
    pid_t child = traced(breakpoint, 0);
    show_stop("int3", go(CONT, child, 0));
    siginfo_t info;
    MUST(PT(PTRACE_GETSIGINFO, child, 0, &info));
    say("code %d", info.si_code);
    finish(child);
}
static void *nothing(void *argument) { return argument; }
static void create(void)
{
    if (fork() == 0)
        _exit(1);
    wait(NULL);
    if (vfork() == 0)
        _exit(2);
    wait(NULL);
    pthread_t thread;
    pthread_create(&thread, NULL, nothing, NULL);
    pthread_join(thread, NULL);
    execl(guest_program, "program", "--exit", NULL);
}
CASE(events)
{
    pid_t child = traced(create, PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_TRACEVFORKDONE | PTRACE_O_TRACEEXIT | PTRACE_O_TRACESYSGOOD);
    int born = 0, done = 0;
    MUST(PT(CONT, child, 0, 0));
    for (int left = 60; left--;) {
        int status;
        pid_t pid = waitpid(-1, &status, __WALL);
        if (pid < 0) {
            say("wait: %s", error_name(errno));
            break;
        }
        unsigned long message = 0;
        const char *who = pid == child ? "parent" : "child";
        if (WIFSTOPPED(status)) {
            PT(PTRACE_GETEVENTMSG, pid, 0, &message);
            if (pid != child && WSTOPSIG(status) == SIGSTOP) { /* its order and the creator's event's is the kernel's own affair */
                born++;
                MUST(PT(CONT, pid, 0, 0));
                continue;
            }
            int event = status >> 16;
            if (event == PTRACE_EVENT_VFORK_DONE) { /* nor is that of this and the child's end */
                done++;
                MUST(PT(CONT, pid, 0, 0));
                continue;
            }
            say("%s: event %d signal %d message %s", who, event, WSTOPSIG(status), event == 6 ? (message == 0x100 ? "1" : message == 0x200 ? "2" : message == 0x500 ? "5" : "0") : event == 4 ? (pid_t)message == child ? "own" : "other" : message > 1 ? "pid" : "none");
            MUST(PT(CONT, pid, 0, WSTOPSIG(status) == SIGCHLD ? SIGCHLD : 0));
            continue;
        }
        show_status(who, status);
    }
    say("children stopped at birth: %d, vforks done %d", born, done);
}
static void plain_exec(void)
{
    execl(guest_program, "program", "--exit", NULL);
}
CASE(exec_without_options)
{
    pid_t child = traced(plain_exec, 0);
    show_stop("exec", go(CONT, child, 0));
    siginfo_t info;
    SHOW(PT(PTRACE_GETSIGINFO, child, 0, &info));
    say("signal %d code %d from itself %d", info.si_signo, info.si_code, info.si_pid == child);
    finish(child);
    child = traced(plain_exec, PTRACE_O_TRACESYSGOOD);
    for (int index = 0; index < 5; index++) {
        show_stop("around exec", go(SYSCALL, child, 0));
        struct user_regs_struct r = registers(child);
        if (index < 3)
            say("call %lld rax %lld", (long long)r.orig_rax, (long long)r.rax);
    }
    finish(child);
}
static void sleeper(void)
{
    for (;;)
        pause();
}
static pid_t start(void (*body)(void))
{
    pid_t child = fork();
    if (child == 0) {
        body();
        _exit(0);
    }
    return child;
}
CASE(attach)
{
    int status;
    pid_t child = start(sleeper);
    SHOW(PT(CONT, child, 0, 0));
    SHOW(PT(ATTACH, child, 0, 0));
    show_stop("attached", next(child));
    SHOW(PT(ATTACH, child, 0, 0));
    SHOW(waitpid(child, &status, WNOHANG | __WALL));
    SHOW(PT(DETACH, child, 0, 0));
    SHOW(PT(CONT, child, 0, 0));
    MUST(kill(child, SIGSTOP));
    TRUE(waitpid(child, &status, WUNTRACED) == child);
    SHOW(PT(ATTACH, child, 0, 0));
    show_stop("attached to a stopped one", next(child));
    SHOW(PT(KILL, child, 0, 0));
    show_stop("killed", next(child));
    SHOW(PT(ATTACH, child, 0, 0));
    SHOW(waitpid(child, &status, __WALL));
}
CASE(not_its_child)
{
    int pids[2], quit[2], after[2];
    MUST(pipe(pids)), MUST(pipe(quit)), MUST(pipe(after));
    pid_t parent = fork();
    if (parent == 0) {
        pid_t child = fork();
        if (child == 0) {
            char byte;
            read(quit[0], &byte, 1);
            _exit(6);
        }
        MUST(write(pids[1], &child, sizeof child));
        char byte;
        read(after[0], &byte, 1);
        wait_for("its parent sees", child);
        _exit(0);
    }
    pid_t target;
    MUST(read(pids[0], &target, sizeof target));
    SHOW(waitpid(target, NULL, __WALL));
    SHOW(PT(ATTACH, target, 0, 0));
    show_stop("attached", next(target));
    SHOW(waitpid(target, NULL, WNOHANG | __WALL));
    MUST(PT(CONT, target, 0, 0));
    MUST(write(quit[1], "x", 1));
    show_stop("its tracer sees", next(target));
    MUST(write(after[1], "x", 1));
    wait_for("parent", parent);
    SHOW(waitpid(target, NULL, __WALL));
}
CASE(seize)
{
    pid_t child = start(sleeper);
    siginfo_t info;
    SHOW(PT(PTRACE_SEIZE, child, 1, 0));
    SHOW(PT(PTRACE_SEIZE, child, 0, 1 << 30));
    SHOW(PT(PTRACE_SEIZE, child, 0, PTRACE_O_TRACESYSGOOD));
    SHOW(waitpid(child, NULL, WNOHANG | __WALL));
    SHOW(PT(PTRACE_INTERRUPT, child, 0, 0));
    show_stop("interrupted", next(child));
    SHOW(PT(PTRACE_GETSIGINFO, child, 0, &info));
    say("code %x", info.si_code);
    SHOW(PT(PTRACE_LISTEN, child, 0, 0));
    SHOW(PT(CONT, child, 0, 0));
    SHOW(PT(PTRACE_INTERRUPT, child, 0, 0));
    show_stop("interrupted again", next(child));
    MUST(PT(CONT, child, 0, 0));
    MUST(kill(child, SIGSTOP));
    show_stop("signal", next(child));
    show_stop("group stop", go(CONT, child, SIGSTOP));
    SHOW(PT(PTRACE_GETSIGINFO, child, 0, &info));
    SHOW(PT(PTRACE_LISTEN, child, 0, 0));
    SHOW(waitpid(child, NULL, WNOHANG | __WALL));
    MUST(kill(child, SIGCONT));
    int status = next(child);
    show_stop("continued", status);
    show_stop("signal", go(CONT, child, 0));
    MUST(PT(CONT, child, 0, SIGCONT));
    MUST(kill(child, SIGKILL));
    show_stop("end", next(child));
}
CASE(who_may)
{
    SHOW(PT(ATTACH, getpid(), 0, 0)), SHOW(PT(ATTACH, 0, 0, 0)), SHOW(PT(ATTACH, -1, 0, 0)), SHOW(PT(ATTACH, 0x7ffffff0, 0, 0));
    SHOW(PT(PTRACE_INTERRUPT, getppid(), 0, 0)), SHOW(PT(9999, getppid(), 0, 0));
    pid_t child = start(sleeper);
    SHOW(PT(PTRACE_INTERRUPT, child, 0, 0));
    SHOW(PT(PTRACE_SEIZE, child, 0, 0));
    SHOW(PT(GETREGS, child, 0, 0));
    SHOW(PT(PTRACE_INTERRUPT, child, 0, 0));
    show_stop("interrupted", next(child));
    SHOW(PT(9999, child, 0, 0));
    SHOW(PT(CONT, child, 0, 65));
    SHOW(PT(PTRACE_SETOPTIONS, child, 0, 1 << 30));
    SHOW(PT(GETREGS, child, 0, 8));
    pid_t rival = fork();
    if (rival == 0) {
        SHOW(PT(ATTACH, child, 0, 0));
        SHOW(PT(GETREGS, child, 0, &child));
        _exit(0);
    }
    wait_for("rival", rival);
    kill(child, SIGKILL);
    show_stop("end", next(child));
    child = fork();
    if (child == 0) {
        SHOW(PT(TRACEME, 0, 0, 0));
        SHOW(PT(TRACEME, 0, 0, 0));
        _exit(0);
    }
    show_stop("child", next(child));
}
CASE(waits)
{
    siginfo_t info = {0};
    int status;
    pid_t child = start(sleeper);
    MUST(PT(PTRACE_SEIZE, child, 0, 0));
    SHOW(waitid(P_PID, child, &info, WEXITED | WNOHANG));
    say("nobody %d", info.si_pid);
    MUST(PT(PTRACE_INTERRUPT, child, 0, 0));
    SHOW(waitid(P_PID, child, &info, WSTOPPED | WNOWAIT));
    say("signal %d code %d status %x child %d", info.si_signo, info.si_code, info.si_status, info.si_pid == child);
    SHOW(waitid(P_ALL, 0, &info, WSTOPPED));
    SHOW(waitid(P_ALL, 0, &info, WSTOPPED | WNOHANG));
    MUST(PT(CONT, child, 0, 0));
    MUST(PT(PTRACE_INTERRUPT, child, 0, 0));
    TRUE(waitpid(-getpgrp(), &status, __WALL) == child);
    SHOW(waitpid(-getpgrp() - 1, &status, __WALL));
    MUST(PT(CONT, child, 0, 0));
    pid_t other = fork();
    if (other == 0)
        _exit(9);
    TRUE(waitpid(-1, &status, __WALL) == other);
    show_stop("a child that is not traced", status);
    kill(child, SIGKILL);
    SHOW(waitid(P_PID, child, &info, WEXITED));
    say("code %d status %d", info.si_code, info.si_status);
    SHOW(waitpid(-1, &status, __WALL));
}
static void alarm_handler(int number) { (void)number; }
CASE(a_wait_is_interrupted)
{
    struct sigaction action = {.sa_handler = alarm_handler};
    sigaction(SIGALRM, &action, NULL);
    pid_t child = start(sleeper);
    MUST(PT(PTRACE_SEIZE, child, 0, 0));
    struct itimerval soon = {{0, 0}, {0, 50000}};
    setitimer(ITIMER_REAL, &soon, NULL);
    SHOW(waitpid(child, NULL, __WALL));
    kill(child, SIGKILL);
    show_stop("end", next(child));
}
static volatile pid_t other_tid;
static void *exits(void *argument)
{
    other_tid = syscall(SYS_gettid);
    return argument;
}
static void two_threads(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, exits, NULL);
    pthread_join(thread, NULL);
    while (syscall(SYS_tgkill, getpid(), other_tid, 0) == 0) /* joined is not yet gone */
        sleep_ms(1);
    _exit(2);
}
CASE(a_thread_ends)
{
    pid_t child = traced(two_threads, PTRACE_O_TRACECLONE);
    show_stop("clone", go(CONT, child, 0));
    unsigned long thread = 0;
    MUST(PT(PTRACE_GETEVENTMSG, child, 0, &thread));
    show_stop("thread", next(thread));
    MUST(PT(CONT, thread, 0, 0));
    MUST(PT(CONT, child, 0, 0));
    show_stop("its end", next(thread));
    show_stop("end", next(child));
}
CASE(the_tracer_ends)
{
    for (int kill_it = 0; kill_it < 2; kill_it++) {
        int fds[2], ready[2];
        char byte;
        MUST(pipe(fds)), MUST(pipe(ready));
        pid_t child = fork();
        if (child == 0) {
            read(fds[0], &byte, 1);
            _exit(4);
        }
        pid_t tracer = fork();
        if (tracer == 0) {
            MUST(PT(PTRACE_SEIZE, child, 0, kill_it ? PTRACE_O_EXITKILL : 0));
            MUST(PT(PTRACE_INTERRUPT, child, 0, 0));
            next(child);
            _exit(0);
        }
        wait_for("tracer", tracer);
        if (!kill_it)
            MUST(write(fds[1], "x", 1));
        wait_for("tracee", child);
    }
}
static void with_filter(void)
{
    struct sock_filter code[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE | 77), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {4, code};
    MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    MUST(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
    long result = syscall(SYS_getppid);
    say("answer %ld", result);
    SHOW(syscall(SYS_getppid));
    _exit(3);
}
CASE(seccomp_events)
{
    pid_t child = traced(with_filter, PTRACE_O_TRACESECCOMP);
    show_stop("filter", go(CONT, child, 0));
    unsigned long message = 0;
    MUST(PT(PTRACE_GETEVENTMSG, child, 0, &message));
    struct user_regs_struct r = registers(child);
    say("message %lu call %lld", message, (long long)r.orig_rax);
    r.orig_rax = -1, r.rax = 1234;
    MUST(PT(SETREGS, child, 0, &r));
    MUST(PT(PTRACE_SETOPTIONS, child, 0, 0));
    finish(child);
}
static void blocked_calls(void)
{
    char byte;
    int fds[2];
    MUST(pipe(fds));
    signal(SIGUSR1, handler);
    long got = read(fds[0], &byte, 1);
    say("read %ld", got);
    MUST(mkfifo("fifo", 0600));
    int fd = open("fifo", O_RDONLY);
    say("open %d", fd >= 0);
    _exit(0);
}
CASE(waiting_calls)
{
    pid_t child = traced(blocked_calls, PTRACE_O_TRACESYSGOOD);
    MUST(PT(CONT, child, 0, 0));
    sleep_ms(60);
    MUST(kill(child, SIGSTOP));
    show_stop("stopped in read", next(child));
    MUST(PT(CONT, child, 0, 0));
    sleep_ms(30);
    MUST(kill(child, SIGUSR2));
    show_stop("signal in read", next(child));
    MUST(PT(DETACH, child, 0, 0));
    kill(child, SIGKILL);
    show_stop("end", next(child));
}
