"""The default hive: what a sandbox is configured as before a policy or a hive file says otherwise.

Data and the one function that writes it into a registry. Paths below \\Registry\\Machine\\System:

    ComputerName   Hostname, DomainName
    Kernel         SysName Release Version Machine Banner CommandLine  (uname(2), /proc/version)
    Limits         sandbox-wide numbers of /proc/sys; subkeys NOFILE ... with Soft and Hard (-1 stored as 2**64-1 is infinity)
    Mounts\\NNNN    Source Target Type Options, in mount order
    Devices\\NAME   Path (below /dev), Major, Minor, Mode, Driver; Target for symbolic links
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from pylibos.emulation.config_manager.registry import ValueKind

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pylibos.emulation.config_manager.registry import Registry

SYSTEM: Final = "\\Registry\\Machine\\System"
COMPUTER_NAME: Final = SYSTEM + "\\ComputerName"
KERNEL: Final = SYSTEM + "\\Kernel"
LIMITS: Final = SYSTEM + "\\Limits"
MOUNTS: Final = SYSTEM + "\\Mounts"
DEVICES: Final = SYSTEM + "\\Devices"

INFINITY: Final = (1 << 64) - 1
"""RLIM_INFINITY as a REG_QWORD."""

RELEASE: Final = "6.1.0-pylibos"
"""Kernel release a guest sees: the long-term series whose calls the personality follows (glibc and Go check a minimum only)."""

VERSION: Final = "#1 SMP PREEMPT_DYNAMIC PyLibOS"
BANNER: Final = "Linux version {release} (pylibos@library-os) (Python NT-style executive) {version}"

NUMBERS: Final[Mapping[str, int]] = {
    "FileMax": 1 << 20,
    "NrOpen": 1 << 20,
    "PidMax": 1 << 22,
    "ThreadsMax": 1 << 15,
    "PipeMaxSize": 1 << 20,
    "PipeUserPagesSoft": 16384,
    "SomaxConn": 4096,
    "MaxMapCount": 65530,
    "MmapMinAddr": 65536,
    "OvercommitMemory": 0,
    "OvercommitRatio": 50,
    "Swappiness": 60,
    "InotifyInstances": 128,
    "InotifyWatches": 65536,
    "InotifyEvents": 16384,
    "AioMax": 65536,
    "LeaseBreakTime": 45,
    "MsgMax": 8192,
    "MsgMni": 32000,
    "MsgMnb": 16384,
    "ShmMax": INFINITY - (1 << 24),
    "ShmAll": INFINITY - (1 << 24),
    "ShmMni": 4096,
    "NGroupsMax": 65536,
    "PtyMax": 4096,
}
"""Sandbox-wide limits: Linux's own defaults for a machine of a few GiB."""

RESOURCES: Final[Mapping[str, tuple[int, int]]] = {
    "CPU": (INFINITY, INFINITY),
    "FSIZE": (INFINITY, INFINITY),
    "DATA": (INFINITY, INFINITY),
    "STACK": (8 << 20, INFINITY),
    "CORE": (0, INFINITY),
    "RSS": (INFINITY, INFINITY),
    "NPROC": (15000, 15000),
    "NOFILE": (1024, 1 << 20),
    "MEMLOCK": (8 << 20, 8 << 20),
    "AS": (INFINITY, INFINITY),
    "LOCKS": (INFINITY, INFINITY),
    "SIGPENDING": (15000, 15000),
    "MSGQUEUE": (819200, 819200),
    "NICE": (0, 0),
    "RTPRIO": (0, 0),
    "RTTIME": (INFINITY, INFINITY),
}
"""RLIMIT_* (soft, hard) in the order of their numbers, as a fresh Linux log-in has them."""


class DeviceDefault(NamedTuple):
    """A row of the default device list: a character device, or a symbolic link when target is set."""

    path: str
    driver: str
    major: int
    minor: int
    mode: int
    target: str = ""


DEVICE_LIST: Final = (
    DeviceDefault("null", "null", 1, 3, 0o666),
    DeviceDefault("zero", "zero", 1, 5, 0o666),
    DeviceDefault("full", "full", 1, 7, 0o666),
    DeviceDefault("random", "random", 1, 8, 0o666),
    DeviceDefault("urandom", "random", 1, 9, 0o666),
    DeviceDefault("tty", "terminal", 5, 0, 0o666),
    DeviceDefault("console", "console", 5, 1, 0o620),
    DeviceDefault("ptmx", "", 0, 0, 0o777, "pts/ptmx"),
    DeviceDefault("fd", "", 0, 0, 0o777, "/proc/self/fd"),
    DeviceDefault("stdin", "", 0, 0, 0o777, "/proc/self/fd/0"),
    DeviceDefault("stdout", "", 0, 0, 0o777, "/proc/self/fd/1"),
    DeviceDefault("stderr", "", 0, 0, 0o777, "/proc/self/fd/2"),
    DeviceDefault("core", "", 0, 0, 0o777, "/proc/kcore"),
)


def load_defaults(registry: Registry, *, hostname: str = "pylibos", release: str = RELEASE, version: str = VERSION) -> None:
    """Write the default hive into registry, over what is there."""
    registry.set_value(COMPUTER_NAME, "Hostname", hostname)
    registry.set_value(COMPUTER_NAME, "DomainName", "(none)")
    texts = {
        "SysName": "Linux",
        "Release": release,
        "Version": version,
        "Machine": "x86_64",
        "Banner": BANNER.format(release=release, version=version),
        "CommandLine": "BOOT_IMAGE=pylibos quiet",
    }
    for name, text in texts.items():
        registry.set_value(KERNEL, name, text)
    for name, number in NUMBERS.items():
        registry.set_value(LIMITS, name, number)
    for name, (soft, hard) in RESOURCES.items():
        registry.set_value(f"{LIMITS}\\{name}", "Soft", soft, ValueKind.REG_QWORD)
        registry.set_value(f"{LIMITS}\\{name}", "Hard", hard, ValueKind.REG_QWORD)
    registry.create_key(MOUNTS)
    for device in DEVICE_LIST:
        key = registry.create_key(f"{DEVICES}\\{device.path}")
        registry.set_value(key, "Path", device.path)
        registry.set_value(key, "Mode", device.mode)
        if device.target:
            registry.set_value(key, "Target", device.target)
        else:
            registry.set_value(key, "Driver", device.driver)
            registry.set_value(key, "Major", device.major)
            registry.set_value(key, "Minor", device.minor)


def add_mount(registry: Registry, source: str, target: str, kind: str, options: str) -> None:
    """Append a row to the mount list."""
    taken = [int(key.name) for key in registry.subkeys(MOUNTS) if key.name.isdecimal()]
    key = registry.create_key(f"{MOUNTS}\\{max(taken, default=-1) + 1:04d}")
    for name, text in (("Source", source), ("Target", target), ("Type", kind), ("Options", options)):
        registry.set_value(key, name, text)
