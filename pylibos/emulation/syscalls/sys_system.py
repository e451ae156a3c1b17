"""The machine as a guest sees it: names, uptime and memory, and the privileged calls no guest may make.

Host and domain name live in the registry, so every guest of a sandbox sees the same and a guest root may change them; the rest is
asked of the host. Source: Linux 6.18 kernel/sys.c (newuname, sethostname, do_sysinfo).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from pylibos.abi.errno import Errno
from pylibos.abi.process import PER_LINUX32, UNAME26
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.process import machine
from pylibos.emulation.security.capabilities import Capability
from pylibos.emulation.syscalls.params import Address, Int, OutPtr
from pylibos.emulation.syscalls.table import Route, Support, refused, syscall

if TYPE_CHECKING:
    from pylibos.emulation.process.thread import Thread

_NAME_SIZE: Final = 65
"""__NEW_UTS_LEN + 1: each of the six fields of struct new_utsname."""
_NAME_MAX: Final = 64
_SYSINFO: Final = struct.Struct("<qQQQQQQQQQHHxxxxQQIxxxx")
"""struct sysinfo, 112 bytes: uptime loads[3] totalram freeram sharedram bufferram totalswap freeswap procs pad totalhigh freehigh
mem_unit; sizes in mem_unit bytes, loads in 1/65536."""


@syscall("uname", number=63, route=Route.NOTIFY, support=Support.FULL)
def sys_uname(thread: Thread, name: OutPtr[bytes]) -> None:
    """uname(2). Compare Linux kernel/sys.c:newuname(). Raises: EFAULT."""
    facts = machine.names(thread.executive)
    personality = thread.process.personality
    name.write(b"".join(
        field[:_NAME_MAX].ljust(_NAME_SIZE, b"\0")
        for field in (
            b"Linux",
            facts.host,
            _release_2_6(facts.release) if personality & UNAME26 else facts.release,
            facts.version,
            b"i686" if personality & 0xFF == PER_LINUX32 else b"x86_64",
            facts.domain,
        )
    ))  # fmt: skip


def _release_2_6(release: bytes) -> bytes:
    """UNAME26: 6.18.1-x becomes 2.6.78-x (kernel/sys.c:override_release: 60 + the minor number, and what follows the digits)."""
    minor = release.split(b".", 2)[1:2]
    digits = minor[0] if minor and minor[0].isdigit() else b"0"
    return b"2.6.%d%s" % (60 + int(digits), release.lstrip(b"0123456789."))


@syscall("sethostname", number=170, route=Route.NOTIFY, support=Support.FULL)
def sys_sethostname(thread: Thread, name: Address, size: Int) -> None:
    """sethostname(2): of the sandbox. Compare Linux kernel/sys.c. Raises: EPERM CAP_SYS_ADMIN missing; EINVAL size; EFAULT."""
    machine.set_host_name(thread.executive, _new_name(thread, name, size))


@syscall("setdomainname", number=171, route=Route.NOTIFY, support=Support.FULL)
def sys_setdomainname(thread: Thread, name: Address, size: Int) -> None:
    """setdomainname(2): of the sandbox. Compare Linux kernel/sys.c. Raises: EPERM, EINVAL, EFAULT as sethostname."""
    machine.set_domain_name(thread.executive, _new_name(thread, name, size))


def _new_name(thread: Thread, address: int, size: int) -> bytes:
    if not thread.process.credentials.has_capability(Capability.SYS_ADMIN):
        raise SyscallError(Errno.EPERM)
    if not 0 <= size <= _NAME_MAX:
        raise SyscallError(Errno.EINVAL)
    raw = thread.memory.read(address, size) if size else b""
    return raw.partition(b"\0")[0]


@syscall("sysinfo", number=99, route=Route.NOTIFY, support=Support.FULL)
def sys_sysinfo(thread: Thread, information: OutPtr[bytes]) -> None:
    """sysinfo(2): memory, load and uptime of the host, processes of the sandbox. Compare kernel/sys.c:do_sysinfo(). Raises: EFAULT."""
    executive = thread.executive
    memory = machine.memory_information(executive)
    information.write(_SYSINFO.pack(
        machine.uptime_seconds(executive),
        *machine.load_averages(executive),
        memory.get(b"MemTotal", 0),
        memory.get(b"MemFree", 0),
        memory.get(b"Shmem", 0),
        memory.get(b"Buffers", 0),
        memory.get(b"SwapTotal", 0),
        memory.get(b"SwapFree", 0),
        min(executive.processes.thread_count(), 0xFFFF),
        0,
        0,
        0,
        1,
    ))  # fmt: skip


refused("syslog", 103, Errno.EPERM, why="the kernel's log is the host's; what Linux answers under dmesg_restrict")
