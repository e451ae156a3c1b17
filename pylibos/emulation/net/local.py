"""AF_UNIX sockets of a sandbox that has no network name space: the host makes, binds and connects them.

There a name in a guest's own bind or connect could be any of the host's, so no such call is ever forwarded. The host makes a socket that is
bound or connected already, and the guest's descriptor is made to refer to it (Remote: dup2 by the guest itself). Everything after
that is native: listen, accept, the transfer, poll.

Owns which sockets are as socket(2) made them (only those are replaced: the others have a peer or a name), and the handles by which bound
ones can be connected to. Must not know paths. Bounded: SOCKETS_MAX, HANDLES_MAX; the oldest are forgotten (such a name then refuses
connections).
Differences: duplicates made before bind or connect keep the old socket; a client's own name is lost when it connects; connect never waits
for a full queue (EAGAIN); the server sees no process behind a client (SO_PEERCRED).
Sources: unix(7), dup(2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pylibos.abi.errno import Errno
from pylibos.abi.files import O_CLOEXEC, O_NONBLOCK
from pylibos.abi.sockets import SOCK_CLOEXEC, SOCK_NONBLOCK, SOCK_STREAM, SOCK_TYPE_MASK
from pylibos.abi.syscall_numbers import NUMBERS
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.outcome import DESCRIPTOR, Install, Remote
from pylibos.monitor.host_abi import Access, Create

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pylibos.emulation.process.thread import Thread
    from pylibos.monitor.host_abi import DescriptorIdentity, HostABI, HostStream

SOCKETS_MAX: Final = 4096
HANDLES_MAX: Final = 256
_F_SETFD: Final = 2
_FD_CLOEXEC: Final = 1
Key = tuple[int, int]


class LocalSockets:
    """All of one sandbox."""

    def __init__(self, host: HostABI) -> None:
        self._host = host
        self._fresh: dict[Key, bytes] = {}
        """(device, inode) -> kind of a socket without name and peer."""
        self._handles: dict[bytes, HostStream] = {}
        """label -> the host's name of a bound socket."""

    def make(self, kind: int) -> Install:
        """socket(2) of a type with its flags: stream or seqpacket."""
        name = b"stream" if kind & SOCK_TYPE_MASK == SOCK_STREAM else b"seqpacket"
        stream = self._host.stream_open(b"unix.new:" + name, Access.READ_WRITE, _create(bool(kind & SOCK_NONBLOCK)))
        attributes = self._host.stream_query_open(stream)
        while len(self._fresh) >= SOCKETS_MAX:
            del self._fresh[next(iter(self._fresh))]
        self._fresh[attributes.device, attributes.inode] = name
        return Install(stream, bool(kind & SOCK_CLOEXEC))

    def bind(self, thread: Thread, fd: int, identity: DescriptorIdentity, label: bytes, done: Callable[[], None]) -> Remote:
        """Have fd refer to a socket bound to a new name. done: told when it does. Raises EINVAL for a socket that has a name or peer."""
        kind = self._fresh.get((identity.device, identity.inode))
        if kind is None:
            raise SyscallError(Errno.EINVAL)
        flags = self._host.descriptor_state(thread.host_tid, fd)[0]
        stream, handle = self._host.stream_open_pair(b"unix.srv:%s/%s" % (kind, label), _create(bool(flags & O_NONBLOCK)))
        attributes = self._host.stream_query_open(stream)

        def finish(results: Sequence[int]) -> int:
            if not results or results[0] < 0:
                self._host.stream_close(handle)
                return results[0] if results else -int(Errno.EMFILE)
            while len(self._handles) >= HANDLES_MAX:
                self._host.stream_close(self._handles.pop(next(iter(self._handles))))
            self._handles[label] = handle
            self._fresh.pop((attributes.device, attributes.inode), None)
            done()
            return 0

        return Remote(_calls(fd, flags), finish, stream)

    def connect(self, thread: Thread, fd: int, identity: DescriptorIdentity, label: bytes) -> Remote:
        """Have fd refer to a socket connected to a name. Raises EISCONN, ECONNREFUSED, EAGAIN, EPROTOTYPE."""
        kind = self._fresh.get((identity.device, identity.inode))
        if kind is None:
            raise SyscallError(Errno.EISCONN)
        handle = self._handles.get(label)
        if handle is None:
            raise SyscallError(Errno.ECONNREFUSED)
        flags = self._host.descriptor_state(thread.host_tid, fd)[0]
        stream = self._host.stream_open(b"unix.to:%s/%d" % (kind, handle), Access.READ_WRITE, _create(bool(flags & O_NONBLOCK)))

        def finish(results: Sequence[int]) -> int:
            return min(results[0], 0) if results else -int(Errno.EMFILE)

        return Remote(_calls(fd, flags), finish, stream)


def _create(nonblock: bool) -> Create:
    return Create.NONBLOCK if nonblock else Create.OPEN


def _calls(fd: int, flags: int) -> list[tuple[int, tuple[int, ...]]]:
    """What the guest does to have a descriptor take fd's place; dup2's result comes first."""
    calls: list[tuple[int, tuple[int, ...]]] = [(NUMBERS["dup2"], (DESCRIPTOR, fd))]
    if flags & O_CLOEXEC:
        calls.append((NUMBERS["fcntl"], (fd, _F_SETFD, _FD_CLOEXEC)))
    calls.append((NUMBERS["close"], (DESCRIPTOR,)))
    return calls
