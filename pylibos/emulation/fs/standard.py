"""The standard mounts of every sandbox: /dev, /dev/shm, /proc, /sys, /sys/fs/cgroup; and their names for people.

standard_mounts(executive) makes the volumes as lines of a mount plan (filesystem.py); publish(executive), called once when everything is
mounted, enters devices and the registry into the object name space and the mounts into the registry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylibos.emulation.config_manager.defaults import add_mount
from pylibos.emulation.fs.cgroupfs import create_cgroupfs
from pylibos.emulation.fs.devfs import DeviceVolume, create_devfs, name_devices, open_by_number
from pylibos.emulation.fs.inode import path_of
from pylibos.emulation.fs.procfs import create_procfs
from pylibos.emulation.fs.sysfs import create_sysfs

if TYPE_CHECKING:
    from pylibos.emulation.executive import Executive
    from pylibos.emulation.fs.filesystem import Plan


def standard_mounts(executive: Executive) -> list[Plan]:
    """The plan lines, in mount order. Needs executive.files (with its root mounted), io, processes and registry (with the defaults)."""
    return [
        (b"/dev", "synthetic", create_devfs(executive)),
        (b"/dev/shm", "tmpfs", None),
        (b"/proc", "synthetic", create_procfs(executive)),
        (b"/sys", "synthetic", create_sysfs(executive)),
        (b"/sys/fs/cgroup", "synthetic", create_cgroupfs(executive)),
    ]


def publish(executive: Executive) -> None:
    """Make devices, registry keys and mounts visible under their NT names. Once per executive, after the last mount."""
    for volume in executive.files.mounts:
        if isinstance(volume, DeviceVolume):
            name_devices(volume, executive.objects)
            open_by_number(volume, executive.io)
        texts = (volume.source, path_of(volume.root), volume.kind, b"ro" if volume.read_only else b"rw")
        source, target, kind, options = (text.decode("utf-8", "surrogateescape") for text in texts)
        add_mount(executive.registry, source, target, kind, options)
    executive.registry.attach(executive.objects)
