/* What the two halves of the micro-benchmarks share: the form of an operation, the state of the running one, and how to fail. */
#ifndef PYLIBOS_BENCH_MICRO_H
#define PYLIBOS_BENCH_MICRO_H

/* One operation. setup returns 0 or -1 with a message left by fail(); run does n operations and returns likewise. */
struct operation {
    const char *name;
    int (*setup)(void);
    int (*run)(long n);
    void (*teardown)(void);
};

extern const char *self_path;
extern int fd_a, fd_b; /* descriptors of the running operation, -1 when it has none */

int fail(const char *what);
int fail_short(const char *what);
void close_both(void);

/* micro_parties.c */
int setup_pipe(void);
int run_ping_pong(long n);
void teardown_partner(void);
int setup_tcp(void);
int run_thread_create(long n);
int setup_futex(void);
int run_futex(long n);
void teardown_futex(void);
int run_fork(long n);
int run_fork_exec(long n);

#endif
