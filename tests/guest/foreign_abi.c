// System calls by another door: int 0x80 and x32 numbers are refused, and have no effect. What PyLibOS does, not native Linux.
// inside-only: yes
#include "guest.h"

static long int80(long number, long a, long b, long c)
{
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c) : "memory", "r8", "r9", "r10", "r11");
    return result;
}
static void attempt(const char *what, long number, long a, long b, long c)
{
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        long result = int80(number, a, b, c);
        _exit(result < 0 ? 1 : 2);
    }
    int status;
    waitpid(child, &status, 0);
    /* An error number or a fatal signal are both refusals. */
    say("%s refused %d", what, (WIFEXITED(status) && WEXITSTATUS(status) == 1) || WIFSIGNALED(status));
}
CASE(thirty_two_bit_door)
{
    char *low = mmap((void *)0x10000000, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    strcpy(low, "int80-made-this");
    attempt("getpid", 20, 0, 0, 0);
    attempt("open", 5, (long)low, O_CREAT | O_WRONLY, 0600);
    attempt("mkdir", 39, (long)low, 0700, 0);
    attempt("socketcall", 102, 1, (long)low, 0);
    attempt("fork", 2, 0, 0, 0);
    TRUE(access("int80-made-this", F_OK) == -1);
}
CASE(x32_numbers)
{
    const long x32 = 0x40000000;
    SHOW(syscall(x32 + SYS_getpid) == -1);
    SHOW(syscall(x32 + SYS_open, "x32-made-this", O_CREAT | O_WRONLY, 0600) == -1);
    SHOW(syscall(x32 + SYS_mkdir, "x32-made-this", 0700) == -1);
    SHOW(syscall(x32 + 520, "/bin/true", NULL, NULL) == -1); /* x32 execve */
    TRUE(access("x32-made-this", F_OK) == -1);
    TRUE(getpid() > 0);
}
CASE(dangerous_calls)
{
    SHOW(syscall(SYS_io_uring_setup, 8, NULL) == -1);
    SHOW(syscall(SYS_bpf, 0, NULL, 0) == -1);
    SHOW(syscall(SYS_userfaultfd, 0) == -1);
    SHOW(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0) == -1);
    SHOW(syscall(SYS_init_module, NULL, 0, "") == -1);
    SHOW(syscall(SYS_kexec_load, 0, 0, NULL, 0) == -1);
    SHOW(syscall(SYS_keyctl, 0, 0, 0) == -1);
    SHOW(syscall(SYS_iopl, 3) == -1);
}
