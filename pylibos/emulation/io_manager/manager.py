"""The I/O manager (NT Io): opens inodes, recognises descriptors, gives up what no guest holds any more.

Owns: ``inodes`` (backing stream identity -> inode; also written by the volumes), ``files`` (token identity -> FileObject), the drivers of
device numbers, and the handles of unlinked files. The host kernel owns descriptor tables and closes natively, so objects are given up by
*sweeping*: when a table has doubled since the last sweep, every live guest's descriptors are identified, and a token unseen in two sweeps
(one might be on its way in a socket message), or content without a name, is closed.

Must not know paths or permission (fs does that) nor system call numbers. Source: docs/contracts.md, "Descriptors".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pylibos.abi.errno import Errno
from pylibos.abi.files import (
    AT_FDCWD,
    O_ACCMODE,
    O_APPEND,
    O_CLOEXEC,
    O_NONBLOCK,
    O_PATH,
    O_RDONLY,
    O_TRUNC,
    S_IFBLK,
    S_IFCHR,
    S_IFDIR,
    S_IFIFO,
    S_IFMT,
    S_IFREG,
)
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.io_manager.device import DeviceObject, DriverObject, IoRequest, MajorFunction
from pylibos.emulation.io_manager.fifo import FifoState, HostFifo, PipeFifo, make_state, open_fifo
from pylibos.emulation.io_manager.file_object import FileKind, FileObject, Key
from pylibos.emulation.outcome import Install, Remote
from pylibos.monitor.host_abi import Access, Create, HostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pylibos.emulation.fs.inode import Inode
    from pylibos.emulation.process.thread import Thread
    from pylibos.monitor.host_abi import HostABI, HostStream

SWEEP_MINIMUM: Final = 256
"""Tokens (or unlinked files) below this are not worth looking for: each is one descriptor of ours."""

REGISTRY_MINIMUM: Final = 20_000
"""Backing identities kept before those of closed lower files are dropped."""

ORPHAN_BYTES: Final = 64 << 20
"""Content without a name that may gather (what is known of it) before somebody looks whether it is still open."""

EXIT_SWEEP_NS: Final = 50_000_000
"""Least time between two sweeps because a process ended: one costs some microseconds per open descriptor of all guests."""

_CLOCK_MONOTONIC: Final = 1

_ACCESS: Final = (Access.READ, Access.WRITE, Access.READ_WRITE, Access.READ)
_PLAIN: Final = Create.OPEN

class IoManager:
    """Opens and descriptors of one sandbox. ``live_guests`` tells the host pids of live guest processes (the runtime or Ps sets it)."""

    def __init__(self, host: HostABI, live_guests: Callable[[], Iterable[int]] | None = None) -> None:
        self.host = host
        self.inodes: dict[Key, Inode] = {}
        self.files: dict[Key, FileObject] = {}
        self.live_guests = live_guests
        self.device_numbers: dict[tuple[int, int], Callable[[Thread, int], HostStream | Remote]] = {}
        """(S_IFCHR or S_IFBLK, dev_t) -> opener, for nodes made with mknod."""
        self.orphans: dict[Key, Inode] = {}
        self._sweep_files_at = SWEEP_MINIMUM
        self._sweep_orphans_at = SWEEP_MINIMUM
        self._orphan_bytes = 0
        self._orphan_bytes_limit = ORPHAN_BYTES
        self._swept_ns = 0
        self._prune_at = REGISTRY_MINIMUM
        create = MajorFunction.CREATE
        directory = DriverObject("Directory", {create: self._open_directory})
        path = DriverObject("Path", {create: self._open_path})
        fifo = DriverObject("Npfs", {create: self._open_fifo})
        node = DriverObject("Node", {create: self._open_node})
        self.drivers = {driver.name: driver for driver in (directory, path, fifo, node)}
        self._path_device = DeviceObject("\\Device\\Path", path)
        node_device = DeviceObject("\\Device\\Node", node)
        self._devices = {
            S_IFDIR: DeviceObject("\\Device\\Directory", directory),
            S_IFIFO: DeviceObject("\\Device\\NamedPipe", fifo),
            S_IFCHR: node_device,
            S_IFBLK: node_device,
        }

    # -- opening -----------------------------------------------------------------------------------------------------------
    def open(self, thread: Thread, inode: Inode, flags: int, path: bytes) -> Any:
        """Open an inode the caller may open like that: Install, or a generator (FIFO). flags: O_* of the guest, without O_CREAT."""
        if flags & O_PATH:
            return self._path_device.call(IoRequest(MajorFunction.CREATE, thread, inode, flags, path))
        kind = inode.mode & S_IFMT
        if kind == S_IFREG:
            if flags & O_ACCMODE == O_ACCMODE:  # neither reads nor writes: as good as an O_PATH open
                return self._token(b"token:path", FileKind.FILE, IoRequest(MajorFunction.CREATE, thread, inode, flags, path))
            if flags & (O_ACCMODE | O_TRUNC):
                if inode.running:
                    raise SyscallError(Errno.ETXTBSY)
                inode.written = True
            create = _PLAIN
            if flags & (O_TRUNC | O_APPEND | O_NONBLOCK):
                create = create_bits(flags)
            if len(self.inodes) >= self._prune_at:
                self.prune()
            stream = inode.open_stream(thread, _ACCESS[flags & O_ACCMODE], create)
            return Install(stream, flags & O_CLOEXEC != 0)
        device = self._devices.get(kind)
        if kind != S_IFDIR and hasattr(inode, "open_device"):  # a pipe or terminal behind a /proc/PID/fd link opens itself
            device = self._devices[S_IFCHR]
        if device is None:
            raise SyscallError(Errno.ENXIO)
        return device.call(IoRequest(MajorFunction.CREATE, thread, inode, flags, path))

    def _open_directory(self, request: IoRequest) -> Install:
        return self._token(b"token:dir", FileKind.DIRECTORY, request)

    def _open_path(self, request: IoRequest) -> Install:
        return self._token(b"token:path", FileKind.PATH, request)

    def _token(self, uri: bytes, kind: FileKind, request: IoRequest) -> Install:
        host = self.host
        stream = host.stream_open(uri, Access.READ)
        attributes = host.stream_query_open(stream)
        key = (attributes.device, attributes.inode)
        self.enter(FileObject(kind, key, request.inode, request.path, request.flags, stream))
        return Install(stream, request.flags & O_CLOEXEC != 0, keep=True)

    def enter(self, file: FileObject) -> None:
        """A token is about to be a guest's. One that has the same identity on the host is gone; a full table is looked through first."""
        if len(self.files) >= self._sweep_files_at:
            self.sweep()
        stale = self.files.get(file.key)
        if stale is not None:
            self._give_up(file.key, stale)
        self.files[file.key] = file

    def _open_fifo(self, request: IoRequest) -> Any:
        inode: Any = request.inode
        state = getattr(inode, "extra", None)
        if not isinstance(state, FifoState):
            if hasattr(inode, "uri"):  # of a writable host directory
                state = HostFifo(self.host, inode.key)
            elif hasattr(inode, "extra"):
                state = make_state(self.host)
            else:  # a FIFO of the lower tree
                raise SyscallError(Errno.ENXIO)
            inode.extra = state
            self.inodes[state.key] = inode
        if isinstance(state, HostFifo):
            state.uri = inode.uri()
        return open_fifo(request, state, self.guests())

    def _open_node(self, request: IoRequest) -> Install | Remote:
        inode = request.inode
        opener = getattr(inode, "open_device", None)
        if opener is None:
            opener = self.device_numbers.get((inode.mode & S_IFMT, inode.rdev))
            if opener is None:
                raise SyscallError(Errno.ENXIO)
        stream = opener(request.thread, request.flags)
        if isinstance(stream, Remote):  # a controlling terminal
            return stream
        if isinstance(stream, Install):
            return Install(stream.stream, request.flags & O_CLOEXEC != 0, stream.keep)
        return Install(stream, request.flags & O_CLOEXEC != 0)

    # -- descriptors ---------------------------------------------------------------------------------------------------------
    def describe(self, thread: Thread, fd: int) -> FileObject:
        """What a guest descriptor is. Raises EBADF (as SyscallError or HostError)."""
        identity = self.host.descriptor_identity(thread.host_tid, fd)
        key = (identity.device, identity.inode)
        file = self.files.get(key)
        if file is not None:
            return file
        inode = self.inodes.get(key)
        if inode is not None:
            return FileObject(FileKind.FILE, key, inode)
        return FileObject(FileKind.FOREIGN, key, mode=identity.mode)

    def inode_of(self, thread: Thread, fd: int) -> Inode | None:
        """The inode behind a guest descriptor, O_PATH included; None for a foreign one. Raises EBADF."""
        identity = self.host.descriptor_identity(thread.host_tid, fd)
        key = (identity.device, identity.inode)
        file = self.files.get(key)
        return file.inode if file is not None else self.inodes.get(key)

    def base(self, thread: Thread, dirfd: int, path: bytes) -> Inode | None:
        """Where a path starts: None for AT_FDCWD (or when path is absolute, whatever dirfd is). Raises EBADF, ENOTDIR."""
        if dirfd == AT_FDCWD or path[:1] == b"/":
            return None
        inode = self.inode_of(thread, dirfd)
        if inode is None:
            raise SyscallError(Errno.ENOTDIR)
        return inode

    def access_of(self, thread: Thread, fd: int) -> int:
        """O_ACCMODE bits of a guest descriptor; O_PATH when it is one. Raises EBADF."""
        return self.host.descriptor_state(thread.host_tid, fd)[0] & (O_ACCMODE | O_PATH)

    def require_writable(self, thread: Thread, fd: int) -> None:
        """Raise EBADF unless the guest may write through fd."""
        if self.access_of(thread, fd) in {O_RDONLY, O_PATH}:
            raise SyscallError(Errno.EBADF)

    def has_writers(self, inode: Inode) -> bool:
        """Whether a guest holds a descriptor it may write to this file with. Costs some microseconds per descriptor of all guests, so
        it is asked only of a file that was opened for writing since the last time the answer was no."""
        if not inode.written:
            return False
        host = self.host
        for pid in self.guests():
            try:
                for number in host.descriptor_list(pid):
                    identity = host.descriptor_identity(pid, number)
                    if self.inodes.get((identity.device, identity.inode)) is not inode:
                        continue
                    if host.descriptor_state(pid, number)[0] & (O_ACCMODE | O_PATH) not in {O_RDONLY, O_PATH}:
                        return True
            except HostError:
                continue
        inode.written = False
        return False

    # -- giving up -------------------------------------------------------------------------------------------------------------
    def guests(self) -> list[int]:
        """Host pids of live guest processes."""
        return list(self.live_guests()) if self.live_guests is not None else []

    def unlinked(self, inode: Inode) -> None:
        """An inode lost its last name: its content goes once no guest has it open."""
        fifo = getattr(inode, "extra", None)
        if isinstance(fifo, PipeFifo):
            key: Key | None = fifo.key
        else:
            key = getattr(inode, "stream_key", None) if getattr(inode, "stream", None) is not None else None
        if key is None:
            return
        self.orphans[key] = inode
        self._orphan_bytes += inode.size
        if len(self.orphans) >= self._sweep_orphans_at or self._orphan_bytes > self._orphan_bytes_limit:
            self.sweep()

    def process_exited(self) -> None:
        """A guest process ended: what it alone had open without a name can go. Called by whoever learns of exits."""
        if self.orphans:
            now = self.host.clock_read(_CLOCK_MONOTONIC)
            if now - self._swept_ns >= EXIT_SWEEP_NS:
                self.sweep(tokens=False)

    def live_keys(self) -> set[Key]:
        """Identities of everything any guest has open now."""
        host = self.host
        keys: set[Key] = set()
        for pid in self.guests():
            try:
                numbers = host.descriptor_list(pid)
            except HostError:
                continue
            for number in numbers:
                try:
                    identity = host.descriptor_identity(pid, number)
                except HostError:
                    continue
                keys.add((identity.device, identity.inode))
        return keys

    def sweep(self, *, tokens: bool = True) -> None:
        """Close nameless contents, and tokens, that no guest holds."""
        if self.live_guests is None:
            self._sweep_files_at = 2 * len(self.files) + SWEEP_MINIMUM
            self._sweep_orphans_at = 2 * len(self.orphans) + SWEEP_MINIMUM
            return
        self._swept_ns = self.host.clock_read(_CLOCK_MONOTONIC)
        live = self.live_keys()
        for key, file in tuple(self.files.items()) if tokens else ():
            if key in live:
                file.missed = False
            elif file.missed:
                self._give_up(key, file)
            else:
                file.missed = True
        for key, inode in tuple(self.orphans.items()):
            if inode.nlink:
                del self.orphans[key]
            elif key not in live and not _awaited(inode):
                del self.orphans[key]
                self.inodes.pop(key, None)
                self._drop(inode)
        self._orphan_bytes = sum(inode.size for inode in self.orphans.values())
        self._orphan_bytes_limit = ORPHAN_BYTES + 2 * self._orphan_bytes
        if tokens:
            # The dead are no reason to look later: once much was held, what is dead would stay that many for ever.
            missed = sum(file.missed for file in self.files.values())
            self._sweep_files_at = missed + max(SWEEP_MINIMUM, 2 * (len(self.files) - missed))
        self._sweep_orphans_at = max(SWEEP_MINIMUM, 2 * len(self.orphans))

    def _drop(self, inode: Any) -> None:
        """Close what a nameless inode nobody has open keeps: the pipe of a FIFO, the content of a file."""
        fifo = getattr(inode, "extra", None)
        if isinstance(fifo, PipeFifo):
            inode.extra = None
            self.host.stream_close(fifo.anchor)
        else:
            inode.drop_content()

    def _give_up(self, key: Key, file: FileObject) -> None:
        del self.files[key]
        if file.queue is not None:
            file.queue.close()
        if file.stream is not None:
            self.host.stream_close(file.stream)

    def prune(self) -> None:
        """Drop identities of files that are neither open nor backed by a stream of ours."""
        live = self.live_keys()
        for key, inode in tuple(self.inodes.items()):
            if inode.publication is not None and inode.publication.is_openable:
                continue  # the engine opens it without telling
            if key not in live and getattr(inode, "stream_key", None) != key and not isinstance(getattr(inode, "extra", None), FifoState):
                del self.inodes[key]
        self._prune_at = max(REGISTRY_MINIMUM, 2 * len(self.inodes))


def create_bits(flags: int) -> Create:
    """The host ABI's Create bits for O_TRUNC, O_APPEND, O_NONBLOCK; O_TRUNC only on what is opened for writing or says so."""
    create = Create.OPEN
    if flags & O_TRUNC:
        create |= Create.TRUNCATE
    if flags & O_APPEND:
        create |= Create.APPEND
    if flags & O_NONBLOCK:
        create |= Create.NONBLOCK
    return create


def _awaited(inode: Inode) -> bool:
    """Whether somebody waits in the open of a FIFO."""
    fifo = getattr(inode, "extra", None)
    return isinstance(fifo, FifoState) and bool(fifo.waiting_readers or fifo.waiting_writers)
