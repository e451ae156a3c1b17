// Classes 22 and 28: every way to name a file that is not in the view gives the same answer as for one that does not exist, and changes nothing.
#include "escape.h"
static char missing[PATH_MAX];
#define SAME(call)                                                       \
    do {                                                                 \
        const char *name = secret;                                       \
        errno = 0;                                                       \
        long first = (long)(call);                                       \
        int error = errno;                                               \
        name = missing;                                                  \
        errno = 0;                                                       \
        long second = (long)(call);                                      \
        HOLE_IF(first != second || (errno = 0, 0));                      \
        if (error == 0 || first != -1)                                   \
            holes++, printf("hole: %s\n", #call);                        \
        (void)second;                                                    \
    } while (0)
static void attack(void)
{
    struct stat status;
    char text[64];
    snprintf(missing, sizeof missing, "%s/nothing", canary);
    close(open("mine", O_CREAT | O_RDWR, 0644));
    SAME(open(name, O_RDONLY));
    SAME(open(name, O_RDWR | O_TRUNC));
    SAME(open(name, O_PATH));
    SAME(stat(name, &status));
    SAME(access(name, F_OK));
    SAME(readlink(name, text, sizeof text));
    SAME(truncate(name, 0));
    SAME(unlink(name));
    SAME(rmdir(name));
    SAME(rename(name, "taken"));
    SAME(rename("mine", name));
    SAME(link(name, "taken"));
    SAME(link("mine", name));
    SAME(symlink("x", name));
    SAME(mkdir(name, 0755));
    SAME(mknod(name, S_IFREG | 0644, 0));
    SAME(chmod(name, 0777));
    SAME(chown(name, 1, 1));
    SAME(chdir(name));
    SAME(utimensat(AT_FDCWD, name, NULL, 0));
    SAME(execl(name, name, NULL));
    SAME(syscall(SYS_setxattr, name, "user.x", "y", 1, 0));
    SAME(syscall(SYS_statfs, name, &status));
    SAME(syscall(SYS_inotify_add_watch, syscall(SYS_inotify_init1, 0), name, 2));
}
