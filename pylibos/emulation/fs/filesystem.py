"""FileSystem: the view of one sandbox: its mounts, and the way from a path to an inode (Linux: the VFS).

Owns the mount table, the whole-path cache and the numbering of devices. Operations on names are in names.py, on attributes in
attributes.py, on open files in io_manager. ``find`` and ``look`` are the hot path: a repeated look-up is one tuple and two dictionary
reads.

The mount plan (runtime): (guest path, kind, source) with kind cow | ro | rw | tmpfs | synthetic; source is a host path, a Volume
(synthetic) or None (tmpfs); first of all b"/". A missing mount point is made in the volume above it, in memory.

Sources: Linux fs/namei.c, fs/namespace.c; path_resolution(7).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pylibos.abi.errno import Errno
from pylibos.abi.files import NAME_MAX, S_IFDIR, S_IFREG, SYMLINK_LIMIT
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.fs.hostfs import HostVolume
from pylibos.emulation.fs.inode import Directory, Inode, Location, Volume, path_of
from pylibos.emulation.fs.memfs import MemVolume
from pylibos.emulation.fs.native_changes import NativeChanges
from pylibos.emulation.fs.overlay import CowVolume
from pylibos.emulation.fs.owners import AS_THEY_ARE, Owners
from pylibos.emulation.fs.permission import permitted
from pylibos.emulation.fs.synthetic import SyntheticVolume
from pylibos.emulation.fs.walk import Walk, mounted_on, parent_of, split, walk
from pylibos.emulation.fs.walk_cache import WalkCache
from pylibos.monitor.host_abi import NodeKind

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pylibos.emulation.fs.context import FsContext
    from pylibos.emulation.fs.dnotify import DirectorySignals
    from pylibos.emulation.fs.memfs import Registry
    from pylibos.emulation.fs.walk_cache import Table
    from pylibos.emulation.process.process import Process
    from pylibos.emulation.process.thread import Thread
    from pylibos.emulation.security.credentials import Credentials
    from pylibos.monitor.host_abi import HostABI

MountKind = Literal["cow", "ro", "rw", "tmpfs", "synthetic"]
MountSource = bytes | Volume | None
Plan = tuple[bytes, MountKind, MountSource]

_DAC = 6
"""CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: the capabilities that decide where a walk may pass."""


class FileSystem:
    """The guest's name space of files."""

    def __init__(self, host: HostABI, registry: Registry, owners: Owners = AS_THEY_ARE) -> None:
        """Empty: mount b"/" first. registry: the I/O manager's backing streams. owners: who owns the host's files."""
        self.host = host
        self.owners = owners
        self.registry = registry
        self.cache = WalkCache()
        self.native_changes = NativeChanges(host)
        self.directory_signals: DirectorySignals | None = None
        """Who asked for signals by F_NOTIFY; made for the first."""
        self._domains = self.cache.domains
        self.repeated = False
        """Whether the last look() found its answer in the cache, and there is an engine that may be told of it."""
        self.mounts: list[Volume] = []
        self.root: Inode
        self._next_device = 0x28
        self._next_mount_id = 20

    # -- mounts ------------------------------------------------------------------------------------------------------------
    def new_device(self) -> int:
        """A free unnamed device number (major 0) for a volume."""
        self._next_device += 1
        return self._next_device

    def mount_all(self, plan: Iterable[Plan]) -> None:
        """Mount a plan in order."""
        for path, kind, source in plan:
            self.mount(path, self.make_volume(kind, source))

    def make_volume(self, kind: MountKind, source: MountSource) -> Volume:
        """The volume of one line of a mount plan. Raises HostError when the host path cannot be looked at."""
        if isinstance(source, Volume):
            return source
        device = self.new_device()
        if kind == "tmpfs":
            return MemVolume(self.host, device, self.registry)
        if not isinstance(source, bytes):
            raise TypeError(f"mount kind {kind} needs a host path")
        if kind == "rw":
            return HostVolume(self.host, device, self.registry, source, owners=self.owners)
        return CowVolume(self.host, device, self.registry, source, read_only=kind == "ro", owners=self.owners)

    def mount(self, path: bytes, volume: Volume) -> None:
        """Put volume at an absolute guest path. The first mount must be b"/"."""
        if isinstance(volume, SyntheticVolume):
            volume.registry = self.registry
        volume.mount_id = self._next_mount_id
        self._next_mount_id += 1
        if not self.mounts:
            if path != b"/":
                raise ValueError("the first mount must be /")
            self.root = volume.root
        else:
            self.mount_on(self._mount_point(path, directory=volume.root.is_directory), volume)
        self.mounts.append(volume)

    def mount_on(self, point: Inode, volume: Volume) -> None:
        """Cover point (the topmost inode there) with volume."""
        volume.covered = point
        point.mounted = volume
        point.modified()
        self.cache.clear()

    def drain(self) -> None:
        """Let the synthetic volumes take what guests have written to their files."""
        for volume in self.mounts:
            if isinstance(volume, SyntheticVolume) and volume.pending:
                volume.drain()

    def unmount(self, volume: Volume) -> None:
        """Uncover. Raises EINVAL for the root, EBUSY when something is mounted inside."""
        if volume.covered is None:
            raise SyscallError(Errno.EINVAL)
        for other in self.mounts:
            if other.covered is not None and other.covered.volume is volume:
                raise SyscallError(Errno.EBUSY)
        volume.covered.mounted = None
        volume.covered = None
        self.mounts.remove(volume)
        self.cache.clear()
        volume.unmounted()

    def _mount_point(self, path: bytes, *, directory: bool) -> Inode:
        """The inode to cover, made with its parents where missing; links on the way are followed within the view (a root directory's links
        are anybody's). Raises ELOOP, ENOTDIR."""
        current = self.root
        parts = split(path)
        links = 0
        while parts:
            name = parts.pop()
            if name in {b".", b"/"}:
                continue
            if name == b"..":
                current = parent_of(current, self.root)
                continue
            if not isinstance(current, Directory):
                raise SyscallError(Errno.ENOTDIR)
            child = current.entries.get(name) or current.lookup(name, None)
            if child is not None and child.kind == NodeKind.SYMLINK and parts:
                links += 1
                if links > SYMLINK_LIMIT:
                    raise SyscallError(Errno.ELOOP)
                target = child.read_link(None)  # type: ignore[arg-type]  # lower links need no thread
                current = self.root if target.startswith(b"/") else current
                parts.extend(split(target))
                continue
            if child is None:
                kind = S_IFDIR | 0o755 if directory or parts else S_IFREG | 0o644
                child = current.make(name, kind, 0, 0)
            current = mounted_on(child)
        return current

    # -- finding -----------------------------------------------------------------------------------------------------------
    def look(self, thread: Thread, base: Inode | None, path: bytes, follow: bool = True) -> Location:
        """Where path leads, from base (None: the current directory). A missing last name gives inode None; else walk()'s errors."""
        process = thread.process
        context = process.fs
        credentials = process.credentials
        domain = (context.root, credentials.fsuid, credentials.fsgid, credentials.effective & _DAC, credentials.groups)
        tables = self._domains.get(domain)
        if tables is None:
            tables = self.cache.domain(domain)
        table = tables[follow]
        key: bytes | tuple[Inode, bytes] = path if path[:1] == b"/" else (base or context.cwd, path)
        location = table.get(key)
        if location is not None:
            self.repeated = self.cache.published is not None
            return location
        self.repeated = False
        if not path:
            raise SyscallError(Errno.ENOENT)
        report = Walk()
        location = walk(thread, base or context.cwd, context.root, path, follow, 0, report)
        if report.pure:
            self.cache.add(table, key, location, report.through_links, report.through_parents)
        return location

    def tables(self, process: Process) -> tuple[Table, Table]:
        """The walk cache's tables for what a process is now: not following, following a final link."""
        who = process.credentials
        return self.cache.domain((process.fs.root, who.fsuid, who.fsgid, who.effective & _DAC, who.groups))

    def find(self, thread: Thread, base: Inode | None, path: bytes, follow: bool = True) -> Inode:
        """The inode path leads to. Raises walk()'s errors, ENOENT for a missing last name too."""
        inode = self.look(thread, base, path, follow)[0]
        if inode is None:
            if self.repeated and self.cache.published is not None:
                self.cache.published.absent(thread, base, path, follow)
            raise SyscallError(Errno.ENOENT)
        return inode

    def look_by_rules(self, thread: Thread, base: Inode | None, path: bytes, follow: bool, rules: int) -> Location:
        """look() under openat2's RESOLVE_* rules (never cached)."""
        if not path:
            raise SyscallError(Errno.ENOENT)
        context = thread.process.fs
        return walk(thread, base or context.cwd, context.root, path, follow, rules, Walk())

    def parent(self, thread: Thread, base: Inode | None, path: bytes) -> tuple[Directory, bytes, bool]:
        """For a call that makes or removes a name: (directory, last name, whether a slash followed).

        The last name may be b".", b".." or b"/" (the root itself): the caller knows its error for that. The directory has been checked
        for search permission. Raises walk()'s errors, ENAMETOOLONG.
        """
        stripped = path.rstrip(b"/")
        context = thread.process.fs
        if not stripped:
            if not path:
                raise SyscallError(Errno.ENOENT)
            root = context.root
            assert isinstance(root, Directory)
            return root, b"/", True
        head, slash, name = stripped.rpartition(b"/")
        directory: Inode
        if head:
            directory = self.find(thread, base, bytes(head))
        elif slash:
            directory = context.root
        else:
            directory = base or context.cwd
        if not isinstance(directory, Directory):
            raise SyscallError(Errno.ENOTDIR)
        if directory.volatile:
            directory.refresh()
        if directory.mode & 0o111 != 0o111 and not permitted(directory, thread.process.credentials, 1):
            raise SyscallError(Errno.EACCES)
        if len(name) > NAME_MAX:
            raise SyscallError(Errno.ENAMETOOLONG)
        return directory, name, len(stripped) != len(path)

    def child(self, thread: Thread, directory: Directory, name: bytes) -> Inode | None:
        """The inode of one plain name (not . or ..), across mounts; None when missing."""
        inode = directory.entries.get(name)
        if inode is None:
            inode = directory.lookup(name, thread)
            if inode is None:
                return None
        return inode if inode.mounted is None else mounted_on(inode)

    # -- names of places -----------------------------------------------------------------------------------------------------
    def path_of(self, inode: Inode, context: FsContext | None = None) -> bytes:
        """Absolute path of an inode as a process with this context sees it."""
        return path_of(inode, None if context is None else context.root)

    def reachable(self, inode: Inode, root: Inode) -> bool:
        """Whether ".." from a directory ends at root."""
        current = inode
        while current is not root:
            above = parent_of(current, root)
            if above is current:
                return False
            current = above
        return True

    def search_changed(self, directory: Inode) -> None:
        """Mode or owner of a directory changed: paths through it may pass or fail differently."""
        if directory.is_directory:
            self.cache.clear()


def may_search(directory: Inode, credentials: Credentials) -> bool:
    """Search permission on a directory."""
    return directory.mode & 0o111 == 0o111 or permitted(directory, credentials, 1)
