"""Signals, interval timers and POSIX timers.

Dispositions, masks, queues and delivery are the host kernel's: what only touches the calling thread is forwarded. Sending is decided
here, because its argument names another process: a target must be in the process table and permitted by the guest's own credentials.

How a permitted signal is sent: to one living process by FORWARD (sender and synchronous delivery are then exact), because its number
cannot come to mean another process within the call: the host would have to hand out all its other numbers first. To several at once
by FORWARD only when the guests have a PID name space of their own and all targets are permitted; otherwise one by one through the
host ABI. An adversarial guest can send any numbers here; none reaches a process that is not in the table.

Source: Linux 6.18 kernel/signal.c, kernel/time/posix-timers.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pylibos.abi import process as c
from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.outcome import FORWARD, Forward
from pylibos.emulation.security.capabilities import Capability
from pylibos.emulation.signals.targets import everyone, group_targets, may_signal, valid_signal
from pylibos.emulation.syscalls.params import Address, Int, UInt
from pylibos.emulation.syscalls.sys_time import check_clock
from pylibos.emulation.syscalls.table import Route, Support, forwarded, syscall
from pylibos.monitor.host_abi import HostError

if TYPE_CHECKING:
    from pylibos.emulation.process.process import Process
    from pylibos.emulation.process.thread import Thread

_INT_MIN: Final = -0x80000000


@syscall("kill", number=62, route=Route.NOTIFY, support=Support.FULL)
def sys_kill(thread: Thread, pid: Int, signal: Int) -> Forward | None:
    """kill(2). Compare Linux kernel/signal.c:kill_something_info().

    Raises: EINVAL no such signal; ESRCH no such process or group in the sandbox (also pid INT_MIN); EPERM not one may be signalled.
    """
    table = thread.executive.processes
    sender = thread.process
    if pid > 0:
        target = table.process_of_task(pid)
        if target is None and pid == table.above:
            _ask_above(thread, signal)
            return None
        # Linux looks the target up first: a bad signal to nobody is ESRCH.
        if target is None or not table.exists(target):
            raise SyscallError(Errno.ESRCH)
        return _one(thread, target, signal)
    if pid == _INT_MIN:
        raise SyscallError(Errno.ESRCH)
    targets = everyone(table, sender) if pid == -1 else group_targets(table, -pid if pid else sender.pgid)
    if not targets:
        raise SyscallError(Errno.ESRCH)
    if not valid_signal(signal):
        raise SyscallError(Errno.EINVAL)
    return _several(thread, pid, targets, signal)


def _ask_above(thread: Thread, signal: int) -> None:
    """What kill(2) says of the process above the first: of the sandbox's user, and like PID 1 of a name space deaf to what it is sent.

    Programs ask with signal 0 whether their parent still lives. Nothing is sent, whatever the number is on the host. Raises: EINVAL, EPERM.
    """
    if not valid_signal(signal):
        raise SyscallError(Errno.EINVAL)
    first, mine = thread.executive.processes.init, thread.process.credentials
    if first is None or not (first.credentials.ruid in (mine.euid, mine.ruid) or mine.has_capability(Capability.KILL)):
        raise SyscallError(Errno.EPERM)


def _one(thread: Thread, target: Process, signal: int) -> Forward | None:
    if not valid_signal(signal):
        raise SyscallError(Errno.EINVAL)
    if not may_signal(thread.process, target, signal):
        raise SyscallError(Errno.EPERM)
    if target.is_zombie and not thread.executive.private_pids:
        # Allowed and without effect; its number is the one kind that may be given away any moment.
        return None
    return FORWARD


def _several(thread: Thread, pid: int, targets: list[Process], signal: int) -> Forward | None:
    sender = thread.process
    permitted = [target for target in targets if may_signal(sender, target, signal)]
    if not permitted:
        if pid == -1:
            return None  # kill(-1) reports success when there was somebody and nobody permitted
        raise SyscallError(Errno.EPERM)
    if thread.executive.private_pids and len(permitted) == len(targets):
        return FORWARD
    host = thread.executive.host
    # The sender last: what it does to itself must not keep the others from getting theirs.
    for target in sorted(permitted, key=lambda process: process is sender):
        if target.is_zombie or not signal:
            continue
        try:
            host.process_signal(target.host_pid, 0, signal)
        except HostError as error:
            if error.errno != Errno.ESRCH:
                raise
    return None


@syscall("tkill", number=200, route=Route.NOTIFY, support=Support.FULL)
def sys_tkill(thread: Thread, tid: Int, signal: Int) -> Forward | None:
    """tkill(2). Compare Linux kernel/signal.c:do_tkill(). Raises: EINVAL, ESRCH, EPERM."""
    if tid <= 0:
        raise SyscallError(Errno.EINVAL)
    return _to_thread(thread, 0, tid, signal)


@syscall("tgkill", number=234, route=Route.NOTIFY, support=Support.FULL)
def sys_tgkill(thread: Thread, tgid: Int, tid: Int, signal: Int) -> Forward | None:
    """tgkill(2). Compare Linux kernel/signal.c:do_tkill(). Raises: EINVAL, ESRCH no such thread in tgid, EPERM."""
    if tgid <= 0 or tid <= 0:
        raise SyscallError(Errno.EINVAL)
    return _to_thread(thread, tgid, tid, signal)


def _to_thread(thread: Thread, tgid: int, tid: int, signal: int) -> Forward | None:
    table = thread.executive.processes
    target = table.thread(tid)
    process = target.process if target is not None else table.process(tid)
    if process is None or (tgid and process.pid != tgid) or (target is None and not table.exists(process)):
        raise SyscallError(Errno.ESRCH)
    return _one(thread, process, signal)


@syscall("rt_sigqueueinfo", number=129, route=Route.TRACE, support=Support.FULL)
def sys_rt_sigqueueinfo(thread: Thread, tgid: Int, signal: Int, information: Address) -> Forward | None:
    """rt_sigqueueinfo(2). The kernel itself refuses a forged si_code. Compare Linux kernel/signal.c.

    Raises: ESRCH no such process in the sandbox; EINVAL no such signal; EPERM.
    """
    table = thread.executive.processes
    target = table.process_of_task(tgid) if tgid > 0 else None
    if target is None or not table.exists(target):
        raise SyscallError(Errno.ESRCH)
    return _one(thread, target, signal)


@syscall("rt_tgsigqueueinfo", number=297, route=Route.TRACE, support=Support.FULL)
def sys_rt_tgsigqueueinfo(thread: Thread, tgid: Int, tid: Int, signal: Int, information: Address) -> Forward | None:
    """rt_tgsigqueueinfo(2). Compare Linux kernel/signal.c. Raises: EINVAL, ESRCH, EPERM as tgkill."""
    if tgid <= 0 or tid <= 0:
        raise SyscallError(Errno.EINVAL)
    return _to_thread(thread, tgid, tid, signal)


@syscall("timer_create", number=222, route=Route.TRACE, support=Support.FULL)
def sys_timer_create(thread: Thread, clock: Int, event: Address, timer: Address) -> Forward:
    """timer_create(2). The kernel confines SIGEV_THREAD_ID to the caller's own threads. Compare kernel/time/posix-timers.c.

    Raises: EINVAL no such clock, or the CPU clock of a process outside the sandbox.
    """
    check_clock(thread, clock)
    return FORWARD


_TIMER: Final = "a timer of the calling process; its pointers carry no authority"
_DESCRIPTOR: Final = "a descriptor of the caller's own; the pointers carry no authority"

forwarded("alarm", 37, route=Route.TRACE, why=_TIMER)
forwarded("getitimer", 36, route=Route.TRACE, why=_TIMER)
forwarded("setitimer", 38, route=Route.TRACE, why=_TIMER)
forwarded("timer_settime", 223, route=Route.TRACE, why=_TIMER)
forwarded("timer_gettime", 224, route=Route.TRACE, why=_TIMER)
forwarded("timer_getoverrun", 225, route=Route.TRACE, why=_TIMER)
forwarded("timer_delete", 226, route=Route.TRACE, why=_TIMER)
forwarded("timerfd_create", 283, route=Route.TRACE, why=_DESCRIPTOR)
forwarded("timerfd_settime", 286, route=Route.TRACE, why=_DESCRIPTOR)
forwarded("timerfd_gettime", 287, route=Route.TRACE, why=_DESCRIPTOR)
forwarded("signalfd", 282, route=Route.TRACE, why=_DESCRIPTOR)
forwarded("signalfd4", 289, route=Route.TRACE, why=_DESCRIPTOR)


# -- process descriptors -------------------------------------------------------------------------------------------------
@syscall("pidfd_open", number=434, route=Route.NOTIFY, support=Support.FULL)
def sys_pidfd_open(thread: Thread, pid: Int, flags: UInt) -> Forward:
    """pidfd_open(2): the host's descriptor of a guest; poll and waitid take it natively. Compare Linux kernel/pid.c.

    Its number cannot come to mean another process within the call (see the module). Raises: EINVAL; ESRCH nobody in the sandbox.
    """
    if pid <= 0 or flags & ~(c.PIDFD_NONBLOCK | c.PIDFD_THREAD):
        raise SyscallError(Errno.EINVAL)
    table = thread.executive.processes
    target = table.process_of_task(pid)
    if target is None or not table.exists(target):
        raise SyscallError(Errno.ESRCH)
    return FORWARD
