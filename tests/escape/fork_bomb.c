// A fork bomb that ends by itself once fork is refused.
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <unistd.h>
int main(void)
{
    for (int made = 0; made < 20000; made++) {
        pid_t child = fork();
        if (child == 0)
            pause();
        if (child < 0 && errno == EAGAIN) {
            signal(SIGTERM, SIG_IGN);
            kill(0, SIGKILL);
        }
    }
    return 1;
}
