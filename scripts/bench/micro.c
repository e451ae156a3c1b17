/*
 * Micro-benchmarks of single operations, one static program: this file, and micro_parties.c for what takes two.
 *
 * What it is: `micro [-k BATCHES] [-t MILLISECONDS] NAME...` runs each named operation: a warm-up that also finds how many
 * iterations fill one batch, then BATCHES batches, and prints one JSON line per operation on standard output:
 *     {"name": "stat_hit", "ns": 992.0, "min": 980.1, "max": 1100.2, "iterations": 8192, "batches": 7}
 * ns, min and max are nanoseconds for one operation (median, smallest and largest batch). An operation that cannot be done
 * prints {"name": ..., "error": "..."} and the program goes on; it never prints a figure for a call that failed.
 * `micro list` prints the names; `micro true` does nothing (it is what fork_exec_wait starts).
 *
 * It owns a scratch directory `bench-micro.PID` in the current directory, removed at the end. It must stay static (start-up
 * cost must not depend on a dynamic loader) and must not touch anything outside that directory but /dev/zero, /dev/null and
 * loopback. Sources: the Linux man pages of the calls named in each function.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>
#include "micro.h"

enum { MAX_BATCHES = 101, READDIR_ENTRIES = 100, ERROR_SIZE = 160 };

static char error_text[ERROR_SIZE];
static char scratch[64];
const char *self_path;

/* State of the operation that is running; each setup fills what its run needs. */
int fd_a = -1, fd_b = -1;
static char buffer[65536];

int fail(const char *what)
{
    snprintf(error_text, sizeof error_text, "%s: %s", what, strerror(errno));
    return -1;
}

int fail_short(const char *what)
{
    snprintf(error_text, sizeof error_text, "%s: unexpected result", what);
    return -1;
}

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void scratch_name(char *out, size_t size, const char *leaf)
{
    snprintf(out, size, "%s/%s", scratch, leaf);
}

static int make_file(const char *leaf, size_t size)
{
    char path[128];
    scratch_name(path, sizeof path, leaf);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return fail("create file");
    for (size_t done = 0; done < size; done += sizeof buffer) {
        size_t part = size - done < sizeof buffer ? size - done : sizeof buffer;
        if (write(fd, buffer, part) != (ssize_t)part) {
            close(fd);
            return fail("fill file");
        }
    }
    return fd;
}

void close_both(void)
{
    if (fd_a >= 0)
        close(fd_a);
    if (fd_b >= 0)
        close(fd_b);
    fd_a = fd_b = -1;
}

static int no_setup(void) { return 0; }
static void no_teardown(void) {}

/* --- calls that touch no object ------------------------------------------------------------------------------------- */

static int run_getppid(long n)
{
    while (n-- > 0)
        if (syscall(SYS_getppid) < 0)
            return fail("getppid");
    return 0;
}

/* --- reading and writing open descriptors ----------------------------------------------------------------------------- */

static int setup_zero(void)
{
    fd_a = open("/dev/zero", O_RDONLY | O_CLOEXEC);
    return fd_a < 0 ? fail("open /dev/zero") : 0;
}

static int run_read_zero(long n)
{
    while (n-- > 0)
        if (read(fd_a, buffer, 64) != 64)
            return fail("read /dev/zero");
    return 0;
}

static int setup_null(void)
{
    fd_a = open("/dev/null", O_WRONLY | O_CLOEXEC);
    return fd_a < 0 ? fail("open /dev/null") : 0;
}

static int run_write_null(long n)
{
    while (n-- > 0)
        if (write(fd_a, buffer, 64) != 64)
            return fail("write /dev/null");
    return 0;
}

static int setup_regular(void)
{
    fd_a = make_file("regular", 1 << 20);
    return fd_a < 0 ? -1 : 0;
}

static int run_pread_4k(long n)
{
    for (long i = 0; i < n; i++)
        if (pread(fd_a, buffer, 4096, (i & 255) * 4096) != 4096)
            return fail("pread");
    return 0;
}

static int run_fstat(long n)
{
    struct stat st;
    while (n-- > 0)
        if (fstat(fd_a, &st) != 0)
            return fail("fstat");
    return st.st_size == 1 << 20 ? 0 : fail_short("fstat size");
}

/* --- names ------------------------------------------------------------------------------------------------------------ */

static int run_stat_hit(long n)
{
    char path[128];
    struct stat st;
    scratch_name(path, sizeof path, "regular");
    while (n-- > 0)
        if (stat(path, &st) != 0)
            return fail("stat");
    return st.st_size == 1 << 20 ? 0 : fail_short("stat size");
}

static int run_stat_miss(long n)
{
    char path[128];
    struct stat st;
    scratch_name(path, sizeof path, "no-such-name");
    while (n-- > 0)
        if (stat(path, &st) == 0 || errno != ENOENT)
            return fail_short("stat of a missing name");
    return 0;
}

