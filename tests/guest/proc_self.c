// /proc as a program sees itself: exe, fd, fdinfo, maps, stat, statm, status, cmdline, comm, environ, cwd, root, task, limits, mounts.
// flags: -pthread
#include "guest.h"
#include <dirent.h>
#include <pthread.h>
#include <sys/prctl.h>

static char text[1 << 16];
static const char *slurp(const char *path)
{
    int fd = open(path, O_RDONLY);
    ssize_t length = 0, got;
    text[0] = 0;
    if (fd < 0) {
        say("%s: %s", path, error_name(errno));
        return text;
    }
    while ((got = read(fd, text + length, sizeof text - 1 - length)) > 0)
        length += got;
    text[length] = 0;
    close(fd);
    return text;
}
int guest_child(int argc, char **argv)
{
    int fd = open("/proc/self/cmdline", O_RDONLY), length = read(fd, text, sizeof text);
    for (int at = 0; at < length; at++)
        if (!text[at])
            text[at] = '|';
    const char *start = memchr(text, '|', length);
    say("cmdline %d %.*s", argc, length - (int)(start - text), start);
    fd = open("/proc/self/environ", O_RDONLY), length = read(fd, text, sizeof text);
    say("environ %.*s", length, text);
    say("comm %s", slurp("/proc/self/comm"));
    return 0;
}
CASE(exe)
{
    char path[PATH_MAX] = "";
    TRUE(readlink("/proc/self/exe", path, sizeof path) > 0);
    TRUE(!strcmp(path, guest_program));
    struct stat link, program;
    MUST(stat("/proc/self/exe", &link)), MUST(stat(guest_program, &program));
    TRUE(link.st_ino == program.st_ino && link.st_dev == program.st_dev);
    int fd = MUST(open("/proc/self/exe", O_RDONLY));
    MUST(read(fd, text, 4));
    TRUE(!memcmp(text, "\177ELF", 4));
    SHOW(open("/proc/self/exe", O_WRONLY) == -1);
    SHOW(unlink("/proc/self/exe") == -1);
}
CASE(command_line)
{
    char *argv[] = {(char *)guest_program, "--child", "two words", "", "end", NULL}, *env[] = {"A=1", NULL};
    pid_t child = fork();
    if (child == 0) {
        execve(guest_program, argv, env);
        _exit(1);
    }
    wait_for("child", child);
}
CASE(descriptors)
{
    char path[64], target[PATH_MAX];
    make_file("f", "abc", 0644);
    int fds[2], fd = MUST(open("f", O_RDONLY)), dir = MUST(open(".", O_RDONLY | O_CLOEXEC));
    MUST(pipe(fds));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    ssize_t length = MUST(readlink(path, target, sizeof target - 1));
    target[length] = 0;
    say("file %s", strrchr(target, '/'));
    snprintf(path, sizeof path, "/proc/self/fd/%d", dir);
    length = MUST(readlink(path, target, sizeof target - 1));
    target[length] = 0;
    say("directory %s", strrchr(target, '/'));
    snprintf(path, sizeof path, "/proc/self/fd/%d/f", dir);
    show_file(path);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fds[0]);
    length = MUST(readlink(path, target, sizeof target - 1));
    say("pipe %.5s", target);
    int count = 0;
    DIR *list = opendir("/proc/self/fd");
    struct dirent *entry;
    while ((entry = readdir(list)))
        count += entry->d_name[0] != '.' && atoi(entry->d_name) >= fd && atoi(entry->d_name) < 30;
    say("from the first: %d", count);
    SHOW(readlink("/proc/self/fd/999", target, sizeof target)), SHOW(open("/proc/self/fd/999", O_RDONLY)), SHOW(open("/proc/self/fd/x", O_RDONLY));
    MUST(lseek(fd, 2, SEEK_SET));
    snprintf(path, sizeof path, "/proc/self/fdinfo/%d", fd);
    slurp(path);
    say("fdinfo %d", strstr(text, "pos:\t2\n") && strstr(text, "flags:\t0100000\n"));
    snprintf(path, sizeof path, "/dev/fd/%d", fd);
    int again = MUST(open(path, O_RDONLY)); /* a new open of the same file: its own position */
    SHOW(lseek(again, 0, SEEK_CUR));
}
CASE(stat_line)
{
    int pid, parent, group, session, threads;
    char name[32], state;
    slurp("/proc/self/stat");
    TRUE(sscanf(text, "%d (%31[^)]) %c %d %d %d", &pid, name, &state, &parent, &group, &session) == 6);
    say("%d %s %c %d %d %d", pid == getpid(), name, state, parent == getppid(), group == getpgrp(), session == getsid(0));
    const char *field = strrchr(text, ')') + 2;
    for (int index = 3; index < 20; index++)
        field = strchr(field, ' ') + 1;
    threads = atoi(field);
    int fields = 1;
    for (const char *at = strrchr(text, ')') + 2; (at = strchr(at, ' ')); at++)
        fields++;
    say("threads %d fields %d", threads, fields + 2);
    long pages, resident;
    TRUE(sscanf(slurp("/proc/self/statm"), "%ld %ld", &pages, &resident) == 2 && pages > 0 && resident > 0 && pages >= resident);
}
static const char *status_line(const char *key)
{
    static char line[256];
    slurp("/proc/self/status");
    for (char *at = text; at; at = strchr(at, '\n'), at = at ? at + 1 : NULL)
        if (!strncmp(at, key, strlen(key)) && at[strlen(key)] == ':') {
            sscanf(at, "%255[^\n]", line);
            return line;
        }
    return "absent";
}
CASE(status_lines)
{
    char expected[64];
    say("%s", status_line("Name")), say("%s", status_line("State")), say("%s", status_line("Uid")), say("%s", status_line("Gid")), say("%s", status_line("Threads"));
    say("%s", status_line("Umask"));
    snprintf(expected, sizeof expected, "Pid:\t%d", getpid());
    TRUE(!strcmp(status_line("Pid"), expected));
    snprintf(expected, sizeof expected, "PPid:\t%d", getppid());
    TRUE(!strcmp(status_line("PPid"), expected));
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGUSR1);
    signal(SIGHUP, SIG_IGN);
    say("%s", status_line("SigBlk")), say("%s", status_line("SigIgn")), say("%s", status_line("ShdPnd")), say("%s", status_line("SigPnd"));
    TRUE(atol(strchr(status_line("VmRSS"), '\t')) > 0);
    TRUE(atol(strchr(status_line("VmSize"), '\t')) > 0);
}
CASE(maps)
{
    unsigned long begin, end, here = (unsigned long)&case_maps, stack = (unsigned long)&begin;
    char permissions[8], path[PATH_MAX];
    int code = 0, own_stack = 0, vdso = 0, ordered = 1;
    unsigned long last = 0;
    FILE *file = fopen("/proc/self/maps", "r");
    while (fgets(text, sizeof text, file)) {
        path[0] = 0;
        if (sscanf(text, "%lx-%lx %7s %*s %*s %*s %s", &begin, &end, permissions, path) < 3)
            say("odd line %s", text);
        ordered &= begin >= last && end > begin;
        last = end;
        if (here >= begin && here < end)
            code = !strcmp(permissions, "r-xp") && !strcmp(path, guest_program);
        if (stack >= begin && stack < end)
            own_stack = !strncmp(permissions, "rw", 2) && !strcmp(path, "[stack]");
        vdso |= !strcmp(path, "[vdso]");
    }
    say("code %d stack %d vdso %d ordered %d", code, own_stack, vdso, ordered);
}
static void *named(void *argument)
{
    char path[64];
    prctl(PR_SET_NAME, "second");
    snprintf(path, sizeof path, "/proc/self/task/%ld/comm", syscall(SYS_gettid));
    say("%s", slurp(path));
    say("%s", slurp("/proc/thread-self/comm"));
    int count = 0;
    DIR *list = opendir("/proc/self/task");
    struct dirent *entry;
    while ((entry = readdir(list)))
        count += entry->d_name[0] != '.';
    say("tasks %d", count);
    return NULL;
}
CASE(tasks)
{
    pthread_t thread;
    pthread_create(&thread, NULL, named, NULL);
    pthread_join(thread, NULL);
    say("%s", slurp("/proc/self/comm"));
}
CASE(other_processes)
{
    char path[64];
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_NAME, "the-child");
        for (;;)
            pause();
    }
    snprintf(path, sizeof path, "/proc/%d/comm", child);
    for (int turn = 0; turn < 400 && strcmp(slurp(path), "the-child\n"); turn++)
        sleep_ms(5);
    say("%s", text);
    snprintf(path, sizeof path, "/proc/%d/stat", child);
    int parent;
    sscanf(strrchr(slurp(path), ')') + 4, "%d", &parent);
    TRUE(parent == getpid());
    kill(child, SIGKILL);
    siginfo_t info;
    MUST(waitid(P_PID, child, &info, WEXITED | WNOWAIT));
    say("zombie %c", strrchr(slurp(path), ')')[2]);
    wait_for("child", child);
    SHOW(open(path, O_RDONLY));
    SHOW(open("/proc/999999999/stat", O_RDONLY)), SHOW(open("/proc/0/stat", O_RDONLY)), SHOW(mkdir("/proc/new", 0755) == -1), SHOW(open("/proc/new", O_CREAT | O_RDWR, 0600) == -1);
    int found = 0;
    DIR *list = opendir("/proc");
    struct dirent *entry;
    while ((entry = readdir(list)))
        found |= atoi(entry->d_name) == getpid();
    say("listed %d", found);
}
CASE(system_wide)
{
    double up, idle;
    TRUE(sscanf(slurp("/proc/uptime"), "%lf %lf", &up, &idle) == 2 && up > 0);
    TRUE(strstr(slurp("/proc/meminfo"), "MemTotal:") && strstr(text, "MemFree:") && strstr(text, "MemAvailable:"));
    TRUE(strstr(slurp("/proc/cpuinfo"), "processor\t: 0"));
    TRUE(sscanf(slurp("/proc/loadavg"), "%lf", &up) == 1);
    TRUE(strstr(slurp("/proc/mounts"), " /proc proc "));
    TRUE(strstr(slurp("/proc/self/mountinfo"), " / "));
    TRUE(!strncmp(slurp("/proc/version"), "Linux version ", 14));
    TRUE(strstr(slurp("/proc/filesystems"), "proc"));
    TRUE(!strncmp(slurp("/proc/stat"), "cpu ", 4) && strstr(text, "btime "));
    TRUE(strstr(slurp("/proc/self/limits"), "Max open files"));
    TRUE(atoi(slurp("/proc/sys/kernel/pid_max")) > 0);
    TRUE(strlen(slurp("/proc/sys/kernel/random/uuid")) == 37);
    SHOW(atoi(slurp("/proc/sys/vm/overcommit_memory")) >= 0);
}
CASE(seeking)
{
    char a[8], b[8];
    int fd = MUST(open("/proc/self/status", O_RDONLY));
    MUST(read(fd, a, 5));
    SHOW(lseek(fd, 0, SEEK_SET));
    MUST(read(fd, b, 5));
    TRUE(!memcmp(a, b, 5));
    SHOW(pread(fd, a, 4, 1));
    say("%.4s", a);
    SHOW(write(fd, "x", 1));
    SHOW(read(MUST(open("/proc/self", O_RDONLY)), a, 1));
}
