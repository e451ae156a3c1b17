"""AF_UNIX names of the guest's view, carried by abstract names of the guests' own network name space.

A socket bound to a path is, on the host, bound to a random abstract name (its token); the inode made for the path leads to it. Nothing
outside the private network name space can be reached by any abstract name, so what a guest may write over a token is harmless: at
worst it names another socket of its own sandbox, whose permission bits it then evades.

Owns the two tables and the Replace outcomes made of them. Both tables are bounded: the names of sockets bound very long ago are
forgotten first. Must not know descriptors: whether the socket is an AF_UNIX one the host kernel finds out, and refuses what does not fit.
Source: unix(7), Linux net/unix/af_unix.c (unix_bind_bsd, unix_find_bsd).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pylibos.abi.errno import Errno
from pylibos.abi.files import S_IFSOCK
from pylibos.abi.sockets import AF_UNIX
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.fs.names import discard, make_node
from pylibos.emulation.fs.permission import permitted
from pylibos.emulation.outcome import FORWARD, Forward, Replace

if TYPE_CHECKING:
    from pylibos.emulation.fs.inode import Inode
    from pylibos.emulation.process.thread import Thread

_WRITE: Final = 2
_SOCKET: Final = S_IFSOCK >> 12

TOKEN_SIZE: Final = 16
FAMILY: Final = bytes((AF_UNIX, 0))
_LIMIT: Final = 65536
CARRIER_SIZE: Final = len(FAMILY) + 1 + TOKEN_SIZE
"""Bytes of the host's address: family, a NUL (abstract), the token."""


class UnixNames:
    """Which inode and which path a bound socket has."""

    __slots__ = ("_by_inode", "_by_token")

    def __init__(self) -> None:
        self._by_inode: dict[tuple[int, int], bytes] = {}
        self._by_token: dict[bytes, bytes] = {}

    def add(self, inode: Inode, path: bytes, token: bytes) -> bytes:
        """Remember a binding; the address that carries it."""
        if len(self._by_token) >= _LIMIT:
            del self._by_token[next(iter(self._by_token))]
        if len(self._by_inode) >= _LIMIT:
            del self._by_inode[next(iter(self._by_inode))]
        self._by_inode[inode.volume.device, inode.number] = token
        self._by_token[token] = path
        return FAMILY + b"\0" + token

    def remove(self, inode: Inode) -> None:
        """Forget a binding that failed."""
        token = self._by_inode.pop((inode.volume.device, inode.number), None)
        if token is not None:
            self._by_token.pop(token, None)

    def carrier(self, inode: Inode) -> bytes | None:
        """The address a connection to this inode goes to; None when no socket of the sandbox was bound to it."""
        token = self._by_inode.get((inode.volume.device, inode.number))
        return None if token is None else FAMILY + b"\0" + token

    def name(self, address: bytes) -> bytes | None:
        """The guest's address for a host address that is a carrier; None when it is none."""
        if len(address) != CARRIER_SIZE or address[:3] != FAMILY + b"\0":
            return None
        path = self._by_token.get(address[3:])
        return None if path is None else FAMILY + path + b"\0"


def names_of(thread: Thread) -> UnixNames:
    """The sandbox's table, made when it is first needed."""
    executive = thread.executive
    if executive.unix_names is None:
        executive.unix_names = UnixNames()
    return executive.unix_names


def bind_path(thread: Thread, path: bytes) -> Replace:
    """bind to a path: its inode now, the host's binding to a new token as the call. Raises EADDRINUSE, a path walk's errors, EACCES."""
    files = thread.executive.files
    names = names_of(thread)
    try:
        inode = make_node(files, thread, None, path, S_IFSOCK | 0o777)
    except SyscallError as error:
        raise SyscallError(Errno.EADDRINUSE if error.errno is Errno.EEXIST else error.errno) from None
    address = names.add(inode, path, thread.executive.host.random_bytes(TOKEN_SIZE))

    def finish(result: int) -> int:
        if result < 0:
            names.remove(inode)
            directory, name, _slash = files.parent(thread, None, path)
            discard(files, thread, directory, name, inode)
        return result

    return Replace(address, 1, ((2, len(address)),), finish)


def send_to_path(thread: Thread, path: bytes, index: int) -> Replace:
    """connect or sendto with a path as arguments index and index + 1. Raises a path walk's errors, EACCES, ECONNREFUSED."""
    inode = thread.executive.files.find(thread, None, path)
    if not permitted(inode, thread.process.credentials, _WRITE):
        raise SyscallError(Errno.EACCES)
    address = names_of(thread).carrier(inode) if inode.kind == _SOCKET else None
    if address is None:
        raise SyscallError(Errno.ECONNREFUSED)
    return Replace(address, index, ((index + 1, len(address)),))


def with_names(thread: Thread, address: int, size: int) -> Forward | Replace:
    """A call that answers a socket's name at address, with its length at size: the guest's name in place of a carrier."""
    names = thread.executive.unix_names
    if names is None or not address or not size:
        return FORWARD
    memory = thread.memory
    try:
        room = int.from_bytes(memory.read(size, 4), "little")
    except SyscallError:
        return FORWARD  # the host will say so

    def finish(result: int) -> int:
        if result >= 0 and room >= CARRIER_SIZE and int.from_bytes(memory.read(size, 4), "little") == CARRIER_SIZE:
            name = names.name(memory.read(address, CARRIER_SIZE))
            if name is not None:
                memory.write(address, name[:room])
                memory.write(size, len(name).to_bytes(4, "little"))
        return result

    return Replace(finish=finish)
