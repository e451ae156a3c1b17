// Pseudo terminals and job control: who gets a controlling terminal and how, foreground groups, stops, hang-up, names that come and go.
// user: nobody
// grant: cow
#include "guest.h"
#include <dirent.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41)
#endif

static char slave_name[64];

/* A new terminal: its master; slave_name is set. */
static int new_terminal(void)
{
    int master = MUST(open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
    MUST(grantpt(master)), MUST(unlockpt(master));
    snprintf(slave_name, sizeof slave_name, "%s", ptsname(master));
    return master;
}
/* Everything that can be read within a moment of the first byte. */
static void show_output(int master)
{
    char buffer[512];
    struct pollfd wait = {master, POLLIN, 0};
    size_t length = 0;
    while (length < sizeof buffer - 1 && poll(&wait, 1, length ? 200 : 5000) == 1 && wait.revents & POLLIN) {
        ssize_t n = read(master, buffer + length, sizeof buffer - 1 - length);
        if (n <= 0)
            break;
        length += n;
    }
    buffer[length] = 0;
    for (char *c = buffer; *c; c++)
        if (*c == '\r' || *c == '\n')
            *c = *c == '\r' ? '<' : '|';
    say("output: %s", buffer);
}
static int listed(const char *name)
{
    int found = 0;
    DIR *list = opendir("/dev/pts");
    struct dirent *entry;
    while (list && (entry = readdir(list)))
        found += !strcmp(entry->d_name, name);
    if (list)
        closedir(list);
    return found;
}

CASE(names_come_and_go)
{
    struct stat a, b;
    int master = new_terminal(), other;
    char first[64];
    snprintf(first, sizeof first, "%s", slave_name);
    TRUE(listed(strrchr(first, '/') + 1));
    OK(stat(first, &a));
    TRUE(S_ISCHR(a.st_mode) && a.st_uid == geteuid());
    int slave = MUST(open(first, O_RDWR | O_NOCTTY)), number = -1;
    MUST(fstat(slave, &b));
    TRUE(a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_rdev == b.st_rdev);
    SHOW(ioctl(master, TIOCGPTN, &number)), SHOW(ioctl(slave, TIOCGPTN, &number));
    TRUE(number == atoi(strrchr(first, '/') + 1));
    TRUE(ttyname(slave) && !strcmp(ttyname(slave), first));
    SHOW(isatty(master)), SHOW(isatty(slave));
    other = new_terminal();
    TRUE(strcmp(slave_name, first) != 0);
    close(other);
    TRUE(listed(strrchr(first, '/') + 1));
    TRUE(!listed(strrchr(slave_name, '/') + 1));
    SHOW(open(slave_name, O_RDWR | O_NOCTTY));
    SHOW(open("/dev/pts/9999999", O_RDWR)), SHOW(open("/dev/pts/007", O_RDWR)), SHOW(open("/dev/pts/x", O_RDWR));
    SHOW(mkdir("/dev/pts/1x", 0700)), SHOW(unlink(first));
    close(master);
    TRUE(!listed(strrchr(first, '/') + 1));
    SHOW(open(first, O_RDWR | O_NOCTTY));
    char buffer[8];
    SHOW(read(slave, buffer, 8)), SHOW(write(slave, "x", 1)), SHOW(ioctl(slave, TIOCGWINSZ, &b));
    MUST(fstat(slave, &b));
    TRUE(a.st_ino == b.st_ino && S_ISCHR(b.st_mode));
}
CASE(the_peer_of_a_master)
{
    struct stat a, b;
    int master = new_terminal();
    int slave = (int)OK(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
    MUST(fstat(slave, &a)), MUST(stat(slave_name, &b));
    TRUE(a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_uid == geteuid());
    TRUE(ttyname(slave) && !strcmp(ttyname(slave), slave_name));
    SHOW(fcntl(slave, F_GETFD)), SHOW(fcntl(slave, F_GETFL) & (O_ACCMODE | O_NONBLOCK));
    SHOW(ioctl(slave, TIOCGPTPEER, O_RDWR));
    int null = MUST(open("/dev/null", O_RDWR));
    SHOW(ioctl(null, TIOCGPTPEER, O_RDWR)), SHOW(ioctl(999, TIOCGPTPEER, O_RDWR));
    int locked = 1;
    SHOW(ioctl(master, TIOCSPTLCK, &locked)), SHOW(open(slave_name, O_RDWR | O_NOCTTY)), SHOW(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY));
    locked = 0;
    SHOW(ioctl(master, TIOCGPTLCK, &locked));
    say("%d", locked);
}
CASE(attributes_stay)
{
    struct stat status;
    int master = new_terminal(), slave = MUST(open(slave_name, O_RDWR | O_NOCTTY));
    SHOW(fchmod(slave, 0640)), SHOW(chmod(slave_name, 0640)), SHOW(fchown(slave, geteuid(), -1));
    MUST(stat(slave_name, &status));
    say("%o", status.st_mode & 07777);
    close(slave);
    MUST(stat(slave_name, &status));
    say("%o", status.st_mode & 07777);
    close(master);
}
/* In a child that leads a session: does opening the slave like this give it its terminal? */
static void try_open(const char *what, int flags, int lead)
{
    int master = new_terminal();
    pid_t child = fork();
    if (child == 0) {
        setsid();
        pid_t inner = lead ? 0 : fork();
        if (inner == 0) {
            int slave = MUST(open(slave_name, flags)), terminal = open("/dev/tty", O_RDWR);
            say("%s: /dev/tty %s", what, terminal < 0 ? error_name(errno) : "ok");
            if (terminal >= 0) {
                struct stat a, b;
                MUST(fstat(slave, &a)), MUST(stat(slave_name, &b));
                TRUE(tcgetsid(slave) == getsid(0) && tcgetpgrp(slave) == getpgrp());
                SHOW(ioctl(slave, TIOCSCTTY, 0));
            }
            _exit(0);
        }
        waitpid(inner, NULL, 0);
        _exit(0);
    }
    waitpid(child, NULL, 0);
    close(master);
}
CASE(an_open_gives_a_leader_its_terminal)
{
    try_open("leader", O_RDWR, 1);
    try_open("leader, read only", O_RDONLY, 1);
    try_open("leader, write only", O_WRONLY, 1);
    try_open("leader, O_NOCTTY", O_RDWR | O_NOCTTY, 1);
    try_open("no leader", O_RDWR, 0);
}
CASE(one_terminal_one_session)
{
    int master = new_terminal(), ready[2];
    MUST(pipe(ready));
    pid_t child = fork();
    if (child == 0) {
        char c;
        setsid();
        int slave = MUST(open(slave_name, O_RDWR | O_NOCTTY)), second;
        SHOW(ioctl(slave, TIOCSCTTY, 0)), SHOW(ioctl(slave, TIOCSCTTY, 0));
        new_terminal();
        second = MUST(open(slave_name, O_RDWR));
        SHOW(ioctl(second, TIOCSCTTY, 0)), SHOW(tcgetpgrp(second)), SHOW(tcsetpgrp(second, getpgrp()));
        TRUE(tcgetpgrp(slave) == getpgrp());
        SHOW(tcsetpgrp(slave, 999999)), SHOW(tcsetpgrp(slave, -1));
        MUST(write(ready[1], "x", 1));
        for (int turn = 0; turn < 1000 && read(slave, &c, 1) != 1; turn++)
            sleep_ms(1);
        signal(SIGHUP, SIG_IGN);
        SHOW(ioctl(slave, TIOCNOTTY, 0)), SHOW(ioctl(slave, TIOCNOTTY, 0)), SHOW(open("/dev/tty", O_RDWR));
        _exit(0);
    }
    char c;
    MUST(read(ready[0], &c, 1));
    pid_t rival = fork();
    if (rival == 0) {
        setsid();
        int slave = MUST(open(slave_name, O_RDWR));
        SHOW(ioctl(slave, TIOCSCTTY, 0)), SHOW(open("/dev/tty", O_RDWR)), SHOW(tcgetpgrp(slave));
        _exit(0);
    }
    waitpid(rival, NULL, 0);
    write(master, "\n", 1);
    waitpid(child, NULL, 0);
}
/* A small shell: leads a session on the terminal, and runs one job in a group of its own. */
static pid_t start_job(int slave, void (*job)(int))
{
    pid_t child = fork();
    if (child == 0) {
        setpgid(0, 0);
        signal(SIGTTOU, SIG_IGN);
        tcsetpgrp(slave, getpgrp());
        signal(SIGTTOU, SIG_DFL);
        job(slave);
        _exit(0);
    }
    setpgid(child, child);
    return child;
}
static void echo_lines(int slave)
{
    char line[64];
    ssize_t n;
    say("reading");
    while ((n = read(slave, line, sizeof line)) > 0)
        say("line of %zd", n);
    say("end of input");
}
static void say_change(pid_t child, int flags)
{
    int status = 0;
    TRUE(waitpid(child, &status, flags) == child);
    if (WIFSTOPPED(status))
        say("stopped by %s", strsignal(WSTOPSIG(status)));
    else if (WIFCONTINUED(status))
        say("continued");
    else if (WIFSIGNALED(status))
        say("killed by %s", strsignal(WTERMSIG(status)));
    else
        say("exit %d", WEXITSTATUS(status));
}
static void touch_modes(int slave)
{
    struct termios modes;
    MUST(tcgetattr(slave, &modes));
    _exit(tcsetattr(slave, TCSADRAIN, &modes) ? errno : 0);
}
CASE(job_control)
{
    int master = new_terminal(), progress[2];
    MUST(pipe(progress));
    pid_t shell = fork();
    if (shell == 0) {
        char c = 'x';
        setsid();
        int slave = MUST(open(slave_name, O_RDWR));
        signal(SIGTTOU, SIG_IGN);
        pid_t job = start_job(slave, echo_lines);
        MUST(write(progress[1], &c, 1));
        say_change(job, WUNTRACED); /* Ctrl-Z */
        tcsetpgrp(slave, getpgrp());
        kill(-job, SIGCONT);
        say_change(job, WUNTRACED); /* in the background: its read stops it */
        tcsetpgrp(slave, job);
        kill(-job, SIGCONT);
        say_change(job, WCONTINUED);
        MUST(write(progress[1], &c, 1));
        say_change(job, WUNTRACED); /* Ctrl-C */
        tcsetpgrp(slave, getpgrp());
        job = start_job(slave, touch_modes);
        say_change(job, WUNTRACED);
        tcsetpgrp(slave, getpgrp());
        pid_t background = fork();
        if (background == 0) {
            signal(SIGTTOU, SIG_DFL);
            setpgid(0, 0);
            touch_modes(slave);
        }
        say_change(background, WUNTRACED); /* stopped by its tcsetattr */
        tcsetpgrp(slave, background);
        kill(-background, SIGCONT);
        say_change(background, WUNTRACED);
        _exit(0);
    }
    char c;
    MUST(read(progress[0], &c, 1));
    write(master, "one\n", 4);
    sleep_ms(100);
    write(master, "\032", 1);
    MUST(read(progress[0], &c, 1));
    write(master, "two\n", 4);
    sleep_ms(100);
    write(master, "\003", 1);
    wait_for("shell", shell);
    show_output(master);
}
static volatile int signals_seen[65];
static void count(int number) { signals_seen[number]++; }
CASE(hang_up_and_window)
{
    int master = new_terminal(), progress[2];
    struct winsize size = {33, 77, 0, 0};
    MUST(pipe(progress));
    SHOW(ioctl(master, TIOCSWINSZ, &size));
    pid_t child = fork();
    if (child == 0) {
        close(master);
        setsid();
        signal(SIGWINCH, count), signal(SIGHUP, count), signal(SIGCONT, count);
        int slave = MUST(open(slave_name, O_RDWR));
        struct winsize now = {0};
        SHOW(ioctl(slave, TIOCGWINSZ, &now));
        say("%d %d", now.ws_row, now.ws_col);
        MUST(write(progress[1], "x", 1));
        for (int turn = 0; turn < 5000 && !signals_seen[SIGWINCH]; turn++)
            sleep_ms(1);
        SHOW(ioctl(slave, TIOCGWINSZ, &now));
        say("%d %d, %d SIGWINCH", now.ws_row, now.ws_col, signals_seen[SIGWINCH]);
        MUST(write(progress[1], "x", 1));
        for (int turn = 0; turn < 5000 && !signals_seen[SIGCONT]; turn++)
            sleep_ms(1);
        char c;
        say("%d SIGHUP", signals_seen[SIGHUP]);
        SHOW(read(slave, &c, 1)), SHOW(write(slave, &c, 1)), SHOW(open("/dev/tty", O_RDWR));
        _exit(0);
    }
    char c;
    MUST(read(progress[0], &c, 1));
    size.ws_row = 44;
    SHOW(ioctl(master, TIOCSWINSZ, &size));
    MUST(read(progress[0], &c, 1));
    close(master);
    wait_for("child", child);
}
CASE(modes_and_questions)
{
    int master = new_terminal(), slave = MUST(open(slave_name, O_RDWR | O_NOCTTY)), value = 0;
    char buffer[64];
    struct termios modes;
    SHOW(tcgetattr(slave, &modes)), SHOW(tcgetattr(master, &modes));
    say("%x %x %x %x", modes.c_iflag, modes.c_oflag, modes.c_cflag, modes.c_lflag);
    SHOW(ioctl(slave, TIOCGETD, &value));
    say("discipline %d", value);
    SHOW(ioctl(slave, TIOCSETD, &value));
    value = 99;
    SHOW(ioctl(slave, TIOCSETD, &value)), SHOW(ioctl(slave, TIOCSETD, 1));
    struct pollfd arrived = {slave, POLLIN, 0}; /* the kernel hands bytes over in its own time */
    SHOW(write(master, "ab\n", 3)), SHOW(poll(&arrived, 1, 5000)), SHOW(ioctl(slave, FIONREAD, &value));
    say("%d waiting", value);
    SHOW(tcflush(slave, TCIFLUSH)), SHOW(ioctl(slave, FIONREAD, &value));
    say("%d waiting", value);
    SHOW(tcsendbreak(slave, 0)), SHOW(tcdrain(slave)), SHOW(tcflow(slave, TCOOFF)), SHOW(tcflow(slave, TCOON));
    SHOW(ioctl(slave, TIOCSBRK, 0)), SHOW(ioctl(slave, TIOCCBRK, 0));
    value = 1;
    SHOW(ioctl(master, TIOCPKT, &value)), SHOW(ioctl(master, TIOCGPKT, &value));
    say("packet mode %d", value);
    SHOW(write(slave, "out", 3));
    ssize_t n = read(master, buffer, sizeof buffer);
    say("%d", n > 0 ? buffer[0] : -1);
    SHOW(ioctl(slave, TIOCGSID, &value)), SHOW(ioctl(slave, TIOCGPGRP, &value));
    SHOW(ioctl(slave, TIOCMGET, &value)), SHOW(ioctl(slave, 0x541C /* TIOCLINUX */, buffer)), SHOW(ioctl(slave, 0x4B33 /* KDGKBTYPE */, &value));
    SHOW(syscall(SYS_ioctl, slave, 0x700000000UL | TIOCGWINSZ, buffer)), SHOW(ioctl(slave, TIOCGWINSZ, 1));
    SHOW(fcntl(master, F_SETFL, O_NONBLOCK)), SHOW(ioctl(master, TIOCGEXCL, &value));
    say("exclusive %d", value);
}
CASE(eof_and_line_editing)
{
    int master = new_terminal(), slave = MUST(open(slave_name, O_RDWR | O_NOCTTY));
    char line[64];
    MUST(write(master, "abX\177c\n", 6));
    ssize_t n = SHOW(read(slave, line, sizeof line));
    say("%.*s", (int)n, line);
    MUST(write(master, "part\004", 5));
    n = SHOW(read(slave, line, sizeof line));
    say("%.*s", (int)n, line);
    MUST(write(master, "\004", 1));
    SHOW(read(slave, line, sizeof line));
    show_output(master);
    MUST(write(slave, "last words\n", 11));
    close(slave);
    show_output(master);
    SHOW(read(master, line, sizeof line));
    slave = MUST(open(slave_name, O_RDWR | O_NOCTTY));
    SHOW(write(slave, "again\n", 6));
    show_output(master);
}
