"""Open streams of the Linux host: open by URI, read, write, seek, copy, describe.

What it is: the stream_* part of the host ABI that works on handles. Owns the table of handles. A HostStream of the Linux host is the
supervisor's own descriptor number; the table says where each came from, so that a handle of a read-only file cannot be used to change
it by the back door (fchmod, a second open for writing, installation of a host directory in a guest).
Must not know guests, processes or the loop.

An adversary who makes the library OS send wrong handles gets EBADF: a number that is not in the table is never used.
Sources: open(2), memfd_create(2), pipe(2), socketpair(2), proc_pid_fd(5), copy_file_range(2), sendfile(2).
"""

from __future__ import annotations

import fcntl
import functools
import os
import resource
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pylibos.monitor.errors import host_call, host_error
from pylibos.monitor.host_abi import Access, AttributeChange, Create, HostError, HostStream, StreamAttributes, Uri
from pylibos.monitor.linux_paths import Paths, host_path
from pylibos.monitor.linux_tokens import TokenPool, path_token
from pylibos.monitor.native import AT_FDCWD
from pylibos.monitor.policy import Operation

if TYPE_CHECKING:
    from types import ModuleType

    from pylibos.monitor.network.link import NetworkLink

EBADF: Final = 9
EACCES: Final = 13
EINVAL: Final = 22
EISDIR: Final = 21
ENOSPC: Final = 28
ENOTDIR: Final = 20
EPERM: Final = 1
ENXIO: Final = 6
EXDEV: Final = 18
ENOSYS: Final = 38
EOPNOTSUPP: Final = 95

_MFD_EXEC: Final = 0x10
"""memfd_create: executable on purpose. Without it a kernel with vm.memfd_noexec=1 refuses to run a program the guest compiled."""

_LABEL_LIMIT: Final = 200
_WATCH_NAME: Final = 20
_NATIVE_EVENTS: Final = 0x1B
"""IN_ACCESS, IN_MODIFY, IN_CLOSE_WRITE, IN_CLOSE_NOWRITE."""
_READ_LIMIT: Final = 0x7FFFF000
"""What one read(2) moves at most; a larger size would make Python allocate it first."""

_FORMAT: Final = 0o170000
_REGULAR: Final = 0o100000
_FIFO: Final = 0o010000
_DIRECTORY: Final = 0o040000
_SYMLINK: Final = 0o120000
_SOCKET: Final = 0o140000

# Plain integers: every operator of an IntFlag costs a microsecond, and these are used on every open.
_READ: Final = int(Access.READ)
_WRITE: Final = int(Access.WRITE)
_EXECUTE: Final = int(Access.EXECUTE)
_CREATE: Final = int(Create.CREATE)
_EXCLUSIVE: Final = int(Create.EXCLUSIVE)
_UNNAMED: Final = int(Create.UNNAMED)
_MAKES: Final = _CREATE | _UNNAMED
_NONBLOCK: Final = int(Create.NONBLOCK)
_NO_FOLLOW: Final = int(Create.NO_FOLLOW)
_WRITES_ANYWAY: Final = int(Create.TRUNCATE) | int(Create.APPEND)

_FLAGS: Final[dict[int, int]] = {
    Access.NONE: os.O_PATH,
    Access.READ: os.O_RDONLY,
    Access.WRITE: os.O_WRONLY,
    Access.READ_WRITE: os.O_RDWR,
    Access.EXECUTE: os.O_RDONLY,
    Access.READ | Access.EXECUTE: os.O_RDONLY,
    Access.READ_WRITE | Access.EXECUTE: os.O_RDWR,
}
_CREATE_FLAGS: Final = {
    int(Create.CREATE): os.O_CREAT,
    int(Create.EXCLUSIVE): os.O_EXCL,
    int(Create.TRUNCATE): os.O_TRUNC,
    int(Create.APPEND): os.O_APPEND,
    int(Create.NONBLOCK): os.O_NONBLOCK,
}
_RESERVE: Final = 512
_SOCKET_KINDS: Final = {b"stream": 1, b"dgram": 2, b"seqpacket": 5}
_DEVICES: Final = {b"null", b"zero", b"full", b"random", b"urandom"}

