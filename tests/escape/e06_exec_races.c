// Class 6: a thread does its worst to a process in the middle of an exec: memory, descriptors, signals, forged calls. The process may fail
// or die; the supervisor serves on. (A signal sent again and again once kept it busy for ever, a killed leader once made it wait for ever.)
#include "escape.h"
enum { LOADER_BASE_MB, CLOSING, REPLACING, HANDLED_SIGNAL, STOPPING, KILLING, FORGING, PATH, KINDS };
static int kind;
static char path[64];
static volatile int ready;

static void handler(int number)
{
    struct stat status;
    stat("/", &status);
    (void)number;
}
static void *attacker(void *unused)
{
    unsigned chance = (unsigned)getpid();
    ready = 1;
    for (;;) {
        chance = chance * 1103515245 + 12345;
        switch (kind) {
        case LOADER_BASE_MB: munmap((void *)0x5F0000000000, 0x20000); break;
        case CLOSING: for (int fd = 3; fd < 8; fd++) close(fd); break;
        case REPLACING: for (int fd = 3; fd < 8; fd++) dup2(0, fd); break;
        case HANDLED_SIGNAL: syscall(SYS_tgkill, getpid(), getpid(), SIGUSR1); break;
        case STOPPING: kill(getpid(), chance >> 8 & 1 ? SIGSTOP : SIGCONT); break;
        case KILLING: if ((chance >> 8) % 64 == 0) kill(getpid(), SIGKILL); break;
        case FORGING: syscall(1022, 0, 0, 0, 0, 0, 0), syscall(SYS_execveat, 3, "", NULL, NULL, AT_EMPTY_PATH); break;
        case PATH: strcpy(path, chance >> 8 & 1 ? "/bin/true" : secret); break;
        }
    }
    return unused;
}
static void *execute(void *unused)
{
    char *arguments[] = {path, NULL};
    while (!ready)
        ;
    for (int attempt = 0; attempt < 50; attempt++) {
        strcpy(path, "/bin/true");
        execve(path, arguments, NULL);
    }
    _exit(7);
    return unused;
}
static void victim(int from_thread)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
    pthread_t first, second;
    sigaction(SIGUSR1, &action, NULL);
    pthread_create(&first, NULL, attacker, NULL);
    if (!from_thread)
        execute(NULL);
    pthread_create(&second, NULL, execute, NULL);
    for (;;)
        pause();
}
static void wait_for(pid_t child)
{
    int status;
    for (int turn = 0; turn < 3000; turn++) {
        if (waitpid(child, &status, WNOHANG) == child)
            return;
        if (turn % 3 == 0)
            kill(child, SIGCONT);
        usleep(1000);
    }
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
}
static void attack(void)
{
    for (kind = 0; kind < KINDS; kind++)
        for (int round = 0; round < 6; round++) {
            pid_t child = fork();
            if (child == 0)
                victim(round & 1);
            wait_for(child);
        }
    pid_t child = fork();
    if (child == 0) {
        execl("/bin/true", "true", NULL);
        _exit(1);
    }
    int status = 1;
    HOLE_IF(waitpid(child, &status, 0) != child || status != 0);
}
