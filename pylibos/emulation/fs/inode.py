"""Inodes and volumes: the abstract objects every file system of the view is made of.

An ``Inode`` is one file, directory, link or node with the identity a guest sees (device, number): it never changes, not even when
content is copied up. A ``Volume`` (Linux: super block + mount; NT: a mounted device object) is one mounted file system; each is
mounted once, so a directory has exactly one parent and ``parent``/``name`` of the inode are its directory entry. For other kinds they
are the entry through which the inode was reached last.

Division of labour: *callers* (walk.py, names.py, attributes.py) check permission, read-only mounts, types and name rules; *inodes* only
do the work and may assume it is legal. Must not know: guests' memory, descriptors, system call numbers.

``record`` is the packed struct stat, or None when it must be built again; every change of a field it contains must drop it (modified(), or
forget_record(), which also withdraws what the engine was told of the file). A volatile inode (host-backed and writable, or synthetic)
never keeps one.

Sources: Linux include/linux/fs.h (struct inode, inode_operations), fs/stat.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pylibos.abi.errno import Errno
from pylibos.abi.files import NANOSECONDS, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, STAT, STATFS
from pylibos.emulation.errors import SyscallError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pylibos.emulation.fs.notify import Watch
    from pylibos.emulation.fs.published import Publication
    from pylibos.emulation.io_manager.directory import Listing
    from pylibos.emulation.process.thread import Thread
    from pylibos.monitor.host_abi import Access, Create, HostABI, HostStream, StreamAttributes

_pack_stat = STAT.pack


class Location(NamedTuple):
    """Where a walk ended: the inode (None: the last name does not exist), the directory it was looked up in and its name there."""

    inode: Inode | None
    parent: Inode
    name: bytes


class Entry(NamedTuple):
    """One line of a directory listing: name, inode number, d_type."""

    name: bytes
    number: int
    kind: int


class Volume:
    """One mounted file system."""

    cacheable = True
    """Whether names of this volume change only through the VFS: if so, results of walks may be kept."""
    kind = b"none"
    """File system type as in /proc/mounts."""
    magic = 0

    def __init__(self, host: HostABI, device: int, *, source: bytes = b"none", read_only: bool = False) -> None:
        self.host = host
        self.device = device
        self.source = source
        self.read_only = read_only
        self.root: Inode
        self.covered: Inode | None = None
        """The directory (or file) this volume is mounted on; None for the root of the view and for what is not mounted."""
        self.mount_id = 0
        self.options: bytes = b"ro" if read_only else b"rw"
        self.no_suid = False
        self.no_device = False
        self.no_exec = False
        self._next_number = 1 << 33

    def new_number(self) -> int:
        """A fresh inode number: above what host file systems use in practice, exactly representable in a double."""
        self._next_number += 1
        return self._next_number

    def statfs_record(self) -> bytes:
        """struct statfs, 120 bytes."""
        flags = (1 if self.read_only else 0) | 0x20
        return STATFS.pack(self.magic, 4096, 0, 0, 0, 0, 0, self.device, 0, 255, 4096, flags)

    def now(self) -> int:
        """Time for inode stamps, ns: the host's coarse real-time clock, which also stamps native writes (so stamps never run backwards)."""
        return self.host.clock_read(5)

    def pin(self, inode: Inode) -> None:
        """Called once when an inode first differs from what its volume could make again; default: nothing to protect."""
        inode.pinned = True

    def unmounted(self) -> None:
        """Give host resources back."""