_new_attributes = StreamAttributes.__new__


def attributes(record: os.stat_result) -> StreamAttributes:
    """struct stat as the host ABI has it."""
    return _new_attributes(
        StreamAttributes,
        record.st_dev,
        record.st_ino,
        record.st_mode,
        record.st_nlink,
        record.st_uid,
        record.st_gid,
        record.st_rdev,
        record.st_size,
        record.st_blksize,
        record.st_blocks,
        record.st_atime_ns,
        record.st_mtime_ns,
        record.st_ctime_ns,
    )


class _Origin:
    """Where a handle comes from. path: the host name policy decides by, or None when the object is the library OS's own."""

    __slots__ = ("changeable", "installable", "path")

    def __init__(self, path: bytes | None = None, *, changeable: bool = True, installable: bool = True) -> None:
        self.path = path
        self.changeable = changeable
        self.installable = installable


_OWN: Final = _Origin()
_FIXED: Final = _Origin(changeable=False)
"""Devices and the person's own standard streams: never chmod-ed, never opened for more than they were."""
_SLAVE: Final = _Origin(changeable=False, installable=False)
"""The unopened slave of a pseudo terminal: opened by stream_reopen."""
_NAME: Final = _Origin(changeable=False, installable=False)
"""The name of a bound AF_UNIX socket."""


