/* The host side of interception, called from Python through cffi (API mode; the GIL is released around every call).
 *
 * No policy, no Linux semantics: which call goes where is a table that Python fills. One thread only may use it, because ptrace
 * ties a tracee to the thread that attached. Every function returns a non-negative value or -errno.
 */
#ifndef PYLIBOS_SHIM_H
#define PYLIBOS_SHIM_H

#include <stdint.h>
#include <stddef.h>

#define SHIM_NO_PATH (~0ULL) /* path_size of a call without path, or whose path could not be read */
#define SHIM_CALLS 1024 /* call numbers with a row of their own; larger ones are always reported */

/* What to do with a call that reaches the supervisor (shim_loop.action). */
enum { ACTION_REPORT = 0, ACTION_CONTINUE = 1 };

/* An int argument for which a call that reaches the supervisor is executed by the kernel as it stands, unless it is none of these. */
struct shim_rule {
    uint8_t argument, count;
    uint32_t values[14];
};

/* shim_names_call.kind: what of the published names answers a call. */
enum { NAMES_NONE = 0, NAMES_STAT = 1, NAMES_STATX = 2, NAMES_ACCESS = 3, NAMES_LINK = 4, NAMES_OPEN = 5 };
enum { NAMES_CURRENT = -100 }; /* the directory argument that means the current directory */

/* Which argument of a call is what, for names.c. Positions are 0..5. */
struct shim_names_call {
    uint8_t kind;
    uint8_t follow;                   /* a final link is followed */
    uint8_t output;                   /* address of the result; of access the mode */
    uint8_t size;                     /* NAMES_LINK: bytes of room */
    uint8_t has_directory, directory; /* where a relative path starts; what is meant by_descriptor */
    uint8_t by_descriptor;            /* there is no path */
    uint8_t has_flags, flags;
    uint8_t checked;                  /* an argument of which the bits must_be_zero are not set */
    uint32_t flags_allowed, no_follow, effective, must_be_zero;
    uint32_t empty_path;              /* the flag with which an empty path means the descriptor */
    uint32_t plain;                   /* NAMES_OPEN: flags of an open that only reads */
};

/* How a task is resumed (shim_set_mode): freely, up to its next call's entry or exit, or for one instruction. */
enum { MODE_FREE = 0, MODE_CALLS = 1, MODE_STEP = 2 };

/* shim_event.kind */
enum {
    EVENT_NOTIFIED = 1, /* a call waits in the seccomp listener: answer with shim_reply or shim_install_reply */
    EVENT_TRACED = 2,   /* a call at a RET_TRACE stop: answer with shim_answer or shim_resume */
    EVENT_STOP = 3,     /* a ptrace event or syscall stop: detail = PTRACE_EVENT_*, value = its message; at a syscall stop detail = 0,
                         * id = 1 entry or 2 exit, value = architecture, number and argument those of the call (entry only) */
    EVENT_SIGNAL = 4,   /* signal-delivery stop (only when report_signals is set): detail = signal */
    EVENT_EXIT = 5,     /* a tracee is gone: value = wait status */
    EVENT_STREAM = 6,   /* a registered host stream is ready: value = its tag, detail = poll events */
    EVENT_TIMER = 7,    /* the deadline has passed */
    EVENT_REQUEST = 8,  /* a signal for the supervisor itself: detail = signal */
};

struct shim_event {
    uint64_t kind, tid, detail, value, id, number, argument[6], instruction, stack;
    uint64_t path_address, path_size; /* path argument prefetched: size without NUL; ~0 when there is none */
    char path[4096];
};

struct shim_loop {
    int listener, streams;
    int report_signals;
    int passage; /* ptrace engine: the descriptor number guests may not touch, 0 none */
    uint64_t deadline; /* CLOCK_MONOTONIC ns, 0 none */
    uint8_t notified_only[SHIM_CALLS];  /* 1: interrupted before it was received, re-issue whatever SA_RESTART says */
    uint8_t action[SHIM_CALLS];         /* ACTION_*, for traced and notified calls */
    struct shim_rule rule[SHIM_CALLS];
    int loopback_connects;              /* 1: connect to 127.0.0.0/8 or ::1 is the kernel's, unseen */
    uint8_t path_argument[SHIM_CALLS];  /* 1 + index of a path to prefetch, 0 none */
    struct shim_names_call names[SHIM_CALLS]; /* notified calls that names.c may answer */
    uint64_t answered;                  /* how many it has answered */
};

