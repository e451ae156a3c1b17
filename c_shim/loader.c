/* The static loader: what a picoprocess executes instead of the guest's program, and the sandbox's init.
 *
 * Freestanding (no libc), linked at a fixed address far from where programs live. Two lives:
 *  - exec: the supervisor has written exec_plan; map the program and its interpreter from descriptors, correct the auxiliary
 *    vector, put a script's arguments in front, jump. Makes only direct host calls (mmap, mprotect, close), no notification.
 *  - init: no plan; install the seccomp filter, hand the listener to the supervisor, start the first guest process, reap.
 * It trusts exec_plan as far as the guest could trust it: a wrong plan can only hurt this process, which is jailed already.
 * Sources: System V ABI AMD64 "Process Initialization"; Linux fs/binfmt_elf.c:load_elf_binary().
 */
#include <elf.h>
#include <stddef.h>
#include <stdint.h>
#include "plan.h"

#define NR_read 0
#define NR_write 1
#define NR_close 3
#define NR_mmap 9
#define NR_mprotect 10
#define NR_munmap 11
#define NR_pause 34
#define NR_fcntl 72
#define NR_sendmsg 46
#define NR_clone 56
#define NR_execve 59
#define NR_wait4 61
#define NR_ioctl 16
#define NR_setsid 112
#define NR_exit_group 231
#define NR_seccomp 317

#define PROT_NONE 0
#define PROT_READ 1
#define PROT_WRITE 2
#define PROT_EXEC 4
#define PROT_GROWSDOWN 0x01000000
#define MAP_PRIVATE 2
#define MAP_FIXED 0x10
#define MAP_ANONYMOUS 0x20
#define MAP_NORESERVE 0x4000
#define MAP_FIXED_NOREPLACE 0x100000
#define PAGE 4096UL
#define PIE_BASE 0x555500000000UL
#define LOADER_FAILED 126

struct exec_plan exec_plan __attribute__((section(".bss.plan"), aligned(4096)));

static long call6(long nr, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}
#define call3(nr, a, b, c) call6(nr, (long)(a), (long)(b), (long)(c), 0, 0, 0)

static __attribute__((noreturn)) void leave(int code)
{
    for (;;)
        call3(NR_exit_group, code, 0, 0);
}

/* The compiler may emit calls to these. */
void *memcpy(void *to, const void *from, size_t n)
{
    char *t = to;
    const char *f = from;
    while (n--)
        *t++ = *f++;
    return to;
}
void *memset(void *to, int byte, size_t n)
{
    char *t = to;
    while (n--)
        *t++ = (char)byte;
    return to;
}

static uint64_t down(uint64_t x) { return x & ~(PAGE - 1); }
static uint64_t up(uint64_t x) { return (x + PAGE - 1) & ~(PAGE - 1); }
static int failed(long result) { return result < 0 && result > -4096; }

/* ---- exec ------------------------------------------------------------------------------------------------------- */

static void map_segment(const struct plan_image *image, const struct plan_segment *s, uint64_t bias)
{
    uint64_t start = s->address + bias, page = down(start), lead = start - page;
    uint64_t file_end = start + s->file_size, memory_end = start + s->memory_size;
    long prot = (long)s->protection;

    if (s->file_size) {
        long at = call6(NR_mmap, (long)page, (long)(s->file_size + lead), prot, MAP_PRIVATE | MAP_FIXED, (long)image->descriptor,
                        (long)(s->offset - lead));
        if (failed(at))
            leave(LOADER_FAILED);
        if (s->memory_size > s->file_size && (file_end & (PAGE - 1)) && (prot & PROT_WRITE))
            memset((void *)file_end, 0, up(file_end) - file_end);
        page = up(file_end);
    }
    if (up(memory_end) > page) {
        long at = call6(NR_mmap, (long)page, (long)(up(memory_end) - page), prot, MAP_PRIVATE | MAP_FIXED | MAP_ANONYMOUS, -1, 0);
        if (failed(at))
            leave(LOADER_FAILED);
    }
}

