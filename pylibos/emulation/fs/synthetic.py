"""Synthetic file systems: what /dev, /proc and /sys are built from. Content is made by functions, at the moment it is asked for.

For the authors of devfs, procfs and sysfs:

    SyntheticVolume(host, device, kind, magic)        one such file system; set ``root`` to a directory made below
    StaticDirectory(volume, mode)                     names added once with add(name, inode)
    SyntheticDirectory(volume, lookup, names)         lookup(name, thread) -> Inode | None;  names(thread) -> iterable of names
    SyntheticFile(volume, render, write=None)         render(thread) -> bytes at each open;  write(thread, data) at the guest's expense
    SyntheticLink(volume, text)                       text(thread) -> bytes
    MagicLink(volume, text, resolve)                  text as readlink tells it; resolve(thread) -> Location walked to directly
    DeviceNode(volume, major, minor, open)            open(thread, flags) -> HostStream (O_* flags of the guest, access mode included)

Every object may be made afresh by each lookup (inode numbers then come from ``number``; pass a stable one). thread is the calling guest
thread; it is None only when the VFS itself looks (mount points at start-up). Directories are not cached by the whole-path cache unless
``stable`` is True (their names never depend on time or thread). st_size is 0, as Linux has it.

Writes go to the ``mem:`` stream natively; what arrived there is handed to write() before anything of the same volume is opened or looked up
next (SyntheticVolume.drain), so a guest reads its own writes. Opening for writing without a ``write`` function is EACCES.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pylibos.abi.errno import Errno
from pylibos.abi.files import S_IFBLK, S_IFCHR, S_IFREG, make_device
from pylibos.abi.record import mutable_record
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.fs.inode import Directory, Entry, Inode, Location, Symlink, Volume
from pylibos.monitor.host_abi import Access, Create

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pylibos.emulation.outcome import Remote
    from pylibos.emulation.process.thread import Thread
    from pylibos.monitor.host_abi import HostABI, HostStream

    Opener = Callable[[Thread, int], HostStream | Remote]
    """thread, O_* flags of the guest -> a stream, or an outcome that says more about it."""

PENDING_LIMIT: Final = 64
"""Writable opens remembered per volume: each costs a host descriptor."""

WRITE_LIMIT: Final = 65536
"""Bytes taken from one stream at a time: no file of /proc or /sys means more."""


class SyntheticVolume(Volume):
    """A file system of functions. ``registry``: the I/O manager's, so that descriptors of rendered files are recognised."""

    def __init__(self, host: HostABI, device: int, kind: bytes, magic: int) -> None:
        super().__init__(host, device, source=kind)
        self.kind = kind
        self.magic = magic
        self.registry: dict[tuple[int, int], Inode] = {}
        self.boot_time = self.now()
        self.pending: list[PendingWrite] = []

    def drain(self) -> None:
        """Hand over what guests wrote since the last time. A write() that refuses (SyscallError) is dropped: its caller has gone on."""
        for pending in self.pending:
            data = self.host.stream_read(pending.stream, pending.done, WRITE_LIMIT)
            if data:
                pending.done += len(data)
                with suppress(SyscallError):
                    pending.write(pending.thread, data)

    def watch(self, pending: PendingWrite) -> None:
        """Remember a stream opened for writing; the oldest is forgotten beyond PENDING_LIMIT."""
        self.drain()
        self.pending.append(pending)
        if len(self.pending) > PENDING_LIMIT:
            self.host.stream_close(self.pending.pop(0).stream)


@mutable_record
class PendingWrite:
    """A stream a guest may write to, and who gets the bytes. done: bytes already handed over."""

    stream: HostStream
    write: Callable[[Thread, bytes], None]
    thread: Thread
    done: int


class SyntheticInode(Inode):
    """Common part: owner root, times of the volume's making."""

    __slots__ = ()

    def __init__(self, volume: Volume, mode: int, number: int = 0, uid: int = 0, gid: int = 0) -> None:
        super().__init__(volume, number or volume.new_number(), mode, uid, gid)
        _stamp(self)


def _stamp(inode: Inode) -> None:
    volume = inode.volume
    if isinstance(volume, SyntheticVolume):
        inode.atime = inode.mtime = inode.ctime = inode.btime = volume.boot_time


class StaticDirectory(Directory):
    """A directory with fixed names."""

    __slots__ = ()

    def __init__(self, volume: Volume, mode: int = 0o755, number: int = 0, uid: int = 0, gid: int = 0) -> None:
        super().__init__(volume, number or volume.new_number(), mode, uid, gid)
        _stamp(self)

    def add(self, name: bytes, inode: Inode) -> Inode:
        """Enter a name; the inode, for chaining."""
        return _enter(self, name, inode)


def _enter(directory: Directory, name: bytes, inode: Inode) -> Inode:
    directory.entries[name] = inode
    inode.parent = directory
    inode.name = name
    if inode.is_directory:
        directory.nlink += 1
    directory.forget_record()
    directory.packed = None
    return inode


