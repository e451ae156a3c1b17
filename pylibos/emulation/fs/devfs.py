"""devfs: /dev, with the devices of the registry's list (NT: symbolic links of \\GLOBAL??\\ to \\Device\\*).

Owns the volume, its device nodes and which host stream stands behind each. Names, numbers and modes come from
\\Registry\\Machine\\System\\Devices; drivers are the functions in _DRIVERS. Must not know system calls or how streams reach a guest.

    null zero full random urandom    the host's harmless devices of the same name (``dev:``), native from then on
    tty                              the caller's controlling terminal: the console or a slave of the sandbox; ENXIO without one
    console                          the sandbox's console (``console:``) where it is a terminal; ENXIO otherwise
    ptmx, pts/N                      pseudo terminals of the host (``dev:ptmx``); a slave is reached through a master some guest holds
    shm                              a directory with the sticky bit; the mount plan puts a tmpfs there
    fd stdin stdout stderr core      symbolic links

A guest's descriptor of a device is recognised by the identity of the host stream, so fstat of it tells this node. The standard streams are
entered when the volume is made: a terminal becomes pts/N (so that ttyname works), /dev/null our null.

Adversary: a device opened for writing is /dev/null or a terminal; no ioctl but those of the filter reaches it.
Sources: null(4), random(4), pts(4), tty(4); Linux Documentation/admin-guide/devices.txt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pylibos.abi.errno import Errno
from pylibos.abi.files import (
    O_ACCMODE,
    O_NONBLOCK,
    S_IFCHR,
    S_IFMT,
    TMPFS_MAGIC,
    device_major,
    device_minor,
    make_device,
)
from pylibos.emulation.config_manager.defaults import DEVICES
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.fs.inode import Inode
from pylibos.emulation.fs.synthetic import DeviceNode, StaticDirectory, StaticLink, SyntheticDirectory, SyntheticVolume
from pylibos.monitor.host_abi import Access, Create, HostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pylibos.emulation.config_manager.registry import Key
    from pylibos.emulation.executive import Executive
    from pylibos.emulation.io_manager.manager import IoManager
    from pylibos.emulation.object_manager.manager import ObjectManager
    from pylibos.emulation.process.process import Process
    from pylibos.emulation.process.thread import Thread
    from pylibos.monitor.host_abi import HostABI, HostStream, ProcessUsage, StreamAttributes


PTS_MAJORS: Final = range(136, 144)
TTY_MAJOR: Final = 4
_ACCESS: Final = (Access.READ, Access.WRITE, Access.READ_WRITE, Access.READ_WRITE)
_STANDARD_STREAMS: Final = (b"console:0", b"console:1", b"console:2")


class DeviceVolume(SyntheticVolume):
    """The volume of /dev."""

    def __init__(self, host: HostABI, device: int) -> None:
        super().__init__(host, device, b"devtmpfs", TMPFS_MAGIC)
        self.terminal: DeviceNode | None = None
        """The console, when it is a terminal."""
        self.master: DeviceNode | None = None
        """ptmx, and the slaves of what it opened."""
        self.terminals: _Terminals | None = None
        self.console_streams: list[bytes] = []
        """Those of console:0..2 that are terminals."""

    def terminal_of(self, process: Process, usage: ProcessUsage) -> int:
        """Device number of a process's controlling terminal, 0 without one.

        The sandbox's first session has the console, as it would have without a sandbox; the host kernel does not know that, because
        guests get a session of their own there.
        """
        if usage.terminal or self.terminal is None:
            return usage.terminal
        first = process.executive.processes.init
        return self.terminal.rdev if first is not None and process.sid == first.sid else 0

    def open_host(self, uri: bytes, flags: int, node: Inode | None) -> HostStream:
        """Open a host device for the guest's flags and let descriptors of it be recognised as node."""
        create = Create.NONBLOCK if flags & O_NONBLOCK else Create.OPEN
        stream = self.host.stream_open(uri, _ACCESS[flags & O_ACCMODE], create)
        if node is not None:
            attributes = self.host.stream_query_open(stream)
            self.registry[attributes.device, attributes.inode] = node
        return stream


