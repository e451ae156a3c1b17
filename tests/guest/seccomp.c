// seccomp: strict mode, filters with every action, stacking, inheritance, other threads, and programs the kernel refuses.
// flags: -pthread
// user: nobody
// grant: cow
#include "guest.h"
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <ucontext.h>

#define NR BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr))
#define ARGUMENT(n) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[n]))
#define RETURN(value) BPF_STMT(BPF_RET | BPF_K, value)
/* What number does; everything else is allowed. */
#define ON(number, action) {NR, BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1), RETURN(action), RETURN(SECCOMP_RET_ALLOW)}
#define INSTALL(filter) install(filter, sizeof filter / sizeof *filter, 0)
static long install(struct sock_filter *filter, unsigned short count, unsigned flags)
{
    struct sock_fprog program = {count, filter};
    MUST(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}
int guest_child(int argc, char **argv)
{
    (void)argc;
    if (!strcmp(argv[1], "--after"))
        say("after exec: getpriority %s, mode %d", getpriority(PRIO_PROCESS, 0) == -1 && errno == EDOM ? "EDOM" : "allowed", prctl(PR_GET_SECCOMP));
    return 0;
}
static void in_child(const char *what, void (*body)(void))
{
    pid_t child = fork();
    if (child == 0) {
        body();
        _exit(0);
    }
    wait_for(what, child);
}
static void strict_ends_well(void)
{
    MUST(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
    write(1, "strict writes\n", 14);
    syscall(SYS_exit, 3);
}
static void strict_ends_badly(void)
{
    MUST(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, NULL));
    syscall(SYS_getpid);
    write(1, "not reached\n", 12);
}
CASE(strict)
{
    in_child("allowed calls", strict_ends_well);
    in_child("another call", strict_ends_badly);
    SHOW(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 1, NULL));
    SHOW(syscall(SYS_seccomp, SECCOMP_SET_MODE_STRICT, 0, "x"));
}
CASE(errno_for_every_route)
{
    struct sock_filter direct[] = ON(SYS_getppid, SECCOMP_RET_ERRNO | EDOM), noted[] = ON(SYS_getpriority, SECCOMP_RET_ERRNO | 5000),
                       stopped[] = ON(SYS_times, SECCOMP_RET_ERRNO), missing[] = ON(SYS_io_uring_setup, SECCOMP_RET_ERRNO | EXDEV),
                       unknown[] = ON(499, SECCOMP_RET_ERRNO | EPIPE);
    SHOW(INSTALL(direct)), SHOW(INSTALL(noted)), SHOW(INSTALL(stopped)), SHOW(INSTALL(missing)), SHOW(INSTALL(unknown));
    SHOW(syscall(SYS_getppid));
    long bounded = syscall(SYS_getpriority, 0, 0);
    say("%ld %d", bounded, errno);
    SHOW(syscall(SYS_times, NULL));
    SHOW(syscall(SYS_io_uring_setup, 1, NULL));
    SHOW(syscall(499));
    TRUE(getpid() == syscall(SYS_gettid));
    make_file("file", "content", 0600);
    show_file("file");
    SHOW(prctl(PR_GET_SECCOMP));
    char text[4096] = "";
    int fd = MUST(open("/proc/self/status", O_RDONLY));
    MUST(read(fd, text, sizeof text - 1));
    char *line = strstr(text, "NoNewPrivs:");
    say("%.*s", (int)strcspn(line, "S") + 11, line);
    line = strstr(text, "Seccomp_filters:");
    say("%.*s", (int)strcspn(line, "\n"), line);
}
CASE(by_argument)
{
    struct sock_filter filter[] = {NR, BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 5), ARGUMENT(0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AF_UNIX, 3, 0), BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, 100, 0, 1), RETURN(SECCOMP_RET_ERRNO | ERANGE),
        RETURN(SECCOMP_RET_ERRNO | EACCES), RETURN(SECCOMP_RET_ALLOW)};
    SHOW(INSTALL(filter));
    TRUE(socket(AF_UNIX, SOCK_STREAM, 0) >= 0);
    SHOW(socket(AF_PACKET, SOCK_RAW, 0));
    SHOW(socket(101, SOCK_RAW, 0));
    struct sock_filter words[] = {BPF_STMT(BPF_LD | BPF_W | BPF_LEN, 0), BPF_STMT(BPF_ST, 3), BPF_STMT(BPF_LDX | BPF_MEM, 3), BPF_STMT(BPF_MISC | BPF_TXA, 0),
        BPF_STMT(BPF_ALU | BPF_SUB | BPF_K, 64), BPF_STMT(BPF_ALU | BPF_NEG, 0), BPF_STMT(BPF_ALU | BPF_RSH | BPF_K, 31), BPF_STMT(BPF_MISC | BPF_TAX, 0), NR,
        BPF_STMT(BPF_ALU | BPF_MUL | BPF_K, 2), BPF_STMT(BPF_ALU | BPF_ADD | BPF_X, 0), BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 2 * SYS_getppid, 0, 1),
        RETURN(SECCOMP_RET_ERRNO | ENOTTY), RETURN(SECCOMP_RET_ALLOW)};
    SHOW(INSTALL(words));
    SHOW(syscall(SYS_getppid));
    TRUE(syscall(SYS_getpid) > 0);
}
static void on_sys(int number, siginfo_t *info, void *context)
{
    ucontext_t *state = context;
    say("signal %d code %d errno %d call %d arch %x", number, info->si_code, info->si_errno, info->si_syscall, info->si_arch);
    say("address is behind the call %d", (greg_t)(uintptr_t)info->si_call_addr == state->uc_mcontext.gregs[REG_RIP]);
    say("rax is the number %d", state->uc_mcontext.gregs[REG_RAX] == info->si_syscall);
    state->uc_mcontext.gregs[REG_RAX] = 1234;
}
static void trap_without_handler(void)
{
    struct sock_filter filter[] = ON(SYS_getppid, SECCOMP_RET_TRAP | 7);
    MUST(INSTALL(filter));
    syscall(SYS_getppid);
    say("not reached");
}
static void trap_blocked(void)
{
    sigset_t set;
    struct sigaction action = {.sa_sigaction = on_sys, .sa_flags = SA_SIGINFO};
    sigaction(SIGSYS, &action, NULL);
    sigemptyset(&set), sigaddset(&set, SIGSYS), sigprocmask(SIG_BLOCK, &set, NULL);
    trap_without_handler();
}
static void trap_ignored(void)
{
    signal(SIGSYS, SIG_IGN);
    trap_without_handler();
}
CASE(trap)
{
    struct sigaction action = {.sa_sigaction = on_sys, .sa_flags = SA_SIGINFO};
    sigaction(SIGSYS, &action, NULL);
    struct sock_filter filter[] = ON(SYS_getppid, SECCOMP_RET_TRAP | 7), noted[] = ON(SYS_mkdir, SECCOMP_RET_TRAP | 8);
    SHOW(INSTALL(filter)), SHOW(INSTALL(noted));
    SHOW(syscall(SYS_getppid));
    SHOW(syscall(SYS_mkdir, "never", 0700));
    SHOW(access("never", F_OK));
    signal(SIGSYS, SIG_DFL);
    in_child("without handler", trap_without_handler);
    in_child("blocked", trap_blocked);
    in_child("ignored", trap_ignored);
}
static void kill_process(void)
{
    signal(SIGSYS, SIG_IGN);
    struct sock_filter filter[] = ON(SYS_getppid, SECCOMP_RET_KILL_PROCESS);
    MUST(INSTALL(filter));
    syscall(SYS_getppid);
    say("not reached");
}
static void kill_only_thread(void)
{
    struct sock_filter filter[] = ON(SYS_getppid, SECCOMP_RET_KILL_THREAD);
    MUST(INSTALL(filter));
    syscall(SYS_getppid);
    say("not reached");
}
static volatile pid_t killed;
static void *call_getppid(void *unused)
{
    killed = syscall(SYS_gettid);
    kill_only_thread();
    return unused;
}
static void kill_one_thread(void)
{
    pthread_t thread;
    pthread_create(&thread, NULL, call_getppid, NULL);
    char path[64];
    struct timespec pause = {0, 1000000};
    do {
        nanosleep(&pause, NULL);
        snprintf(path, sizeof path, "/proc/self/task/%d", killed);
    } while (!killed || !access(path, F_OK));
    say("the other thread is gone, mode here %d", prctl(PR_GET_SECCOMP));
    _exit(4);
}
CASE(kill_actions)
{
    in_child("process", kill_process);
    in_child("the only thread", kill_only_thread);
    in_child("one of two threads", kill_one_thread);
    struct sock_filter unknown[] = ON(SYS_getppid, 0x12340000);
    (void)unknown;
    struct sock_filter nobody[] = ON(SYS_getppid, SECCOMP_RET_TRACE | 1);
    SHOW(INSTALL(nobody));
    SHOW(syscall(SYS_getppid));
}
CASE(strictest_wins)
{
    struct sock_filter allow[] = ON(SYS_getppid, SECCOMP_RET_ALLOW), first[] = ON(SYS_getppid, SECCOMP_RET_ERRNO | EDOM),
                       later[] = ON(SYS_getppid, SECCOMP_RET_ERRNO | ERANGE), trace[] = ON(SYS_getppid, SECCOMP_RET_TRACE);
    SHOW(INSTALL(trace)), SHOW(INSTALL(first)), SHOW(INSTALL(allow));
    SHOW(syscall(SYS_getppid));
    SHOW(INSTALL(later));
    SHOW(syscall(SYS_getppid));
}
CASE(inherited)
{
    struct sock_filter filter[] = ON(SYS_getpriority, SECCOMP_RET_ERRNO | EDOM);
    SHOW(INSTALL(filter));
    pid_t child = fork();
    if (child == 0) {
        SHOW(getpriority(PRIO_PROCESS, 0));
        execl(guest_program, "program", "--after", NULL);
        _exit(9);
    }
    wait_for("child", child);
    child = vfork();
    if (child == 0) {
        execl(guest_program, "program", "--after", NULL);
        _exit(9);
    }
    wait_for("vforked child", child);
}
static volatile int release, done;
static void *loop(void *unused)
{
    while (!release)
        ;
    say("thread: %s, mode %d", syscall(SYS_getppid) == -1 ? error_name(errno) : "allowed", prctl(PR_GET_SECCOMP));
    done = 1;
    return unused;
}
static void *own_filter(void *unused)
{
    struct sock_filter filter[] = ON(SYS_getppid, SECCOMP_RET_ERRNO | EDOM);
    SHOW(INSTALL(filter));
    release = 1;
    while (!done)
        usleep(1000);
    return unused;
}
CASE(threads)
{
    pthread_t thread, other;
    struct sock_filter filter[] = ON(SYS_getppid, SECCOMP_RET_ERRNO | EXDEV);
    pthread_create(&thread, NULL, loop, NULL);
    SHOW(install(filter, 4, SECCOMP_FILTER_FLAG_TSYNC));
    release = 1;
    pthread_join(thread, NULL);
    release = done = 0;
    pthread_create(&other, NULL, own_filter, NULL);
    while (!release)
        usleep(1000);
    long refused = install(filter, 4, SECCOMP_FILTER_FLAG_TSYNC);
    TRUE(refused > 0 && refused != getpid());
    SHOW(install(filter, 4, SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH));
    done = 1;
    pthread_join(other, NULL);
}
CASE(refused_programs)
{
    struct sock_filter fine[] = {RETURN(SECCOMP_RET_ALLOW)};
    struct sock_fprog program = {1, fine};
    if (getuid() != 0)
        SHOW(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program));
    else
        say("syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program) = root may");
    struct sock_filter no_return[] = {NR}, beyond[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 64), fine[0]}, odd[] = {BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2), fine[0]},
                       packet[] = {BPF_STMT(BPF_LD | BPF_W | BPF_IND, 0), fine[0]}, half[] = {BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 0), fine[0]},
                       jump[] = {BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0), fine[0]}, far[] = {BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 1), fine[0]},
                       zero[] = {BPF_STMT(BPF_ALU | BPF_DIV | BPF_K, 0), fine[0]}, shift[] = {BPF_STMT(BPF_ALU | BPF_LSH | BPF_K, 32), fine[0]},
                       unwritten[] = {BPF_STMT(BPF_LD | BPF_MEM, 2), fine[0]}, memory[] = {BPF_STMT(BPF_ST, 16), fine[0]},
                       modulo[] = {BPF_STMT(BPF_ALU | BPF_MOD | BPF_K, 3), fine[0]}, odd_code[] = {{0x1234, 0, 0, 0}, fine[0]},
                       x_return[] = {BPF_STMT(BPF_RET | BPF_X, 0)};
    SHOW(INSTALL(no_return)), SHOW(INSTALL(beyond)), SHOW(INSTALL(odd)), SHOW(INSTALL(packet)), SHOW(INSTALL(half)), SHOW(INSTALL(jump));
    SHOW(INSTALL(far)), SHOW(INSTALL(zero)), SHOW(INSTALL(shift)), SHOW(INSTALL(unwritten)), SHOW(INSTALL(memory)), SHOW(INSTALL(modulo));
    SHOW(INSTALL(odd_code)), SHOW(INSTALL(x_return));
    SHOW(install(fine, 0, 0)), SHOW(install(fine, 4097, 0)), SHOW(install(fine, 1, 1 << 20)), SHOW(install((void *)8, 1, 0));
    SHOW(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, (void *)8));
    SHOW(syscall(SYS_seccomp, 99, 0, NULL));
    SHOW(prctl(PR_SET_SECCOMP, 3, NULL)), SHOW(prctl(PR_GET_SECCOMP));
    SHOW(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
    SHOW(prctl(PR_GET_SECCOMP));
    SHOW(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT, NULL));
}
CASE(actions)
{
    unsigned actions[] = {SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP, SECCOMP_RET_ERRNO, SECCOMP_RET_TRACE, SECCOMP_RET_LOG,
                          SECCOMP_RET_ALLOW, 0x12345678};
    for (unsigned index = 0; index < sizeof actions / sizeof *actions; index++)
        SHOW(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &actions[index]));
    SHOW(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 1, &actions[0]));
    SHOW(syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, (void *)8));
}
static volatile sig_atomic_t alarms;
static void on_alarm(int number) { alarms++; }
CASE(interrupted_and_waiting)
{
    struct sock_filter filter[] = ON(SYS_getppid, SECCOMP_RET_ERRNO | EDOM);
    MUST(INSTALL(filter));
    struct sigaction action = {.sa_handler = on_alarm};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval soon = {{0, 0}, {0, 30000}};
    setitimer(ITIMER_REAL, &soon, NULL);
    struct timespec long_time = {20, 0};
    SHOW(nanosleep(&long_time, NULL));
    int fds[2];
    char byte;
    MUST(pipe(fds));
    setitimer(ITIMER_REAL, &soon, NULL);
    SHOW(read(fds[0], &byte, 1));
    action.sa_flags = SA_RESTART;
    sigaction(SIGALRM, &action, NULL);
    pid_t child = fork();
    if (child == 0) {
        sleep_ms(120);
        write(fds[1], "x", 1);
        _exit(0);
    }
    setitimer(ITIMER_REAL, &soon, NULL);
    SHOW(read(fds[0], &byte, 1));
    wait_for("child", child);
    MUST(mkfifo("fifo", 0600));
    child = fork();
    if (child == 0) {
        sleep_ms(60);
        int fd = open("fifo", O_WRONLY);
        write(fd, "y", 1);
        _exit(0);
    }
    setitimer(ITIMER_REAL, &soon, NULL);
    int fd = open("fifo", O_RDONLY);
    TRUE(fd >= 0);
    SHOW(read(fd, &byte, 1));
    wait_for("child", child);
    say("alarms %d", alarms);
}
