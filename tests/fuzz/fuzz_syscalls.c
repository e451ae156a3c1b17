// Random system calls with ridiculous arguments, by processes that a master starts again when they die. Never run outside a sandbox.
//
// usage: fuzz_syscalls SEED SECONDS. Prints "ready" and waits for a byte; works for SECONDS; prints what happened, then "idle" and waits
// for another byte, so that the test can look at the supervisor in both states. Exit 0 when the system still works for the master.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define WORKERS 2
#define CALLS_PER_LIFE 4000
#define LIFE_MS 2500
#define LAST_NUMBER 470

struct shared {
    unsigned long calls;
    unsigned long succeeded;
    unsigned long errors[4096];
    unsigned long odd; /* results that are neither a value nor an errno */
    unsigned long forks;
};
static struct shared *shared;
static uint64_t state;

static uint64_t next_random(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state * 0x2545f4914f6cdd1dULL;
}
static unsigned below(unsigned limit)
{
    return (next_random() >> 20) % limit;
}

static char *writable, *read_only, *page_end, *text;

/* What would end the fuzzer rather than test the supervisor, or stop its clock. */
static int forbidden(long number)
{
    switch (number) {
    case SYS_exit: case SYS_exit_group:
    case SYS_kill: case SYS_tkill: case SYS_tgkill: case SYS_rt_sigqueueinfo: case SYS_rt_tgsigqueueinfo: case SYS_pidfd_send_signal:
    case SYS_fork: case SYS_vfork: case SYS_clone: case SYS_clone3: /* made by hand below, bounded */
    case SYS_setitimer: case SYS_alarm: case SYS_rt_sigaction: case SYS_rt_sigprocmask:
    case SYS_pause: case SYS_rt_sigsuspend:
        return 1;
    }
    return 0;
}
static const char *names[] = {".", "..", "/", "f", "d", "d/f", "link", "loop", "fifo", "/dev/null", "/dev/zero", "/proc/self/fd", "/proc/self/maps", "/proc/self/mem",
    "/proc/self/exe", "/proc/1/stat", "/etc/passwd", "/usr/bin", "/dev/ptmx", "/dev/tty", "/nonexistent", "d/../../../..", "", "//", "/proc/self/root/proc/self/cwd"};

