"""hostfs: a writable host directory (or single file) in the view. Everything written goes to the host at once.

Nothing is believed for longer than one call: names are looked up and attributes asked for each time, because others may change the
host's files. An inode object exists while somebody holds it and is found by host identity, so that two opens of a file meet. Ownership
and modes are the host's, and what the host refuses is refused here with the host's errno. Guest descriptors are real descriptors of the
host files.

Host paths are built from the directory entries known now (parent/name), which the VFS moves when the guest renames. Must not know
permissions: callers check the guest's view first, the host checks again.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from pylibos.abi.errno import Errno
from pylibos.abi.files import S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, STATFS
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.fs.inode import Directory, Entry, Inode, Symlink, Volume
from pylibos.emulation.fs.memfs import claim
from pylibos.emulation.fs.owners import AS_THEY_ARE, Owners
from pylibos.monitor.host_abi import Access, AttributeChange, Create, HostError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pylibos.emulation.fs.memfs import Registry
    from pylibos.emulation.process.thread import Thread
    from pylibos.monitor.host_abi import HostABI, HostStream, StreamAttributes

_GONE = (Errno.ENOENT, Errno.ENOTDIR, Errno.ELOOP)
HOSTFS_MAGIC = 0x65735546
"""That of virtiofs, which is what this is: a directory of the host. Programs that would rely on inotify to see natively written content
(tail -f) poll on it, because it cannot tell them either."""
_OWNER_BOTH = 0o600


class HostVolume(Volume):
    """A writable piece of the host."""

    cacheable = False
    kind = b"virtiofs"
    magic = HOSTFS_MAGIC

    def __init__(
        self, host: HostABI, device: int, registry: Registry, path: bytes, *, read_only: bool = False, owners: Owners = AS_THEY_ARE
    ) -> None:
        super().__init__(host, device, source=b"host", read_only=read_only)
        self.owners = owners
        self.registry = registry
        self.path = path
        self.known: WeakValueDictionary[tuple[int, int], Inode] = WeakValueDictionary()
        attributes = host.stream_query(b"file:" + path)
        self.devices: dict[int, int] = {attributes.device: device}
        self.root = self.inode_for(attributes, None, b"")

    def guest_device(self, host_device: int) -> int:
        """Guest st_dev for a host st_dev below the root."""
        device = self.devices.get(host_device)
        if device is None:
            device = self.devices[host_device] = self.device + (len(self.devices) << 20)
        return device

    def inode_for(self, attributes: StreamAttributes, parent: HostDirectory | None, name: bytes) -> Inode:
        """The inode of a host file just looked at, known or new, with fresh attributes."""
        key = (attributes.device, attributes.inode)
        inode = self.known.get(key)
        if inode is None or inode.mode & S_IFMT != attributes.mode & S_IFMT:
            kind = attributes.mode & S_IFMT
            if kind == S_IFDIR:
                inode = HostDirectory(self, attributes.inode, attributes.mode, attributes.uid, attributes.gid)
            elif kind == S_IFLNK:
                inode = HostSymlink(self, attributes.inode, attributes.uid, attributes.gid, b"")
            else:
                inode = HostFile(self, attributes.inode, attributes.mode, attributes.uid, attributes.gid)
            self.known[key] = inode
        inode.parent = parent
        inode.name = name
        take(inode, attributes, self)
        return inode

    def statfs_record(self) -> bytes:
        info = self.host.volume_query(b"file:" + self.path)
        flags = (1 if self.read_only else 0) | 0x20
        return STATFS.pack(
            self.magic, info.block_size, info.blocks, info.blocks_free, info.blocks_available, info.files, info.files_free,
            self.device, 0, info.name_max, info.block_size, flags,
        )  # fmt: skip


def take(inode: Inode, attributes: StreamAttributes, volume: HostVolume) -> None:
    """Copy host attributes into an inode."""
    inode.device = volume.guest_device(attributes.device)
    inode.number = attributes.inode
    inode.mode = attributes.mode
    inode.uid, inode.gid = volume.owners.inside(attributes.uid, attributes.gid)
    inode.nlink = attributes.link_count
    inode.rdev = attributes.rdev
    inode.size = attributes.size
    inode.atime = attributes.atime_ns
    inode.mtime = attributes.mtime_ns
    inode.ctime = inode.btime = attributes.ctime_ns
    if isinstance(inode, HostFile):
        inode.host_blocks = attributes.blocks
        inode.key = (attributes.device, attributes.inode)


class HostBacked(Inode):
    """What host files, directories and links have in common."""

    __slots__ = ()

    volatile = True

    def host_path(self) -> bytes:
        """Where the host has it, by the entries known now."""
        names: list[bytes] = []
        current: Inode = self
        while current.parent is not None:
            names.append(current.name)
            current = current.parent
        assert isinstance(self.volume, HostVolume)
        if not names:
            return self.volume.path
        names.append(self.volume.path if self.volume.path != b"/" else b"")
        names.reverse()
        return b"/".join(names)

    def uri(self) -> bytes:
        """The host ABI's name for it."""
        return b"file:" + self.host_path()

    def refresh(self) -> None:
        assert isinstance(self.volume, HostVolume)
        try:
            attributes = self.volume.host.stream_query(self.uri())
        except HostError:
            self.nlink = 0
            return
        if attributes.inode == self.number:
            take(self, attributes, self.volume)

    def refresh_from(self, attributes: StreamAttributes) -> None:
        assert isinstance(self.volume, HostVolume)
        take(self, attributes, self.volume)

    def modified(self) -> None:
        """Nothing is kept."""

    def touch(self) -> None:
        """The host stamps its files."""

    def change(
        self, mode: int | None = None, uid: int | None = None, gid: int | None = None, atime: int | None = None, mtime: int | None = None
    ) -> None:
        assert isinstance(self.volume, HostVolume)
        uid, gid = self.volume.owners.outside(uid, gid)
        self.volume.host.stream_change(self.uri(), AttributeChange(mode, uid, gid, atime, mtime))
        self.refresh()

    def xattr_names(self) -> Sequence[bytes]:
        return self.volume.host.attribute_list(self.uri())

    def xattr_get(self, name: bytes) -> bytes:
        return self.volume.host.attribute_read(self.uri(), name)

    def xattr_set(self, name: bytes, value: bytes | None, flags: int) -> None:
        self.volume.host.attribute_write(self.uri(), name, value, flags)


