// Rounds of everything that races: forks and execs, signals counted one by one, threads that end and exec, waits that are interrupted.
// Every round checks what it has counted and that it leaves no child and no descriptor; the first thing that is wrong ends the program.
// usage: storm WARM-UP ROUNDS. After each of the two it prints a line and waits for one, so that the sandbox can be looked at from outside.
#define GUEST_OWN_MAIN
#include "guest.h"
#include <dirent.h>
#include <pthread.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>

#define CHECK(condition)                                                                       \
    do {                                                                                       \
        if (!(condition)) {                                                                    \
            say("round %d, line %d: %s (%s)", round_number, __LINE__, #condition, error_name(errno)); \
            exit(1);                                                                           \
        }                                                                                      \
    } while (0)

static int round_number;
static char self[PATH_MAX];

static int open_descriptors(void)
{
    int count = 0;
    DIR *directory = opendir("/proc/self/fd");
    if (!directory)
        return -1;
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}
static void ended(pid_t child, int expected)
{
    int status;
    while (waitpid(child, &status, 0) < 0)
        CHECK(errno == EINTR);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != expected) {
        say("round %d: a child ended with %x instead of %d", round_number, status, expected);
        exit(1);
    }
}
/* Some calls that the library OS answers. */
static void call_around(int number)
{
    char name[64];
    struct stat status;
    snprintf(name, sizeof name, "d%d-%d", getpid(), number);
    CHECK(mkdir(name, 0700) == 0);
    CHECK(stat(name, &status) == 0 && S_ISDIR(status.st_mode));
    int fd = open(name, O_RDONLY | O_DIRECTORY);
    CHECK(fd >= 0);
    CHECK(close(fd) == 0);
    CHECK(rmdir(name) == 0);
    CHECK(stat(name, &status) == -1 && errno == ENOENT);
}

/* -- forks and execs ------------------------------------------------------------------------------------------------ */
static void fork_and_exec(void)
{
    enum { CHILDREN = 6 };
    pid_t children[CHILDREN];
    for (int index = 0; index < CHILDREN; index++) {
        children[index] = index % 3 == 2 ? vfork() : fork();
        CHECK(children[index] >= 0);
        if (children[index] == 0) {
            char code[8];
            if (index % 3 == 1) { /* a grandchild executes, the child reports it */
                pid_t grandchild = fork();
                if (grandchild == 0) {
                    execl(self, self, "--exit", "9", NULL);
                    _exit(99);
                }
                int status;
                _exit(waitpid(grandchild, &status, 0) == grandchild && WIFEXITED(status) && WEXITSTATUS(status) == 9 ? 40 + index : 98);
            }
            code[0] = '4', code[1] = '0' + index, code[2] = 0;
            execl(self, self, "--exit", code, NULL);
            _exit(99);
        }
    }
    for (int index = 0; index < CHILDREN; index++)
        ended(children[index], 40 + index);
}

/* -- signals between processes ------------------------------------------------------------------------------------------ */
enum { SENDERS = 2, SENT = 40 };
static volatile sig_atomic_t received[SENDERS], out_of_order, acknowledged;
static void on_queued(int number, siginfo_t *information, void *context)
{
    int sender = number - SIGRTMIN, sequence = information->si_value.sival_int;
    out_of_order += sequence != received[sender];
    received[sender]++;
}
static void on_acknowledged(int number)
{
    acknowledged++;
}
static void sender(int index, pid_t target)
{
    for (int sequence = 0; sequence < SENT; sequence++) {
        while (sigqueue(target, SIGRTMIN + index, (union sigval){.sival_int = sequence}) < 0)
            CHECK(errno == EAGAIN);
        if (sequence % 8 == 0)
            call_around(sequence);
    }
    _exit(50 + index);
}
static void signals_between_processes(void)
{
    struct sigaction action = {.sa_sigaction = on_queued, .sa_flags = SA_SIGINFO | (round_number % 2 ? SA_RESTART : 0)};
    pid_t children[SENDERS], me = getpid();
    memset((void *)received, 0, sizeof received), out_of_order = 0;
    for (int index = 0; index < SENDERS; index++)
        CHECK(sigaction(SIGRTMIN + index, &action, NULL) == 0);
    for (int index = 0; index < SENDERS; index++) {
        CHECK((children[index] = fork()) >= 0);
        if (children[index] == 0)
            sender(index, me);
    }
    for (int number = 0; received[0] + received[1] < SENDERS * SENT && number < 3000; number++)
        call_around(number); /* every one of them may be interrupted, none may fail */
    for (int index = 0; index < SENDERS; index++)
        ended(children[index], 50 + index);
    CHECK(received[0] == SENT && received[1] == SENT);
    CHECK(out_of_order == 0);
}
/* A signal and its answer, over and over: a lost one is a hang. */
static void signal_ping_pong(void)
{
    enum { ROUNDS = 20 };
    sigset_t block, open_mask;
    struct sigaction action = {.sa_handler = on_acknowledged};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    sigemptyset(&block), sigaddset(&block, SIGUSR1);
    CHECK(sigprocmask(SIG_BLOCK, &block, &open_mask) == 0);
    sigdelset(&open_mask, SIGUSR1);
    acknowledged = 0;
    pid_t parent = getpid(), child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        for (int index = 1; index <= ROUNDS; index++) {
            while (acknowledged < index)
                sigsuspend(&open_mask);
            call_around(index);
            CHECK(kill(parent, SIGUSR1) == 0);
        }
        _exit(60);
    }
    for (int index = 1; index <= ROUNDS; index++) {
        CHECK(kill(child, SIGUSR1) == 0);
        call_around(index);
        while (acknowledged < index)
            sigsuspend(&open_mask);
    }
    CHECK(sigprocmask(SIG_SETMASK, &open_mask, NULL) == 0);
    ended(child, 60);
}

