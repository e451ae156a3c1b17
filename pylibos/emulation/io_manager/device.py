"""Drivers, devices and requests (NT DRIVER_OBJECT, DEVICE_OBJECT, IRP), in the size this system needs.

A driver is a table from major function to a routine; a device is an instance of a driver with an extension of the driver's own; a
request carries one operation to it. The I/O manager opens everything that is not a plain file of a volume this way: directories, O_PATH
names, FIFOs, device nodes. Routines return what a system call handler returns (an Outcome or a generator of waits), raise SyscallError
or let HostError pass. Source: WDK, "Writing WDM Drivers" (DriverEntry, MajorFunction).
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError

if TYPE_CHECKING:
    from pylibos.emulation.fs.inode import Inode
    from pylibos.emulation.process.thread import Thread


class MajorFunction(enum.IntEnum):
    """IRP_MJ_* codes in use."""

    CREATE = 0x00
    CLOSE = 0x02
    QUERY_INFORMATION = 0x05
    DIRECTORY_CONTROL = 0x0C
    DEVICE_CONTROL = 0x0E


class IoRequest:
    """One operation on its way to a driver. ``flags``: the guest's open flags (CREATE). ``path``: guest path of the inode."""

    __slots__ = ("device", "flags", "inode", "major", "path", "thread")

    def __init__(self, major: MajorFunction, thread: Thread, inode: Inode, flags: int, path: bytes) -> None:
        self.major = major
        self.thread = thread
        self.inode = inode
        self.flags = flags
        self.path = path
        self.device: DeviceObject | None = None


Routine = Callable[[IoRequest], Any]


class DriverObject:
    """A driver: its name and its routines."""

    __slots__ = ("major_functions", "name")

    def __init__(self, name: str, major_functions: dict[MajorFunction, Routine]) -> None:
        self.name = name
        self.major_functions = major_functions


class DeviceObject:
    """A device made by a driver. ``extension`` is the driver's."""

    __slots__ = ("driver", "extension", "name")

    def __init__(self, name: str, driver: DriverObject, extension: object = None) -> None:
        self.name = name
        self.driver = driver
        self.extension = extension

    def call(self, request: IoRequest) -> Any:
        """IoCallDriver. Raises ENXIO for a function the driver does not have."""
        request.device = self
        routine = self.driver.major_functions.get(request.major)
        if routine is None:
            raise SyscallError(Errno.ENXIO)
        return routine(request)
