"""Socket addresses as a guest passes them: copied once, bounded, and taken apart.

Owns the decoding of sockaddr; decides nothing. An adversarial guest can send any length and bytes: the copy is at most 128 bytes and
the family is only compared. Source: unix(7), ip(7), Linux net/socket.c (move_addr_to_kernel), net/unix/af_unix.c (unix_validate_addr).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pylibos.abi.errno import Errno
from pylibos.abi.sockets import ADDRESS_MAX, AF_UNIX, UNIX_PATH_MAX
from pylibos.emulation.errors import SyscallError

if TYPE_CHECKING:
    from pylibos.emulation.guest import GuestMemory


class SocketAddress(NamedTuple):
    """family as in sa_family; body: the bytes after it."""

    family: int
    body: bytes

    @property
    def is_abstract(self) -> bool:
        """An AF_UNIX name in the abstract name space (or none at all: autobind)."""
        return self.family == AF_UNIX and self.body[:1] in (b"", b"\0")

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
