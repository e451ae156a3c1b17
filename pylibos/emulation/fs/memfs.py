"""memfs: files in memory (Linux: tmpfs). Names and metadata are Python's, content of a regular file is a ``mem:`` stream of the host.

A file gets its stream at its first open or resize, so files that are only named cost no host resource. Guests read and write the stream
natively; therefore size and mtime of a file that was ever handed out writable are asked of the stream (refresh), and a stamp set by utimens
holds until the stream's own mtime moves. overlay.py derives the copy-on-write view from these classes.

Must not know: permissions, paths, descriptors of guests. Bounds: the number of inodes (ENOSPC); bytes are the host's to bound.
Sources: Linux mm/shmem.c, fs/libfs.c; tmpfs(5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pylibos.abi.errno import Errno
from pylibos.abi.files import (
    S_IFDIR,
    S_IFLNK,
    S_IFMT,
    S_IFREG,
    S_ISGID,
    S_ISUID,
    STATFS,
    TMPFS_MAGIC,
    XATTR_CREATE,
    XATTR_LIST_MAX,
    XATTR_REPLACE,
)
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.fs.inode import Directory, Inode, Symlink, Volume
from pylibos.emulation.fs.permission import CAP_FSETID
from pylibos.monitor.host_abi import Access, AttributeChange, Create

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pylibos.emulation.process.thread import Thread
    from pylibos.monitor.host_abi import HostABI, HostStream, StreamAttributes

INODE_LIMIT: Final = 1 << 17
"""Inodes one volume may make: about 150 MB of Python objects at the very worst."""

TEXT_LIMIT: Final = 32 << 20
"""Bytes of link targets and attributes one volume keeps in Python."""

XATTR_TOTAL_MAX: Final = 1 << 16
"""Bytes of names and values of one inode's attributes; what a file system with one block for them gives."""

READ: Final = Access.READ
PLAIN: Final = Create.OPEN

Registry = dict[tuple[int, int], Inode]
"""(host device, host inode) of a backing stream -> the inode it backs; owned by the I/O manager."""


class MemVolume(Volume):
    """One tmpfs."""

    kind = b"tmpfs"
    magic = TMPFS_MAGIC

    def __init__(
        self, host: HostABI, device: int, registry: Registry, *, source: bytes = b"tmpfs", mode: int = 0o1777, uid: int = 0, gid: int = 0
    ) -> None:
        super().__init__(host, device, source=source)
        self.registry = registry
        self.inode_count = 0
        self.text_size = 0
        self.size_limit = 0
        self.root: Inode = MemDirectory(self, self.new_number(), mode, uid, gid)
        self.root.pinned = True
        stamp_new(self.root)

    def new_inode(self, mode: int, uid: int, gid: int, rdev: int, target: bytes) -> Inode:
        """An inode without a name, stamped now. Raises ENOSPC."""
        if self.inode_count >= INODE_LIMIT:
            raise SyscallError(Errno.ENOSPC)
        kind = mode & S_IFMT
        number = self.new_number()
        inode: Inode
        if kind == S_IFREG:
            inode = self.new_file(number, mode, uid, gid)
        elif kind == S_IFDIR:
            inode = self.new_directory(number, mode, uid, gid)
        elif kind == S_IFLNK:
            self.charge(len(target))
            inode = MemSymlink(self, number, uid, gid, target)
        else:
            inode = MemSpecial(self, number, mode, uid, gid)
            inode.rdev = rdev
        self.inode_count += 1
        inode.pinned = True
        stamp_new(inode)
        return inode

    def charge(self, size: int) -> None:
        """Account bytes of text kept (negative: given up). Raises ENOSPC."""
        if size > 0 and self.text_size + size > TEXT_LIMIT:
            raise SyscallError(Errno.ENOSPC)
        self.text_size += size

    def new_file(self, number: int, mode: int, uid: int, gid: int) -> MemFile:
        """A regular file of this volume's class."""
        return MemFile(self, number, mode, uid, gid)

    def new_directory(self, number: int, mode: int, uid: int, gid: int) -> MemDirectory:
        """A directory of this volume's class."""
        return MemDirectory(self, number, mode, uid, gid)

    def released(self, inode: Inode) -> None:
        """The inode lost its last name."""
        self.inode_count -= 1
        self.released_text(inode)

    def released_text(self, inode: Inode) -> None:
        """Give up what a nameless inode of ours was charged for. Its attributes may live on in a descriptor: they are few then."""
        size = len(inode.target) if isinstance(inode, MemSymlink) else 0
        if isinstance(inode, (Attributed, AttributedSymlink, MemDirectory)) and inode.charged:
            size += inode.charged
            inode.charged = 0
        self.text_size -= size

    def statfs_record(self) -> bytes:
        flags = (1 if self.read_only else 0) | 0x20
        free = INODE_LIMIT - self.inode_count
        blocks = (self.size_limit or (8 << 30)) >> 12
        return STATFS.pack(self.magic, 4096, blocks, blocks, blocks, INODE_LIMIT, free, self.device, 0, 255, 4096, flags)


