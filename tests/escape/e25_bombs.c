// Class 25: what a guest can have kept for it is bounded; it meets an errno, and the supervisor its limits (the test looks at them).
#include "escape.h"
static void attack(void)
{
    static char big[60000], name[64], target[4001];
    HOLE_IF(chdir("/scratch") != 0); /* in memory: what a grant gives of the host's disk is the host's to limit */
    int fd = open("sparse", O_CREAT | O_RDWR, 0600);
    HOLE_IF(fd < 0);
    HOLE_IF(fallocate(fd, 0, 0, 1L << 42) == 0);
    HOLE_IF(ftruncate(fd, 1L << 40) != 0 || pwrite(fd, "x", 1, (1L << 40) - 1) != 1);
    memset(target, 't', 4000);
    long made = 0;
    for (; made < 20000; made++) {
        sprintf(name, "link%ld", made);
        if (symlink(target, name))
            break;
    }
    HOLE_IF(made == 20000);
    for (made = 0; made < 10000; made++) {
        sprintf(name, "user.%ld", made);
        if (syscall(SYS_setxattr, ".", name, big, sizeof big, 0))
            break;
    }
    HOLE_IF(made == 10000);
    for (made = 0; made < 300; made++)
        if (mkdir("deep", 0700) || chdir("deep"))
            break;
    HOLE_IF(made != 300);
    int loop = symlink("loop", "loop") == 0 ? open("loop", O_RDONLY) : -2;
    HOLE_IF(loop != -1);
    char *string = mmap(NULL, 1UL << 31, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    HOLE_IF(string == MAP_FAILED);
    memset(string, 'a', 1 << 20);
    REFUSED(open(string, O_RDONLY), ENAMETOOLONG);
    struct iovec vectors[1024];
    for (int index = 0; index < 1024; index++)
        vectors[index] = (struct iovec){string, 1UL << 21};
    HOLE_IF(process_vm_readv(getpid(), vectors, 1025, vectors, 1024, 0) >= 0);
    HOLE_IF(writev(open("/dev/null", O_WRONLY), vectors, 1024) <= 0);
}