def create_devfs(executive: Executive) -> DeviceVolume:
    """The volume for /dev, with the devices the registry lists."""
    volume = DeviceVolume(executive.host, executive.files.new_device())
    volume.registry = executive.files.registry
    volume.no_exec = True
    volume.no_suid = True
    root = StaticDirectory(volume, 0o755)
    volume.root = root
    for key in executive.registry.subkeys(DEVICES):
        _add_device(volume, root, key)
    root.add(b"shm", StaticDirectory(volume, 0o1777))
    terminals = volume.terminals = _Terminals(volume, executive)
    pts = SyntheticDirectory(volume, terminals.lookup, terminals.names, 0o755)
    root.add(b"pts", pts)
    terminals.directory = pts
    volume.master = DeviceNode(volume, 5, 2, _opener(volume, "ptmx", b"ptmx"), 0o666)
    pts.add(b"ptmx", volume.master)
    _recognise_standard_streams(volume, root, pts)
    return volume


def name_devices(volume: DeviceVolume, objects: ObjectManager) -> None:
    """Enter the devices into the object name space: \\Device\\NAME, and \\GLOBAL??\\NAME leading there. Once per manager."""
    root = volume.root
    assert isinstance(root, StaticDirectory)
    for name, inode in sorted(root.entries.items()):
        if isinstance(inode, DeviceNode):
            title = name.decode("ascii", "replace").capitalize()
            numbers = f"char {device_major(inode.rdev)}:{device_minor(inode.rdev)}"
            objects.dereference(objects.create(objects.types.device, numbers, f"\\Device\\{title}", permanent=True))
            objects.create_link(f"\\GLOBAL??\\{title}", f"\\Device\\{title}")


def open_by_number(volume: DeviceVolume, io: IoManager) -> None:
    """Let nodes that a guest makes with mknod, or that its root directory has, open the devices of the same number."""
    root = volume.root
    assert isinstance(root, StaticDirectory)
    for inode in root.entries.values():
        if isinstance(inode, DeviceNode):
            io.device_numbers.setdefault((inode.mode & S_IFMT, inode.rdev), inode.open_device)


def _add_device(volume: DeviceVolume, root: StaticDirectory, key: Key) -> None:
    path = key.text("Path", key.name).encode("utf-8", "surrogateescape")
    directory = root
    *parents, name = [part for part in path.split(b"/") if part and part not in (b".", b"..")] or [b"?"]
    for parent in parents:
        found = directory.entries.get(parent)
        directory = found if isinstance(found, StaticDirectory) else StaticDirectory(volume)
        if found is None:
            root.add(parent, directory)
    target = key.text("Target").encode("utf-8", "surrogateescape")
    if target:
        directory.add(name, StaticLink(volume, target))
        return
    opener = _opener(volume, key.text("Driver"), name)
    directory.add(name, DeviceNode(volume, key.number("Major"), key.number("Minor"), opener, key.number("Mode", 0o666)))


# -- drivers ---------------------------------------------------------------------------------------------------------------
def _opener(volume: DeviceVolume, driver: str, name: bytes) -> Callable[[Thread, int], HostStream]:
    routine = _DRIVERS.get(driver)

    def open_device(thread: Thread, flags: int) -> HostStream:
        if routine is None:
            raise SyscallError(Errno.ENXIO)
        return routine(volume, thread, name, flags)

    return open_device


def _open_null(volume: DeviceVolume, _thread: Thread, name: bytes, flags: int) -> HostStream:
    root = volume.root
    assert isinstance(root, StaticDirectory)
    return volume.open_host(b"dev:" + name, flags, root.entries.get(name))


def _open_terminal(volume: DeviceVolume, thread: Thread, _name: bytes, flags: int) -> HostStream:
    """The caller's controlling terminal: the console, or a pseudo terminal of the sandbox."""
    terminal = volume.terminal_of(thread.process, volume.host.process_usage(thread.process.host_pid))
    if volume.terminal is not None and terminal == volume.terminal.rdev:
        return _open_console(volume, thread, b"", flags)
    if terminal and volume.terminals is not None:
        node = volume.terminals.lookup(b"%d" % device_minor(terminal), thread)
        if node is not None and node.rdev == terminal:
            return node.open_device(thread, flags)
    raise SyscallError(Errno.ENXIO)


def _open_console(volume: DeviceVolume, _thread: Thread, _name: bytes, flags: int) -> HostStream:
    wanted = flags & O_ACCMODE
    for uri in volume.console_streams if volume.terminal is not None else ():
        stream = volume.host.stream_open(uri, _ACCESS[wanted])
        try:
            return volume.host.stream_reopen(stream, _ACCESS[wanted])
        except HostError:
            continue  # that one is open for reading or writing only
        finally:
            volume.host.stream_close(stream)
    raise SyscallError(Errno.ENXIO)


