"""Directories of /proc that belong to processes: /proc/PID, /proc/PID/task/TID and their fd, fdinfo and links.

Owns the tables of names (FILES, LINKS) and the magic links to what a process has open. Everything is made by the look-up and lives as
long as it is used; inode numbers are computed from pid and name, so a file keeps its number. A process that ended between look-up and
use gives ESRCH (or ENOENT, at the look-up), as on Linux.

Adversary: descriptors of another process may change at any moment; what is resolved is what the host says at that instant, and a
descriptor that is nothing the view knows is reopened only through the host ABI (``guest:`` streams), never by a host path.
Sources: proc(5), Linux fs/proc/base.c (tgid_base_stuff), fs/proc/fd.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from pylibos.abi.errno import Errno
from pylibos.abi.files import O_ACCMODE, O_NONBLOCK, S_IFREG
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.fs import proc_memory, proc_text
from pylibos.emulation.fs.hostfs import HostFile
from pylibos.emulation.fs.inode import Inode, Location
from pylibos.emulation.fs.synthetic import MagicLink, SyntheticDirectory, SyntheticFile, SyntheticInode, SyntheticVolume
from pylibos.emulation.security.access import may_access
from pylibos.monitor.host_abi import Access, Create, HostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pylibos.emulation.fs.proc_text import Render
    from pylibos.emulation.process.process import Process
    from pylibos.emulation.process.thread import Thread
    from pylibos.monitor.host_abi import HostStream

_PROCESS_BASE: Final = 1 << 48
"""Inode numbers: 1 << 48 | task flag << 47 | tid << 24 | code, exact in a double. Codes below 256 are names, above them fd + 256."""
_TASK_FLAG: Final = 1 << 47
_FD_CODES: Final = 256
_PROCESS_DESCRIPTORS: Final = (b"anon_inode:[pidfd]", b"pidfd:[")
"""What the host calls pidfds: the second on some kernels since 6.9."""
_FDINFO_CODES: Final = 1 << 23

COMM_MAX: Final = 15
ADJUSTMENTS_MAX: Final = 4096
"""Numbers kept for oom_score_adj before they are forgotten: a bound, the number has no effect."""


class Subject(NamedTuple):
    """Whom a directory is about. task: None for /proc/PID (any live thread answers), else the thread of task/TID."""

    process: Process
    task: Thread | None

    def thread(self) -> Thread | None:
        """A live thread to ask the host about; None for a zombie."""
        if self.task is not None:
            return self.task
        threads = self.process.threads
        return threads.get(self.process.pid) or next(iter(threads.values()), None)

    def live(self) -> Thread:
        """The same. Raises ESRCH for a zombie."""
        thread = self.thread()
        if thread is None:
            raise SyscallError(Errno.ESRCH)
        return thread

    def present(self) -> None:
        """Raise ENOENT for a zombie: its directory, root and program have gone already."""
        if self.thread() is None:
            raise SyscallError(Errno.ENOENT)

    def number(self, code: int) -> int:
        """Inode number of one entry."""
        tid = self.process.pid if self.task is None else self.task.tid
        return _PROCESS_BASE | (0 if self.task is None else _TASK_FLAG) | (tid & 0x7FFFFF) << 24 | code


class File(NamedTuple):
    """A row of the table of files."""

    render: Render
    mode: int = 0o444
    write: Callable[[Thread, Subject, bytes], None] | None = None
    private: bool = False
    """Only for who may look into the process, whatever the mode says."""


def _constant(text: bytes) -> Render:
    def render(_reader: Thread, _process: Process, _thread: Thread | None) -> bytes:
        return text

    return render


def _write_comm(writer: Thread, subject: Subject, data: bytes) -> None:
    if subject.process is not writer.process:
        raise SyscallError(Errno.EINVAL)
    thread = subject.live()
    thread.comm = data.split(b"\0")[0].rstrip(b"\n")[:COMM_MAX]
    if thread.is_leader:
        thread.process.comm = thread.comm


def _accept(_writer: Thread, _subject: Subject, _data: bytes) -> None:
    """Take a write that changes nothing here (clear_refs, coredump_filter, oom_score_adj): its effect would be the host's."""


def _personality(_reader: Thread, process: Process, _thread: Thread | None) -> bytes:
    return b"%08x\n" % process.personality


