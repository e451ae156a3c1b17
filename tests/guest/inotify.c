// inotify: events for files and directories, masks, moves, limits of a buffer.
#include "guest.h"
#include <poll.h>
#include <sys/inotify.h>

static int watch_fd;
static void drain_now(const char *what)
{
    char buffer[8192] __attribute__((aligned(8)));
    ssize_t length = read(watch_fd, buffer, sizeof buffer);
    if (length < 0) {
        say("%s: %s", what, error_name(errno));
        return;
    }
    uint32_t cookie = 0;
    for (char *at = buffer; at < buffer + length;) {
        struct inotify_event *event = (void *)at;
        say("%s: wd %d mask %x%s name '%s'", what, event->wd, event->mask, event->cookie ? (event->cookie == cookie ? " same move" : " move") : "", event->len ? event->name : "");
        cookie = event->cookie;
        at += sizeof *event + event->len;
    }
}
static void drain(const char *what)
{
    sleep_ms(40); /* which events come, and in which order, is shown here; not that they come at once */
    drain_now(what);
}
CASE(directory)
{
    watch_fd = MUST(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    MUST(mkdir("d", 0755));
    SHOW(inotify_add_watch(watch_fd, "d", IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_MODIFY | IN_ATTRIB | IN_CLOSE_WRITE));
    drain("nothing");
    make_file("d/f", "x", 0644);
    drain("make file");
    MUST(chmod("d/f", 0600));
    drain("chmod");
    MUST(rename("d/f", "d/g"));
    drain("rename");
    MUST(mkdir("d/sub", 0755));
    drain("mkdir");
    MUST(unlink("d/g")), MUST(rmdir("d/sub"));
    drain("remove");
    SHOW(inotify_rm_watch(watch_fd, 1));
    drain("rm_watch");
    SHOW(inotify_rm_watch(watch_fd, 1));
}
CASE(file)
{
    char buffer[4];
    watch_fd = MUST(inotify_init1(IN_NONBLOCK));
    make_file("f", "x", 0644);
    SHOW(inotify_add_watch(watch_fd, "f", IN_OPEN | IN_MODIFY | IN_CLOSE | IN_DELETE_SELF | IN_MOVE_SELF));
    int fd = MUST(open("f", O_RDWR));
    drain("open");
    MUST(write(fd, "abc", 3));
    drain("write");
    MUST(close(fd));
    drain("close");
    MUST(rename("f", "g"));
    drain("move");
    MUST(unlink("g"));
    drain("delete");
    (void)buffer;
}
CASE(errors_and_options)
{
    watch_fd = MUST(inotify_init1(IN_NONBLOCK));
    make_file("f", "x", 0644);
    SHOW(inotify_add_watch(watch_fd, "missing", IN_ALL_EVENTS)), SHOW(inotify_add_watch(watch_fd, "f", 0)), SHOW(inotify_add_watch(999, "f", IN_OPEN));
    SHOW(inotify_add_watch(0, "f", IN_OPEN)), SHOW(inotify_add_watch(watch_fd, "f", IN_OPEN | IN_ONLYDIR)), SHOW(inotify_init1(0x77));
    SHOW(inotify_add_watch(watch_fd, "f", IN_OPEN | IN_ONESHOT));
    OK(open("f", O_RDONLY)), OK(open("f", O_RDONLY));
    drain("one shot");
    char tiny[8];
    SHOW(inotify_add_watch(watch_fd, ".", IN_CREATE));
    make_file("new", "", 0600);
    SHOW(read(watch_fd, tiny, sizeof tiny));
    struct pollfd polled = {watch_fd, POLLIN, 0};
    SHOW(poll(&polled, 1, 0));
    drain("create");
    SHOW(poll(&polled, 1, 0));
}
CASE(blocking_read)
{
    watch_fd = MUST(inotify_init());
    SHOW(inotify_add_watch(watch_fd, ".", IN_CREATE));
    pid_t child = fork();
    if (child == 0) {
        sleep_ms(30);
        make_file("late", "", 0600);
        _exit(0);
    }
    drain_now("blocked");
    wait_for("child", child);
}
