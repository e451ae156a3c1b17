"""The host ABI: everything the library OS may ask of the world outside the sandbox.

Drawbridge's idea ("Rethinking the Library OS from the Top Down", ASPLOS 2011): one small, closed, stateless interface
between the library OS and its host; streams are named by URI, there is no ioctl, and every call is decided by policy.
This module owns the *interface only*: the Protocol, its value types and its error. It must not import os, ctypes or any
implementation. At most 48 methods (a test counts them); docs/host-abi.md documents each.

URIs (bytes, because Linux path names are bytes):

    file:/abs/path      a regular file, symbolic link or special file of the host, by host path
    dir:/abs/path       a directory of the host
    mem:NAME            a new anonymous file in memory (memfd); content native, name only a label
    token:dir           a new, empty, already unlinked directory: EISDIR on read, has an offset, unique inode
    token:path          a new descriptor of a unique object: EBADF on read and write
    token:event         a new eventfd used only as a waitable host object
    pipe:               a new pipe; stream_open gives the reading end, stream_open_pair both
    unix:stream unix:dgram unix:seqpacket   a new pair of connected AF_UNIX sockets (stream_open_pair)
    unix.new:KIND       a new AF_UNIX socket, KIND stream or seqpacket
    unix.srv:KIND/LABEL (stream_open_pair) one that is bound, and the handle of its name; the name's last component is LABEL
    unix.to:KIND/HANDLE a new one connected to the socket bound to a handle's name; never waits
    dev:null dev:zero dev:full dev:random dev:urandom   the host's harmless character devices
    pty:                a new pseudo terminal (stream_open_pair): its master, and an unopened handle of its slave, which
                        stream_reopen opens; the handle's link count is 0 once the terminal is gone
    guest:PID/FD        a new open of the pipe, terminal or memfd a guest descriptor (of host process PID) refers to; a regular file that
                        has lost its name, as policy granted it by that. Never more than the guest may have anyhow; ENXIO for
                        sockets, EACCES for all else
    guest:PID/mem       the memory of a guest process, as it is when it is opened (proc_pid_mem(5))
    watch:HANDLE/MASK   struct inotify_event records (IN_ACCESS, IN_MODIFY, IN_CLOSE_*) of the file behind an open stream; never waits
    tcp:ADDRESS/PORT udp:ADDRESS/PORT       a way from the sandbox's own network to that address: becomes readable with the outcome, a
                        little-endian uint32 (0: whoever connects there now arrives; else an errno). A byte written to a tcp: one before
                        that: the guest does not wait, hold its SYN back. EACCES when no network rule grants it
    console:0 console:1 console:2           the sandbox's standard streams

Errors: every method raises HostError(errno) and nothing else; errno is the host's, unchanged. A policy refusal is
HostError with EACCES (visible object, operation forbidden) or ENOENT (object outside the view).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import NamedTuple, NewType, Protocol

from pylibos.abi.record import field, record

HostStream = NewType("HostStream", int)
"""Handle of an open host stream. Opaque: the library OS may compare it, keep it and give it back, nothing else."""

Uri = bytes


class HostError(Exception):
    """A host call failed. ``errno`` is a positive Linux error number."""

    def __init__(self, errno: int, detail: str = "") -> None:
        super().__init__(errno, detail)
        self.errno = errno
        self.detail = detail


class Access(enum.IntFlag):
    """What a stream is opened for."""

    NONE = 0
    READ = 1
    WRITE = 2
    READ_WRITE = 3
    EXECUTE = 4


class Create(enum.IntFlag):
    """How stream_open treats existing and missing names."""

    OPEN = 0
    CREATE = 1
    EXCLUSIVE = 2
    TRUNCATE = 4
    APPEND = 8
    NONBLOCK = 16
    NO_FOLLOW = 32
    """Always implied for the last component by the Linux host: the library OS resolves symbolic links itself."""
    UNNAMED = 64
    """The URI names a directory: a new regular file in its file system without a name (O_TMPFILE). With EXCLUSIVE it can never get one."""


class NodeKind(enum.IntEnum):
    """File types, numbered like the S_IFMT nibble of st_mode (st_mode >> 12) and d_type."""

    UNKNOWN = 0
    FIFO = 1
    CHARACTER = 2
    DIRECTORY = 4
    BLOCK = 6
    REGULAR = 8
    SYMLINK = 10
    SOCKET = 12


class StreamAttributes(NamedTuple):
    """What the host knows of a named or open stream: the fields of struct stat. Times in nanoseconds, sizes in bytes."""

    device: int
    inode: int
    mode: int
    link_count: int
    uid: int
    gid: int
    rdev: int
    size: int
    block_size: int
    blocks: int
    atime_ns: int
    mtime_ns: int
    ctime_ns: int


class DirectoryEntry(NamedTuple):
    """One name in a host directory."""

    name: bytes
    inode: int
    kind: NodeKind


@record
class AttributeChange:
    """What stream_change sets; None leaves a field alone. Times in nanoseconds since the epoch."""

    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    atime_ns: int | None = None
    mtime_ns: int | None = None
    size: int | None = None


@record
class VolumeInformation:
    """statfs of the host file system behind a name; counts in blocks of block_size bytes."""

    kind: int
    block_size: int
    blocks: int
    blocks_free: int
    blocks_available: int
    files: int
    files_free: int
    name_max: int


class DescriptorIdentity(NamedTuple):
    """What a guest's descriptor number refers to right now, as the host kernel sees it."""

    device: int
    inode: int
    mode: int


