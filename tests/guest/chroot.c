// chroot(2): what the root of a process means for its paths.
// user: root
#include "guest.h"

CASE(chroot_into_directory)
{
    MUST(mkdir("new", 0755));
    make_file("new/f", "x", 0644);
    SHOW(chroot("missing"));
    SHOW(chroot("new/f"));
    SHOW(chroot("new"));
    SHOW(access("/f", F_OK));
    SHOW(access("/etc", F_OK));
    SHOW(access("new", F_OK)); /* the working directory is still outside */
    MUST(chdir("/"));
    SHOW(access("../../f", F_OK));
    MUST(symlink("/f", "/absolute"));
    show_file("/absolute");
    char buffer[64];
    SHOW(syscall(SYS_getcwd, buffer, sizeof buffer));
    say("%s", buffer);
    pid_t child = fork();
    if (child == 0) {
        SHOW(access("/f", F_OK));
        _exit(0);
    }
    wait_for("child", child);
}
CASE(needs_privilege)
{
    MUST(setgid(65534));
    MUST(setuid(65534));
    SHOW(chroot("."));
}
