"""Processes: execution, names of processes, groups and sessions, reaching into another guest's memory.

Creation, exit and waiting are the host kernel's (the runtime tells the process table of them). Group and session changes are checked
here against the table and then forwarded, so both sides agree and job control stays native; their arguments are registers only.

An adversarial guest can send here: any pid (only processes of the table are found), iovec arrays with wild lengths (counted and
bounded before anything is copied), program paths and scripts (process/exec.py).

Source: Linux 6.18 kernel/sys.c, mm/process_vm_access.c, fs/exec.c.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from pylibos.abi import process as c
from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.outcome import FORWARD, Exec, Forward
from pylibos.emulation.process.exec import plan_execution
from pylibos.emulation.security.access import require_access
from pylibos.emulation.syscalls.params import Address, Fd, Flags, Pid, UInt, ULong
from pylibos.emulation.syscalls.table import Route, Support, forwarded, syscall

if TYPE_CHECKING:
    from pylibos.emulation.process.process import Process
    from pylibos.emulation.process.thread import Thread

_IOV_MAX: Final = 1024
_TRANSFER_MAX: Final = 0x7FFFF000
_CHUNK: Final = 1 << 20
"""Bytes of another guest's memory held by us at a time."""


class ExecFlags(Flags):
    """Flags of execveat(2)."""

    SYMLINK_NOFOLLOW = 0x100
    EMPTY_PATH = 0x1000


# -- execution ------------------------------------------------------------------------------------------------------------
@syscall("execve", number=59, support=Support.PARTIAL, note="no file capabilities; set-user-id bits only in a root of the guest's own")
def sys_execve(thread: Thread, path: Address, argv: Address, envp: Address) -> Exec:
    """execve(2). Compare Linux fs/exec.c:do_execveat_common().

    Raises: ENOENT the path or an interpreter is missing; EACCES not a regular file, not executable, or on a noexec mount; ENOEXEC
    no format we know; ELOOP too many scripts; ELIBBAD a bad ELF interpreter; EFAULT, ENAMETOOLONG. E2BIG comes from the host.
    """
    text = thread.memory.read_string(path, 4096)
    return Exec(plan_execution(thread, c.AT_FDCWD, text, follow=True, empty_path=False), argv, envp, path + len(text))


@syscall("execveat", number=322, route=Route.TRACE, support=Support.PARTIAL, note="as execve")
def sys_execveat(thread: Thread, directory: Fd, path: Address, argv: Address, envp: Address, flags: ExecFlags) -> Exec:
    """execveat(2). Compare Linux fs/exec.c:do_open_execat(). Raises: as execve; EBADF directory; ELOOP a link with SYMLINK_NOFOLLOW."""
    text = thread.memory.read_string(path, 4096)
    plan = plan_execution(
        thread, directory, text, follow=not flags & ExecFlags.SYMLINK_NOFOLLOW, empty_path=bool(flags & ExecFlags.EMPTY_PATH)
    )
    return Exec(plan, argv, envp, path + len(text))


# -- names ----------------------------------------------------------------------------------------------------------------
def _task(thread: Thread, pid: int) -> Process:
    """The process a pid argument means (0: the caller). Raises ESRCH."""
    if pid == 0:
        return thread.process
    process = thread.executive.processes.process_of_task(pid) if pid > 0 else None
    if process is None:
        raise SyscallError(Errno.ESRCH)
    return process


@syscall("getpgid", number=121, route=Route.NOTIFY, support=Support.FULL)
def sys_getpgid(thread: Thread, pid: Pid) -> int:
    """getpgid(2); 0 of the process above the first, whose group is outside. Compare Linux kernel/sys.c:do_getpgid(). Raises: ESRCH."""
    return 0 if pid and pid == thread.executive.processes.above else _task(thread, pid).pgid


@syscall("getpgrp", number=111, route=Route.NOTIFY, support=Support.FULL)
def sys_getpgrp(thread: Thread) -> int:
    """getpgrp(2). Compare Linux kernel/sys.c."""
    return thread.process.pgid


