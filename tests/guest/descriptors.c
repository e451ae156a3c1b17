// Descriptor tables: dup, dup2, dup3, F_DUPFD, close, close_range, close-on-exec; positions shared over dup and fork.
#include "guest.h"
#include <dirent.h>
#include <sys/statfs.h>
#include <linux/close_range.h>

CASE(dup_shares_position)
{
    char byte;
    make_file("f", "abcdef", 0644);
    int fd = MUST(open("f", O_RDONLY)), other = MUST(dup(fd)), separate = MUST(open("f", O_RDONLY));
    MUST(read(fd, &byte, 1));
    MUST(read(other, &byte, 1));
    say("%c", byte);
    MUST(read(separate, &byte, 1));
    say("%c", byte);
    SHOW(lseek(other, 4, SEEK_SET));
    SHOW(lseek(fd, 0, SEEK_CUR));
    MUST(fcntl(fd, F_SETFL, O_NONBLOCK));
    say("status flag shared %d", !!(fcntl(other, F_GETFL) & O_NONBLOCK));
    MUST(fcntl(fd, F_SETFD, FD_CLOEXEC));
    SHOW(fcntl(other, F_GETFD));
}
CASE(fork_shares_position)
{
    char byte;
    make_file("f", "abcdef", 0644);
    int fd = MUST(open("f", O_RDWR));
    pid_t child = fork();
    if (child == 0) {
        MUST(lseek(fd, 3, SEEK_SET));
        _exit(0);
    }
    wait_for("child", child);
    MUST(read(fd, &byte, 1));
    say("%c", byte);
    child = fork();
    if (child == 0) {
        MUST(close(fd));
        _exit(0);
    }
    wait_for("child", child);
    MUST(read(fd, &byte, 1));
    say("%c", byte);
}
CASE(dup_variants)
{
    int fd = MUST(open("/dev/null", O_RDWR));
    SHOW(dup2(fd, 50));
    SHOW(dup2(fd, fd) == fd);
    SHOW(dup2(60, 50));
    SHOW(dup2(fd, -1));
    SHOW(dup2(fd, 1 << 30));
    SHOW(dup3(fd, fd, 0));
    SHOW(dup3(fd, 51, O_CLOEXEC));
    SHOW(fcntl(51, F_GETFD));
    SHOW(dup3(fd, 52, 0x77));
    SHOW(fcntl(fd, F_DUPFD, 100));
    SHOW(fcntl(fd, F_DUPFD, 100));
    SHOW(fcntl(fd, F_DUPFD_CLOEXEC, 200));
    SHOW(fcntl(200, F_GETFD));
    SHOW(fcntl(fd, F_DUPFD, 1 << 30));
    SHOW(fcntl(fd, F_DUPFD, -1));
    SHOW(close(50));
    SHOW(close(50));
    SHOW(close(-1));
}
CASE(dup_over_open_file)
{
    make_file("f", "file", 0644);
    char buffer[8];
    int dir = MUST(open(".", O_RDONLY)), fd = MUST(open("f", O_RDONLY));
    SHOW(dup2(fd, dir) == dir);
    SHOW(read(dir, buffer, 8));
    SHOW(openat(dir, "f", O_RDONLY));
}
CASE(ranges)
{
    for (int fd = 20; fd < 30; fd++)
        MUST(dup2(0, fd));
    SHOW(syscall(SYS_close_range, 22, 25, 0));
    SHOW(fcntl(21, F_GETFD)), SHOW(fcntl(22, F_GETFD)), SHOW(fcntl(25, F_GETFD)), SHOW(fcntl(26, F_GETFD));
    SHOW(syscall(SYS_close_range, 26, 27, CLOSE_RANGE_CLOEXEC));
    SHOW(fcntl(26, F_GETFD)), SHOW(fcntl(28, F_GETFD));
    SHOW(syscall(SYS_close_range, 28, ~0U, 0));
    SHOW(fcntl(28, F_GETFD));
    SHOW(syscall(SYS_close_range, 30, 20, 0));
    SHOW(syscall(SYS_close_range, 20, 30, 0x100));
}
CASE(seek)
{
    make_file("f", "0123456789", 0644);
    int fd = MUST(open("f", O_RDWR));
    SHOW(lseek(fd, -3, SEEK_END));
    SHOW(lseek(fd, -100, SEEK_CUR));
    SHOW(lseek(fd, 5, 77));
    SHOW(lseek(fd, 1000, SEEK_SET));
    char byte;
    SHOW(read(fd, &byte, 1));
    SHOW(write(fd, "x", 1));
    show_mode("f");
    SHOW(lseek(fd, -1, SEEK_SET));
    int pipes[2];
    MUST(pipe(pipes));
    SHOW(lseek(pipes[0], 0, SEEK_SET));
    SHOW(pread(pipes[0], &byte, 1, 0));
    SHOW(pread(fd, &byte, 1, -1));
}
CASE(vectors)
{
    char a[3], b[100];
    make_file("f", "0123456789", 0644);
    int fd = MUST(open("f", O_RDWR));
    struct iovec vector[2] = {{a, sizeof a}, {b, sizeof b}};
    SHOW(readv(fd, vector, 2));
    say("%.3s %.7s", a, b);
    SHOW(preadv(fd, vector, 2, 5));
    SHOW(pwritev(fd, vector, 1, 20));
    SHOW(readv(fd, vector, -1));
    SHOW(readv(fd, vector, 1025));
    SHOW(readv(fd, NULL, 0));
    SHOW(readv(fd, (void *)16, 1));
    vector[0].iov_len = (size_t)-1;
    SHOW(readv(fd, vector, 2));
    vector[0].iov_len = 3;
    SHOW(preadv2(fd, vector, 1, 0, 0));
    SHOW(preadv2(fd, vector, 1, 0, 0x40000000));
    SHOW(pwritev2(fd, vector, 1, 0, RWF_APPEND));
    SHOW(lseek(fd, 0, SEEK_END));
}
CASE(bad_buffers)
{
    make_file("f", "0123456789", 0644);
    int fd = MUST(open("f", O_RDWR));
    SHOW(read(fd, (void *)1, 10));
    SHOW(write(fd, (void *)1, 10));
    SHOW(read(fd, NULL, 0));
    SHOW(write(fd, NULL, 0));
    SHOW(read(fd, (void *)-1L, 10));
    SHOW(read(fd, (void *)1, (size_t)-1));
    SHOW(lseek(fd, 0, SEEK_CUR));
    SHOW(read(0x500000000L + fd, (void *)1, 0) == 0);
}
CASE(positions_of_directories_survive_fork)
{
    char buffer[4096];
    for (int index = 0; index < 40; index++) {
        char name[32];
        snprintf(name, sizeof name, "file%d", index);
        make_file(name, "", 0600);
    }
    int fd = MUST(open(".", O_RDONLY));
    long first = syscall(SYS_getdents64, fd, buffer, 256);
    TRUE(first > 0);
    pid_t child = fork();
    if (child == 0) {
        while (syscall(SYS_getdents64, fd, buffer, sizeof buffer) > 0)
            ;
        _exit(0);
    }
    wait_for("child", child);
    SHOW(syscall(SYS_getdents64, fd, buffer, sizeof buffer));
    SHOW(lseek(fd, 0, SEEK_SET));
    TRUE(syscall(SYS_getdents64, dup(fd), buffer, sizeof buffer) > 0);
}
CASE(nothing_but_the_standard_streams)
{
    struct stat status;
    struct statx longer;
    struct statfs system;
    char byte, name[64];
    int calls[14] = {0}, listed = 0;
    for (int fd = 3; fd < 1024; fd++) {
        calls[0] += fcntl(fd, F_GETFD) != -1 || errno != EBADF;
        calls[1] += syscall(SYS_fstat, fd, &status) != -1 || errno != EBADF;
        calls[2] += fstatat(fd, "", &status, AT_EMPTY_PATH) != -1 || errno != EBADF;
        calls[3] += statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &longer) != -1 || errno != EBADF;
        calls[4] += lseek(fd, 0, SEEK_CUR) != -1 || errno != EBADF;
        calls[5] += fsync(fd) != -1 || errno != EBADF;
        calls[6] += fchmod(fd, 0600) != -1 || errno != EBADF;
        calls[7] += ftruncate(fd, 0) != -1 || errno != EBADF;
        calls[8] += fchdir(fd) != -1 || errno != EBADF;
        calls[9] += fstatfs(fd, &system) != -1 || errno != EBADF;
        calls[10] += read(fd, &byte, 1) != -1 || errno != EBADF;
        calls[11] += openat(fd, "x", O_RDONLY) != -1 || errno != EBADF;
        calls[12] += dup(fd) != -1 || errno != EBADF;
        snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
        calls[13] += readlink(name, &byte, 1) != -1 || errno != ENOENT;
    }
    for (int index = 0; index < 14; index++)
        say("%d: %d", index, calls[index]);
    DIR *list = opendir("/proc/self/fd");
    while (readdir(list))
        listed++;
    say("%d listed", listed);
}
