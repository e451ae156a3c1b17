// rename, renameat, renameat2.
#include "guest.h"
#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#define RENAME_EXCHANGE 2
#endif

CASE(files)
{
    make_file("a", "A", 0644);
    make_file("b", "B", 0600);
    struct stat before, after;
    MUST(stat("a", &before));
    SHOW(rename("a", "b"));
    MUST(stat("b", &after));
    TRUE(before.st_ino == after.st_ino);
    show_file("b");
    SHOW(rename("a", "b"));
    SHOW(rename("missing", "b"));
    SHOW(rename("b", "missing/x"));
    SHOW(rename("b", "b"));
    SHOW(rename("b", "./b"));
    show_mode("b");
}
CASE(open_target_survives)
{
    char buffer[4];
    make_file("a", "A", 0644);
    make_file("b", "B", 0644);
    int fd = MUST(open("b", O_RDONLY));
    MUST(rename("a", "b"));
    SHOW(read(fd, buffer, 4));
    say("%c", buffer[0]);
    struct stat status;
    MUST(fstat(fd, &status));
    say("links %lu", (unsigned long)status.st_nlink);
}
CASE(directories)
{
    MUST(mkdir("d", 0755));
    MUST(mkdir("d/inner", 0755));
    MUST(mkdir("empty", 0755));
    MUST(mkdir("full", 0755));
    make_file("full/f", "x", 0644);
    make_file("file", "x", 0644);
    SHOW(rename("d", "d/inner/below"));
    SHOW(rename("d", "full"));
    SHOW(rename("d", "file"));
    SHOW(rename("file", "d"));
    SHOW(rename("file", "empty"));
    SHOW(rename("d", "empty"));
    show_mode("empty"), show_mode("empty/inner"), show_mode("d");
    SHOW(rename("empty", "empty/."));
    SHOW(rename(".", "other"));
    SHOW(rename("empty/..", "other"));
    SHOW(rename("full/..", "full"));
    SHOW(rename("full/f/x", "other"));
    SHOW(rename("empty", "full/moved"));
    show_mode("full");
    show_mode("full/moved/inner");
    show_mode(".");
}
CASE(trailing_slashes)
{
    make_file("f", "x", 0644);
    MUST(mkdir("d", 0755));
    SHOW(rename("f", "g/"));
    SHOW(rename("f/", "g"));
    SHOW(rename("d", "e/"));
    SHOW(rename("e/", "d"));
    MUST(symlink("d", "l"));
    SHOW(rename("l/", "m"));
    SHOW(rename("l", "m"));
    show_mode("m");
}
CASE(no_replace_and_exchange)
{
    make_file("a", "A", 0644);
    make_file("b", "B", 0600);
    MUST(mkdir("d", 0755));
    SHOW(syscall(SYS_renameat2, AT_FDCWD, "a", AT_FDCWD, "b", RENAME_NOREPLACE));
    SHOW(syscall(SYS_renameat2, AT_FDCWD, "a", AT_FDCWD, "c", RENAME_NOREPLACE));
    SHOW(syscall(SYS_renameat2, AT_FDCWD, "c", AT_FDCWD, "b", RENAME_EXCHANGE));
    show_file("b"), show_file("c");
    SHOW(syscall(SYS_renameat2, AT_FDCWD, "c", AT_FDCWD, "d", RENAME_EXCHANGE));
    show_mode("c"), show_mode("d");
    SHOW(syscall(SYS_renameat2, AT_FDCWD, "c", AT_FDCWD, "missing", RENAME_EXCHANGE));
    SHOW(syscall(SYS_renameat2, AT_FDCWD, "c", AT_FDCWD, "c/inner", RENAME_EXCHANGE));
    SHOW(syscall(SYS_renameat2, AT_FDCWD, "b", AT_FDCWD, "d", RENAME_EXCHANGE | RENAME_NOREPLACE));
    SHOW(syscall(SYS_renameat2, AT_FDCWD, "b", AT_FDCWD, "d", 0x80));
    SHOW(syscall(SYS_renameat2, AT_FDCWD, "b", AT_FDCWD, "b", RENAME_NOREPLACE));
}
CASE(hard_links_of_one_file)
{
    make_file("a", "A", 0644);
    MUST(link("a", "b"));
    SHOW(rename("a", "b")); /* does nothing, and both stay */
    show_mode("a"), show_mode("b");
}
CASE(link_is_renamed_itself)
{
    make_file("target", "T", 0644);
    MUST(symlink("target", "l"));
    SHOW(rename("l", "m"));
    show_mode("m"), show_file("target");
    make_file("x", "X", 0644);
    SHOW(rename("x", "m"));
    show_mode("m"), show_file("target");
}
CASE(replace_many_times)
{
    char name[32];
    for (int index = 0; index < 200; index++) {
        snprintf(name, sizeof name, "t%d", index % 7);
        make_file(name, name, 0644);
        MUST(rename(name, "final"));
    }
    show_file("final");
    show_mode("t0");
}
CASE(parent_changes)
{
    char buffer[PATH_MAX];
    MUST(mkdir("a", 0755)), MUST(mkdir("b", 0755)), MUST(mkdir("a/c", 0755));
    MUST(chdir("a/c"));
    MUST(rename("../../a/c", "../../b/c"));
    TRUE(getcwd(buffer, sizeof buffer) && strstr(buffer, "/b/c"));
    MUST(chdir(".."));
    TRUE(getcwd(buffer, sizeof buffer) && !strcmp(buffer + strlen(buffer) - 2, "/b"));
    show_mode("../a"), show_mode("../b");
}
CASE(bad_pointers_and_names)
{
    char name[300];
    memset(name, 'n', sizeof name);
    name[256] = 0;
    make_file("f", "", 0644);
    SHOW(syscall(SYS_rename, "f", NULL));
    SHOW(syscall(SYS_rename, (void *)1, "f"));
    SHOW(rename("f", name));
    SHOW(rename(name, "f"));
    SHOW(rename("f", ""));
    SHOW(rename("", "f"));
}
