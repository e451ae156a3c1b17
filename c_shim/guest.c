/* Access to a guest's memory and descriptors by the numbers the host kernel knows. Reads copy once; nothing is cached. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>
#include "shim.h"

#define PAGE 4096UL

int64_t shim_read(int tid, uint64_t address, void *buffer, uint64_t size)
{
    struct iovec local = {buffer, size}, remote = {(void *)address, size};
    ssize_t n = process_vm_readv(tid, &local, 1, &remote, 1, 0);
    if (n >= 0 && (uint64_t)n == size)
        return n;
    if (n < 0 && errno != EFAULT)
        return -errno;
    /* A remote element is all or nothing at page granularity: take what lies before the first unmapped page. */
    uint64_t done = 0;
    while (done < size) {
        uint64_t part = PAGE - ((address + done) & (PAGE - 1));
        if (part > size - done)
            part = size - done;
        local = (struct iovec){(char *)buffer + done, part};
        remote = (struct iovec){(void *)(address + done), part};
        n = process_vm_readv(tid, &local, 1, &remote, 1, 0);
        if (n <= 0)
            break;
        done += (uint64_t)n;
    }
    return done || !size ? (int64_t)done : -EFAULT;
}

int64_t shim_read_string(int tid, uint64_t address, char *buffer, uint64_t limit)
{
    uint64_t done = 0;
    while (done < limit) {
        /* Short first: most paths are, and a copy of 256 bytes costs less than one of a page. */
        uint64_t part = done ? PAGE - ((address + done) & (PAGE - 1)) : 256 - (address & 255);
        if (part > limit - done)
            part = limit - done;
        struct iovec local = {buffer + done, part}, remote = {(void *)(address + done), part};
        ssize_t n = process_vm_readv(tid, &local, 1, &remote, 1, 0);
        if (n <= 0)
            return n < 0 && errno != EFAULT ? -errno : -EFAULT;
        char *end = memchr(buffer + done, 0, (size_t)n);
        if (end)
            return end - buffer;
        done += (uint64_t)n;
    }
    return -ENAMETOOLONG;
}

int64_t shim_write(int tid, uint64_t address, const void *buffer, uint64_t size)
{
    struct iovec local = {(void *)buffer, size}, remote = {(void *)address, size};
    ssize_t n = process_vm_writev(tid, &local, 1, &remote, 1, 0);
    if (n < 0)
        return -errno;
    return (uint64_t)n == size ? n : -EFAULT;
}

#ifndef PIDFD_THREAD
#define PIDFD_THREAD O_EXCL /* Linux 6.9 */
#endif
#define PIDFDS 256

/* A pidfd for each task that was asked about lately. It names one task for ever: after its end pidfd_getfd says ESRCH, and the
 * entry is made anew, so a number that is used again can not mislead. */
static struct {
    int tid, pidfd;
} pidfds[PIDFDS];
static int getfd_denied; /* a container without CAP_SYS_PTRACE may forbid pidfd_getfd: do not ask again */

static int task_pidfd(int tid, int renew)
{
    int slot = tid % PIDFDS;
    if (pidfds[slot].tid == tid && !renew)
        return pidfds[slot].pidfd;
    if (pidfds[slot].tid)
        close(pidfds[slot].pidfd);
    long pidfd = syscall(SYS_pidfd_open, tid, PIDFD_THREAD);
    if (pidfd < 0 && errno == EINVAL)
        pidfd = syscall(SYS_pidfd_open, tid, 0); /* older: thread group leaders only */
    pidfds[slot].tid = pidfd < 0 ? 0 : tid;
    pidfds[slot].pidfd = (int)pidfd;
    return (int)pidfd;
}

