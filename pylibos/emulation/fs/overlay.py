"""The copy-on-write view: host directories below, read only and never written; everything that differs lives in memory above.

One object per file plays both layers: it starts as a picture of the host's file (its attributes, the path of its content) and is changed
in place when the guest changes it, so identity survives copy-up, hard links stay together, and an open descriptor of the lower file is
still recognised. What makes an upper layer is:

    CowFile       content is the host file until someone may write, then a ``mem:`` stream with a copy (copy-up)
    CowDirectory  ``lower`` is the host directory the remaining names come from (None: opaque); ``whiteouts`` are names of it that are gone;
                  entries are children already met. A renamed directory keeps its ``lower``: nothing below is copied, ever
    pinned        the inode differs from the host's: it and all directories above must be kept. The rest may be forgotten (trim) and is
                  found again under the same identity

The lower tree is believed to stand still for the life of the sandbox: attributes, listings and absences are kept. read_only volumes use the
same classes; callers see EROFS before anything here would change. Must not know permissions or descriptors of guests.

Sources: Linux fs/overlayfs (whiteouts, opaque directories, redirect_dir, index), overlayfs.rst.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

from pylibos.abi.errno import Errno
from pylibos.abi.files import OVERLAYFS_MAGIC, S_IFMT, S_IFREG, STATFS
from pylibos.emulation.fs.inode import Entry, Inode
from pylibos.emulation.fs.memfs import PLAIN, READ, AttributedSymlink, MemDirectory, MemFile, MemSpecial, MemVolume, claim
from pylibos.emulation.fs.owners import AS_THEY_ARE, Owners
from pylibos.monitor.host_abi import Access, Create, HostError, NodeKind

if TYPE_CHECKING:
    from pylibos.emulation.fs.memfs import Registry
    from pylibos.emulation.process.thread import Thread
    from pylibos.monitor.host_abi import HostABI, HostStream, StreamAttributes

DIRECTORY_SIZE: Final = 4096
"""st_size of a new directory: what disk file systems give, one block, because programs compare and add up what they copied."""
TRIM_LIMIT: Final = 60_000
"""Lower names kept before the unchanged ones are forgotten: about 40 MB."""

_GONE = (Errno.ENOENT, Errno.ENOTDIR, Errno.ELOOP)


class CowVolume(MemVolume):
    """A copy-on-write (or, with read_only, a frozen) view of one host tree."""

    kind = b"overlay"
    magic = OVERLAYFS_MAGIC

    def __init__(
        self, host: HostABI, device: int, registry: Registry, lower: bytes, *, read_only: bool = False, owners: Owners = AS_THEY_ARE
    ) -> None:
        super().__init__(host, device, registry, source=b"overlay")
        self.owners = owners
        self.read_only = read_only
        self.options = b"ro" if read_only else b"rw"
        self.lower_path = lower
        self.known: WeakValueDictionary[tuple[int, int], Inode] = WeakValueDictionary()
        """Lower inodes alive, by host identity: the names of a hard-linked file share one."""
        self.kept: set[Inode] = set()
        """Changed inodes with several lower names: any of them may be met later."""
        self.names_kept = 0
        attributes = host.stream_query(b"dir:" + lower)
        self.devices: dict[int, int] = {attributes.device: device}
        """Host st_dev -> guest st_dev. A tree that spans host file systems shows as many devices."""
        self.root = self.picture(attributes, lower)
        self.root.pinned = True

    def picture(self, attributes: StreamAttributes, path: bytes) -> Inode:
        """The inode that stands for a host file nobody has changed."""
        kind = attributes.mode & S_IFMT
        mode = attributes.mode
        uid, gid = self.owners.inside(attributes.uid, attributes.gid)
        inode: Inode
        if kind == S_IFREG:
            inode = CowFile(self, attributes.inode, mode, uid, gid)
            inode.lower = path
            inode.lower_blocks = attributes.blocks
            inode.lower_key = (attributes.device, attributes.inode)
        elif kind >> 12 == NodeKind.DIRECTORY:
            inode = CowDirectory(self, attributes.inode, mode, uid, gid)
            inode.lower = path
        elif kind >> 12 == NodeKind.SYMLINK:
            inode = CowSymlink(self, attributes.inode, uid, gid, b"")
            inode.lower = path
        else:
            inode = MemSpecial(self, attributes.inode, mode, uid, gid)
            inode.rdev = attributes.rdev
        inode.device = self.guest_device(attributes.device)
        inode.size = attributes.size
        inode.nlink = attributes.link_count
        inode.atime = attributes.atime_ns
        inode.mtime = attributes.mtime_ns
        inode.ctime = inode.btime = attributes.ctime_ns
        return inode

    def guest_device(self, host_device: int) -> int:
        """Guest st_dev for a host st_dev below the root."""
        device = self.devices.get(host_device)
        if device is None:
            device = self.devices[host_device] = self.device + (len(self.devices) << 20)
        return device

    def new_file(self, number: int, mode: int, uid: int, gid: int) -> MemFile:
        return CowFile(self, number, mode, uid, gid)

    def new_directory(self, number: int, mode: int, uid: int, gid: int) -> MemDirectory:
        return CowDirectory(self, number, mode, uid, gid)

    def pin(self, inode: Inode) -> None:
        if inode.nlink > 1 and not inode.is_directory:
            self.kept.add(inode)
        current: Inode | None = inode
        while current is not None and not current.pinned:
            current.pinned = True
            parent = current.parent
            if parent is not None and parent.is_directory and current.nlink:
                assert isinstance(parent, CowDirectory)
                if current.name not in parent.whiteouts:
                    parent.entries.setdefault(current.name, current)
            current = parent

    def released(self, inode: Inode) -> None:
        if inode.number > 1 << 33:
            self.inode_count -= 1
            self.released_text(inode)
        self.kept.discard(inode)

    def trim(self) -> None:
        """Forget names that the lower tree can give again."""
        self.names_kept = 0
        stack = [self.root] if isinstance(self.root, CowDirectory) else []
        while stack:
            stack.extend(stack.pop().trim())

    def statfs_record(self) -> bytes:
        info = self.host.volume_query(b"dir:" + self.lower_path)
        flags = (1 if self.read_only else 0) | 0x20
        return STATFS.pack(
            self.magic, info.block_size, info.blocks, info.blocks_free, info.blocks_available, info.files, info.files_free,
            self.device, 0, info.name_max, info.block_size, flags,
        )  # fmt: skip


def _lower_xattrs(volume: CowVolume, uri: bytes) -> dict[bytes, bytes]:
    """user.* attributes of a host file; the others are the host's own business."""
    found: dict[bytes, bytes] = {}
    try:
        for name in volume.host.attribute_list(uri):
            if name.startswith(b"user."):
                found[name] = volume.host.attribute_read(uri, name)
    except HostError:
        return found
    return found