def stamp_new(inode: Inode) -> None:
    """All times of a new inode are now."""
    inode.atime = inode.mtime = inode.ctime = inode.btime = inode.volume.now()


class Attributed(Inode):
    """An inode with extended attributes kept in Python."""

    __slots__ = ("charged", "xattrs")

    def __init__(self, volume: Volume, number: int, mode: int, uid: int, gid: int) -> None:
        super().__init__(volume, number, mode, uid, gid)
        self.xattrs: dict[bytes, bytes] | None = None
        self.charged = 0
        """Bytes of attributes the volume has accounted for this inode."""

    def load_xattrs(self) -> dict[bytes, bytes]:
        """The dictionary of attributes, made on first use."""
        if self.xattrs is None:
            self.xattrs = {}
        return self.xattrs

    def xattr_names(self) -> Sequence[bytes]:
        return tuple(self.load_xattrs())

    def xattr_get(self, name: bytes) -> bytes:
        value = self.load_xattrs().get(name)
        if value is None:
            raise SyscallError(Errno.ENODATA)
        return value

    def xattr_set(self, name: bytes, value: bytes | None, flags: int) -> None:
        xattrs = self.load_xattrs()
        if value is None or flags & XATTR_REPLACE:
            if name not in xattrs:
                raise SyscallError(Errno.ENODATA)
        elif flags & XATTR_CREATE and name in xattrs:
            raise SyscallError(Errno.EEXIST)
        if value is None:
            del xattrs[name]
        else:
            used = sum(len(key) + len(text) for key, text in xattrs.items() if key != name) + len(name) + len(value)
            if sum(len(key) + 1 for key in xattrs) + len(name) + 1 > XATTR_LIST_MAX or used > XATTR_TOTAL_MAX + len(name):
                raise SyscallError(Errno.ENOSPC)
            self._charge(used)
            xattrs[name] = value
        self.ctime = self.volume.now()
        self.modified()

    def _charge(self, used: int) -> None:
        volume = self.volume
        if isinstance(volume, MemVolume):
            volume.charge(used - self.charged)
            self.charged = used


class MemSpecial(Attributed):
    """A FIFO, socket or device node. ``extra`` is whatever the I/O manager (pipe of a FIFO) or the network (bound socket) keeps here."""

    __slots__ = ("extra",)

    def __init__(self, volume: Volume, number: int, mode: int, uid: int, gid: int) -> None:
        super().__init__(volume, number, mode, uid, gid)
        self.extra: object = None


class AttributedSymlink(Symlink):
    """A symbolic link with extended attributes: of the trusted and security name spaces, no others."""

    __slots__ = ("charged", "xattrs")

    def __init__(self, volume: Volume, number: int, uid: int, gid: int, target: bytes) -> None:
        super().__init__(volume, number, uid, gid, target)
        self.xattrs: dict[bytes, bytes] | None = None
        self.charged = 0

    load_xattrs = Attributed.load_xattrs
    _charge = Attributed._charge
    xattr_names = Attributed.xattr_names
    xattr_get = Attributed.xattr_get
    xattr_set = Attributed.xattr_set


class MemSymlink(AttributedSymlink):
    """A symbolic link in memory."""

    __slots__ = ()


def claim(registry: Registry, key: tuple[int, int], inode: Inode) -> None:
    """Descriptors with this identity on the host are the inode's from now on: what was said of another with that content is withdrawn."""
    previous = registry.get(key)
    if previous is not inode:
        if previous is not None:
            previous.forget_record()
        registry[key] = inode