struct shim_spawn {
    uint64_t clone_flags;
    int standard[3], control, block, loader;
    int map_identity;      /* 1: in a new user name space, map uid and gid to themselves */
    int uid, gid;          /* ids to switch to before exec; -1 keep */
    int loopback_up;       /* 1: bring lo up in the new network name space */
    int empty_root;        /* 1: pivot into an empty read-only tmpfs in the new mount name space */
};

/* loop.c */
int shim_loop_open(struct shim_loop *loop);
int shim_next(struct shim_loop *loop, struct shim_event *event);
void shim_note_children(void);
int shim_watch(struct shim_loop *loop, int descriptor, unsigned events, uint64_t tag);
int shim_watching(void);
int shim_receive_listener(int control);
int shim_reply(struct shim_loop *loop, uint64_t id, int64_t value, int continue_call);
int shim_install(struct shim_loop *loop, uint64_t id, int descriptor, int close_on_exec, int send);

int shim_is_waiting(struct shim_loop *loop, uint64_t id);

/* names.c */
void shim_names_open(const uint64_t *changes);
void shim_names_clear(void);
void shim_names_task(int tid, uint32_t not_following, uint32_t following, uint32_t directory, uint32_t identity);
void shim_names_task_new(int tid);
void shim_names_publish(uint32_t table, uint32_t directory, const char *path, uint64_t size, uint64_t record);
void shim_names_forget(uint32_t table, uint32_t directory, const char *path, uint64_t size);
void shim_names_stat(uint64_t number, const char *stat144);
void shim_names_statx(uint64_t number, const char *statx256);
void shim_names_verdict(uint64_t number, uint32_t identity, unsigned index, int verdict);
void shim_names_link(uint64_t number, const char *text, int64_t size);
void shim_names_source(uint64_t number, int descriptor);
void shim_names_content(uint64_t device, uint64_t inode, uint64_t number);
void shim_names_withdraw(uint64_t number);
int shim_names_answer(struct shim_loop *loop, uint64_t id, int tid, uint64_t number, const uint64_t *argument, const char *path, uint64_t size,
                      int64_t *value);

/* trace.c */
int shim_seize(int pid);
int shim_resume(int tid, int signal);
int shim_resume_to_exit(int tid);
void shim_set_mode(int tid, int mode);
int64_t shim_ptrace(uint64_t request, int tid, uint64_t address, uint64_t data);
int shim_listen(int tid);
int shim_interrupt(int tid);
int shim_answer(int tid, int64_t value);
int shim_renumber(int tid, uint64_t number);
int shim_registers(int tid, uint64_t *registers27);
int shim_set_registers(int tid, const uint64_t *registers27);
int shim_signal_mask(int tid, uint64_t *mask);
int shim_set_signal_mask(int tid, uint64_t mask);
int shim_stay(int here);
int shim_keep(int tid);
int shim_let_go(int tid, int now);
int shim_wait_stop(int tid);
int64_t shim_event_message(int tid);
int shim_take_seen(int *tid, int *status);
int shim_signal_pass(struct shim_loop *loop, int tid, int signal);

/* guest.c */
int64_t shim_read(int tid, uint64_t address, void *buffer, uint64_t size);
int64_t shim_read_string(int tid, uint64_t address, char *buffer, uint64_t limit);
int64_t shim_write(int tid, uint64_t address, const void *buffer, uint64_t size);
int shim_descriptor_record(int tid, int descriptor, uint64_t *record13);
void shim_descriptor_keep(int tid, int descriptor, const uint64_t *record13);
int shim_guest_pid(int tid, int name_space);
int shim_openat2(int directory, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve);
int shim_tgkill(int pid, int tid, int signal);

/* spawn.c */
int shim_spawn(const struct shim_spawn *what);
int shim_follow_parent(int signal);

#endif
