/* What every C guest shares: named cases, each in a child process and a directory of its own, and printing of results.
 *
 * A guest prints what it observes, never addresses, process numbers, inode numbers or times, so that the same program gives the same
 * lines on native Linux and under PyLibOS. Every case runs in a forked child with an alarm, so that one that hangs or crashes is one
 * line of difference and not the end of the program. `prog NAME` runs one case without the fork, for a debugger.
 */
#ifndef GUEST_H
#define GUEST_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CASE_SECONDS 30
#define MAX_CASES 64

struct guest_case {
    const char *name;
    void (*body)(void);
};
#ifndef GUEST_OWN_MAIN
static struct guest_case guest_cases[MAX_CASES];
static int guest_case_count;
#endif

#define CASE(label)                                                                            \
    static void case_##label(void);                                                             \
    __attribute__((constructor)) static void register_##label(void)                             \
    {                                                                                          \
        guest_cases[guest_case_count].name = #label;                                            \
        guest_cases[guest_case_count++].body = case_##label;                                    \
    }                                                                                          \
    static void case_##label(void)

/* One write per line, so that lines of several processes never mix and nothing is lost in a buffer over _exit. */
__attribute__((format(printf, 1, 2), unused)) static void say(const char *format, ...)
{
    char line[4096];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    if (length > (int)sizeof line - 2)
        length = sizeof line - 2;
    line[length++] = '\n';
    const char *from = line;
    while (length > 0) {
        ssize_t done = write(1, from, length);
        if (done < 0 && errno != EINTR)
            _exit(98);
        if (done > 0) {
            from += done;
            length -= done;
        }
    }
}

__attribute__((unused)) static const char *error_name(int error)
{
    const char *name = error == 0 ? "ok" : NULL;
#if defined(__GLIBC__)
    if (!name)
        name = strerrorname_np(error);
#endif
    return name ? name : "E?";
}

/* Print a call that returns -1 and sets errno: `what = value` or `what = ERRNO`. Values that vary are printed as "ok" by OK(). */
__attribute__((unused)) static long show_value(const char *what, long value)
{
    int error = errno;
    if (value == -1)
        say("%s = %s", what, error_name(error));
    else
        say("%s = %ld", what, value);
    errno = error;
    return value;
}
__attribute__((unused)) static long show_ok(const char *what, long value)
{
    int error = errno;
    say("%s = %s", what, value == -1 ? error_name(error) : "ok");
    errno = error;
    return value;
}
#define SHOW(expression) (errno = 0, show_value(#expression, (long)(expression)))
#define OK(expression) (errno = 0, show_ok(#expression, (long)(expression)))
#define TRUE(expression) say("%s: %s", #expression, (expression) ? "yes" : "no")

/* A set-up step that must work: its failure is reported with the line and ends the case. */
#define MUST(expression)                                                                       \
    ({                                                                                         \
        long must_value = (long)(expression);                                                  \
        if (must_value == -1) {                                                                \
            say("line %d: %s failed: %s", __LINE__, #expression, error_name(errno));           \
            _exit(97);                                                                         \
        }                                                                                      \
        must_value;                                                                            \
    })

__attribute__((unused)) static int make_file(const char *path, const char *contents, mode_t mode)
{
    int fd = MUST(open(path, O_CREAT | O_RDWR | O_TRUNC, 0600));
    MUST(write(fd, contents, strlen(contents)));
    MUST(fchmod(fd, mode));
    MUST(close(fd));
    return 0;
}

__attribute__((unused)) static void show_file(const char *path)
{
    char buffer[1024];
    int fd = open(path, O_RDONLY);
    if (fd < 0) {
        say("%s: %s", path, error_name(errno));
        return;
    }
    ssize_t length = read(fd, buffer, sizeof buffer - 1);
    if (length < 0)
        say("%s: read %s", path, error_name(errno));
    else {
        buffer[length] = 0;
        say("%s: %zd bytes '%s'", path, length, buffer);
    }
    close(fd);
}

/* Type and permissions of a name, not following a last symbolic link. */
__attribute__((unused)) static void show_mode(const char *path)
{
    struct stat status;
    if (lstat(path, &status) < 0)
        say("%s: %s", path, error_name(errno));
    else
        say("%s: mode %o links %lu size %ld", path, status.st_mode, (unsigned long)status.st_nlink, S_ISDIR(status.st_mode) ? -1L : (long)status.st_size);
}

/* How a child ended, in words. */
__attribute__((unused)) static void show_status(const char *what, int status)
{
    if (WIFEXITED(status))
        say("%s: exit %d", what, WEXITSTATUS(status));
    else if (WIFSIGNALED(status))
        say("%s: signal %d", what, WTERMSIG(status));
    else if (WIFSTOPPED(status))
        say("%s: stopped %d", what, WSTOPSIG(status));
    else if (WIFCONTINUED(status))
        say("%s: continued", what);
    else
        say("%s: status %x", what, status);
}

__attribute__((unused)) static void wait_for(const char *what, pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) {
            say("%s: wait %s", what, error_name(errno));
            return;
        }
    show_status(what, status);
}

__attribute__((unused)) static void sleep_ms(long milliseconds)
{
    struct timespec left = {milliseconds / 1000, milliseconds % 1000 * 1000000};
    while (nanosleep(&left, &left) < 0 && errno == EINTR)
        ;
}

__attribute__((unused)) static long now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* The program's own path, for cases that execute it again: `prog --word ...` runs guest_child() instead of the cases. */
__attribute__((unused)) static const char *guest_program;
extern int guest_child(int argc, char **argv) __attribute__((weak));

#ifndef GUEST_OWN_MAIN
int main(int argc, char **argv)
{
    guest_program = argv[0];
    if (argc > 1 && !strncmp(argv[1], "--", 2) && guest_child)
        return guest_child(argc, argv);
    umask(022);
    int bad = 0;
    for (int index = 0; index < guest_case_count; index++) {
        struct guest_case *chosen = &guest_cases[index];
        if (argc > 1) {
            if (!strcmp(argv[1], chosen->name)) {
                chosen->body();
                return 0;
            }
            continue;
        }
        say("== %s", chosen->name);
        pid_t child = fork();
        if (child < 0) {
            say("fork: %s", error_name(errno));
            return 96;
        }
        if (child == 0) {
            alarm(CASE_SECONDS);
            MUST(mkdir(chosen->name, 0755));
            MUST(chdir(chosen->name));
            chosen->body();
            _exit(0);
        }
        int status;
        if (waitpid(child, &status, 0) < 0) {
            say("wait: %s", error_name(errno));
            return 95;
        }
        if (status != 0) {
            show_status("case ended", status);
            bad = 1;
        }
    }
    if (argc > 1) {
        say("no case %s", argv[1]);
        return 94;
    }
    return bad;
}
#endif
#endif
