"""FakeHost: the host ABI in memory, for tests of everything above it.

What it is: a second implementation of HostABI that passes the same contract tests as the Linux one. Owns a tree of nodes, guests
(fake_guests) made of a block of memory and a descriptor table, a clock that stands still until a test moves it, and a random generator
that starts from a seed. Touches nothing of the real host.

Differences a test may rely on: nothing blocks (a read that would wait raises EAGAIN even without NONBLOCK); there are no pseudo terminals
(``pty:`` is ENXIO); ``clock_ns``, ``guests``,
``signals``, ``waits`` and ``deadline_ns`` are plain attributes to set and to look at.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pylibos.abi.errno import Errno
from pylibos.monitor.fake_guests import FakeGuests
from pylibos.monitor.fake_nodes import (
    BLOCK,
    QUEUES,
    Node,
    Opened,
    Tree,
    fail,
    read_content,
    read_queue,
    resize,
    write_content,
    write_queue,
)
from pylibos.monitor.host_abi import (
    Access,
    AttributeChange,
    Create,
    DirectoryEntry,
    HostError,
    HostStream,
    NodeKind,
    StreamAttributes,
    Uri,
    VolumeInformation,
)
from pylibos.monitor.linux_paths import host_path
from pylibos.monitor.policy import Mode, Operation, Policy, Rule

if TYPE_CHECKING:
    from pylibos.monitor.host_abi import HostABI

_CLOCKS: Final = frozenset({0, 1, 4, 5, 6, 7, 8, 9, 11})
_DATAGRAMS: Final = {b"unix:stream": False, b"unix:dgram": True, b"unix:seqpacket": True}
_DEVICES: Final = frozenset({b"null", b"zero", b"full", b"random", b"urandom"})
_KEEP_SIZE: Final = 1
_PUNCH_HOLE: Final = 2
_ZERO_RANGE: Final = 16
_EVERYTHING: Final = (Rule(b"/", Mode.RW, "fake: everything"),)
_FACTS: Final = {
    "cpuinfo": b"processor\t: 0\nmodel name\t: fake\n",
    "meminfo": b"MemTotal:        1048576 kB\nMemFree:          524288 kB\n",
    "loadavg": b"0.00 0.00 0.00 1/1 1\n",
    "uptime": b"1.00 1.00\n",
    "stat": b"cpu  0 0 0 0 0 0 0 0 0 0\nbtime 1700000000\n",
    "kernel-release": b"6.18.0-fake",
    "processors": b"1",
    "boot-time": b"1700000000",
    "page-size": b"4096",
    "memory-limit": b"max",
    "process-limit": b"max",
    "processor-limit": b"max",
}


class FakeHost(FakeGuests):
    """Implements HostABI."""

    def __init__(self, policy: Policy | None = None, *, seed: int = 0, clock_ns: int = 1_700_000_000_000_000_000) -> None:
        """policy: None allows everything."""
        FakeGuests.__init__(self)
        self.policy = policy or Policy(_EVERYTHING)
        self.clock_ns = clock_ns
        self.waits: dict[int, int] = {}
        self.socket_names: set[HostStream] = set()
        self.ways: dict[bytes, int | None] = {}
        self.domain_ends: dict[bytes, HostStream] = {}
        self.protocols: dict[bytes, bytes] = {}
        self.deadline_ns = 0
        self.console = {name: bytearray() for name in (b"0", b"1", b"2")}
        self._tree = Tree(lambda: self.clock_ns)
        self._next = 100
        self._random = random.Random(seed)  # noqa: S311 - determinism is the point

    # -- helpers -------------------------------------------------------------------------------------------------------

    def _allow(self, operation: Operation, path: bytes) -> None:
        decision = self.policy.check(operation, path)
        if decision.errno:
            raise HostError(decision.errno, decision.rule)

    def _path(self, uri: Uri, operation: Operation) -> bytes:
        path = host_path(uri)
        self._allow(operation, path)
        return path

    def _find(self, uri: Uri, operation: Operation) -> Node:
        return self._tree.find(self._path(uri, operation))

    def _register(self, opened: Opened) -> HostStream:
        self._next += 1
        self._opens[self._next] = opened
        self._count(opened, 1)
        return HostStream(self._next)

    # -- streams -------------------------------------------------------------------------------------------------------

    def stream_open(self, uri: Uri, access: Access, create: Create = Create.OPEN, mode: int = 0o600) -> HostStream:
        scheme, _, name = uri.partition(b":")
        if scheme == b"file":
            return self._open_file(host_path(uri), int(access), int(create), mode)
        if scheme == b"dir":
            return self._open_directory(host_path(uri), int(access), int(create))
        if scheme == b"mem":
            return self._register(Opened(self._unnamed(NodeKind.REGULAR, b"/memfd:" + name), Access.READ_WRITE))
        if scheme == b"token":
            return self._open_token(name)
        if uri == b"pipe:":
            node = self._tree.make(NodeKind.FIFO, 0o600, b"pipe:")
            return self._register(Opened(node, Access.READ))
        if scheme == b"guest":
            return self._open_guest(name, int(access), int(create))
        if scheme == b"dev" and name in _DEVICES:
            node = self._unnamed(NodeKind.CHARACTER, b"/dev/" + name)
            return self._register(Opened(node, int(access)))
        if scheme == b"console" and name in self.console:
            node = self._unnamed(NodeKind.FIFO, b"console:" + name)
            node.content = self.console[name]
            node.readers = node.writers = 1
            return self._register(Opened(node, Access.READ_WRITE))
        if scheme in (b"unix.new", b"unix.to"):
            return self._open_local(scheme, name)
        if scheme in (b"tcp", b"udp"):
            return self._open_way(uri)
        raise fail(Errno.ENXIO if scheme in (b"dev", b"console") else Errno.EINVAL)

    def _open_local(self, scheme: bytes, name: bytes) -> HostStream:
        """A socket without peer, or (queues are not kept) with one that is nobody's."""
        kind, _, handle = name.partition(b"/")
        if b"unix:" + kind not in _DATAGRAMS or (scheme == b"unix.to" and int(handle) not in self.socket_names):
            raise fail(Errno.EINVAL)
        return self._register(Opened(self._tree.make(NodeKind.SOCKET, 0o777, b"socket:"), Access.READ_WRITE))

    def _open_way(self, uri: Uri) -> HostStream:
        """``ways`` says what is granted and how it ends; None is a way whose outcome a test writes itself."""
        if uri not in self.ways:
            raise fail(Errno.EACCES)
        first, second = self.stream_open_pair(b"unix:stream", Create.NONBLOCK)
        outcome = self.ways[uri]
        if outcome is not None:
            self.stream_write(second, -1, outcome.to_bytes(4, "little"))
        self.domain_ends[uri] = second
        return first

    def _open_guest(self, name: bytes, access: int, create: int) -> HostStream:
        pid, _, number = name.partition(b"/")
        if not (pid.isdigit() and number.isdigit()) or len(name) > 24 or int(pid) <= 1 or create & (Create.CREATE | Create.EXCLUSIVE):
            raise fail(Errno.EINVAL)
        held = self._descriptor(int(pid), int(number))[0]
        node = held.node
        if node.kind is NodeKind.SOCKET:
            raise fail(Errno.ENXIO)
        harmless = node.kind in (NodeKind.FIFO, NodeKind.CHARACTER) or node.name.startswith(b"/memfd:") or not access
        if not harmless:
            if node.kind is not NodeKind.REGULAR or node.links or held.path is None:
                raise fail(Errno.EACCES)
            self._authorise(held.path, access, create)
        opened = Opened(node, access)
        opened.path_only = not access
        return self._register(self._set_up(opened, create))

    def _unnamed(self, kind: NodeKind, name: bytes) -> Node:
        node = self._tree.make(kind, 0o777, name)
        node.links = 0
        return node

    def _open_token(self, name: bytes) -> HostStream:
        if name == b"dir":
            return self._register(Opened(self._unnamed(NodeKind.DIRECTORY, b"/token"), Access.READ))
        if name == b"path":
            opened = Opened(self._unnamed(NodeKind.REGULAR, b"/memfd:token"), Access.NONE)
            opened.path_only = True
            return self._register(opened)
        if name == b"event":
            return self._register(Opened(self._unnamed(NodeKind.UNKNOWN, b"anon_inode:[eventfd]"), Access.READ_WRITE))
        raise fail(Errno.EINVAL)

    def _authorise(self, path: bytes, access: int, create: int) -> None:
        if create & Create.CREATE:
            self._allow(Operation.CREATE, path)
        elif access & Access.WRITE or create & (Create.TRUNCATE | Create.APPEND):
            self._allow(Operation.WRITE, path)
        if access & Access.EXECUTE:
            self._allow(Operation.EXECUTE, path)
        elif access & Access.READ or not access:
            self._allow(Operation.READ if access else Operation.QUERY, path)

    def _open_file(self, path: bytes, access: int, create: int, mode: int) -> HostStream:
        if create & Create.UNNAMED:
            raise fail(Errno.EOPNOTSUPP)
        self._authorise(path, access, create)
        try:
            node = self._tree.find(path)
        except HostError as error:
            if error.errno != Errno.ENOENT or not create & Create.CREATE:
                raise
            node = self._tree.add(path, self._tree.make(NodeKind.REGULAR, mode))
        else:
            if create & Create.CREATE and create & Create.EXCLUSIVE:
                raise fail(Errno.EEXIST)
        opened = Opened(node, access, path=path)
        if not access:
            opened.path_only = True
            opened.installable = False
            return self._register(opened)
        if node.kind is NodeKind.SYMLINK:
            raise fail(Errno.ELOOP)
        if node.is_directory:
            raise fail(Errno.EISDIR)
        if node.kind is NodeKind.SOCKET:
            raise fail(Errno.ENXIO)
        return self._register(self._set_up(opened, create))

    def _set_up(self, opened: Opened, create: int) -> Opened:
        opened.append = bool(create & Create.APPEND)
        opened.nonblock = bool(create & Create.NONBLOCK)
        if create & Create.TRUNCATE:
            resize(opened.node, 0)
            self._tree.touch(opened.node)
        return opened

    def _open_directory(self, path: bytes, access: int, create: int) -> HostStream:
        if access & Access.WRITE or create & ~(Create.NO_FOLLOW | Create.NONBLOCK):
            raise fail(Errno.EISDIR)
        self._allow(Operation.LIST if access else Operation.QUERY, path)
        node = self._tree.find(path)
        if not node.is_directory:
            raise fail(Errno.ELOOP if node.kind is NodeKind.SYMLINK else Errno.ENOTDIR)
        opened = Opened(node, access, path=path)
        opened.installable = False
        opened.path_only = not access
        return self._register(opened)

    def stream_open_pair(self, uri: Uri, create: Create = Create.OPEN) -> tuple[HostStream, HostStream]:
        nonblock = bool(create & Create.NONBLOCK)
        if uri == b"pipe:":
            node = self._tree.make(NodeKind.FIFO, 0o600, b"pipe:")
            ends = Opened(node, Access.READ), Opened(node, Access.WRITE)
        elif uri.startswith(b"unix.srv:"):
            bound = self._open_local(b"unix.new", uri[9:])
            handle = self._register(Opened(self._unnamed(NodeKind.SOCKET, b"name"), Access.NONE))
            self.socket_names.add(handle)
            return bound, handle
        elif uri in _DATAGRAMS:
            nodes = [self._tree.make(NodeKind.SOCKET, 0o777, b"socket:") for _ in range(2)]
            ends = Opened(nodes[0], Access.READ_WRITE), Opened(nodes[1], Access.READ_WRITE)
            ends[0].write_node, ends[1].write_node = nodes[1], nodes[0]
            if _DATAGRAMS[uri]:
                nodes[0].messages, nodes[1].messages = [], []
        else:
            raise fail(Errno.EINVAL)
        ends[0].nonblock = ends[1].nonblock = nonblock
        return self._register(ends[0]), self._register(ends[1])

    def stream_reopen(self, stream: HostStream, access: Access, create: Create = Create.OPEN) -> HostStream:
        old = self._opened(stream)
        if create & (Create.CREATE | Create.EXCLUSIVE):
            raise fail(Errno.EINVAL)
        if old.node.name.startswith((b"/dev/", b"console:")) and int(access) & ~int(old.access) & Access.READ_WRITE:
            raise fail(Errno.EACCES)
        if old.path is not None:
            self._authorise(old.path, int(access), int(create))
        if old.node.is_directory and access & Access.WRITE:
            raise fail(Errno.EISDIR)
        if old.node.kind is NodeKind.SOCKET:
            raise fail(Errno.ENXIO)
        opened = Opened(old.node, int(access), path=old.path)
        opened.installable = old.installable
        return self._register(self._set_up(opened, int(create)))

    def stream_close(self, stream: HostStream) -> None:
        self._count(self._opened(stream), -1)
        del self._opens[stream]
        self.waits.pop(stream, None)

    def _content(self, stream: int, need: Access) -> Opened:
        opened = self._opened(stream)
        if opened.path_only or not opened.access & need:
            raise fail(Errno.EBADF)
        if opened.node.is_directory:
            raise fail(Errno.EISDIR)
        return opened

    def stream_read(self, stream: HostStream, offset: int, size: int) -> bytes:
        opened = self._content(stream, Access.READ)
        if offset < -1 or size < 0:
            raise fail(Errno.EINVAL)
        kind = opened.node.kind
        if kind is NodeKind.CHARACTER:
            return self._read_device(opened.node.name, size)
        if kind in QUEUES:
            if offset != -1:
                raise fail(Errno.ESPIPE)
            return read_queue(opened, size)
        return read_content(opened, offset, size)

    def _read_device(self, name: bytes, size: int) -> bytes:
        if name == b"/dev/null":
            return b""
        return self._random.randbytes(size) if name.endswith(b"random") else bytes(size)

    def stream_write(self, stream: HostStream, offset: int, data: bytes) -> int:
        opened = self._content(stream, Access.WRITE)
        if offset < -1:
            raise fail(Errno.EINVAL)
        kind = opened.node.kind
        if kind is NodeKind.CHARACTER:
            if opened.node.name == b"/dev/full":
                raise fail(Errno.ENOSPC)
            return len(data)
        if kind in QUEUES:
            if offset != -1:
                raise fail(Errno.ESPIPE)
            return write_queue(opened, data)
        self._tree.touch(opened.node)
        return write_content(opened, offset, data)

    def stream_position(self, stream: HostStream) -> int:
        return self._seekable(stream).position

    def stream_seek(self, stream: HostStream, offset: int) -> None:
        opened = self._seekable(stream)
        if not 0 <= offset < 1 << 63:
            raise fail(Errno.EINVAL)
        opened.position = offset

    def _seekable(self, stream: int) -> Opened:
        opened = self._opened(stream)
        if opened.path_only:
            raise fail(Errno.EBADF)
        if opened.node.kind in QUEUES:
            raise fail(Errno.ESPIPE)
        return opened

    def stream_flush(self, stream: HostStream) -> None:
        if self._seekable_kind(stream) in (*QUEUES, NodeKind.CHARACTER):
            raise fail(Errno.EINVAL)

    def _seekable_kind(self, stream: int) -> NodeKind:
        return self._opened(stream).node.kind

    def stream_query(self, uri: Uri) -> StreamAttributes:
        return self._find(uri, Operation.QUERY).attributes()

    def stream_query_open(self, stream: HostStream) -> StreamAttributes:
        return self._opened(stream).node.attributes()

    def stream_change(self, uri: Uri, change: AttributeChange) -> None:
        self._change(self._find(uri, Operation.CHANGE), change)

    def stream_change_open(self, stream: HostStream, change: AttributeChange) -> None:
        opened = self._opened(stream)
        if opened.node.name.startswith((b"/dev/", b"console:")):
            raise fail(Errno.EPERM)
        if opened.path is not None:
            self._allow(Operation.CHANGE, opened.path)
        self._change(opened.node, change)

    def _change(self, node: Node, change: AttributeChange) -> None:
        if node.kind is NodeKind.SYMLINK and (change.mode is not None or change.size is not None):
            raise fail(Errno.EINVAL if change.size is not None else Errno.EOPNOTSUPP)
        if change.size is not None:
            if node.is_directory:
                raise fail(Errno.EISDIR)
            resize(node, change.size)
            node.mtime_ns = self.clock_ns
        node.uid = node.uid if change.uid is None else change.uid
        node.gid = node.gid if change.gid is None else change.gid
        node.mode = node.mode if change.mode is None else change.mode & 0o7777
        node.atime_ns = node.atime_ns if change.atime_ns is None else change.atime_ns
        node.mtime_ns = node.mtime_ns if change.mtime_ns is None else change.mtime_ns
        node.ctime_ns = self.clock_ns

    def stream_copy(self, source: HostStream, target: HostStream, size: int) -> int:
        data = self._opened(source).node.content[:size]
        content = self._opened(target).node.content
        content[: len(data)] = data
        return len(data)

    def stream_allocate(self, stream: HostStream, mode: int, offset: int, size: int) -> None:
        opened = self._content(stream, Access.WRITE)
        if offset < 0 or size <= 0:
            raise fail(Errno.EINVAL)
        content = opened.node.content
        if mode & ~(_KEEP_SIZE | _PUNCH_HOLE | _ZERO_RANGE) or mode == _PUNCH_HOLE:
            raise fail(Errno.EOPNOTSUPP)
        if not mode & _KEEP_SIZE and offset + size > len(content):
            resize(opened.node, offset + size)
        if mode & (_PUNCH_HOLE | _ZERO_RANGE):
            end = min(offset + size, len(content))
            content[offset:end] = bytes(max(0, end - offset))

    # -- names ---------------------------------------------------------------------------------------------------------

    def stream_delete(self, uri: Uri) -> None:
        self._tree.remove(self._path(uri, Operation.DELETE), directory=uri.startswith(b"dir:"))

    def stream_rename(self, source: Uri, target: Uri, flags: int = 0) -> None:
        if flags not in (0, 1, 2):
            raise fail(Errno.EINVAL)
        source_path = self._path(source, Operation.RENAME)
        self._tree.rename(source_path, self._path(target, Operation.RENAME), keep=flags == 1, exchange=flags == 2)

    def stream_link(self, source: Uri, target: Uri) -> None:
        node = self._find(source, Operation.LINK)
        path = self._path(target, Operation.CREATE)
        if node.is_directory:
            raise fail(Errno.EPERM)
        self._tree.add(path, node)
        node.links += 1

    def directory_create(self, uri: Uri, mode: int) -> None:
        self._tree.add(self._path(uri, Operation.CREATE), self._tree.make(NodeKind.DIRECTORY, mode))

    def directory_list(self, uri: Uri) -> Sequence[DirectoryEntry]:
        path = self._path(uri, Operation.LIST)
        hidden = self.policy.hidden_names(path)
        return [entry for entry in self._tree.listing(path) if hidden is None or not hidden(entry.name)]

    def symlink_create(self, uri: Uri, target: bytes) -> None:
        if not target:
            raise fail(Errno.ENOENT)
        node = self._tree.make(NodeKind.SYMLINK, 0o777)
        node.target = target
        self._tree.add(self._path(uri, Operation.CREATE), node)

    def symlink_read(self, uri: Uri) -> bytes:
        node = self._find(uri, Operation.QUERY)
        if node.kind is not NodeKind.SYMLINK:
            raise fail(Errno.EINVAL)
        return node.target

    def node_create(self, uri: Uri, mode: int) -> None:
        kind = mode >> 12 & 15
        if kind not in QUEUES:
            raise fail(Errno.EPERM)
        self._tree.add(self._path(uri, Operation.CREATE), self._tree.make(NodeKind(kind), mode))

    def attribute_list(self, uri: Uri) -> Sequence[bytes]:
        return list(self._find(uri, Operation.QUERY).extended)

    def attribute_read(self, uri: Uri, name: bytes) -> bytes:
        if uri in self.protocols and name == b"system.sockprotoname":
            return self.protocols[uri]
        try:
            return self._find(uri, Operation.QUERY).extended[name]
        except KeyError:
            raise fail(Errno.ENODATA) from None

    def attribute_write(self, uri: Uri, name: bytes, value: bytes | None, flags: int = 0) -> None:
        if flags & ~3 or len(name) > 255:
            raise fail(Errno.EINVAL)
        extended = self._find(uri, Operation.CHANGE).extended
        if (value is None or flags & 2) and name not in extended:
            raise fail(Errno.ENODATA)
        if flags & 1 and name in extended:
            raise fail(Errno.EEXIST)
        if value is None:
            del extended[name]
        else:
            extended[name] = bytes(value)

    def volume_query(self, uri: Uri) -> VolumeInformation:
        self._find(uri, Operation.QUERY)
        return VolumeInformation(0xFA4E, BLOCK, 1 << 20, 1 << 19, 1 << 19, 1 << 16, 1 << 15, 255)

    # -- waits, time, random ---------------------------------------------------------------------------------------------

    def wait_register(self, stream: HostStream, events: int) -> None:
        self._opened(stream)
        if events:
            self.waits[stream] = events
        else:
            self.waits.pop(stream, None)

    def timer_set(self, deadline_ns: int) -> None:
        self.deadline_ns = deadline_ns

    def clock_read(self, clock: int) -> int:
        if clock not in _CLOCKS:
            raise fail(Errno.EINVAL)
        return self.clock_ns

    def random_bytes(self, size: int) -> bytes:
        if not 0 <= size <= 1 << 25:
            raise fail(Errno.EINVAL)
        return self._random.randbytes(size)

    def system_query(self, name: str) -> bytes:
        fact = _FACTS.get(name)
        if fact is None:
            raise fail(Errno.ENOENT)
        return fact


def _conforms(host: FakeHost) -> HostABI:
    """For the type checker: FakeHost has the shape of HostABI."""
    return host