@record
class ProcessUsage:
    """Resource use of one guest process as the host accounts it. Times in nanoseconds, sizes in bytes."""

    state: str
    user_ns: int
    system_ns: int
    virtual_size: int
    resident_size: int
    minor_faults: int
    major_faults: int
    thread_count: int
    start_ns: int
    nice: int
    processor: int
    terminal: int = 0
    """Device number of the controlling terminal; 0 without one."""
    foreground_group: int = -1
    """Foreground process group of that terminal, by its host number; -1 without one."""
    signals: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Pending for the leader, blocked, ignored, caught: bit n - 1 for signal n, signals 1 to 31."""
    accounts: Mapping[str, int] = field(default_factory=dict)
    """More numbers by the host's names: of status (Vm*, Rss*: kB; context switches) and io. Those it does not tell are missing."""


class HostABI(Protocol):
    """The closed set of host calls. One implementation in memory, one on Linux; both pass tests/unit/monitor contract tests."""

    # -- streams ------------------------------------------------------------------------------------------------
    def stream_open(self, uri: Uri, access: Access, create: Create = Create.OPEN, mode: int = 0o600) -> HostStream:
        """Open or create a stream by name. Host symbolic links are never followed. mode: permission bits of a new file."""
        ...

    def stream_open_pair(self, uri: Uri, create: Create = Create.OPEN) -> tuple[HostStream, HostStream]:
        """Make both ends of a pipe (reader, writer), of a pseudo terminal (master, slave handle), or a pair of connected sockets."""
        ...

    def stream_reopen(self, stream: HostStream, access: Access, create: Create = Create.OPEN) -> HostStream:
        """A new, independent open of the same object (own offset and access mode), as open(2) of the file would give."""
        ...

    def stream_close(self, stream: HostStream) -> None:
        """Give the handle up. Never raises for a valid handle."""
        ...

    def stream_read(self, stream: HostStream, offset: int, size: int) -> bytes:
        """Read up to size bytes at offset (bytes); offset -1 reads at the stream's own position."""
        ...

    def stream_write(self, stream: HostStream, offset: int, data: bytes) -> int:
        """Write data at offset (bytes); offset -1 writes at the stream's own position. Returns bytes written."""
        ...

    def stream_position(self, stream: HostStream) -> int:
        """The offset (bytes) shared by every duplicate of this open stream, the guest's included."""
        ...

    def stream_seek(self, stream: HostStream, offset: int) -> None:
        """Set that shared offset."""
        ...

    def stream_flush(self, stream: HostStream) -> None:
        """fsync."""
        ...

    def stream_query(self, uri: Uri) -> StreamAttributes:
        """Attributes by name; a symbolic link is described, not followed."""
        ...

    def stream_query_open(self, stream: HostStream) -> StreamAttributes:
        """Attributes of an open stream."""
        ...

    def stream_change(self, uri: Uri, change: AttributeChange) -> None:
        """Set attributes by name."""
        ...

    def stream_change_open(self, stream: HostStream, change: AttributeChange) -> None:
        """Set attributes of an open stream."""
        ...

    def stream_copy(self, source: HostStream, target: HostStream, size: int) -> int:
        """Copy up to size bytes from offset 0 of source to offset 0 of target; holes may stay holes. Returns bytes copied."""
        ...

    def stream_allocate(self, stream: HostStream, mode: int, offset: int, size: int) -> None:
        """fallocate(2) with the same mode bits."""
        ...

    def stream_delete(self, uri: Uri) -> None:
        """Remove a file (file:) or an empty directory (dir:)."""
        ...

    def stream_rename(self, source: Uri, target: Uri, flags: int = 0) -> None:
        """renameat2(2); flags 1 NOREPLACE, 2 EXCHANGE."""
        ...

    def stream_link(self, source: Uri, target: Uri) -> None:
        """Make a hard link. source may be a guest: URI: the open file itself, one made with Create.UNNAMED too."""
        ...

    def directory_create(self, uri: Uri, mode: int) -> None:
        """mkdir."""
        ...

    def directory_list(self, uri: Uri) -> Sequence[DirectoryEntry]:
        """All names of a directory without . and .., in host order."""
        ...

    def symlink_create(self, uri: Uri, target: bytes) -> None:
        """Make a symbolic link."""
        ...

    def symlink_read(self, uri: Uri) -> bytes:
        """Text of a symbolic link."""
        ...

    def node_create(self, uri: Uri, mode: int) -> None:
        """mknod of a FIFO or socket (mode carries the type bits); devices are refused with EPERM."""
        ...

    def attribute_list(self, uri: Uri) -> Sequence[bytes]:
        """Names of extended attributes (l-form: links are not followed)."""
        ...

    def attribute_read(self, uri: Uri, name: bytes) -> bytes:
        """Value of one extended attribute."""
        ...

    def attribute_write(self, uri: Uri, name: bytes, value: bytes | None, flags: int = 0) -> None:
        """Set (or, with None, remove) one extended attribute; flags 1 CREATE, 2 REPLACE."""
        ...

    def volume_query(self, uri: Uri) -> VolumeInformation:
        """statfs of the file system behind a name."""
        ...

    # -- guest memory and descriptors -------------------------------------------------------------------------------
    def memory_read(self, host_tid: int, address: int, size: int) -> bytes:
        """Copy guest memory in; may return fewer bytes than size when the rest is not mapped; EFAULT when none is."""
        ...

    def memory_read_string(self, host_tid: int, address: int, limit: int) -> bytes:
        """Copy a NUL-terminated string in, without the NUL. EFAULT when unmapped, ENAMETOOLONG when no NUL within limit."""
        ...

    def memory_write(self, host_tid: int, address: int, data: bytes) -> None:
        """Copy data out to guest memory, all of it or EFAULT."""
        ...

    def memory_map_text(self, host_tid: int, detailed: bool = False) -> bytes:
        """The host's /proc/TID/maps text, or with detailed that of smaps."""
        ...

    def descriptor_identity(self, host_tid: int, descriptor: int) -> DescriptorIdentity:
        """What a guest descriptor refers to. EBADF when the number is not open."""
        ...

    def descriptor_attributes(self, host_tid: int, descriptor: int) -> StreamAttributes:
        """All attributes of what a guest descriptor refers to (fstat). EBADF when the number is not open."""
        ...

    def descriptor_state(self, host_tid: int, descriptor: int) -> tuple[int, int]:
        """(open flags as in /proc/PID/fdinfo incl. O_CLOEXEC, offset in bytes) of a guest descriptor. A process descriptor has no
        offset: in its place stands the host id of the process it means, -1 when that is gone."""
        ...

    def descriptor_list(self, host_tid: int) -> Sequence[int]:
        """Open descriptor numbers of a guest process, ascending."""
        ...

    def descriptor_name(self, host_tid: int, descriptor: int) -> bytes:
        """The host's name of a guest descriptor (readlink of /proc/PID/fd/N), e.g. b'pipe:[123]', b'/memfd:x (deleted)'."""
        ...

    def descriptor_install(self, host_tid: int, stream: HostStream, close_on_exec: bool) -> int:
        """Put a duplicate of stream into the guest's table at the lowest free number; that number. Only while a call of
        host_tid is being answered."""
        ...

    # -- processes and threads -----------------------------------------------------------------------------------------
    def process_signal(self, host_pid: int, host_tid: int, signal: int) -> None:
        """Send a signal to a guest process (host_tid 0) or to one of its threads. ESRCH when gone."""
        ...

    def process_usage(self, host_pid: int, detailed: bool = False) -> ProcessUsage:
        """Resource use of a guest process; accounts only with detailed."""
        ...

    def process_limits(self, host_pid: int, resource: int, limits: tuple[int, int] | None) -> tuple[int, int]:
        """prlimit(2): the old (soft, hard) of a guest process; sets new ones when given. -1 is infinity."""
        ...

    def process_text(self, host_pid: int, name: str) -> bytes:
        """What the host's /proc/PID/NAME says now, for closed names: 'cmdline' and 'environ' (NUL-separated, from guest memory), and tables
        of the guest's network name space ('net/tcp', 'net/unix', ...). ENOENT for any other name."""
        ...

    def thread_affinity(self, host_tid: int, mask: bytes | None) -> bytes:
        """Processor mask of a guest thread; sets a new one when given."""
        ...

    def thread_priority(self, host_tid: int, nice: int | None) -> int:
        """Nice value of a guest thread; sets a new one when given."""
        ...

    # -- waits, time, random -----------------------------------------------------------------------------------------------
    def wait_register(self, stream: HostStream, events: int) -> None:
        """Ask the event loop to report poll(2) events of a stream once; 0 withdraws. Reported through runtime, by handle."""
        ...

    def timer_set(self, deadline_ns: int) -> None:
        """Ask the event loop to report when the monotonic clock reaches deadline_ns; 0 withdraws. One timer for the library OS."""
        ...

    def clock_read(self, clock: int) -> int:
        """clock_gettime(2) in nanoseconds."""
        ...

    def random_bytes(self, size: int) -> bytes:
        """Bytes of the host's random generator."""
        ...

    def system_query(self, name: str) -> bytes:
        """One fact of the host by closed name. ENOENT for any other: 'cpuinfo', 'meminfo', 'loadavg', 'uptime', 'stat', 'kernel-release',
        'processors', 'boot-time', 'page-size', 'memory-limit', 'process-limit', 'processor-limit' (b'max' for none)."""
        ...