class MemFile(Attributed):
    """A regular file.

    stream          the library OS's own handle of the content, or None while there is none (size 0, or the lower file's)
    stream_mtime    the stream's mtime when the inode's mtime was last decided: the inode's holds while the stream's is still this
    never_named     O_TMPFILE | O_EXCL: linkat gives it no name
    drops_set_id    some writer lacks CAP_FSETID: a native write takes the set-id bits away
    maybe_dirty     a guest may hold a writable descriptor or mapping: ask the stream before believing size and mtime
    """

    __slots__ = ("_blocks", "drops_set_id", "maybe_dirty", "never_named", "stream", "stream_key", "stream_mtime")

    is_regular = True

    def __init__(self, volume: MemVolume, number: int, mode: int, uid: int, gid: int) -> None:
        super().__init__(volume, number, S_IFREG | (mode & 0o7777), uid, gid)
        self.stream: HostStream | None = None
        self.stream_key = (0, 0)
        self.stream_mtime = 0
        self.maybe_dirty = False
        self.drops_set_id = False
        self.never_named = False
        self._blocks = 0

    @property
    def blocks(self) -> int:
        return self._blocks

    def stat_record(self) -> bytes:
        if not self.maybe_dirty and self.record is not None:
            return self.record
        self.refresh()
        record = self.record
        if record is None:
            record = self.record = self.pack_record()
        return record

    @property
    def is_settled(self) -> bool:
        return not self.maybe_dirty

    def readable_content(self) -> tuple[HostStream, tuple[int, int], bool] | None:
        return (self.content(), self.stream_key, False)

    def refresh(self) -> None:
        if self.maybe_dirty and self.stream is not None:
            self.refresh_from(self.volume.host.stream_query_open(self.stream))

    def refresh_from(self, attributes: StreamAttributes) -> None:
        if self.stream is None:
            return
        if (attributes.device, attributes.inode) != self.stream_key:  # a descriptor of the lower file, opened before copy-up
            if not self.maybe_dirty:
                return
            attributes = self.volume.host.stream_query_open(self.stream)
        if attributes.size != self.size or attributes.blocks != self._blocks:
            self.size = attributes.size
            self._blocks = attributes.blocks
            self.forget_record()
        if attributes.mtime_ns != self.stream_mtime:
            self.stream_mtime = self.mtime = self.ctime = attributes.mtime_ns
            self.forget_record()
            if self.drops_set_id and self.mode & (S_ISUID | S_ISGID):
                self.mode &= ~S_ISUID if not self.mode & 0o010 else ~(S_ISUID | S_ISGID)

    def change(
        self, mode: int | None = None, uid: int | None = None, gid: int | None = None, atime: int | None = None, mtime: int | None = None
    ) -> None:
        self.refresh()
        super().change(mode, uid, gid, atime, mtime)

    def resize(self, size: int) -> None:
        self.refresh()
        if size != self.size or self.stream is not None:
            stream = self.content(size)
            self.volume.host.stream_change_open(stream, AttributeChange(size=size))
            self._settle(stream)
        self.touch()

    def content(self, keep: int = -1) -> HostStream:
        """The handle of the content, made now if need be. keep: how many bytes of old content will survive (-1: all)."""
        stream = self.stream
        if stream is None:
            host = self.volume.host
            stream = host.stream_open(b"mem:f:" + self.name[:200], Access.READ_WRITE, Create.CREATE)
            self.fill(stream, keep)
            self.stream = stream
            attributes = host.stream_query_open(stream)
            self.stream_key = (attributes.device, attributes.inode)
            self.stream_mtime = attributes.mtime_ns
            self.size = attributes.size
            self._blocks = attributes.blocks
            volume = self.volume
            assert isinstance(volume, MemVolume)
            claim(volume.registry, self.stream_key, self)
            self.modified()
        return stream

    def fill(self, stream: HostStream, keep: int) -> None:
        """Put existing content into a new stream (overlay.py)."""

    def _settle(self, stream: HostStream) -> None:
        attributes = self.volume.host.stream_query_open(stream)
        self.size = attributes.size
        self._blocks = attributes.blocks
        self.stream_mtime = attributes.mtime_ns

    def open_stream(self, thread: Thread, access: Access, create: Create) -> HostStream:
        # IntFlag arithmetic costs half a microsecond an operator: plain opens compare identities only
        if create is not PLAIN and create & Create.TRUNCATE:
            self.resize(0)
            create &= ~Create.TRUNCATE
        stream = self.content()
        if access is not READ:
            self.maybe_dirty = True
            self.forget_record()
            if not thread.process.credentials.has_capability(CAP_FSETID):
                self.drops_set_id = True
        return self.volume.host.stream_reopen(stream, access, create)

    def drop_content(self) -> None:
        """Nobody can reach the file any more: give the stream back."""
        if self.stream is not None:
            self.forget_record()
            self.volume.host.stream_close(self.stream)
            self.stream = None


