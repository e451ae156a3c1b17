// Permission bits, ownership, sticky and set-group-ID directories, as root and after becoming an ordinary user.
// user: root
#include "guest.h"
#include <grp.h>

static void become(uid_t user, gid_t group)
{
    MUST(setgroups(0, NULL));
    MUST(setresgid(group, group, group));
    MUST(setresuid(user, user, user));
}
CASE(root_passes)
{
    make_file("f", "x", 0);
    OK(open("f", O_RDWR));
    MUST(mkdir("d", 0));
    OK(open("d", O_RDONLY));
    OK(open("d/new", O_CREAT | O_WRONLY, 0600));
    SHOW(access("f", X_OK));
    SHOW(access("f", R_OK | W_OK));
    SHOW(access("d", X_OK));
}
CASE(user_bits)
{
    MUST(chmod(".", 0777));
    MUST(mkdir("rx", 0755)), MUST(mkdir("x", 0711)), MUST(mkdir("r", 0744)), MUST(mkdir("none", 0700));
    make_file("rx/f", "x", 0644), make_file("x/f", "x", 0644), make_file("r/f", "x", 0644), make_file("none/f", "x", 0644);
    make_file("w", "x", 0622), make_file("rw", "x", 0666), make_file("private", "x", 0600);
    become(65534, 65534);
    OK(open("rx", O_RDONLY)), OK(open("x", O_RDONLY)), OK(open("r", O_RDONLY)), OK(open("none", O_RDONLY));
    OK(open("rx/f", O_RDONLY)), OK(open("x/f", O_RDONLY)), OK(open("r/f", O_RDONLY)), OK(open("none/f", O_RDONLY));
    SHOW(open("none/missing", O_RDONLY)), SHOW(open("rx/missing", O_RDONLY));
    OK(open("rx/f", O_WRONLY)), OK(open("w", O_WRONLY)), OK(open("w", O_RDONLY)), OK(open("rw", O_RDWR)), OK(open("private", O_RDONLY));
    OK(open("rx/new", O_CREAT | O_WRONLY, 0600)), OK(open("mine", O_CREAT | O_RDWR, 0)), OK(open("mine", O_RDONLY));
    OK(open("private", O_PATH)), OK(open("none/f", O_PATH));
    SHOW(access("rx/f", R_OK)), SHOW(access("rx/f", W_OK)), SHOW(access("rx", W_OK)), SHOW(access("none/f", F_OK)), SHOW(access("r/f", F_OK));
    SHOW(chmod("rw", 0777)), SHOW(chown("rw", 65534, -1)), SHOW(chmod("mine", 0640)), SHOW(chown("mine", 65534, 65534)), SHOW(chown("mine", 0, -1));
    SHOW(truncate("w", 0)), SHOW(truncate("private", 0));
    SHOW(unlink("rx/f")), SHOW(unlink("private")), SHOW(rename("rw", "rx/rw")), SHOW(link("mine", "rx/m")), SHOW(symlink("a", "rx/s"));
    SHOW(mkdir("rx/d", 0700)), SHOW(rmdir("none")), SHOW(rmdir("rx"));
    SHOW(chdir("none")), SHOW(chdir("r")), SHOW(chdir("x"));
}
CASE(group_bits)
{
    MUST(chmod(".", 0777));
    make_file("g", "x", 0640);
    MUST(chown("g", 0, 100));
    make_file("owner_denied", "x", 0077);
    MUST(chown("owner_denied", 65534, 65534));
    gid_t groups[] = {100};
    MUST(setgroups(1, groups));
    MUST(setresgid(65534, 65534, 65534));
    MUST(setresuid(65534, 65534, 65534));
    OK(open("g", O_RDONLY)), OK(open("g", O_WRONLY));
    OK(open("owner_denied", O_RDONLY));
    gid_t list[4];
    SHOW(getgroups(4, list));
    SHOW(getgroups(0, NULL));
    say("%d", list[0]);
}
CASE(sticky)
{
    MUST(mkdir("t", 01777));
    MUST(chmod("t", 01777));
    make_file("t/roots", "x", 0666);
    MUST(mkdir("t/dir", 0777));
    pid_t child = fork();
    if (child == 0) {
        become(1000, 1000);
        make_file("t/theirs", "x", 0666);
        _exit(0);
    }
    wait_for("child", child);
    become(65534, 65534);
    make_file("t/mine", "x", 0644);
    SHOW(unlink("t/roots")), SHOW(unlink("t/theirs")), SHOW(rename("t/theirs", "t/x")), SHOW(rename("t/mine", "t/theirs")), SHOW(rmdir("t/dir"));
    SHOW(rename("t/mine", "t/renamed")), SHOW(unlink("t/renamed"));
}
CASE(set_group_id_directory)
{
    struct stat status;
    MUST(mkdir("d", 0755));
    MUST(chown("d", 0, 100));
    MUST(chmod("d", 02777));
    make_file("d/f", "x", 0644);
    MUST(mkdir("d/sub", 0755));
    MUST(stat("d/f", &status));
    say("file group %d", status.st_gid);
    MUST(stat("d/sub", &status));
    say("directory group %d mode %o", status.st_gid, status.st_mode);
    become(65534, 65534);
    int fd = MUST(open("d/exec", O_CREAT | O_WRONLY, 02775));
    MUST(fstat(fd, &status));
    say("group %d mode %o", status.st_gid, status.st_mode);
    SHOW(fchmod(fd, 02755)); /* not a member: the bit is dropped silently */
    MUST(fstat(fd, &status));
    say("mode %o", status.st_mode);
}
CASE(set_id_bits_cleared)
{
    struct stat status;
    make_file("f", "x", 06755);
    MUST(stat("f", &status));
    say("mode %o", status.st_mode);
    MUST(chown("f", 65534, 65534));
    MUST(stat("f", &status));
    say("after chown mode %o", status.st_mode);
    MUST(chmod("f", 06777));
    MUST(chmod(".", 0777));
    become(65534, 65534);
    int fd = MUST(open("f", O_WRONLY));
    MUST(write(fd, "y", 1));
    MUST(stat("f", &status));
    say("after write mode %o", status.st_mode);
}
CASE(change_owner)
{
    struct stat status;
    make_file("f", "x", 0644);
    MUST(symlink("f", "l"));
    SHOW(chown("f", 12, 34));
    SHOW(lchown("l", 56, 78));
    MUST(stat("f", &status));
    say("%d %d", status.st_uid, status.st_gid);
    MUST(lstat("l", &status));
    say("%d %d", status.st_uid, status.st_gid);
    SHOW(chown("l", -1, 99));
    MUST(stat("f", &status));
    say("%d %d", status.st_uid, status.st_gid);
    SHOW(fchownat(AT_FDCWD, "l", 1, 1, AT_SYMLINK_NOFOLLOW));
    SHOW(fchownat(AT_FDCWD, "l", 1, 1, 0x4));
    int fd = MUST(open("f", O_RDONLY));
    SHOW(fchown(fd, 7, 8));
    SHOW(fchownat(fd, "", 9, 10, AT_EMPTY_PATH));
    MUST(fstat(fd, &status));
    say("%d %d", status.st_uid, status.st_gid);
    SHOW(fchmod(fd, 04711));
    show_mode("f");
    SHOW(chmod("missing", 0600));
    SHOW(chmod("f", 0177777));
    show_mode("f");
}
CASE(filesystem_identity)
{
    MUST(chmod(".", 0777));
    make_file("private", "x", 0600);
    MUST(setegid(65534));
    MUST(seteuid(65534));
    OK(open("private", O_RDONLY));
    SHOW(access("private", R_OK));                            /* asks for the real identity, still root */
    SHOW(faccessat(AT_FDCWD, "private", R_OK, AT_EACCESS));   /* asks for the effective one */
    make_file("mine", "x", 0600);
    struct stat status;
    MUST(stat("mine", &status));
    say("%d %d", status.st_uid, status.st_gid);
    MUST(seteuid(0));
    SHOW(syscall(SYS_setfsuid, 65534));
    SHOW(syscall(SYS_setfsuid, -1));
    OK(open("private", O_RDONLY));
}
