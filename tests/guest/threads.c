// Threads: creation, joining, mutexes, condition variables, robust mutexes, thread-local storage, barriers, cancellation.
// flags: -pthread
#include "guest.h"
#include <pthread.h>
#include <semaphore.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
static long counter;
static __thread int local = 5;

static void *add(void *argument)
{
    for (int index = 0; index < 20000; index++) {
        pthread_mutex_lock(&mutex);
        counter++;
        pthread_mutex_unlock(&mutex);
    }
    return argument;
}
CASE(mutual_exclusion)
{
    pthread_t threads[8];
    long sum = 0;
    for (long index = 0; index < 8; index++)
        pthread_create(&threads[index], NULL, add, (void *)index);
    for (int index = 0; index < 8; index++) {
        void *result;
        pthread_join(threads[index], &result);
        sum += (long)result;
    }
    say("%ld %ld", counter, sum);
}
static int queue[16], queued, consumed, finished;
static void *consumer(void *argument)
{
    for (;;) {
        pthread_mutex_lock(&mutex);
        while (!queued && !finished)
            pthread_cond_wait(&condition, &mutex);
        if (!queued) {
            pthread_mutex_unlock(&mutex);
            return NULL;
        }
        consumed += queue[--queued];
        pthread_cond_broadcast(&condition);
        pthread_mutex_unlock(&mutex);
    }
}
CASE(condition_variables)
{
    pthread_t threads[4];
    for (int index = 0; index < 4; index++)
        pthread_create(&threads[index], NULL, consumer, NULL);
    for (int item = 1; item <= 2000; item++) {
        pthread_mutex_lock(&mutex);
        while (queued == 16)
            pthread_cond_wait(&condition, &mutex);
        queue[queued++] = item;
        pthread_cond_broadcast(&condition);
        pthread_mutex_unlock(&mutex);
    }
    pthread_mutex_lock(&mutex);
    finished = 1;
    pthread_cond_broadcast(&condition);
    pthread_mutex_unlock(&mutex);
    for (int index = 0; index < 4; index++)
        pthread_join(threads[index], NULL);
    say("%d", consumed);
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 20000000;
    if (until.tv_nsec >= 1000000000)
        until.tv_sec++, until.tv_nsec -= 1000000000;
    pthread_mutex_lock(&mutex);
    say("timed wait %s", error_name(pthread_cond_timedwait(&condition, &mutex, &until)));
}
static void *check_local(void *argument)
{
    int before = local;
    local = (long)argument;
    sched_yield();
    return (void *)(long)(before * 1000 + local);
}
CASE(thread_local_storage)
{
    pthread_t threads[4];
    for (long index = 0; index < 4; index++)
        pthread_create(&threads[index], NULL, check_local, (void *)(index + 10));
    for (int index = 0; index < 4; index++) {
        void *result;
        pthread_join(threads[index], &result);
        say("%ld", (long)result);
    }
    say("%d", local);
}
static pthread_mutex_t *shared;
static void *lock_and_die(void *argument)
{
    pthread_mutex_lock(shared);
    return NULL;
}
CASE(robust_mutexes)
{
    pthread_mutexattr_t attributes;
    pthread_t thread;
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(shared, &attributes);
    pthread_create(&thread, NULL, lock_and_die, NULL);
    pthread_join(thread, NULL);
    say("thread died: %s", error_name(pthread_mutex_lock(shared)));
    say("%s", error_name(pthread_mutex_consistent(shared)));
    pthread_mutex_unlock(shared);
    pid_t child = fork();
    if (child == 0) {
        pthread_mutex_lock(shared);
        kill(getpid(), SIGKILL);
    }
    wait_for("child", child);
    say("process died: %s", error_name(pthread_mutex_lock(shared)));
    pthread_mutex_unlock(shared); /* without making it consistent */
    say("%s", error_name(pthread_mutex_lock(shared)));
}
CASE(between_processes)
{
    struct page {
        pthread_mutex_t mutex;
        sem_t semaphore;
        long counter;
    } *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&page->mutex, &attributes);
    sem_init(&page->semaphore, 1, 0);
    for (int index = 0; index < 3; index++)
        if (fork() == 0) {
            for (int round = 0; round < 5000; round++) {
                pthread_mutex_lock(&page->mutex);
                page->counter++;
                pthread_mutex_unlock(&page->mutex);
            }
            sem_post(&page->semaphore);
            _exit(0);
        }
    for (int index = 0; index < 3; index++)
        sem_wait(&page->semaphore);
    say("%ld", page->counter);
    while (wait(NULL) > 0)
        ;
}
static void *identify(void *argument)
{
    say("thread: same process %d own number %d", getpid() == *(pid_t *)argument, syscall(SYS_gettid) != getpid());
    return NULL;
}
CASE(identity)
{
    pthread_t thread;
    pid_t me = getpid();
    pthread_create(&thread, NULL, identify, &me);
    pthread_join(thread, NULL);
}
static volatile sig_atomic_t handled_by;
static void on_signal(int number)
{
    handled_by = syscall(SYS_gettid);
}
static volatile int stop;
static void *wait_for_signal(void *argument)
{
    *(pid_t *)argument = syscall(SYS_gettid);
    while (!stop)
        sleep_ms(2);
    return NULL;
}
CASE(signals_to_threads)
{
    pthread_t thread;
    volatile pid_t tid = 0;
    sigset_t set;
    signal(SIGUSR1, on_signal);
    pthread_create(&thread, NULL, wait_for_signal, (void *)&tid);
    while (!tid)
        sleep_ms(1);
    SHOW(pthread_kill(thread, SIGUSR1));
    while (!handled_by)
        sleep_ms(1);
    say("that thread %d", handled_by == tid);
    handled_by = 0;
    sigemptyset(&set), sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    SHOW(kill(getpid(), SIGUSR1)); /* only the other thread can take it */
    while (!handled_by)
        sleep_ms(1);
    say("that thread %d", handled_by == tid);
    stop = 1;
    pthread_join(thread, NULL);
}
static void *cancelled(void *argument)
{
    for (;;)
        sleep(10);
    return NULL;
}
CASE(cancellation)
{
    pthread_t thread;
    void *result;
    pthread_create(&thread, NULL, cancelled, NULL);
    sleep_ms(20);
    SHOW(pthread_cancel(thread));
    pthread_join(thread, &result);
    TRUE(result == PTHREAD_CANCELED);
}
static void *nothing(void *argument)
{
    return argument;
}
CASE(many_short_threads)
{
    long good = 0;
    for (long index = 0; index < 300; index++) {
        pthread_t thread;
        void *result;
        good += pthread_create(&thread, NULL, nothing, (void *)index) == 0 && pthread_join(thread, &result) == 0 && (long)result == index;
    }
    say("%ld", good);
}
static void *leave(void *argument)
{
    sleep_ms(10);
    exit(33);
}
CASE(exit_from_a_thread)
{
    pid_t child = fork();
    if (child == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, leave, NULL);
        pause();
    }
    wait_for("process", child);
    child = fork();
    if (child == 0) {
        pthread_t thread;
        pthread_create(&thread, NULL, leave, NULL);
        pthread_exit(NULL); /* the leader goes first */
    }
    wait_for("leader gone", child);
}
static void *fork_here(void *argument)
{
    pid_t child = fork();
    if (child == 0)
        _exit(syscall(SYS_gettid) == getpid() ? 8 : 9);
    wait_for("forked by a thread", child);
    return NULL;
}
CASE(fork_from_a_thread)
{
    pthread_t thread;
    pthread_create(&thread, NULL, fork_here, NULL);
    pthread_join(thread, NULL);
}
static void *shared_calls(void *argument)
{
    char name[32];
    for (int index = 0; index < 100; index++) {
        snprintf(name, sizeof name, "t%ld-%d", (long)argument, index);
        int fd = open(name, O_CREAT | O_WRONLY, 0600);
        if (fd < 0 || write(fd, name, strlen(name)) < 0 || close(fd) < 0 || unlink(name) < 0)
            return (void *)1;
    }
    return NULL;
}
CASE(calls_in_parallel)
{
    pthread_t threads[6];
    long bad = 0;
    for (long index = 0; index < 6; index++)
        pthread_create(&threads[index], NULL, shared_calls, (void *)index);
    for (int index = 0; index < 6; index++) {
        void *result;
        pthread_join(threads[index], &result);
        bad += (long)result;
    }
    say("bad %ld", bad);
}