def _id_map(_reader: Thread, _process: Process, _thread: Thread | None) -> bytes:
    return b"%10d %10d %10d\n" % (0, 0, 4294967295)


FILES: Final[dict[bytes, File]] = {
    b"status": File(proc_text.status),
    b"stat": File(proc_text.stat),
    b"statm": File(proc_memory.statm),
    b"cmdline": File(proc_text.cmdline),
    b"comm": File(proc_text.comm, 0o644, _write_comm),
    b"environ": File(proc_text.environ, 0o400, private=True),
    b"maps": File(proc_memory.maps, private=True),
    b"smaps": File(proc_memory.smaps, private=True),
    b"smaps_rollup": File(proc_memory.smaps_rollup, private=True),
    b"limits": File(proc_text.limits),
    b"mounts": File(proc_text.mounts),
    b"mountinfo": File(proc_text.mountinfo),
    b"mountstats": File(proc_text.mountstats, 0o400),
    b"io": File(proc_memory.io, 0o400, private=True),
    b"cgroup": File(_constant(b"0::/\n")),
    b"cpuset": File(_constant(b"/\n")),
    b"oom_score": File(_constant(b"0\n")),
    b"oom_score_adj": File(_constant(b"0\n"), 0o644, _accept),  # replaced by ProcessDirectories, which keeps the number
    b"oom_adj": File(_constant(b"0\n"), 0o644, _accept),
    b"loginuid": File(_constant(b"4294967295"), 0o644, _accept),
    b"sessionid": File(_constant(b"4294967295")),
    b"wchan": File(_constant(b"0")),
    b"personality": File(_personality, 0o400, private=True),
    b"uid_map": File(_id_map, 0o644),
    b"gid_map": File(_id_map, 0o644),
    b"projid_map": File(_id_map, 0o644),
    b"setgroups": File(_constant(b"allow\n"), 0o644),
    b"coredump_filter": File(_constant(b"00000033\n"), 0o644, _accept),
    b"clear_refs": File(_constant(b""), 0o200, _accept),
    b"schedstat": File(proc_text.schedstat),
    b"children": File(proc_text.children),
    b"auxv": File(proc_memory.auxiliary_vector, 0o400, private=True),
    b"timerslack_ns": File(_constant(b"50000\n"), 0o666, _accept),
}
"""Files of /proc/PID and of task/TID."""

_NAMES: Final = (b".", b"fd", b"fdinfo", b"task", b"net", b"ns", b"cwd", b"root", b"exe", b"mem", *FILES)
_CODES: Final = {name: code for code, name in enumerate(_NAMES)}
_NAMESPACES: Final = (b"cgroup", b"ipc", b"mnt", b"net", b"pid", b"pid_for_children", b"time", b"time_for_children", b"user", b"uts")
_NAMESPACE_FIRST: Final = 4026531834
"""Inode number of the first initial name space on Linux (PROC_*_INIT_INO)."""


class DescriptorInode(SyntheticInode):
    """What a guest descriptor refers to when it is nothing of the view (pipe, socket, terminal, memfd): reopened through the host."""

    __slots__ = ("_descriptor", "_host_tid")

    def __init__(self, volume: SyntheticVolume, thread: Thread, descriptor: int) -> None:
        attributes = volume.host.descriptor_attributes(thread.host_tid, descriptor)
        super().__init__(volume, attributes.mode, attributes.inode, *_owner(thread.process))
        self.device, self.rdev, self.nlink, self.size = attributes.device, attributes.rdev, attributes.link_count, attributes.size
        self.atime, self.mtime, self.ctime = attributes.atime_ns, attributes.mtime_ns, attributes.ctime_ns
        self._host_tid = thread.host_tid
        self._descriptor = descriptor

    @property
    def is_regular(self) -> bool:  # type: ignore[override]  # the class attribute of Inode, here per object
        """Memfds and redirected standard streams are regular files."""
        return self.mode >> 12 == 8

    def open_stream(self, thread: Thread, access: Access, create: Create) -> HostStream:
        """A new open of the same pipe, terminal or file. Raises HostError: ENXIO for sockets, EACCES where the host refuses."""
        return self.volume.host.stream_open(b"guest:%d/%d" % (self._host_tid, self._descriptor), access, create)

    def open_device(self, thread: Thread, flags: int) -> HostStream:
        """The same, for the I/O manager's way to open what is no regular file. flags: O_* of the guest."""
        create = Create.NONBLOCK if flags & O_NONBLOCK else Create.OPEN
        return self.open_stream(thread, access_of(flags), create)


