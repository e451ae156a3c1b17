/* What every attack of this directory shares. A guest prints one line per hole and, at the end, "contained" or "ESCAPED".
 * argv[1]: a host directory the policy does not grant, with a file "secret" in it; argv[2]: a host process; argv[3]: rounds of races. */
#ifndef PYLIBOS_ESCAPE_H
#define PYLIBOS_ESCAPE_H
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int holes;
static const char *canary;
static char secret[PATH_MAX];
static pid_t stranger;
static long rounds;

#define HOLE_IF(condition)                                                                 \
    do {                                                                                   \
        errno = 0;                                                                         \
        if (condition) {                                                                   \
            holes++;                                                                       \
            printf("hole at line %d: %s (errno %d)\n", __LINE__, #condition, errno);       \
        }                                                                                  \
    } while (0)
/* The call fails with exactly this errno. */
#define REFUSED(call, number) HOLE_IF((long)(call) != -1 || errno != (number))

static void attack(void);

int main(int argc, char **argv)
{
    if (argc != 4)
        return 2;
    canary = argv[1];
    snprintf(secret, sizeof secret, "%s/secret", canary);
    stranger = atoi(argv[2]);
    rounds = atol(argv[3]);
    attack();
    puts(holes ? "ESCAPED" : "contained");
    return holes != 0;
}
#endif
