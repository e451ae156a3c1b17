"""Clocks and sleeping.

The host's clocks are the guest's. Reading and sleeping are forwarded; setting is refused as Linux refuses it to a process without
CAP_SYS_TIME, which no guest has. A CPU clock of another process is confined to the sandbox.

Source: Linux 6.18 kernel/time/{time,posix-timers,posix-cpu-timers,ntp}.c.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.outcome import FORWARD, Forward
from pylibos.emulation.syscalls.params import Address, Int
from pylibos.emulation.syscalls.table import Route, Support, forwarded, syscall

if TYPE_CHECKING:
    from pylibos.emulation.process.thread import Thread

_CLOCK_FD: Final = 3
_CLOCK_COUNT: Final = 16
"""Clock numbers below exist or fail with EINVAL on the host; none carries authority."""

_TIMEX_SIZE: Final = 208
_STA_UNSYNC: Final = 0x40
_STA_NANO: Final = 0x2000
_TIME_ERROR: Final = 5
_TIMEX: Final = struct.Struct("<I4xqqqqi4xqqqqqq")
"""modes offset freq maxerror esterror status constant precision tolerance tv_sec tv_nsec tick; 11 more fields stay zero."""


def check_clock(thread: Thread, clock: int) -> None:
    """Refuse (EINVAL) the CPU clock of a process or thread that is not in the sandbox, and clocks of devices."""
    if clock >= 0:
        return
    task = ~(clock >> 3)
    if clock & 7 == _CLOCK_FD or task < 0:
        raise SyscallError(Errno.EINVAL)
    if task:
        table = thread.executive.processes
        if table.thread(task) is None and table.process(task) is None:
            raise SyscallError(Errno.EINVAL)


@syscall("clock_getres", number=229, route=Route.TRACE, support=Support.FULL)
def sys_clock_getres(thread: Thread, clock: Int, result: Address) -> Forward:
    """clock_getres(2). Compare Linux kernel/time/posix-timers.c. Raises: EINVAL no such clock."""
    check_clock(thread, clock)
    return FORWARD


@syscall("clock_gettime", number=228, route=Route.TRACE, support=Support.FULL)
def sys_clock_gettime(thread: Thread, clock: Int, result: Address) -> Forward:
    """clock_gettime(2): what the vDSO has not answered. Compare Linux kernel/time/posix-timers.c. Raises: EINVAL no such clock."""
    check_clock(thread, clock)
    return FORWARD


@syscall("adjtimex", number=159, route=Route.NOTIFY, support=Support.PARTIAL, note="reports an unsynchronised clock; setting is EPERM")
def sys_adjtimex(thread: Thread, buffer: Address) -> int:
    """adjtimex(2). Compare Linux kernel/time/ntp.c:__do_adjtimex(). Raises: EPERM anything is to be set; EFAULT."""
    return _query_adjustment(thread, buffer)


@syscall("clock_adjtime", number=305, route=Route.NOTIFY, support=Support.PARTIAL, note="as adjtimex; only CLOCK_REALTIME")
def sys_clock_adjtime(thread: Thread, clock: Int, buffer: Address) -> int:
    """clock_adjtime(2). Compare Linux kernel/time/posix-timers.c. Raises: EOPNOTSUPP another clock; EPERM; EFAULT."""
    if clock != 0:
        raise SyscallError(Errno.EOPNOTSUPP if 0 < clock < _CLOCK_COUNT else Errno.EINVAL)
    return _query_adjustment(thread, buffer)


def _query_adjustment(thread: Thread, buffer: int) -> int:
    modes = int.from_bytes(thread.memory.read(buffer, 4), "little")
    if modes:
        raise SyscallError(Errno.EPERM)
    now = thread.executive.host.clock_read(0)
    seconds, nanoseconds = divmod(now, 1_000_000_000)
    record = _TIMEX.pack(
        0, 0, 0, 16_000_000, 16_000_000, _STA_UNSYNC | _STA_NANO, 2, 1, 32_768_000, seconds, nanoseconds, 10_000
    )  # fmt: skip
    thread.memory.write(buffer, record.ljust(_TIMEX_SIZE, b"\0"))
    return _TIME_ERROR


_READ: Final = "reads a clock the guest shares with the host"

forwarded("time", 201, route=Route.TRACE, why=_READ)
forwarded("gettimeofday", 96, route=Route.TRACE, why=_READ)
forwarded("times", 100, route=Route.TRACE, why="reads the caller's own CPU times")
