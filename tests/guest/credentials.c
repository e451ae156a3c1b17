// User and group identities: what root may set, what an ordinary user may, and what exec and fork keep.
// user: root
#include "guest.h"
#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>

static void show_ids(const char *what)
{
    uid_t ru, eu, su;
    gid_t rg, eg, sg;
    MUST(getresuid(&ru, &eu, &su));
    MUST(getresgid(&rg, &eg, &sg));
    say("%s: uid %d %d %d gid %d %d %d", what, ru, eu, su, rg, eg, sg);
}
CASE(as_root)
{
    show_ids("start");
    SHOW(setresuid(1, 2, 3)), show_ids("setresuid");
    SHOW(setuid(3)), show_ids("setuid to saved");
    SHOW(setuid(0));
    SHOW(setreuid(-1, 1)), show_ids("setreuid");
    SHOW(seteuid(3)), show_ids("seteuid");
    SHOW(setresuid(7, 7, 7));
}
CASE(groups)
{
    gid_t list[3] = {5, 6, 7}, back[8];
    SHOW(setgroups(3, list));
    SHOW(getgroups(8, back));
    say("%d %d %d", back[0], back[1], back[2]);
    SHOW(getgroups(2, back));
    SHOW(getgroups(-1, back));
    SHOW(syscall(SYS_getgroups, 8, (void *)1));
    SHOW(setgroups(70000, list));
    SHOW(setresgid(11, 12, 13)), show_ids("setresgid");
    SHOW(setregid(12, 11)), show_ids("setregid");
    SHOW(setgid(5)), show_ids("setgid as root");
    SHOW(setuid(1000));
    SHOW(setgroups(1, list));
    SHOW(setgid(6));
    SHOW(getgroups(8, back));
}
CASE(dropping_loses_privilege)
{
    SHOW(setuid(65534));
    show_ids("dropped");
    SHOW(setuid(0));
    SHOW(seteuid(0));
    SHOW(setresuid(-1, 0, -1));
    SHOW(setuid(65534));
    SHOW(setgid(0)); /* still in group 0 */
    SHOW(setgid(1));
    SHOW(chown("/", 0, 0));
    SHOW(sethostname("x", 1));
    SHOW(setpriority(PRIO_PROCESS, 0, -5));
}
CASE(temporary_drop)
{
    SHOW(seteuid(65534));
    show_ids("lowered");
    SHOW(setresuid(-1, 0, -1));
    show_ids("raised");
}
CASE(inherited)
{
    MUST(setresgid(20, 21, 22));
    MUST(setresuid(10, 11, 12));
    pid_t child = fork();
    if (child == 0) {
        show_ids("child");
        _exit(0);
    }
    wait_for("child", child);
}
CASE(keep_capabilities)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2];
    SHOW(syscall(SYS_capget, &header, data));
    say("chown effective %d", !!(data[0].effective & 1));
    header.version = 0;
    SHOW(syscall(SYS_capget, &header, data));
    say("version %x", header.version);
    SHOW(syscall(SYS_capget, &header, NULL) == 0 || errno == EFAULT);
    MUST(setuid(65534));
    SHOW(syscall(SYS_capget, &header, data));
    say("after setuid effective %x permitted %x", data[0].effective, data[0].permitted);
    SHOW(prctl(PR_GET_KEEPCAPS, 0, 0, 0, 0));
}
