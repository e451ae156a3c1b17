// Pipes and FIFOs: ends, capacity, atomicity, EOF, EPIPE, blocking opens.
#include "guest.h"
#include <poll.h>
#include <sys/ioctl.h>

CASE(basics)
{
    int fds[2];
    char buffer[8];
    struct stat status;
    SHOW(pipe(fds));
    MUST(fstat(fds[0], &status));
    say("type %o", status.st_mode & S_IFMT);
    SHOW(write(fds[1], "hello", 5));
    SHOW(read(fds[0], buffer, 3));
    SHOW(read(fds[0], buffer, 8));
    SHOW(read(fds[1], buffer, 1));
    SHOW(write(fds[0], "x", 1));
    MUST(close(fds[1]));
    SHOW(read(fds[0], buffer, 8));
    SHOW(syscall(SYS_pipe2, fds, 0x77));
    SHOW(syscall(SYS_pipe, (void *)1));
}
CASE(broken)
{
    int fds[2];
    MUST(pipe(fds));
    MUST(close(fds[0]));
    signal(SIGPIPE, SIG_IGN);
    SHOW(write(fds[1], "x", 1));
    pid_t child = fork();
    if (child == 0) {
        signal(SIGPIPE, SIG_DFL);
        write(fds[1], "x", 1);
        _exit(0);
    }
    wait_for("writer", child);
}
CASE(non_blocking)
{
    int fds[2], left;
    static char buffer[1 << 20];
    MUST(pipe2(fds, O_NONBLOCK | O_CLOEXEC));
    SHOW(read(fds[0], buffer, 1));
    SHOW(write(fds[1], buffer, sizeof buffer));
    SHOW(write(fds[1], buffer, 1));
    SHOW(ioctl(fds[0], FIONREAD, &left));
    say("%d", left);
    SHOW(fcntl(fds[0], F_GETPIPE_SZ));
    MUST(read(fds[0], buffer, 65536));
    SHOW(fcntl(fds[0], F_SETPIPE_SZ, 4096));
    SHOW(write(fds[1], buffer, 5000));
    SHOW(fcntl(fds[0], F_GETFD));
}
CASE(large_transfer)
{
    int fds[2];
    MUST(pipe(fds));
    pid_t child = fork();
    if (child == 0) {
        static unsigned char block[10000];
        MUST(close(fds[0]));
        for (int round = 0; round < 200; round++) {
            memset(block, round, sizeof block);
            for (size_t done = 0; done < sizeof block;)
                done += MUST(write(fds[1], block + done, sizeof block - done));
        }
        _exit(0);
    }
    MUST(close(fds[1]));
    unsigned char buffer[7777];
    unsigned long total = 0, sum = 0;
    ssize_t length;
    while ((length = read(fds[0], buffer, sizeof buffer)) > 0)
        for (ssize_t at = 0; at < length; at++)
            total++, sum += buffer[at];
    say("%lu bytes sum %lu", total, sum);
    wait_for("writer", child);
}
CASE(fifo)
{
    struct stat status;
    SHOW(mkfifo("f", 0640));
    SHOW(mkfifo("f", 0640));
    show_mode("f");
    SHOW(open("f", O_WRONLY | O_NONBLOCK));
    int reader = MUST(open("f", O_RDONLY | O_NONBLOCK));
    char buffer[16];
    SHOW(read(reader, buffer, 1));
    int writer = MUST(open("f", O_WRONLY | O_NONBLOCK));
    SHOW(read(reader, buffer, 1));
    SHOW(write(writer, "data", 4));
    MUST(fstat(reader, &status));
    say("type %o", status.st_mode & S_IFMT);
    SHOW(read(reader, buffer, 16));
    MUST(close(writer));
    SHOW(read(reader, buffer, 16));
    SHOW(unlink("f"));
    SHOW(mknod("g", S_IFIFO | 0600, 0));
    int both = MUST(open("g", O_RDWR));
    SHOW(write(both, "x", 1));
    SHOW(read(both, buffer, 1));
    OK(open("g", O_PATH));
    SHOW(lseek(both, 0, SEEK_SET));
}
CASE(fifo_open_waits)
{
    MUST(mkfifo("f", 0600));
    pid_t child = fork();
    if (child == 0) {
        int fd = MUST(open("f", O_WRONLY));
        MUST(write(fd, "rendezvous", 10));
        _exit(0);
    }
    sleep_ms(30);
    char buffer[16] = "";
    int fd = MUST(open("f", O_RDONLY));
    SHOW(read(fd, buffer, 16));
    say("%s", buffer);
    SHOW(read(fd, buffer, 16));
    wait_for("writer", child);
}
static void nothing(int number)
{
}
CASE(fifo_open_is_interruptible)
{
    MUST(mkfifo("f", 0600));
    struct sigaction action = {.sa_handler = nothing};
    MUST(sigaction(SIGALRM, &action, NULL));
    struct itimerval timer = {.it_value = {0, 50000}};
    MUST(setitimer(ITIMER_REAL, &timer, NULL));
    SHOW(open("f", O_RDONLY));
}
CASE(fifo_between_unrelated_opens)
{
    MUST(mkfifo("f", 0600));
    MUST(link("f", "g"));
    int keep = MUST(open("f", O_RDWR));
    int a = MUST(open("g", O_WRONLY)), b = MUST(open("f", O_RDONLY));
    char byte;
    MUST(write(a, "z", 1));
    SHOW(read(b, &byte, 1));
    struct pollfd polled = {b, POLLIN, 0};
    SHOW(poll(&polled, 1, 0));
    MUST(close(keep)), MUST(close(a));
    SHOW(poll(&polled, 1, 0));
    say("%x", polled.revents);
}
CASE(reopen_by_proc)
{
    int fds[2];
    char name[64], byte;
    MUST(pipe(fds));
    snprintf(name, sizeof name, "/proc/self/fd/%d", fds[1]);
    int again = MUST(open(name, O_WRONLY));
    MUST(write(again, "q", 1));
    SHOW(read(fds[0], &byte, 1));
    char text[64];
    ssize_t length = MUST(readlink(name, text, sizeof text));
    say("%.6s %d", text, length > 8 && text[length - 1] == ']');
}
