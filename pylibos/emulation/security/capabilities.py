"""Linux capability numbers and the sets the kernel treats specially.

Pure data. Source: Linux include/uapi/linux/capability.h (6.18) and include/linux/capability.h (CAP_FS_MASK).
"""

from __future__ import annotations

import enum
from typing import Final


class Capability(enum.IntEnum):
    """Capability numbers; ``1 << number`` is the bit in a capability set."""

    CHOWN = 0
    DAC_OVERRIDE = 1
    DAC_READ_SEARCH = 2
    FOWNER = 3
    FSETID = 4
    KILL = 5
    SETGID = 6
    SETUID = 7
    SETPCAP = 8
    LINUX_IMMUTABLE = 9
    NET_BIND_SERVICE = 10
    NET_BROADCAST = 11
    NET_ADMIN = 12
    NET_RAW = 13
    IPC_LOCK = 14
    IPC_OWNER = 15
    SYS_MODULE = 16
    SYS_RAWIO = 17
    SYS_CHROOT = 18
    SYS_PTRACE = 19
    SYS_PACCT = 20
    SYS_ADMIN = 21
    SYS_BOOT = 22
    SYS_NICE = 23
    SYS_RESOURCE = 24
    SYS_TIME = 25
    SYS_TTY_CONFIG = 26
    MKNOD = 27
    LEASE = 28
    AUDIT_WRITE = 29
    AUDIT_CONTROL = 30
    SETFCAP = 31
    MAC_OVERRIDE = 32
    MAC_ADMIN = 33
    SYSLOG = 34
    WAKE_ALARM = 35
    BLOCK_SUSPEND = 36
    AUDIT_READ = 37
    PERFMON = 38
    BPF = 39
    CHECKPOINT_RESTORE = 40


LAST_CAPABILITY: Final = int(Capability.CHECKPOINT_RESTORE)
FULL_SET: Final = (1 << (LAST_CAPABILITY + 1)) - 1

FS_SET: Final = sum(
    1 << capability
    for capability in (
        Capability.CHOWN,
        Capability.MKNOD,
        Capability.DAC_OVERRIDE,
        Capability.DAC_READ_SEARCH,
        Capability.FOWNER,
        Capability.FSETID,
        Capability.LINUX_IMMUTABLE,
        Capability.MAC_OVERRIDE,
    )
)
"""What setfsuid(2) drops when fsuid leaves 0 and regains (from permitted) when it returns."""


class SecureBits(enum.IntFlag):
    """securebits of a thread (capabilities(7)); each ``*_LOCKED`` bit makes its neighbour unchangeable."""

    NOROOT = 1 << 0
    NOROOT_LOCKED = 1 << 1
    NO_SETUID_FIXUP = 1 << 2
    NO_SETUID_FIXUP_LOCKED = 1 << 3
    KEEP_CAPS = 1 << 4
    KEEP_CAPS_LOCKED = 1 << 5
    NO_CAP_AMBIENT_RAISE = 1 << 6
    NO_CAP_AMBIENT_RAISE_LOCKED = 1 << 7


SECURE_ALL_BITS: Final = 0b01010101
SECURE_ALL_LOCKS: Final = 0b10101010
