"""POSIX message queues.

The queues are the executive's (emulation/ipc/posix_queues.py); descriptors are native, so close, dup, fork, fcntl and poll are too.

Source: Linux 6.18 ipc/mqueue.c; mq_overview(7) and the pages it names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pylibos.abi import ipc as c
from pylibos.abi.errno import Errno
from pylibos.abi.files import O_NONBLOCK
from pylibos.abi.limits import CLOCK_REALTIME, TIMESPEC
from pylibos.abi.syscall_numbers import NUMBERS
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.outcome import DATA, Install, Remote
from pylibos.emulation.syscalls.params import Fd, InPtr, Int, Mode, OutPtr, Size, UInt, UserPath
from pylibos.emulation.syscalls.sys_ipc import ipc
from pylibos.emulation.syscalls.table import Support, syscall

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pylibos.emulation.ipc.posix_queues import Registration
    from pylibos.emulation.outcome import Blocking
    from pylibos.emulation.process.thread import Thread

_SECOND: Final = 1_000_000_000
_READS: Final = 1
_WRITES: Final = 2
_SIGNAL_MAX: Final = 64
_F_SETFL: Final = 4


@syscall(
    "mq_open", number=240, support=Support.PARTIAL,
    note="the descriptor is a pipe's: fstat, read and write show it; it polls only in the directions it was opened for",
)  # fmt: skip
def sys_mq_open(thread: Thread, name: UserPath, flags: Int, mode: Mode, attributes: InPtr[bytes]) -> Install:
    """mq_open(2), with the name as libc passes it, without its slash.

    Raises: EFAULT, ENOENT, EACCES, ENAMETOOLONG, EEXIST, EINVAL, ENOSPC, EMFILE.
    """
    shape = None
    if attributes:
        _flags, messages, size, *_rest = attributes.unpack(c.MQ_ATTR)
        shape = (messages, size)
    return ipc(thread).queues.open(thread, name, flags, mode & ~thread.fs.umask, shape)


@syscall("mq_unlink", number=241)
def sys_mq_unlink(thread: Thread, name: UserPath) -> None:
    """mq_unlink(2). Raises: ENOENT, EACCES, ENAMETOOLONG, EPERM, EFAULT."""
    ipc(thread).queues.unlink(thread, name)


def _timeout(thread: Thread, pointer: InPtr[bytes]) -> Callable[[], int | None]:
    """How long is left until an absolute time of the wall clock, when asked. Raises EFAULT, EINVAL."""
    if not pointer:
        return lambda: None
    seconds, nanoseconds = pointer.unpack(TIMESPEC)
    if seconds < 0 or not 0 <= nanoseconds < _SECOND:
        raise SyscallError(Errno.EINVAL)
    until = seconds * _SECOND + nanoseconds
    return lambda: max(until - thread.executive.host.clock_read(CLOCK_REALTIME), 0)


@syscall("mq_timedsend", number=242)
def sys_mq_timedsend(thread: Thread, fd: Fd, text: InPtr[bytes], size: Size, priority: UInt, timeout: InPtr[bytes]) -> Blocking:
    """mq_timedsend(2). Raises: EBADF, EINVAL, EMSGSIZE, EFAULT, EAGAIN, ETIMEDOUT, EINTR."""
    left = _timeout(thread, timeout)
    if priority >= c.MQ_PRIO_MAX:
        raise SyscallError(Errno.EINVAL)
    queues = ipc(thread).queues
    queue, flags = queues.of_descriptor(thread, fd, _WRITES)
    if size > queue.size_max:
        raise SyscallError(Errno.EMSGSIZE)
    served = yield from queues.send(queue, flags, (priority, text.read(size)), left)
    return None if served is None else _tell(thread, served)


def _tell(thread: Thread, served: Registration) -> Remote | None:
    """The sender itself signals who asked to be told: the kernel then shows it as the sender."""
    event = served.event
    if event.notify != c.SIGEV_SIGNAL or not event.signal or served.process.is_zombie:
        return None
    who = thread.process
    information = c.SIGINFO_QUEUED.pack(event.signal, 0, c.SI_MESGQ, who.pid, who.credentials.ruid, event.value)
    number = NUMBERS["rt_sigqueueinfo"]
    return Remote([(number, (served.process.pid, event.signal, DATA))], lambda _results: 0, data=information)


@syscall("mq_timedreceive", number=243)
def sys_mq_timedreceive(
    thread: Thread, fd: Fd, text: OutPtr[bytes], size: Size, priority: OutPtr[bytes], timeout: InPtr[bytes]
) -> Blocking:
    """mq_timedreceive(2): the message's size. Raises: EBADF, EINVAL, EMSGSIZE, EFAULT, EAGAIN, ETIMEDOUT, EINTR."""
    left = _timeout(thread, timeout)
    queues = ipc(thread).queues
    queue, flags = queues.of_descriptor(thread, fd, _READS)
    if size < queue.size_max:
        raise SyscallError(Errno.EMSGSIZE)
    level, message = yield from queues.receive(queue, flags, left)
    if priority:
        priority.write(c.INT.pack(level))
    text.write(message)
    return len(message)


@syscall("mq_notify", number=244, support=Support.PARTIAL, note="SIGEV_THREAD is ENOSYS")
def sys_mq_notify(thread: Thread, fd: Fd, event: InPtr[bytes]) -> None:
    """mq_notify(2). Raises: EBADF, EINVAL, EFAULT, EBUSY somebody is registered; ENOSYS SIGEV_THREAD."""
    from pylibos.emulation.ipc.posix_queues import Registration

    wanted: c.SignalEvent | None = None
    if event:
        wanted = c.SignalEvent(*event.unpack(c.SIGEVENT))
        if wanted.notify not in (c.SIGEV_SIGNAL, c.SIGEV_NONE, c.SIGEV_THREAD):
            raise SyscallError(Errno.EINVAL)
        if wanted.notify == c.SIGEV_SIGNAL and not 0 <= wanted.signal <= _SIGNAL_MAX:
            raise SyscallError(Errno.EINVAL)
        if wanted.notify == c.SIGEV_THREAD:
            raise SyscallError(Errno.ENOSYS)
    queues = ipc(thread).queues
    queue, _flags = queues.of_descriptor(thread, fd)
    if wanted is None:
        if queue.notify is not None and queue.notify.process is thread.process:
            queue.notify = None
        return
    if queue.notify is not None and queues.is_open_in(queue, queue.notify.process):
        raise SyscallError(Errno.EBUSY)
    queue.notify = Registration(thread.process, wanted)


@syscall("mq_getsetattr", number=245)
def sys_mq_getsetattr(thread: Thread, fd: Fd, new: InPtr[bytes], old: OutPtr[bytes]) -> Remote | None:
    """mq_getattr(3) and mq_setattr(3). Raises: EBADF, EFAULT, EINVAL a flag other than O_NONBLOCK."""
    wanted = None
    if new:
        wanted = new.unpack(c.MQ_ATTR)[0]
        if wanted & ~O_NONBLOCK:
            raise SyscallError(Errno.EINVAL)
    queue, flags = ipc(thread).queues.of_descriptor(thread, fd)
    if old:
        old.write(c.MQ_ATTR.pack(flags & O_NONBLOCK, queue.messages_max, queue.size_max, queue.count, 0, 0, 0, 0))
    if wanted is None or wanted == flags & O_NONBLOCK:
        return None

    def finish(results: Sequence[int]) -> int:
        return results[0]

    return Remote([(NUMBERS["fcntl"], (fd, _F_SETFL, wanted))], finish)
