// Classes 12 and 13: /proc's magic links lead to guest objects only; no descriptor of the host is in the table.
#include "escape.h"
static void attack(void)
{
    static const char *roots[] = {"/proc/self/root", "/proc/1/root", "/proc/self/cwd/../../../../../..", "/proc/1/cwd", "/proc/thread-self/root", "/proc/self/task/1/root", "/..", "/dev/fd/3", "/proc/self/fd/1023"};
    char path[2 * PATH_MAX], text[PATH_MAX];
    struct stat status;
    for (unsigned index = 0; index < sizeof roots / sizeof *roots; index++) {
        snprintf(path, sizeof path, "%s%s", roots[index], secret);
        HOLE_IF(stat(path, &status) == 0);
        HOLE_IF(open(path, O_RDONLY) >= 0);
    }
    HOLE_IF(open("/proc/self/exe", O_WRONLY) >= 0);
    HOLE_IF(open("/proc/self/exe", O_RDWR | O_TRUNC) >= 0);
    HOLE_IF(open("/proc/1/mem", O_RDWR) >= 0);
    HOLE_IF(open("/proc/1/environ", O_RDONLY) >= 0 && getppid() == 1 && getuid() != 0);
    int open_ones = 0;
    for (int fd = 3; fd < 4096; fd++) {
        if (fcntl(fd, F_GETFD) >= 0)
            open_ones++;
        snprintf(path, sizeof path, "/proc/self/fd/%d%s", fd, secret);
        if (fd < 64 || fd > 1000)
            HOLE_IF(chdir(path) == 0);
    }
    HOLE_IF(open_ones != 0);
    for (int fd = 0; fd < 3; fd++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        ssize_t length = readlink(path, text, sizeof text - 1);
        text[length < 0 ? 0 : length] = 0;
        HOLE_IF(strstr(text, "pytest") || strstr(text, canary));
        HOLE_IF(fstat(fd, &status) == 0 && S_ISDIR(status.st_mode));
    }
}
