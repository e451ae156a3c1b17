// flock, POSIX record locks and open-file-description locks, between processes.
#include "guest.h"
#include <sys/file.h>

static int record(int fd, int command, short type, off_t start, off_t length)
{
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    return fcntl(fd, command, &lock);
}
static void in_child(const char *what, void (*body)(void))
{
    pid_t child = fork();
    if (child == 0) {
        body();
        _exit(0);
    }
    wait_for(what, child);
}
static int fd;
static void try_flock(void)
{
    int own = MUST(open("f", O_RDWR));
    SHOW(flock(own, LOCK_EX | LOCK_NB));
    SHOW(flock(own, LOCK_SH | LOCK_NB));
    SHOW(flock(fd, LOCK_EX | LOCK_NB)); /* inherited: the parent's lock */
}
CASE(whole_file)
{
    fd = MUST(open("f", O_CREAT | O_RDWR, 0644));
    SHOW(flock(fd, LOCK_EX));
    in_child("while exclusive", try_flock);
    SHOW(flock(fd, LOCK_SH));
    in_child("while shared", try_flock);
    SHOW(flock(fd, LOCK_UN));
    in_child("while free", try_flock);
    SHOW(flock(fd, 0)), SHOW(flock(999, LOCK_SH)), SHOW(flock(fd, LOCK_EX | LOCK_SH));
    int other = MUST(open("f", O_RDWR));
    SHOW(flock(fd, LOCK_EX));
    SHOW(flock(other, LOCK_EX | LOCK_NB));
    int same = dup(fd);
    MUST(close(fd));
    SHOW(flock(other, LOCK_EX | LOCK_NB));
    MUST(close(same));
    SHOW(flock(other, LOCK_EX | LOCK_NB));
}
static void try_records(void)
{
    struct flock query = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 0, .l_len = 0};
    SHOW(record(fd, F_SETLK, F_WRLCK, 0, 10));
    SHOW(record(fd, F_SETLK, F_RDLCK, 20, 10));
    SHOW(record(fd, F_SETLK, F_WRLCK, 20, 10));
    SHOW(record(fd, F_SETLK, F_WRLCK, 40, 10));
    MUST(fcntl(fd, F_GETLK, &query));
    say("type %d start %ld length %ld by parent %d", query.l_type, (long)query.l_start, (long)query.l_len, query.l_pid == getppid());
}
CASE(records)
{
    fd = MUST(open("f", O_CREAT | O_RDWR, 0644));
    SHOW(record(fd, F_SETLK, F_WRLCK, 0, 10));
    SHOW(record(fd, F_SETLK, F_RDLCK, 20, 10));
    in_child("child", try_records);
    SHOW(record(fd, F_SETLK, F_UNLCK, 0, 5));
    in_child("after partial unlock", try_records);
    SHOW(record(fd, F_SETLK, 77, 0, 1)), SHOW(record(fd, F_SETLK, F_WRLCK, 10, -20)), SHOW(record(999, F_SETLK, F_WRLCK, 0, 0));
    SHOW(fcntl(fd, F_SETLK, (void *)1));
    int reader = MUST(open("f", O_RDONLY));
    SHOW(record(reader, F_SETLK, F_WRLCK, 100, 1));
    MUST(close(reader)); /* closing any descriptor of the file drops the process's locks */
    in_child("after close", try_records);
}
CASE(waiting)
{
    fd = MUST(open("f", O_CREAT | O_RDWR, 0644));
    int pipes[2];
    char byte;
    MUST(pipe(pipes));
    SHOW(record(fd, F_SETLK, F_WRLCK, 0, 0));
    pid_t child = fork();
    if (child == 0) {
        MUST(write(pipes[1], "r", 1));
        SHOW(record(fd, F_SETLKW, F_WRLCK, 0, 0));
        say("child has it");
        _exit(0);
    }
    MUST(read(pipes[0], &byte, 1));
    sleep_ms(30);
    say("parent lets go");
    MUST(record(fd, F_SETLK, F_UNLCK, 0, 0));
    wait_for("child", child);
    MUST(flock(fd, LOCK_EX));
    child = fork();
    if (child == 0) {
        int own = MUST(open("f", O_RDWR));
        MUST(write(pipes[1], "r", 1));
        SHOW(flock(own, LOCK_EX));
        _exit(0);
    }
    MUST(read(pipes[0], &byte, 1));
    sleep_ms(30);
    say("parent unlocks");
    MUST(flock(fd, LOCK_UN));
    wait_for("child", child);
}
static void nothing(int number)
{
}
CASE(interrupted_wait)
{
    fd = MUST(open("f", O_CREAT | O_RDWR, 0644));
    int other = MUST(open("f", O_RDWR));
    MUST(flock(fd, LOCK_EX));
    struct sigaction action = {.sa_handler = nothing};
    MUST(sigaction(SIGALRM, &action, NULL));
    struct itimerval timer = {.it_value = {0, 50000}};
    MUST(setitimer(ITIMER_REAL, &timer, NULL));
    SHOW(flock(other, LOCK_EX));
}
CASE(deadlock)
{
    fd = MUST(open("f", O_CREAT | O_RDWR, 0644));
    int pipes[2];
    char byte;
    MUST(pipe(pipes));
    MUST(record(fd, F_SETLK, F_WRLCK, 0, 1));
    pid_t child = fork();
    if (child == 0) {
        MUST(record(fd, F_SETLK, F_WRLCK, 1, 1));
        MUST(write(pipes[1], "r", 1));
        record(fd, F_SETLKW, F_WRLCK, 0, 1);
        _exit(0);
    }
    MUST(read(pipes[0], &byte, 1));
    sleep_ms(50);
    SHOW(record(fd, F_SETLKW, F_WRLCK, 1, 1));
    MUST(record(fd, F_SETLK, F_UNLCK, 0, 0));
    wait_for("child", child);
}
CASE(open_file_description_locks)
{
    fd = MUST(open("f", O_CREAT | O_RDWR, 0644));
    int other = MUST(open("f", O_RDWR));
    SHOW(record(fd, F_OFD_SETLK, F_WRLCK, 0, 10));
    SHOW(record(other, F_OFD_SETLK, F_WRLCK, 5, 10));
    SHOW(record(dup(fd), F_OFD_SETLK, F_WRLCK, 5, 10));
    struct flock query = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    MUST(fcntl(other, F_OFD_GETLK, &query));
    say("type %d pid %d", query.l_type, query.l_pid);
    query.l_pid = 5;
    SHOW(fcntl(fd, F_OFD_SETLK, &query));
    SHOW(lockf(fd, F_TLOCK, 10));
    SHOW(fcntl(fd, F_SETLEASE, F_RDLCK) == 0 || errno == EAGAIN);
}