class Inode:
    """One file of any kind. Fields are read freely by the VFS; change them through the methods."""

    __slots__ = (
        "__weakref__",
        "atime",
        "btime",
        "ctime",
        "device",
        "gid",
        "mode",
        "mounted",
        "mtime",
        "name",
        "nlink",
        "number",
        "parent",
        "pinned",
        "publication",
        "rdev",
        "record",
        "running",
        "size",
        "uid",
        "volume",
        "watches",
        "written",
    )

    is_directory = False
    is_symlink = False
    is_regular = False
    cacheable = True
    """False when looking a name up here may give another answer without the VFS knowing."""
    volatile = False
    """True when attributes must be asked for each time (``record`` stays None)."""

    def __init__(self, volume: Volume, number: int, mode: int, uid: int, gid: int) -> None:
        self.volume = volume
        self.device = volume.device
        self.number = number
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.nlink = 1
        self.rdev = 0
        self.size = 0
        self.atime = self.mtime = self.ctime = self.btime = 0
        self.record: bytes | None = None
        self.parent: Inode | None = None
        self.name = b""
        self.mounted: Volume | None = None
        self.pinned = False
        self.watches: list[Watch] | None = None
        self.running = 0
        """Processes whose program this is: while there is one, nobody may open it for writing (ETXTBSY)."""
        self.written = False
        """A guest has opened it for writing and may still hold that descriptor: asked of the host before it is executed."""
        self.publication: Publication | None = None
        """What the engine may have been told of the file (published.py)."""

    # -- attributes ------------------------------------------------------------------------------------------------------
    @property
    def kind(self) -> int:
        """NodeKind number (d_type)."""
        return self.mode >> 12

    @property
    def blocks(self) -> int:
        """st_blocks: 512-byte units."""
        return (self.size + 511) >> 9 if self.mode & S_IFMT == S_IFREG else 0

    @property
    def block_size(self) -> int:
        """st_blksize."""
        return 4096

    def refresh(self) -> None:
        """Bring the fields up to date with the backing store (volatile inodes, files with native writers)."""

    def refresh_from(self, attributes: StreamAttributes) -> None:
        """The same, from attributes of the backing stream that the caller already has."""

    def stat_record(self) -> bytes:
        """struct stat, 144 bytes, as the guest sees it."""
        record = self.record
        if record is not None:
            return record
        self.refresh()
        record = self.pack_record()
        if not self.volatile:
            self.record = record
        return record

    def record_from(self, attributes: StreamAttributes) -> bytes:
        """stat_record() given the attributes of a guest descriptor that refers to this inode's content."""
        self.refresh_from(attributes)
        record = self.record
        if record is None:
            record = self.pack_record()
            if not self.volatile:
                self.record = record
        return record

    def pack_record(self) -> bytes:
        """Pack the fields as they are."""
        atime, mtime, ctime = self.atime, self.mtime, self.ctime
        return _pack_stat(
            self.device, self.number, self.nlink, self.mode, self.uid, self.gid, 0, self.rdev, self.size, self.block_size, self.blocks,
            atime // NANOSECONDS, atime % NANOSECONDS, mtime // NANOSECONDS, mtime % NANOSECONDS, ctime // NANOSECONDS, ctime % NANOSECONDS,
        )  # fmt: skip

    @property
    def is_settled(self) -> bool:
        """Whether what is said of the file now holds until forget_record()."""
        return not self.volatile

    def readable_content(self) -> tuple[HostStream, tuple[int, int], bool] | None:
        """A stream whose file an open for reading gives, its (device, inode), whether the caller is to close it; None: there is none."""
        return None

    def forget_record(self) -> None:
        """Something that stat, access or readlink tell is different now."""
        self.record = None
        if self.publication is not None:
            self.publication.withdraw()

    def modified(self) -> None:
        """A field changed: forget the packed record and make sure the inode is kept."""
        self.forget_record()
        if not self.pinned:
            self.volume.pin(self)

    def change(
        self, mode: int | None = None, uid: int | None = None, gid: int | None = None, atime: int | None = None, mtime: int | None = None
    ) -> None:
        """Set attributes (mode: 12 permission bits; times in ns). ctime becomes now."""
        if mode is not None:
            self.mode = (self.mode & S_IFMT) | mode
        if uid is not None:
            self.uid = uid
        if gid is not None:
            self.gid = gid
        if atime is not None:
            self.atime = atime
        if mtime is not None:
            self.mtime = mtime
        self.ctime = self.volume.now()
        self.modified()

    def touch(self) -> None:
        """Content (or names, of a directory) changed now."""
        self.mtime = self.ctime = self.volume.now()
        self.modified()

    def resize(self, size: int) -> None:
        """Set the length of a regular file."""
        raise SyscallError(Errno.EINVAL)

    # -- extended attributes -----------------------------------------------------------------------------------------------
    def xattr_names(self) -> Sequence[bytes]:
        """Names, in order of setting."""
        return ()

    def xattr_get(self, name: bytes) -> bytes:
        """Value. Raises ENODATA, EOPNOTSUPP."""
        raise SyscallError(Errno.EOPNOTSUPP)

    def xattr_set(self, name: bytes, value: bytes | None, flags: int) -> None:
        """Set, or remove with None. flags: 1 create only (EEXIST), 2 replace only (ENODATA)."""
        raise SyscallError(Errno.EOPNOTSUPP)

    # -- content -----------------------------------------------------------------------------------------------------------
    def open_stream(self, thread: Thread, access: Access, create: Create) -> HostStream:
        """A new open of the content for a guest. create carries only TRUNCATE, APPEND, NONBLOCK. Raises ENXIO where there is none."""
        raise SyscallError(Errno.ENXIO)

    def read_link(self, thread: Thread) -> bytes:
        """Text of a symbolic link."""
        raise SyscallError(Errno.EINVAL)

    def follow(self, thread: Thread) -> bytes | Location:
        """Where a link leads: text to walk on with, or (magic links) the place itself."""
        return self.read_link(thread)


