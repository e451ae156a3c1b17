// Mapping files: shared and private, of new files, after unlink, past the end, permissions of the descriptor.
#include "guest.h"
#include <setjmp.h>


static sigjmp_buf target;
static void on_fault(int signal)
{
    siglongjmp(target, signal);
}
static int faults(volatile char *address)
{
    signal(SIGBUS, on_fault), signal(SIGSEGV, on_fault);
    int caught = sigsetjmp(target, 1);
    if (!caught)
        (void)*address;
    signal(SIGBUS, SIG_DFL), signal(SIGSEGV, SIG_DFL);
    return caught;
}
CASE(shared)
{
    char buffer[16];
    int fd = MUST(open("f", O_CREAT | O_RDWR, 0644));
    MUST(ftruncate(fd, 8192));
    char *map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    MUST(close(fd));
    strcpy(map + 100, "through the map");
    fd = MUST(open("f", O_RDWR));
    MUST(pread(fd, buffer, 7, 100));
    say("%.7s", buffer);
    MUST(pwrite(fd, "by write", 8, 5000));
    say("%.8s", map + 5000);
    SHOW(msync(map, 8192, MS_SYNC));
    SHOW(msync(map + 1, 8192, MS_SYNC));
    SHOW(msync(map, 8192, MS_SYNC | MS_ASYNC));
    pid_t child = fork();
    if (child == 0) {
        strcpy(map, "child");
        _exit(0);
    }
    wait_for("child", child);
    say("%s", map);
    SHOW(munmap(map, 8192));
}
CASE(private)
{
    make_file("f", "original", 0644);
    int fd = MUST(open("f", O_RDONLY));
    char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    strcpy(map, "changed");
    say("%s", map);
    show_file("f");
    say("rest zero %d", map[8] == 0 && map[4095] == 0);
}
CASE(after_unlink)
{
    int fd = MUST(open("f", O_CREAT | O_RDWR, 0644));
    MUST(ftruncate(fd, 4096));
    char *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    MUST(unlink("f"));
    strcpy(map, "still here");
    char buffer[16];
    MUST(pread(fd, buffer, 16, 0));
    say("%s", buffer);
    MUST(close(fd));
    say("%s", map);
    make_file("f", "another", 0644);
    say("%s", map);
    MUST(rename("f", "g"));
    show_file("g");
}
CASE(past_the_end)
{
    make_file("f", "short", 0644);
    int fd = MUST(open("f", O_RDWR));
    char *map = mmap(NULL, 8192, PROT_READ, MAP_SHARED, fd, 0);
    say("first page %d", faults(map));
    say("second page SIGBUS %d", faults(map + 4096) == SIGBUS);
    MUST(ftruncate(fd, 8192));
    say("after growing %d", faults(map + 4096));
    MUST(ftruncate(fd, 0));
    say("after shrinking SIGBUS %d", faults(map) == SIGBUS);
}
CASE(descriptor_permissions)
{
    make_file("f", "x", 0644);
    int reader = MUST(open("f", O_RDONLY)), writer = MUST(open("f", O_WRONLY)), dir = MUST(open(".", O_RDONLY));
    OK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, reader, 0));
    OK(mmap(NULL, 4096, PROT_WRITE, MAP_SHARED, reader, 0));
    OK(mmap(NULL, 4096, PROT_WRITE | PROT_READ, MAP_PRIVATE, reader, 0));
    OK(mmap(NULL, 4096, PROT_READ, MAP_SHARED, writer, 0));
    OK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, dir, 0));
    OK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, 999, 0));
    OK(mmap(NULL, 0, PROT_READ, MAP_PRIVATE, reader, 0));
    OK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, reader, 1));
    OK(mmap(NULL, 4096, PROT_READ, 0, reader, 0));
    char *map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, reader, 0);
    SHOW(mprotect(map, 4096, PROT_READ | PROT_WRITE));
    int pipes[2];
    MUST(pipe(pipes));
    OK(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, pipes[0], 0));
}
CASE(executable_mapping)
{
    /* mov eax, 42; ret */
    int fd = MUST(open("code", O_CREAT | O_RDWR, 0755));
    MUST(write(fd, "\xb8\x2a\x00\x00\x00\xc3", 6));
    int (*code)(void) = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
    say("%d", code());
}
CASE(maps_name_the_file)
{
    make_file("named", "x", 0644);
    int fd = MUST(open("named", O_RDONLY)), found = 0;
    void *map = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    char line[1024], start[32];
    snprintf(start, sizeof start, "%lx-", (unsigned long)map);
    FILE *maps = fopen("/proc/self/maps", "r");
    while (fgets(line, sizeof line, maps))
        if (!strncmp(line, start, strlen(start)))
            found = strstr(line, "/maps_name_the_file/named\n") && strstr(line, " r--s ");
    say("found %d", found);
}
