// openat2(2): the RESOLVE_ flags and the size rules of struct open_how.
#include "guest.h"
#include <linux/openat2.h>

static long at2(int dir, const char *path, uint64_t flags, uint64_t resolve)
{
    struct open_how how = {.flags = flags, .resolve = resolve};
    return syscall(SYS_openat2, dir, path, &how, sizeof how);
}
static void tree(void)
{
    MUST(mkdir("root", 0755));
    MUST(mkdir("root/a", 0755));
    make_file("root/a/f", "inside", 0644);
    make_file("outside", "outside", 0644);
    MUST(symlink("../../outside", "root/a/escape"));
    MUST(symlink("f", "root/a/link"));
    MUST(symlink("/a/f", "root/absolute"));
    MUST(symlink("/proc/self/cwd", "root/magic"));
}
CASE(beneath)
{
    tree();
    int root = MUST(open("root", O_PATH));
    OK(at2(root, "a/f", O_RDONLY, RESOLVE_BENEATH));
    OK(at2(root, "a/../a/f", O_RDONLY, RESOLVE_BENEATH));
    SHOW(at2(root, "../outside", O_RDONLY, RESOLVE_BENEATH));
    SHOW(at2(root, "a/escape", O_RDONLY, RESOLVE_BENEATH));
    SHOW(at2(root, "/etc/passwd", O_RDONLY, RESOLVE_BENEATH));
    SHOW(at2(root, "absolute", O_RDONLY, RESOLVE_BENEATH));
    SHOW(at2(root, "magic", O_RDONLY, RESOLVE_BENEATH));
    OK(at2(root, "a/link", O_RDONLY, RESOLVE_BENEATH));
}
CASE(in_root)
{
    char buffer[16];
    tree();
    int root = MUST(open("root", O_PATH));
    OK(at2(root, "/a/f", O_RDONLY, RESOLVE_IN_ROOT));
    OK(at2(root, "../../../a/f", O_RDONLY, RESOLVE_IN_ROOT));
    int fd = at2(root, "absolute", O_RDONLY, RESOLVE_IN_ROOT);
    SHOW(read(fd, buffer, sizeof buffer));
    SHOW(at2(root, "a/escape", O_RDONLY, RESOLVE_IN_ROOT));
    SHOW(at2(root, "/etc/passwd", O_RDONLY, RESOLVE_IN_ROOT));
}
CASE(no_symlinks)
{
    tree();
    int root = MUST(open("root", O_PATH));
    OK(at2(root, "a/f", O_RDONLY, RESOLVE_NO_SYMLINKS));
    SHOW(at2(root, "a/link", O_RDONLY, RESOLVE_NO_SYMLINKS));
    OK(at2(root, "a/link", O_PATH | O_NOFOLLOW, RESOLVE_NO_SYMLINKS));
    MUST(symlink("a", "root/d"));
    SHOW(at2(root, "d/f", O_RDONLY, RESOLVE_NO_SYMLINKS));
}
CASE(no_magiclinks)
{
    tree();
    int root = MUST(open("root", O_PATH));
    SHOW(at2(root, "magic", O_RDONLY, RESOLVE_NO_MAGICLINKS));
    OK(at2(root, "magic", O_RDONLY, 0));
    OK(at2(root, "a/link", O_RDONLY, RESOLVE_NO_MAGICLINKS));
    SHOW(at2(AT_FDCWD, "/proc/self/fd/0", O_RDONLY, RESOLVE_NO_MAGICLINKS));
}
CASE(no_cross_mount)
{
    SHOW(at2(AT_FDCWD, "/proc/self/stat", O_RDONLY, RESOLVE_NO_XDEV));
    make_file("f", "x", 0644);
    OK(at2(AT_FDCWD, "f", O_RDONLY, RESOLVE_NO_XDEV));
}
CASE(argument_rules)
{
    make_file("f", "x", 0644);
    struct {
        struct open_how how;
        uint64_t extra;
    } large = {0};
    struct open_how how = {0};
    OK(syscall(SYS_openat2, AT_FDCWD, "f", &how, sizeof how));
    SHOW(syscall(SYS_openat2, AT_FDCWD, "f", &how, 0));
    SHOW(syscall(SYS_openat2, AT_FDCWD, "f", &how, 8));
    OK(syscall(SYS_openat2, AT_FDCWD, "f", &large, sizeof large));
    large.extra = 1;
    SHOW(syscall(SYS_openat2, AT_FDCWD, "f", &large, sizeof large));
    SHOW(syscall(SYS_openat2, AT_FDCWD, "f", &how, 1 << 20));
    SHOW(syscall(SYS_openat2, AT_FDCWD, "f", NULL, sizeof how));
    how.flags = 1ULL << 40;
    SHOW(syscall(SYS_openat2, AT_FDCWD, "f", &how, sizeof how));
    how.flags = 0x40000000;
    SHOW(syscall(SYS_openat2, AT_FDCWD, "f", &how, sizeof how));
    how.flags = O_RDONLY, how.mode = 0600; /* a mode without O_CREAT */
    SHOW(syscall(SYS_openat2, AT_FDCWD, "f", &how, sizeof how));
    how.flags = O_CREAT | O_RDWR, how.mode = 010000;
    SHOW(syscall(SYS_openat2, AT_FDCWD, "g", &how, sizeof how));
    how.mode = 0640;
    OK(syscall(SYS_openat2, AT_FDCWD, "g", &how, sizeof how));
    show_mode("g");
    how.flags = 0, how.mode = 0, how.resolve = 1ULL << 50;
    SHOW(syscall(SYS_openat2, AT_FDCWD, "f", &how, sizeof how));
    how.resolve = RESOLVE_BENEATH | RESOLVE_IN_ROOT;
    SHOW(syscall(SYS_openat2, AT_FDCWD, "f", &how, sizeof how));
    how.resolve = 0, how.flags = O_PATH | O_CREAT;
    SHOW(syscall(SYS_openat2, AT_FDCWD, "f", &how, sizeof how));
}
