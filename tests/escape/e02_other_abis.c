// Classes 2 and 3: x32 numbers and int 0x80 reach nothing.
#include "escape.h"
static long legacy(long number, long first, long second)
{
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(first), "c"(second), "d"(0L) : "memory", "r8", "r9", "r10", "r11");
    return result;
}
static void attack(void)
{
    char *low = mmap((void *)0x10000000, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
    for (int number = 0; number < 600; number++)
        REFUSED(syscall(0x40000000 | number, "/etc/passwd", 0, 0), ENOSYS);
    if (low == MAP_FAILED)
        return;
    strcpy(low, "/etc/passwd");
    for (long number = 1; number < 460; number++) {
        if (number == 1 || number == 252)
            continue;
        pid_t child = fork();
        if (child == 0)
            _exit(legacy(number, (long)low, 0) >= 0);
        int status;
        waitpid(child, &status, 0);
        HOLE_IF(WIFEXITED(status) && WEXITSTATUS(status) == 1);
        if (number > 20)
            number += 20;
    }
}