class MemoryFile(SyntheticInode):
    """/proc/PID/mem: the host's, for whoever may look into the process; what is opened is the memory it has now."""

    __slots__ = ("_process",)

    is_regular = True

    def __init__(self, volume: SyntheticVolume, process: Process, number: int) -> None:
        super().__init__(volume, S_IFREG | 0o600, number, *_owner(process))
        self._process = process

    def open_stream(self, thread: Thread, access: Access, create: Create) -> HostStream:
        """Raises EACCES, ESRCH."""
        if self._process.is_zombie:
            raise SyscallError(Errno.ESRCH)
        require_look(thread, self._process)
        return self.volume.host.stream_open(b"guest:%d/mem" % self._process.host_pid, access)


class ProcessDirectory(SyntheticDirectory):
    """/proc/PID and /proc/PID/task/TID. A descriptor of /proc/PID is also a name of the process: pidfd_send_signal takes it."""

    __slots__ = ("subject",)

    def __init__(self, directories: ProcessDirectories, subject: Subject, names: list[bytes]) -> None:
        def lookup(name: bytes, _thread: Thread | None) -> Inode | None:
            return directories.entry(subject, name)

        super().__init__(directories.volume, lookup, lambda _: names, 0o555, subject.number(_CODES[b"."]), *_owner(subject.process))
        self.subject = subject


