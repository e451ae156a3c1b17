// Synchronous signals: SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP; the context a handler gets and may change.
#include "guest.h"
#include <setjmp.h>
#include <ucontext.h>

static sigjmp_buf target;
static volatile int number_seen, code_seen;
static void *volatile address_seen;
static void escape(int number, siginfo_t *info, void *context)
{
    number_seen = number, code_seen = info->si_code, address_seen = info->si_addr;
    siglongjmp(target, 1);
}
static void install(int number)
{
    struct sigaction action = {.sa_sigaction = escape, .sa_flags = SA_SIGINFO};
    MUST(sigaction(number, &action, NULL));
}
CASE(segmentation)
{
    install(SIGSEGV);
    if (!sigsetjmp(target, 1))
        *(volatile int *)0x1234 = 1;
    say("signal %d code %d address %d", number_seen, code_seen, address_seen == (void *)0x1234);
    char *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!sigsetjmp(target, 1))
        page[77] = 1;
    say("signal %d code %d address %d", number_seen, code_seen, address_seen == page + 77);
    if (!sigsetjmp(target, 1))
        ((void (*)(void))page)();
    say("signal %d code %d", number_seen, code_seen);
    if (!sigsetjmp(target, 1))
        *(volatile int *)0x8000000000000000UL = 1; /* not canonical */
    say("signal %d code %d", number_seen, code_seen);
    for (volatile int index = 0; index < 1000; index++)
        if (!sigsetjmp(target, 1))
            *(volatile int *)(0x1000UL + index) = 1;
    say("a thousand");
}
static void make_writable(int number, siginfo_t *info, void *context)
{
    mprotect((void *)((uintptr_t)info->si_addr & ~4095UL), 4096, PROT_READ | PROT_WRITE);
}
CASE(repairing_handler)
{
    char *pages = mmap(NULL, 100 * 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct sigaction action = {.sa_sigaction = make_writable, .sa_flags = SA_SIGINFO};
    MUST(sigaction(SIGSEGV, &action, NULL));
    for (int page = 0; page < 100; page++)
        pages[page * 4096 + page] = page;
    int sum = 0;
    for (int page = 0; page < 100; page++)
        sum += pages[page * 4096 + page];
    say("%d", sum);
}
CASE(arithmetic_and_instructions)
{
    volatile int zero = 0, result;
    install(SIGFPE), install(SIGILL), install(SIGTRAP);
    if (!sigsetjmp(target, 1))
        result = 100 / zero;
    (void)result;
    say("signal %d code %d", number_seen, code_seen);
    if (!sigsetjmp(target, 1))
        __asm__ volatile("ud2");
    say("signal %d code %d", number_seen, code_seen);
    if (!sigsetjmp(target, 1))
        __asm__ volatile("int3");
    say("signal %d", number_seen);
    number_seen = 0;
    install(SIGSEGV);
    if (!sigsetjmp(target, 1))
        __asm__ volatile("hlt");
    say("signal %d", number_seen);
}
static void skip(int number, siginfo_t *info, void *context)
{
    ucontext_t *machine = context;
    machine->uc_mcontext.gregs[REG_RIP] += 2; /* over the ud2 */
    machine->uc_mcontext.gregs[REG_RBX] = 4242;
}
CASE(changed_context)
{
    struct sigaction action = {.sa_sigaction = skip, .sa_flags = SA_SIGINFO};
    MUST(sigaction(SIGILL, &action, NULL));
    unsigned long value = 1;
    __asm__ volatile("mov $1, %%rbx; ud2; mov %%rbx, %0" : "=r"(value) : : "rbx");
    say("%lu", value);
}
CASE(bus_error)
{
    int fd = MUST(open("f", O_CREAT | O_RDWR, 0644));
    MUST(ftruncate(fd, 4096));
    char *map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    MUST(ftruncate(fd, 0));
    install(SIGBUS);
    if (!sigsetjmp(target, 1))
        (void)*(volatile char *)map;
    say("signal %d code %d address %d", number_seen, code_seen, address_seen == map);
}
CASE(blocked_fault_kills)
{
    pid_t child = fork();
    if (child == 0) {
        sigset_t set;
        install(SIGSEGV);
        sigemptyset(&set), sigaddset(&set, SIGSEGV);
        sigprocmask(SIG_BLOCK, &set, NULL);
        *(volatile int *)8 = 1;
        _exit(0);
    }
    wait_for("blocked", child);
    child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_IGN);
        *(volatile int *)8 = 1;
        _exit(0);
    }
    wait_for("ignored", child);
}
static void clobber(int number)
{
    double values[8];
    for (int index = 0; index < 8; index++)
        values[index] = index * 1.5;
    __asm__ volatile("" : : "m"(values) : "memory");
    __asm__ volatile("pxor %%xmm0,%%xmm0; pxor %%xmm1,%%xmm1; pxor %%xmm8,%%xmm8" ::: "xmm0", "xmm1", "xmm8");
}
CASE(floating_point_survives)
{
    signal(SIGUSR1, clobber);
    double value = 3.25, out = 0;
    long result;
    register long pid __asm__("rdi") = getpid();
    register long number __asm__("rsi") = SIGUSR1;
    __asm__ volatile("movsd %2, %%xmm8; mov $62, %%eax; syscall; movsd %%xmm8, %1" : "=&a"(result), "=m"(out) : "m"(value), "r"(pid), "r"(number) : "rcx", "r11", "memory", "xmm8");
    say("%ld %.2f", result, out);
}
CASE(registers_survive_calls)
{
    /* Everything but rax, rcx and r11 is preserved by any system call, emulated ones too. */
    unsigned long out[5];
    int good = 1;
    long numbers[] = {SYS_getppid, SYS_getuid, SYS_umask, SYS_uname, SYS_getcwd, SYS_stat, SYS_close};
    for (unsigned index = 0; index < sizeof numbers / sizeof *numbers; index++) {
        register unsigned long r8 __asm__("r8") = 0x8888, r9 __asm__("r9") = 0x9999, r10 __asm__("r10") = 0xaaaa;
        unsigned long rdi = 999, rsi = 1, rdx = 3, rax = numbers[index];
        __asm__ volatile("syscall" : "+a"(rax), "+D"(rdi), "+S"(rsi), "+d"(rdx), "+r"(r8), "+r"(r9), "+r"(r10) : : "rcx", "r11", "memory");
        out[0] = rdi, out[1] = rsi, out[2] = rdx;
        good &= out[0] == 999 && out[1] == 1 && out[2] == 3 && r8 == 0x8888 && r9 == 0x9999 && r10 == 0xaaaa;
    }
    say("%d", good);
}