@functools.cache
def _own_limit() -> int:
    """Descriptors of ours below this number may hold content of guests; the rest is kept for opens that last one call."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return max(soft - _RESERVE, soft // 2)


@functools.cache
def _create_bits(create: int) -> int:
    """open(2) flags of a Create value. Cached: arithmetic on enumerations is slow, and there are 64 values."""
    flags = 0
    for bit, flag in _CREATE_FLAGS.items():
        if create & bit:
            flags |= flag
    return flags


class LinuxStreams:
    """Handles and what can be done with one."""

    def __init__(self, paths: Paths, console: tuple[int, ...]) -> None:
        self._paths = paths
        self._console = console
        self._tokens = TokenPool()
        self._streams: dict[int, _Origin] = {}
        self._memory_flags = os.MFD_CLOEXEC | _MFD_EXEC
        self._open_by_scheme: dict[bytes, Callable[[bytes, int, int, int], HostStream]] = {
            b"mem": self._open_memory,
            b"file": self._open_file,
            b"token": self._open_token,
            b"dir": self._open_directory,
            b"pipe": self._open_pipe,
            b"dev": self._open_device,
            b"console": self._open_console,
            b"guest": self._open_guest,
            b"watch": self._open_watch,
            b"tcp": lambda name, *_how: self._open_way("tcp", name),
            b"udp": lambda name, *_how: self._open_way("udp", name),
            b"unix.new": self._open_socket,
            b"unix.to": self._open_named_socket,
        }
        self._network: NetworkLink | None = None

    # -- opening ---------------------------------------------------------------------------------------------------

    def stream_open(self, uri: Uri, access: Access, create: Create = Create.OPEN, mode: int = 0o600) -> HostStream:
        scheme, _, name = uri.partition(b":")
        opener = self._open_by_scheme.get(scheme)
        if opener is None:
            raise HostError(EINVAL, "unknown scheme")
        try:
            return opener(name, int(access), int(create), mode)
        except (OSError, OverflowError, ValueError) as error:
            raise host_error(error) from None

    def _register(self, descriptor: int, origin: _Origin) -> HostStream:
        self._streams[descriptor] = origin
        return HostStream(descriptor)

    def _open_file(self, name: bytes, access: int, create: int, mode: int) -> HostStream:
        path = host_path(b"file:" + name)
        flags = _FLAGS.get(access)
        if flags is None:
            raise HostError(EINVAL, "access")
        if create & _UNNAMED:
            path += b"/#"  # policy decides by a name it would have
        self._authorise(path, access, create)
        if not access:
            return self._register(self._paths.open(path, flags), _Origin(path, installable=False))
        if create & _UNNAMED:
            flags |= os.O_TMPFILE | (os.O_EXCL if create & _EXCLUSIVE else 0)
            return self._register(self._paths.open(path[:-2], flags, mode & 0o7777), _Origin(path))
        flags |= os.O_NOCTTY | os.O_NONBLOCK
        if create:
            flags |= _create_bits(create)
        # O_NONBLOCK: a FIFO put where a file was would hang the whole library OS. It is taken off again below.
        descriptor = self._paths.open(path, flags, mode & 0o7777 if flags & os.O_CREAT else 0)
        try:
            form = os.fstat(descriptor).st_mode & _FORMAT
            if form not in (_REGULAR, _FIFO):
                raise HostError(EISDIR if form == _DIRECTORY else EACCES, "not a file")
            if not create & _NONBLOCK:
                fcntl.fcntl(descriptor, fcntl.F_SETFL, flags & ~os.O_NONBLOCK)
        except BaseException:
            os.close(descriptor)
            raise
        return self._register(descriptor, _Origin(path))

    def _authorise(self, path: bytes, access: int, create: int) -> None:
        """The policy's word on an open."""
        allow = self._paths.allow
        if create & _MAKES:
            allow(Operation.CREATE, path)
        elif access & _WRITE or create & _WRITES_ANYWAY:
            allow(Operation.WRITE, path)
        if access & _EXECUTE:
            allow(Operation.EXECUTE, path)
        elif access & _READ:
            allow(Operation.READ, path)
        elif not access:
            allow(Operation.QUERY, path)

    def _open_directory(self, name: bytes, access: int, create: int, _mode: int) -> HostStream:
        if access & _WRITE or create & ~(_NO_FOLLOW | _NONBLOCK):
            raise HostError(EISDIR)
        path = host_path(b"dir:" + name)
        self._paths.allow(Operation.LIST if access else Operation.QUERY, path)
        flags = os.O_DIRECTORY | (os.O_RDONLY if access else os.O_PATH)
        return self._register(self._paths.open(path, flags), _Origin(path, installable=False))

    def _open_memory(self, name: bytes, _access: int, _create: int, _mode: int) -> HostStream:
        label = name[:_LABEL_LIMIT].replace(b"\0", b"?")
        sealing = os.MFD_ALLOW_SEALING if name.startswith(b"seal:") else 0
        try:
            descriptor = os.memfd_create(label, self._memory_flags | sealing)  # type: ignore[arg-type]  # bytes are path-like here
        except OSError as error:
            if error.errno != EINVAL or not self._memory_flags & _MFD_EXEC:
                raise
            self._memory_flags &= ~_MFD_EXEC  # Linux before 6.3
            descriptor = os.memfd_create(label, self._memory_flags | sealing)  # type: ignore[arg-type]
        if descriptor >= _own_limit():
            os.close(descriptor)
            raise HostError(ENOSPC, "too many files in memory")
        self._streams[descriptor] = _OWN
        return HostStream(descriptor)

    def _open_token(self, name: bytes, _access: int, _create: int, _mode: int) -> HostStream:
        if name == b"dir":
            return self._register(self._tokens.directory(), _OWN)
        if name == b"path":
            return self._register(path_token(), _OWN)
        if name == b"event":
            return self._register(os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK), _OWN)
        raise HostError(EINVAL, "unknown token")

    def _open_pipe(self, name: bytes, _access: int, create: int, _mode: int) -> HostStream:
        reader, writer = self._pair(b"pipe:" + name, create)
        os.close(writer)
        return self._register(reader, _OWN)

    def _open_device(self, name: bytes, access: int, create: int, _mode: int) -> HostStream:
        if name not in _DEVICES:
            raise HostError(ENXIO, "unknown device")
        flags = _FLAGS[access] | (_create_bits(create) & (os.O_APPEND | os.O_NONBLOCK))
        return self._register(os.open(b"/dev/" + name, flags | os.O_NOFOLLOW | os.O_CLOEXEC), _FIXED)

    def _open_console(self, name: bytes, _access: int, _create: int, _mode: int) -> HostStream:
        if name not in (b"0", b"1", b"2") or int(name) >= len(self._console):
            raise HostError(ENXIO, "unknown console")
        return self._register(fcntl.fcntl(self._console[int(name)], fcntl.F_DUPFD_CLOEXEC, 3), _FIXED)

    def _open_guest(self, name: bytes, access: int, create: int, _mode: int) -> HostStream:
        from pylibos.monitor.linux_reopen import pinned_path, reopen_guest

        flags = _FLAGS.get(access)
        if flags is None or create & (_CREATE | _EXCLUSIVE):
            raise HostError(EINVAL)

        def allowed(path: bytes) -> None:
            self._authorise(path, access, create)

        descriptor = reopen_guest(name, flags | _create_bits(create), self._console, allowed)
        path = b"" if access else pinned_path(descriptor)
        return self._register(descriptor, _Origin(path, installable=False) if path else _FIXED)

    def _open_watch(self, name: bytes, _access: int, _create: int, _mode: int) -> HostStream:
        handle, _, mask = name.partition(b"/")
        if not (handle.isdigit() and mask.isdigit()) or len(name) > _WATCH_NAME or int(mask) & ~_NATIVE_EVENTS:
            raise HostError(EINVAL, "watch")
        self._origin(int(handle))
        descriptor = rare().watch(b"/proc/self/fd/%d" % int(handle), int(mask))
        return self._register(descriptor, _Origin(changeable=False, installable=False))

    def _open_way(self, protocol: str, name: bytes) -> HostStream:
        if self._network is None:
            from pylibos.monitor.network.link import NetworkLink

            self._network = NetworkLink(record=self._paths.recorder)
        descriptor = self._network.open(protocol, name)
        return self._register(descriptor, _Origin(changeable=False, installable=False))

    def _open_socket(self, kind: bytes, _access: int, create: int, _mode: int) -> HostStream:
        if kind not in _SOCKET_KINDS:
            raise HostError(EINVAL, "not a kind of socket")
        import socket

        made = socket.socket(socket.AF_UNIX, _SOCKET_KINDS[kind])
        made.setblocking(not create & _NONBLOCK)
        return self._register(made.detach(), _OWN)

    def _open_named_socket(self, name: bytes, _access: int, create: int, _mode: int) -> HostStream:
        from pylibos.monitor import linux_sockets

        kind, _, handle = name.partition(b"/")
        if kind not in _SOCKET_KINDS or not handle.isdigit() or self._origin(int(handle)) is not _NAME:
            raise HostError(EINVAL, "not a socket's name")
        return self._register(linux_sockets.connect(_SOCKET_KINDS[kind], int(handle), blocking=not create & _NONBLOCK), _OWN)

    @host_call
    def stream_open_pair(self, uri: Uri, create: Create = Create.OPEN) -> tuple[HostStream, HostStream]:
        if uri == b"pty:":
            from pylibos.monitor.linux_terminals import open_terminal

            master, slave = open_terminal(bool(create & _NONBLOCK))
            return self._register(master, _FIXED), self._register(slave, _SLAVE)
        if uri.startswith(b"unix.srv:"):
            from pylibos.monitor import linux_sockets

            kind, _, label = uri[9:].partition(b"/")
            if kind not in _SOCKET_KINDS:
                raise HostError(EINVAL, "not a kind of socket")
            bound, handle = linux_sockets.bind(_SOCKET_KINDS[kind], label, blocking=not create & _NONBLOCK)
            return self._register(bound, _OWN), self._register(handle, _NAME)
        first, second = self._pair(uri, create)
        return self._register(first, _OWN), self._register(second, _OWN)

    @staticmethod
    def _pair(uri: bytes, create: int) -> tuple[int, int]:
        blocking = not create & _NONBLOCK
        if uri == b"pipe:":
            return os.pipe2(os.O_CLOEXEC | (0 if blocking else os.O_NONBLOCK))
        scheme, _, name = uri.partition(b":")
        if scheme != b"unix" or name not in _SOCKET_KINDS:
            raise HostError(EINVAL, "not a pair")
        import socket

        first, second = socket.socketpair(socket.AF_UNIX, _SOCKET_KINDS[name])
        first.setblocking(blocking)
        second.setblocking(blocking)
        return first.detach(), second.detach()

    @host_call
    def stream_reopen(self, stream: HostStream, access: Access, create: Create = Create.OPEN) -> HostStream:
        origin = self._origin(stream)
        flags = _FLAGS.get(access)
        if flags is None or create & (_CREATE | _EXCLUSIVE):
            raise HostError(EINVAL)
        if origin is _FIXED:
            held = fcntl.fcntl(stream, fcntl.F_GETFL) & os.O_ACCMODE
            if held not in (os.O_RDWR, flags):
                raise HostError(EACCES, "more than the stream was opened for")
        elif origin is _SLAVE:
            origin = _FIXED
        elif origin.path is not None:
            self._authorise(origin.path, access, create)
        descriptor = os.open(b"/proc/self/fd/%d" % stream, flags | _create_bits(create) | os.O_CLOEXEC | os.O_NOCTTY)
        return self._register(descriptor, origin)

    def stream_close(self, stream: HostStream) -> None:
        if self._streams.pop(stream, None) is None:
            raise HostError(EBADF)
        try:
            os.close(stream)
        except OSError as error:
            raise host_error(error) from None

    def _origin(self, stream: int) -> _Origin:
        origin = self._streams.get(stream)
        if origin is None:
            raise HostError(EBADF, "not a handle")
        return origin

    def _installable(self, stream: int) -> int:
        """The descriptor to give to a guest. EPERM for host directories and O_PATH opens: with one, ``..`` leads out of the view."""
        if not self._origin(stream).installable:
            raise HostError(EPERM, "host directories stay outside")
        return stream

    # -- content ---------------------------------------------------------------------------------------------------

    @host_call
    def stream_read(self, stream: HostStream, offset: int, size: int) -> bytes:
        self._origin(stream)
        size = min(size, _READ_LIMIT)
        return os.read(stream, size) if offset == -1 else os.pread(stream, size, offset)

    @host_call
    def stream_write(self, stream: HostStream, offset: int, data: bytes) -> int:
        self._origin(stream)
        return os.write(stream, data) if offset == -1 else os.pwrite(stream, data, offset)

    def stream_position(self, stream: HostStream) -> int:
        if stream not in self._streams:
            raise HostError(EBADF)
        try:
            return os.lseek(stream, 0, os.SEEK_CUR)
        except OSError as error:
            raise host_error(error) from None

    @host_call
    def stream_seek(self, stream: HostStream, offset: int) -> None:
        self._origin(stream)
        os.lseek(stream, offset, os.SEEK_SET)

    @host_call
    def stream_flush(self, stream: HostStream) -> None:
        self._origin(stream)
        os.fsync(stream)

    @host_call
    def stream_copy(self, source: HostStream, target: HostStream, size: int) -> int:
        self._origin(source)
        self._origin(target)
        # Opens of our own: the guest may share the positions of the streams' own descriptors.
        reader = os.open(b"/proc/self/fd/%d" % source, os.O_RDONLY | os.O_CLOEXEC)
        try:
            writer = os.open(b"/proc/self/fd/%d" % target, os.O_WRONLY | os.O_CLOEXEC)
            try:
                return _copy(reader, writer, size)
            finally:
                os.close(writer)
        finally:
            os.close(reader)

    @host_call
    def stream_allocate(self, stream: HostStream, mode: int, offset: int, size: int) -> None:
        self._origin(stream)
        if offset >> 63 or size >> 63:
            raise HostError(EINVAL)
        rare().allocate(stream, mode, offset, size)

    # -- attributes of an open stream --------------------------------------------------------------------------------

    def stream_query_open(self, stream: HostStream) -> StreamAttributes:
        if stream not in self._streams:
            raise HostError(EBADF)
        try:
            return attributes(os.fstat(stream))
        except OSError as error:
            raise host_error(error) from None

    @host_call
    def stream_change_open(self, stream: HostStream, change: AttributeChange) -> None:
        origin = self._origin(stream)
        if not origin.changeable:
            raise HostError(EPERM)
        if origin.path is not None:
            self._paths.allow(Operation.CHANGE, origin.path)
        apply_change(stream, change)


