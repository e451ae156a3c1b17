// A tree that is made, listed, moved and removed at some size, with names of every byte.
#include "guest.h"
#include <dirent.h>
#include <ftw.h>

CASE(every_byte)
{
    char name[2] = {0};
    int made = 0, found = 0;
    MUST(mkdir("d", 0755)), MUST(chdir("d"));
    for (int byte = 1; byte < 256; byte++) {
        if (byte == '/' || byte == '.')
            continue;
        name[0] = byte;
        int fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0600);
        made += fd >= 0;
        close(fd);
    }
    DIR *list = opendir(".");
    struct dirent *entry;
    while ((entry = readdir(list)))
        found += entry->d_name[0] != '.' && entry->d_name[1] == 0;
    say("made %d found %d", made, found);
    for (int byte = 1; byte < 256; byte++) {
        name[0] = byte;
        if (byte != '/' && byte != '.')
            MUST(unlink(name));
    }
    SHOW(open("...", O_CREAT | O_WRONLY, 0600) >= 0);
    SHOW(open("new\nline", O_CREAT | O_WRONLY, 0600) >= 0);
    SHOW(open("\xff\xfe\x80", O_CREAT | O_WRONLY, 0600) >= 0);
    MUST(symlink("\xff\xfe\x80", "link"));
    char target[16];
    SHOW(readlink("link", target, sizeof target));
    SHOW(open("link", O_RDONLY) >= 0);
}
static int entries;
static int count(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    entries++;
    return 0;
}
static int erase(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    return remove(path);
}
CASE(tree)
{
    char path[256];
    for (int a = 0; a < 6; a++) {
        snprintf(path, sizeof path, "t%d", a);
        MUST(mkdir(path, 0755));
        for (int b = 0; b < 6; b++) {
            snprintf(path, sizeof path, "t%d/u%d", a, b);
            MUST(mkdir(path, 0755));
            for (int c = 0; c < 6; c++) {
                snprintf(path, sizeof path, "t%d/u%d/file%d", a, b, c);
                make_file(path, path, 0644);
            }
        }
    }
    SHOW(nftw(".", count, 20, FTW_PHYS));
    say("%d entries", entries);
    MUST(mkdir("elsewhere", 0755));
    MUST(rename("t0", "elsewhere/t0"));
    show_file("elsewhere/t0/u1/file2");
    SHOW(access("t0/u1/file2", F_OK));
    SHOW(nftw("elsewhere", erase, 20, FTW_PHYS | FTW_DEPTH));
    entries = 0;
    SHOW(nftw(".", count, 20, FTW_PHYS));
    say("%d entries", entries);
}
CASE(recreate)
{
    struct stat status;
    for (int round = 0; round < 300; round++) {
        MUST(mkdir("x", 0755));
        make_file("x/y", "z", 0644);
        MUST(unlink("x/y"));
        MUST(rmdir("x"));
        make_file("x", "file now", 0644);
        MUST(stat("x", &status));
        if (!S_ISREG(status.st_mode))
            say("round %d mode %o", round, status.st_mode);
        MUST(unlink("x"));
        MUST(symlink("nowhere", "x"));
        MUST(unlink("x"));
    }
    SHOW(access("x", F_OK));
}
CASE(concurrent_creation)
{
    int *winners = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    for (int process = 0; process < 4; process++)
        if (fork() == 0) {
            char name[16];
            for (int index = 0; index < 100; index++) {
                snprintf(name, sizeof name, "n%d", index);
                int fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0600);
                if (fd >= 0)
                    __atomic_add_fetch(winners, 1, __ATOMIC_SEQ_CST);
                else if (errno != EEXIST)
                    say("%s", error_name(errno));
                close(fd);
            }
            _exit(0);
        }
    while (wait(NULL) > 0)
        ;
    say("winners %d", *winners);
}
CASE(concurrent_appends)
{
    int fd = MUST(open("log", O_CREAT | O_WRONLY | O_APPEND, 0600));
    for (int process = 0; process < 4; process++)
        if (fork() == 0) {
            int own = process % 2 ? MUST(open("log", O_WRONLY | O_APPEND)) : fd;
            for (int index = 0; index < 200; index++)
                MUST(write(own, "0123456789abcde\n", 16));
            _exit(0);
        }
    while (wait(NULL) > 0)
        ;
    FILE *log = fopen("log", "r");
    char line[64];
    int good = 0, bad = 0;
    while (fgets(line, sizeof line, log))
        strcmp(line, "0123456789abcde\n") ? bad++ : good++;
    say("good %d bad %d", good, bad);
}