/* Map one image; the load bias (added to every address of the file). */
static uint64_t map_image(const struct plan_image *image, uint64_t hint)
{
    uint64_t low = ~0UL, high = 0, bias = 0;
    for (uint64_t i = 0; i < image->segment_count; i++) {
        const struct plan_segment *s = &image->segment[i];
        if (down(s->address) < low)
            low = down(s->address);
        if (up(s->address + s->memory_size) > high)
            high = up(s->address + s->memory_size);
    }
    uint64_t align = image->alignment, span = high - low, slack = align > PAGE ? align : 0;
    long flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (align ? 0 : MAP_FIXED_NOREPLACE);
    long base = call6(NR_mmap, (long)(align ? hint : low), (long)(span + slack), PROT_NONE, flags, -1, 0);
    if (failed(base))
        leave(LOADER_FAILED);
    if (slack) { /* keep an aligned piece, give the rest back */
        uint64_t start = ((uint64_t)base - low + align - 1) / align * align + low;
        if (start > (uint64_t)base)
            call3(NR_munmap, base, start - (uint64_t)base, 0);
        if ((uint64_t)base + span + slack > start + span)
            call3(NR_munmap, start + span, (uint64_t)base + slack - start, 0);
        base = (long)start;
    }
    bias = (uint64_t)base - low;
    for (uint64_t i = 0; i < image->segment_count; i++)
        map_segment(image, &image->segment[i], bias);
    call3(NR_close, image->descriptor, 0, 0);
    return bias;
}

static void patch_auxv(Elf64_auxv_t *aux, uint64_t program_bias, uint64_t interpreter_bias)
{
    const struct exec_plan *plan = &exec_plan;
    for (; aux->a_type != AT_NULL; aux++) {
        uint64_t *value = &aux->a_un.a_val;
        switch (aux->a_type) {
        case AT_PHDR: *value = plan->program.program_headers + program_bias; break;
        case AT_PHNUM: *value = plan->program.program_header_count; break;
        case AT_ENTRY: *value = plan->program.entry + program_bias; break;
        case AT_BASE: *value = plan->interpreter.segment_count ? interpreter_bias : 0; break;
        case AT_UID: *value = plan->uid; break;
        case AT_EUID: *value = plan->euid; break;
        case AT_GID: *value = plan->gid; break;
        case AT_EGID: *value = plan->egid; break;
        case AT_SECURE: *value = plan->uid != plan->euid || plan->gid != plan->egid; break;
        case AT_EXECFN: *value = (uint64_t)exec_plan.strings; break;
        default: break;
        }
    }
}

/* argv[0] gives way to the prefix: move the pointer arrays down a little (the strings stay where they are). _start keeps the
 * loader's own frames well below the room this needs. */
static uint64_t *insert_prefix(uint64_t *stack)
{
    uint64_t argc = stack[0], prefix = exec_plan.prefix_count;
    if (!prefix)
        return stack;
    uint64_t *from = stack + 1 + (argc ? 1 : 0); /* first argument kept */
    uint64_t kept = argc ? argc - 1 : 0;
    uint64_t *end = from + kept + 1;
    while (*end++)
        ;
    while (*end)
        end += 2;
    end += 2;
    uint64_t words = (uint64_t)(end - from);
    uint64_t *to = (uint64_t *)((uint64_t)(stack - prefix - 4) & ~15UL);
    const char *text = exec_plan.strings;
    to[0] = kept + prefix;
    for (uint64_t i = 0; i < prefix; i++) {
        while (*text++)
            ;
        to[1 + i] = (uint64_t)text;
    }
    for (uint64_t i = 0; i < words; i++)
        to[1 + prefix + i] = from[i];
    return to;
}

static __attribute__((noreturn)) void start_program(uint64_t *stack)
{
    struct exec_plan *plan = &exec_plan;
    uint64_t *p = stack + 1 + stack[0] + 1;
    while (*p++)
        ;
    Elf64_auxv_t *aux = (Elf64_auxv_t *)p;
    uint64_t vdso = 0;
    for (Elf64_auxv_t *a = aux; a->a_type != AT_NULL; a++)
        if (a->a_type == AT_SYSINFO_EHDR)
            vdso = a->a_un.a_val;

    /* The vDSO's place is as random as the kernel makes it: take the program's from it, as PIE programs natively get theirs. */
    uint64_t program_bias = map_image(&plan->program, PIE_BASE + (vdso & 0xfffffff000UL));
    uint64_t entry = plan->program.entry + program_bias, interpreter_bias = 0;
    if (plan->interpreter.segment_count) {
        interpreter_bias = map_image(&plan->interpreter, 0);
        entry = plan->interpreter.entry + interpreter_bias;
    }
    if (plan->executable_stack)
        call3(NR_mprotect, down((uint64_t)stack), PAGE, PROT_READ | PROT_WRITE | PROT_EXEC | PROT_GROWSDOWN);
    patch_auxv(aux, program_bias, interpreter_bias);
    stack = insert_prefix(stack);
    for (p = stack + 1 + stack[0] + 1; *p++;)
        ;
    plan->auxiliary = (uint64_t)p;
    if (plan->announce)
        __asm__ volatile("mov %0, %%rsp\n\t"
                         "xor %%edx, %%edx\n\t"
                         "xor %%ebp, %%ebp\n\t"
                         "xor %%ebx, %%ebx\n\t"
                         "syscall\n\t"
                         "hlt"
                         :
                         : "S"(stack), "D"(entry), "a"(NR_pause)
                         : "memory");
    __asm__ volatile("mov %0, %%rsp\n\t"
                     "xor %%edx, %%edx\n\t"
                     "xor %%ebp, %%ebp\n\t"
                     "xor %%ebx, %%ebx\n\t"
                     "jmp *%1"
                     :
                     : "r"(stack), "a"(entry)
                     : "memory");
    __builtin_unreachable();
}

