// Class 1: a thread exchanges the path between check and use; the file outside the view is never opened, renamed onto or executed.
#include "escape.h"
static char path[PATH_MAX];
static volatile int running = 1;
static void *exchange(void *unused)
{
    while (running) {
        strcpy(path, "inside");
        strcpy(path, secret);
    }
    return unused;
}
static void attack(void)
{
    pthread_t thread;
    close(open("inside", O_CREAT | O_RDWR, 0755));
    strcpy(path, "inside");
    pthread_create(&thread, NULL, exchange, NULL);
    for (long round = 0; round < rounds; round++) {
        char text[16] = "";
        struct stat status;
        int fd = open(path, O_RDONLY);
        if (fd >= 0) {
            HOLE_IF(read(fd, text, sizeof text) > 0);
            close(fd);
        }
        if (stat(path, &status) == 0)
            HOLE_IF(status.st_size != 0);
        if (round % 64 == 0 && link(path, "other") == 0) {
            HOLE_IF(stat("other", &status) == 0 && status.st_size != 0);
            unlink("other");
        }
        if (holes)
            break;
    }
    running = 0;
    pthread_join(thread, NULL);
}
