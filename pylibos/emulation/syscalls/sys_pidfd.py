"""What is done through process descriptors, and kcmp(2): calls that reach another process by more than its number.

A pidfd is the host's own object (pidfd_open and clone make it); which process it means is asked of the host (fdinfo) and looked up in the
table, so that permission is the guests' own. Then the host kernel executes the call: registers name the descriptor, and its number could be
given another meaning in between (dup2 by a thread). So a forwarded call is one that the caller might make of *every* guest; and the guests
must have a PID name space of their own, in which nobody else can be named, whatever pidfd has come in a message.

Source: Linux 6.18 kernel/{signal,pid,kcmp}.c, mm/{madvise,oom_kill}.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.outcome import FORWARD, Forward
from pylibos.emulation.security.access import may_access, require_access
from pylibos.emulation.signals.targets import may_signal, valid_signal
from pylibos.emulation.syscalls.params import Address, Fd, Int, Pid, UInt, ULong
from pylibos.emulation.syscalls.table import Route, Support, syscall

if TYPE_CHECKING:
    from pylibos.emulation.process.process import Process
    from pylibos.emulation.process.thread import Thread

_PIDFD: Final = (b"anon_inode:[pidfd]", b"pidfd:[")
_SCOPES: Final = frozenset((0, 1, 2, 4))
"""PIDFD_SIGNAL_THREAD, _THREAD_GROUP, _PROCESS_GROUP (Linux 6.9): one at most."""
_PROCESS_GROUP: Final = 4
_KCMP_TYPES: Final = 8
_UNSEEN: Final = "only where the caller may do it to every guest, and with a PID name space of the sandbox's own (else {})"


def process_behind(thread: Thread, fd: int) -> Process | None:
    """The process a pidfd of the caller means; None when it has ended and been waited for, or is no guest. Raises EBADF no pidfd."""
    host = thread.executive.host
    if not host.descriptor_name(thread.host_tid, fd).startswith(_PIDFD):
        raise SyscallError(Errno.EBADF)
    host_id = host.descriptor_state(thread.host_tid, fd)[1]
    table = thread.executive.processes
    task = table.thread_by_host(host_id)
    process = table.process_by_host(host_id) if task is None else task.process
    return process if process is not None and table.exists(process) else None


def _named_by_directory(thread: Thread, fd: int) -> Process | None:
    """The process of a /proc/PID directory, which pidfd_send_signal takes as well; that is ours, the kernel knows none."""
    from pylibos.emulation.fs.proc_process import ProcessDirectory  # late: /proc may not have been made

    inode = thread.executive.io.inode_of(thread, fd)
    return inode.subject.process if isinstance(inode, ProcessDirectory) and inode.subject.task is None else None


def _live(thread: Thread, fd: int) -> Process:
    process = process_behind(thread, fd)
    if process is None:
        raise SyscallError(Errno.ESRCH)
    return process


def _everyone_accessible(thread: Thread) -> bool:
    return all(may_access(thread.process, process) for process in thread.executive.processes.live())


@syscall(
    "pidfd_send_signal",
    number=424,
    route=Route.TRACE,
    support=Support.PARTIAL,
    note="a siginfo of the caller's own (EPERM; by /proc/PID ENOSYS) and process groups (EINVAL) only where it may signal every guest",
)
def sys_pidfd_send_signal(thread: Thread, fd: Fd, signal: Int, info: Address, flags: UInt) -> Forward | None:
    """pidfd_send_signal(2). Compare Linux kernel/signal.c. Raises: EBADF, EINVAL, ESRCH it has ended, EPERM."""
    if flags not in _SCOPES:
        raise SyscallError(Errno.EINVAL)
    named = _named_by_directory(thread, fd)
    if named is not None and info:
        raise SyscallError(Errno.ENOSYS)
    target = process_behind(thread, fd) if named is None else named
    if target is None or not thread.executive.processes.exists(target):
        raise SyscallError(Errno.ESRCH)
    if not valid_signal(signal):
        raise SyscallError(Errno.EINVAL)
    executive, sender = thread.executive, thread.process
    if not may_signal(sender, target, signal):
        raise SyscallError(Errno.EPERM)
    if named is None and executive.private_pids and all(may_signal(sender, other, signal) for other in executive.processes.live()):
        return FORWARD
    if info:
        raise SyscallError(Errno.EPERM)
    if flags == _PROCESS_GROUP:
        raise SyscallError(Errno.EINVAL)
    if signal and not target.is_zombie:
        executive.host.process_signal(target.host_pid, 0, signal)
    return None


@syscall("pidfd_getfd", number=438, route=Route.NOTIFY, support=Support.PARTIAL, note=_UNSEEN.format("EPERM"))
def sys_pidfd_getfd(thread: Thread, fd: Fd, target_fd: Fd, flags: UInt) -> Forward:
    """pidfd_getfd(2). Compare Linux kernel/pid.c. Raises: EINVAL flags; EBADF; ESRCH; EPERM; EMFILE from the host."""
    if flags:
        raise SyscallError(Errno.EINVAL)
    require_access(thread.process, _live(thread, fd))
    if not thread.executive.private_pids or not _everyone_accessible(thread):
        raise SyscallError(Errno.EPERM)
    return FORWARD


@syscall("process_madvise", number=440, route=Route.TRACE, support=Support.PARTIAL, note=_UNSEEN.format("ENOSYS"))
def sys_process_madvise(thread: Thread, fd: Fd, vectors: Address, count: ULong, advice: Int, flags: UInt) -> Forward:
    """process_madvise(2): advice carries no authority beyond the process it is for. Compare mm/madvise.c. Raises: EBADF, ESRCH, EPERM."""
    if flags:
        raise SyscallError(Errno.EINVAL)
    return _reach(thread, fd)


@syscall("process_mrelease", number=448, route=Route.NOTIFY, support=Support.PARTIAL, note=_UNSEEN.format("ENOSYS"))
def sys_process_mrelease(thread: Thread, fd: Fd, flags: UInt) -> Forward:
    """process_mrelease(2): takes memory from a process that is dying anyway. Compare mm/oom_kill.c. Raises: EINVAL, EBADF, ESRCH, EPERM."""
    if flags:
        raise SyscallError(Errno.EINVAL)
    return _reach(thread, fd)


def _reach(thread: Thread, fd: int) -> Forward:
    if not thread.executive.private_pids:
        raise SyscallError(Errno.ENOSYS)
    require_access(thread.process, _live(thread, fd))
    if not _everyone_accessible(thread):
        raise SyscallError(Errno.EPERM)
    return FORWARD


@syscall("kcmp", number=312, route=Route.TRACE, support=Support.FULL)
def sys_kcmp(thread: Thread, first: Pid, second: Pid, kind: Int, index1: ULong, index2: ULong) -> Forward:
    """kcmp(2): whether two guests share a kernel object, which the host kernel knows. Compare Linux kernel/kcmp.c.

    Raises: ESRCH nobody in the sandbox; EPERM one may not be looked into; EINVAL no such kind; EBADF from the host.
    """
    table = thread.executive.processes
    processes = [table.process_of_task(pid) if pid > 0 else None for pid in (first, second)]
    for process in processes:
        if process is None or not table.exists(process):
            raise SyscallError(Errno.ESRCH)
    for process in processes:
        assert process is not None
        require_access(thread.process, process)
    if not 0 <= kind < _KCMP_TYPES:
        raise SyscallError(Errno.EINVAL)
    return FORWARD
