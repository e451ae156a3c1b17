// The processors a program may use are the same after an exec, however many execs go on at once.
#include "guest.h"

CASE(report_affinity)
{
    cpu_set_t set;
    MUST(sched_getaffinity(0, sizeof set, &set));
    say("may use %s processor(s)", CPU_COUNT(&set) == 1 ? "one" : CPU_COUNT(&set) == sysconf(_SC_NPROCESSORS_ONLN) ? "all" : "some");
}

static void report_after_exec(const char *label, int processors)
{
    pid_t child = fork();
    if (child == 0) {
        cpu_set_t set;
        MUST(sched_getaffinity(0, sizeof set, &set));
        for (int i = CPU_SETSIZE - 1; i >= 0 && CPU_COUNT(&set) > processors; i--)
            CPU_CLR(i, &set);
        MUST(sched_setaffinity(0, sizeof set, &set));
        execl("/proc/self/exe", "guest", "report_affinity", (char *)NULL);
        _exit(99);
    }
    wait_for(label, child);
}

CASE(affinity_survives_exec)
{
    report_after_exec("free", CPU_SETSIZE);
    report_after_exec("bound", 1);
}

CASE(affinity_survives_a_failed_exec)
{
    char *huge = malloc(1 << 20), *argv[] = {"guest", huge, NULL};
    memset(huge, 'x', (1 << 20) - 1);
    huge[(1 << 20) - 1] = 0;
    SHOW(execv("/proc/self/exe", argv)); /* E2BIG: one string of more than 128 KiB */
    cpu_set_t set;
    MUST(sched_getaffinity(0, sizeof set, &set));
    say("may use %s", CPU_COUNT(&set) == sysconf(_SC_NPROCESSORS_ONLN) ? "all" : "some");
}

CASE(many_at_once)
{
    pid_t children[8];
    int bad = 0, status;
    for (int i = 0; i < 8; i++)
        if (!(children[i] = fork())) {
            for (int round = 0; round < 3; round++) {
                pid_t grandchild = vfork();
                if (!grandchild) {
                    execl("/bin/sh", "sh", "-c", "exit 7", (char *)NULL);
                    _exit(99);
                }
                if (waitpid(grandchild, &status, 0) != grandchild || WEXITSTATUS(status) != 7)
                    _exit(1);
            }
            cpu_set_t set;
            MUST(sched_getaffinity(0, sizeof set, &set));
            _exit(CPU_COUNT(&set) != sysconf(_SC_NPROCESSORS_ONLN));
        }
    for (int i = 0; i < 8; i++) {
        waitpid(children[i], &status, 0);
        bad += status != 0;
    }
    SHOW(bad);
}
