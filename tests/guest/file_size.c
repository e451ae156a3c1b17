// truncate, ftruncate, fallocate, holes, SEEK_DATA and SEEK_HOLE, sizes beyond limits.
#include "guest.h"
#include <linux/falloc.h>

CASE(truncate_calls)
{
    char buffer[20];
    make_file("f", "0123456789", 0644);
    SHOW(truncate("f", 4));
    show_file("f");
    SHOW(truncate("f", 8));
    int fd = MUST(open("f", O_RDWR));
    SHOW(read(fd, buffer, 20));
    say("zeroes %d", !memcmp(buffer + 4, "\0\0\0\0", 4));
    SHOW(ftruncate(fd, 2));
    SHOW(lseek(fd, 0, SEEK_CUR));
    SHOW(write(fd, "end", 3));
    show_mode("f");
    SHOW(truncate("f", -1)), SHOW(ftruncate(fd, -1)), SHOW(truncate("missing", 0)), SHOW(truncate(".", 0)), SHOW(ftruncate(999, 0));
    int pipes[2];
    MUST(pipe(pipes));
    SHOW(ftruncate(pipes[1], 0));
    MUST(symlink("f", "l"));
    SHOW(truncate("l", 1));
    show_mode("f");
    SHOW(truncate("f/", 1));
}
CASE(visible_through_other_descriptors)
{
    char buffer[16];
    make_file("f", "0123456789", 0644);
    int a = MUST(open("f", O_RDWR)), b = MUST(open("f", O_RDONLY));
    MUST(pwrite(a, "XY", 2, 4));
    SHOW(pread(b, buffer, 10, 0));
    say("%.10s", buffer);
    MUST(ftruncate(a, 3));
    SHOW(pread(b, buffer, 10, 0));
    MUST(truncate("f", 0));
    SHOW(pread(b, buffer, 10, 0));
    struct stat status;
    MUST(fstat(b, &status));
    say("size %ld", (long)status.st_size);
}
CASE(holes)
{
    char buffer[4096];
    struct stat status;
    int fd = MUST(open("f", O_CREAT | O_RDWR, 0644));
    MUST(pwrite(fd, "start", 5, 0));
    MUST(pwrite(fd, "end", 3, 10 << 20));
    MUST(fstat(fd, &status));
    say("size %ld sparse %d", (long)status.st_size, status.st_blocks * 512 < status.st_size);
    SHOW(pread(fd, buffer, sizeof buffer, 5 << 20));
    say("zero %d", buffer[0] == 0 && !memcmp(buffer, buffer + 1, sizeof buffer - 1));
    SHOW(lseek(fd, 0, SEEK_DATA));
    TRUE(lseek(fd, 0, SEEK_HOLE) < 10 << 20);
    TRUE(lseek(fd, 1 << 20, SEEK_DATA) <= 10 << 20);
    SHOW(lseek(fd, 20 << 20, SEEK_DATA));
    SHOW(lseek(fd, 10 << 20, SEEK_HOLE));
}
CASE(allocate)
{
    struct stat status;
    int fd = MUST(open("f", O_CREAT | O_RDWR, 0644));
    SHOW(fallocate(fd, 0, 0, 10000));
    show_mode("f");
    MUST(fstat(fd, &status));
    say("blocks %d", status.st_blocks * 512 >= 10000);
    SHOW(fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, 100000));
    show_mode("f");
    SHOW(fallocate(fd, 0, 0, 0)), SHOW(fallocate(fd, 0, -1, 10)), SHOW(fallocate(fd, 0, 10, -1));
    SHOW(fallocate(fd, FALLOC_FL_PUNCH_HOLE, 0, 4096));
    MUST(pwrite(fd, "data", 4, 4096));
    SHOW(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096));
    char byte = 1;
    SHOW(pread(fd, &byte, 1, 4096));
    say("%d", byte);
    SHOW(posix_fallocate(fd, 0, 20000));
    show_mode("f");
    SHOW(fallocate(999, 0, 0, 1));
    SHOW(posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL));
    SHOW(posix_fadvise(fd, 0, 0, 99));
    SHOW(fsync(fd)), SHOW(fdatasync(fd)), SHOW(sync_file_range(fd, 0, 0, 0));
    SHOW(fsync(999));
}
CASE(size_limit)
{
    /* Far above what standard output, a file too, can reach. */
    const off_t limit_at = 16 << 20;
    struct rlimit limit = {limit_at, RLIM_INFINITY};
    int fd = MUST(open("f", O_CREAT | O_RDWR, 0644));
    char buffer[2000] = {0};
    signal(SIGXFSZ, SIG_IGN);
    MUST(setrlimit(RLIMIT_FSIZE, &limit));
    MUST(lseek(fd, limit_at - 1000, SEEK_SET));
    SHOW(write(fd, buffer, 2000));
    SHOW(write(fd, buffer, 1));
    SHOW(ftruncate(fd, limit_at + 5000));
    SHOW(truncate("f", limit_at + 5000));
    show_mode("f");
    signal(SIGXFSZ, SIG_DFL);
    pid_t child = fork();
    if (child == 0) {
        write(fd, buffer, 1);
        _exit(0);
    }
    wait_for("writer", child);
}
CASE(large_offsets)
{
    int fd = MUST(open("f", O_CREAT | O_RDWR, 0644));
    SHOW(pwrite(fd, "x", 1, 5L << 30));
    SHOW(lseek(fd, 0, SEEK_END));
    struct stat status;
    MUST(stat("f", &status));
    say("%ld", (long)status.st_size);
    MUST(ftruncate(fd, 0));
}