static int run_open_close(long n)
{
    char path[128];
    scratch_name(path, sizeof path, "regular");
    while (n-- > 0) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return fail("open");
        close(fd);
    }
    return 0;
}

static int run_create_unlink(long n)
{
    char path[128];
    scratch_name(path, sizeof path, "created");
    while (n-- > 0) {
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
        if (fd < 0)
            return fail("create");
        close(fd);
        if (unlink(path) != 0)
            return fail("unlink");
    }
    return 0;
}

static int setup_readdir(void)
{
    char path[128];
    scratch_name(path, sizeof path, "directory");
    if (mkdir(path, 0755) != 0 && errno != EEXIST)
        return fail("mkdir");
    for (int i = 0; i < READDIR_ENTRIES; i++) {
        char leaf[64];
        snprintf(leaf, sizeof leaf, "directory/entry-%03d", i);
        int fd = make_file(leaf, 0);
        if (fd < 0)
            return -1;
        close(fd);
    }
    return 0;
}

/* opendir + readdir of every entry + closedir, so it counts an open and a close as programs do. */
static int run_readdir(long n)
{
    char path[128];
    scratch_name(path, sizeof path, "directory");
    while (n-- > 0) {
        DIR *dir = opendir(path);
        if (!dir)
            return fail("opendir");
        int seen = 0;
        while (readdir(dir))
            seen++;
        closedir(dir);
        if (seen != READDIR_ENTRIES + 2)
            return fail_short("readdir count");
    }
    return 0;
}

static void teardown_readdir(void)
{
    char path[128], leaf[64];
    for (int i = 0; i < READDIR_ENTRIES; i++) {
        snprintf(leaf, sizeof leaf, "directory/entry-%03d", i);
        scratch_name(path, sizeof path, leaf);
        unlink(path);
    }
    scratch_name(path, sizeof path, "directory");
    rmdir(path);
}

/* --- memory ----------------------------------------------------------------------------------------------------------- */

static int run_mmap_anonymous(long n)
{
    while (n-- > 0) {
        char *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
            return fail("mmap");
        for (int offset = 0; offset < 65536; offset += 4096)
            p[offset] = 1;
        munmap(p, 65536);
    }
    return 0;
}

/* A file that was there before: this program. */
static int setup_program(void)
{
    fd_a = open(self_path, O_RDONLY | O_CLOEXEC);
    return fd_a < 0 ? fail("open the program") : 0;
}

static int run_mmap_file(long n)
{
    volatile char sink = 0;
    while (n-- > 0) {
        char *p = mmap(NULL, 65536, PROT_READ, MAP_PRIVATE, fd_a, 0);
        if (p == MAP_FAILED)
            return fail("mmap of a file");
        for (int offset = 0; offset < 65536; offset += 4096)
            sink ^= p[offset];
        munmap(p, 65536);
    }
    return 0;
}

/* --- events and signals ------------------------------------------------------------------------------------------------ */

static int setup_eventfd(void)
{
    fd_a = eventfd(0, EFD_CLOEXEC);
    return fd_a < 0 ? fail("eventfd") : 0;
}

static int run_eventfd(long n)
{
    uint64_t value = 1;
    while (n-- > 0)
        if (write(fd_a, &value, 8) != 8 || read(fd_a, &value, 8) != 8 || value != 1)
            return fail("eventfd write and read");
    return 0;
}

static int setup_epoll(void)
{
    struct epoll_event event = {.events = EPOLLIN};
    fd_a = eventfd(1, EFD_CLOEXEC);
    fd_b = epoll_create1(EPOLL_CLOEXEC);
    if (fd_a < 0 || fd_b < 0)
        return fail("epoll_create1");
    return epoll_ctl(fd_b, EPOLL_CTL_ADD, fd_a, &event) != 0 ? fail("epoll_ctl") : 0;
}

static int run_epoll(long n)
{
    struct epoll_event event;
    while (n-- > 0)
        if (epoll_wait(fd_b, &event, 1, -1) != 1)
            return fail("epoll_wait");
    return 0;
}

static volatile sig_atomic_t signals_seen;
static void count_signal(int number) { signals_seen += number == SIGUSR1; }

static int setup_signal(void)
{
    struct sigaction action = {.sa_handler = count_signal};
    return sigaction(SIGUSR1, &action, NULL) != 0 ? fail("sigaction") : 0;
}

static int run_signal(long n)
{
    pid_t pid = (pid_t)syscall(SYS_getpid);
    pid_t tid = (pid_t)syscall(SYS_gettid);
    signals_seen = 0;
    for (long i = 0; i < n; i++)
        if (syscall(SYS_tgkill, pid, tid, SIGUSR1) != 0)
            return fail("tgkill");
    return signals_seen == n ? 0 : fail_short("signals delivered");
}

