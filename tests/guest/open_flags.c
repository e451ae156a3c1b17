// open(2): what each flag does, and which errno each wrong use gives.
#include "guest.h"

CASE(create_exclusive)
{
    OK(open("f", O_CREAT | O_EXCL | O_WRONLY, 0640));
    SHOW(open("f", O_CREAT | O_EXCL | O_WRONLY, 0640));
    show_mode("f");
    MUST(symlink("nowhere", "dangling"));
    SHOW(open("dangling", O_CREAT | O_EXCL | O_WRONLY, 0640));
    OK(open("dangling", O_CREAT | O_WRONLY, 0600));
    show_mode("nowhere");
}
CASE(truncate)
{
    make_file("f", "hello world", 0644);
    int fd = MUST(open("f", O_RDWR | O_TRUNC));
    show_mode("f");
    SHOW(write(fd, "abc", 3));
    show_file("f");
    OK(open("f", O_RDONLY | O_TRUNC));
    show_mode("f");
}
CASE(append)
{
    make_file("f", "one", 0644);
    int fd = MUST(open("f", O_RDWR | O_APPEND));
    SHOW(lseek(fd, 0, SEEK_CUR));
    SHOW(write(fd, "two", 3));
    SHOW(lseek(fd, 0, SEEK_SET));
    SHOW(write(fd, "three", 5));
    SHOW(lseek(fd, 0, SEEK_CUR));
    SHOW(pwrite(fd, "X", 1, 0)); /* Linux appends here too */
    show_file("f");
}
CASE(directory_flag)
{
    make_file("f", "x", 0644);
    MUST(mkdir("d", 0755));
    SHOW(open("f", O_RDONLY | O_DIRECTORY));
    OK(open("d", O_RDONLY | O_DIRECTORY));
    SHOW(open("d", O_WRONLY));
    SHOW(open("d", O_RDWR));
    SHOW(open("d", O_RDONLY | O_CREAT, 0600));
    SHOW(open("missing", O_RDONLY | O_DIRECTORY));
    SHOW(open("d", O_WRONLY | O_TRUNC));
}
CASE(nofollow)
{
    make_file("f", "x", 0644);
    MUST(symlink("f", "l"));
    MUST(mkdir("d", 0755));
    MUST(symlink("d", "dl"));
    SHOW(open("l", O_RDONLY | O_NOFOLLOW));
    OK(open("l", O_PATH | O_NOFOLLOW));
    SHOW(open("dl", O_RDONLY | O_NOFOLLOW | O_DIRECTORY));
    OK(open("dl/", O_RDONLY | O_NOFOLLOW));
    make_file("d/inner", "y", 0644);
    OK(open("dl/inner", O_RDONLY | O_NOFOLLOW));
}
CASE(trailing_slash)
{
    make_file("f", "x", 0644);
    MUST(mkdir("d", 0755));
    SHOW(open("f/", O_RDONLY));
    SHOW(open("f/.", O_RDONLY));
    SHOW(open("f/..", O_RDONLY));
    SHOW(open("new/", O_CREAT | O_WRONLY, 0600));
    SHOW(open("d/", O_CREAT | O_WRONLY, 0600));
    OK(open("d/", O_RDONLY));
    OK(open("d//.//", O_RDONLY));
    OK(open("d/../f", O_RDONLY));
    SHOW(open("missing/../f", O_RDONLY));
    SHOW(open("f/../f", O_RDONLY));
}
CASE(bad_paths)
{
    char path[5000];
    SHOW(open("", O_RDONLY));
    SHOW(open("missing", O_RDONLY));
    SHOW(open("missing/x", O_RDONLY));
    SHOW(syscall(SYS_open, NULL, O_RDONLY));
    SHOW(syscall(SYS_open, (char *)-1, O_RDONLY));
    SHOW(syscall(SYS_open, (char *)0x1000, O_RDONLY));
    memset(path, 'a', sizeof path);
    path[255] = 0;
    SHOW(open(path, O_RDONLY));
    path[255] = 'a';
    path[256] = 0;
    SHOW(open(path, O_RDONLY));
    path[256] = 'a';
    for (int at = 0; at < 4996; at += 2)
        memcpy(path + at, "./", 2);
    path[4094] = '.', path[4095] = 0;
    OK(open(path, O_RDONLY));
    path[4095] = '/', path[4096] = 0;
    SHOW(open(path, O_RDONLY));
    /* A path that ends at the last byte of a page, and one that runs off it. */
    char *page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    MUST(munmap(page + 4096, 4096));
    page[4094] = '.', page[4095] = 0;
    OK(open(page + 4094, O_RDONLY));
    page[4095] = '.';
    SHOW(open(page + 4094, O_RDONLY));
}
CASE(access_modes)
{
    char byte;
    make_file("f", "abc", 0644);
    int reader = MUST(open("f", O_RDONLY)), writer = MUST(open("f", O_WRONLY));
    SHOW(write(reader, "x", 1));
    SHOW(read(writer, &byte, 1));
    SHOW(ftruncate(reader, 0));
    SHOW(fallocate(reader, 0, 0, 10));
    SHOW(read(999, &byte, 1));
    SHOW(read(-1, &byte, 1));
    int odd = open("f", 3); /* neither read nor write, but both are needed */
    TRUE(odd >= 0);
    SHOW(read(odd, &byte, 1));
    SHOW(write(odd, "x", 1));
}
CASE(path_descriptor)
{
    struct stat status;
    char buffer[64];
    make_file("f", "abc", 0600);
    int fd = MUST(open("f", O_PATH));
    SHOW(read(fd, buffer, 1));
    SHOW(write(fd, "x", 1));
    SHOW(lseek(fd, 0, SEEK_SET));
    SHOW(fchmod(fd, 0644));
    SHOW(fchown(fd, -1, -1));
    SHOW(ftruncate(fd, 0));
    SHOW(fstat(fd, &status));
    say("mode %o size %ld", status.st_mode, (long)status.st_size);
    say("flags path %d", !!(fcntl(fd, F_GETFL) & O_PATH));
    SHOW(fcntl(fd, F_SETFL, O_APPEND));
    TRUE(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED && errno == EBADF);
    OK(dup(fd));
    char name[64];
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    int again = MUST(open(name, O_RDONLY));
    SHOW(read(again, buffer, 64));
    int directory = MUST(open(".", O_PATH));
    OK(openat(directory, "f", O_RDONLY));
    OK(fchdir(directory));
    SHOW(syscall(SYS_getdents64, directory, buffer, sizeof buffer));
    MUST(symlink("f", "l"));
    int link = MUST(open("l", O_PATH | O_NOFOLLOW));
    SHOW(readlinkat(link, "", buffer, sizeof buffer));
    SHOW(fstat(link, &status));
    say("type %o", status.st_mode & S_IFMT);
    /* O_PATH ignores every other flag but these. */
    OK(open("f", O_PATH | O_CREAT | O_EXCL | O_TRUNC | O_WRONLY, 0));
    show_mode("f");
}
CASE(tmpfile)
{
    char name[64], buffer[16];
    struct stat status;
    int fd = MUST(open(".", O_TMPFILE | O_RDWR, 0640));
    SHOW(write(fd, "secret", 6));
    SHOW(fstat(fd, &status));
    say("mode %o links %lu", status.st_mode, (unsigned long)status.st_nlink);
    SHOW(open(".", O_TMPFILE | O_RDONLY, 0640));
    SHOW(open("missing", O_TMPFILE | O_RDWR, 0640));
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    SHOW(linkat(AT_FDCWD, name, AT_FDCWD, "linked", AT_SYMLINK_FOLLOW));
    show_file("linked");
    SHOW(fstat(fd, &status));
    say("links %lu", (unsigned long)status.st_nlink);
    int sealed = MUST(open(".", O_TMPFILE | O_RDWR | O_EXCL, 0640));
    snprintf(name, sizeof name, "/proc/self/fd/%d", sealed);
    SHOW(linkat(AT_FDCWD, name, AT_FDCWD, "never", AT_SYMLINK_FOLLOW));
    make_file("plain", "x", 0644);
    SHOW(open("plain", O_TMPFILE | O_RDWR, 0640));
    SHOW(pread(fd, buffer, 6, 0));
}
CASE(flags_read_back)
{
    make_file("f", "", 0644);
    int fd = MUST(open("f", O_RDWR | O_APPEND | O_NONBLOCK | O_CLOEXEC));
    int flags = fcntl(fd, F_GETFL);
    say("access %d append %d nonblock %d", flags & O_ACCMODE, !!(flags & O_APPEND), !!(flags & O_NONBLOCK));
    SHOW(fcntl(fd, F_GETFD));
    SHOW(fcntl(fd, F_SETFD, 0));
    SHOW(fcntl(fd, F_GETFD));
    SHOW(fcntl(fd, F_SETFL, 0));
    say("append now %d", !!(fcntl(fd, F_GETFL) & O_APPEND));
    SHOW(fcntl(fd, F_GETFL + 10000));
    SHOW(fcntl(555, F_GETFL));
}
CASE(umask_applies)
{
    umask(027);
    MUST(close(MUST(open("a", O_CREAT | O_WRONLY, 0777))));
    MUST(close(MUST(open("b", O_CREAT | O_WRONLY, 07777))));
    MUST(mkdir("c", 0777));
    umask(0);
    MUST(close(MUST(open("d", O_CREAT | O_WRONLY, 0666))));
    MUST(mkdir("e", 01777));
    show_mode("a"), show_mode("b"), show_mode("c"), show_mode("d"), show_mode("e");
    say("umask %o", umask(0123));
    say("umask %o", umask(07777));
    say("umask %o", umask(0));
    int fd = MUST(open("g", O_CREAT | O_RDWR, 0)); /* the mode does not apply to this descriptor */
    SHOW(write(fd, "x", 1));
    show_mode("g");
}
CASE(lowest_descriptor)
{
    int a = MUST(open("x", O_CREAT | O_RDWR, 0600)), b = MUST(open(".", O_RDONLY)), c = MUST(open("/dev/null", O_RDWR));
    TRUE(b == a + 1 && c == b + 1);
    MUST(close(b));
    TRUE(open("/proc/self/stat", O_RDONLY) == b);
    TRUE(open(".", O_RDONLY) == c + 1);
    MUST(close(a));
    TRUE(open(".", O_PATH) == a);
}
CASE(too_many)
{
    struct rlimit limit = {16, 16};
    MUST(setrlimit(RLIMIT_NOFILE, &limit));
    int count = 0;
    while (open(".", O_RDONLY) >= 0)
        count++;
    say("EMFILE: %s", error_name(errno));
    SHOW(open("created", O_CREAT | O_WRONLY, 0600));
    SHOW(access("created", F_OK));
    SHOW(open("missing", O_RDONLY));
    SHOW(dup(0));
    SHOW(dup2(0, 16));
    SHOW(close(15));
    SHOW(open("created", O_CREAT | O_WRONLY, 0600));
    TRUE(count == 13);
}
CASE(creat_call)
{
    int fd = MUST(creat("f", 0444));
    SHOW(write(fd, "data", 4));
    show_mode("f");
    MUST(mkdir("d", 0700));
    SHOW(creat("d", 0444));
}
CASE(high_bits)
{
    /* The kernel looks at the low 32 bits of flags and descriptor only. */
    make_file("f", "abc", 0644);
    OK(syscall(SYS_openat, 0x1234567800000000 | (unsigned)AT_FDCWD, "f", 0xff00000000L | O_RDONLY, 0));
    SHOW(syscall(SYS_openat, AT_FDCWD, "f", O_RDONLY | 0x40000000, 0)); /* unknown flags are ignored by openat */
}
CASE(unlinked_while_open)
{
    struct stat status;
    char buffer[16], name[64], target[PATH_MAX];
    make_file("f", "hello", 0644);
    int fd = MUST(open("f", O_RDWR));
    MUST(unlink("f"));
    MUST(fstat(fd, &status));
    say("links %lu size %ld", (unsigned long)status.st_nlink, (long)status.st_size);
    SHOW(pread(fd, buffer, 5, 0));
    SHOW(pwrite(fd, "more", 4, 5));
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t length = MUST(readlink(name, target, sizeof target - 1));
    target[length] = 0;
    say("ends with deleted: %d", length > 10 && !strcmp(target + length - 10, " (deleted)"));
    int again = MUST(open(name, O_RDONLY));
    SHOW(read(again, buffer, 16));
    make_file("f", "new", 0644);
    SHOW(pread(fd, buffer, 16, 0));
    show_file("f");
}