class HostFile(HostBacked):
    """A regular file or a special node of the host. ``extra``: a FIFO joins programs of the sandbox only, so its pipe is ours."""

    __slots__ = ("extra", "fresh", "handle", "host_blocks", "key", "opened", "unnamed")

    def __init__(self, volume: HostVolume, number: int, mode: int, uid: int, gid: int) -> None:
        super().__init__(volume, number, mode, uid, gid)
        self.extra: object = None
        """What the I/O manager keeps of a FIFO."""
        self.handle: HostStream | None = None
        """The very file, while a call on a descriptor is answered: names may have moved, or gone, under an open file."""
        self.opened: tuple[int, int] | None = None
        """(host tid, descriptor) of a guest that was asked for this file last by a /proc/PID/fd link: the way to a file without a name."""
        self.unnamed: HostStream | None = None
        """A new file without a name, until its first open."""
        self.fresh = False
        """Made by the call that is about to open it: the open may ask for what the new file's mode forbids (git's 0444 objects)."""
        self.host_blocks = 0
        self.key = (0, 0)

    @property
    def is_regular(self) -> bool:  # type: ignore[override]  # the class attribute of Inode, here per object
        return self.mode & S_IFMT == S_IFREG

    @property
    def blocks(self) -> int:
        return self.host_blocks

    @contextmanager
    def through(self, host_tid: int, fd: int) -> Iterator[None]:
        """Within the block, changes go to the open file itself; by name when fd is only a token for it (O_PATH)."""
        host = self.volume.host
        try:
            handle = host.stream_open(b"guest:%d/%d" % (host_tid, fd), Access.NONE)
        except HostError as error:
            if error.errno != Errno.ENAMETOOLONG:
                raise
            yield  # too deep for the host to tell its name, by which policy decides
            return
        try:
            attributes = host.stream_query_open(handle)
            if attributes[:2] == self.key:
                self.handle = handle
                self.refresh_from(attributes)
            yield
        finally:
            self.handle = None
            host.stream_close(handle)

    def refresh(self) -> None:
        if self.handle is None:
            super().refresh()
        else:
            self.refresh_from(self.volume.host.stream_query_open(self.handle))

    def change(
        self, mode: int | None = None, uid: int | None = None, gid: int | None = None, atime: int | None = None, mtime: int | None = None
    ) -> None:
        if self.handle is None:
            super().change(mode, uid, gid, atime, mtime)
        else:
            assert isinstance(self.volume, HostVolume)
            uid, gid = self.volume.owners.outside(uid, gid)
            self.volume.host.stream_change_open(self.handle, AttributeChange(mode, uid, gid, atime, mtime))
            self.refresh()

    def resize(self, size: int) -> None:
        self.volume.host.stream_change(self.uri(), AttributeChange(size=size))

    def open_stream(self, thread: Thread, access: Access, create: Create) -> HostStream:
        host = self.volume.host
        if self.fresh:
            return self._open_fresh(thread, access, create)
        if self.unnamed is not None:
            stream = host.stream_reopen(self.unnamed, access, create)
            host.stream_close(self.unnamed)
            self.unnamed = None
        elif self.nlink == 0 and self.opened is not None:
            stream = self._again(*self.opened, access, create)
        else:
            stream = host.stream_open(self.uri(), access, create)
        assert isinstance(self.volume, HostVolume)
        claim(self.volume.registry, self.key, self)
        return stream

    def _open_fresh(self, thread: Thread, access: Access, create: Create) -> HostStream:
        """The creator's own open, which the new file's mode does not concern. The host would ask: lend it owner bits."""
        self.fresh = False
        mode = self.mode & 0o7777
        if mode & _OWNER_BOTH == _OWNER_BOTH:
            return self.open_stream(thread, access, create)
        self._set_mode(mode | _OWNER_BOTH)
        try:
            stream = self.open_stream(thread, access, create)
        except BaseException:
            self._set_mode(mode)
            raise
        self.volume.host.stream_change_open(stream, AttributeChange(mode=mode))
        return stream

    def _set_mode(self, mode: int) -> None:
        change = AttributeChange(mode=mode)
        if self.unnamed is None:
            self.volume.host.stream_change(self.uri(), change)
        else:
            self.volume.host.stream_change_open(self.unnamed, change)

    def _again(self, host_tid: int, fd: int, access: Access, create: Create) -> HostStream:
        """A new open of what a guest has open. Raises ENOENT when the guest has another file there by now."""
        host = self.volume.host
        stream = host.stream_open(b"guest:%d/%d" % (host_tid, fd), access, create)
        if host.stream_query_open(stream)[:2] != self.key:
            host.stream_close(stream)
            raise SyscallError(Errno.ENOENT)
        return stream

    def opened_by(self, host_tid: int, fd: int) -> None:
        """A /proc/PID/fd link led here: bring link count and attributes up to date, the name may have gone."""
        attributes = self.volume.host.descriptor_attributes(host_tid, fd)
        if attributes[:2] == self.key:
            self.refresh_from(attributes)
            self.opened = (host_tid, fd)


