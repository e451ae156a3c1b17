// Class 20: System V objects, POSIX queues and named memory of another sandbox are other objects, whatever their names and keys.
// Two of these run at the same time: each waits for a line on its standard input before it looks for what the other one made.
#include "escape.h"
#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

#define KEY 0x50594c42
#define NAME "/pylibos-e20"

static void attack(void)
{
    char line[8], text[8192];
    pid_t me = (pid_t)rounds;
    int segment = shmget(KEY, 4096, IPC_CREAT | IPC_EXCL | 0666), set = semget(KEY, 1, IPC_CREAT | IPC_EXCL | 0666);
    int queue = msgget(KEY, IPC_CREAT | IPC_EXCL | 0666);
    mqd_t named = mq_open(NAME, O_CREAT | O_EXCL | O_RDWR | O_NONBLOCK, 0666, NULL);
    int memory = shm_open(NAME, O_CREAT | O_EXCL | O_RDWR, 0666);
    HOLE_IF(segment < 0 || set < 0 || queue < 0 || named < 0 || memory < 0);
    HOLE_IF(ftruncate(memory, sizeof me) != 0 || pwrite(memory, &me, sizeof me, 0) != sizeof me);
    pid_t *map = shmat(segment, NULL, 0);
    HOLE_IF(map == (void *)-1);
    *map = me;
    HOLE_IF(semctl(set, 0, SETVAL, (int)(rounds & 0xff)) != 0);
    puts("made"), fflush(stdout);
    HOLE_IF(!fgets(line, sizeof line, stdin));
    HOLE_IF(*map != me);
    HOLE_IF(semctl(set, 0, GETVAL) != (rounds & 0xff));
    struct shm_info memory_use;
    struct msginfo queue_use;
    HOLE_IF(shmctl(0, SHM_INFO, (void *)&memory_use) < 0 || memory_use.used_ids != 1);
    HOLE_IF(msgctl(0, MSG_INFO, (void *)&queue_use) < 0 || queue_use.msgpool != 1);
    REFUSED(msgrcv(queue, text, sizeof text, 0, IPC_NOWAIT), ENOMSG);
    REFUSED(mq_receive(named, text, sizeof text, NULL), EAGAIN);
    HOLE_IF(msgsnd(queue, &(struct { long type; char text[4]; }){1, "mine"}, 4, 0) != 0 || mq_send(named, "mine", 4, 0) != 0);
    pid_t read_back = 0;
    HOLE_IF(pread(memory, &read_back, sizeof read_back, 0) != sizeof read_back || read_back != me);
}
