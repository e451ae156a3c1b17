"""Resource limits, usage, priorities and scheduling.

Limits and affinity go through the host ABI by process. What only concerns the caller or one other guest is forwarded once the pid has
been found in the table; sets of processes (groups, users) are walked here, because the host's sets may hold others.

A hard limit can be lowered, never raised: the sandbox's own bounds stand even against a guest's root.

Source: Linux 6.18 kernel/sys.c (do_prlimit, set_one_prio), kernel/sched/syscalls.c, block/ioprio.c.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from pylibos.abi import process as c
from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.outcome import FORWARD, Forward
from pylibos.emulation.security.capabilities import Capability
from pylibos.emulation.syscalls.params import Address, Int, OutPtr, Pid, UInt
from pylibos.emulation.syscalls.table import Route, Support, forwarded, syscall

if TYPE_CHECKING:
    from pylibos.emulation.process.process import Process
    from pylibos.emulation.process.thread import Thread

_LIMIT: Final = struct.Struct("<QQ")
"""struct rlimit64: soft, hard; all ones is infinity."""
_MASK_MAX: Final = 1024
"""Bytes of a processor mask we look at: 8192 processors, Linux's NR_CPUS limit."""
_PRIORITY_BASE: Final = 20
"""getpriority answers 20 - nice so that no result looks like an error."""


# -- limits ---------------------------------------------------------------------------------------------------------------
def _infinite(value: int) -> int:
    """Between the guest's all-ones and the host ABI's -1."""
    return -1 if value == c.RLIM_INFINITY else value


def _limits(thread: Thread, process: Process, resource: int, new: bytes | None) -> bytes:
    """Set (new: struct rlimit64) and report the old limits of a process. Raises EINVAL, EPERM."""
    if resource >= c.RLIMIT_COUNT:
        raise SyscallError(Errno.EINVAL)
    host = thread.executive.host
    if new is None:
        old = host.process_limits(process.host_pid, resource, None)
    else:
        soft, hard = _LIMIT.unpack(new)
        if soft > hard:
            raise SyscallError(Errno.EINVAL)
        current_hard = host.process_limits(process.host_pid, resource, None)[1]
        if hard > current_hard & c.RLIM_INFINITY:
            raise SyscallError(Errno.EPERM)
        old = host.process_limits(process.host_pid, resource, (_infinite(soft), _infinite(hard)))
    return _LIMIT.pack(old[0] & c.RLIM_INFINITY, old[1] & c.RLIM_INFINITY)


@syscall("getrlimit", number=97, route=Route.NOTIFY, support=Support.FULL)
def sys_getrlimit(thread: Thread, resource: UInt, limits: OutPtr[bytes]) -> None:
    """getrlimit(2). Compare Linux kernel/sys.c:do_prlimit(). Raises: EINVAL no such resource; EFAULT."""
    limits.write(_limits(thread, thread.process, resource, None))


@syscall("setrlimit", number=160, route=Route.NOTIFY, support=Support.PARTIAL, note="a hard limit cannot be raised, not even by root")
def sys_setrlimit(thread: Thread, resource: UInt, limits: Address) -> None:
    """setrlimit(2). Compare Linux kernel/sys.c:do_prlimit(). Raises: EINVAL soft > hard; EPERM hard limit raised; EFAULT."""
    _limits(thread, thread.process, resource, thread.memory.read(limits, _LIMIT.size))


@syscall("prlimit64", number=302, route=Route.NOTIFY, support=Support.PARTIAL, note="as setrlimit")
def sys_prlimit64(thread: Thread, pid: Pid, resource: UInt, new: Address, old: OutPtr[bytes]) -> None:
    """prlimit(2). Compare Linux kernel/sys.c. Raises: ESRCH; EPERM another user's process, or a hard limit raised; EINVAL; EFAULT."""
    process = _process(thread, pid)
    mine, theirs = thread.process.credentials, process.credentials
    if process is not thread.process and not mine.has_capability(Capability.SYS_RESOURCE):
        same = {theirs.ruid, theirs.euid, theirs.suid} == {mine.ruid} and {theirs.rgid, theirs.egid, theirs.sgid} == {mine.rgid}
        if not same:
            raise SyscallError(Errno.EPERM)
    wanted = thread.memory.read(new, _LIMIT.size) if new else None
    before = _limits(thread, process, resource, wanted)
    if old:
        old.write(before)


def _process(thread: Thread, pid: int) -> Process:
    """The live process a pid argument means (0: the caller). Raises ESRCH."""
    if pid == 0:
        return thread.process
    process = thread.executive.processes.process_of_task(pid) if pid > 0 else None
    if process is None or process.is_zombie:
        raise SyscallError(Errno.ESRCH)
    return process


