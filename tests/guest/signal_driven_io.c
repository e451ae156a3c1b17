// Signal-driven I/O: FIOASYNC, O_ASYNC, F_SETOWN and F_GETOWN, as servers use them on the channel to their workers.
#include "guest.h"
#include <sys/ioctl.h>
#include <sys/socket.h>

static volatile sig_atomic_t arrived;
static void on_io(int number) { arrived = number; }
static void await(void)
{
    for (int round = 0; round < 2000 && !arrived; round++)
        sleep_ms(1);
    say("signal %d", (int)arrived);
    arrived = 0;
}

CASE(own_process)
{
    int pair[2], on = 1, off = 0;
    signal(SIGIO, on_io);
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    SHOW(fcntl(pair[0], F_GETOWN));
    SHOW(ioctl(pair[0], FIOASYNC, &on));
    TRUE(fcntl(pair[0], F_GETFL) & O_ASYNC);
    SHOW(fcntl(pair[0], F_SETOWN, getpid()));
    TRUE(fcntl(pair[0], F_GETOWN) == getpid());
    MUST(write(pair[1], "x", 1));
    await();
    SHOW(ioctl(pair[0], FIOASYNC, &off));
    TRUE(fcntl(pair[0], F_GETFL) & O_ASYNC);
    MUST(write(pair[1], "x", 1));
    sleep_ms(20);
    say("signal %d", (int)arrived);
    SHOW(fcntl(pair[0], F_SETOWN, 0));
    SHOW(fcntl(pair[0], F_GETOWN));
    SHOW(fcntl(pair[0], F_SETFL, O_ASYNC));
    MUST(write(pair[1], "x", 1));
    sleep_ms(20);
    say("signal %d", (int)arrived);
}
CASE(a_pipe)
{
    int ends[2];
    signal(SIGIO, on_io);
    MUST(pipe(ends));
    MUST(fcntl(ends[0], F_SETOWN, getpid()));
    MUST(fcntl(ends[0], F_SETFL, O_ASYNC));
    MUST(write(ends[1], "x", 1));
    await();
}
CASE(a_child_is_told)
{
    int pair[2], ready[2];
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    MUST(pipe(ready));
    pid_t child = fork();
    if (child == 0) {
        signal(SIGIO, on_io);
        MUST(write(ready[1], "r", 1));
        await();
        _exit(0);
    }
    char byte;
    MUST(read(ready[0], &byte, 1));
    SHOW(fcntl(pair[0], F_SETOWN, child));
    TRUE(fcntl(pair[0], F_GETOWN) == child);
    MUST(fcntl(pair[0], F_SETFL, O_ASYNC));
    MUST(write(pair[1], "x", 1));
    wait_for("child", child);
}
CASE(errors)
{
    int on = 1, file = MUST(open("file", O_CREAT | O_RDWR, 0600)), pair[2];
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    SHOW(ioctl(file, FIOASYNC, &on));
    SHOW(ioctl(99, FIOASYNC, &on));
    SHOW(ioctl(pair[0], FIOASYNC, NULL));
    SHOW(fcntl(99, F_SETOWN, getpid()));
    SHOW(fcntl(pair[0], F_SETOWN, 4194303));
    SHOW(fcntl(pair[0], F_SETOWN, -4194303));
    SHOW(fcntl(pair[0], F_SETOWN, INT_MIN));
    SHOW(fcntl(pair[0], F_GETOWN));
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    wait_for("child", child);
    SHOW(fcntl(pair[0], F_SETOWN, child));
}