class ProcessDirectories:
    """Makes the directories of one proc volume. ``network``: the shared net directory, once procfs has made it."""

    __slots__ = ("_adjustments", "network", "volume")

    def __init__(self, volume: SyntheticVolume) -> None:
        self.volume = volume
        self._adjustments: dict[int, tuple[int, int]] = {}
        """oom_score_adj by pid: (start of the process, number)."""
        self.network: Inode | None = None

    # -- /proc/PID and task/TID --------------------------------------------------------------------------------------------
    def directory(self, process: Process, task: Thread | None = None) -> Inode:
        """/proc/PID, or with task /proc/PID/task/TID."""
        names = [b"fd", b"fdinfo", b"net", b"ns", b"cwd", b"root", b"exe", b"mem", *FILES]
        if task is None:
            names.append(b"task")
        return ProcessDirectory(self, Subject(process, task), names)

    def entry(self, subject: Subject, name: bytes) -> Inode | None:
        """What one name of such a directory is; None when there is none."""
        row = FILES.get(name)
        process = subject.process
        number = subject.number(_CODES.get(name, 255))
        owner = _owner(process)
        volume = self.volume
        if name == b"oom_score_adj":
            return self._adjustment(process, number)
        if row is not None:
            return self._file(subject, row, number)
        if name == b"fd":
            return SyntheticDirectory(volume, self._fd_lookup(subject), _fd_names(subject), 0o500, number, *owner)
        if name == b"fdinfo":
            return SyntheticDirectory(volume, self._fdinfo_lookup(subject), _fd_names(subject), 0o555, number, *owner)
        if name == b"task" and subject.task is None:
            tasks = SyntheticDirectory(volume, self._task_lookup(process), _task_names(process), 0o555, number, *owner)
            tasks.nlink += len(process.threads)  # what says "one thread" to programs that must not fork with more
            return tasks
        if name == b"net":
            return self.network
        if name == b"ns":
            return SyntheticDirectory(volume, self._namespace_lookup(process), lambda _: _NAMESPACES, 0o511, number, *owner)
        if name in (b"cwd", b"root"):
            return self._place(subject, name, number)
        if name == b"exe":
            return self._executable(subject, number)
        if name == b"mem":
            return MemoryFile(volume, process, number)
        return None

    def _file(self, subject: Subject, row: File, number: int) -> SyntheticFile:
        process = subject.process
        write = row.write

        def render(reader: Thread) -> bytes:
            if row.private:
                require_look(reader, process)
            return row.render(reader, process, subject.thread())

        def take(writer: Thread, data: bytes) -> None:
            assert write is not None
            write(writer, subject, data)

        return SyntheticFile(self.volume, render, None if write is None else take, row.mode, number, *_owner(process))

    def _adjustment(self, process: Process, number: int) -> SyntheticFile:
        """oom_score_adj: kept and told, inherited from the parent; nothing acts on it."""
        kept = self._adjustments

        def render(_reader: Thread) -> bytes:
            current: Process | None = process
            while current is not None:
                start, value = kept.get(current.pid, (-1, 0))
                if start == current.start_ns:
                    return b"%d\n" % value
                current = current.parent
            return b"0\n"

        def write(_writer: Thread, data: bytes) -> None:
            text = data.strip(b" \n\0")
            if not text.removeprefix(b"-").isdigit() or len(text) > 6 or not -1000 <= int(text) <= 1000:
                raise SyscallError(Errno.EINVAL)
            if len(kept) > ADJUSTMENTS_MAX:
                kept.clear()
            kept[process.pid] = (process.start_ns, int(text))

        return SyntheticFile(self.volume, render, write, 0o644, number, *_owner(process))

    def _task_lookup(self, process: Process) -> Callable[[bytes, Thread | None], Inode | None]:
        def lookup(name: bytes, _thread: Thread | None) -> Inode | None:
            task = process.threads.get(decimal(name))
            return None if task is None else self.directory(process, task)

        return lookup

    def _namespace_lookup(self, process: Process) -> Callable[[bytes, Thread | None], Inode | None]:
        """Links to name spaces: all guests are in the same ones. What they lead to can be opened and compared, and does nothing."""
        volume = self.volume

        def lookup(name: bytes, _thread: Thread | None) -> Inode | None:
            if name not in _NAMESPACES:
                return None
            kind = name.removesuffix(b"_for_children")
            number = _NAMESPACE_FIRST + _NAMESPACES.index(kind)

            def text(reader: Thread) -> bytes:
                require_look(reader, process)
                return b"%b:[%d]" % (kind, number)

            def resolve(reader: Thread) -> Location:
                require_look(reader, process)
                space = SyntheticFile(volume, lambda _: b"", None, 0o444, number)
                space.name = kind
                return Location(space, space, kind)

            return MagicLink(volume, text, resolve, number)

        return lookup

    # -- magic links ---------------------------------------------------------------------------------------------------------
    def _place(self, subject: Subject, name: bytes, number: int) -> MagicLink:
        process = subject.process

        def target() -> Inode:
            subject.present()
            return process.fs.cwd if name == b"cwd" else process.fs.root

        def text(reader: Thread) -> bytes:
            require_look(reader, process)
            return proc_memory.path_text(target(), reader.process.fs.root)

        def resolve(reader: Thread) -> Location:
            require_look(reader, process)
            inode = target()
            return Location(inode, inode.parent or inode, inode.name)

        return MagicLink(self.volume, text, resolve, number, *_owner(process))

    def _executable(self, subject: Subject, number: int) -> MagicLink:
        process = subject.process

        def text(reader: Thread) -> bytes:
            subject.present()
            require_look(reader, process)
            if not process.executable_path:
                raise SyscallError(Errno.ENOENT)
            return process.executable_path

        def resolve(reader: Thread) -> Location:
            return reader.executive.files.look(reader, None, text(reader))

        return MagicLink(self.volume, text, resolve, number, *_owner(process))

    def _fd_lookup(self, subject: Subject) -> Callable[[bytes, Thread | None], Inode | None]:
        host = self.volume.host
        owner = _owner(subject.process)

        def lookup(name: bytes, _thread: Thread | None) -> Inode | None:
            descriptor = decimal(name)
            thread = subject.thread()
            if descriptor < 0 or thread is None:
                return None
            try:
                flags, _ = host.descriptor_state(thread.host_tid, descriptor)
            except HostError:
                return None

            def text(reader: Thread) -> bytes:
                require_look(reader, subject.process)
                return descriptor_text(reader, subject.live(), descriptor)

            def resolve(reader: Thread) -> Location:
                require_look(reader, subject.process)
                inode = self._described(subject.live(), descriptor)
                return Location(inode, inode.parent or inode, inode.name)

            link = MagicLink(self.volume, text, resolve, subject.number(_FD_CODES + (descriptor & 0x3FFFFF)), *owner)
            # The link's mode tells how the descriptor is open: r-x, -wx or rwx for the owner.
            link.mode = (link.mode & ~0o777) | {0: 0o500, 1: 0o300}.get(flags & 3, 0o700)
            link.size = 64
            return link

        return lookup

    def _described(self, thread: Thread, descriptor: int) -> Inode:
        inode = known_inode(thread, descriptor)
        if inode is None:
            return DescriptorInode(self.volume, thread, descriptor)
        if isinstance(inode, HostFile):
            inode.opened_by(thread.host_tid, descriptor)
        return inode

    def _fdinfo_lookup(self, subject: Subject) -> Callable[[bytes, Thread | None], Inode | None]:
        host = self.volume.host

        def lookup(name: bytes, _thread: Thread | None) -> Inode | None:
            descriptor = decimal(name)
            thread = subject.thread()
            if descriptor < 0 or thread is None:
                return None
            try:
                host.descriptor_identity(thread.host_tid, descriptor)
            except HostError:
                return None

            def render(reader: Thread) -> bytes:
                require_look(reader, subject.process)
                asked = subject.live()
                flags, position = host.descriptor_state(asked.host_tid, descriptor)
                inode = known_inode(asked, descriptor)
                if inode is None:
                    mount, number = 15, host.descriptor_identity(asked.host_tid, descriptor).inode
                else:
                    mount, number = inode.volume.mount_id, inode.number
                process = b""
                if inode is None and host.descriptor_name(asked.host_tid, descriptor).startswith(_PROCESS_DESCRIPTORS):
                    guest = asked.executive.processes.guest_pid(position)
                    process = b"Pid:\t%d\nNSpid:\t%d\n" % ((-1, -1) if guest is None else (guest, guest))
                    position = 0
                return b"pos:\t%d\nflags:\t0%o\nmnt_id:\t%d\nino:\t%d\n" % (position, flags, mount, number) + process

            return SyntheticFile(self.volume, render, None, 0o444, subject.number(_FDINFO_CODES + descriptor), *_owner(subject.process))

        return lookup


