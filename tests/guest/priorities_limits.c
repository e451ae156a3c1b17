// Limits, priorities, scheduling, usage, prctl, uname and sysinfo.
#include "guest.h"
#include <sys/prctl.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

CASE(limits)
{
    struct rlimit limit, old;
    SHOW(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = 64;
    SHOW(setrlimit(RLIMIT_NOFILE, &limit));
    SHOW(getrlimit(RLIMIT_NOFILE, &old));
    say("%ld", (long)old.rlim_cur);
    SHOW(dup2(0, 63)), SHOW(dup2(0, 64));
    limit.rlim_cur = limit.rlim_max + 1;
    SHOW(setrlimit(RLIMIT_CORE, &limit) == -1 || limit.rlim_max == RLIM_INFINITY);
    SHOW(getrlimit(77, &limit)), SHOW(setrlimit(RLIMIT_CORE, (void *)1)), SHOW(syscall(SYS_getrlimit, RLIMIT_CORE, NULL));
    limit.rlim_cur = 10, limit.rlim_max = 5;
    SHOW(setrlimit(RLIMIT_CORE, &limit));
    limit.rlim_cur = 1 << 28, limit.rlim_max = 1 << 29;
    SHOW(prlimit(0, RLIMIT_DATA, &limit, &old));
    SHOW(prlimit(getpid(), RLIMIT_DATA, NULL, &old));
    say("%ld %ld", (long)old.rlim_cur, (long)old.rlim_max);
    SHOW(prlimit(999999, RLIMIT_DATA, NULL, &old));
    pid_t child = fork();
    if (child == 0) {
        MUST(getrlimit(RLIMIT_DATA, &old));
        say("inherited %ld", (long)old.rlim_cur);
        _exit(0);
    }
    wait_for("child", child);
}
CASE(limits_beyond_any_size)
{
    struct rlimit limit = {RLIM_INFINITY - 1, RLIM_INFINITY - 1}, old;
    SHOW(setrlimit(RLIMIT_AS, &limit));
    SHOW(getrlimit(RLIMIT_AS, &old));
    say("%lx %lx", (long)old.rlim_cur, (long)old.rlim_max);
    limit.rlim_cur = 1UL << 63;
    SHOW(prlimit(0, RLIMIT_AS, &limit, &old));
    SHOW(getrlimit(RLIMIT_AS, &old));
    say("%lx %lx", (long)old.rlim_cur, (long)old.rlim_max);
}
CASE(processor_time_limit)
{
    struct rlimit limit = {1, 2};
    pid_t child = fork();
    if (child == 0) {
        MUST(setrlimit(RLIMIT_CPU, &limit));
        for (;;)
            ;
    }
    wait_for("spinner", child);
}
CASE(priorities)
{
    SHOW(getpriority(PRIO_PROCESS, 0));
    SHOW(setpriority(PRIO_PROCESS, 0, 5));
    SHOW(getpriority(PRIO_PROCESS, 0));
    SHOW(nice(3));
    SHOW(syscall(SYS_getpriority, PRIO_PROCESS, 0));
    SHOW(getpriority(77, 0)), SHOW(getpriority(PRIO_PROCESS, 999999)), SHOW(setpriority(PRIO_PROCESS, 999999, 1));
}
CASE(scheduling)
{
    struct sched_param parameter = {0};
    cpu_set_t set;
    struct timespec interval;
    SHOW(sched_getscheduler(0)), SHOW(sched_getparam(0, &parameter)), SHOW(sched_setscheduler(0, SCHED_BATCH, &parameter)), SHOW(sched_getscheduler(0));
    SHOW(sched_get_priority_max(SCHED_FIFO)), SHOW(sched_get_priority_min(SCHED_RR)), SHOW(sched_get_priority_max(77));
    SHOW(sched_yield()), SHOW(sched_rr_get_interval(0, &interval));
    SHOW(sched_getaffinity(0, sizeof set, &set));
    TRUE(CPU_COUNT(&set) > 0 && CPU_COUNT(&set) == sysconf(_SC_NPROCESSORS_ONLN));
    SHOW(sched_setaffinity(0, sizeof set, &set));
    CPU_ZERO(&set);
    SHOW(sched_setaffinity(0, sizeof set, &set));
    SHOW(sched_getscheduler(999999)), SHOW(sched_getaffinity(0, 1, &set));
    TRUE(sched_getcpu() >= 0);
    unsigned processor, node;
    SHOW(syscall(SYS_getcpu, &processor, &node, NULL));
}
CASE(names)
{
    char name[17] = "";
    struct utsname system;
    SHOW(prctl(PR_SET_NAME, "a-name-that-is-longer-than-fifteen"));
    SHOW(prctl(PR_GET_NAME, name));
    say("%s", name);
    show_file("/proc/self/comm");
    int fd = MUST(open("/proc/self/comm", O_WRONLY));
    SHOW(write(fd, "written", 7));
    MUST(prctl(PR_GET_NAME, name));
    say("%s", name);
    SHOW(uname(&system));
    say("%s %s", system.sysname, system.machine);
    TRUE(strlen(system.nodename) > 0 && atoi(system.release) >= 4 && strlen(system.version) > 0);
    char host[65];
    SHOW(gethostname(host, sizeof host));
    TRUE(!strcmp(host, system.nodename));
    SHOW(syscall(SYS_uname, (void *)1));
    char text[256];
    fd = MUST(open("/proc/sys/kernel/ostype", O_RDONLY));
    ssize_t length = MUST(read(fd, text, sizeof text));
    say("%.*s", (int)length - 1, text);
}
CASE(process_controls)
{
    int value = 0;
    SHOW(prctl(PR_SET_PDEATHSIG, SIGTERM)), SHOW(prctl(PR_GET_PDEATHSIG, &value));
    say("%d", value);
    SHOW(prctl(PR_SET_PDEATHSIG, 200));
    SHOW(prctl(PR_GET_DUMPABLE)), SHOW(prctl(PR_SET_DUMPABLE, 0)), SHOW(prctl(PR_GET_DUMPABLE)), SHOW(prctl(PR_SET_DUMPABLE, 7));
    SHOW(prctl(PR_SET_CHILD_SUBREAPER, 1)), SHOW(prctl(PR_GET_CHILD_SUBREAPER, &value));
    say("%d", value);
    SHOW(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)), SHOW(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)), SHOW(prctl(PR_SET_NO_NEW_PRIVS, 0, 0, 0, 0));
    SHOW(prctl(PR_SET_TIMERSLACK, 100000)), SHOW(prctl(PR_GET_TIMERSLACK)), SHOW(prctl(99999, 0, 0, 0, 0));
}
CASE(subreaper)
{
    MUST(prctl(PR_SET_CHILD_SUBREAPER, 1));
    pid_t me = getpid(), child = fork();
    if (child == 0) {
        pid_t parent = getpid();
        if (fork() == 0) {
            while (getppid() == parent)
                sleep_ms(5);
            _exit(getppid() == me ? 11 : 12);
        }
        _exit(0);
    }
    wait_for("child", child);
    int status;
    TRUE(wait(&status) > 0);
    show_status("grandchild", status);
}
CASE(parent_death_signal)
{
    int fds[2];
    MUST(pipe(fds));
    pid_t child = fork();
    if (child == 0) {
        int inner[2];
        MUST(pipe(inner));
        if (fork() == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            write(inner[1], "r", 1);
            sleep(20);
            write(fds[1], "alive", 5);
            _exit(0);
        }
        char byte;
        read(inner[0], &byte, 1);
        _exit(0);
    }
    wait_for("child", child);
    MUST(close(fds[1]));
    char buffer[8];
    SHOW(read(fds[0], buffer, 8)); /* end of file: the grandchild was killed with its parent */
}
CASE(usage_and_system)
{
    struct sysinfo info;
    SHOW(sysinfo(&info));
    TRUE(info.uptime > 0 && info.totalram > 0 && info.procs > 0 && info.mem_unit > 0);
    TRUE(sysconf(_SC_PAGESIZE) == 4096 && sysconf(_SC_CLK_TCK) == 100 && sysconf(_SC_PHYS_PAGES) > 0);
    struct rusage usage;
    SHOW(getrusage(RUSAGE_SELF, &usage));
    TRUE(usage.ru_maxrss > 0);
    SHOW(syscall(SYS_sysinfo, (void *)1)), SHOW(syscall(500)), SHOW(syscall(-1)), SHOW(syscall(100000));
    SHOW(syscall(SYS_personality, 0xffffffff));
    TRUE(syscall(SYS_membarrier, 0, 0, 0) > 0);
}
