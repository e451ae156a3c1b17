// The same calls by an ordinary user from the start, and what that user may do to files and processes.
// user: only-nobody
#include "guest.h"
#include <grp.h>

CASE(identity)
{
    say("%d %d %d %d", getuid(), geteuid(), getgid(), getegid());
    gid_t list[8];
    SHOW(getgroups(8, list));
    SHOW(setuid(0)), SHOW(setgid(0)), SHOW(setgroups(0, NULL)), SHOW(setresuid(65534, 65534, 65534)), SHOW(setreuid(0, 0));
}
CASE(files)
{
    make_file("f", "x", 0640);
    show_mode("f");
    SHOW(chown("f", 0, 0));
    SHOW(chown("f", -1, -1));
    SHOW(open("/etc/pylibos-new", O_CREAT | O_WRONLY, 0600));
    SHOW(mkdir("/pylibos-new", 0755));
    SHOW(unlink("/etc/passwd"));
    SHOW(access("/etc/passwd", R_OK)), SHOW(access("/etc/passwd", W_OK));
    MUST(chmod("f", 0));
    SHOW(open("f", O_RDONLY));
}
CASE(processes)
{
    SHOW(nice(-5));
    struct rlimit limit;
    MUST(getrlimit(RLIMIT_CORE, &limit));
    limit.rlim_max = 0, limit.rlim_cur = 0;
    SHOW(setrlimit(RLIMIT_CORE, &limit));
    limit.rlim_max = 1;
    SHOW(setrlimit(RLIMIT_CORE, &limit));
    struct timespec now;
    MUST(clock_gettime(CLOCK_REALTIME, &now));
    SHOW(clock_settime(CLOCK_REALTIME, &now));
    SHOW(sethostname("x", 1));
    SHOW(syscall(SYS_mount, "none", "/tmp", "tmpfs", 0, NULL));
    SHOW(syscall(SYS_umount2, "/tmp", 0));
    SHOW(syscall(SYS_reboot, 0, 0, 0, NULL) == 0);
    SHOW(mknod("node", S_IFCHR | 0600, 0x103));
    SHOW(mknod("fifo", S_IFIFO | 0600, 0));
}
