// /proc/self as programs use it to learn about themselves: how many threads, which name spaces.
// flags: -pthread
#include "guest.h"
#include <pthread.h>
#include <sys/prctl.h>

static pthread_barrier_t barrier;
static void *idle(void *unused)
{
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return unused;
}
static long task_links(void)
{
    struct stat status;
    MUST(stat("/proc/self/task", &status));
    return status.st_nlink;
}
CASE(links_of_task_count_threads)
{
    pthread_t thread;
    say("alone %ld", task_links());
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_create(&thread, NULL, idle, NULL);
    pthread_barrier_wait(&barrier);
    say("with a thread %ld", task_links());
    pthread_barrier_wait(&barrier);
    pthread_join(thread, NULL);
}
CASE(name_spaces)
{
    static const char *const kinds[] = {"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"};
    for (size_t index = 0; index < sizeof kinds / sizeof *kinds; index++) {
        char path[64], text[64] = "", expected[64];
        struct stat own, init;
        snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[index]);
        ssize_t length = MUST(readlink(path, text, sizeof text - 1));
        text[length] = 0;
        MUST(stat(path, &own));
        snprintf(expected, sizeof expected, "%s:[%lu]", kinds[index], (unsigned long)own.st_ino);
        int fd = MUST(open(path, O_RDONLY | O_CLOEXEC));
        MUST(fstat(fd, &init));
        say("%s %s regular %d same %d", kinds[index], strcmp(text, expected) ? "another number" : "its number", S_ISREG(own.st_mode),
            own.st_ino == init.st_ino && own.st_dev == init.st_dev);
        close(fd);
        pid_t child = fork();
        if (child == 0) {
            struct stat inherited;
            _exit(stat(path, &inherited) || inherited.st_ino != own.st_ino);
        }
        wait_for("a child is in the same", child);
    }
    SHOW(open("/proc/self/ns/none", O_RDONLY) == -1);
}

