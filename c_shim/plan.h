/* What the supervisor and the static loader (loader.c) say to each other. Pure layout: no code, no policy.
 *
 * struct exec_plan is written into the loader's own memory (symbol exec_plan, fixed address) at PTRACE_EVENT_EXEC, before the
 * loader's first instruction. struct init_block is the content of descriptor INIT_BLOCK_FD when the loader starts as the sandbox's
 * init. Every field is 64 bits wide so that Python's struct module packs it without padding rules.
 */
#ifndef PYLIBOS_PLAN_H
#define PYLIBOS_PLAN_H

#include <stdint.h>

#define PLAN_MAGIC 0x3130736f62696c50ULL /* "Plibos01" */
#define PLAN_SEGMENTS 32
#define PLAN_STRINGS 12288 /* prefix arguments: a #! line is at most 256 bytes, paths at most 4096, nesting 4 */

struct plan_segment {
    uint64_t address;     /* virtual address of the ELF file, bytes */
    uint64_t memory_size; /* bytes */
    uint64_t offset;      /* in the file, bytes */
    uint64_t file_size;   /* bytes */
    uint64_t protection;  /* PROT_* */
};

struct plan_image {
    uint64_t descriptor; /* number in the guest, closed by the loader */
    uint64_t alignment; /* the load bias is a multiple of it; 0: fixed addresses (ET_EXEC) */
    uint64_t entry;
    uint64_t program_headers; /* virtual address */
    uint64_t program_header_count;
    uint64_t segment_count; /* 0: no such image */
    struct plan_segment segment[PLAN_SEGMENTS];
};

struct exec_plan {
    uint64_t magic;
    uint64_t executable_stack;
    uint64_t auxiliary; /* written by the loader: where the program's auxiliary vector stands */
    uint64_t announce; /* make one call of pause(2), with the entry point as argument, instead of jumping there */
    uint64_t uid, euid, gid, egid;
    uint64_t prefix_count;  /* strings that replace argv[0]; 0: argv is as the guest gave it */
    uint64_t string_size;   /* bytes used of strings: path NUL prefix[0] NUL ... */
    struct plan_image program;
    struct plan_image interpreter;
    char strings[PLAN_STRINGS];
};

#define INIT_CONTROL_FD 3
#define INIT_BLOCK_FD 4
#define INIT_LOADER_FD 5

struct init_block {
    uint64_t magic;
    uint64_t total_size;     /* of the whole block, bytes */
    uint64_t filter_offset;  /* of struct sock_filter[] */
    uint64_t filter_count;   /* instructions */
    uint64_t filter_flags;   /* SECCOMP_FILTER_FLAG_* */
    uint64_t path_offset;    /* of the program's path, NUL-terminated */
    uint64_t argv_offset;    /* of uint64_t[argc + 1]: string offsets, then 0 */
    uint64_t argv_count;
    uint64_t envp_offset;
    uint64_t envp_count;
    uint64_t passage; /* number under which guests keep the control socket (ptrace engine); 0 none */
    uint64_t terminal; /* descriptor 0 becomes the first session's controlling terminal */
};

#endif
