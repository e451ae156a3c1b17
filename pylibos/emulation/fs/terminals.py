"""Terminals: pseudo terminals made by guests (/dev/ptmx, /dev/pts/N) and the sandbox's console.

Owns the names in /dev/pts, who each terminal belongs to in the guest's eyes, and the host's handle of each slave. Line discipline, job
control, window size and hang-up are the host kernel's: a guest's terminal is a pair of the host's (``pty:``), and its sessions and process
groups are the host's too. Must not know ioctl or how streams reach a guest.

A slave lives as long as its master. The handle tells when that has ended (link count 0), even if the kernel has given the number to a
stranger meanwhile; so a name in /dev/pts leads to a terminal of this sandbox or nowhere.

Adversary: pseudo terminals are the host's, kernel.pty.max of them for everybody: a sandbox may have LIMIT.
Sources: pts(4), pty(7), tty(4); Linux fs/devpts/inode.c, drivers/tty/tty_io.c:tty_open().
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pylibos.abi.errno import Errno
from pylibos.abi.fcntl import F_SETFD, FD_CLOEXEC
from pylibos.abi.files import O_ACCMODE, O_CLOEXEC, O_NOCTTY, O_NONBLOCK, O_WRONLY, S_IFCHR, S_IFMT, device_major, device_minor
from pylibos.abi.ioctl import TIOCSCTTY
from pylibos.abi.syscall_numbers import NUMBERS
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.fs.inode import Inode
from pylibos.emulation.fs.synthetic import DeviceNode, StaticDirectory, SyntheticDirectory
from pylibos.emulation.outcome import DESCRIPTOR, Remote
from pylibos.monitor.host_abi import Access, Create, HostError

if TYPE_CHECKING:
    from pylibos.emulation.fs.devfs import DeviceVolume
    from pylibos.emulation.process.process import Process
    from pylibos.emulation.process.thread import Thread
    from pylibos.monitor.host_abi import HostStream, ProcessUsage, StreamAttributes

_NR_IOCTL: Final = NUMBERS["ioctl"]
_NR_FCNTL: Final = NUMBERS["fcntl"]
_NR_DUP2: Final = NUMBERS["dup2"]
PTS_MAJORS: Final = range(136, 144)
TTY_MAJOR: Final = 4
LIMIT: Final = 256
TTY_GROUP: Final = 5
_MODE: Final = 0o620
_NUMBER_SIZE: Final = 7
_ACCESS: Final = (Access.READ, Access.WRITE, Access.READ_WRITE, Access.READ_WRITE)
_STANDARD_STREAMS: Final = (b"console:0", b"console:1", b"console:2")


class TerminalNode(DeviceNode):
    """A terminal by name. It has the host's identity, because isatty and ttyname compare it with fstat of a descriptor."""

    __slots__ = ("_streams", "_terminals", "private", "stream_key")

    def __init__(
        self, terminals: Terminals, attributes: StreamAttributes, streams: list[HostStream], uid: int, *, private: bool
    ) -> None:
        """streams: what its opens are made from. private: made for this sandbox, not the invoker's own terminal."""
        volume = terminals.volume
        super().__init__(volume, 0, 0, self._open_terminal, _MODE, number=attributes.inode, uid=uid, gid=TTY_GROUP)
        self.device, self.rdev = attributes.device, attributes.rdev
        self._terminals = terminals
        self._streams = streams
        self.private = private
        self.stream_key = (attributes.device, attributes.inode)
        volume.registry[self.stream_key] = self

    def _open_terminal(self, thread: Thread, flags: int) -> HostStream | Remote:
        host = self.volume.host
        access = _ACCESS[flags & O_ACCMODE]
        create = Create.NONBLOCK if flags & O_NONBLOCK else Create.OPEN
        problem = HostError(Errno.ENXIO)
        for stream in self._streams:
            try:
                opened = host.stream_reopen(stream, access, create)
            except HostError as error:
                problem = error  # the invoker's is perhaps open for reading or writing only
                continue
            return _taken(opened, flags) if self._becomes_controlling(thread.process, flags) else opened
        raise problem

    def _becomes_controlling(self, process: Process, flags: int) -> bool:
        """Whether this open may give a session leader its terminal, as tty_open() decides; the kernel has the last word."""
        if flags & O_NOCTTY or flags & O_ACCMODE == O_WRONLY or not self.private or process.pid != process.sid:
            return False
        return self.volume.host.process_usage(process.host_pid).terminal == 0

    @property
    def is_gone(self) -> bool:
        """Whether the master has been closed. Never of the console, whose master is not a guest's."""
        return self.volume.host.stream_query_open(self._streams[0]).link_count == 0

    def give_up(self) -> None:
        """Close what is held of a terminal that is gone. A guest may still have the slave open: that keeps telling who it was."""
        for stream in self._streams:
            self.volume.host.stream_close(stream)
        self._streams = []
        self.stream_key = (0, 0)