class HostSymlink(HostBacked, Symlink):
    """A symbolic link of the host."""

    __slots__ = ()

    def read_link(self, thread: Thread) -> bytes:
        return self.volume.host.symlink_read(self.uri())

    follow = read_link


class HostDirectory(HostBacked, Directory):
    """A directory of the host. ``entries`` stays empty."""

    __slots__ = ()

    cacheable = False

    @property
    def blocks(self) -> int:
        return 8

    def child_uri(self, name: bytes) -> bytes:
        """The host ABI's name for an entry."""
        path = self.host_path()
        return b"file:" + (path if path != b"/" else b"") + b"/" + name

    def lookup(self, name: bytes, thread: Thread | None) -> Inode | None:
        volume = self.volume
        assert isinstance(volume, HostVolume)
        try:
            attributes = volume.host.stream_query(self.child_uri(name))
        except HostError as error:
            if error.errno in _GONE:
                return None
            raise
        return volume.inode_for(attributes, self, name)

    def read_entries(self, thread: Thread | None) -> list[Entry]:
        found = self.volume.host.directory_list(b"dir:" + self.host_path())
        return [Entry(entry.name, entry.inode, int(entry.kind)) for entry in found]

    def make(self, name: bytes, mode: int, uid: int, gid: int, rdev: int = 0, target: bytes = b"") -> Inode:
        host = self.volume.host
        uri = self.child_uri(name)
        kind = mode & S_IFMT
        if kind == S_IFREG:
            host.stream_close(host.stream_open(uri, Access.WRITE, Create.CREATE | Create.EXCLUSIVE, mode & 0o7777))
        elif kind == S_IFDIR:
            host.directory_create(b"dir:" + uri[5:], mode & 0o7777)
        elif kind == S_IFLNK:
            host.symlink_create(uri, target)
        else:
            host.node_create(uri, mode)
        inode = self.lookup(name, None)
        if inode is None:
            raise SyscallError(Errno.ENOENT)
        if (inode.uid, inode.gid) != (uid, gid):
            with suppress(HostError):  # an invoking user who is not root cannot give files away: the host's owner stands
                inode.change(uid=uid, gid=gid)
        if kind != S_IFLNK and inode.mode & 0o7777 != mode & 0o7777:
            inode.change(mode=mode & 0o7777)
        if kind == S_IFREG:
            assert isinstance(inode, HostFile)
            inode.fresh = True
        return inode

    def make_unnamed(self, mode: int, uid: int, gid: int, *, nameable: bool = True) -> Inode:
        volume = self.volume
        assert isinstance(volume, HostVolume)
        host = volume.host
        create = Create.UNNAMED if nameable else Create.UNNAMED | Create.EXCLUSIVE
        stream = host.stream_open(self.uri(), Access.READ_WRITE, create, mode & 0o7777)
        attributes = host.stream_query_open(stream)
        owner, group = volume.owners.outside(uid, gid)
        if (attributes.uid, attributes.gid) != (owner, group):
            with suppress(HostError):
                host.stream_change_open(stream, AttributeChange(uid=owner, gid=group))
        if attributes.mode & 0o7777 != mode & 0o7777:
            host.stream_change_open(stream, AttributeChange(mode=mode & 0o7777))
        inode = volume.inode_for(host.stream_query_open(stream), self, b"#%d" % attributes.inode)
        assert isinstance(inode, HostFile)
        inode.unnamed = stream
        inode.fresh = True
        return inode

    def link(self, name: bytes, inode: Inode) -> None:
        assert isinstance(inode, HostBacked)
        source = inode.uri()
        if inode.nlink == 0 and isinstance(inode, HostFile) and inode.opened is not None:
            source = b"guest:%d/%d" % inode.opened
        self.volume.host.stream_link(source, self.child_uri(name))
        inode.parent, inode.name = self, name

    def remove(self, name: bytes, inode: Inode) -> None:
        uri = self.child_uri(name)
        self.volume.host.stream_delete(b"dir:" + uri[5:] if inode.is_directory else uri)

    def move(self, name: bytes, inode: Inode, target: Directory, new_name: bytes, replaced: Inode | None) -> None:
        assert isinstance(target, HostDirectory)
        self.volume.host.stream_rename(self.child_uri(name), target.child_uri(new_name))
        inode.parent = target
        inode.name = new_name

    def exchange(self, name: bytes, inode: Inode, target: Directory, other_name: bytes, other: Inode) -> None:
        assert isinstance(target, HostDirectory)
        self.volume.host.stream_rename(self.child_uri(name), target.child_uri(other_name), 2)
        inode.parent, inode.name = target, other_name
        other.parent, other.name = self, name
