// One program as every kind of ELF file: what the loader gives it and what its run time library needs.
// variants: pie nopie static static-pie musl musl-static
// status: 5
#define GUEST_OWN_MAIN
#include "guest.h"
#include <elf.h>
#include <sys/auxv.h>

static __thread int thread_local = 7;
static int constructed;
__attribute__((constructor)) static void construct(void)
{
    constructed = 1;
}
static void at_exit(void)
{
    say("exit handler");
}
static double compute(double x)
{
    return x * 1.5;
}
int main(int argc, char **argv, char **envp)
{
    say("argc %d argv0 %d end %d", argc, argv[0][0] == '/', argv[argc] == NULL);
    say("environment %d HOME %d", envp[0] != NULL, getenv("HOME") != NULL);
    say("constructed %d thread local %d", constructed, thread_local);
    say("page size %lu", getauxval(AT_PAGESZ));
    say("entry %d headers %d count %d", getauxval(AT_ENTRY) != 0, getauxval(AT_PHDR) != 0, getauxval(AT_PHNUM) > 0);
    say("random %d secure %lu", getauxval(AT_RANDOM) != 0, getauxval(AT_SECURE));
    say("vdso %d", getauxval(AT_SYSINFO_EHDR) != 0 && !memcmp((void *)getauxval(AT_SYSINFO_EHDR), ELFMAG, 4));
    say("uid %d gid %d", getauxval(AT_UID) == getuid(), getauxval(AT_EGID) == getegid());
    say("execfn %d", getauxval(AT_EXECFN) && !strcmp((char *)getauxval(AT_EXECFN), argv[0]));
    say("platform %s", getauxval(AT_PLATFORM) ? (char *)getauxval(AT_PLATFORM) : "none");
    say("clock ticks %lu hwcap %d", getauxval(AT_CLKTCK), getauxval(AT_HWCAP) != 0);
    say("stack aligned %d", ((uintptr_t)__builtin_frame_address(0) & 15) == 0);
    struct timespec now;
    say("clock %d", clock_gettime(CLOCK_REALTIME, &now) == 0 && now.tv_sec > 1600000000);
    char *memory = malloc(1 << 20);
    memset(memory, 1, 1 << 20);
    say("malloc %d", memory[1000]);
    free(memory);
    say("floating point %.2f", compute(argc * 2.5));
    FILE *file = fopen("written", "w");
    fprintf(file, "by stdio %d\n", 42);
    fclose(file);
    show_file("written");
    char buffer[64];
    file = fopen("written", "r");
    say("%s", fgets(buffer, sizeof buffer, file) ? "read back" : "nothing");
    fclose(file);
    pid_t child = fork();
    if (child == 0) {
        execl("/bin/echo", "echo", "from exec", NULL);
        _exit(1);
    }
    wait_for("child", child);
    atexit(at_exit);
    printf("through stdio, flushed at exit\n");
    return 5;
}
