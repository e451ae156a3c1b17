// POSIX shared memory, semaphores and message queues by name; System V identifiers.
// flags: -pthread -lrt
#include "guest.h"
#include <mqueue.h>
#include <semaphore.h>
#include <sys/ipc.h>
#include <sys/sem.h>
#include <sys/shm.h>

CASE(named_memory)
{
    char name[64];
    snprintf(name, sizeof name, "/pylibos-test-%d", getpid());
    int fd = shm_open(name, O_CREAT | O_EXCL | O_RDWR, 0600);
    TRUE(fd >= 0);
    SHOW(ftruncate(fd, 4096));
    char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    pid_t child = fork();
    if (child == 0) {
        int other = MUST(shm_open(name, O_RDWR, 0));
        char *own = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, other, 0);
        strcpy(own, "shared by name");
        _exit(0);
    }
    wait_for("child", child);
    say("%s", map);
    SHOW(shm_open(name, O_CREAT | O_EXCL | O_RDWR, 0600));
    SHOW(shm_unlink(name)), SHOW(shm_unlink(name)), SHOW(shm_open(name, O_RDWR, 0));
}
CASE(named_semaphores)
{
    char name[64];
    snprintf(name, sizeof name, "/pylibos-test-%d", getpid());
    sem_t *semaphore = sem_open(name, O_CREAT | O_EXCL, 0600, 0);
    TRUE(semaphore != SEM_FAILED);
    pid_t child = fork();
    if (child == 0) {
        sem_t *own = sem_open(name, 0);
        sem_post(own);
        _exit(0);
    }
    SHOW(sem_wait(semaphore));
    wait_for("child", child);
    SHOW(sem_trywait(semaphore)), SHOW(sem_close(semaphore)), SHOW(sem_unlink(name)), SHOW(sem_unlink(name));
}
CASE(system_v_memory)
{
    int id = shmget(IPC_PRIVATE, 8192, IPC_CREAT | 0600);
    if (id < 0) {
        say("shmget: %s", error_name(errno));
        return;
    }
    char *map = shmat(id, NULL, 0);
    pid_t child = fork();
    if (child == 0) {
        strcpy(map, "system v");
        _exit(0);
    }
    wait_for("child", child);
    say("%s", map);
    struct shmid_ds status;
    SHOW(shmctl(id, IPC_STAT, &status));
    say("size %zu attached %lu", status.shm_segsz, (unsigned long)status.shm_nattch);
    SHOW(shmdt(map)), SHOW(shmctl(id, IPC_RMID, NULL)), SHOW(shmat(id, NULL, 0) == (void *)-1), SHOW(shmget(0x7777777, 10, 0));
}
