"""Socket addresses as a guest passes them: copied once, bounded, and taken apart.

Owns the decoding of sockaddr; decides nothing. An adversarial guest can send any length and bytes: the copy is at most 128 bytes and
the family is only compared. Source: unix(7), ip(7), Linux net/socket.c (move_addr_to_kernel), net/unix/af_unix.c (unix_validate_addr).
"""

from __future__ import annotations

from collections.abc import Container
from typing import TYPE_CHECKING, Final, NamedTuple

from pylibos.abi.errno import Errno
from pylibos.abi.sockets import ADDRESS_MAX, AF_INET, AF_INET6, AF_UNIX, UNIX_PATH_MAX
from pylibos.emulation.errors import SyscallError

if TYPE_CHECKING:
    from pylibos.emulation.guest import GuestMemory

OWN_IPV4: Final = bytes((198, 18, 0))
"""The sandbox's own network, a /24: its interface and its name server (monitor/network/rules.py)."""
OWN_IPV6: Final = bytes.fromhex("fd70796c69626f73")
"""The same, a /64."""


class SocketAddress(NamedTuple):
    """family as in sa_family; body: the bytes after it."""

    family: int
    body: bytes

    @property
    def is_abstract(self) -> bool:
        """An AF_UNIX name in the abstract name space (or none at all: autobind)."""
        return self.family == AF_UNIX and self.body[:1] in (b"", b"\0")

    @property
    def port(self) -> int:
        """The port of an internet address."""
        return int.from_bytes(self.body[:2], "big")

    @property
    def unix_path(self) -> bytes:
        """The path of an AF_UNIX address: up to its NUL, or all of it. Raises EINVAL when it is too long."""
        if len(self.body) > UNIX_PATH_MAX:
            raise SyscallError(Errno.EINVAL)
        return self.body.partition(b"\0")[0]


def read_address(memory: GuestMemory, address: int, size: int) -> SocketAddress:
    """Copy a socket address. Raises EINVAL (size negative, over 128, or without a family), EFAULT."""
    if not 2 <= size <= ADDRESS_MAX:
        raise SyscallError(Errno.EINVAL)
    raw = memory.read(address, size)
    return SocketAddress(raw[0] | raw[1] << 8, raw[2:])


class Destination(NamedTuple):
    """An internet address outside of the sandbox: its text without brackets, and the port."""

    host: str
    port: int

    def uri(self, protocol: bytes) -> bytes:
        """The host's name of the way there. protocol: b"tcp" or b"udp"."""
        return b"%s:%s/%d" % (protocol, self.host.encode(), self.port)


_IPV4_END: Final = 6
"""Port and address of a sockaddr_in without its family."""
_IPV6_END: Final = 22
_MAPPED: Final = bytes(10) + b"\xff\xff"
_OWN_IPV6: Final = frozenset((bytes(16), bytes(15) + b"\1"))


def destination(name: SocketAddress, host_ports: Container[int] = ()) -> Destination | None:
    """What an address names outside of the sandbox; None when it is the sandbox's own (loopback, OWN_NETWORKS), or no internet address.

    host_ports: ports of the loopback that policy gives to the host's. An address too short for its family is the kernel's to refuse.
    """
    body = name.body
    if name.family == AF_INET and len(body) >= _IPV4_END:
        address = body[2:_IPV4_END]
    elif name.family == AF_INET6 and len(body) >= _IPV6_END:
        address = body[6:_IPV6_END]
        if address.startswith(_MAPPED):
            address = address[12:]
    else:
        return None
    port = body[0] << 8 | body[1]
    if len(address) == 4:
        loopback = address[0] == 127 or not any(address)
        if (loopback and port not in host_ports) or address[:3] == OWN_IPV4:
            return None
        return Destination("127.0.0.1" if not any(address) else ".".join(map(str, address)), port)
    loopback = address in _OWN_IPV6
    if (loopback and port not in host_ports) or address[:8] == OWN_IPV6:
        return None
    text = ":".join(f"{address[at] << 8 | address[at + 1]:x}" for at in range(0, 16, 2))
    return Destination("::1" if loopback else text, port)
