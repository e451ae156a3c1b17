/* Class 17 with class 1: addresses and descriptors are exchanged while a call names them. argv[1]: rounds. 203.0.113.7 port 80 and UDP port
 * 53530 are granted, port 7777 is not; who reaches it is told by the host. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_in stream = {.sin_family = AF_INET}, datagram = {.sin_family = AF_INET};
static atomic_int done;
static int target;

static void *exchange(void *unused)
{
    int tcp = socket(AF_INET, SOCK_STREAM, 0), udp = socket(AF_INET, SOCK_DGRAM, 0);
    (void)unused;
    while (!done) {
        __atomic_store_n(&stream.sin_port, htons(7777), __ATOMIC_RELAXED);
        __atomic_store_n(&datagram.sin_port, htons(7777), __ATOMIC_RELAXED);
        dup2(udp, target);
        __atomic_store_n(&stream.sin_port, htons(80), __ATOMIC_RELAXED);
        __atomic_store_n(&datagram.sin_port, htons(53530), __ATOMIC_RELAXED);
        dup2(tcp, target);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t thread;
    long rounds = argc > 1 ? atol(argv[1]) : 100, through = 0;
    inet_pton(AF_INET, "203.0.113.7", &stream.sin_addr);
    datagram.sin_addr = stream.sin_addr;
    target = socket(AF_INET, SOCK_DGRAM, 0);
    pthread_create(&thread, NULL, exchange, NULL);
    for (long round = 0; round < rounds; round++) {
        struct iovec part = {"x", 1};
        struct msghdr message = {.msg_name = &datagram, .msg_namelen = sizeof datagram, .msg_iov = &part, .msg_iovlen = 1};
        struct mmsghdr many[2] = {{.msg_hdr = message}, {.msg_hdr = message}};
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        through += connect(fd, (void *)&stream, sizeof stream) == 0;
        close(fd);
        connect(target, (void *)&stream, sizeof stream);
        fd = socket(AF_INET, SOCK_DGRAM, 0);
        sendto(fd, "x", 1, 0, (void *)&datagram, sizeof datagram);
        sendmsg(fd, &message, 0);
        sendmmsg(fd, many, 2, 0);
        connect(fd, (void *)&datagram, sizeof datagram);
        send(fd, "x", 1, 0);
        close(fd);
    }
    done = 1;
    pthread_join(thread, NULL);
    puts(through ? "raced" : "nothing got through");
    return 0;
}