_NO_ENTRIES: dict[bytes, Inode] = {}


class Directory(Inode):
    """A directory. ``entries`` holds the names known right now (a volatile directory keeps it empty for ever)."""

    __slots__ = ("entries", "packed")

    is_directory = True

    def __init__(self, volume: Volume, number: int, mode: int, uid: int, gid: int) -> None:
        super().__init__(volume, number, S_IFDIR | (mode & 0o7777), uid, gid)
        self.nlink = 2
        self.entries: dict[bytes, Inode] = {}
        self.packed: Listing | None = None
        """Directory records kept by the I/O manager's lister; dropped with ``record`` by changed_names()."""

    @property
    def blocks(self) -> int:
        """Directories of the view occupy nothing."""
        return 0

    def lookup(self, name: bytes, thread: Thread | None) -> Inode | None:
        """The inode of a name that is not in ``entries``; None when there is none. Never called with b"." or b".."."""
        return self.entries.get(name)

    def read_entries(self, thread: Thread | None) -> list[Entry]:
        """All names but . and .. ."""
        return [Entry(name, inode.number, inode.mode >> 12) for name, inode in self.entries.items()]

    def is_empty(self, thread: Thread | None) -> bool:
        """Whether rmdir may remove it."""
        return not self.read_entries(thread)

    def changed_names(self) -> None:
        """A name came or went."""
        self.packed = None
        self.touch()

    def make(self, name: bytes, mode: int, uid: int, gid: int, rdev: int = 0, target: bytes = b"") -> Inode:
        """Create name with the type in mode (target: text of a symbolic link). The name does not exist."""
        raise SyscallError(Errno.EPERM)

    def make_unnamed(self, mode: int, uid: int, gid: int, *, nameable: bool = True) -> Inode:
        """A regular file without a name (O_TMPFILE), link count 0. nameable: linkat may give it one."""
        raise SyscallError(Errno.EOPNOTSUPP)

    def link(self, name: bytes, inode: Inode) -> None:
        """One more name for inode (same volume, not a directory)."""
        raise SyscallError(Errno.EPERM)

    def remove(self, name: bytes, inode: Inode) -> None:
        """Take the name away; inode is what it leads to (an empty directory, or no directory)."""
        raise SyscallError(Errno.EPERM)

    def move(self, name: bytes, inode: Inode, target: Directory, new_name: bytes, replaced: Inode | None) -> None:
        """Rename inode to target/new_name (same volume), replacing what is there."""
        raise SyscallError(Errno.EPERM)

    def exchange(self, name: bytes, inode: Inode, target: Directory, other_name: bytes, other: Inode) -> None:
        """Swap two names (same volume)."""
        raise SyscallError(Errno.EPERM)


class Symlink(Inode):
    """A symbolic link with fixed text."""

    __slots__ = ("target",)

    is_symlink = True

    def __init__(self, volume: Volume, number: int, uid: int, gid: int, target: bytes) -> None:
        super().__init__(volume, number, S_IFLNK | 0o777, uid, gid)
        self.target = target
        self.size = len(target)

    def read_link(self, thread: Thread) -> bytes:
        return self.target

    def follow(self, thread: Thread) -> bytes | Location:
        return self.target


def is_ancestor(directory: Inode, of: Inode) -> bool:
    """Whether directory is ``of`` or lies on its way to the volume's root."""
    current: Inode | None = of
    while current is not None:
        if current is directory:
            return True
        current = current.parent
    return False


def path_of(inode: Inode, root: Inode | None = None) -> bytes:
    """Absolute path through the entries known now, seen from root (a directory above it, or the root of the view).

    A removed inode keeps its last name; callers add what they must say about that. Source: Linux fs/d_path.c.
    """
    names: list[bytes] = []
    current = inode
    while current is not root:
        parent = current.parent
        if parent is None:
            covered = current.volume.covered
            if covered is None:
                break
            current = covered
            continue
        names.append(current.name)
        current = parent
    names.reverse()
    return b"/" + b"/".join(names)
