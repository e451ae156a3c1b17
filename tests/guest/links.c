// Hard links, symbolic links and what following them means.
#include "guest.h"

CASE(hard_links)
{
    make_file("a", "data", 0640);
    SHOW(link("a", "b"));
    show_mode("b");
    SHOW(link("a", "b"));
    SHOW(link("missing", "c"));
    MUST(mkdir("d", 0755));
    SHOW(link("d", "e"));
    SHOW(link("a", "d"));
    SHOW(link("a", "d/"));
    SHOW(link("a", "x/"));
    SHOW(link("a", "missing/x"));
    SHOW(link("a/", "x"));
    SHOW(chmod("a", 0600));
    show_mode("b");
    SHOW(unlink("a"));
    show_mode("b");
    show_file("b");
    for (int index = 0; index < 50; index++) {
        char name[16];
        snprintf(name, sizeof name, "l%d", index);
        MUST(link("b", name));
    }
    show_mode("b");
}
CASE(link_to_symlink)
{
    struct stat status;
    make_file("f", "x", 0644);
    MUST(symlink("f", "s"));
    SHOW(link("s", "hard"));
    lstat("hard", &status);
    say("type %o links %lu", status.st_mode & S_IFMT, (unsigned long)status.st_nlink);
    SHOW(linkat(AT_FDCWD, "s", AT_FDCWD, "followed", AT_SYMLINK_FOLLOW));
    lstat("followed", &status);
    say("type %o links %lu", status.st_mode & S_IFMT, (unsigned long)status.st_nlink);
    SHOW(linkat(AT_FDCWD, "s", AT_FDCWD, "x", 0x8000));
}
CASE(symbolic_links)
{
    char buffer[64], name[4200];
    SHOW(symlink("target", "s"));
    SHOW(symlink("target", "s"));
    SHOW(symlink("", "empty"));
    SHOW(symlink("x", "missing/s"));
    SHOW(symlink("x", "s/"));
    SHOW(symlink("x", ""));
    show_mode("s");
    SHOW(readlink("s", buffer, sizeof buffer));
    SHOW(readlink("s", buffer, 3));
    say("%.3s", buffer);
    SHOW(readlink("s", buffer, 0));
    SHOW(readlink("s", (char *)1, 10));
    SHOW(readlink("missing", buffer, 10));
    SHOW(readlink(".", buffer, 10));
    make_file("f", "", 0644);
    SHOW(readlink("f", buffer, 10));
    SHOW(readlink("s/", buffer, 10));
    memset(name, 'p', sizeof name);
    name[4095] = 0;
    SHOW(symlink(name, "long"));
    SHOW(readlink("long", name, sizeof name));
    name[4095] = 'p', name[4096] = 0;
    SHOW(symlink(name, "longer"));
    SHOW(chmod("s", 0600));
    SHOW(fchmodat(AT_FDCWD, "s", 0600, AT_SYMLINK_NOFOLLOW));
}
CASE(loops)
{
    MUST(symlink("b", "a"));
    MUST(symlink("a", "b"));
    SHOW(open("a", O_RDONLY));
    SHOW(open("a/x", O_RDONLY));
    SHOW(access("a", F_OK));
    SHOW(mkdir("a", 0755));
    SHOW(unlink("a"));
    char from[16], to[16];
    make_file("l0", "end", 0644);
    for (int index = 1; index <= 45; index++) {
        snprintf(from, sizeof from, "l%d", index - 1);
        snprintf(to, sizeof to, "l%d", index);
        MUST(symlink(from, to));
    }
    show_file("l39");
    show_file("l40");
    show_file("l41");
    MUST(symlink("self", "self"));
    SHOW(open("self", O_CREAT | O_WRONLY, 0600));
    MUST(mkdir("d", 0755));
    MUST(symlink("..", "d/up"));
    OK(open("d/up/d/up/d/up/l0", O_RDONLY));
}
CASE(dangling)
{
    MUST(symlink("nowhere", "s"));
    SHOW(access("s", F_OK));
    SHOW(mkdir("s", 0755));
    SHOW(open("s", O_RDONLY));
    SHOW(truncate("s", 0));
    SHOW(rmdir("s"));
    MUST(symlink("missing/deep", "t"));
    SHOW(open("t", O_CREAT | O_WRONLY, 0600));
    OK(open("s", O_CREAT | O_WRONLY, 0600));
    show_mode("nowhere");
}
CASE(slashes_and_dots)
{
    MUST(mkdir("d", 0755));
    make_file("d/f", "x", 0644);
    MUST(symlink("d", "s"));
    MUST(symlink("d/", "t"));
    show_file("s/f"), show_file("t/f"), show_file("t//f"), show_file("s/./../d/f");
    SHOW(rmdir("s"));
    SHOW(rmdir("s/"));
    SHOW(unlink("s/"));
    SHOW(unlink("d"));
    SHOW(unlink("d/f/"));
    SHOW(rmdir("d"));
    SHOW(rmdir("d/."));
    SHOW(rmdir("d/.."));
    SHOW(rmdir("."));
    SHOW(rmdir(".."));
    SHOW(rmdir("d/f"));
    SHOW(mkdir("d", 0755));
    SHOW(mkdir("s", 0755));
    SHOW(mkdir("new/", 0755));
    SHOW(mkdir("new2//", 0755));
    SHOW(mkdir("x/y", 0755));
    SHOW(mkdir(".", 0755));
    SHOW(mkdir("d/..", 0755));
    SHOW(mkdir("", 0755));
    SHOW(mkdir("/", 0755));
    SHOW(rmdir("/"));
    MUST(symlink("absent", "u"));
    SHOW(mkdir("u/", 0755));
    show_mode("absent");
}
CASE(link_counts_of_directories)
{
    show_mode(".");
    MUST(mkdir("a", 0755)), MUST(mkdir("b", 0755));
    show_mode(".");
    MUST(mkdir("a/c", 0755));
    show_mode("a");
    MUST(rename("a/c", "b/c"));
    show_mode("a"), show_mode("b");
    MUST(rmdir("a"));
    show_mode(".");
    make_file("f", "", 0644);
    show_mode(".");
}
CASE(magic_links)
{
    char buffer[PATH_MAX], cwd[PATH_MAX];
    TRUE(getcwd(cwd, sizeof cwd) != NULL);
    ssize_t length = readlink("/proc/self/cwd", buffer, sizeof buffer);
    TRUE(length == (ssize_t)strlen(cwd) && !memcmp(buffer, cwd, length));
    make_file("f", "via cwd", 0644);
    show_file("/proc/self/cwd/f");
    length = readlink("/proc/self/root", buffer, sizeof buffer);
    say("root %.*s", (int)length, buffer);
    struct stat root, same;
    MUST(stat("/", &root)), MUST(stat("/proc/self/root", &same));
    TRUE(root.st_ino == same.st_ino && root.st_dev == same.st_dev);
}