/* 0, -EBADF, or 1: ask /proc instead. Half the price of a walk through /proc. */
static int record_by_pidfd(int tid, int descriptor, struct stat *status)
{
    if (getfd_denied)
        return 1;
    for (int renew = 0; renew < 2; renew++) {
        int pidfd = task_pidfd(tid, renew);
        if (pidfd < 0)
            return 1;
        long copy = syscall(SYS_pidfd_getfd, pidfd, descriptor, 0);
        if (copy >= 0) {
            int result = fstat((int)copy, status) ? 1 : 0;
            close((int)copy);
            return result;
        }
        if (errno == EBADF)
            return -EBADF;
        if (errno != ESRCH) {
            getfd_denied = errno == EPERM || errno == ENOSYS;
            return 1;
        }
    }
    return 1;
}

static uint64_t nanoseconds(const struct timespec *t) { return (uint64_t)t->tv_sec * 1000000000ULL + (uint64_t)t->tv_nsec; }

static struct {
    int tid, descriptor;
    uint64_t record[13];
} kept;

/* Remember the answer of shim_descriptor_record for the call that is being handled; NULL: forget it, another call begins. */
void shim_descriptor_keep(int tid, int descriptor, const uint64_t *record13)
{
    kept.tid = record13 ? tid : 0;
    kept.descriptor = descriptor;
    if (record13)
        memcpy(kept.record, record13, sizeof kept.record);
}

/* What a guest's descriptor refers to: device, inode, mode, links, uid, gid, rdev, size, block size, blocks, three times in ns. */
int shim_descriptor_record(int tid, int descriptor, uint64_t *record13)
{
    struct stat s;
    if (kept.tid == tid && kept.descriptor == descriptor) {
        memcpy(record13, kept.record, sizeof kept.record);
        kept.tid = 0;
        return 0;
    }
    int result = record_by_pidfd(tid, descriptor, &s);
    if (result > 0) {
        char path[48];
        snprintf(path, sizeof path, "/proc/%d/fd/%d", tid, descriptor);
        if (stat(path, &s))
            return errno == ENOENT || errno == ENOTDIR ? -EBADF : -errno;
    } else if (result < 0)
        return result;
    uint64_t record[13] = {s.st_dev, s.st_ino, s.st_mode, s.st_nlink, s.st_uid, s.st_gid, s.st_rdev, (uint64_t)s.st_size,
                           (uint64_t)s.st_blksize, (uint64_t)s.st_blocks, nanoseconds(&s.st_atim), nanoseconds(&s.st_mtim),
                           nanoseconds(&s.st_ctim)};
    memcpy(record13, record, sizeof record);
    return 0;
}

#ifndef NS_GET_PID_IN_PIDNS
#define NS_GET_PID_IN_PIDNS _IOR(0xb7, 0x8, int) /* Linux 6.11, include/uapi/linux/nsfs.h */
#endif

/* The number a thread has inside its own PID name space; name_space is a descriptor of /proc/PID/ns/pid or -1. */
int shim_guest_pid(int tid, int name_space)
{
    if (name_space >= 0) {
        int inside = ioctl(name_space, NS_GET_PID_IN_PIDNS, tid);
        if (inside > 0)
            return inside;
    }
    char path[40], text[4096];
    snprintf(path, sizeof path, "/proc/%d/status", tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    if (n <= 0)
        return -ESRCH;
    text[n] = 0;
    char *line = strstr(text, "\nNSpid:");
    if (!line)
        return tid;
    int last = tid;
    for (char *p = line + 7; *p && *p != '\n';) {
        char *end;
        long value = strtol(p, &end, 10);
        if (end == p)
            break;
        last = (int)value;
        p = end;
    }
    return last;
}

int shim_openat2(int directory, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
    uint64_t how[3] = {flags, mode, resolve};
    long fd = syscall(SYS_openat2, directory, path, how, sizeof how);
    return fd < 0 ? -errno : (int)fd;
}

int shim_tgkill(int pid, int tid, int signal)
{
    return syscall(SYS_tgkill, pid, tid, signal) ? -errno : 0;
}
