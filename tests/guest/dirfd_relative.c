// The *at calls: relative to a directory descriptor, absolute, AT_FDCWD and wrong descriptors; chdir, fchdir, getcwd.
#include "guest.h"

CASE(relative_to_directory)
{
    struct stat status;
    char buffer[32];
    MUST(mkdir("d", 0755));
    int dir = MUST(open("d", O_RDONLY | O_DIRECTORY));
    OK(openat(dir, "f", O_CREAT | O_WRONLY, 0600));
    SHOW(mkdirat(dir, "sub", 0700));
    SHOW(symlinkat("f", dir, "link"));
    SHOW(readlinkat(dir, "link", buffer, sizeof buffer));
    SHOW(linkat(dir, "f", dir, "hard", 0));
    SHOW(fstatat(dir, "hard", &status, 0));
    say("links %lu", (unsigned long)status.st_nlink);
    SHOW(fchmodat(dir, "f", 0640, 0));
    SHOW(faccessat(dir, "f", R_OK, 0));
    SHOW(renameat(dir, "hard", AT_FDCWD, "moved"));
    SHOW(unlinkat(dir, "f", 0));
    SHOW(unlinkat(dir, "sub", 0));
    SHOW(unlinkat(dir, "sub", AT_REMOVEDIR));
    SHOW(unlinkat(dir, "link", AT_REMOVEDIR));
    SHOW(unlinkat(dir, "link", 0));
    SHOW(unlinkat(dir, "link", 0));
    show_mode("moved");
}
CASE(wrong_descriptors)
{
    make_file("f", "x", 0644);
    int file = MUST(open("f", O_RDONLY));
    struct stat status;
    SHOW(openat(file, "x", O_RDONLY));
    SHOW(openat(-1, "x", O_RDONLY));
    SHOW(openat(777, "x", O_RDONLY));
    OK(openat(777, "/dev/null", O_RDONLY)); /* an absolute path does not look at it */
    SHOW(fstatat(file, "", &status, AT_EMPTY_PATH));
    SHOW(fstatat(file, "", &status, 0));
    SHOW(fstatat(777, "", &status, AT_EMPTY_PATH));
    SHOW(fstatat(file, "x", &status, 0));
    SHOW(fstatat(AT_FDCWD, "f", &status, 0x80000000));
    SHOW(mkdirat(0, "x", 0700));
    SHOW(faccessat(file, "", F_OK, AT_EMPTY_PATH));
    SHOW(unlinkat(AT_FDCWD, "f", 0x1));
}
CASE(directory_moves)
{
    /* A descriptor names the directory, not its path. */
    char buffer[PATH_MAX];
    MUST(mkdir("a", 0755));
    int dir = MUST(open("a", O_RDONLY));
    make_file("a/f", "here", 0644);
    MUST(rename("a", "b"));
    OK(openat(dir, "f", O_RDONLY));
    MUST(fchdir(dir));
    TRUE(getcwd(buffer, sizeof buffer) && strstr(buffer, "/directory_moves/b"));
    MUST(chdir(".."));
    MUST(unlink("b/f"));
    MUST(rmdir("b"));
    SHOW(openat(dir, "f", O_CREAT | O_WRONLY, 0600));
    SHOW(openat(dir, ".", O_RDONLY | O_CREAT, 0600));
    OK(openat(dir, ".", O_RDONLY));
    SHOW(mkdirat(dir, "sub", 0700));
    SHOW(fchdir(dir));
    SHOW(syscall(SYS_getcwd, buffer, sizeof buffer));
    SHOW(open("f", O_CREAT | O_WRONLY, 0600));
    OK(chdir(".."));
    TRUE(getcwd(buffer, sizeof buffer) && strstr(buffer, "/directory_moves"));
}
CASE(change_directory)
{
    char buffer[PATH_MAX], start[PATH_MAX];
    MUST(mkdir("d", 0755));
    make_file("f", "x", 0644);
    TRUE(getcwd(start, sizeof start) != NULL);
    SHOW(chdir("f"));
    SHOW(chdir("missing"));
    SHOW(chdir(""));
    SHOW(syscall(SYS_chdir, (char *)1));
    MUST(symlink("d", "l"));
    SHOW(chdir("l"));
    TRUE(getcwd(buffer, sizeof buffer) && !strncmp(buffer, start, strlen(start)) && !strcmp(buffer + strlen(start), "/d"));
    SHOW(syscall(SYS_getcwd, buffer, 3));
    SHOW(syscall(SYS_getcwd, (char *)1, 4096));
    TRUE(syscall(SYS_getcwd, buffer, sizeof buffer) == (long)strlen(start) + 3);
    SHOW(chdir("/"));
    SHOW(syscall(SYS_getcwd, buffer, sizeof buffer));
    say("%s", buffer);
    SHOW(chdir("/../../.."));
    SHOW(syscall(SYS_getcwd, buffer, sizeof buffer));
    SHOW(fchdir(777));
    int file = open("/dev/null", O_RDONLY);
    SHOW(fchdir(file));
}
CASE(shared_by_threads_not_by_children)
{
    MUST(mkdir("d", 0755));
    pid_t child = fork();
    if (child == 0) {
        MUST(chdir("d"));
        umask(077);
        _exit(0);
    }
    wait_for("child", child);
    show_mode("d");
    say("umask %o", umask(022));
}
CASE(deeper_than_path_max)
{
    /* Names can be nested beyond PATH_MAX; only one path argument cannot. */
    char name[201];
    memset(name, 'n', 200);
    name[200] = 0;
    int depth;
    for (depth = 0; depth < 30; depth++) {
        if (mkdir(name, 0755) < 0 || chdir(name) < 0) {
            say("depth %d: %s", depth, error_name(errno));
            break;
        }
    }
    say("depth %d", depth);
    char buffer[PATH_MAX];
    SHOW(syscall(SYS_getcwd, buffer, sizeof buffer));
    make_file("f", "deep", 0644);
    show_file("f");
    MUST(unlink("f"));
    while (depth-- > 0) {
        MUST(chdir(".."));
        MUST(rmdir(name));
    }
    show_mode(".");
}
