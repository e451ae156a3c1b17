// Questions about a name that are asked again and again, and changes in between: whoever remembers answers must not remember these.
#include "guest.h"
#include <pthread.h>

/* What every call says of a path; asked often enough that it could have been learnt by heart. */
static void ask(const char *label, const char *path)
{
    struct stat s = {0}, l = {0};
    struct statx x = {0};
    char text[64];
    int stat_result = 0, lstat_result = 0, statx_result = 0, access_result = 0, length = 0, opened = 0;
    for (int i = 0; i < 4; i++) {
        stat_result = stat(path, &s) ? -errno : 0;
        lstat_result = lstat(path, &l) ? -errno : 0;
        statx_result = syscall(SYS_statx, AT_FDCWD, path, 0, 0x7ff, &x) ? -errno : 0;
        access_result = access(path, R_OK | W_OK) ? -errno : 0;
        length = (int)readlink(path, text, sizeof text);
        if (length < 0)
            length = -errno;
        opened = open(path, O_RDONLY | O_NONBLOCK);
        if (opened >= 0) {
            close(opened);
            opened = 0;
        } else
            opened = -errno;
    }
    say("%s: stat %d %o %d links %d lstat %d %o statx %d %o %d access %d readlink %d open %d", label, stat_result, s.st_mode,
        S_ISDIR(s.st_mode) ? 0 : (int)s.st_size, S_ISDIR(s.st_mode) ? 0 : (int)s.st_nlink, lstat_result, l.st_mode, statx_result, x.stx_mode,
        S_ISDIR(x.stx_mode) ? 0 : (int)x.stx_size, access_result, length, opened);
}

CASE(a_name_comes_and_goes)
{
    ask("missing", "f");
    make_file("f", "text", 0644);
    ask("made", "f");
    MUST(unlink("f"));
    ask("gone", "f");
    MUST(mkdir("f", 0755));
    ask("directory", "f");
    ask("in it", "f/g");
    make_file("f/g", "text", 0644);
    ask("made in it", "f/g");
    MUST(rename("f", "e"));
    ask("moved away", "f/g");
    ask("moved", "e/g");
    MUST(symlink("e", "f"));
    ask("through a link", "f/g");
    MUST(unlink("f"));
    ask("link gone", "f/g");
}

CASE(a_file_grows_natively)
{
    make_file("f", "text", 0644);
    ask("made", "f");
    int fd = open("f", O_WRONLY | O_APPEND);
    ask("opened", "f");
    MUST(write(fd, "more", 4));
    ask("written", "f");
    MUST(ftruncate(fd, 1));
    ask("cut", "f");
    close(fd);
    ask("closed", "f");
    MUST(truncate("f", 0));
    ask("emptied", "f");
    MUST(chmod("f", 0600));
    ask("mode", "f");
    MUST(link("f", "g"));
    ask("linked", "f");
}

CASE(directories_of_processes)
{
    MUST(mkdir("a", 0755));
    make_file("a/f", "text", 0644);
    ask("outside", "f");
    pid_t child = fork();
    if (child == 0) {
        MUST(chdir("a"));
        ask("child", "f");
        _exit(0);
    }
    wait_for("child", child);
    ask("parent", "f");
    MUST(chdir("a"));
    ask("inside", "f");
    MUST(rename("../a", "../b"));
    ask("renamed", "f");
    ask("by its name", "../b/f");
    MUST(unlink("f"));
    MUST(rmdir("../b"));
    ask("removed", "f");
    ask("removed itself", ".");
}

static void *change_directory(void *path)
{
    MUST(chdir(path));
    return NULL;
}

CASE(threads_share_a_directory)
{
    pthread_t thread;
    MUST(mkdir("a", 0755));
    make_file("a/f", "text", 0644);
    ask("outside", "f");
    pthread_create(&thread, NULL, change_directory, "a");
    pthread_join(thread, NULL);
    ask("inside", "f");
}