static const struct operation operations[] = {
    {"getppid", no_setup, run_getppid, no_teardown},
    {"read_zero_64", setup_zero, run_read_zero, close_both},
    {"pread_4k", setup_regular, run_pread_4k, close_both},
    {"write_null", setup_null, run_write_null, close_both},
    {"fstat", setup_regular, run_fstat, close_both},
    {"stat_hit", setup_regular, run_stat_hit, close_both},
    {"stat_miss", no_setup, run_stat_miss, no_teardown},
    {"open_close", setup_regular, run_open_close, close_both},
    {"create_unlink", no_setup, run_create_unlink, no_teardown},
    {"readdir_100", setup_readdir, run_readdir, teardown_readdir},
    {"mmap_anonymous_64k", no_setup, run_mmap_anonymous, no_teardown},
    {"mmap_file_64k", setup_program, run_mmap_file, close_both},
    {"mmap_new_file_64k", setup_regular, run_mmap_file, close_both},
    {"eventfd", setup_eventfd, run_eventfd, close_both},
    {"epoll_wait_ready", setup_epoll, run_epoll, close_both},
    {"signal_self", setup_signal, run_signal, no_teardown},
    {"pipe_ping_pong", setup_pipe, run_ping_pong, teardown_partner},
    {"tcp_ping_pong", setup_tcp, run_ping_pong, teardown_partner},
    {"thread_create_join", no_setup, run_thread_create, no_teardown},
    {"thread_ping_pong", setup_futex, run_futex, teardown_futex},
    {"fork_wait", no_setup, run_fork, no_teardown},
    {"fork_exec_wait", no_setup, run_fork_exec, no_teardown},
};
enum { OPERATION_COUNT = sizeof operations / sizeof operations[0] };

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Doubles n until one batch lasts batch_ns: the warm-up. Returns n, or -1. */
static long calibrate(const struct operation *operation, double batch_ns)
{
    if (operation->run(2) != 0) /* the very first may wait for a partner to start */
        return -1;
    for (long n = 1;; n *= 2) {
        double start = now_ns();
        if (operation->run(n) != 0)
            return -1;
        double took = now_ns() - start;
        if (took >= batch_ns || n >= 1L << 26)
            return n;
        if (took * 64 < batch_ns)
            n *= 8;
    }
}

static int measure(const struct operation *operation, int batches, double batch_ns)
{
    double results[MAX_BATCHES];
    long n = calibrate(operation, batch_ns);
    if (n < 0)
        return -1;
    for (int i = 0; i < batches; i++) {
        double start = now_ns();
        if (operation->run(n) != 0)
            return -1;
        results[i] = (now_ns() - start) / (double)n;
    }
    qsort(results, (size_t)batches, sizeof results[0], compare_doubles);
    printf("{\"name\": \"%s\", \"ns\": %.1f, \"min\": %.1f, \"max\": %.1f, \"iterations\": %ld, \"batches\": %d}\n", operation->name,
           results[batches / 2], results[0], results[batches - 1], n, batches);
    return 0;
}

static int run_named(const char *name, int batches, double batch_ns)
{
    for (int i = 0; i < OPERATION_COUNT; i++) {
        const struct operation *operation = &operations[i];
        if (strcmp(name, "all") != 0 && strcmp(name, operation->name) != 0)
            continue;
        if (operation->setup() != 0 || measure(operation, batches, batch_ns) != 0)
            printf("{\"name\": \"%s\", \"error\": \"%s\"}\n", operation->name, error_text);
        operation->teardown();
        fflush(stdout);
        if (strcmp(name, "all") != 0)
            return 0;
    }
    return strcmp(name, "all") == 0 ? 0 : -1;
}

static int make_scratch(void)
{
    snprintf(scratch, sizeof scratch, "bench-micro.%ld", (long)getpid());
    return mkdir(scratch, 0700);
}

static void remove_scratch(void)
{
    char path[128];
    scratch_name(path, sizeof path, "regular");
    unlink(path);
    rmdir(scratch);
}

int main(int argc, char **argv)
{
    int batches = 7, option;
    double batch_ns = 5e6;
    self_path = argv[0];
    if (argc == 2 && strcmp(argv[1], "true") == 0)
        return 0;
    while ((option = getopt(argc, argv, "k:t:")) != -1) {
        if (option == 'k')
            batches = atoi(optarg);
        else if (option == 't')
            batch_ns = atof(optarg) * 1e6;
        else
            return 2;
    }
    if (optind >= argc || batches < 1 || batches > MAX_BATCHES) {
        fprintf(stderr, "usage: micro [-k BATCHES] [-t MILLISECONDS] NAME...|all|list|true\n");
        return 2;
    }
    if (strcmp(argv[optind], "list") == 0) {
        for (int i = 0; i < OPERATION_COUNT; i++)
            puts(operations[i].name);
        return 0;
    }
    if (make_scratch() != 0) {
        fprintf(stderr, "micro: cannot make %s: %s\n", scratch, strerror(errno));
        return 1;
    }
    int status = 0;
    for (int i = optind; i < argc; i++)
        if (run_named(argv[i], batches, batch_ns) != 0) {
            fprintf(stderr, "micro: no operation called %s\n", argv[i]);
            status = 2;
        }
    remove_scratch();
    return status;
}
