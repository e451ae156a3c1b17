// Reading directories: complete, seekable, stable under change; getdents64 and readdir with d_type.
#include "guest.h"
#include <dirent.h>

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}
static void list(const char *path)
{
    char *names[3000];
    int count = 0;
    DIR *dir = opendir(path);
    if (!dir) {
        say("opendir %s: %s", path, error_name(errno));
        return;
    }
    struct dirent *entry;
    while ((entry = readdir(dir)) && count < 3000) {
        char line[300];
        snprintf(line, sizeof line, "%s type %d", entry->d_name, entry->d_type);
        names[count++] = strdup(line);
    }
    closedir(dir);
    qsort(names, count, sizeof *names, compare);
    say("%s: %d entries", path, count);
    for (int index = 0; index < count && count < 20; index++)
        say("  %s", names[index]);
}
CASE(types)
{
    make_file("file", "", 0600);
    MUST(mkdir("directory", 0700));
    MUST(symlink("file", "link"));
    MUST(mkfifo("fifo", 0600));
    list(".");
    MUST(mkdir("empty", 0700));
    list("empty");
    list("file");
    list("missing");
}
CASE(many)
{
    char name[64];
    MUST(mkdir("d", 0755));
    for (int index = 0; index < 2000; index++) {
        snprintf(name, sizeof name, "d/entry-number-%d", index);
        int fd = MUST(open(name, O_CREAT | O_WRONLY, 0600));
        close(fd);
    }
    list("d");
    int seen[2000] = {0}, repeated = 0, total = 0;
    DIR *dir = opendir("d");
    struct dirent *entry;
    while ((entry = readdir(dir))) {
        int number;
        if (sscanf(entry->d_name, "entry-number-%d", &number) == 1)
            repeated += seen[number]++, total++;
        if (total % 3 == 0) { /* removing what was read does not disturb the rest */
            snprintf(name, sizeof name, "d/%s", entry->d_name);
            unlink(name);
        }
    }
    closedir(dir);
    say("total %d repeated %d", total, repeated);
}
CASE(seek_and_tell)
{
    char name[16];
    for (int index = 0; index < 30; index++) {
        snprintf(name, sizeof name, "f%d", index);
        make_file(name, "", 0600);
    }
    DIR *dir = opendir(".");
    for (int index = 0; index < 10; index++)
        readdir(dir);
    long position = telldir(dir);
    char next[256];
    strcpy(next, readdir(dir)->d_name);
    int rest = 0;
    while (readdir(dir))
        rest++;
    say("rest %d", rest);
    seekdir(dir, position);
    TRUE(!strcmp(readdir(dir)->d_name, next));
    rewinddir(dir);
    int all = 0;
    while (readdir(dir))
        all++;
    say("all %d", all);
    make_file("later", "", 0600);
    rewinddir(dir);
    int found = 0;
    struct dirent *entry;
    while ((entry = readdir(dir)))
        found += !strcmp(entry->d_name, "later");
    say("later found %d", found);
    closedir(dir);
}
CASE(system_call_rules)
{
    char buffer[4096];
    make_file("a-file-with-a-rather-long-name", "", 0600);
    int dir = MUST(open(".", O_RDONLY));
    SHOW(syscall(SYS_getdents64, dir, buffer, 1));
    SHOW(syscall(SYS_getdents64, dir, (void *)1, 4096));
    int file = MUST(open("a-file-with-a-rather-long-name", O_RDONLY));
    SHOW(syscall(SYS_getdents64, file, buffer, 4096));
    SHOW(syscall(SYS_getdents64, 999, buffer, 4096));
    TRUE(syscall(SYS_getdents64, dir, buffer, 4096) > 60);
    SHOW(syscall(SYS_getdents64, dir, buffer, 4096));
    SHOW(lseek(dir, 0, SEEK_SET));
    SHOW(read(dir, buffer, 10));
    SHOW(write(dir, buffer, 10));
    SHOW(pread(dir, buffer, 10, 0));
    TRUE(syscall(SYS_getdents, dir, buffer, 4096) > 0); /* the old layout */
    SHOW(ftruncate(dir, 0));
    SHOW(fsync(dir));
    MUST(mkdir("gone", 0700));
    int gone = MUST(open("gone", O_RDONLY));
    MUST(rmdir("gone"));
    SHOW(syscall(SYS_getdents64, gone, buffer, 4096));
}
CASE(inode_numbers_agree)
{
    struct stat status;
    make_file("f", "", 0600);
    MUST(mkdir("d", 0700));
    MUST(symlink("f", "l"));
    DIR *dir = opendir(".");
    struct dirent *entry;
    int agree = 0;
    while ((entry = readdir(dir))) {
        MUST(fstatat(dirfd(dir), entry->d_name, &status, AT_SYMLINK_NOFOLLOW));
        agree += status.st_ino == entry->d_ino;
    }
    say("%d agree", agree);
}
