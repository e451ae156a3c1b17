// Makes, opens and unlinks FIFOs, some with an opener that is killed while it waits; says "done" and waits for its input to end.
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void)
{
    char name[64], byte;
    for (int index = 0; index < 700; index++) {
        sprintf(name, "fifo%d", index);
        mkfifo(name, 0600);
        pid_t child = index % 4 ? 0 : fork();
        if (child == 0 && index % 4 == 0) {
            open(name, O_RDONLY);
            _exit(0);
        }
        if (child > 0) {
            kill(child, SIGKILL);
            waitpid(child, NULL, 0);
        } else
            close(open(name, O_RDWR));
        unlink(name);
    }
    write(1, "done\n", 5);
    return read(0, &byte, 1) < 0;
}
