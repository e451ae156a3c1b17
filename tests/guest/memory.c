// Anonymous memory: mmap flags, mprotect, mremap, madvise, brk, mincore, mlock, limits.
#include "guest.h"
#include <setjmp.h>

static sigjmp_buf target;
static void on_fault(int number, siginfo_t *info, void *context)
{
    siglongjmp(target, info->si_code);
}
static int fault_code(volatile char *address, int writing)
{
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL);
    int code = sigsetjmp(target, 1);
    if (!code) {
        if (writing)
            *address = 1;
        else
            (void)*address;
    }
    signal(SIGSEGV, SIG_DFL);
    return code;
}
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
CASE(fixed)
{
    char *base = mmap(NULL, 16 * 4096, PROT_READ | PROT_WRITE, ANON, -1, 0);
    base[4096] = 7;
    TRUE(mmap(base + 4096, 4096, PROT_READ, ANON | MAP_FIXED, -1, 0) == base + 4096);
    say("%d", base[4096]);
    OK(mmap(base, 4096, PROT_READ, ANON | MAP_FIXED_NOREPLACE, -1, 0));
    MUST(munmap(base + 8192, 4096));
    TRUE(mmap(base + 8192, 4096, PROT_READ, ANON | MAP_FIXED_NOREPLACE, -1, 0) == base + 8192);
    OK(mmap(base + 1, 4096, PROT_READ, ANON | MAP_FIXED, -1, 0));
    OK(mmap((void *)0x7fffffffffff000, 4096, PROT_READ, ANON | MAP_FIXED, -1, 0));
    OK(mmap(NULL, 1UL << 60, PROT_READ, ANON, -1, 0));
    OK(mmap(NULL, -4095UL, PROT_READ, ANON, -1, 0));
    SHOW(munmap(base + 1, 4096));
    SHOW(munmap(base, 0));
    SHOW(munmap((void *)0x10000000, 4096));
}
CASE(protection)
{
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, ANON, -1, 0);
    page[0] = 1;
    say("write %d", fault_code(page, 1));
    SHOW(mprotect(page, 4096, PROT_READ));
    say("write accerr %d", fault_code(page, 1) == SEGV_ACCERR);
    SHOW(mprotect(page, 4096, PROT_NONE));
    say("read accerr %d", fault_code(page, 0) == SEGV_ACCERR);
    MUST(munmap(page, 4096));
    say("read maperr %d", fault_code(page, 0) == SEGV_MAPERR);
    SHOW(mprotect(page, 4096, PROT_READ));
    SHOW(mprotect(page + 1, 4096, PROT_READ));
    SHOW(mprotect(page, 4096, 0x100));
    say("null maperr %d", fault_code(NULL, 0) == SEGV_MAPERR);
}
CASE(remap)
{
    char *base = mmap(NULL, 8192, PROT_READ | PROT_WRITE, ANON, -1, 0);
    strcpy(base, "moved");
    char *grown = mremap(base, 8192, 1 << 20, MREMAP_MAYMOVE);
    say("%s %d", grown, grown[1 << 19]);
    TRUE(mremap(grown, 1 << 20, 4096, 0) == grown);
    char *there = mmap(NULL, 8192, PROT_NONE, ANON, -1, 0);
    TRUE(mremap(grown, 4096, 4096, MREMAP_MAYMOVE | MREMAP_FIXED, there) == there);
    say("%s", there);
    OK(mremap(there, 4096, 4096, 64));
    OK(mremap((void *)0x10000000, 4096, 8192, MREMAP_MAYMOVE));
    OK(mremap(there + 1, 4096, 8192, MREMAP_MAYMOVE));
}
CASE(advice)
{
    char *base = mmap(NULL, 8192, PROT_READ | PROT_WRITE, ANON, -1, 0);
    base[0] = 5;
    SHOW(madvise(base, 8192, MADV_DONTNEED));
    say("%d", base[0]);
    SHOW(madvise(base, 8192, MADV_WILLNEED));
    SHOW(madvise(base, 8192, MADV_FREE));
    SHOW(madvise(base, 8192, 9999));
    SHOW(madvise(base + 1, 8192, MADV_NORMAL));
    SHOW(madvise(base, 8192, MADV_DONTFORK));
    MUST(munmap(base, 8192));
    SHOW(madvise(base, 8192, MADV_NORMAL));
    unsigned char resident[2];
    SHOW(mincore(base, 8192, resident));
    base = mmap(NULL, 4096, PROT_READ | PROT_WRITE, ANON | MAP_POPULATE, -1, 0);
    SHOW(mincore(base, 4096, resident));
    say("%d", resident[0] & 1);
    SHOW(mlock(base, 4096)), SHOW(munlock(base, 4096));
}
CASE(break_area)
{
    char *before = sbrk(0);
    TRUE(sbrk(100000) == before);
    before[99999] = 1;
    TRUE((char *)sbrk(0) == before + 100000);
    TRUE(sbrk(-100000) == before + 100000);
    TRUE((char *)syscall(SYS_brk, 0) == before);
    TRUE((char *)syscall(SYS_brk, (void *)-1L) == before);
}
CASE(shared_anonymous)
{
    int *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int *private = mmap(NULL, 4096, PROT_READ | PROT_WRITE, ANON, -1, 0);
    pid_t child = fork();
    if (child == 0) {
        *shared = *private = 42;
        _exit(0);
    }
    wait_for("child", child);
    say("%d %d", *shared, *private);
}
CASE(address_space_limit)
{
    struct rlimit limit = {256 << 20, 256 << 20};
    MUST(setrlimit(RLIMIT_AS, &limit));
    OK(mmap(NULL, 512 << 20, PROT_READ, ANON, -1, 0));
    OK(mmap(NULL, 1 << 20, PROT_READ, ANON, -1, 0));
    TRUE(malloc(1 << 29) == NULL);
}
CASE(memory_files)
{
    int fd = MUST(syscall(SYS_memfd_create, "name", 2 /* MFD_ALLOW_SEALING */));
    struct stat status;
    char link[64], text[128];
    MUST(fstat(fd, &status));
    say("mode %o size %ld links %lu", status.st_mode, (long)status.st_size, (unsigned long)status.st_nlink);
    MUST(write(fd, "data", 4));
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, text, sizeof text - 1);
    text[length > 0 ? length : 0] = 0;
    say("%s", text);
    SHOW(fcntl(fd, 1034 /* F_GET_SEALS */));
    SHOW(fcntl(fd, 1033, 2 /* F_SEAL_SHRINK */));
    SHOW(ftruncate(fd, 1));
    SHOW(ftruncate(fd, 100));
    SHOW(fcntl(fd, 1033, 8 /* F_SEAL_WRITE */));
    SHOW(write(fd, "x", 1));
    SHOW(fcntl(fd, 1033, 1 /* F_SEAL_SEAL */));
    SHOW(fcntl(fd, 1033, 4));
    SHOW(syscall(SYS_memfd_create, "x", 0x8000));
    SHOW(syscall(SYS_memfd_create, (void *)1, 0));
    int other = MUST(open(link, O_RDONLY));
    SHOW(read(other, text, 100));
}
CASE(deep_recursion)
{
    pid_t child = fork();
    if (child == 0) {
        volatile char frame[1 << 22]; /* half of the usual 8 MiB */
        for (int at = 0; at < 1 << 22; at += 4096)
            frame[at] = 1;
        say("4 MiB of stack %d", frame[4096]);
        _exit(0);
    }
    wait_for("child", child);
    struct rlimit limit;
    MUST(getrlimit(RLIMIT_STACK, &limit));
    say("stack %ld", (long)limit.rlim_cur);
}
