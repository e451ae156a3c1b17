"""devfs: /dev, with the devices of the registry's list (NT: symbolic links of \\GLOBAL??\\ to \\Device\\*).

Owns the volume, its device nodes and which host stream stands behind each. Names, numbers and modes come from
\\Registry\\Machine\\System\\Devices; drivers are the functions in _DRIVERS. Must not know system calls or how streams reach a guest.

    null zero full random urandom    the host's harmless devices of the same name (``dev:``), native from then on
    tty                              the caller's controlling terminal: the console or a slave of the sandbox; ENXIO without one
    console                          the sandbox's console (``console:``) where it is a terminal; ENXIO otherwise
    ptmx, pts/N                      pseudo terminals of guests, and the console (terminals.py)
    shm                              a directory with the sticky bit; the mount plan puts a tmpfs there
    fd stdin stdout stderr core      symbolic links

A guest's descriptor of a device is recognised by the identity of the host stream, so fstat of it tells this node. The standard streams are
entered when the volume is made.

Adversary: a device opened for writing is /dev/null or a terminal; no ioctl but those of the filter reaches it.
Sources: null(4), random(4), pts(4), tty(4); Linux Documentation/admin-guide/devices.txt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pylibos.abi.errno import Errno
from pylibos.abi.files import O_ACCMODE, O_NONBLOCK, S_IFMT, TMPFS_MAGIC, device_major, device_minor
from pylibos.emulation.config_manager.defaults import DEVICES
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.fs.synthetic import DeviceNode, StaticDirectory, StaticLink, SyntheticVolume
from pylibos.emulation.fs.terminals import Terminals
from pylibos.monitor.host_abi import Access, Create

if TYPE_CHECKING:
    from pylibos.emulation.config_manager.registry import Key
    from pylibos.emulation.executive import Executive
    from pylibos.emulation.fs.inode import Inode
    from pylibos.emulation.fs.synthetic import Opener
    from pylibos.emulation.io_manager.manager import IoManager
    from pylibos.emulation.object_manager.manager import ObjectManager
    from pylibos.emulation.outcome import Remote
    from pylibos.emulation.process.thread import Thread
    from pylibos.monitor.host_abi import HostABI, HostStream

_ACCESS: Final = (Access.READ, Access.WRITE, Access.READ_WRITE, Access.READ_WRITE)


class DeviceVolume(SyntheticVolume):
    """The volume of /dev."""

    def __init__(self, host: HostABI, device: int) -> None:
        super().__init__(host, device, b"devtmpfs", TMPFS_MAGIC)
        self.terminals = Terminals(self)

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
    root.add(b"pts", volume.terminals.directory)
    volume.terminals.find_console(root.entries.get(b"null"))
    executive.terminals = volume.terminals
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
def _opener(volume: DeviceVolume, driver: str, name: bytes) -> Opener:
    routine = _DRIVERS.get(driver)

    def open_device(thread: Thread, flags: int) -> HostStream | Remote:
        if routine is None:
            raise SyscallError(Errno.ENXIO)
        return routine(volume, thread, name, flags)

    return open_device


def _open_null(volume: DeviceVolume, _thread: Thread, name: bytes, flags: int) -> HostStream:
    root = volume.root
    assert isinstance(root, StaticDirectory)
    return volume.open_host(b"dev:" + name, flags, root.entries.get(name))


def _open_terminal(volume: DeviceVolume, thread: Thread, _name: bytes, flags: int) -> HostStream | Remote:
    return volume.terminals.open_controlling(thread, flags)


def _open_console(volume: DeviceVolume, thread: Thread, _name: bytes, flags: int) -> HostStream | Remote:
    return volume.terminals.open_console(thread, flags)


_DRIVERS: Final = {
    "null": _open_null,
    "zero": _open_null,
    "full": _open_null,
    "random": _open_null,
    "terminal": _open_terminal,
    "console": _open_console,
}
