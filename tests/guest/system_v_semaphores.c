// System V semaphores: all or nothing, waiting, undo, counts, removal.
// grant: cow
// user: nobody
#include "guest.h"
#include <sys/ipc.h>
#include <sys/sem.h>

static key_t own_key(int number)
{
    return (key_t)(((unsigned)getpid() << 8 | number) ^ 0x50000000);
}
static int op(int id, int number, int change, int flags)
{
    struct sembuf operation = {number, change, flags};
    return semop(id, &operation, 1);
}
static void show_values(int id, int count)
{
    char line[256] = "";
    for (int number = 0; number < count; number++)
        sprintf(line + strlen(line), " %d", semctl(id, number, GETVAL));
    say("values%s", line);
}
/* Wait until so many sleep on semaphore 0, for growth or for zero. */
static void until_waiting(int id, int number, int command, int count)
{
    while (semctl(id, number, command) != count)
        sleep_ms(1);
}

CASE(keys_and_limits)
{
    key_t key = own_key(1);
    SHOW(semget(key, 1, 0600));
    int id = MUST(semget(key, 3, IPC_CREAT | 0640));
    SHOW(semget(key, 3, IPC_CREAT | IPC_EXCL));
    TRUE(semget(key, 0, 0) == id && semget(key, 3, 0400) == id);
    SHOW(semget(key, 4, 0)), SHOW(semget(own_key(2), 0, IPC_CREAT)), SHOW(semget(own_key(2), -1, IPC_CREAT));
    SHOW(semget(own_key(2), 32001, IPC_CREAT));
    struct semid_ds status;
    SHOW(semctl(id, 0, IPC_STAT, &status));
    say("%lu semaphores, mode %o", (unsigned long)status.sem_nsems, status.sem_perm.mode);
    TRUE(status.sem_otime == 0 && status.sem_ctime > 1600000000 && status.sem_perm.__key == key);
    show_values(id, 3);
    SHOW(semctl(id, 3, GETVAL)), SHOW(semctl(id, -1, GETVAL)), SHOW(semctl(id, 0, 77)), SHOW(semctl(-1, 0, GETVAL));
    SHOW(semctl(id, 0, SETVAL, 32768)), SHOW(semctl(id, 0, SETVAL, -1)), SHOW(semctl(id, 9, SETVAL, 1));
    status.sem_perm.mode = 0400;
    SHOW(semctl(id, 0, IPC_SET, &status));
    SHOW(semctl(id, 0, IPC_STAT, &status));
    say("mode %o", status.sem_perm.mode);
    struct seminfo info;
    int highest = semctl(0, 0, SEM_INFO, &info), found = 0;
    TRUE(highest >= 0 && info.semusz >= 1 && info.semaem >= 3);
    SHOW(semctl(0, 0, IPC_INFO, &info) == highest);
    say("%d %d %d %d", info.semmni, info.semmsl, info.semopm, info.semvmx);
    for (int index = 0; index <= highest; index++)
        found += semctl(index, 0, SEM_STAT, &status) == id;
    say("found %d", found);
    SHOW(semctl(id, 0, IPC_RMID)), SHOW(semctl(id, 0, IPC_RMID)), SHOW(op(id, 0, 1, 0)), SHOW(semget(key, 1, 0));
}
CASE(operations)
{
    int id = MUST(semget(IPC_PRIVATE, 4, 0600));
    unsigned short all[4] = {5, 0, 32767, 1};
    SHOW(semctl(id, 0, SETALL, all));
    show_values(id, 4);
    memset(all, 0, sizeof all);
    SHOW(semctl(id, 0, GETALL, all));
    say("%d %d %d %d", all[0], all[1], all[2], all[3]);
    struct sembuf three[3] = {{0, -2, 0}, {1, 3, 0}, {3, -2, IPC_NOWAIT}};
    SHOW(semop(id, three, 3));
    show_values(id, 4);
    three[2].sem_op = -1;
    SHOW(semop(id, three, 3));
    show_values(id, 4);
    struct sembuf twice[4] = {{0, 1, 0}, {0, -4, IPC_NOWAIT}, {0, 0, IPC_NOWAIT}, {0, 2, 0}};
    SHOW(semop(id, twice, 4));
    show_values(id, 4);
    SHOW(op(id, 2, 1, 0)), SHOW(op(id, 4, 1, 0)), SHOW(op(id, 1, 0, IPC_NOWAIT)), SHOW(op(id, 3, 0, 0));
    SHOW(semop(id, three, 0)), SHOW(semop(id, (void *)8, 1)), SHOW(semop(-1, three, 1)), SHOW(semop(id, three, 501));
    struct timespec bad = {0, 1000000000}, none = {0, 0}, some = {0, 30000000};
    struct sembuf down = {3, -1, 0};
    SHOW(semtimedop(id, &down, 1, &bad)), SHOW(semtimedop(id, &down, 1, &none));
    long before = now_ms();
    SHOW(semtimedop(id, &down, 1, &some));
    TRUE(now_ms() - before >= 29);
    SHOW(semctl(id, 3, GETNCNT));
    TRUE(semctl(id, 0, GETPID) == getpid());
    struct semid_ds status;
    MUST(semctl(id, 0, IPC_STAT, &status));
    TRUE(status.sem_otime > 1600000000);
    SHOW(semctl(id, 0, IPC_RMID));
}
CASE(waiting)
{
    int id = MUST(semget(IPC_PRIVATE, 3, 0600));
    pid_t first = fork();
    if (first == 0)
        _exit(op(id, 0, -2, 0) ? errno : 0);
    until_waiting(id, 0, GETNCNT, 1);
    pid_t second = fork();
    if (second == 0)
        _exit(op(id, 0, -1, 0) ? errno : 0);
    until_waiting(id, 0, GETNCNT, 2);
    SHOW(op(id, 0, 1, 0));
    wait_for("the one that wanted one", second);
    SHOW(semctl(id, 0, GETNCNT));
    SHOW(op(id, 0, 1, 0));
    SHOW(semctl(id, 0, GETNCNT));
    SHOW(op(id, 0, 1, 0));
    wait_for("the one that wanted two", first);
    TRUE(semctl(id, 0, GETPID) == first);
    show_values(id, 3);
    MUST(semctl(id, 1, SETVAL, 2));
    pid_t zero = fork();
    if (zero == 0) {
        struct sembuf both[2] = {{1, 0, 0}, {2, 7, 0}};
        _exit(semop(id, both, 2) ? errno : 0);
    }
    until_waiting(id, 1, GETZCNT, 1);
    SHOW(semctl(id, 1, GETNCNT));
    SHOW(op(id, 1, -1, 0)), SHOW(op(id, 1, -1, 0));
    wait_for("the one that waited for zero", zero);
    show_values(id, 3);
    pid_t set = fork();
    if (set == 0)
        _exit(op(id, 0, -9, 0) ? errno : 0);
    until_waiting(id, 0, GETNCNT, 1);
    SHOW(semctl(id, 0, SETVAL, 10));
    wait_for("woken by SETVAL", set);
    show_values(id, 3);
    SHOW(semctl(id, 0, IPC_RMID));
}
CASE(removal_wakes)
{
    int id = MUST(semget(IPC_PRIVATE, 1, 0600));
    pid_t children[3];
    for (int index = 0; index < 3; index++)
        if ((children[index] = fork()) == 0)
            _exit(op(id, 0, -1, 0) && errno == EIDRM ? 43 : 0);
    until_waiting(id, 0, GETNCNT, 3);
    SHOW(semctl(id, 0, IPC_RMID));
    for (int index = 0; index < 3; index++)
        wait_for("waiter", children[index]);
}
static void nothing(int number)
{
}
CASE(signals_interrupt)
{
    int id = MUST(semget(IPC_PRIVATE, 1, 0600));
    struct sigaction action = {.sa_handler = nothing, .sa_flags = SA_RESTART};
    MUST(sigaction(SIGALRM, &action, NULL));
    struct itimerval timer = {.it_value = {0, 30000}};
    MUST(setitimer(ITIMER_REAL, &timer, NULL));
    SHOW(op(id, 0, -1, 0));
    SHOW(semctl(id, 0, GETNCNT));
    pid_t child = fork();
    if (child == 0)
        _exit(op(id, 0, -1, 0) ? errno : 0);
    until_waiting(id, 0, GETNCNT, 1);
    MUST(kill(child, SIGSTOP));
    int status;
    MUST(waitpid(child, &status, WUNTRACED));
    MUST(kill(child, SIGCONT));
    sleep_ms(5);
    SHOW(semctl(id, 0, GETNCNT));
    SHOW(semctl(id, 0, SETVAL, 0));
    wait_for("stopped and continued", child);
    child = fork();
    if (child == 0)
        _exit(op(id, 0, -1, 0) ? errno : 0);
    until_waiting(id, 0, GETNCNT, 1);
    MUST(kill(child, SIGKILL));
    wait_for("killed", child);
    SHOW(semctl(id, 0, GETNCNT));
    SHOW(semctl(id, 0, IPC_RMID));
}
CASE(undo)
{
    int id = MUST(semget(IPC_PRIVATE, 3, 0600));
    unsigned short all[3] = {5, 5, 5};
    MUST(semctl(id, 0, SETALL, all));
    pid_t child = fork();
    if (child == 0) {
        MUST(op(id, 0, -3, SEM_UNDO)), MUST(op(id, 1, 4, SEM_UNDO)), MUST(op(id, 2, -5, 0));
        show_values(id, 3);
        _exit(0);
    }
    wait_for("child", child);
    show_values(id, 3);
    TRUE(semctl(id, 0, GETPID) == child);
    child = fork();
    if (child == 0) {
        MUST(op(id, 0, -2, SEM_UNDO)), MUST(op(id, 1, -2, SEM_UNDO));
        MUST(semctl(id, 0, SETVAL, 1));
        MUST(kill(getpid(), SIGKILL));
    }
    wait_for("killed", child);
    show_values(id, 3);
    child = fork();
    if (child == 0) {
        MUST(op(id, 1, 3, SEM_UNDO));
        if (fork() == 0) {
            MUST(op(id, 1, -8, 0));
            _exit(0);
        }
        wait(NULL);
        _exit(0);
    }
    wait_for("goes below zero", child);
    show_values(id, 3);
    MUST(op(id, 2, 3, 0));
    child = fork();
    if (child == 0) {
        MUST(op(id, 2, -3, SEM_UNDO));
        execl("/bin/true", "true", NULL);
        _exit(1);
    }
    wait_for("executes", child);
    show_values(id, 3);
    MUST(op(id, 0, -1, 0));
    pid_t holder = fork();
    if (holder == 0) {
        MUST(op(id, 2, -3, SEM_UNDO));
        for (;;)
            pause();
    }
    while (semctl(id, 2, GETVAL) != 0)
        sleep_ms(1);
    child = fork();
    if (child == 0)
        _exit(op(id, 2, -1, SEM_UNDO) ? errno : 0);
    until_waiting(id, 2, GETNCNT, 1);
    MUST(kill(holder, SIGKILL));
    wait_for("holder", holder);
    wait_for("got it when the holder died", child);
    show_values(id, 3);
    MUST(semctl(id, 0, SETVAL, 32767));
    for (int round = 0; round < 2; round++)
        SHOW(op(id, 0, -32767 + round, SEM_UNDO)), SHOW(op(id, 0, 32767, 0));
    SHOW(semctl(id, 0, IPC_RMID));
}
CASE(exclusion)
{
    int id = MUST(semget(IPC_PRIVATE, 2, 0600));
    MUST(semctl(id, 0, SETVAL, 1));
    long *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (int process = 0; process < 4; process++)
        if (fork() == 0) {
            for (int round = 0; round < 200; round++) {
                MUST(op(id, 0, -1, SEM_UNDO));
                long value = *(volatile long *)shared;
                if (round % 20 == 0)
                    sched_yield();
                *(volatile long *)shared = value + 1;
                MUST(op(id, 0, 1, SEM_UNDO));
            }
            MUST(op(id, 1, 1, 0));
            _exit(0);
        }
    SHOW(op(id, 1, -4, 0));
    say("%ld", *shared);
    while (wait(NULL) > 0)
        ;
    show_values(id, 2);
    SHOW(semctl(id, 0, IPC_RMID));
}