def _taken(stream: HostStream, flags: int) -> Remote:
    """An open after which the terminal is the caller's controlling one.

    The host kernel gives a session leader its terminal when that process itself opens it; here we have opened it. So the caller makes
    ioctl(TIOCSCTTY) before the open returns: the kernel decides by the rules of the open, and as there the outcome is nobody's business.
    """
    calls = (
        (_NR_IOCTL, (DESCRIPTOR, TIOCSCTTY, 0)),
        (_NR_FCNTL, (DESCRIPTOR, F_SETFD, FD_CLOEXEC if flags & O_CLOEXEC else 0)),
        (_NR_DUP2, (DESCRIPTOR, DESCRIPTOR)),  # changes nothing; its result is the number
    )
    return Remote(calls, lambda results: results[-1] if results else -Errno.EMFILE, stream)


class TerminalDirectory(SyntheticDirectory):
    """/dev/pts: nobody makes names there."""

    __slots__ = ()

    def make(self, name: bytes, mode: int, uid: int, gid: int, rdev: int = 0, target: bytes = b"") -> Inode:
        """EPERM, as a file system without such an operation answers."""
        raise SyscallError(Errno.EPERM)


class Terminals:
    """The names of /dev/pts, which come and go by themselves, and the console."""

    def __init__(self, volume: DeviceVolume) -> None:
        self.volume = volume
        self.directory = TerminalDirectory(volume, self.lookup, self.names, 0o755)
        self.master = DeviceNode(volume, 5, 2, self.open_master, 0o666)
        self.directory.add(b"ptmx", self.master)
        self.slaves: dict[int, TerminalNode] = {}
        self.console: TerminalNode | None = None

    # -- pseudo terminals ------------------------------------------------------------------------------------------------------
    def open_master(self, thread: Thread, flags: int) -> HostStream:
        """open of /dev/ptmx: a new terminal of the caller. Raises ENOSPC beyond LIMIT, HostError."""
        self.sweep()
        if len(self.slaves) >= LIMIT:
            raise SyscallError(Errno.ENOSPC)
        volume = self.volume
        host = volume.host
        master, slave = host.stream_open_pair(b"pty:", Create.NONBLOCK if flags & O_NONBLOCK else Create.OPEN)
        attributes = host.stream_query_open(master)
        volume.registry[attributes.device, attributes.inode] = self.master
        node = TerminalNode(self, host.stream_query_open(slave), [slave], thread.process.credentials.euid, private=True)
        number = device_minor(node.rdev)
        node.parent, node.name = self.directory, b"%d" % number
        self.slaves[number] = node
        # A console from another devpts instance may have the number too: a name leads to one terminal, the guest's own.
        self.directory.entries.pop(node.name, None)
        return master

    def lookup(self, name: bytes, _thread: Thread | None) -> TerminalNode | None:
        """The live slave with that number; only its decimal name."""
        if not name.isdigit() or len(name) > _NUMBER_SIZE or name != b"%d" % int(name):
            return None
        node = self.slaves.get(int(name))
        if node is None or node.is_gone:
            return None
        self.volume.registry[node.device, node.number] = node
        return node

    def names(self, _thread: Thread | None) -> list[bytes]:
        """The numbers of all live slaves."""
        self.sweep()
        return [b"%d" % number for number in sorted(self.slaves)]

    def sweep(self) -> None:
        """Give up terminals whose master has been closed."""
        for number, node in tuple(self.slaves.items()):
            if node.is_gone:
                del self.slaves[number]
                node.give_up()

    def by_device(self, rdev: int) -> TerminalNode | None:
        """The terminal with a device number, as /proc/PID/stat tells it."""
        if self.console is not None and self.console.rdev == rdev:
            return self.console
        node = self.lookup(b"%d" % device_minor(rdev), None)
        return node if node is not None and node.rdev == rdev else None

    # -- controlling terminals -------------------------------------------------------------------------------------------------
    def terminal_of(self, process: Process, usage: ProcessUsage) -> int:
        """Device number of a process's controlling terminal, 0 without one.

        A console of the sandbox's own is the first session's terminal for the host kernel, too. The invoker's terminal is that of the
        invoker's session there, and only looks like the first session's here.
        """
        if usage.terminal or self.console is None or self.console.private:
            return usage.terminal
        first = process.executive.processes.init
        return self.console.rdev if first is not None and process.sid == first.sid else 0

    def open_controlling(self, thread: Thread, flags: int) -> HostStream | Remote:
        """open of /dev/tty. Raises ENXIO without a controlling terminal."""
        rdev = self.terminal_of(thread.process, self.volume.host.process_usage(thread.process.host_pid))
        node = self.by_device(rdev) if rdev else None
        if node is None:
            raise SyscallError(Errno.ENXIO)
        return node.open_device(thread, flags | O_NOCTTY)

    def open_console(self, thread: Thread, flags: int) -> HostStream | Remote:
        """open of /dev/console. Raises ENXIO where the standard streams are no terminal."""
        if self.console is None:
            raise SyscallError(Errno.ENXIO)
        return self.console.open_device(thread, flags | O_NOCTTY)

    # -- the console -----------------------------------------------------------------------------------------------------------
    def give_console(self, uid: int, *, private: bool) -> None:
        """Say whose the console is. private: the runtime made the terminal for this sandbox."""
        if self.console is not None:
            self.console.uid = uid
            self.console.private = private
            self.console.record = None

    @property
    def shares_invokers(self) -> bool:
        """Whether guests hold the invoker's own terminal."""
        return self.console is not None and not self.console.private

    def find_console(self, null: Inode | None) -> None:
        """Make descriptors 0, 1 and 2 known where they are a terminal, or the null device."""
        host = self.volume.host
        streams: list[HostStream] = []
        found: StreamAttributes | None = None
        for uri in _STANDARD_STREAMS:
            try:
                stream = host.stream_open(uri, Access.READ_WRITE)
            except HostError:
                continue  # not given to this sandbox
            attributes = host.stream_query_open(stream)
            major = device_major(attributes.rdev)
            is_device = attributes.mode & S_IFMT == S_IFCHR
            if is_device and (major in PTS_MAJORS or major == TTY_MAJOR) and (found is None or found.rdev == attributes.rdev):
                streams.append(stream)
                found = found or attributes
                continue
            host.stream_close(stream)
            if is_device and null is not None and attributes.rdev == null.rdev:
                self.volume.registry[attributes.device, attributes.inode] = null
        if found is not None:
            self._add_console(TerminalNode(self, found, streams, 0, private=False))

    def _add_console(self, node: TerminalNode) -> None:
        self.console = node
        name = b"%d" % device_minor(node.rdev)
        if device_major(node.rdev) in PTS_MAJORS:
            self.directory.add(name, node)
        else:
            root = self.volume.root
            assert isinstance(root, StaticDirectory)
            root.add(b"tty" + name, node)
