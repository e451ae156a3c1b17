// System V shared memory: keys, attaching, removal, what counts as attached.
// flags: -pthread
// grant: cow
// user: nobody
#include "guest.h"
#include <pthread.h>
#include <sys/ipc.h>
#include <sys/shm.h>

#define PAGE 4096L

/* A key nobody else uses: several of these programs may run at once natively. */
static key_t own_key(int number)
{
    return (key_t)(((unsigned)getpid() << 8 | number) ^ 0x50000000);
}
static void show_attached(const char *what, int id)
{
    struct shmid_ds status;
    if (shmctl(id, IPC_STAT, &status) < 0)
        say("%s: %s", what, error_name(errno));
    else
        say("%s: %lu attached, mode %o, %zu bytes", what, (unsigned long)status.shm_nattch, status.shm_perm.mode, status.shm_segsz);
}

CASE(keys)
{
    key_t key = own_key(1);
    SHOW(shmget(key, 100, 0600));
    int id = MUST(shmget(key, 5000, IPC_CREAT | 0640));
    SHOW(shmget(key, 5000, IPC_CREAT | IPC_EXCL | 0600));
    TRUE(shmget(key, 5000, 0) == id);
    TRUE(shmget(key, 5000, IPC_CREAT | 0600) == id);
    TRUE(shmget(key, 1, 0400) == id);
    TRUE(shmget(key, 0, 0) == id);
    SHOW(shmget(key, 5001, 0));
    SHOW(shmget(own_key(2), 0, IPC_CREAT | 0600));
    SHOW(shmget(own_key(2), (size_t)-1, IPC_CREAT | 0600));
    int one = MUST(shmget(IPC_PRIVATE, 1, 0600)), other = MUST(shmget(IPC_PRIVATE, 1, 0600));
    TRUE(one != other && one != id);
    struct shmid_ds status;
    SHOW(shmctl(id, IPC_STAT, &status));
    TRUE(status.shm_perm.__key == key);
    TRUE(status.shm_perm.uid == geteuid() && status.shm_perm.cuid == geteuid() && status.shm_perm.gid == getegid());
    TRUE(status.shm_cpid == getpid() && status.shm_lpid == 0);
    TRUE(status.shm_atime == 0 && status.shm_dtime == 0 && status.shm_ctime > 1600000000);
    show_attached("new", id);
    SHOW(shmctl(one, IPC_RMID, NULL)), SHOW(shmctl(other, IPC_RMID, NULL)), SHOW(shmctl(id, IPC_RMID, NULL));
    SHOW(shmctl(id, IPC_RMID, NULL)), SHOW(shmctl(-1, IPC_STAT, &status)), SHOW(shmctl(id, 99, &status));
    SHOW(shmget(key, 1, 0));
}
CASE(contents_outlive_processes)
{
    key_t key = own_key(1);
    pid_t child = fork();
    if (child == 0) {
        int id = MUST(shmget(key, 10000, IPC_CREAT | 0600));
        char *map = shmat(id, NULL, 0);
        strcpy(map + 9000, "left by a dead process");
        _exit(map[0]);
    }
    wait_for("writer", child);
    int id = MUST(shmget(key, 0, 0));
    show_attached("writer has gone", id);
    char *map = shmat(id, NULL, 0);
    say("%s", map + 9000);
    map[3 * PAGE - 1] = 1;
    TRUE(map[10001] == 0);
    struct shmid_ds status;
    MUST(shmctl(id, IPC_STAT, &status));
    TRUE(status.shm_lpid == getpid() && status.shm_cpid == child && status.shm_atime >= status.shm_ctime);
    SHOW(shmctl(id, IPC_RMID, NULL));
    say("still %s", map + 9000);
    SHOW(shmdt(map));
}
CASE(addresses)
{
    int id = MUST(shmget(IPC_PRIVATE, 2 * PAGE, 0600));
    char *room = mmap(NULL, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    SHOW((long)shmat(id, room, 0));
    SHOW((long)shmat(id, room + 1, 0));
    SHOW((long)shmat(id, NULL, SHM_REMAP));
    SHOW((long)shmat(-1, NULL, 0));
    TRUE(shmat(id, room, SHM_REMAP) == room);
    strcpy(room, "here");
    MUST(munmap(room + 2 * PAGE, 6 * PAGE));
    TRUE(shmat(id, room + 4 * PAGE, 0) == room + 4 * PAGE);
    TRUE(shmat(id, room + 2 * PAGE + 77, SHM_RND) == room + 2 * PAGE);
    say("%s %s", room + 2 * PAGE, room + 4 * PAGE);
    show_attached("three times", id);
    SHOW(shmdt(room + PAGE)), SHOW(shmdt(room + 1)), SHOW(shmdt(room + 6 * PAGE));
    SHOW(shmdt(room)), SHOW(shmdt(room)), SHOW(shmdt(room + 2 * PAGE));
    show_attached("once", id);
    say("%s", room + 4 * PAGE);
    SHOW(shmdt(room + 4 * PAGE));
    SHOW(shmctl(id, IPC_RMID, NULL));
}
CASE(read_only)
{
    int id = MUST(shmget(IPC_PRIVATE, PAGE, 0600));
    char *writable = shmat(id, NULL, 0), *map = shmat(id, NULL, SHM_RDONLY);
    strcpy(writable, "seen");
    say("%s", map);
    SHOW(mprotect(map, PAGE, PROT_READ | PROT_WRITE));
    pid_t child = fork();
    if (child == 0) {
        map[0] = 'x';
        _exit(0);
    }
    wait_for("writer", child);
    SHOW(mprotect(writable, PAGE, PROT_READ));
    SHOW(shmdt(map)), SHOW(shmdt(writable)), SHOW(shmctl(id, IPC_RMID, NULL));
}
CASE(what_counts_as_attached)
{
    int id = MUST(shmget(IPC_PRIVATE, 4 * PAGE, 0600)), fds[2], back[2];
    char byte;
    MUST(pipe(fds)), MUST(pipe(back));
    char *map = shmat(id, NULL, 0);
    show_attached("one", id);
    pid_t child = fork();
    if (child == 0) {
        MUST(write(back[1], "f", 1)), MUST(read(fds[0], &byte, 1));
        MUST(shmdt(map));
        MUST(write(back[1], "d", 1)), MUST(read(fds[0], &byte, 1));
        map = shmat(id, NULL, 0), shmat(id, NULL, 0);
        MUST(write(back[1], "a", 1)), MUST(read(fds[0], &byte, 1));
        _exit(99);
    }
    MUST(read(back[0], &byte, 1)), show_attached("forked", id);
    MUST(write(fds[1], "x", 1)), MUST(read(back[0], &byte, 1)), show_attached("child detached", id);
    MUST(write(fds[1], "x", 1)), MUST(read(back[0], &byte, 1)), show_attached("child attached twice", id);
    MUST(kill(child, SIGKILL));
    wait_for("child", child);
    show_attached("child killed", id);
    SHOW(munmap(map + PAGE, PAGE));
    show_attached("a hole in the middle", id);
    SHOW(shmdt(map));
    show_attached("detached", id);
    map = shmat(id, NULL, 0);
    SHOW(munmap(map, 4 * PAGE));
    show_attached("unmapped", id);
    SHOW(shmdt(map));
    SHOW(shmctl(id, IPC_RMID, NULL));
}
CASE(exec_detaches)
{
    int id = MUST(shmget(IPC_PRIVATE, PAGE, 0600)), fds[2];
    char byte;
    MUST(pipe2(fds, O_CLOEXEC));
    pid_t child = fork();
    if (child == 0) {
        shmat(id, NULL, 0);
        execl("/bin/sleep", "sleep", "10", NULL);
        _exit(99);
    }
    MUST(close(fds[1]));
    SHOW(read(fds[0], &byte, 1));
    show_attached("after exec", id);
    MUST(kill(child, SIGKILL));
    wait_for("child", child);
    SHOW(shmctl(id, IPC_RMID, NULL));
}
CASE(removed_while_attached)
{
    key_t key = own_key(1);
    int id = MUST(shmget(key, PAGE, IPC_CREAT | 0600));
    char *map = shmat(id, NULL, 0);
    strcpy(map, "before");
    SHOW(shmctl(id, IPC_RMID, NULL));
    show_attached("removed", id);
    SHOW(shmctl(id, IPC_RMID, NULL));
    SHOW(shmget(key, 1, 0));
    int next = MUST(shmget(key, PAGE, IPC_CREAT | IPC_EXCL | 0600));
    TRUE(next != id);
    char *again = shmat(id, NULL, 0);
    TRUE(again != (void *)-1);
    say("%s", again);
    pid_t child = fork();
    if (child == 0) {
        shmdt(map), shmdt(again);
        _exit(0);
    }
    wait_for("child", child);
    show_attached("still", id);
    SHOW(shmdt(map));
    show_attached("one left", id);
    SHOW(shmdt(again));
    struct shmid_ds status;
    SHOW(shmctl(id, IPC_STAT, &status));
    SHOW((long)shmat(id, NULL, 0));
    SHOW(shmctl(next, IPC_RMID, NULL));
    SHOW(shmctl(next, IPC_STAT, &status));
}
CASE(goes_with_the_last_process)
{
    int id = MUST(shmget(IPC_PRIVATE, PAGE, 0600));
    pid_t child = fork();
    if (child == 0) {
        shmat(id, NULL, 0);
        MUST(shmctl(id, IPC_RMID, NULL));
        show_attached("in the child", id);
        _exit(0);
    }
    wait_for("child", child);
    show_attached("after it", id);
}
CASE(change)
{
    int id = MUST(shmget(IPC_PRIVATE, PAGE, 0600));
    struct shmid_ds status;
    MUST(shmctl(id, IPC_STAT, &status));
    status.shm_perm.mode = 07444, status.shm_segsz = 99;
    SHOW(shmctl(id, IPC_SET, &status));
    show_attached("changed", id);
    status.shm_perm.uid = (uid_t)-1;
    SHOW(shmctl(id, IPC_SET, &status));
    SHOW(shmctl(id, IPC_SET, (void *)1)), SHOW(shmctl(id, IPC_STAT, (void *)1));
    SHOW(shmctl(id, SHM_LOCK, NULL));
    show_attached("locked", id);
    SHOW(shmctl(id, SHM_UNLOCK, NULL));
    show_attached("unlocked", id);
    struct shm_info info;
    struct shminfo limits;
    int highest = shmctl(0, SHM_INFO, (void *)&info), found = 0;
    TRUE(highest >= 0 && info.used_ids >= 1 && info.shm_tot >= 1);
    TRUE(shmctl(0, IPC_INFO, (void *)&limits) == highest);
    say("%lu %lu %lu", limits.shmmin, limits.shmmni, limits.shmseg);
    for (int index = 0; index <= highest; index++)
        found += shmctl(index, SHM_STAT, &status) == id;
    say("found %d", found);
    SHOW(shmctl(1 << 20, SHM_STAT, &status));
    SHOW(shmctl(id, IPC_RMID, NULL));
}
static void *attacher(void *argument)
{
    int id = *(int *)argument;
    for (int round = 0; round < 100; round++) {
        int *map = shmat(id, NULL, 0);
        if (map == (void *)-1)
            return (void *)1;
        __atomic_add_fetch(map, 1, __ATOMIC_SEQ_CST);
        if (shmdt(map) < 0)
            return (void *)2;
    }
    return NULL;
}
CASE(threads_attach_at_once)
{
    int id = MUST(shmget(IPC_PRIVATE, PAGE, 0600));
    int *map = shmat(id, NULL, 0), lowest = open("/dev/null", O_RDONLY);
    pthread_t threads[4];
    for (int index = 0; index < 4; index++)
        pthread_create(&threads[index], NULL, attacher, &id);
    for (int index = 0; index < 4; index++) {
        void *result;
        pthread_join(threads[index], &result);
        say("%ld", (long)result);
    }
    say("%d", *map);
    show_attached("at the end", id);
    TRUE(open("/dev/null", O_RDONLY) == lowest + 1);
    SHOW(shmctl(id, IPC_RMID, NULL));
}
CASE(moved)
{
    int id = MUST(shmget(IPC_PRIVATE, 2 * PAGE, 0600));
    char *map = shmat(id, NULL, 0);
    strcpy(map, "moved along");
    char *room = mmap(NULL, 4 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *moved = mremap(map, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room);
    TRUE(moved == room);
    say("%s", moved);
    show_attached("moved", id);
    SHOW(shmdt(map));
    SHOW(shmdt(moved));
    show_attached("detached", id);
    SHOW(shmctl(id, IPC_RMID, NULL));
}
