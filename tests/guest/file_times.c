// Access, modification and change times: who sets them, utimensat and its special values.
// user: root
#include "guest.h"
#include <utime.h>

static void show_times(const char *path)
{
    struct stat status;
    MUST(lstat(path, &status));
    say("%s: atime %ld.%09ld mtime %ld.%09ld", path, (long)status.st_atim.tv_sec, status.st_atim.tv_nsec, (long)status.st_mtim.tv_sec, status.st_mtim.tv_nsec);
}
static int newer(struct timespec a, struct timespec b)
{
    return a.tv_sec > b.tv_sec || (a.tv_sec == b.tv_sec && a.tv_nsec > b.tv_nsec);
}
CASE(explicit_values)
{
    struct timespec times[2] = {{1000, 123456789}, {2000, 987654321}};
    make_file("f", "x", 0644);
    MUST(symlink("f", "l"));
    SHOW(utimensat(AT_FDCWD, "f", times, 0));
    show_times("f");
    times[0].tv_sec = 5;
    SHOW(utimensat(AT_FDCWD, "l", times, AT_SYMLINK_NOFOLLOW));
    show_times("l"), show_times("f");
    times[0].tv_nsec = UTIME_OMIT, times[1].tv_sec = 77, times[1].tv_nsec = 0;
    SHOW(utimensat(AT_FDCWD, "f", times, 0));
    show_times("f");
    times[0].tv_nsec = 1000000000;
    SHOW(utimensat(AT_FDCWD, "f", times, 0));
    times[0].tv_nsec = -1;
    SHOW(utimensat(AT_FDCWD, "f", times, 0));
    times[0].tv_nsec = times[1].tv_nsec = UTIME_OMIT;
    SHOW(utimensat(AT_FDCWD, "missing", times, 0));
    int fd = MUST(open("f", O_RDONLY));
    times[0] = (struct timespec){42, 1}, times[1] = (struct timespec){43, 2};
    SHOW(futimens(fd, times));
    show_times("f");
    SHOW(utimensat(fd, "", times, AT_EMPTY_PATH));
    SHOW(utimensat(AT_FDCWD, "f", (void *)1, 0));
    SHOW(utimensat(AT_FDCWD, "f", times, 0x77));
    times[0] = (struct timespec){-5, 0};
    SHOW(utimensat(AT_FDCWD, "f", times, 0));
    show_times("f");
    struct utimbuf old = {10, 20};
    SHOW(utime("f", &old));
    struct timeval micro[2] = {{30, 5}, {40, 6}};
    show_times("f");
    SHOW(utimes("f", micro));
    show_times("f");
    micro[0].tv_usec = 2000000;
    SHOW(utimes("f", micro));
    MUST(mkdir("d", 0755));
    times[0] = (struct timespec){1, 0}, times[1] = (struct timespec){2, 0};
    SHOW(utimensat(AT_FDCWD, "d", times, 0));
    show_times("d");
}
CASE(now)
{
    struct timespec times[2] = {{1000, 0}, {2000, 0}};
    struct stat status;
    make_file("f", "x", 0644);
    MUST(utimensat(AT_FDCWD, "f", times, 0));
    times[1].tv_nsec = UTIME_NOW, times[0].tv_nsec = UTIME_OMIT;
    MUST(utimensat(AT_FDCWD, "f", times, 0));
    MUST(stat("f", &status));
    say("atime %ld, mtime is now %d", (long)status.st_atim.tv_sec, llabs((long long)time(NULL) - status.st_mtim.tv_sec) < 5);
    SHOW(utimensat(AT_FDCWD, "f", NULL, 0));
    MUST(stat("f", &status));
    say("atime is now %d", llabs((long long)time(NULL) - status.st_atim.tv_sec) < 5);
}
CASE(changes)
{
    struct timespec old[2] = {{1000, 0}, {1000, 0}};
    struct stat a, b;
    make_file("f", "x", 0644);
    MUST(mkdir("d", 0755));
    MUST(utimensat(AT_FDCWD, "f", old, 0));
    MUST(stat("f", &a));
    sleep_ms(20);
    MUST(chmod("f", 0600));
    MUST(stat("f", &b));
    say("chmod: ctime newer %d mtime same %d", newer(b.st_ctim, a.st_ctim), b.st_mtim.tv_sec == 1000);
    int fd = MUST(open("f", O_RDWR));
    MUST(stat("f", &b));
    say("open: mtime same %d", b.st_mtim.tv_sec == 1000);
    MUST(write(fd, "y", 1));
    MUST(stat("f", &b));
    say("write: mtime changed %d", b.st_mtim.tv_sec != 1000);
    MUST(utimensat(AT_FDCWD, "f", old, 0));
    MUST(ftruncate(fd, 10));
    MUST(stat("f", &b));
    say("ftruncate: mtime changed %d", b.st_mtim.tv_sec != 1000);
    MUST(utimensat(AT_FDCWD, "d", old, 0));
    make_file("d/new", "", 0600);
    MUST(stat("d", &b));
    say("create: directory mtime changed %d", b.st_mtim.tv_sec != 1000);
    MUST(utimensat(AT_FDCWD, "d", old, 0));
    MUST(unlink("d/new"));
    MUST(stat("d", &b));
    say("unlink: directory mtime changed %d", b.st_mtim.tv_sec != 1000);
    MUST(utimensat(AT_FDCWD, "d", old, 0));
    MUST(utimensat(AT_FDCWD, "f", old, 0));
    MUST(link("f", "d/g"));
    MUST(stat("d", &b));
    say("link: directory mtime changed %d", b.st_mtim.tv_sec != 1000);
    MUST(stat("f", &b));
    say("link: file mtime same %d", b.st_mtim.tv_sec == 1000);
    MUST(rename("f", "h"));
    MUST(stat("h", &b));
    say("rename: file mtime same %d", b.st_mtim.tv_sec == 1000);
    close(fd);
    fd = MUST(open("h", O_WRONLY | O_TRUNC));
    MUST(stat("h", &b));
    say("O_TRUNC: mtime changed %d", b.st_mtim.tv_sec != 1000);
}
CASE(new_files_are_now)
{
    struct stat status;
    make_file("f", "x", 0644);
    MUST(stat("f", &status));
    long now = time(NULL);
    say("%d %d %d", labs(now - status.st_atim.tv_sec) < 5, labs(now - status.st_mtim.tv_sec) < 5, labs(now - status.st_ctim.tv_sec) < 5);
}
CASE(permission_as_user)
{
    struct timespec times[2] = {{1000, 0}, {2000, 0}};
    make_file("writable", "x", 0666);
    make_file("readable", "x", 0644);
    MUST(chmod(".", 0777));
    MUST(setgid(65534));
    MUST(setuid(65534));
    make_file("mine", "x", 0400);
    SHOW(utimensat(AT_FDCWD, "writable", NULL, 0));
    SHOW(utimensat(AT_FDCWD, "writable", times, 0));
    SHOW(utimensat(AT_FDCWD, "readable", NULL, 0));
    SHOW(utimensat(AT_FDCWD, "mine", times, 0));
}