class CowFile(MemFile):
    """A regular file; ``lower`` is the host path of its content until copy-up, then b""."""

    __slots__ = ("lower", "lower_blocks", "lower_key", "lower_xattrs")

    def __init__(self, volume: CowVolume, number: int, mode: int, uid: int, gid: int) -> None:
        super().__init__(volume, number, mode, uid, gid)
        self.lower = b""
        self.lower_blocks = 0
        self.lower_key = (0, 0)
        self.lower_xattrs = b""

    @property
    def blocks(self) -> int:
        return self.lower_blocks if self.lower else self._blocks

    def load_xattrs(self) -> dict[bytes, bytes]:
        if self.xattrs is None:
            path = self.lower or self.lower_xattrs
            assert isinstance(self.volume, CowVolume)
            self.xattrs = _lower_xattrs(self.volume, b"file:" + path) if path else {}
        return self.xattrs

    def open_stream(self, thread: Thread, access: Access, create: Create) -> HostStream:
        if self.lower and access is READ and (create is PLAIN or not create & Create.TRUNCATE):
            stream = self.volume.host.stream_open(b"file:" + self.lower, access, create)
            volume = self.volume
            assert isinstance(volume, MemVolume)
            claim(volume.registry, self.lower_key, self)
            return stream
        return super().open_stream(thread, access, create)

    def readable_content(self) -> tuple[HostStream, tuple[int, int], bool] | None:
        if not self.lower:
            return super().readable_content()
        return (self.volume.host.stream_open(b"file:" + self.lower, READ), self.lower_key, True)

    def fill(self, stream: HostStream, keep: int) -> None:
        """Copy up: the lower content (at most ``keep`` bytes of it) into the new stream."""
        if not self.lower:
            return
        host = self.volume.host
        size = self.size if keep < 0 else min(keep, self.size)
        if size:
            source = host.stream_open(b"file:" + self.lower, Access.READ)
            try:
                host.stream_copy(source, stream, size)
            finally:
                host.stream_close(source)
        self.lower_xattrs = self.lower
        self.lower = b""