def require_look(reader: Thread, process: Process) -> None:
    """Raise EACCES unless the reader may look into the process."""
    if not may_access(reader.process, process, by_files=True):
        raise SyscallError(Errno.EACCES)


def _owner(process: Process) -> tuple[int, int]:
    """Who owns a process's files: its effective ids, root when it is not dumpable."""
    return (process.credentials.euid, process.credentials.egid) if process.dumpable == 1 else (0, 0)


_ACCESS: Final = (Access.READ, Access.WRITE, Access.READ_WRITE, Access.READ_WRITE)


def access_of(flags: int) -> Access:
    """What a stream must be open for, from the guest's O_* flags."""
    return _ACCESS[flags & O_ACCMODE]


def decimal(name: bytes) -> int:
    """The number a name is, -1 when it is none (leading zeros are none; at most 10 digits)."""
    if not name.isdigit() or len(name) > 10 or (name[:1] == b"0" and name != b"0"):
        return -1
    return int(name)


def _task_names(process: Process) -> Callable[[Thread | None], Iterator[bytes]]:
    return lambda _: iter([b"%d" % tid for tid in sorted(process.threads)])


def _fd_names(subject: Subject) -> Callable[[Thread | None], Iterator[bytes]]:
    def names(_thread: Thread | None) -> Iterator[bytes]:
        thread = subject.live()
        return iter([b"%d" % number for number in thread.executive.host.descriptor_list(thread.host_tid)])

    return names


def known_inode(thread: Thread, descriptor: int) -> Inode | None:
    """The inode of the view behind a guest descriptor; None for what is none of its files. Raises SyscallError, HostError: EBADF."""
    return thread.executive.io.inode_of(thread, descriptor)


_ANONYMOUS: Final = (b"pipe:[", b"socket:[", b"anon_inode:", b"/memfd:", b"/dev/pts/", b"/dev/tty", b"/dev/null")
"""Host names that say nothing of the host: shown as they are."""


def descriptor_text(reader: Thread, thread: Thread, descriptor: int) -> bytes:
    """What readlink of /proc/PID/fd/N tells: a guest path, or Linux's name of something anonymous. Never a host path."""
    inode = known_inode(thread, descriptor)
    if inode is not None:
        return proc_memory.path_text(inode, reader.process.fs.root)
    name = thread.executive.host.descriptor_name(thread.host_tid, descriptor)
    return name if name.startswith(_ANONYMOUS) else b"anon_inode:[file]"