static uint64_t pointer(void)
{
    switch (below(14)) {
    case 0: return 0;
    case 1: return 1;
    case 2: return (uint64_t)-1;
    case 3: return 0xffff800000000000ULL + (next_random() & 0xffffff);
    case 4: return (uint64_t)read_only + below(4096);
    case 5: return (uint64_t)page_end - below(64);
    case 6: return (uint64_t)read_only - below(16);
    case 7: return next_random();
    case 8: return 0x7ffffffff000ULL - below(64);
    case 9: case 10: {
        size_t index = below(sizeof names / sizeof *names);
        strcpy(text, names[index]);
        return (uint64_t)text;
    }
    case 11:
        memset(text, 'a', 6000);
        text[below(6000)] = 0;
        text[6000] = 0;
        return (uint64_t)text;
    default:
        for (int word = 0; word < 64; word++)
            ((uint64_t *)writable)[word] = below(3) ? below(64) : next_random();
        return (uint64_t)writable + (below(4) ? 0 : below(4096));
    }
}
static uint64_t number_value(void)
{
    static const uint64_t edges[] = {0, 1, 2, 3, 7, 8, 16, 64, 255, 256, 511, 4095, 4096, 4097, 65535, 65536, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000,
        0x7fffffffffffffff, 0x8000000000000000, (uint64_t)-1, (uint64_t)-2, (uint64_t)-100, (uint64_t)-4096};
    switch (below(6)) {
    case 0: return edges[below(sizeof edges / sizeof *edges)];
    case 1: return 1ULL << below(64);
    case 2: return next_random();
    case 3: return (1ULL << below(32)) | (1ULL << below(32)) | (1ULL << below(32));
    default: return below(32);
    }
}
static uint64_t argument(void)
{
    switch (below(4)) {
    case 0: return pointer();
    case 1: return below(5) ? below(24) : next_random(); /* a descriptor, or what looks like one */
    case 2: return below(8) ? number_value() : (uint64_t)-100;
    default: return below(2) ? pointer() : number_value();
    }
}
static void on_alarm(int number)
{
}
static void small_family(void)
{
    __atomic_add_fetch(&shared->forks, 1, __ATOMIC_RELAXED);
    long flags = below(2) ? SIGCHLD : (long)(number_value() & (CLONE_FS | CLONE_FILES | CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID | CLONE_PARENT | CLONE_UNTRACED | 0xff));
    long child = syscall(SYS_clone, flags & ~(long)(CLONE_VM | CLONE_VFORK | CLONE_THREAD | CLONE_SIGHAND | CLONE_SETTLS), NULL, writable, writable, 0);
    if (child == 0) {
        getppid();
        _exit(0);
    }
    if (child > 0) {
        kill(child, SIGKILL);
        waitpid(child, NULL, __WALL);
    }
}
static void worker(uint64_t seed)
{
    struct sigaction action = {.sa_handler = on_alarm};
    struct itimerval timer = {.it_value = {0, 20000}, .it_interval = {0, 20000}};
    int fds[2];
    state = seed | 1;
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
    open("f", O_RDWR | O_CREAT, 0644), open("d", O_RDONLY), open("/proc/self/status", O_RDONLY), open("/dev/null", O_RDWR);
    pipe(fds), socketpair(AF_UNIX, SOCK_STREAM, 0, fds), syscall(SYS_memfd_create, "fuzz", 0), syscall(SYS_eventfd2, 0, 0), syscall(SYS_epoll_create1, 0);
    for (int round = 0; round < CALLS_PER_LIFE; round++) {
        if (below(400) == 0) {
            small_family();
            continue;
        }
        long number = below(60) ? (long)below(LAST_NUMBER) : (long)next_random();
        if (forbidden(number) || forbidden((int)number) || (number & 0x40000000))
            continue;
        uint64_t values[6];
        for (int index = 0; index < 6; index++)
            values[index] = argument();
        __atomic_add_fetch(&shared->calls, 1, __ATOMIC_RELAXED);
        long result;
        register uint64_t r10 __asm__("r10") = values[3], r8 __asm__("r8") = values[4], r9 __asm__("r9") = values[5];
        __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(values[0]), "S"(values[1]), "d"(values[2]), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
        if (result < 0 && result > -4096)
            __atomic_add_fetch(&shared->errors[-result], 1, __ATOMIC_RELAXED);
        else
            __atomic_add_fetch(&shared->succeeded, 1, __ATOMIC_RELAXED);
        if (result < 0 && result > -4096 && -result > 133) /* beyond EHWPOISON: kernel-internal numbers must not leak */
            __atomic_add_fetch(&shared->odd, 1, __ATOMIC_RELAXED);
    }
    _exit(0);
}
static long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}
static void announce(const char *word)
{
    char byte;
    dprintf(1, "%s\n", word);
    while (read(0, &byte, 1) < 0 && errno == EINTR)
        ;
}
/* Pages with a hole on both sides, so that a call that writes a lot stops at their end and spares the counters. */
static char *island(size_t size, int protection, int sharing)
{
    char *base = mmap(NULL, size + (2 << 20), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return mmap(base + (1 << 20), size, protection, sharing | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}
int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    uint64_t seed = strtoull(argv[1], NULL, 0) * 0x9e3779b97f4a7c15ULL + 1;
    long length = strtol(argv[2], NULL, 0) * 1000;
    shared = (struct shared *)island(sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED);
    writable = island(8192, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    text = island(8192, PROT_READ | PROT_WRITE, MAP_PRIVATE);
    read_only = island(4096, PROT_READ, MAP_PRIVATE);
    page_end = island(8192, PROT_READ | PROT_WRITE, MAP_PRIVATE) + 4096;
    munmap(page_end, 4096);
    mkdir("d", 0755), symlink("f", "link"), symlink("loop", "loop"), mkfifo("fifo", 0600);
    /* Hard limits of the machine's own kernel: a random fallocate or mmap(MAP_POPULATE) must not take the memory of the host. */
    struct rlimit file_size = {8 << 20, 8 << 20}, address_space = {256 << 20, 256 << 20};
    if (setrlimit(RLIMIT_FSIZE, &file_size) < 0 || setrlimit(RLIMIT_AS, &address_space) < 0) {
        dprintf(1, "no limits: %d\n", errno);
        return 3;
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN), signal(SIGINT, SIG_IGN), signal(SIGTERM, SIG_IGN);
    announce("ready");
    long begin = now_ms();
    pid_t running[WORKERS] = {0};
    long born[WORKERS] = {0};
    unsigned long lives = 0, deaths[65] = {0}, overdue = 0;
    while (now_ms() - begin < length) {
        for (int slot = 0; slot < WORKERS; slot++) {
            if (!running[slot]) {
                running[slot] = fork();
                if (running[slot] == 0) {
                    setpgid(0, 0);
                    int null = open("/dev/null", O_RDWR);
                    dup2(null, 0), dup2(null, 1), dup2(null, 2);
                    worker(seed + ++lives);
                }
                lives++;
                born[slot] = now_ms();
                if (running[slot] < 0) {
                    dprintf(1, "fork failed: %d\n", errno);
                    running[slot] = 0;
                }
                continue;
            }
            int status;
            pid_t done = waitpid(running[slot], &status, WNOHANG | __WALL);
            if (done == running[slot]) {
                if (WIFSIGNALED(status))
                    deaths[WTERMSIG(status)]++;
                kill(-running[slot], SIGKILL);
                running[slot] = 0;
            } else if (now_ms() - born[slot] > LIFE_MS) {
                kill(running[slot], SIGKILL);
                kill(-running[slot], SIGKILL);
                overdue++;
                born[slot] = now_ms();
            }
        }
        struct timespec nap = {0, 3000000};
        nanosleep(&nap, NULL);
    }
    for (int slot = 0; slot < WORKERS; slot++)
        if (running[slot] > 0) {
            kill(-running[slot], SIGKILL);
            kill(running[slot], SIGKILL);
        }
    while (waitpid(-1, NULL, __WALL) > 0)
        ;
    dprintf(1, "calls %lu succeeded %lu odd %lu forks %lu lives %lu overdue %lu\n", shared->calls, shared->succeeded, shared->odd, shared->forks, lives, overdue);
    for (int error = 1; error < 4096; error++)
        if (shared->errors[error])
            dprintf(1, "errno %d %lu\n", error, shared->errors[error]);
    for (int number = 1; number < 65; number++)
        if (deaths[number])
            dprintf(1, "signal %d %lu\n", number, deaths[number]);
    int status, file = open("afterwards", O_CREAT | O_EXCL | O_RDWR, 0600);
    int sane = file >= 0 && write(file, "ok", 2) == 2;
    pid_t child = fork();
    if (child == 0) {
        execl("/bin/true", "true", NULL);
        _exit(1);
    }
    sane = sane && waitpid(child, &status, 0) == child && status == 0;
    dprintf(1, "sane %d\n", sane);
    /* What the dead had open is noticed by sweeping, when the tokens have doubled: two sweeps, whatever was held at the last one. */
    for (int round = 0; round < 4000; round++)
        close((int)syscall(SYS_inotify_init1, 0));
    announce("idle");
    return sane ? 0 : 1;
}