class CowSymlink(AttributedSymlink):
    """A symbolic link of the lower tree; its text is read when first needed. Attributes of the lower link are not shown."""

    __slots__ = ("lower",)

    def __init__(self, volume: CowVolume, number: int, uid: int, gid: int, target: bytes) -> None:
        super().__init__(volume, number, uid, gid, target)
        self.lower = b""

    def read_link(self, thread: Thread) -> bytes:
        if not self.target and self.lower:
            self.target = self.volume.host.symlink_read(b"file:" + self.lower)
        return self.target

    follow = read_link


class CowDirectory(MemDirectory):
    """A directory of both layers."""

    __slots__ = ("listing", "lower", "missing", "whiteouts")

    name_size = 0

    def __init__(self, volume: CowVolume, number: int, mode: int, uid: int, gid: int) -> None:
        super().__init__(volume, number, mode, uid, gid)
        self.size = DIRECTORY_SIZE
        self.lower = b""
        """Host path of the directory below; b"" for an opaque (new) directory."""
        self.whiteouts: set[bytes] = set()
        self.missing: set[bytes] = set()
        """Names looked up and not there in the lower directory."""
        self.listing: tuple[Entry, ...] | None = None

    @property
    def blocks(self) -> int:
        return self.size >> 9

    def load_xattrs(self) -> dict[bytes, bytes]:
        if self.xattrs is None:
            assert isinstance(self.volume, CowVolume)
            self.xattrs = _lower_xattrs(self.volume, b"dir:" + self.lower) if self.lower else {}
        return self.xattrs

    def lookup(self, name: bytes, thread: Thread | None) -> Inode | None:
        inode = self.entries.get(name)
        if inode is not None:
            return inode
        if not self.lower or name in self.whiteouts or name in self.missing:
            return None
        volume = self.volume
        assert isinstance(volume, CowVolume)
        if volume.names_kept >= TRIM_LIMIT:
            volume.trim()
        volume.names_kept += 1
        path = (self.lower if self.lower != b"/" else b"") + b"/" + name
        try:
            attributes = volume.host.stream_query(b"file:" + path)
        except HostError as error:
            if error.errno in _GONE:
                self.missing.add(name)
                return None
            raise
        inode = volume.known.get((attributes.device, attributes.inode))
        if inode is None or (inode.is_directory and (inode.parent is not self or inode.name != name)):
            inode = volume.picture(attributes, path)
            volume.known[attributes.device, attributes.inode] = inode
        if inode.parent is None or not inode.pinned:
            inode.parent = self
            inode.name = name
        self.entries[name] = inode
        return inode

    def lower_entries(self) -> tuple[Entry, ...]:
        """Names of the lower directory, whited-out ones included; kept."""
        listing = self.listing
        if listing is None:
            if not self.lower:
                return ()
            found = self.volume.host.directory_list(b"dir:" + self.lower)
            listing = self.listing = tuple(Entry(entry.name, entry.inode, int(entry.kind)) for entry in found)
            assert isinstance(self.volume, CowVolume)
            self.volume.names_kept += len(listing) // 4
        return listing

    def read_entries(self, thread: Thread | None) -> list[Entry]:
        entries = self.entries
        whiteouts = self.whiteouts
        if not whiteouts and not entries:
            return list(self.lower_entries())
        found = [entry for entry in self.lower_entries() if entry[0] not in whiteouts]
        names = {entry[0] for entry in found}
        found.extend(Entry(name, inode.number, inode.mode >> 12) for name, inode in entries.items() if name not in names)
        return found

    def detach(self, name: bytes, inode: Inode) -> None:
        if self.lower:
            self.whiteouts.add(name)
        super().detach(name, inode)

    def trim(self) -> list[CowDirectory]:
        """Forget what the lower directory can give again; the changed sub-directories left."""
        self.missing.clear()
        self.listing = None
        self.packed = None
        kept = {name: inode for name, inode in self.entries.items() if inode.pinned}
        self.entries = kept
        return [inode for inode in kept.values() if isinstance(inode, CowDirectory)]
