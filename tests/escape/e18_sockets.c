// Class 18: no Unix socket of the host, named or abstract, and no other address family that leads out.
#include "escape.h"
static void attack(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s/socket", canary);
    HOLE_IF(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    static const char *abstract[] = {"/tmp/.X11-unix/X0", "/run/dbus/system_bus_socket", "pylibos-test-abstract"};
    for (int index = 0; index < 3; index++) {
        memset(address.sun_path, 0, sizeof address.sun_path);
        strcpy(address.sun_path + 1, abstract[index]);
        HOLE_IF(connect(fd, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(abstract[index]))) == 0);
    }
    static const int families[] = {AF_NETLINK, AF_PACKET, AF_VSOCK, AF_ALG, AF_BLUETOOTH, AF_KEY, AF_TIPC, AF_XDP};
    for (unsigned index = 0; index < sizeof families / sizeof *families; index++)
        if (families[index] != AF_NETLINK)
            HOLE_IF(socket(families[index], SOCK_RAW, 0) >= 0);
    HOLE_IF(socket(AF_INET, SOCK_RAW, 1) >= 0);
}
