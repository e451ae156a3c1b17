// Class 17: without a rule no spelling of an address leads out, to the host's loopback, its link or its name servers.
#include "escape.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

static int reaches(int family, const char *text, int port, int kind)
{
    struct sockaddr_storage name = {.ss_family = (sa_family_t)family};
    socklen_t size = family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
    int fd = socket(family, kind, 0), one = 1;
    if (fd < 0)
        return 0; /* no network at all */
    if (family == AF_INET) {
        ((struct sockaddr_in *)&name)->sin_port = htons((uint16_t)port);
        inet_pton(family, text, &((struct sockaddr_in *)&name)->sin_addr);
    } else {
        ((struct sockaddr_in6 *)&name)->sin6_port = htons((uint16_t)port);
        inet_pton(family, text, &((struct sockaddr_in6 *)&name)->sin6_addr);
    }
    setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &one, sizeof one);
    struct iovec part = {"x", 1};
    struct msghdr message = {.msg_name = &name, .msg_namelen = size, .msg_iov = &part, .msg_iovlen = 1};
    struct mmsghdr many = {.msg_hdr = message};
    int reached = 0;
    if (kind == SOCK_DGRAM)
        reached |= sendto(fd, "x", 1, 0, (void *)&name, size) == 1 || sendmsg(fd, &message, 0) == 1 || sendmmsg(fd, &many, 1, 0) == 1;
    else
        reached |= sendto(fd, "x", 1, MSG_FASTOPEN, (void *)&name, size) == 1;
    reached |= connect(fd, (void *)&name, size) == 0;
    close(fd);
    return reached;
}

static void attack(void)
{
    static const char *four[] = {"8.8.8.8", "169.254.169.254", "192.0.2.1", "198.18.0.53", "224.0.0.251", "255.255.255.255", "10.0.2.2"};
    static const char *six[] = {"2001:4860:4860::8888", "::ffff:8.8.8.8", "::ffff:169.254.169.254", "fe80::1", "ff02::1", "64:ff9b::808:808",
                                "fd70:796c:6962:6f73::53", "::8.8.8.8"};
    static const int kinds[] = {SOCK_STREAM, SOCK_DGRAM};
    for (int kind = 0; kind < 2; kind++) {
        for (unsigned index = 0; index < sizeof four / sizeof *four; index++)
            HOLE_IF(reaches(AF_INET, four[index], 53, kinds[kind]));
        for (unsigned index = 0; index < sizeof six / sizeof *six; index++)
            HOLE_IF(reaches(AF_INET6, six[index], 53, kinds[kind]));
    }
    /* The loopback is the sandbox's own: none of the host's ports answers. */
    for (int port = 1; port < 1024; port++)
        HOLE_IF(reaches(AF_INET, "127.0.0.1", port, SOCK_STREAM));
}
