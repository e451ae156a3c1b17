// TCP and UDP over the loopback address: connect, accept, options, errors, poll.
// run: --net loopback
#include "guest.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

static struct sockaddr_in local(void)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return name;
}
static int listener(struct sockaddr_in *name)
{
    socklen_t length = sizeof *name;
    int server = MUST(socket(AF_INET, SOCK_STREAM, 0));
    *name = local();
    SHOW(bind(server, (void *)name, sizeof *name));
    SHOW(listen(server, 8));
    SHOW(getsockname(server, (void *)name, &length));
    return server;
}
CASE(tcp)
{
    struct sockaddr_in name, peer;
    socklen_t length = sizeof peer;
    char buffer[64];
    int server = listener(&name);
    TRUE(name.sin_port != 0 && name.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
    pid_t child = fork();
    if (child == 0) {
        int client = MUST(socket(AF_INET, SOCK_STREAM, 0));
        MUST(connect(client, (void *)&name, sizeof name));
        MUST(send(client, "ping", 4, 0));
        int got = MUST(recv(client, buffer, 64, 0));
        int matches = got == 5 && !memcmp(buffer, "pong!", 5);
        MUST(shutdown(client, SHUT_WR));
        _exit(matches && recv(client, buffer, 64, 0) == 0 ? 41 : 1);
    }
    int accepted = accept(server, (void *)&peer, &length);
    TRUE(accepted >= 0 && peer.sin_family == AF_INET && length == sizeof peer);
    SHOW(recv(accepted, buffer, 64, 0));
    SHOW(send(accepted, "pong!", 5, 0));
    SHOW(recv(accepted, buffer, 64, 0));
    MUST(close(accepted));
    wait_for("client", child);
}
CASE(large_transfer)
{
    struct sockaddr_in name;
    int server = listener(&name);
    pid_t child = fork();
    if (child == 0) {
        static char block[100000];
        int client = MUST(socket(AF_INET, SOCK_STREAM, 0));
        MUST(connect(client, (void *)&name, sizeof name));
        for (int round = 0; round < 30; round++) {
            memset(block, round, sizeof block);
            for (size_t done = 0; done < sizeof block;)
                done += MUST(write(client, block + done, sizeof block - done));
        }
        _exit(0);
    }
    int accepted = MUST(accept(server, NULL, NULL));
    static unsigned char buffer[65536];
    unsigned long total = 0, sum = 0;
    ssize_t length;
    while ((length = read(accepted, buffer, sizeof buffer)) > 0)
        for (ssize_t at = 0; at < length; at++)
            total++, sum += buffer[at];
    say("%lu %lu", total, sum);
    wait_for("client", child);
}
CASE(udp)
{
    struct sockaddr_in name = local(), peer;
    socklen_t length = sizeof name;
    char buffer[16];
    int server = MUST(socket(AF_INET, SOCK_DGRAM, 0)), client = MUST(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0));
    SHOW(bind(server, (void *)&name, sizeof name));
    SHOW(getsockname(server, (void *)&name, &length));
    SHOW(sendto(client, "datagram", 8, 0, (void *)&name, sizeof name));
    length = sizeof peer;
    SHOW(recvfrom(server, buffer, 16, 0, (void *)&peer, &length));
    SHOW(sendto(server, "answer", 6, 0, (void *)&peer, length));
    struct pollfd polled = {client, POLLIN, 0};
    SHOW(poll(&polled, 1, 2000));
    SHOW(recv(client, buffer, 16, 0)), SHOW(recv(client, buffer, 16, 0));
    SHOW(connect(client, (void *)&name, sizeof name)), SHOW(send(client, "again", 5, 0)), SHOW(recv(server, buffer, 2, MSG_TRUNC));
}
CASE(datagrams_with_part_of_a_checksum)
{
    struct sockaddr_in name = local(), from;
    socklen_t length = sizeof name;
    char buffer[64];
    int one = MUST(socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE)), other = MUST(socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE));
    MUST(bind(one, (void *)&name, sizeof name));
    MUST(getsockname(one, (void *)&name, &length));
    int covered = 20, got = 0;
    SHOW(setsockopt(other, IPPROTO_UDPLITE, 10 /* UDPLITE_SEND_CSCOV */, &covered, sizeof covered));
    length = sizeof got;
    SHOW(getsockopt(other, IPPROTO_UDPLITE, 10, &got, &length));
    say("%d", got);
    SHOW(sendto(other, "lite datagram", 13, 0, (void *)&name, sizeof name));
    length = sizeof from;
    SHOW(recvfrom(one, buffer, sizeof buffer, 0, (void *)&from, &length));
    say("%.13s from %s", buffer, inet_ntoa(from.sin_addr));
    SHOW(connect(other, (void *)&name, sizeof name));
    SHOW(send(other, "again", 5, 0));
    SHOW(recv(one, buffer, sizeof buffer, 0));
}
CASE(options_and_errors)
{
    struct sockaddr_in name = local(), other;
    socklen_t length = sizeof(int);
    int value = 1, fd = MUST(socket(AF_INET, SOCK_STREAM, 0));
    SHOW(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, sizeof value)), SHOW(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, sizeof value));
    value = 0;
    SHOW(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &length));
    say("%d", value);
    SHOW(getsockopt(fd, SOL_SOCKET, SO_ERROR, &value, &length)), SHOW(getsockopt(fd, SOL_SOCKET, 9999, &value, &length)), SHOW(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &value, 1));
    SHOW(send(fd, "x", 1, MSG_NOSIGNAL)), SHOW(recv(fd, &value, 1, 0)), SHOW(getpeername(fd, (void *)&other, &length)), SHOW(listen(999, 1)), SHOW(accept(fd, NULL, NULL));
    name.sin_port = htons(1);
    SHOW(connect(fd, (void *)&name, sizeof name)), SHOW(connect(fd, (void *)&name, 3)), SHOW(bind(fd, (void *)1, sizeof name));
    name.sin_family = 77;
    SHOW(connect(fd, (void *)&name, sizeof name));
    SHOW(socket(77, SOCK_STREAM, 0)), SHOW(socket(AF_INET, 77, 0)), SHOW(socket(AF_INET, SOCK_STREAM, IPPROTO_UDP));
    int taken = listener(&name), second = MUST(socket(AF_INET, SOCK_STREAM, 0));
    TRUE(taken >= 0);
    SHOW(bind(second, (void *)&name, sizeof name));
    int file = MUST(open("/dev/null", O_RDWR));
    SHOW(connect(file, (void *)&name, sizeof name)), SHOW(getsockname(file, (void *)&name, &length));
}
CASE(non_blocking_connect)
{
    struct sockaddr_in name;
    int value = -1, server = listener(&name), client = MUST(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    socklen_t length = sizeof value;
    int result = connect(client, (void *)&name, sizeof name);
    TRUE(result == 0 || errno == EINPROGRESS);
    struct pollfd polled = {client, POLLOUT, 0};
    SHOW(poll(&polled, 1, 2000));
    SHOW(getsockopt(client, SOL_SOCKET, SO_ERROR, &value, &length));
    say("%d", value);
    SHOW(recv(client, &value, 1, 0));
    MUST(fcntl(server, F_SETFL, O_NONBLOCK));
    OK(accept(server, NULL, NULL)), OK(accept(server, NULL, NULL));
}
