// stat, lstat, fstat, fstatat, statx, statfs and access tell one story.
#include "guest.h"
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>

static int same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_mode == b->st_mode && a->st_nlink == b->st_nlink && a->st_uid == b->st_uid &&
           a->st_size == b->st_size && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec && a->st_blocks == b->st_blocks && a->st_rdev == b->st_rdev &&
           a->st_blksize == b->st_blksize;
}
static void consistent(const char *path)
{
    struct stat by_path, by_fd, by_at, by_link;
    struct statx extended;
    MUST(stat(path, &by_path));
    MUST(lstat(path, &by_link));
    int fd = MUST(open(path, O_RDONLY | O_NONBLOCK));
    MUST(fstat(fd, &by_fd));
    MUST(fstatat(fd, "", &by_at, AT_EMPTY_PATH));
    MUST(statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, &extended));
    say("%s: fd %d at %d link %d", path, same(&by_path, &by_fd), same(&by_path, &by_at), same(&by_path, &by_link));
    say("  statx ino %d mode %d nlink %d size %d uid %d dev %d mtime %d mask %d", extended.stx_ino == by_path.st_ino, extended.stx_mode == by_path.st_mode,
        extended.stx_nlink == by_path.st_nlink, extended.stx_size == (uint64_t)by_path.st_size, extended.stx_uid == by_path.st_uid,
        makedev(extended.stx_dev_major, extended.stx_dev_minor) == by_path.st_dev, extended.stx_mtime.tv_nsec == by_path.st_mtim.tv_nsec,
        (extended.stx_mask & STATX_BASIC_STATS) == STATX_BASIC_STATS);
    close(fd);
}
CASE(agreement)
{
    make_file("f", "contents", 0640);
    MUST(mkdir("d", 0750));
    consistent("f"), consistent("d"), consistent("/"), consistent("/usr"), consistent("/bin/sh"), consistent("/dev/null");
    consistent("/etc/passwd"), consistent(".");
}
CASE(identity_is_stable)
{
    struct stat before, after;
    make_file("f", "x", 0644);
    MUST(stat("f", &before));
    int fd = MUST(open("f", O_RDWR | O_APPEND));
    MUST(write(fd, "more", 4));
    MUST(chmod("f", 0600));
    MUST(rename("f", "g"));
    MUST(fstat(fd, &after));
    TRUE(before.st_ino == after.st_ino && before.st_dev == after.st_dev);
    say("%ld %o", (long)after.st_size, after.st_mode);
    struct stat other;
    make_file("h", "x", 0644);
    MUST(stat("h", &other));
    TRUE(other.st_ino != after.st_ino && other.st_dev == after.st_dev);
    MUST(stat(".", &other));
    MUST(stat("../identity_is_stable", &before));
    TRUE(same(&other, &before));
}
CASE(system_file_keeps_identity_when_changed)
{
    /* The work directory's own file, opened for reading before and for writing after. */
    struct stat before, reading, after;
    char buffer[8];
    make_file("base", "before", 0644);
    int reader = MUST(open("base", O_RDONLY));
    MUST(stat("base", &before));
    int writer = MUST(open("base", O_WRONLY));
    MUST(pwrite(writer, "AFTER!", 6, 0));
    MUST(fstat(reader, &reading));
    MUST(stat("base", &after));
    TRUE(before.st_ino == after.st_ino && before.st_ino == reading.st_ino);
    SHOW(pread(reader, buffer, 6, 0));
    say("%.6s", buffer);
}
CASE(special_files)
{
    struct stat status;
    MUST(stat("/dev/null", &status));
    say("null %o %u:%u", status.st_mode & S_IFMT, major(status.st_rdev), minor(status.st_rdev));
    MUST(stat("/dev/zero", &status));
    say("zero %o %u:%u", status.st_mode, major(status.st_rdev), minor(status.st_rdev));
    MUST(stat("/dev/full", &status));
    say("full %o %u:%u", status.st_mode, major(status.st_rdev), minor(status.st_rdev));
    MUST(stat("/dev/urandom", &status));
    say("urandom %o %u:%u", status.st_mode, major(status.st_rdev), minor(status.st_rdev));
    MUST(stat("/dev/tty", &status));
    say("tty %o %u:%u", status.st_mode & S_IFMT, major(status.st_rdev), minor(status.st_rdev));
    MUST(lstat("/proc/self", &status));
    say("/proc/self %o", status.st_mode);
    MUST(lstat("/proc/self/exe", &status));
    say("exe %o", status.st_mode);
    MUST(stat("/proc/self/status", &status));
    say("status %o size %ld", status.st_mode, (long)status.st_size);
    MUST(stat("/proc/self/fd", &status));
    say("fd %o", status.st_mode);
    MUST(stat("/tmp", &status));
    say("tmp %o", status.st_mode & S_IFMT);
}
CASE(statx_rules)
{
    struct statx out;
    make_file("f", "x", 0644);
    MUST(symlink("f", "l"));
    SHOW(statx(AT_FDCWD, "l", AT_SYMLINK_NOFOLLOW, STATX_TYPE, &out));
    say("%o", out.stx_mode & S_IFMT);
    SHOW(statx(AT_FDCWD, "f", 0x40000, STATX_ALL, &out)), SHOW(statx(AT_FDCWD, "f", 0, 0x80000000, &out));
    SHOW(statx(AT_FDCWD, "f", 0x6000, STATX_ALL, &out)), SHOW(statx(AT_FDCWD, "", 0, STATX_ALL, &out));
    SHOW(statx(0, "", AT_EMPTY_PATH, STATX_ALL, &out)), SHOW(statx(AT_FDCWD, "f", 0, 0, (void *)1));
    SHOW(syscall(SYS_stat, "f", (void *)1)), SHOW(syscall(SYS_stat, (void *)1, &out)), SHOW(syscall(SYS_fstat, 0, (void *)1));
    SHOW(syscall(SYS_stat, "f", NULL));
}
CASE(access_calls)
{
    make_file("f", "x", 0755);
    MUST(symlink("missing", "l"));
    SHOW(access("f", F_OK)), SHOW(access("f", R_OK | W_OK | X_OK)), SHOW(access("f", 8)), SHOW(access("f", -1)), SHOW(access("l", F_OK));
    SHOW(syscall(SYS_faccessat2, AT_FDCWD, "l", F_OK, AT_SYMLINK_NOFOLLOW)), SHOW(syscall(SYS_faccessat2, AT_FDCWD, "f", F_OK, 0x4));
    SHOW(access("f/", F_OK)), SHOW(access("missing/", F_OK));
}
CASE(file_systems)
{
    struct statfs a, b;
    MUST(statfs(".", &a));
    int fd = MUST(open(".", O_RDONLY));
    MUST(fstatfs(fd, &b));
    TRUE(a.f_type == b.f_type && a.f_bsize == b.f_bsize && a.f_namelen == b.f_namelen);
    TRUE(a.f_namelen == 255 && a.f_bsize > 0 && a.f_blocks >= a.f_bfree);
    MUST(statfs("/proc", &a));
    say("proc %lx", (long)a.f_type);
    SHOW(statfs("missing", &a)), SHOW(fstatfs(999, &a)), SHOW(syscall(SYS_statfs, ".", (void *)1));
    struct statvfs vfs;
    SHOW(statvfs(".", &vfs));
    say("read-only %d", !!(vfs.f_flag & ST_RDONLY));
    SHOW(pathconf(".", _PC_NAME_MAX)), SHOW(pathconf(".", _PC_PATH_MAX));
}
