// Network interfaces: names and numbers, ioctls, getifaddrs. The loopback is there natively and inside.
#include "guest.h"
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

CASE(names)
{
    char name[IF_NAMESIZE] = "";
    SHOW(if_nametoindex("lo"));
    say("%s", if_indextoname(1, name));
    errno = 0;
    SHOW(if_nametoindex("nothing0"));
    int found = 0;
    struct if_nameindex *all = if_nameindex();
    for (struct if_nameindex *one = all; one && one->if_index; one++)
        found |= one->if_index == 1 && !strcmp(one->if_name, "lo");
    TRUE(found);
    if_freenameindex(all);
}
CASE(queries)
{
    int fd = MUST(socket(AF_INET, SOCK_DGRAM, 0));
    struct ifreq request = {.ifr_name = "lo"};
    SHOW(ioctl(fd, SIOCGIFINDEX, &request));
    say("%d", request.ifr_ifindex);
    SHOW(ioctl(fd, SIOCGIFFLAGS, &request));
    TRUE(request.ifr_flags & IFF_LOOPBACK && request.ifr_flags & IFF_UP);
    SHOW(ioctl(fd, SIOCGIFMTU, &request));
    say("%d", request.ifr_mtu);
    SHOW(ioctl(fd, SIOCGIFADDR, &request));
    say("%s", inet_ntoa(((struct sockaddr_in *)&request.ifr_addr)->sin_addr));
    SHOW(ioctl(fd, SIOCGIFNETMASK, &request));
    say("%s", inet_ntoa(((struct sockaddr_in *)&request.ifr_addr)->sin_addr));
    strcpy(request.ifr_name, "nothing0");
    SHOW(ioctl(fd, SIOCGIFINDEX, &request));
    request.ifr_ifindex = 1;
    SHOW(ioctl(fd, SIOCGIFNAME, &request));
    say("%s", request.ifr_name);
    char space[4096];
    struct ifconf list = {.ifc_len = sizeof space, .ifc_buf = space};
    SHOW(ioctl(fd, SIOCGIFCONF, &list));
    TRUE(list.ifc_len >= (int)sizeof(struct ifreq));
    say("%s", list.ifc_req[0].ifr_name);
    SHOW(ioctl(fd, SIOCGIFINDEX, NULL));
    int file = MUST(open(".", O_RDONLY));
    SHOW(ioctl(file, SIOCGIFINDEX, &request));
}
CASE(addresses)
{
    int four = 0, six = 0;
    struct ifaddrs *all = NULL;
    SHOW(getifaddrs(&all));
    for (struct ifaddrs *one = all; one; one = one->ifa_next)
        if (one->ifa_addr && !strcmp(one->ifa_name, "lo")) {
            four |= one->ifa_addr->sa_family == AF_INET &&
                    ((struct sockaddr_in *)one->ifa_addr)->sin_addr.s_addr == htonl(INADDR_LOOPBACK);
            six |= one->ifa_addr->sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&((struct sockaddr_in6 *)one->ifa_addr)->sin6_addr);
        }
    TRUE(four);
    TRUE(six);
    freeifaddrs(all);
}

