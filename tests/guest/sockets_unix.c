// Unix sockets: pairs, messages, descriptors in messages, credentials, names in the file system, abstract names.
#include "guest.h"
#include <sys/socket.h>
#include <sys/un.h>

static void send_fd(int socket, int fd)
{
    char byte = 'f', control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec vector = {&byte, 1};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET, header->cmsg_type = SCM_RIGHTS, header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &fd, sizeof fd);
    SHOW(sendmsg(socket, &message, 0));
}
static int receive_fd(int socket, int flags)
{
    char byte, control[CMSG_SPACE(sizeof(int))] = {0};
    struct iovec vector = {&byte, 1};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    SHOW(recvmsg(socket, &message, flags));
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    int fd = -1;
    if (header && header->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(header), sizeof fd);
    return fd;
}
CASE(pairs)
{
    int fds[2], type;
    socklen_t length = sizeof type;
    char buffer[16];
    SHOW(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    SHOW(write(fds[0], "hello", 5)), SHOW(read(fds[1], buffer, 16));
    SHOW(send(fds[1], "there", 5, MSG_NOSIGNAL)), SHOW(recv(fds[0], buffer, 16, MSG_PEEK)), SHOW(recv(fds[0], buffer, 2, 0)), SHOW(recv(fds[0], buffer, 16, 0));
    SHOW(recv(fds[0], buffer, 1, MSG_DONTWAIT));
    SHOW(getsockopt(fds[0], SOL_SOCKET, SO_TYPE, &type, &length));
    say("type %d", type);
    SHOW(shutdown(fds[0], SHUT_WR)), SHOW(read(fds[1], buffer, 1)), SHOW(write(fds[1], "x", 1)), SHOW(read(fds[0], buffer, 1));
    signal(SIGPIPE, SIG_IGN);
    MUST(close(fds[1]));
    SHOW(send(fds[0], "x", 1, 0)), SHOW(recv(fds[0], buffer, 1, 0));
    int unused[2]; /* Linux writes numbers there even when it fails */
    SHOW(socketpair(AF_UNIX, 77, 0, unused)), SHOW(socketpair(AF_UNIX, SOCK_STREAM, 77, unused)), SHOW(socketpair(AF_UNIX, SOCK_STREAM, 0, (void *)1));
    SHOW(lseek(fds[0], 0, SEEK_SET));
    int packets[2];
    SHOW(socketpair(AF_UNIX, SOCK_DGRAM, 0, packets));
    SHOW(send(packets[0], "one", 3, 0)), SHOW(send(packets[0], "twotwo", 6, 0)), SHOW(recv(packets[1], buffer, 2, MSG_TRUNC)), SHOW(recv(packets[1], buffer, 16, 0));
    SHOW(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, packets));
    SHOW(fcntl(packets[0], F_GETFD)), SHOW(!!(fcntl(packets[0], F_GETFL) & O_NONBLOCK)), SHOW(send(packets[0], "", 0, 0)), SHOW(recv(packets[1], buffer, 16, 0));
}
CASE(descriptors_in_messages)
{
    int fds[2], pipes[2];
    char buffer[32] = "";
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    make_file("f", "passed along", 0644);
    MUST(mkdir("d", 0755));
    make_file("d/inner", "by directory", 0644);
    int fd = MUST(open("f", O_RDONLY)), dir = MUST(open("d", O_RDONLY));
    send_fd(fds[0], fd), send_fd(fds[0], dir);
    pid_t child = fork();
    if (child == 0) {
        MUST(close(fd)), MUST(close(dir));
        int fd = receive_fd(fds[1], 0), dir = receive_fd(fds[1], MSG_CMSG_CLOEXEC);
        MUST(read(fd, buffer, 6));
        say("child read %s", buffer);
        SHOW(fcntl(dir, F_GETFD));
        OK(openat(dir, "inner", O_RDONLY));
        struct stat status;
        MUST(fstat(dir, &status));
        say("directory %d", S_ISDIR(status.st_mode));
        SHOW(fchdir(dir));
        show_file("inner");
        MUST(pipe(pipes));
        send_fd(fds[1], pipes[0]);
        MUST(write(pipes[1], "piped", 5));
        _exit(0);
    }
    wait_for("child", child);
    memset(buffer, 0, sizeof buffer);
    MUST(read(fd, buffer, 31)); /* the position is shared */
    say("parent reads on:%s", buffer);
    int from = receive_fd(fds[0], 0);
    memset(buffer, 0, sizeof buffer);
    SHOW(read(from, buffer, 31));
    say("%s", buffer);
    send_fd(fds[0], 999);
}
CASE(credentials)
{
    struct ucred peer;
    socklen_t length = sizeof peer;
    int fds[2], on = 1;
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, fds));
    SHOW(getsockopt(fds[0], SOL_SOCKET, SO_PEERCRED, &peer, &length));
    say("%d %d %d", peer.pid == getpid(), peer.uid == getuid(), peer.gid == getgid());
    SHOW(setsockopt(fds[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
    pid_t child = fork();
    if (child == 0) {
        MUST(write(fds[0], "x", 1));
        _exit(0);
    }
    char byte, control[256];
    struct iovec vector = {&byte, 1};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    SHOW(recvmsg(fds[1], &message, 0));
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_type == SCM_CREDENTIALS) {
        memcpy(&peer, CMSG_DATA(header), sizeof peer);
        say("%d %d %d", peer.pid == child, peer.uid == getuid(), peer.gid == getgid());
    }
    wait_for("child", child);
}
static socklen_t address(struct sockaddr_un *name, const char *path)
{
    memset(name, 0, sizeof *name);
    name->sun_family = AF_UNIX;
    strcpy(name->sun_path, path);
    return offsetof(struct sockaddr_un, sun_path) + strlen(path) + 1;
}
CASE(names_in_the_file_system)
{
    struct sockaddr_un name, peer;
    socklen_t length = address(&name, "socket"), peer_length = sizeof peer;
    char buffer[16];
    int server = MUST(socket(AF_UNIX, SOCK_STREAM, 0)), client = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    SHOW(connect(client, (void *)&name, length));
    SHOW(bind(server, (void *)&name, length));
    SHOW(connect(client, (void *)&name, length));
    SHOW(listen(server, 5));
    show_mode("socket");
    SHOW(open("socket", O_RDWR));
    int other = MUST(socket(AF_UNIX, SOCK_STREAM, 0));
    SHOW(bind(other, (void *)&name, length));
    pid_t child = fork();
    if (child == 0) {
        MUST(connect(client, (void *)&name, length));
        MUST(write(client, "request", 7));
        MUST(read(client, buffer, 5));
        _exit(!memcmp(buffer, "reply", 5) ? 41 : 1);
    }
    int accepted = accept4(server, (void *)&peer, &peer_length, SOCK_CLOEXEC);
    TRUE(accepted >= 0);
    SHOW(fcntl(accepted, F_GETFD));
    SHOW(read(accepted, buffer, 16)), SHOW(write(accepted, "reply", 5));
    wait_for("client", child);
    peer_length = sizeof peer;
    SHOW(getsockname(server, (void *)&peer, &peer_length));
    say("%s", peer.sun_path);
    MUST(unlink("socket"));
    SHOW(connect(other, (void *)&name, length));
    make_file("plain", "", 0644);
    length = address(&name, "plain");
    SHOW(connect(other, (void *)&name, length)), SHOW(bind(other, (void *)&name, length));
}
CASE(messages_to_paths)
{
    struct sockaddr_un name, none;
    socklen_t length = address(&name, "datagrams"), none_length = address(&none, "nobody");
    char buffer[16] = "";
    int pair[2], server = MUST(socket(AF_UNIX, SOCK_DGRAM, 0)), client = MUST(socket(AF_UNIX, SOCK_DGRAM, 0));
    MUST(bind(server, (void *)&name, length));
    MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    struct iovec parts[2] = {{"one ", 4}, {"message", 7}};
    char space[CMSG_SPACE(sizeof(int))] = "";
    struct msghdr message = {.msg_name = &name, .msg_namelen = length, .msg_iov = parts, .msg_iovlen = 2, .msg_control = space,
                             .msg_controllen = sizeof space};
    struct cmsghdr *part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET, part->cmsg_type = SCM_RIGHTS, part->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(part), &pair[1], sizeof(int));
    SHOW(sendmsg(client, &message, 0));
    TRUE(message.msg_name == &name && message.msg_namelen == length && message.msg_iov == parts);
    struct iovec room = {buffer, 16};
    char received[CMSG_SPACE(sizeof(int))];
    struct msghdr got = {.msg_iov = &room, .msg_iovlen = 1, .msg_control = received, .msg_controllen = sizeof received};
    SHOW(recvmsg(server, &got, 0));
    say("%.11s", buffer);
    int passed;
    memcpy(&passed, CMSG_DATA(CMSG_FIRSTHDR(&got)), sizeof passed);
    SHOW(write(passed, "x", 1)), SHOW(read(pair[0], buffer, 16));
    message.msg_name = &none, message.msg_namelen = none_length;
    SHOW(sendmsg(client, &message, 0));
    make_file("plain", "", 0644);
    message.msg_namelen = address(&none, "plain");
    SHOW(sendmsg(client, &message, 0));
    message.msg_namelen = 1;
    SHOW(sendmsg(client, &message, 0));
    message.msg_namelen = 300;
    SHOW(sendmsg(client, &message, 0));
    message.msg_name = NULL, message.msg_namelen = 0;
    SHOW(sendmsg(client, &message, 0));
    SHOW(connect(client, (void *)&name, length));
    SHOW(sendmsg(client, &message, 0));
    SHOW(sendto(client, "two", 3, 0, (void *)&name, length));
    SHOW(recv(server, buffer, 16, 0)), SHOW(recv(server, buffer, 16, 0));
}
CASE(abstract_names)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int server = MUST(socket(AF_UNIX, SOCK_DGRAM, 0)), client = MUST(socket(AF_UNIX, SOCK_DGRAM, 0));
    int length = offsetof(struct sockaddr_un, sun_path) + 1 + snprintf(name.sun_path + 1, 90, "pylibos-test-%d", getpid());
    SHOW(sendto(client, "x", 1, 0, (void *)&name, length));
    SHOW(bind(server, (void *)&name, length));
    SHOW(sendto(client, "xyz", 3, 0, (void *)&name, length));
    char buffer[8];
    SHOW(recv(server, buffer, 8, 0));
}
