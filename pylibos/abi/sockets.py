"""Socket constants. Pure data.

Source: Linux 6.18 include/linux/{socket,net}.h, include/uapi/asm-generic/socket.h, include/uapi/linux/un.h.
"""

from __future__ import annotations

from typing import Final

AF_UNSPEC: Final = 0
AF_UNIX: Final = 1
AF_INET: Final = 2
AF_INET6: Final = 10
AF_NETLINK: Final = 16

SOCK_STREAM: Final = 1
SOCK_DGRAM: Final = 2
SOCK_RAW: Final = 3
SOCK_SEQPACKET: Final = 5
SOCK_TYPE_MASK: Final = 0xF
SOCK_NONBLOCK: Final = 0o4000
SOCK_CLOEXEC: Final = 0o2000000

NETLINK_ROUTE: Final = 0
IPPROTO_TCP: Final = 6
IPPROTO_UDP: Final = 17
IPPROTO_UDPLITE: Final = 136

SOL_SOCKET: Final = 1
SO_PEERCRED: Final = 17
SO_PEERPIDFD: Final = 77

SOCKET_LEVELS: Final = frozenset((0, SOL_SOCKET, IPPROTO_TCP, IPPROTO_UDP, 41, 58, IPPROTO_UDPLITE, 270))
"""IP, SOCKET, TCP, UDP, IPV6, ICMPV6, UDP-Lite, NETLINK: levels whose options concern the socket itself."""

MSG_FASTOPEN: Final = 0x2000_0000

ADDRESS_MAX: Final = 128
"""sizeof(struct sockaddr_storage)."""
UNIX_PATH_MAX: Final = 108
