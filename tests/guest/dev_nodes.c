// Devices: null, zero, full, random, fd, stdin, tty, ptmx.
// stdin: standard input here
#include "guest.h"
#include <dirent.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <termios.h>

CASE(null_zero_full)
{
    char buffer[64];
    int null = MUST(open("/dev/null", O_RDWR)), zero = MUST(open("/dev/zero", O_RDWR)), full = MUST(open("/dev/full", O_RDWR));
    SHOW(read(null, buffer, 64)), SHOW(write(null, buffer, 64)), SHOW(lseek(null, 100, SEEK_SET)), SHOW(ftruncate(null, 0));
    memset(buffer, 1, 64);
    SHOW(read(zero, buffer, 64));
    say("%d", buffer[0] + buffer[63]);
    SHOW(write(zero, buffer, 64)), SHOW(read(full, buffer, 64)), SHOW(write(full, buffer, 64));
    OK(open("/dev/null", O_WRONLY | O_CREAT | O_TRUNC, 0600));
    char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, zero, 0);
    TRUE(map != MAP_FAILED && map[5] == 0);
    SHOW(open("/dev/null/x", O_RDONLY)), SHOW(open("/dev/null", O_DIRECTORY | O_RDONLY)), SHOW(access("/dev/missing", F_OK));
    int fd = MUST(open("/dev/null", O_WRONLY | O_APPEND));
    SHOW(write(fd, "x", 1));
}
CASE(randomness)
{
    unsigned char a[64] = {0}, b[64] = {0};
    int urandom = MUST(open("/dev/urandom", O_RDONLY)), random = MUST(open("/dev/random", O_RDONLY));
    SHOW(read(urandom, a, 64)), SHOW(read(urandom, b, 64));
    TRUE(memcmp(a, b, 64) != 0);
    SHOW(read(random, a, 16));
    SHOW(getrandom(a, 64, 0)), SHOW(getrandom(b, 64, GRND_NONBLOCK));
    TRUE(memcmp(a, b, 64) != 0);
    SHOW(getrandom(a, 64, 0x77)), SHOW(getrandom((void *)1, 10, 0)), SHOW(getrandom(a, 0, 0));
}
CASE(standard_streams)
{
    char buffer[64] = "";
    struct stat a, b;
    int fd = MUST(open("/dev/stdin", O_RDONLY));
    SHOW(read(fd, buffer, 8));
    say("%s", buffer);
    MUST(fstat(0, &a)), MUST(fstat(fd, &b));
    TRUE(a.st_ino == b.st_ino && a.st_dev == b.st_dev);
    ssize_t length = MUST(readlink("/dev/stdout", buffer, sizeof buffer));
    say("%.*s", (int)length, buffer);
    length = MUST(readlink("/dev/fd", buffer, sizeof buffer));
    say("%.*s", (int)length, buffer);
    SHOW(isatty(0));
    struct winsize size;
    SHOW(ioctl(0, TIOCGWINSZ, &size)), SHOW(ioctl(0, 0x12345678, 0)), SHOW(ioctl(999, TIOCGWINSZ, &size));
}
CASE(listing)
{
    const char *names[] = {"null", "zero", "full", "random", "urandom", "tty", "fd", "stdin", "stdout", "stderr", "ptmx", "pts", "shm"};
    for (unsigned index = 0; index < sizeof names / sizeof *names; index++) {
        char path[64];
        struct stat status;
        snprintf(path, sizeof path, "/dev/%s", names[index]);
        say("%s %d", names[index], lstat(path, &status) == 0);
    }
    int found = 0;
    DIR *list = opendir("/dev");
    struct dirent *entry;
    while ((entry = readdir(list)))
        found += !strcmp(entry->d_name, "null") || !strcmp(entry->d_name, "zero");
    say("%d", found);
}
CASE(pseudo_terminals)
{
    char buffer[64] = "", *name;
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0) {
        say("posix_openpt: %s", error_name(errno));
        return;
    }
    SHOW(grantpt(master)), SHOW(unlockpt(master));
    name = ptsname(master);
    TRUE(name && !strncmp(name, "/dev/pts/", 9));
    int slave = MUST(open(name, O_RDWR | O_NOCTTY));
    SHOW(isatty(slave)), SHOW(isatty(master));
    SHOW(write(slave, "out\n", 4)), SHOW(read(master, buffer, 64));
    say("%d", !memcmp(buffer, "out\r\n", 5));
    SHOW(write(master, "line\n", 5)), SHOW(read(slave, buffer, 64));
    struct winsize size = {.ws_row = 30, .ws_col = 90};
    SHOW(ioctl(master, TIOCSWINSZ, &size));
    memset(&size, 0, sizeof size);
    SHOW(ioctl(slave, TIOCGWINSZ, &size));
    say("%d %d", size.ws_row, size.ws_col);
    struct termios mode;
    SHOW(tcgetattr(slave, &mode));
    mode.c_lflag &= ~(ICANON | ECHO);
    SHOW(tcsetattr(slave, TCSANOW, &mode));
    MUST(read(master, buffer, 64)); /* the echo of the line */
    SHOW(write(master, "x", 1)), SHOW(read(slave, buffer, 64));
    struct stat status;
    MUST(fstat(slave, &status));
    say("%o", status.st_mode & S_IFMT);
    TRUE(ttyname(slave) && !strcmp(ttyname(slave), name));
    pid_t child = fork();
    if (child == 0) {
        setsid();
        SHOW(ioctl(slave, TIOCSCTTY, 0));
        SHOW(tcgetpgrp(slave) == getpgrp());
        OK(open("/dev/tty", O_RDWR));
        signal(SIGINT, SIG_DFL);
        write(master, "\003", 1);
        for (int turn = 0; turn < 100; turn++)
            sleep_ms(10);
        _exit(0);
    }
    wait_for("session leader", child);
}
