"""Who a process is: user and group ids, supplementary groups, capabilities.

Everything here lives in the guest's own view (security/credentials.py owns the rules): a guest's root is nobody outside. Nothing is
ever forwarded. Source: Linux 6.18 kernel/sys.c, kernel/groups.c, kernel/capability.c.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.security.credentials import GROUPS_MAX
from pylibos.emulation.syscalls.params import Address, Int, OutPtr, UInt
from pylibos.emulation.syscalls.table import Route, Support, syscall

if TYPE_CHECKING:
    from pylibos.emulation.process.thread import Thread
    from pylibos.emulation.security.credentials import Credentials

_CAP_VERSION_1: Final = 0x19980330
_CAP_VERSION_2: Final = 0x20071026
_CAP_VERSION_3: Final = 0x20080522
_CAP_HEADER: Final = struct.Struct("<Ii")
_CAP_WORDS: Final = struct.Struct("<III")
"""effective, permitted, inheritable: one 32-bit third of a capability set each."""
_IDS: Final = struct.Struct("<I")
_LOW: Final = 0xFFFFFFFF


@syscall("getuid", number=102, route=Route.NOTIFY, support=Support.FULL)
def sys_getuid(thread: Thread) -> int:
    """getuid(2). Compare Linux kernel/sys.c."""
    return thread.process.credentials.ruid


@syscall("getgid", number=104, route=Route.NOTIFY, support=Support.FULL)
def sys_getgid(thread: Thread) -> int:
    """getgid(2). Compare Linux kernel/sys.c."""
    return thread.process.credentials.rgid


@syscall("geteuid", number=107, route=Route.NOTIFY, support=Support.FULL)
def sys_geteuid(thread: Thread) -> int:
    """geteuid(2). Compare Linux kernel/sys.c."""
    return thread.process.credentials.euid


@syscall("getegid", number=108, route=Route.NOTIFY, support=Support.FULL)
def sys_getegid(thread: Thread) -> int:
    """getegid(2). Compare Linux kernel/sys.c."""
    return thread.process.credentials.egid


@syscall("setuid", number=105, route=Route.NOTIFY, support=Support.FULL)
def sys_setuid(thread: Thread, uid: UInt) -> None:
    """setuid(2). Compare Linux kernel/sys.c:__sys_setuid().

    Raises: EINVAL uid is -1; EPERM uid is neither real nor saved and CAP_SETUID is missing.
    """
    thread.process.credentials.setuid(uid)


@syscall("setgid", number=106, route=Route.NOTIFY, support=Support.FULL)
def sys_setgid(thread: Thread, gid: UInt) -> None:
    """setgid(2). Compare Linux kernel/sys.c:__sys_setgid(). Raises: EINVAL, EPERM as setuid."""
    thread.process.credentials.setgid(gid)


@syscall("setreuid", number=113, route=Route.NOTIFY, support=Support.FULL)
def sys_setreuid(thread: Thread, ruid: UInt, euid: UInt) -> None:
    """setreuid(2). Compare Linux kernel/sys.c:__sys_setreuid(). Raises: EPERM not one of the current ids."""
    thread.process.credentials.setreuid(ruid, euid)


@syscall("setregid", number=114, route=Route.NOTIFY, support=Support.FULL)
def sys_setregid(thread: Thread, rgid: UInt, egid: UInt) -> None:
    """setregid(2). Compare Linux kernel/sys.c:__sys_setregid(). Raises: EPERM not one of the current ids."""
    thread.process.credentials.setregid(rgid, egid)


@syscall("setresuid", number=117, route=Route.NOTIFY, support=Support.FULL)
def sys_setresuid(thread: Thread, ruid: UInt, euid: UInt, suid: UInt) -> None:
    """setresuid(2). Compare Linux kernel/sys.c:__sys_setresuid(). Raises: EPERM not one of the current ids."""
    thread.process.credentials.setresuid(ruid, euid, suid)


@syscall("setresgid", number=119, route=Route.NOTIFY, support=Support.FULL)
def sys_setresgid(thread: Thread, rgid: UInt, egid: UInt, sgid: UInt) -> None:
    """setresgid(2). Compare Linux kernel/sys.c:__sys_setresgid(). Raises: EPERM not one of the current ids."""
    thread.process.credentials.setresgid(rgid, egid, sgid)


@syscall("getresuid", number=118, route=Route.NOTIFY, support=Support.FULL)
def sys_getresuid(thread: Thread, ruid: OutPtr[bytes], euid: OutPtr[bytes], suid: OutPtr[bytes]) -> None:
    """getresuid(2). Compare Linux kernel/sys.c. Raises: EFAULT a pointer is not writable."""
    who = thread.process.credentials
    ruid.write(_IDS.pack(who.ruid))
    euid.write(_IDS.pack(who.euid))
    suid.write(_IDS.pack(who.suid))


@syscall("getresgid", number=120, route=Route.NOTIFY, support=Support.FULL)
def sys_getresgid(thread: Thread, rgid: OutPtr[bytes], egid: OutPtr[bytes], sgid: OutPtr[bytes]) -> None:
    """getresgid(2). Compare Linux kernel/sys.c. Raises: EFAULT a pointer is not writable."""
    who = thread.process.credentials
    rgid.write(_IDS.pack(who.rgid))
    egid.write(_IDS.pack(who.egid))
    sgid.write(_IDS.pack(who.sgid))


@syscall("setfsuid", number=122, route=Route.NOTIFY, support=Support.FULL)
def sys_setfsuid(thread: Thread, uid: UInt) -> int:
    """setfsuid(2): the old value in every case. Compare Linux kernel/sys.c:__sys_setfsuid()."""
    return thread.process.credentials.setfsuid(uid)


@syscall("setfsgid", number=123, route=Route.NOTIFY, support=Support.FULL)
def sys_setfsgid(thread: Thread, gid: UInt) -> int:
    """setfsgid(2): the old value in every case. Compare Linux kernel/sys.c:__sys_setfsgid()."""
    return thread.process.credentials.setfsgid(gid)


@syscall("getgroups", number=115, route=Route.NOTIFY, support=Support.FULL)
def sys_getgroups(thread: Thread, count: Int, groups: OutPtr[bytes]) -> int:
    """getgroups(2). Compare Linux kernel/groups.c.

    Raises: EINVAL count is negative or too small for all groups; EFAULT groups is not writable.
    """
    if count < 0:
        raise SyscallError(Errno.EINVAL)
    current = thread.process.credentials.groups
    if count == 0:
        return len(current)
    if len(current) > count:
        raise SyscallError(Errno.EINVAL)
    if current:
        groups.write(struct.pack(f"<{len(current)}I", *current))
    return len(current)


@syscall("setgroups", number=116, route=Route.NOTIFY, support=Support.FULL)
def sys_setgroups(thread: Thread, count: Int, groups: Address) -> None:
    """setgroups(2). Compare Linux kernel/groups.c.

    Raises: EPERM CAP_SETGID is missing; EINVAL more than NGROUPS_MAX or an id is -1; EFAULT groups is not readable.
    """
    credentials = thread.process.credentials
    # Checked before the copy: a caller without the right costs us nothing.
    if not credentials.has_capability(6):
        raise SyscallError(Errno.EPERM)
    if not 0 <= count <= GROUPS_MAX:
        raise SyscallError(Errno.EINVAL)
    raw = thread.memory.read(groups, 4 * count) if count else b""
    credentials.setgroups(struct.unpack(f"<{count}I", raw))


def _capability_words(thread: Thread, header: Address) -> tuple[int, int] | None:
    """(number of 32-bit words per set, pid) of a capability header; None when the version is unknown (ours has been written back)."""
    version, pid = _CAP_HEADER.unpack(thread.memory.read(header, _CAP_HEADER.size))
    if version == _CAP_VERSION_1:
        return 1, pid
    if version in (_CAP_VERSION_2, _CAP_VERSION_3):
        return 2, pid
    thread.memory.write(header, _IDS.pack(_CAP_VERSION_3))
    return None


@syscall("capget", number=125, route=Route.NOTIFY, support=Support.FULL)
def sys_capget(thread: Thread, header: Address, data: OutPtr[bytes]) -> None:
    """capget(2). Compare Linux kernel/capability.c.

    Raises: EINVAL unknown version (the one we speak is stored in the header; no error when data is NULL) or pid negative;
    ESRCH no such process; EFAULT.
    """
    layout = _capability_words(thread, header)
    if layout is None:
        if data.is_null:
            return
        raise SyscallError(Errno.EINVAL)
    if data.is_null:
        return
    words, pid = layout
    if pid < 0:
        raise SyscallError(Errno.EINVAL)
    who: Credentials = thread.process.credentials
    if pid and pid != thread.tid:
        target = thread.executive.processes.process_of_task(pid)
        if target is None:
            raise SyscallError(Errno.ESRCH)
        who = target.credentials
    sets = (who.effective, who.permitted, who.inheritable)
    data.write(b"".join(_CAP_WORDS.pack(*(value >> 32 * word & _LOW for value in sets)) for word in range(words)))


@syscall("capset", number=126, route=Route.NOTIFY, support=Support.FULL)
def sys_capset(thread: Thread, header: Address, data: Address) -> None:
    """capset(2). Compare Linux kernel/capability.c and security/commoncap.c:cap_capset().

    Raises: EINVAL unknown version; EPERM another process, or a set that may not grow; EFAULT.
    """
    layout = _capability_words(thread, header)
    if layout is None:
        raise SyscallError(Errno.EINVAL)
    words, pid = layout
    if pid not in (0, thread.tid):
        raise SyscallError(Errno.EPERM)
    effective = permitted = inheritable = 0
    for word, parts in enumerate(_CAP_WORDS.iter_unpack(thread.memory.read(data, _CAP_WORDS.size * words))):
        effective |= parts[0] << 32 * word
        permitted |= parts[1] << 32 * word
        inheritable |= parts[2] << 32 * word
    thread.process.credentials.set_capabilities(effective, permitted, inheritable)
