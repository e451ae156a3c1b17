// A directory and a symbolic link exchanged while another process opens below: never a file outside, never a torn answer.
// timeout: 60
#include "guest.h"
#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE 2
#endif

CASE(exchange)
{
    MUST(mkdir("inside", 0755)), MUST(mkdir("outside", 0755));
    make_file("inside/f", "inside", 0644), make_file("outside/f", "outside", 0644);
    MUST(rename("inside", "d"));
    MUST(symlink("outside", "l"));
    pid_t child = fork();
    if (child == 0)
        for (;;)
            syscall(SYS_renameat2, AT_FDCWD, "d", AT_FDCWD, "l", RENAME_EXCHANGE);
    int inside = 0, outside = 0, odd = 0;
    char buffer[16];
    for (int round = 0; round < 2000; round++) {
        int fd = open("d/f", O_RDONLY);
        ssize_t length = fd < 0 ? -1 : read(fd, buffer, sizeof buffer);
        close(fd);
        if (length == 6 && !memcmp(buffer, "inside", 6))
            inside++;
        else if (length == 7 && !memcmp(buffer, "outside", 7))
            outside++;
        else
            odd++;
    }
    say("all answered %d odd %d", inside + outside == 2000, odd);
    int refused = 0;
    for (int round = 0; round < 1000; round++) {
        int fd = open("d", O_PATH | O_NOFOLLOW | O_DIRECTORY);
        if (fd < 0) {
            refused += errno == ENOTDIR;
            continue;
        }
        int file = openat(fd, "f", O_RDONLY);
        ssize_t length = file < 0 ? -1 : read(file, buffer, sizeof buffer);
        if (length != 6)
            odd++;
        close(file), close(fd);
    }
    say("odd %d", odd);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}
CASE(argument_changes_under_the_call)
{
    /* Another thread of control rewrites the path while the call is made: one name or the other, never a third. */
    char *path = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    make_file("aaaa", "A", 0644), make_file("bbbb", "B", 0644);
    strcpy(path, "aaaa");
    pid_t child = fork();
    if (child == 0)
        for (;;) {
            *(volatile uint32_t *)path = 0x61616161;
            *(volatile uint32_t *)path = 0x62626262;
        }
    int odd = 0;
    struct stat status;
    for (int round = 0; round < 3000; round++)
        odd += stat(path, &status) != 0 || status.st_size != 1;
    say("odd %d", odd);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
}