@syscall("getsid", number=124, route=Route.NOTIFY, support=Support.FULL)
def sys_getsid(thread: Thread, pid: Pid) -> int:
    """getsid(2), as getpgid. Compare Linux kernel/sys.c. Raises: ESRCH."""
    return 0 if pid and pid == thread.executive.processes.above else _task(thread, pid).sid


@syscall("setpgid", number=109, route=Route.NOTIFY, support=Support.FULL)
def sys_setpgid(thread: Thread, pid: Pid, pgid: Pid) -> Forward:
    """setpgid(2): checked here, done by the host on the same numbers. Compare Linux kernel/sys.c.

    Raises: EINVAL pgid negative, or pid is a thread; ESRCH pid is neither the caller nor its child; EACCES the child has executed;
    EPERM a session leader, another session, or no such group in the session.
    """
    caller = thread.process
    table = thread.executive.processes
    if pid == 0:
        pid = caller.pid
    if pgid == 0:
        pgid = pid
    if pgid < 0:
        raise SyscallError(Errno.EINVAL)
    target = table.process(pid)
    if target is None:
        raise SyscallError(Errno.EINVAL if table.thread(pid) is not None else Errno.ESRCH)
    if target.parent is caller:
        if target.sid != caller.sid:
            raise SyscallError(Errno.EPERM)
        if not target.forked_without_exec:
            raise SyscallError(Errno.EACCES)
    elif target is not caller:
        raise SyscallError(Errno.ESRCH)
    if target.sid == target.pid:
        raise SyscallError(Errno.EPERM)
    if pgid != pid and table.group_session(pgid) != caller.sid:
        raise SyscallError(Errno.EPERM)
    target.pgid = pgid
    return FORWARD


@syscall("setsid", number=112, route=Route.NOTIFY, support=Support.FULL)
def sys_setsid(thread: Thread) -> Forward:
    """setsid(2). Compare Linux kernel/sys.c:ksys_setsid(). Raises: EPERM the caller's pid already names a group or session."""
    process = thread.process
    table = thread.executive.processes
    if process.sid == process.pid or table.group_session(process.pid) is not None:
        raise SyscallError(Errno.EPERM)
    table.start_session(process)
    return FORWARD


@syscall("personality", number=135, route=Route.NOTIFY, support=Support.PARTIAL, note="only ADDR_NO_RANDOMIZE, UNAME26 and PER_LINUX32")
def sys_personality(thread: Thread, persona: UInt) -> int:
    """personality(2): the old value. Compare Linux kernel/exec_domain.c. Raises: EINVAL a domain or flag we do not give effect to."""
    old = thread.process.personality
    if persona != c.PERSONALITY_QUERY:
        if persona & ~c.PERSONALITY_KNOWN or persona & 0xFF not in (c.PER_LINUX, c.PER_LINUX32):
            raise SyscallError(Errno.EINVAL)
        thread.process.personality = persona
    return old


# -- another guest's memory -------------------------------------------------------------------------------------------------
def _vectors(thread: Thread, address: int, count: int) -> list[tuple[int, int]]:
    """(address, size) pairs of an iovec array, copied once; total bounded as the kernel bounds it. Raises EINVAL, EFAULT."""
    if not 0 <= count <= _IOV_MAX:
        raise SyscallError(Errno.EINVAL)
    if not count:
        return []
    room = _TRANSFER_MAX
    result = []
    for base, size in struct.iter_unpack("<QQ", thread.memory.read(address, 16 * count)):
        if size >> 63:
            raise SyscallError(Errno.EINVAL)
        size = min(size, room)  # noqa: PLW2901 - the clipped size is the only one used
        room -= size
        result.append((base, size))
    return result