# -- priorities -------------------------------------------------------------------------------------------------------------
def _members(thread: Thread, which: int, who: int) -> list[Process]:
    """The live processes PRIO_PROCESS, PRIO_PGRP or PRIO_USER names. Raises EINVAL, ESRCH."""
    table = thread.executive.processes
    found: Iterable[Process]
    if which == c.PRIO_PROCESS:
        found = [_process(thread, who)]
    elif which == c.PRIO_PGRP:
        found = table.group(who or thread.process.pgid)
    elif which == c.PRIO_USER:
        uid = who & 0xFFFFFFFF or thread.process.credentials.ruid
        found = (process for process in table.live() if process.credentials.ruid == uid)
    else:
        raise SyscallError(Errno.EINVAL)
    members = [process for process in found if not process.is_zombie]
    if not members:
        raise SyscallError(Errno.ESRCH)
    return members


def _threads(members: Iterable[Process]) -> list[Thread]:
    return [thread for process in members for thread in process.threads.values()]


def _addressed(thread: Thread, which: int, who: int) -> list[Thread]:
    """The threads a priority call is about: PRIO_PROCESS means one thread, the others all of theirs."""
    if which == c.PRIO_PROCESS:
        return [_thread(thread, who)]
    return _threads(_members(thread, which, who))


@syscall("getpriority", number=140, route=Route.NOTIFY, support=Support.FULL)
def sys_getpriority(thread: Thread, which: Int, who: Int) -> int:
    """getpriority(2): 20 - nice, the best of the set. Compare Linux kernel/sys.c. Raises: EINVAL, ESRCH."""
    host = thread.executive.host
    return max(_PRIORITY_BASE - host.thread_priority(other.host_tid, None) for other in _addressed(thread, which, who))


@syscall("setpriority", number=141, route=Route.NOTIFY, support=Support.PARTIAL, note="nice values cannot be lowered, not even by root")
def sys_setpriority(thread: Thread, which: Int, who: Int, nice: Int) -> None:
    """setpriority(2). Compare Linux kernel/sys.c:set_one_prio(). Raises: EINVAL, ESRCH; EPERM another user's; EACCES nice lowered."""
    nice = max(-20, min(19, nice))
    host = thread.executive.host
    mine = thread.process.credentials
    for other in _addressed(thread, which, who):
        theirs = other.process.credentials
        if mine.euid not in (theirs.ruid, theirs.euid) and not mine.has_capability(Capability.SYS_NICE):
            raise SyscallError(Errno.EPERM)
        if nice < host.thread_priority(other.host_tid, None):
            raise SyscallError(Errno.EACCES)
        host.thread_priority(other.host_tid, nice)


@syscall("ioprio_set", number=251, route=Route.NOTIFY, support=Support.PARTIAL, note="IOPRIO_WHO_PROCESS only; EPERM for groups and users")
def sys_ioprio_set(thread: Thread, which: Int, who: Int, value: Int) -> Forward:
    """ioprio_set(2). Compare Linux block/ioprio.c. Raises: EINVAL, ESRCH, EPERM."""
    return _io_priority(thread, which, who)


@syscall("ioprio_get", number=252, route=Route.NOTIFY, support=Support.PARTIAL, note="IOPRIO_WHO_PROCESS only; EPERM for groups and users")
def sys_ioprio_get(thread: Thread, which: Int, who: Int) -> Forward:
    """ioprio_get(2). Compare Linux block/ioprio.c. Raises: EINVAL, ESRCH, EPERM."""
    return _io_priority(thread, which, who)


def _io_priority(thread: Thread, which: int, who: int) -> Forward:
    if which not in (1, 2, 3):
        raise SyscallError(Errno.EINVAL)
    if which != 1:
        raise SyscallError(Errno.EPERM)
    _thread(thread, who)
    return FORWARD


# -- scheduling -------------------------------------------------------------------------------------------------------------
def _thread(thread: Thread, tid: int) -> Thread:
    """The live thread a tid argument means (0: the caller). Raises ESRCH."""
    if tid == 0:
        return thread
    found = thread.executive.processes.thread(tid) if tid > 0 else None
    if found is None:
        raise SyscallError(Errno.ESRCH)
    return found


@syscall("sched_getaffinity", number=204, route=Route.NOTIFY, support=Support.FULL)
def sys_sched_getaffinity(thread: Thread, tid: Pid, size: UInt, mask: OutPtr[bytes]) -> int:
    """sched_getaffinity(2): bytes stored. Compare Linux kernel/sched/syscalls.c. Raises: EINVAL size; ESRCH; EFAULT."""
    if size & 7:
        raise SyscallError(Errno.EINVAL)
    current = thread.executive.host.thread_affinity(_thread(thread, tid).host_tid, None)
    current = current.ljust((len(current) + 7) & ~7, b"\0")
    if size < len(current):
        # Fine as long as nothing is cut off: Linux compares with the number of processors, not with its own mask's size.
        if any(current[size:]) or not size:
            raise SyscallError(Errno.EINVAL)
        current = current[:size]
    mask.write(current)
    return len(current)


