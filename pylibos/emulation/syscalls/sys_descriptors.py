"""Calls on descriptors the guest already holds: synchronising, duplicating, moving bytes between them, locks, inotify.

Most are executed by the host kernel (FORWARD): the descriptor is the whole authority, and pointers they have carry none (offsets,
vectors of own memory). Those with pointers are routed TRACE, those with registers only NOTIFY. Sources: fcntl(2), sendfile(2), splice(2),
inotify(7); docs/contracts.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pylibos.abi.errno import Errno
from pylibos.abi.files import O_CLOEXEC, O_NONBLOCK
from pylibos.abi.process import SIGIO
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.fs.notify import (
    IN_ALL_EVENTS,
    IN_DONT_FOLLOW,
    IN_MASK_ADD,
    IN_MASK_CREATE,
    IN_ONESHOT,
    IN_ONLYDIR,
    NotifyQueue,
)
from pylibos.emulation.fs.permission import require
from pylibos.emulation.io_manager.file_object import FileKind, FileObject
from pylibos.emulation.outcome import FORWARD, Forward, Install
from pylibos.emulation.signals.targets import group_targets, may_signal
from pylibos.emulation.syscalls.params import Fd, Flags, Int, UInt, UserPath
from pylibos.emulation.syscalls.table import Route, Support, fallback, forwarded, syscall
from pylibos.monitor.host_abi import Access, Create

if TYPE_CHECKING:
    from pylibos.emulation.process.thread import Thread

# -- executed by the host kernel ---------------------------------------------------------------------------------------------
for _name, _number, _why in (
    ("fsync", 74, "content of a granted descriptor"),
    ("fdatasync", 75, "content of a granted descriptor"),
    ("syncfs", 306, "the file system of a granted descriptor"),
    ("flock", 73, "a lock on the content of a granted descriptor"),
    ("dup3", 292, "one more number for what the guest holds"),
    ("close_range", 436, "gives up what the guest holds"),
    ("fadvise64", 221, "advice on a granted descriptor"),
    ("readahead", 187, "advice on a granted descriptor"),
    ("sync_file_range", 277, "content of a granted descriptor"),
    ("tee", 276, "between pipes the guest holds"),
):
    forwarded(_name, _number, route=Route.NOTIFY, why=_why)

for _name, _number, _why in (
    ("splice", 275, "between granted descriptors; the pointers are offsets"),
    ("vmsplice", 278, "own memory into a pipe the guest holds"),
    ("copy_file_range", 326, "between granted descriptors; the pointers are offsets"),
):
    forwarded(_name, _number, route=Route.TRACE, why=_why)


@syscall("sync", number=162)
def sys_sync(thread: Thread) -> None:
    """sync(2): the guest's files are in memory or written through; syncing the whole host is not its business."""


# -- fcntl -----------------------------------------------------------------------------------------------------------------
F_SETOWN: Final = 8
F_SETSIG: Final = 10
F_SETOWN_EX: Final = 15
F_SETLEASE: Final = 1024
F_GETLEASE: Final = 1025
F_NOTIFY: Final = 1026
F_GET_RW_HINT: Final = 1035
F_SET_FILE_RW_HINT: Final = 1038
F_UNLCK: Final = 2
_INT_MIN: Final = -0x80000000


@fallback("fcntl", number=72)
def sys_fcntl(thread: Thread, fd: Fd, command: Int, argument: Int) -> int | Forward:
    """fcntl(2): commands the filter does not let through. Leases and other signals than SIGIO are not offered."""
    thread.process.executive.host.descriptor_identity(thread.host_tid, fd)  # EBADF first
    if command == F_SETOWN:
        return _set_owner(thread, argument)
    if command == F_GETLEASE:
        return F_UNLCK
    if command == F_NOTIFY:
        return _notify_directory(thread, fd, argument)
    if command == F_SETLEASE:
        raise SyscallError(Errno.EAGAIN)
    if command in {F_SETSIG, F_SETOWN_EX}:
        raise SyscallError(Errno.EPERM)
    raise SyscallError(Errno.EINVAL)


def _notify_directory(thread: Thread, fd: int, argument: int) -> int:
    """F_NOTIFY. Raises: ENOTDIR."""
    from pylibos.emulation.fs.dnotify import DirectorySignals  # late: hardly any program asks

    files = thread.executive.files
    if files.directory_signals is None:
        files.directory_signals = DirectorySignals(thread.executive)
    files.directory_signals.ask(thread, fd, argument)
    return 0