/* ---- init ------------------------------------------------------------------------------------------------------- */

struct message_header {
    void *name;
    uint32_t name_length, pad;
    void *vector;
    uint64_t vector_length;
    void *control;
    uint64_t control_length;
    uint64_t flags;
};
struct control_message {
    uint64_t length;
    int level, type, descriptor, pad;
};

static long send_descriptor(int socket, long descriptor)
{
    char byte = 'L';
    struct { void *base; uint64_t size; } vector = {&byte, 1};
    struct control_message control = {16 + sizeof(int), 1 /* SOL_SOCKET */, 1 /* SCM_RIGHTS */, (int)descriptor, 0};
    struct message_header header = {0, 0, 0, &vector, 1, &control, sizeof control, 0};
    return call3(NR_sendmsg, socket, &header, 0);
}

static __attribute__((noreturn)) void start_guest(struct init_block *b, char *block)
{
    uint64_t *argv = (uint64_t *)(block + b->argv_offset), *envp = (uint64_t *)(block + b->envp_offset);
    for (uint64_t i = 0; i < b->argv_count; i++)
        argv[i] += (uint64_t)block;
    for (uint64_t i = 0; i < b->envp_count; i++)
        envp[i] += (uint64_t)block;
    if (b->passage && call3(NR_fcntl, INIT_CONTROL_FD, 0 /* F_DUPFD */, b->passage) != (long)b->passage)
        leave(LOADER_FAILED);
    call3(NR_close, INIT_CONTROL_FD, 0, 0);
    call3(NR_setsid, 0, 0, 0);
    if (b->terminal && call3(NR_ioctl, 0, 0x540e /* TIOCSCTTY */, 0) < 0)
        leave(LOADER_FAILED);
    long error = call3(NR_execve, block + b->path_offset, argv, envp);
    leave(error == -2 /* ENOENT */ ? 127 : 126);
}

static __attribute__((noreturn)) void run_init(void)
{
    char byte = 'R';
    uint64_t size = 0;
    /* The supervisor answers with the block's size once it has attached to us. */
    call3(NR_write, INIT_CONTROL_FD, &byte, 1);
    if (call3(NR_read, INIT_CONTROL_FD, &size, 8) != 8)
        leave(LOADER_FAILED);
    char *block = (char *)call6(NR_mmap, 0, (long)size, PROT_READ | PROT_WRITE, MAP_PRIVATE, INIT_BLOCK_FD, 0);
    if (failed((long)block))
        leave(LOADER_FAILED);
    call3(NR_close, INIT_BLOCK_FD, 0, 0);
    struct init_block *b = (struct init_block *)block;
    struct { uint16_t count; uint16_t pad[3]; void *filter; } program = {(uint16_t)b->filter_count, {0}, block + b->filter_offset};
    long listener = call3(NR_seccomp, 1 /* SET_MODE_FILTER */, b->filter_flags, &program);
    if (listener < 0)
        leave(LOADER_FAILED);
    if (b->filter_flags & 8 /* NEW_LISTENER */) {
        if (send_descriptor(INIT_CONTROL_FD, listener) != 1)
            leave(LOADER_FAILED);
        call3(NR_close, listener, 0, 0);
    }
    long child = call6(NR_clone, 17 /* SIGCHLD */, 0, 0, 0, 0, 0);
    if (child < 0)
        leave(LOADER_FAILED);
    if (child == 0)
        start_guest(b, block);
    for (int fd = 0; fd < 3; fd++) /* or a pipe's reader would wait for init too */
        call3(NR_close, fd, 0, 0);
    for (;;)
        if (call6(NR_wait4, -1, 0, 0, 0, 0, 0) < 0)
            leave(0);
}

__attribute__((used, noreturn)) void loader_main(uint64_t *stack)
{
    if (exec_plan.magic == PLAN_MAGIC)
        start_program(stack);
    run_init();
}

/* 1 KiB between the initial stack and our frames: insert_prefix moves the arrays down into it. */
__asm__(".globl _start\n_start:\n\txor %ebp,%ebp\n\tmov %rsp,%rdi\n\tandq $-16,%rsp\n\tsub $1024,%rsp\n\tcall loader_main\n\thlt\n");
