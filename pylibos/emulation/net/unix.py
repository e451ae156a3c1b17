"""Path names of AF_UNIX sockets: the guest's view has the name, the host kernel has the socket.

A socket that a guest binds to a path is bound on the host to an abstract name made up here, in the guests' own network name space, and
the path gets a socket node in the view. Whoever connects to the node connects to the abstract name; whoever asks for the socket's
name is shown the path. Listening, queues, credentials and passed descriptors stay native.

Owns the three-way table node - host name - shown path. Must not know threads, descriptors or engines. An adversarial guest can bind
any number of sockets: the table keeps NAMES_MAX, the oldest is forgotten (its node then refuses connections, as after its server's end).
Sources: unix(7); Linux net/unix/af_unix.c (unix_bind_bsd, unix_find_bsd).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pylibos.emulation.fs.inode import Inode

NAMES_MAX: Final = 4096
NAME_SIZE: Final = 6
"""Bytes of a host name, its leading NUL included: with the family it fits behind a struct msghdr in 64 bytes (runtime/translated.py)."""


class UnixNames:
    """Which abstract name stands for which socket node."""

    __slots__ = ("_host_names", "_shown")

    def __init__(self) -> None:
        self._host_names: dict[tuple[int, int], bytes] = {}
        self._shown: dict[bytes, bytes] = {}

    @staticmethod
    def make(random: bytes) -> bytes:
        """A new host name from NAME_SIZE - 1 random bytes. Not text: what the kernel chooses for an autobind is five hexadecimal digits."""
        return b"\0" + bytes(0x80 | byte for byte in random[: NAME_SIZE - 1])

    def enter(self, inode: Inode, host_name: bytes, shown: bytes) -> None:
        """A socket has been bound: inode is its node, shown the address body its owner gave."""
        while len(self._shown) >= NAMES_MAX:
            del self._shown[next(iter(self._shown))]
        while len(self._host_names) >= NAMES_MAX:
            del self._host_names[next(iter(self._host_names))]
        self._host_names[inode.device, inode.number] = host_name
        self._shown[host_name] = shown

    def find(self, inode: Inode) -> bytes | None:
        """The host name of the socket bound to a node."""
        return self._host_names.get((inode.device, inode.number))

    def shown(self, host_name: bytes) -> bytes | None:
        """The address body a guest sees in place of a host name; None when it is not one of ours.

        A host name is an abstract one, or (LocalSockets) a path whose last component stands for it.
        """
        return self._shown.get(host_name if host_name[:1] == b"\0" else host_name.partition(b"\0")[0].rpartition(b"/")[2])