def _set_owner(thread: Thread, who: int) -> Forward:
    """F_SETOWN: who gets SIGIO. Compare Linux fs/fcntl.c:f_setown().

    The kernel keeps the process it finds, not the number, and the number cannot come to mean another within the call (sys_signals.py).
    Raises: ESRCH nobody in the sandbox; EPERM somebody the caller may not signal, or a group without a PID name space; EINVAL.
    """
    if who == 0:
        return FORWARD
    if who == _INT_MIN:
        raise SyscallError(Errno.EINVAL)
    executive, table = thread.executive, thread.executive.processes
    one = table.process_of_task(who) if who > 0 else None
    targets = [one] if one is not None and table.exists(one) else group_targets(table, -who) if who < 0 else []
    if not targets:
        raise SyscallError(Errno.ESRCH)
    if not all(may_signal(thread.process, target, SIGIO) for target in targets):
        raise SyscallError(Errno.EPERM)
    if not executive.private_pids and (who < 0 or targets[0].is_zombie):
        raise SyscallError(Errno.EPERM if who < 0 else Errno.ESRCH)
    return FORWARD


# -- inotify ---------------------------------------------------------------------------------------------------------------
_INOTIFY_NOTE: Final = "a pipe underneath; native reads, writes and closes are told a moment later, of read-only files never"


class InotifyFlags(Flags):
    """Flags of inotify_init1."""

    NONBLOCK = O_NONBLOCK
    CLOEXEC = O_CLOEXEC


def _inotify(thread: Thread, flags: int) -> Install:
    executive = thread.process.executive
    host = executive.host
    reader, writer = host.stream_open_pair(b"pipe:", Create.NONBLOCK)  # our end must never wait
    if not flags & O_NONBLOCK:
        waiting = host.stream_reopen(reader, Access.READ)
        host.stream_close(reader)
        reader = waiting
    attributes = host.stream_query_open(reader)
    file = FileObject(FileKind.NOTIFY, (attributes.device, attributes.inode))
    file.queue = NotifyQueue(host, writer, executive.files.native_changes.relay_all)
    executive.io.enter(file)
    return Install(reader, bool(flags & O_CLOEXEC))


@syscall("inotify_init", number=253, support=Support.PARTIAL, note=_INOTIFY_NOTE)
def sys_inotify_init(thread: Thread) -> Install:
    """inotify_init(2)."""
    return _inotify(thread, 0)


@syscall("inotify_init1", number=294, support=Support.PARTIAL, note=_INOTIFY_NOTE)
def sys_inotify_init1(thread: Thread, flags: InotifyFlags) -> Install:
    """inotify_init1(2)."""
    return _inotify(thread, flags)


def _queue(thread: Thread, fd: int) -> NotifyQueue:
    queue = thread.process.executive.io.describe(thread, fd).queue
    if queue is None:
        raise SyscallError(Errno.EINVAL)
    return queue


@syscall("inotify_add_watch", number=254, support=Support.PARTIAL, note=_INOTIFY_NOTE)
def sys_inotify_add_watch(thread: Thread, fd: Fd, path: UserPath, mask: UInt) -> int:
    """inotify_add_watch(2): the watch number. Raises EEXIST, EINVAL, ENOTDIR, EACCES."""
    if not mask & IN_ALL_EVENTS or (mask & IN_MASK_ADD and mask & IN_MASK_CREATE):
        raise SyscallError(Errno.EINVAL)
    queue = _queue(thread, fd)
    inode = thread.process.executive.files.find(thread, None, path, not mask & IN_DONT_FOLLOW)
    if mask & IN_ONLYDIR and not inode.is_directory:
        raise SyscallError(Errno.ENOTDIR)
    require(inode, thread.process.credentials, 4)
    number = queue.add(
        inode, mask & (IN_ALL_EVENTS | IN_ONESHOT), extend=bool(mask & IN_MASK_ADD), create=bool(mask & IN_MASK_CREATE)
    )
    if number is None:
        raise SyscallError(Errno.EEXIST)
    files = thread.process.executive.files
    files.native_changes.watched(inode)
    if files.cache.published is not None:
        files.cache.published.stop_opens()
    return number


@syscall("inotify_rm_watch", number=255, support=Support.PARTIAL, note=_INOTIFY_NOTE)
def sys_inotify_rm_watch(thread: Thread, fd: Fd, number: Int) -> None:
    """inotify_rm_watch(2)."""
    if not _queue(thread, fd).remove(number):
        raise SyscallError(Errno.EINVAL)
