// A fast timer without SA_RESTART against calls that never return EINTR on Linux: no EINTR, no call executed twice, every signal seen.
// timeout: 60
#include "guest.h"
#define ROUNDS 1500

static volatile sig_atomic_t caught;
static void on_alarm(int number)
{
    caught++;
}
static void arm(void)
{
    struct sigaction action = {.sa_handler = on_alarm};
    struct itimerval timer = {.it_value = {0, 150}, .it_interval = {0, 150}};
    caught = 0;
    MUST(sigaction(SIGALRM, &action, NULL));
    MUST(setitimer(ITIMER_REAL, &timer, NULL));
}
static int disarm(void)
{
    struct itimerval none = {0};
    int result;
    while ((result = setitimer(ITIMER_REAL, &none, NULL)) < 0 && errno == EINTR)
        ;
    return caught;
}
static int interrupted, repeated, other;
static void judge(const char *what, long result, int twice)
{
    if (result >= 0)
        return;
    if (errno == EINTR)
        interrupted++;
    else if (errno == twice)
        repeated++;
    else {
        other++;
        say("%s: %s", what, error_name(errno));
    }
}
static void report(void)
{
    int signals = disarm();
    say("interrupted %d executed twice %d other %d signals came %d", interrupted, repeated, other, signals > 5);
}
CASE(directories)
{
    arm();
    for (int round = 0; round < ROUNDS; round++) {
        judge("mkdir", mkdir("d", 0755), EEXIST);
        judge("rmdir", rmdir("d"), ENOENT);
    }
    report();
}
CASE(files)
{
    arm();
    for (int round = 0; round < ROUNDS; round++) {
        int fd = open("f", O_CREAT | O_EXCL | O_RDWR, 0600);
        judge("open", fd, EEXIST);
        judge("close", close(fd), EBADF);
        judge("unlink", unlink("f"), ENOENT);
    }
    report();
    SHOW(open("f", O_RDONLY));
    TRUE(open("/dev/null", O_RDONLY) == 3); /* no descriptor was installed twice */
}
CASE(metadata)
{
    struct stat status;
    char buffer[64];
    make_file("f", "x", 0644);
    MUST(symlink("f", "l"));
    int fd = MUST(open("f", O_RDWR));
    arm();
    for (int round = 0; round < ROUNDS; round++) {
        judge("stat", stat("f", &status), 0);
        judge("fstat", fstat(fd, &status), 0);
        judge("readlink", readlink("l", buffer, sizeof buffer), 0);
        judge("chmod", chmod("f", 0600 | (round & 7)), 0);
        judge("access", access("f", F_OK), 0);
    }
    report();
}
CASE(renames_and_links)
{
    make_file("a", "x", 0644);
    arm();
    for (int round = 0; round < ROUNDS; round++) {
        judge("rename", rename("a", "b"), ENOENT);
        judge("rename back", rename("b", "a"), ENOENT);
        judge("link", link("a", "c"), EEXIST);
        judge("unlink", unlink("c"), ENOENT);
        judge("symlink", symlink("a", "s"), EEXIST);
        judge("unlink", unlink("s"), ENOENT);
    }
    report();
    show_mode("a");
}
CASE(descriptors)
{
    arm();
    for (int round = 0; round < ROUNDS; round++) {
        int fd = open(".", O_RDONLY);
        judge("open", fd, 0);
        judge("fchdir", fchdir(fd), 0);
        judge("getcwd", syscall(SYS_getcwd, (char[4096]){0}, 4096), 0);
        judge("close", close(fd), EBADF);
        judge("umask", umask(022), 0);
    }
    report();
}
CASE(children)
{
    int made = 0, reaped = 0, status;
    arm();
    for (int round = 0; round < 60; round++) {
        pid_t child = fork(); /* restarts by itself */
        if (child == 0)
            _exit(round);
        judge("fork", child, 0);
        made += child > 0;
        pid_t got;
        while ((got = waitpid(child, &status, 0)) < 0 && errno == EINTR)
            ;
        reaped += got == child && WEXITSTATUS(status) == round;
    }
    say("made %d reaped %d", made, reaped);
    report();
}
static volatile sig_atomic_t queued;
static void on_queued(int number)
{
    queued++;
}
CASE(every_signal_is_delivered)
{
    /* A child queues exactly 2,000 real-time signals while this process makes emulated calls. */
    struct sigaction action = {.sa_handler = on_queued};
    MUST(sigaction(SIGRTMIN, &action, NULL));
    pid_t parent = getpid(), child = fork();
    if (child == 0) {
        for (int index = 0; index < 2000; index++)
            while (sigqueue(parent, SIGRTMIN, (union sigval){.sival_int = index}) < 0 && errno == EAGAIN)
                sleep_ms(1);
        _exit(0);
    }
    long rounds = 0;
    int status = 0;
    while (queued < 2000 && rounds < 2000000) {
        judge("mkdir", mkdir("d", 0755), EEXIST);
        judge("rmdir", rmdir("d"), ENOENT);
        rounds++;
        if (rounds % 50 == 0 && waitpid(child, &status, WNOHANG) == child)
            child = 0;
        if (!child && rounds % 100 == 0 && queued >= 2000)
            break;
    }
    say("queued %d interrupted %d executed twice %d other %d", queued, interrupted, repeated, other);
    if (child)
        waitpid(child, &status, 0);
}
