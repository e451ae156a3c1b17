// Class 16: nothing can be typed into a terminal but through its master, no line discipline loaded, no terminal of the host found by its number.
#include "escape.h"
#include <termios.h>

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif
static const unsigned long HIGH = 1UL << 32;

static void refuse_commands(int fd)
{
    char text[] = "echo typed\n";
    for (unsigned long high = 0; high < 3 * HIGH; high += HIGH) {
        REFUSED(syscall(SYS_ioctl, fd, TIOCSTI | high, text), EIO);
        REFUSED(syscall(SYS_ioctl, fd | high, TIOCSTI, text), EIO);
        HOLE_IF(syscall(SYS_ioctl, fd, TIOCLINUX | high, text) == 0);
        REFUSED(syscall(SYS_ioctl, fd, TIOCCONS | high, 0), EPERM);
        REFUSED(syscall(SYS_ioctl, fd, 0x5437 /* TIOCVHANGUP */ | high, 0), EPERM);
        REFUSED(syscall(SYS_ioctl, fd, TIOCSSERIAL | high, text), ENOTTY);
        REFUSED(syscall(SYS_ioctl, fd, 0x4B4E /* KDSKBENT.. */ | high, text), ENOTTY);
        for (int discipline = 1; discipline < 40; discipline++)
            REFUSED(syscall(SYS_ioctl, fd, TIOCSETD | high, &discipline), EINVAL);
    }
}
/* Another thread changes what the pointer and the descriptor mean while TIOCSETD and TIOCSTI are decided. */
static volatile int stop, discipline;
static int swapped;
static void *swap(void *argument)
{
    int *pair = argument;
    while (!stop) {
        discipline = 0, dup2(pair[0], swapped);
        discipline = 21 /* N_GSM0710 */, dup2(pair[1], swapped);
    }
    return NULL;
}
static void race(int slave, int null)
{
    int pair[2] = {slave, null}, now = 0;
    pthread_t thread;
    swapped = dup(slave);
    pthread_create(&thread, NULL, swap, pair);
    for (long round = 0; round < rounds; round++) {
        syscall(SYS_ioctl, slave, TIOCSETD, &discipline);
        HOLE_IF(ioctl(slave, TIOCGETD, &now) || now != 0);
        HOLE_IF(ioctl(swapped, TIOCSTI, "x") == 0);
        HOLE_IF(ioctl(swapped, TIOCGPTPEER, O_RDWR) == 0);
    }
    stop = 1;
    pthread_join(thread, NULL);
}
static void attack(void)
{
    char name[64];
    setsid();
    signal(SIGHUP, SIG_IGN);
    int master = open("/dev/ptmx", O_RDWR | O_NOCTTY), number = -1;
    HOLE_IF(master < 0 || grantpt(master) || unlockpt(master) || ioctl(master, TIOCGPTN, &number));
    snprintf(name, sizeof name, "/dev/pts/%d", number);
    int slave = open(name, O_RDWR);
    HOLE_IF(slave < 0 || tcgetsid(slave) != getsid(0));
    refuse_commands(slave), refuse_commands(master);
    int waiting = -1;
    HOLE_IF(ioctl(slave, FIONREAD, &waiting) || waiting != 0);
    REFUSED(ioctl(master, TIOCGPTPEER, O_PATH), EINVAL);
    race(slave, open("/dev/null", O_RDWR));
    /* Every number there may be: only ours open. */
    for (int candidate = 0; candidate < 4096; candidate++) {
        snprintf(name, sizeof name, "/dev/pts/%d", candidate);
        HOLE_IF(candidate != number && open(name, O_RDWR | O_NOCTTY) >= 0);
    }
    /* A name of ours leads nowhere when its terminal has gone, whoever gets the number next; and there is an end to them. */
    close(master);
    snprintf(name, sizeof name, "/dev/pts/%d", number);
    HOLE_IF(open(name, O_RDWR | O_NOCTTY) >= 0);
    int made = 0;
    while (made < 1000 && open("/dev/ptmx", O_RDWR | O_NOCTTY) >= 0)
        made++;
    HOLE_IF(made > 256 || made < 16);
}