def _open_ptmx(volume: DeviceVolume, _thread: Thread, _name: bytes, flags: int) -> HostStream:
    return volume.open_host(b"dev:ptmx", flags, volume.master)


_DRIVERS: Final = {
    "null": _open_null,
    "zero": _open_null,
    "full": _open_null,
    "random": _open_null,
    "terminal": _open_terminal,
    "console": _open_console,
    "ptmx": _open_ptmx,
}


class _Terminals:
    """The changing names of pts: slaves of the masters that guests of this sandbox hold right now (rarely looked at, never cached)."""

    __slots__ = ("directory", "executive", "volume")

    def __init__(self, volume: DeviceVolume, executive: Executive) -> None:
        self.volume = volume
        self.executive = executive
        self.directory: Inode | None = None

    def lookup(self, name: bytes, thread: Thread | None) -> DeviceNode | None:
        if not name.isdigit() or len(name) > 7:
            return None
        for uri, slave in self._slaves():
            if device_minor(slave.rdev) == int(name):
                who = None if thread is None else thread.process.credentials
                opener = self._opener(uri)
                node = DeviceNode(self.volume, 136, 0, opener, 0o620, number=slave.inode, uid=0 if who is None else who.euid, gid=5)
                node.device, node.rdev = slave.device, slave.rdev
                node.parent, node.name = self.directory, b"%d" % int(name)
                self.volume.registry[slave.device, slave.inode] = node
                return node
        return None

    def names(self, _thread: Thread | None) -> list[bytes]:
        return [b"%d" % number for number in sorted({device_minor(slave.rdev) for _, slave in self._slaves()})]

    def _slaves(self) -> Iterator[tuple[bytes, StreamAttributes]]:
        """(guest: stream, attributes) of the slave of every master."""
        host = self.volume.host
        for pid in self.executive.io.guests():
            try:
                for descriptor in host.descriptor_list(pid):
                    if host.descriptor_name(pid, descriptor).endswith(b"/ptmx"):
                        uri = b"guest:%d/%d" % (pid, descriptor)
                        stream = host.stream_open(uri, Access.NONE)
                        try:
                            yield uri, host.stream_query_open(stream)
                        finally:
                            host.stream_close(stream)
            except HostError:
                continue  # ended, or closed meanwhile

    def _opener(self, uri: bytes) -> Callable[[Thread, int], HostStream]:
        def open_slave(_thread: Thread, flags: int) -> HostStream:
            return self.volume.open_host(uri, flags, None)

        return open_slave


# -- the console -----------------------------------------------------------------------------------------------------------
def _recognise_standard_streams(volume: DeviceVolume, root: StaticDirectory, pts: SyntheticDirectory) -> None:
    """Make descriptors 0, 1 and 2 known where they are a terminal or the null device."""
    host = volume.host
    null = root.entries.get(b"null")
    for uri in _STANDARD_STREAMS:
        try:
            stream = host.stream_open(uri, Access.READ_WRITE)
        except HostError:
            continue  # not given to this sandbox
        try:
            attributes = host.stream_query_open(stream)
        finally:
            host.stream_close(stream)
        if attributes.mode & S_IFMT != S_IFCHR:
            continue
        major = device_major(attributes.rdev)
        if attributes.rdev == make_device(1, 3) and null is not None:
            volume.registry[attributes.device, attributes.inode] = null
        elif major in PTS_MAJORS or major == TTY_MAJOR:
            volume.console_streams.append(uri)
            if volume.terminal is None:
                volume.terminal = _terminal_node(volume, attributes.rdev, attributes.inode, attributes.device)
                minor = device_minor(attributes.rdev)
                if major == TTY_MAJOR:
                    root.add(b"tty%d" % minor, volume.terminal)
                else:
                    pts.add(b"%d" % minor, volume.terminal)
            volume.registry[attributes.device, attributes.inode] = volume.terminal


def _terminal_node(volume: DeviceVolume, rdev: int, number: int, device: int) -> DeviceNode:
    """The console's node: the host's identity, because isatty and ttyname compare it with fstat of the descriptor."""

    def open_console(thread: Thread, flags: int) -> HostStream:
        return _open_console(volume, thread, b"", flags)

    node = DeviceNode(volume, device_major(rdev), device_minor(rdev), open_console, 0o666, number=number, gid=5)
    node.device = device
    return node