def rare() -> ModuleType:
    """The calls neither os nor the shim has; ctypes is imported on first use."""
    from pylibos.monitor import native_ctypes

    return native_ctypes


def apply_change(descriptor: int, change: AttributeChange) -> None:
    """Set attributes through a descriptor, O_PATH ones included (by way of /proc/self/fd, which names the very object)."""
    name = b"/proc/self/fd/%d" % descriptor
    if change.size is not None:
        os.truncate(name, change.size)
    if change.uid is not None or change.gid is not None:
        os.chown(name, -1 if change.uid is None else change.uid, -1 if change.gid is None else change.gid)
    if change.mode is not None:
        # After chown, which clears set-id bits.
        os.chmod(name, change.mode & 0o7777)
    if change.atime_ns is not None or change.mtime_ns is not None:
        if change.atime_ns is not None and change.mtime_ns is not None:
            os.utime(name, ns=(change.atime_ns, change.mtime_ns))
        else:
            rare().set_times(AT_FDCWD, name, change.atime_ns, change.mtime_ns, follow=True)


def _copy(reader: int, writer: int, size: int) -> int:
    """Copy the data extents of the first size bytes; the holes between them stay holes."""
    end = min(size, os.fstat(reader).st_size)
    position = 0
    while position < end:
        try:
            start = os.lseek(reader, position, os.SEEK_DATA)
            stop = os.lseek(reader, start, os.SEEK_HOLE)
        except OSError as error:
            if error.errno == ENXIO:  # only a hole is left
                break
            start, stop = position, end
        start, stop = min(start, end), min(stop, end)
        position = _copy_range(reader, writer, start, stop)
        if position < stop:
            end = position  # the source became shorter meanwhile
    if os.fstat(writer).st_size < end:
        os.truncate(b"/proc/self/fd/%d" % writer, end)
    return end


def _copy_range(reader: int, writer: int, start: int, stop: int) -> int:
    """Copy [start, stop) to the same offsets; where it got to. Tries the file system's own copy, then the page cache's."""
    direct = True
    os.lseek(writer, start, os.SEEK_SET)
    while start < stop:
        try:
            if direct:
                count = os.copy_file_range(reader, writer, stop - start, start, start)
            else:
                count = os.sendfile(writer, reader, start, stop - start)
        except OSError as error:
            if not direct or error.errno not in (EXDEV, EINVAL, ENOSYS, EOPNOTSUPP, EBADF, EPERM):
                raise
            direct = False
            continue
        if count == 0:
            if not direct:
                break
            direct = False  # some virtual file systems copy nothing and say 0
            continue
        start += count
        if direct:
            os.lseek(writer, start, os.SEEK_SET)
    return start
