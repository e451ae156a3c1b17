// What a guest must not be able to see or touch: host descriptors, host processes, other programs' sockets, set-ID programs' privileges.
// inside-only: yes
// timeout: 30
#include "guest.h"
#include <dirent.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>

__attribute__((constructor)) static void survive_the_broadcast(void)
{
    signal(SIGTERM, SIG_IGN); /* in every process of this guest: what must survive is outside */
}
CASE(descriptors)
{
    int open_ones = 0;
    for (int fd = 3; fd < 5000; fd++)
        open_ones += fcntl(fd, F_GETFD) >= 0;
    say("inherited beyond standard streams %d", open_ones);
}
CASE(processes)
{
    int strangers = 0, above = 0, name_found = 0;
    char path[300], name[64];
    DIR *list = opendir("/proc");
    struct dirent *entry;
    while ((entry = readdir(list))) {
        if (atoi(entry->d_name) <= 0)
            continue;
        snprintf(path, sizeof path, "/proc/%s/comm", entry->d_name);
        int fd = open(path, O_RDONLY);
        ssize_t length = fd < 0 ? 0 : read(fd, name, sizeof name - 1);
        name[length > 0 ? length : 0] = 0;
        close(fd);
        above += !strcmp(name, "init\n"); /* the library OS's own, parent of the first guest */
        strangers += strcmp(name, "containment\n") && strcmp(name, "init\n");
        name_found |= !strncmp(name, "pytest", 6) || !strncmp(name, "python", 6);
    }
    say("strangers %d the supervisor %d above %d", strangers, name_found, above);
}
CASE(broadcast_kill)
{
    /* Must reach no process outside; the test's supervisor and the test runner notice if it does. */
    pid_t child = fork();
    if (child == 0) {
        setpgid(0, 0);
        kill(-1, SIGTERM);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    say("came back");
}
CASE(privileges)
{
    SHOW(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) >= 0);
    SHOW(syscall(SYS_mount, "none", "/tmp", "tmpfs", 0, NULL) == -1);
    SHOW(syscall(SYS_reboot, 0xfee1dead, 672274793, 0, NULL) == -1);
    SHOW(syscall(SYS_settimeofday, &(struct timeval){1, 1}, NULL) == -1);
    SHOW(syscall(SYS_swapon, "/dev/null", 0) == -1);
    SHOW(open("/dev/mem", O_RDWR) == -1);
    SHOW(open("/dev/kmsg", O_RDWR) == -1);
    SHOW(open("/proc/sysrq-trigger", O_WRONLY) == -1);
    SHOW(open("/proc/1/mem", O_RDWR) == -1 || getpid() == 1);
}
CASE(walking_out)
{
    struct stat root, up;
    MUST(stat("/", &root)), MUST(stat("/../../../..", &up));
    TRUE(root.st_ino == up.st_ino && root.st_dev == up.st_dev);
    TRUE(access("/proc/self/root/proc/self/cwd/../../../../../..", F_OK) == 0);
    char text[PATH_MAX] = "";
    readlink("/proc/self/root", text, sizeof text - 1);
    say("root is %s", text);
}
