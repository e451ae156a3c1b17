// F_NOTIFY: SIGIO when something in a directory changes.
#include "guest.h"

static volatile sig_atomic_t count;
static void counted(int number)
{
    (void)number;
    count++;
}
static void said(const char *what)
{
    for (int round = 0; round < 20 && !count; round++)
        sleep_ms(5);
    say("%s: %s", what, count ? "told" : "not told");
    sleep_ms(50); /* one operation may be told twice: a write natively, a moment after the file was made */
    count = 0;
}
static int watched(long events)
{
    signal(SIGIO, counted);
    MUST(mkdir("d", 0755));
    int fd = MUST(open("d", O_RDONLY | O_DIRECTORY));
    SHOW(fcntl(fd, F_NOTIFY, events));
    return fd;
}
CASE(once)
{
    int fd = watched(DN_CREATE);
    make_file("d/a", "x", 0644);
    said("the first file");
    make_file("d/b", "x", 0644);
    said("the second");
    SHOW(fcntl(fd, F_NOTIFY, DN_CREATE));
    MUST(mkdir("d/c", 0755));
    said("a directory, asked again");
}
CASE(as_often_as_it_happens)
{
    watched(DN_CREATE | DN_DELETE | DN_RENAME | DN_ATTRIB | DN_MODIFY | DN_MULTISHOT);
    make_file("d/a", "x", 0644);
    said("create");
    MUST(chmod("d/a", 0600));
    said("chmod");
    MUST(rename("d/a", "d/b"));
    said("rename");
    MUST(truncate("d/b", 100));
    said("truncate");
    MUST(rename("d/b", "out"));
    said("away");
    MUST(rename("out", "d/in"));
    said("back");
    MUST(unlink("d/in"));
    said("unlink");
    MUST(chmod("d", 0700));
    said("the directory itself");
    make_file("elsewhere", "x", 0644);
    said("elsewhere");
}
CASE(what_was_asked_for)
{
    int fd = watched(DN_DELETE | DN_MULTISHOT);
    make_file("d/a", "x", 0644);
    said("create");
    SHOW(fcntl(fd, F_NOTIFY, DN_CREATE | DN_MULTISHOT));
    make_file("d/b", "x", 0644);
    said("create, added");
    MUST(unlink("d/a"));
    said("unlink");
    SHOW(fcntl(fd, F_NOTIFY, 0));
    MUST(unlink("d/b"));
    said("unlink after giving up");
}
CASE(until_it_is_closed)
{
    int fd = watched(DN_CREATE | DN_MULTISHOT);
    MUST(close(fd));
    make_file("d/a", "x", 0644);
    said("closed");
    MUST(dup2(MUST(open(".", O_RDONLY)), fd));
    make_file("d/b", "x", 0644);
    said("another directory of that number");
}
CASE(the_one_who_asked)
{
    int fd = watched(DN_CREATE | DN_MULTISHOT);
    pid_t child = fork();
    if (child == 0) {
        make_file("d/a", "x", 0644);
        said("child");
        _exit(0);
    }
    wait_for("child", child);
    said("parent");
    SHOW(fcntl(fd, F_NOTIFY, DN_CREATE));
}
CASE(the_next_program_too)
{
    pid_t child = fork();
    if (child == 0) {
        watched(DN_CREATE);
        execl("/bin/sh", "sh", "-c", "mkdir d/x; sleep 5; echo survived", NULL);
    }
    wait_for("program", child);
}
CASE(errors)
{
    make_file("f", "x", 0644);
    int ends[2];
    MUST(pipe(ends));
    SHOW(fcntl(MUST(open("f", O_RDWR)), F_NOTIFY, DN_CREATE));
    SHOW(fcntl(ends[0], F_NOTIFY, DN_CREATE));
    SHOW(fcntl(999, F_NOTIFY, DN_CREATE));
    SHOW(fcntl(MUST(open(".", O_RDONLY)), F_NOTIFY, 0));
}
