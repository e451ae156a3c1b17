// /proc/self as programs use it to learn about themselves: how many threads, which name spaces.
// flags: -pthread
#include "guest.h"
#include <pthread.h>

static pthread_barrier_t barrier;
static void *idle(void *unused)
{
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    return unused;
}
static long task_links(void)
{
    struct stat status;
    MUST(stat("/proc/self/task", &status));
    return status.st_nlink;
}
CASE(links_of_task_count_threads)
{
    pthread_t thread;
    say("alone %ld", task_links());
    pthread_barrier_init(&barrier, NULL, 2);
    pthread_create(&thread, NULL, idle, NULL);
    pthread_barrier_wait(&barrier);
    say("with a thread %ld", task_links());
    pthread_barrier_wait(&barrier);
    pthread_join(thread, NULL);
}
CASE(name_spaces)
{
    static const char *const kinds[] = {"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"};
    for (size_t index = 0; index < sizeof kinds / sizeof *kinds; index++) {
        char path[64], text[64] = "", expected[64];
        struct stat own, init;
        snprintf(path, sizeof path, "/proc/self/ns/%s", kinds[index]);
        ssize_t length = MUST(readlink(path, text, sizeof text - 1));
        text[length] = 0;
        MUST(stat(path, &own));
        snprintf(expected, sizeof expected, "%s:[%lu]", kinds[index], (unsigned long)own.st_ino);
        int fd = MUST(open(path, O_RDONLY | O_CLOEXEC));
        MUST(fstat(fd, &init));
        say("%s %s regular %d same %d", kinds[index], strcmp(text, expected) ? "another number" : "its number", S_ISREG(own.st_mode),
            own.st_ino == init.st_ino && own.st_dev == init.st_dev);
        close(fd);
        pid_t child = fork();
        if (child == 0) {
            struct stat inherited;
            _exit(stat(path, &inherited) || inherited.st_ino != own.st_ino);
        }
        wait_for("a child is in the same", child);
    }
    SHOW(open("/proc/self/ns/none", O_RDONLY) == -1);
}
