// Files that are opened again and again: what changes in between is seen, and each descriptor is one of its own.
// user: nobody
#include "guest.h"

#define AGAIN 5

static void read_again(const char *path)
{
    char text[64];
    for (int round = 0; round < AGAIN; round++) {
        int fd = open(path, O_RDONLY);
        if (fd < 0) {
            say("%s: %s", path, error_name(errno));
            continue;
        }
        struct stat status;
        ssize_t size = read(fd, text, sizeof text - 1);
        text[size < 0 ? 0 : size] = 0;
        MUST(fstat(fd, &status));
        say("%s: '%s' size %ld mode %o links %lu", path, text, (long)status.st_size, status.st_mode, (unsigned long)status.st_nlink);
        MUST(close(fd));
    }
}

CASE(changes_between)
{
    make_file("file", "first", 0644);
    read_again("file");
    int fd = MUST(open("file", O_WRONLY | O_APPEND));
    MUST(write(fd, " more", 5));
    read_again("file");
    MUST(close(fd));
    read_again("file");
    MUST(truncate("file", 3));
    read_again("file");
    MUST(chmod("file", 0600));
    read_again("file");
    MUST(link("file", "other"));
    read_again("file"), read_again("other");
    make_file("new", "new content", 0644);
    MUST(rename("new", "file"));
    read_again("file"), read_again("other");
    MUST(unlink("file"));
    read_again("file"), read_again("other");
    MUST(symlink("other", "file"));
    read_again("file");
    MUST(mkdir("directory", 0755));
    MUST(rename("other", "directory/other"));
    read_again("file"), read_again("directory/other");
    MUST(chdir("directory"));
    read_again("other");
}
CASE(no_permission)
{
    make_file("file", "text", 0644);
    read_again("file");
    MUST(chmod("file", 0));
    for (int round = 0; round < 3; round++) {
        int fd = open("file", O_RDONLY);
        TRUE(fd >= 0 || errno == EACCES);
        TRUE((fd >= 0) == (geteuid() == 0));
        if (fd >= 0)
            close(fd);
    }
}
CASE(descriptors)
{
    make_file("file", "0123456789", 0644);
    read_again("file");
    char byte = 0;
    int first = MUST(open("file", O_RDONLY)), second = MUST(open("file", O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    TRUE(second == first + 1);
    SHOW(fcntl(first, F_GETFD)), SHOW(fcntl(second, F_GETFD));
    SHOW(fcntl(first, F_GETFL) & ~0100000), SHOW(fcntl(second, F_GETFL) & ~0100000);
    SHOW(lseek(first, 5, SEEK_SET)), SHOW(lseek(second, 0, SEEK_CUR));
    SHOW(read(second, &byte, 1)), SHOW(byte);
    SHOW(write(first, "x", 1)), SHOW(ftruncate(first, 0));
    struct stat one, two;
    MUST(fstat(first, &one)), MUST(stat("file", &two));
    TRUE(one.st_ino == two.st_ino && one.st_dev == two.st_dev && one.st_mtim.tv_nsec == two.st_mtim.tv_nsec);
    MUST(fstatat(second, "", &two, AT_EMPTY_PATH));
    TRUE(one.st_ino == two.st_ino);
    SHOW(fstat(99, &one)), SHOW(fstatat(99, "", &one, AT_EMPTY_PATH)), SHOW(fstat(first, NULL));
    MUST(dup2(0, first));
    MUST(fstat(first, &one));
    TRUE(one.st_ino != two.st_ino);
}
CASE(too_many)
{
    make_file("file", "text", 0644);
    read_again("file");
    struct rlimit limit = {20, 20};
    MUST(setrlimit(RLIMIT_NOFILE, &limit));
    int opened = 0;
    while (open("file", O_RDONLY) >= 0)
        opened++;
    say("then %s", error_name(errno));
    TRUE(opened > 5 && opened < 20);
    close(10);
    SHOW(open("file", O_RDONLY));
}
CASE(system_files)
{
    for (int round = 0; round < AGAIN; round++) {
        int fd = MUST(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
        struct stat status, named;
        MUST(fstat(fd, &status)), MUST(stat("/etc/passwd", &named));
        TRUE(status.st_ino == named.st_ino && status.st_size == named.st_size && status.st_dev == named.st_dev && status.st_uid == named.st_uid);
        char text[5] = "";
        MUST(read(fd, text, 4));
        say("%s", text);
        close(fd);
    }
}