def _pieces(source: list[tuple[int, int]], target: list[tuple[int, int]]) -> Iterator[tuple[int, int, int]]:
    """Cut two scattered areas into (source address, target address, size) copies of at most _CHUNK bytes."""
    sources, targets = iter(source), iter(target)
    from_address = from_size = to_address = to_size = 0
    while True:
        while not from_size:
            try:
                from_address, from_size = next(sources)
            except StopIteration:
                return
        while not to_size:
            try:
                to_address, to_size = next(targets)
            except StopIteration:
                return
        size = min(from_size, to_size, _CHUNK)
        yield from_address, to_address, size
        from_address += size
        from_size -= size
        to_address += size
        to_size -= size


def _other_memory(thread: Thread, pid: int, flags: int, remote_count: int) -> Thread:
    if flags or not 0 <= remote_count <= _IOV_MAX:
        raise SyscallError(Errno.EINVAL)
    process = _task(thread, pid) if pid > 0 else None
    if process is None or not process.threads:
        raise SyscallError(Errno.ESRCH)
    require_access(thread.process, process)
    return next(iter(process.threads.values()))


def _transfer(source: Thread, target: Thread, pieces: Iterator[tuple[int, int, int]]) -> int:
    """Copy pieces until done or a page is missing; bytes copied. Raises EFAULT when none was."""
    done = 0
    try:
        for from_address, to_address, size in pieces:
            data = source.memory.read_partial(from_address, size)
            target.memory.write(to_address, data)
            done += len(data)
            if len(data) < size:
                break
    except SyscallError:
        if not done:
            raise
    return done


@syscall("process_vm_readv", number=310, route=Route.NOTIFY, support=Support.FULL)
def sys_process_vm_readv(
    thread: Thread, pid: Pid, local: Address, local_count: ULong, remote: Address, remote_count: ULong, flags: ULong
) -> int:
    """process_vm_readv(2) between guests. Compare Linux mm/process_vm_access.c.

    Raises: ESRCH pid is not in the sandbox; EPERM its credentials differ; EINVAL flags or counts; EFAULT nothing could be copied.
    """
    other = _other_memory(thread, pid, flags, remote_count)
    return _transfer(other, thread, _pieces(_vectors(thread, remote, remote_count), _vectors(thread, local, local_count)))


@syscall("process_vm_writev", number=311, route=Route.NOTIFY, support=Support.FULL)
def sys_process_vm_writev(
    thread: Thread, pid: Pid, local: Address, local_count: ULong, remote: Address, remote_count: ULong, flags: ULong
) -> int:
    """process_vm_writev(2) between guests. Compare Linux mm/process_vm_access.c. Raises: as process_vm_readv."""
    other = _other_memory(thread, pid, flags, remote_count)
    return _transfer(thread, other, _pieces(_vectors(thread, local, local_count), _vectors(thread, remote, remote_count)))


# -- rows -------------------------------------------------------------------------------------------------------------------
@syscall("unshare", number=272, route=Route.NOTIFY, support=Support.PARTIAL, note="no new name spaces (EPERM)")
def sys_unshare(thread: Thread, flags: ULong) -> Forward | None:
    """unshare(2). Compare Linux kernel/fork.c:ksys_unshare(). Raises: EPERM a name space; EINVAL unknown flags, or VM/THREAD/SIGHAND
    of a process with several threads."""
    if flags & c.NAMESPACE_FLAGS:
        raise SyscallError(Errno.EPERM)
    single = c.CLONE_THREAD | c.CLONE_SIGHAND | c.CLONE_VM
    if flags & ~(single | c.CLONE_FS | c.CLONE_FILES | c.CLONE_SYSVSEM):
        raise SyscallError(Errno.EINVAL)
    if flags & single and len(thread.process.threads) > 1:
        raise SyscallError(Errno.EINVAL)
    if flags & c.CLONE_FS:
        thread.process.fs = thread.process.fs.copy()  # equal: whoever knew the old one knows this one
    return FORWARD if flags & (c.CLONE_FILES | c.CLONE_SYSVSEM) else None


forwarded("getcpu", 309, route=Route.TRACE, why="writes two numbers of the caller's own processor")
forwarded("membarrier", 324, route=Route.TRACE, why="registers only; reaches the caller's own threads or only delays others")