class MemDirectory(Directory):
    """A directory whose names are all in ``entries``."""

    __slots__ = ("charged", "xattrs")

    name_size = 20
    """What a name adds to st_size: Linux's tmpfs says 20 (BOGO_DIRENT_SIZE)."""

    def __init__(self, volume: MemVolume, number: int, mode: int, uid: int, gid: int) -> None:
        super().__init__(volume, number, mode, uid, gid)
        self.xattrs: dict[bytes, bytes] | None = None
        self.charged = 0

    load_xattrs = Attributed.load_xattrs
    _charge = Attributed._charge
    xattr_names = Attributed.xattr_names
    xattr_get = Attributed.xattr_get
    xattr_set = Attributed.xattr_set

    def attach(self, name: bytes, inode: Inode) -> None:
        """Enter a name. Link counts are the caller's."""
        self.entries[name] = inode
        inode.parent = self
        inode.name = name
        self.size += self.name_size
        if inode.is_directory:
            self.nlink += 1
        self.changed_names()

    def detach(self, name: bytes, inode: Inode) -> None:
        """Take a name out. Link counts of inode are the caller's."""
        self.entries.pop(name, None)
        self.size -= self.name_size
        if inode.is_directory:
            self.nlink -= 1
        self.changed_names()

    def make(self, name: bytes, mode: int, uid: int, gid: int, rdev: int = 0, target: bytes = b"") -> Inode:
        volume = self.volume
        assert isinstance(volume, MemVolume)
        inode = volume.new_inode(mode, uid, gid, rdev, target)
        inode.device = self.device
        self.attach(name, inode)
        return inode

    def make_unnamed(self, mode: int, uid: int, gid: int, *, nameable: bool = True) -> Inode:
        volume = self.volume
        assert isinstance(volume, MemVolume)
        inode = volume.new_inode(S_IFREG | mode, uid, gid, 0, b"")
        assert isinstance(inode, MemFile)
        inode.never_named = not nameable
        inode.device = self.device
        inode.nlink = 0
        inode.parent = self
        inode.name = b"#%d" % inode.number
        return inode

    def link(self, name: bytes, inode: Inode) -> None:
        inode.nlink += 1
        inode.ctime = self.volume.now()
        inode.modified()
        self.attach(name, inode)

    def remove(self, name: bytes, inode: Inode) -> None:
        inode.modified()  # while its name still leads to it
        self.detach(name, inode)
        self._unlinked(inode)

    def _unlinked(self, inode: Inode) -> None:
        if inode.is_directory:
            inode.nlink = 0
        else:
            inode.refresh()
            inode.nlink -= 1
        inode.ctime = self.ctime
        inode.forget_record()
        if inode.nlink == 0:
            volume = self.volume
            assert isinstance(volume, MemVolume)
            volume.released(inode)

    def move(self, name: bytes, inode: Inode, target: Directory, new_name: bytes, replaced: Inode | None) -> None:
        assert isinstance(target, MemDirectory)
        inode.modified()  # pinned before it loses the entry by which it could be found again
        if replaced is not None:
            replaced.modified()
            target.detach(new_name, replaced)
            target._unlinked(replaced)
        self.detach(name, inode)
        target.attach(new_name, inode)
        inode.ctime = self.ctime
        inode.forget_record()

    def exchange(self, name: bytes, inode: Inode, target: Directory, other_name: bytes, other: Inode) -> None:
        assert isinstance(target, MemDirectory)
        inode.modified()
        other.modified()
        self.detach(name, inode)
        target.detach(other_name, other)
        target.attach(other_name, inode)
        self.attach(name, other)
        inode.ctime = other.ctime = self.ctime
        inode.forget_record()
        other.forget_record()
