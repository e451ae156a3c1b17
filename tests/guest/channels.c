// Channels between guests: packet pipes, exclusive and nested epoll, memory shared by files without a name, other processes' memory.
// flags: -pthread -lrt
// grant: cow
// user: nobody
#include "guest.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

static char block[1 << 16];

CASE(packet_pipes)
{
    int fds[2];
    char buffer[64];
    MUST(pipe2(fds, O_DIRECT | O_NONBLOCK));
    SHOW(write(fds[1], "first", 5)), SHOW(write(fds[1], "second packet", 13)), SHOW(write(fds[1], "", 0));
    SHOW(read(fds[0], buffer, 3));
    SHOW(read(fds[0], buffer, 64)), SHOW(read(fds[0], buffer, 64));
    MUST(fcntl(fds[1], F_SETFL, O_NONBLOCK));
    MUST(write(fds[1], "a", 1)), MUST(write(fds[1], "b", 1));
    SHOW(read(fds[0], buffer, 64));
    say("%o", fcntl(fds[1], F_GETFL) & O_DIRECT);
}
CASE(pipe_sizes)
{
    int fds[2];
    MUST(pipe2(fds, O_NONBLOCK));
    SHOW(fcntl(fds[0], F_GETPIPE_SZ)), SHOW(fcntl(fds[1], F_SETPIPE_SZ, 5000)), SHOW(fcntl(fds[0], F_GETPIPE_SZ));
    long total = 0, done;
    while ((done = write(fds[1], block, 1000)) > 0)
        total += done;
    say("%ld fit, then %s", total, error_name(errno));
    SHOW(fcntl(fds[1], F_SETPIPE_SZ, 4096)), SHOW(fcntl(fds[1], F_SETPIPE_SZ, 0)), SHOW(fcntl(fds[1], F_SETPIPE_SZ, -1));
    SHOW(fcntl(fds[1], F_SETPIPE_SZ, 100000));
    SHOW(read(fds[0], block, sizeof block));
    int file = MUST(open("/dev/null", O_RDWR));
    SHOW(fcntl(file, F_GETPIPE_SZ));
    int tees[2];
    MUST(pipe2(tees, O_NONBLOCK));
    MUST(write(fds[1], "copied", 6));
    SHOW(tee(fds[0], tees[1], 3, 0)), SHOW(read(tees[0], block, 10)), SHOW(read(fds[0], block, 10)), SHOW(tee(fds[0], tees[1], 3, SPLICE_F_NONBLOCK));
    SHOW(tee(fds[0], fds[1], 3, 0)), SHOW(tee(file, tees[1], 3, 0));
    strcpy(block, "gift of a page");
    struct iovec vector = {block, 14};
    SHOW(vmsplice(tees[1], &vector, 1, 0)), SHOW(splice(tees[0], NULL, fds[1], NULL, 100, SPLICE_F_MOVE)), SHOW(read(fds[0], block + 100, 100));
    say("%.14s", block + 100);
}
CASE(epoll_exclusive)
{
    int fd = MUST(eventfd(0, EFD_NONBLOCK | EFD_SEMAPHORE)), start[2], woken[2];
    char byte;
    MUST(pipe(start)), MUST(pipe(woken));
    for (int child = 0; child < 3; child++)
        if (fork() == 0) {
            struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE | EPOLLET}, got;
            int set = MUST(epoll_create1(0));
            MUST(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event));
            MUST(write(start[1], "r", 1));
            for (int count; (count = epoll_wait(set, &got, 1, 3000)) > 0;) {
                uint64_t value;
                if (read(fd, &value, 8) == 8) {
                    MUST(write(woken[1], value == 1 ? "w" : "?", 1));
                    break;
                }
            }
            _exit(0);
        }
    for (int child = 0; child < 3; child++)
        MUST(read(start[0], &byte, 1));
    for (int child = 0; child < 3; child++) {
        uint64_t one = 1;
        MUST(write(fd, &one, 8));
        MUST(read(woken[0], &byte, 1));
        say("woken %c", byte);
    }
    for (int child = 0; child < 3; child++)
        MUST(wait(NULL));
    struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE | EPOLLONESHOT};
    int set = MUST(epoll_create1(0));
    SHOW(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event));
    event.events = EPOLLIN | EPOLLEXCLUSIVE;
    SHOW(epoll_ctl(set, EPOLL_CTL_ADD, fd, &event)), SHOW(epoll_ctl(set, EPOLL_CTL_MOD, fd, &event));
}
CASE(epoll_nested)
{
    int inner = MUST(epoll_create1(0)), middle = MUST(epoll_create1(0)), outer = MUST(epoll_create1(0)), fds[2];
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = 1}, got[2];
    MUST(pipe(fds));
    MUST(epoll_ctl(inner, EPOLL_CTL_ADD, fds[0], &event)), MUST(epoll_ctl(middle, EPOLL_CTL_ADD, inner, &event));
    event.events = EPOLLIN | EPOLLET;
    MUST(epoll_ctl(outer, EPOLL_CTL_ADD, middle, &event));
    SHOW(epoll_wait(outer, got, 2, 0));
    MUST(write(fds[1], "x", 1));
    SHOW(epoll_wait(outer, got, 2, 1000)), SHOW(epoll_wait(outer, got, 2, 0)), SHOW(epoll_wait(middle, got, 2, 0)), SHOW(epoll_wait(inner, got, 2, 0));
    SHOW(epoll_ctl(inner, EPOLL_CTL_ADD, outer, &event));
    struct pollfd polled = {middle, POLLIN, 0};
    SHOW(poll(&polled, 1, 0));
    char byte;
    MUST(read(fds[0], &byte, 1));
    SHOW(poll(&polled, 1, 0));
    pid_t child = fork();
    if (child == 0) {
        sleep_ms(20);
        MUST(write(fds[1], "y", 1));
        _exit(0);
    }
    SHOW(epoll_wait(outer, got, 2, 3000));
    wait_for("writer", child);
}
CASE(unlinked_shared_memory)
{
    char path[64];
    snprintf(path, sizeof path, "/dev/shm/pylibos-test-%d", getpid());
    int fd = MUST(open(path, O_CREAT | O_EXCL | O_RDWR, 0600));
    MUST(ftruncate(fd, 8192));
    int *map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    MUST(unlink(path));
    SHOW(access(path, F_OK));
    for (int child = 0; child < 4; child++)
        if (fork() == 0) {
            int *again = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
            for (int round = 0; round < 1000; round++)
                __atomic_add_fetch(round % 2 ? map : again, 1, __ATOMIC_SEQ_CST);
            _exit(0);
        }
    while (wait(NULL) > 0)
        ;
    say("%d", *map);
    struct stat status;
    MUST(fstat(fd, &status));
    say("links %lu size %ld", (unsigned long)status.st_nlink, (long)status.st_size);
    MUST(close(fd));
    pid_t child = fork();
    if (child == 0) {
        map[1024] = 77;
        _exit(msync(map, 8192, MS_SYNC) ? errno : 0);
    }
    wait_for("child", child);
    say("%d", map[1024]);
    int *moved = mremap(map, 8192, 16384, MREMAP_MAYMOVE);
    say("grown %d %d", moved != MAP_FAILED, moved[1024]);
    child = fork();
    if (child == 0) {
        moved[4096 * 2 / 4] = 1; /* beyond the file */
        _exit(0);
    }
    wait_for("past the end", child);
}
CASE(other_processes_memory)
{
    int ready[2], go[2];
    char byte, copy[64] = "";
    static char text[64] = "of the child's own";
    MUST(pipe(ready)), MUST(pipe(go));
    pid_t child = fork();
    if (child == 0) {
        strcpy(text, "changed in the child");
        MUST(write(ready[1], "r", 1)), MUST(read(go[0], &byte, 1));
        _exit(strcmp(text, "written by the parent") ? 1 : 33);
    }
    MUST(read(ready[0], &byte, 1));
    struct iovec local[2] = {{copy, 10}, {copy + 10, 54}}, remote[2] = {{text, 32}, {text + 32, 32}};
    SHOW(process_vm_readv(child, local, 2, remote, 2, 0));
    say("%s, mine is '%s'", copy, text);
    strcpy(copy, "written by the parent");
    SHOW(process_vm_writev(child, local, 2, remote, 2, 0));
    MUST(write(go[1], "g", 1));
    wait_for("child", child);
    SHOW(process_vm_readv(child, local, 1, remote, 1, 0));
    SHOW(process_vm_readv(getpid(), local, 1, remote, 1, 0)), SHOW(process_vm_readv(getpid(), local, 1, remote, 1, 1));
    remote[0].iov_base = (void *)8;
    SHOW(process_vm_readv(getpid(), local, 1, remote, 1, 0)), SHOW(process_vm_readv(getpid(), (void *)8, 1, remote, 1, 0));
    SHOW(process_vm_readv(getpid(), local, 0, remote, 0, 0)), SHOW(process_vm_readv(getpid(), local, 5000, remote, 1, 0));
}
CASE(sealed_memory)
{
    int fd = MUST(memfd_create("seals", MFD_ALLOW_SEALING | MFD_CLOEXEC));
    MUST(ftruncate(fd, 4096));
    char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE));
    SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | 0x10 /* F_SEAL_FUTURE_WRITE */));
    strcpy(map, "old mapping");
    SHOW((long)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0)), SHOW(ftruncate(fd, 8192)), SHOW(ftruncate(fd, 2048)), SHOW(write(fd, "x", 1));
    MUST(munmap(map, 4096));
    SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_SEAL)), SHOW(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE)), SHOW(fcntl(fd, F_GET_SEALS));
    pid_t child = fork();
    if (child == 0) {
        char text[16] = "";
        MUST(pread(fd, text, 11, 0));
        _exit(strcmp(text, "old mapping") || ftruncate(fd, 0) == 0 ? 1 : 21);
    }
    wait_for("child", child);
    int plain = MUST(memfd_create("plain", 0));
    SHOW(fcntl(plain, F_GET_SEALS)), SHOW(fcntl(plain, F_ADD_SEALS, F_SEAL_SHRINK)), SHOW(memfd_create("x", 0x8000));
}
CASE(timers_by_the_wall_clock)
{
    int fd = MUST(timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK));
    struct itimerspec spec = {.it_value = {4000000000, 0}}, left;
    uint64_t count;
    SHOW(timerfd_settime(fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &spec, NULL));
    SHOW(timerfd_gettime(fd, &left));
    TRUE(left.it_value.tv_sec > 1000000000);
    SHOW(read(fd, &count, 8)), SHOW(timerfd_settime(fd, 8, &spec, NULL));
    int boot = MUST(timerfd_create(CLOCK_BOOTTIME, 0));
    pid_t child = fork();
    if (child == 0) {
        struct itimerspec soon = {.it_value = {0, 5000000}, .it_interval = {0, 5000000}};
        _exit(timerfd_settime(boot, 0, &soon, NULL) ? errno : 0);
    }
    wait_for("set by the child", child);
    sleep_ms(30);
    SHOW(read(boot, &count, 8));
    TRUE(count >= 4);
}
CASE(user_faults_are_refused)
{
    int fd = syscall(SYS_userfaultfd, O_CLOEXEC);
    TRUE(fd == -1 || fcntl(fd, F_GETFD) == 1);
}