static char text[1 << 20];
static const char *slurp(const char *path)
{
    int fd = MUST(open(path, O_RDONLY));
    ssize_t length = 0, got;
    while ((got = read(fd, text + length, sizeof text - 1 - length)) > 0)
        length += got;
    text[length] = 0;
    close(fd);
    return text;
}
static long number(const char *path, const char *key)
{
    const char *at = slurp(path);
    for (; at; at = strchr(at, '\n'), at = at ? at + 1 : NULL)
        if (!strncmp(at, key, strlen(key)) && at[strlen(key)] == ':')
            return strtol(at + strlen(key) + 1, NULL, 10);
    return -1;
}
CASE(sizes_agree)
{
    const long block = 16L << 20;
    long before = number("/proc/self/status", "RssAnon"), total, resident, shared;
    char *memory = mmap(NULL, block, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(memory, 1, block);
    long after = number("/proc/self/status", "RssAnon"), size = number("/proc/self/status", "VmSize");
    TRUE(after - before >= block / 1024 - 256 && after - before < block / 1024 + 2048);
    TRUE(sscanf(slurp("/proc/self/statm"), "%ld %ld %ld", &total, &resident, &shared) == 3);
    TRUE(labs(total * 4 - size) <= 64);
    TRUE(shared <= resident && resident <= total && resident * 4 >= after);
    TRUE(number("/proc/self/status", "VmHWM") >= number("/proc/self/status", "VmRSS"));
    TRUE(number("/proc/self/status", "VmStk") > 0);
    MUST(munmap(memory, block));
    TRUE(number("/proc/self/status", "RssAnon") < after - block / 2048);
}
CASE(regions_agree)
{
    int regions = 0, detailed = 0, sizes = 0;
    long sum = 0, found = 0, rollup;
    char *marked = mmap(NULL, 3 << 20, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), expected[64];
    for (const char *at = slurp("/proc/self/maps"); at && *at; at = strchr(at, '\n'), at = at ? at + 1 : NULL)
        regions++;
    snprintf(expected, sizeof expected, "%lx-", (unsigned long)marked);
    for (const char *at = slurp("/proc/self/smaps"); at && *at; at = strchr(at, '\n'), at = at ? at + 1 : NULL) {
        unsigned long start, end;
        long kb;
        if (sscanf(at, "%lx-%lx ", &start, &end) == 2)
            detailed++, found += start <= (unsigned long)marked && (unsigned long)marked < end;
        else if (sscanf(at, "Size: %ld kB", &kb) == 1)
            sizes++;
        else if (sscanf(at, "Rss: %ld kB", &kb) == 1)
            sum += kb;
    }
    TRUE(abs(regions - detailed) <= 1 && sizes == detailed);
    SHOW(found);
    rollup = number("/proc/self/smaps_rollup", "Rss");
    TRUE(labs(rollup - sum) < 2048);
    TRUE(number("/proc/self/smaps_rollup", "Pss") <= rollup);
}
CASE(accounts_grow)
{
    static char buffer[100000];
    long read_before = number("/proc/self/io", "rchar"), written = number("/proc/self/io", "wchar");
    long switches = number("/proc/self/status", "voluntary_ctxt_switches");
    int zero = MUST(open("/dev/zero", O_RDONLY)), null = MUST(open("/dev/null", O_WRONLY));
    MUST(read(zero, buffer, sizeof buffer));
    MUST(write(null, buffer, sizeof buffer));
    for (int turn = 0; turn < 5; turn++)
        sleep_ms(2);
    TRUE(number("/proc/self/io", "rchar") - read_before >= (long)sizeof buffer);
    TRUE(number("/proc/self/io", "wchar") - written >= (long)sizeof buffer);
    TRUE(number("/proc/self/status", "voluntary_ctxt_switches") - switches >= 5);
}
CASE(one_machine)
{
    cpu_set_t allowed;
    int processors = 0, listed = 0;
    for (const char *at = slurp("/proc/stat"); at && *at; at = strchr(at, '\n'), at = at ? at + 1 : NULL)
        processors += !strncmp(at, "cpu", 3) && at[3] >= '0' && at[3] <= '9';
    for (const char *at = slurp("/proc/cpuinfo"); at && *at; at = strchr(at, '\n'), at = at ? at + 1 : NULL)
        listed += !strncmp(at, "processor\t", 10);
    MUST(sched_getaffinity(0, sizeof allowed, &allowed));
    TRUE(processors == listed && processors == sysconf(_SC_NPROCESSORS_ONLN) && CPU_COUNT(&allowed) <= processors);
    TRUE(sysconf(_SC_PHYS_PAGES) == number("/proc/meminfo", "MemTotal") / 4);
    TRUE(number("/proc/meminfo", "MemFree") <= number("/proc/meminfo", "MemTotal"));
}
/* What a process of another user, or one that is not dumpable, does not tell. An ordinary user has only the second kind. */
static void look(pid_t pid)
{
    static const char *const links[] = {"cwd", "exe", "root", "fd/0", "ns/user"}, *const files[] = {"maps", "smaps", "environ", "io", "fdinfo/0", "status", "cmdline"};
    char path[64], target[PATH_MAX];
    for (size_t index = 0; index < sizeof links / sizeof *links; index++) {
        snprintf(path, sizeof path, "/proc/%d/%s", pid, links[index]);
        say("%s %s", links[index], readlink(path, target, sizeof target) < 0 ? error_name(errno) : "told");
    }
    for (size_t index = 0; index < sizeof files / sizeof *files; index++) {
        snprintf(path, sizeof path, "/proc/%d/%s", pid, files[index]);
        int fd = open(path, O_RDONLY);
        ssize_t got = fd < 0 ? -1 : read(fd, target, sizeof target);
        say("%s %s", files[index], got < 0 ? error_name(errno) : "told");
        close(fd);
    }
}
CASE(what_others_may_not_know)
{
    int ready[2], go[2];
    char byte;
    MUST(pipe(ready)), MUST(pipe(go));
    pid_t target = fork();
    if (target == 0) {
        prctl(PR_SET_DUMPABLE, 0);
        MUST(write(ready[1], "", 1));
        MUST(read(go[0], &byte, 1));
        _exit(0);
    }
    MUST(read(ready[0], &byte, 1));
    pid_t watcher = fork();
    if (watcher == 0) {
        if (getuid() == 0) {
            MUST(setresgid(1234, 1234, 1234));
            MUST(setresuid(1234, 1234, 1234));
        }
        look(target);
        _exit(0);
    }
    wait_for("watcher", watcher);
    MUST(write(go[1], "", 1));
    wait_for("target", target);
    look(getpid());
}

static long parent_told(const char *who)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%s/status", who);
    return number(path, "PPid");
}
CASE(parents_as_getppid_has_them)
{
    int done[2];
    char answer[3] = "";
    TRUE(parent_told("self") == getppid());
    MUST(pipe(done));
    pid_t middle = fork();
    if (middle == 0) {
        pid_t own = getpid();
        if (fork() == 0) {
            while (getppid() == own)
                sleep_ms(2);
            char path[64];
            snprintf(path, sizeof path, "/proc/%d/stat", getppid());
            answer[0] = parent_told("self") == getppid() ? 'y' : 'n';
            answer[1] = access(path, R_OK) == 0 ? 'y' : 'n';
            MUST(write(done[1], answer, 2));
            _exit(0);
        }
        _exit(0);
    }
    wait_for("middle", middle);
    MUST(read(done[0], answer, 2));
    say("an orphan's parent told %c there %c", answer[0], answer[1]);
}