@syscall("sched_setaffinity", number=203, route=Route.NOTIFY, support=Support.FULL)
def sys_sched_setaffinity(thread: Thread, tid: Pid, size: UInt, mask: Address) -> None:
    """sched_setaffinity(2). Compare Linux kernel/sched/syscalls.c. Raises: ESRCH; EPERM another user's; EINVAL no usable processor."""
    other = _thread(thread, tid)
    wanted = thread.memory.read(mask, min(size, _MASK_MAX)) if size else b""
    _check_owner(thread, other)
    if not any(wanted):
        raise SyscallError(Errno.EINVAL)
    thread.executive.host.thread_affinity(other.host_tid, wanted)


def _check_owner(thread: Thread, other: Thread) -> None:
    mine, theirs = thread.process.credentials, other.process.credentials
    if mine.euid not in (theirs.euid, theirs.ruid) and not mine.has_capability(Capability.SYS_NICE):
        raise SyscallError(Errno.EPERM)


def _scheduling(thread: Thread, tid: int, *, change: bool) -> Forward:
    """Forward a scheduler call about one guest thread: the host checks the values, the parameters carry no authority."""
    if tid < 0:
        raise SyscallError(Errno.EINVAL)
    other = _thread(thread, tid)
    if change:
        _check_owner(thread, other)
    return FORWARD


@syscall("sched_setparam", number=142, route=Route.TRACE, support=Support.FULL)
def sys_sched_setparam(thread: Thread, tid: Pid, parameters: Address) -> Forward:
    """sched_setparam(2) of a guest thread. Compare Linux kernel/sched/syscalls.c. Raises: EINVAL, ESRCH, EPERM."""
    return _scheduling(thread, tid, change=True)


@syscall("sched_getparam", number=143, route=Route.TRACE, support=Support.FULL)
def sys_sched_getparam(thread: Thread, tid: Pid, parameters: Address) -> Forward:
    """sched_getparam(2) of a guest thread. Compare Linux kernel/sched/syscalls.c. Raises: EINVAL, ESRCH."""
    return _scheduling(thread, tid, change=False)


@syscall("sched_setscheduler", number=144, route=Route.TRACE, support=Support.FULL)
def sys_sched_setscheduler(thread: Thread, tid: Pid, policy: Int, parameters: Address) -> Forward:
    """sched_setscheduler(2) of a guest thread. Compare Linux kernel/sched/syscalls.c. Raises: EINVAL, ESRCH, EPERM."""
    return _scheduling(thread, tid, change=True)


@syscall("sched_getscheduler", number=145, route=Route.NOTIFY, support=Support.FULL)
def sys_sched_getscheduler(thread: Thread, tid: Pid) -> Forward | int:
    """sched_getscheduler(2) of a guest thread. Compare Linux kernel/sched/syscalls.c. Raises: EINVAL, ESRCH."""
    if tid > 0 and tid == thread.executive.processes.above:
        return c.SCHED_OTHER
    return _scheduling(thread, tid, change=False)


@syscall("sched_rr_get_interval", number=148, route=Route.TRACE, support=Support.FULL)
def sys_sched_rr_get_interval(thread: Thread, tid: Pid, interval: Address) -> Forward:
    """sched_rr_get_interval(2) of a guest thread. Compare Linux kernel/sched/syscalls.c. Raises: EINVAL, ESRCH."""
    return _scheduling(thread, tid, change=False)


@syscall("sched_setattr", number=314, route=Route.TRACE, support=Support.FULL)
def sys_sched_setattr(thread: Thread, tid: Pid, attributes: Address, flags: UInt) -> Forward:
    """sched_setattr(2) of a guest thread. Compare Linux kernel/sched/syscalls.c. Raises: EINVAL, ESRCH, EPERM."""
    return _scheduling(thread, tid, change=True)


@syscall("sched_getattr", number=315, route=Route.TRACE, support=Support.FULL)
def sys_sched_getattr(thread: Thread, tid: Pid, attributes: Address, size: UInt, flags: UInt) -> Forward:
    """sched_getattr(2) of a guest thread. Compare Linux kernel/sched/syscalls.c. Raises: EINVAL, ESRCH."""
    return _scheduling(thread, tid, change=False)


forwarded("sched_get_priority_max", 146, route=Route.TRACE, why="a constant of the kernel")
forwarded("sched_get_priority_min", 147, route=Route.TRACE, why="a constant of the kernel")
forwarded("getrusage", 98, route=Route.TRACE, why="the caller's own usage or that of its children")