/* -- threads --------------------------------------------------------------------------------------------------------------- */
static int thread_hits;
static void on_thread_signal(int number)
{
    __atomic_add_fetch(&thread_hits, 1, __ATOMIC_SEQ_CST);
}
static void *short_thread(void *argument)
{
    call_around(1000 + (int)(long)argument);
    if ((long)argument % 3 == 0) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0)
            _exit(70);
        ended(child, 70);
    }
    return argument;
}
static void *signalled_thread(void *argument)
{
    while (!__atomic_load_n((int *)argument, __ATOMIC_SEQ_CST))
        call_around(2000);
    return NULL;
}
static void *busy_thread(void *argument)
{
    for (;;)
        call_around(3000 + (int)(long)argument);
    return NULL;
}
static void *exec_thread(void *argument)
{
    execl(self, self, "--exit", "81", NULL);
    _exit(99);
}
static void threads(void)
{
    enum { THREADS = 6, KILLS = 20 };
    pthread_t handles[THREADS];
    for (long index = 0; index < THREADS; index++)
        CHECK(pthread_create(&handles[index], NULL, short_thread, (void *)index) == 0);
    for (long index = 0; index < THREADS; index++) {
        void *result;
        CHECK(pthread_join(handles[index], &result) == 0 && result == (void *)index);
    }
    struct sigaction action = {.sa_handler = on_thread_signal, .sa_flags = SA_RESTART};
    CHECK(sigaction(SIGUSR2, &action, NULL) == 0);
    int stop = 0;
    thread_hits = 0;
    CHECK(pthread_create(&handles[0], NULL, signalled_thread, &stop) == 0);
    for (int sent = 0; sent < KILLS; sent++) {
        CHECK(pthread_kill(handles[0], SIGUSR2) == 0);
        while (__atomic_load_n(&thread_hits, __ATOMIC_SEQ_CST) <= sent)
            sched_yield();
    }
    __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
    CHECK(pthread_join(handles[0], NULL) == 0);
    CHECK(thread_hits == KILLS);
    /* A process ends, or executes another program, in the middle of what its threads are doing. */
    for (int way = 0; way < 3; way++) {
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            for (long index = 0; index < 3; index++)
                CHECK(pthread_create(&handles[index], NULL, busy_thread, (void *)index) == 0);
            if (way == 0)
                _exit(80);
            if (way == 1) {
                CHECK(pthread_create(&handles[3], NULL, exec_thread, NULL) == 0);
                for (;;)
                    call_around(4000);
            }
            execl(self, self, "--exit", "82", NULL);
            _exit(99);
        }
        ended(child, 80 + way);
    }
    /* What those left behind. */
    DIR *directory = opendir(".");
    CHECK(directory != NULL);
    for (struct dirent *entry; (entry = readdir(directory));)
        if (entry->d_name[0] == 'd')
            rmdir(entry->d_name);
    closedir(directory);
}

/* -- waits in the library OS, interrupted ------------------------------------------------------------------------------------ */
static volatile sig_atomic_t interruptions;
static void on_interruption(int number)
{
    interruptions++;
}
static void interrupted_waits(void)
{
    enum { MESSAGES = 30 };
    int queue = msgget(IPC_PRIVATE, 0600), set = semget(IPC_PRIVATE, 1, 0600);
    CHECK(queue >= 0 && set >= 0);
    struct sigaction action = {.sa_handler = on_interruption, .sa_flags = round_number % 2 ? SA_RESTART : 0};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        struct itimerval timer = {.it_value = {0, 300}, .it_interval = {0, 300}}, none = {0};
        CHECK(setitimer(ITIMER_REAL, &timer, NULL) == 0);
        for (int number = 0; number < MESSAGES; number++) {
            struct { long type; int number; } message;
            struct sembuf down = {0, -1, 0};
            while (msgrcv(queue, &message, sizeof message.number, 0, 0) < 0)
                CHECK(errno == EINTR);
            CHECK(message.number == number);
            while (semop(set, &down, 1) < 0)
                CHECK(errno == EINTR);
        }
        CHECK(setitimer(ITIMER_REAL, &none, NULL) == 0);
        CHECK(semctl(set, 0, GETVAL) == 0);
        _exit(90);
    }
    for (int number = 0; number < MESSAGES; number++) {
        struct { long type; int number; } message = {1, number};
        struct sembuf up = {0, 1, 0};
        if (number % 5 == 0)
            sleep_ms(1);
        CHECK(msgsnd(queue, &message, sizeof message.number, 0) == 0);
        if (number % 7 == 0)
            sleep_ms(1);
        CHECK(semop(set, &up, 1) == 0);
    }
    ended(child, 90);
    CHECK(msgctl(queue, IPC_RMID, NULL) == 0 && semctl(set, 0, IPC_RMID) == 0);
}

static void rounds(int count)
{
    for (; count > 0; count--, round_number++) {
        int before = open_descriptors();
        alarm(0);
        fork_and_exec();
        signals_between_processes();
        signal_ping_pong();
        threads();
        interrupted_waits();
        CHECK(waitpid(-1, NULL, 0) == -1 && errno == ECHILD);
        CHECK(open_descriptors() == before);
    }
}
int main(int argc, char **argv)
{
    if (argc == 3 && !strcmp(argv[1], "--exit"))
        return atoi(argv[2]);
    char line[8];
    CHECK(argc == 3 && realpath("/proc/self/exe", self));
    rounds(atoi(argv[1]));
    say("warm");
    CHECK(fgets(line, sizeof line, stdin));
    rounds(atoi(argv[2]));
    say("%d rounds", round_number);
    CHECK(fgets(line, sizeof line, stdin));
    return 0;
}
