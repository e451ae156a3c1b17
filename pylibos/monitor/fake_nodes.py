"""The file system of FakeHost: a tree of nodes in memory, and opens of them.

What it is: the data behind the in-memory host. Owns node numbers and times (taken from the host's clock). Follows Linux where the host
ABI's contract tests look, which is what a library OS can notice. Must not know the policy or guests.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from pylibos.abi.errno import Errno
from pylibos.monitor.host_abi import DirectoryEntry, HostError, NodeKind, StreamAttributes

DEVICE: Final = 0x2A
BLOCK: Final = 4096
PIPE_CAPACITY: Final = 65536
QUEUES: Final = (NodeKind.FIFO, NodeKind.SOCKET)


def fail(errno: Errno) -> HostError:
    """A HostError by name."""
    return HostError(int(errno))


class Node:
    """One object: a file, directory, link, pipe, socket or token."""

    __slots__ = (
        "atime_ns",
        "content",
        "ctime_ns",
        "entries",
        "extended",
        "gid",
        "inode",
        "kind",
        "links",
        "messages",
        "mode",
        "mtime_ns",
        "name",
        "readers",
        "target",
        "uid",
        "writers",
    )

    def __init__(self, inode: int, kind: NodeKind, mode: int, now_ns: int, name: bytes = b"") -> None:
        self.inode = inode
        self.kind = kind
        self.mode = mode & 0o7777
        self.uid = 0
        self.gid = 0
        self.links = 1
        self.atime_ns = self.mtime_ns = self.ctime_ns = now_ns
        self.name = name
        self.content = bytearray()
        self.target = b""
        self.entries: dict[bytes, Node] = {}
        self.extended: dict[bytes, bytes] = {}
        self.messages: list[bytes] | None = None
        """Datagrams waiting, for sockets that keep boundaries."""
        self.readers = 0
        self.writers = 0

    @property
    def is_directory(self) -> bool:
        """Whether it is a directory."""
        return self.kind is NodeKind.DIRECTORY

    def attributes(self) -> StreamAttributes:
        """Its struct stat."""
        size = len(self.target) if self.kind is NodeKind.SYMLINK else BLOCK if self.is_directory else len(self.content)
        links = 2 + sum(node.is_directory for node in self.entries.values()) if self.is_directory else self.links
        return StreamAttributes(
            device=DEVICE,
            inode=self.inode,
            mode=int(self.kind) << 12 | self.mode,
            link_count=links,
            uid=self.uid,
            gid=self.gid,
            rdev=0,
            size=size,
            block_size=BLOCK,
            blocks=(size + 511) // 512,
            atime_ns=self.atime_ns,
            mtime_ns=self.mtime_ns,
            ctime_ns=self.ctime_ns,
        )

    def entry(self, name: bytes) -> DirectoryEntry:
        """As its directory lists it."""
        return DirectoryEntry(name, self.inode, self.kind)


class Opened:
    """One open: a node, how it is open, and its position. write_node differs from node for sockets (the other end's inbox)."""

    __slots__ = ("access", "append", "installable", "node", "nonblock", "path", "path_only", "position", "write_node")

    def __init__(self, node: Node, access: int, *, path: bytes | None = None) -> None:
        self.node = node
        self.write_node = node
        self.access = access
        self.path = path
        self.position = 0
        self.append = False
        self.nonblock = False
        self.path_only = False
        self.installable = True


class Tree:
    """The named nodes."""

    def __init__(self, clock_ns: Callable[[], int]) -> None:
        self._clock_ns = clock_ns
        self._next = 1
        self.root = self.make(NodeKind.DIRECTORY, 0o755)

    def make(self, kind: NodeKind, mode: int, name: bytes = b"") -> Node:
        """A node that has no name yet."""
        self._next += 1
        return Node(self._next, kind, mode, self._clock_ns(), name)

    def find(self, path: bytes) -> Node:
        """The node of a path; links are not followed. HostError(ENOENT, ENOTDIR, ELOOP)."""
        node = self.root
        for name in filter(None, path.split(b"/")):
            node = self.child(node, name)
        return node

    def parent(self, path: bytes) -> tuple[Node, bytes]:
        """(directory, last name)."""
        head, _, name = path.rpartition(b"/")
        if not name:
            raise fail(Errno.EINVAL)
        if len(name) > 255:
            raise fail(Errno.ENAMETOOLONG)
        directory = self.find(head)
        if not directory.is_directory:
            raise fail(Errno.ELOOP if directory.kind is NodeKind.SYMLINK else Errno.ENOTDIR)
        return directory, name

    @staticmethod
    def child(directory: Node, name: bytes) -> Node:
        """One step down."""
        if directory.kind is NodeKind.SYMLINK:
            raise fail(Errno.ELOOP)
        if not directory.is_directory:
            raise fail(Errno.ENOTDIR)
        if len(name) > 255:
            raise fail(Errno.ENAMETOOLONG)
        found = directory.entries.get(name)
        if found is None:
            raise fail(Errno.ENOENT)
        return found

    def add(self, path: bytes, node: Node) -> Node:
        """Give a node a name. HostError(EEXIST)."""
        directory, name = self.parent(path)
        if name in directory.entries:
            raise fail(Errno.EEXIST)
        directory.entries[name] = node
        self.touch(directory)
        return node

    def touch(self, node: Node) -> None:
        """The node's content changed now."""
        node.mtime_ns = node.ctime_ns = self._clock_ns()

    def remove(self, path: bytes, *, directory: bool) -> None:
        """Unlink or rmdir."""
        parent, name = self.parent(path)
        node = self.child(parent, name)
        if directory:
            if not node.is_directory:
                raise fail(Errno.ENOTDIR)
            if node.entries:
                raise fail(Errno.ENOTEMPTY)
        elif node.is_directory:
            raise fail(Errno.EISDIR)
        del parent.entries[name]
        node.links -= 1
        self.touch(parent)

    def rename(self, source: bytes, target: bytes, *, keep: bool, exchange: bool) -> None:
        """renameat2. keep: NOREPLACE."""
        parent, name = self.parent(source)
        node = self.child(parent, name)
        new_parent, new_name = self.parent(target)
        if node.is_directory and target.startswith(source + b"/"):
            raise fail(Errno.EINVAL)
        old = new_parent.entries.get(new_name)
        if exchange:
            if old is None:
                raise fail(Errno.ENOENT)
            if old.is_directory and source.startswith(target + b"/"):
                raise fail(Errno.EINVAL)
            parent.entries[name], new_parent.entries[new_name] = old, node
            return
        if old is not None:
            if keep:
                raise fail(Errno.EEXIST)
            if old is node:
                return
            self._replaceable(node, old)
            old.links -= 1
        del parent.entries[name]
        new_parent.entries[new_name] = node
        self.touch(parent)
        self.touch(new_parent)

    @staticmethod
    def _replaceable(node: Node, old: Node) -> None:
        if old.is_directory:
            if old.entries:
                raise fail(Errno.ENOTEMPTY)
            if not node.is_directory:
                raise fail(Errno.EISDIR)
        elif node.is_directory:
            raise fail(Errno.ENOTDIR)

    def listing(self, path: bytes) -> Iterator[DirectoryEntry]:
        """The entries of a directory."""
        directory = self.find(path)
        if not directory.is_directory:
            raise fail(Errno.ELOOP if directory.kind is NodeKind.SYMLINK else Errno.ENOTDIR)
        for name, node in directory.entries.items():
            yield node.entry(name)


def read_content(opened: Opened, offset: int, size: int) -> bytes:
    """Bytes of a regular file; -1 is the own position."""
    start = opened.position if offset == -1 else offset
    data = bytes(opened.node.content[start : start + size])
    if offset == -1:
        opened.position += len(data)
    return data


def write_content(opened: Opened, offset: int, data: bytes) -> int:
    """Write to a regular file; -1 is the own position, which O_APPEND puts at the end."""
    content = opened.node.content
    start = len(content) if opened.append else opened.position if offset == -1 else offset
    if start > len(content):
        content.extend(bytes(start - len(content)))
    content[start : start + len(data)] = data
    if offset == -1:
        opened.position = start + len(data)
    return len(data)


def resize(node: Node, size: int) -> None:
    """ftruncate."""
    if size < 0:
        raise fail(Errno.EINVAL)
    del node.content[size:]
    node.content.extend(bytes(size - len(node.content)))


def read_queue(opened: Opened, size: int) -> bytes:
    """A pipe or socket: EAGAIN when empty with a writer (this host never blocks), b"" at the end."""
    node = opened.node
    if node.messages is not None:
        if node.messages:
            return node.messages.pop(0)[:size]
    elif node.content:
        data = bytes(node.content[:size])
        del node.content[:size]
        return data
    if node.writers == 0:
        return b""
    raise fail(Errno.EAGAIN)


def write_queue(opened: Opened, data: bytes) -> int:
    """A pipe or socket: EPIPE without a reader, EAGAIN when full."""
    node = opened.write_node
    if node.readers == 0:
        raise fail(Errno.EPIPE)
    if node.messages is not None:
        node.messages.append(bytes(data))
        return len(data)
    room = PIPE_CAPACITY - len(node.content)
    if room <= 0:
        raise fail(Errno.EAGAIN)
    node.content.extend(data[:room])
    return min(room, len(data))
