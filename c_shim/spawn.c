/* Start the sandbox's init process: name spaces, identity, descriptors, then our static loader.
 *
 * Between clone and exec the child runs in a copy of the supervisor's memory and makes only raw calls. Any failure is reported
 * on the control socket as 'E', step, errno and the child exits: nothing ever runs half-confined.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "plan.h"
#include "shim.h"

enum { STEP_MAP = 1, STEP_NETWORK, STEP_ROOT, STEP_DESCRIPTORS, STEP_IDENTITY, STEP_PRIVILEGES, STEP_EXEC };

static void fail(int control, int step)
{
    unsigned char report[3] = {'E', (unsigned char)step, (unsigned char)errno};
    ssize_t ignored = write(control, report, sizeof report);
    (void)ignored;
    _exit(125);
}

static int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = write(fd, text, strlen(text));
    close(fd);
    return n < 0 ? -1 : 0;
}

static int map_identity(int uid, int gid)
{
    char line[64];
    if (write_file("/proc/self/setgroups", "deny") && errno != ENOENT)
        return -1;
    snprintf(line, sizeof line, "%d %d 1", uid, uid);
    if (write_file("/proc/self/uid_map", line))
        return -1;
    snprintf(line, sizeof line, "%d %d 1", gid, gid);
    return write_file("/proc/self/gid_map", line);
}

static int loopback_up(void)
{
    struct ifreq request = {.ifr_name = "lo"};
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (s < 0 || ioctl(s, SIOCGIFFLAGS, &request))
        return -1;
    request.ifr_flags |= IFF_UP | IFF_RUNNING;
    int result = ioctl(s, SIOCSIFFLAGS, &request);
    close(s);
    /* Who may bind low ports is the library OS's to decide (sys_bind): the guests' host ids say nothing about it. No error if not. */
    write_file("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
    return result;
}

static int enter_empty_root(void)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
        return -1;
    if (mount("pylibos", "/tmp", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k,nr_inodes=2,mode=555"))
        return -1;
    if (chdir("/tmp") || syscall(SYS_pivot_root, ".", ".") || umount2(".", MNT_DETACH) || chdir("/"))
        return -1;
    return mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
}

/* Put the six descriptors at 0..5 whatever numbers they had, close everything else. */
static int place_descriptors(const struct shim_spawn *what)
{
    int source[6] = {what->standard[0], what->standard[1], what->standard[2], what->control, what->block, what->loader};
    for (int i = 0; i < 6; i++) {
        source[i] = fcntl(source[i], F_DUPFD, 6);
        if (source[i] < 0)
            return -1;
    }
    for (int i = 0; i < 6; i++)
        if (dup3(source[i], i, i == INIT_LOADER_FD ? O_CLOEXEC : 0) < 0)
            return -1;
    if (syscall(SYS_close_range, 6, ~0U, 0)) {
        struct rlimit limit;
        getrlimit(RLIMIT_NOFILE, &limit);
        for (int fd = 6; fd < (int)limit.rlim_cur; fd++)
            close(fd);
    }
    return 0;
}

static int take_identity(const struct shim_spawn *what)
{
    if (what->uid < 0)
        return 0;
    for (int capability = 0; capability < 64; capability++)
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) && errno != EINVAL)
            return -1;
    if (setgroups(0, NULL) || setresgid(what->gid, what->gid, what->gid) || setresuid(what->uid, what->uid, what->uid))
        return -1;
    return 0;
}

static void run_child(const struct shim_spawn *what)
{
    int control = what->control;
    /* When memory runs out, guests go first: what they fill are often files in memory, which count as nobody's. No error if not. */
    write_file("/proc/self/oom_score_adj", "900");
    if (what->map_identity && map_identity((int)what->uid, (int)what->gid))
        fail(control, STEP_MAP);
    if (what->loopback_up && loopback_up())
        fail(control, STEP_NETWORK);
    if (what->empty_root && enter_empty_root())
        fail(control, STEP_ROOT);
    if (place_descriptors(what))
        fail(control, STEP_DESCRIPTORS);
    control = INIT_CONTROL_FD;
    if (!what->map_identity && take_identity(what))
        fail(control, STEP_IDENTITY);
    struct rlimit no_core = {0, 0};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_PDEATHSIG, SIGKILL) || prctl(PR_SET_CHILD_SUBREAPER, 1) ||
        setrlimit(RLIMIT_CORE, &no_core))
        fail(control, STEP_PRIVILEGES);
    /* CPython ignores these; a program must find the defaults. */
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXFSZ, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    char *const argv[] = {"pylibos-init", NULL};
    char *const envp[] = {NULL};
    syscall(SYS_execveat, INIT_LOADER_FD, "", argv, envp, AT_EMPTY_PATH);
    fail(control, STEP_EXEC);
}

/* Have a signal come when the process that made us dies. */
int shim_follow_parent(int signal) { return prctl(PR_SET_PDEATHSIG, signal) ? -errno : 0; }

int shim_spawn(const struct shim_spawn *what)
{
    long pid = syscall(SYS_clone, what->clone_flags | SIGCHLD, 0, 0, 0, 0);
    if (pid < 0)
        return -errno;
    if (pid == 0)
        run_child(what);
    return (int)pid;
}