class SyntheticDirectory(Directory):
    """A directory whose names are looked up by a function. Names in ``entries`` (add) come first."""

    __slots__ = ("_lookup", "_names")

    cacheable = False

    def __init__(
        self,
        volume: Volume,
        lookup: Callable[[bytes, Thread | None], Inode | None],
        names: Callable[[Thread | None], Iterable[bytes]],
        mode: int = 0o555,
        number: int = 0,
        uid: int = 0,
        gid: int = 0,
    ) -> None:
        super().__init__(volume, number or volume.new_number(), mode, uid, gid)
        self._lookup = lookup
        self._names = names
        _stamp(self)

    def add(self, name: bytes, inode: Inode) -> Inode:
        """Enter a fixed name; the inode, for chaining."""
        return _enter(self, name, inode)

    def lookup(self, name: bytes, thread: Thread | None) -> Inode | None:
        inode = self.entries.get(name)
        if inode is None:
            inode = self._lookup(name, thread)
            if inode is not None:
                inode.parent = self
                inode.name = name
        return inode

    def make(self, name: bytes, mode: int, uid: int, gid: int, rdev: int = 0, target: bytes = b"") -> Inode:
        """Names that come and go by themselves cannot be made: ENOENT, as /proc has it."""
        raise SyscallError(Errno.ENOENT)

    def read_entries(self, thread: Thread | None) -> list[Entry]:
        found = [Entry(name, inode.number, inode.mode >> 12) for name, inode in self.entries.items()]
        for name in self._names(thread):
            if name not in self.entries:
                inode = self._lookup(name, thread)
                if inode is not None:
                    found.append(Entry(name, inode.number, inode.mode >> 12))
        return found


class SyntheticFile(SyntheticInode):
    """A file whose content is made when it is opened."""

    __slots__ = ("_render", "_write")

    def __init__(
        self,
        volume: Volume,
        render: Callable[[Thread], bytes],
        write: Callable[[Thread, bytes], None] | None = None,
        mode: int = 0o444,
        number: int = 0,
        uid: int = 0,
        gid: int = 0,
    ) -> None:
        super().__init__(volume, S_IFREG | mode, number, uid, gid)
        self._render = render
        self._write = write

    is_regular = True

    @property
    def writer(self) -> Callable[[Thread, bytes], None] | None:
        """What a write does; None when the file cannot be written."""
        return self._write

    def open_stream(self, thread: Thread, access: Access, create: Create) -> HostStream:
        if access & Access.WRITE and self._write is None:
            raise SyscallError(Errno.EACCES)
        host = self.volume.host
        stream = host.stream_open(b"mem:f:" + self.name[:200], Access.READ_WRITE, Create.CREATE)
        volume = self.volume
        keep = False
        try:
            if isinstance(volume, SyntheticVolume) and volume.pending:
                volume.drain()
            content = self._render(thread) if access & Access.READ else b""
            if content:
                host.stream_write(stream, 0, content)
            attributes = host.stream_query_open(stream)
            opened = host.stream_reopen(stream, access, create & ~Create.TRUNCATE)
            if isinstance(volume, SyntheticVolume):
                volume.registry[attributes.device, attributes.inode] = self
                if access & Access.WRITE and self._write is not None:
                    volume.watch(PendingWrite(stream, self._write, thread, 0 if access == Access.WRITE else len(content)))
                    keep = True
        finally:
            if not keep:
                host.stream_close(stream)
        return opened


class StaticLink(Symlink):
    """A symbolic link with fixed text."""

    __slots__ = ()

    def __init__(self, volume: Volume, text: bytes) -> None:
        super().__init__(volume, volume.new_number(), 0, 0, text)
        _stamp(self)


class SyntheticLink(Symlink):
    """A symbolic link whose text is made when read."""

    __slots__ = ("_text",)

    cacheable = False

    def __init__(self, volume: Volume, text: Callable[[Thread], bytes], number: int = 0, uid: int = 0, gid: int = 0) -> None:
        super().__init__(volume, number or volume.new_number(), uid, gid, b"")
        self._text = text
        _stamp(self)

    def read_link(self, thread: Thread) -> bytes:
        return self._text(thread)

    def follow(self, thread: Thread) -> bytes | Location:
        return self._text(thread)


class MagicLink(SyntheticLink):
    """A link that leads to a place, not to a text (/proc/PID/fd/N, cwd, root, exe)."""

    __slots__ = ("_resolve",)

    def __init__(
        self,
        volume: Volume,
        text: Callable[[Thread], bytes],
        resolve: Callable[[Thread], Location],
        number: int = 0,
        uid: int = 0,
        gid: int = 0,
    ) -> None:
        super().__init__(volume, text, number, uid, gid)
        self._resolve = resolve

    def follow(self, thread: Thread) -> bytes | Location:
        return self._resolve(thread)


class DeviceNode(SyntheticInode):
    """A character or block device with a driver."""

    __slots__ = ("_open",)

    def __init__(
        self,
        volume: Volume,
        major: int,
        minor: int,
        open: Opener,  # noqa: A002 - the word of the interface
        mode: int = 0o666,
        block: bool = False,
        number: int = 0,
        uid: int = 0,
        gid: int = 0,
    ) -> None:
        super().__init__(volume, (S_IFBLK if block else S_IFCHR) | mode, number, uid, gid)
        self.rdev = make_device(major, minor)
        self._open = open

    def open_device(self, thread: Thread, flags: int) -> HostStream | Remote:
        """Ask the driver for a stream, or an outcome that says more about it; flags are the guest's O_* flags."""
        return self._open(thread, flags)
