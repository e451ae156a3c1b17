"""System V IPC: shared memory, semaphores, messages.

The objects are the executive's (emulation/ipc), whether or not the guests have an IPC name space: owners are the guest's own ids, and a
handler costs what a stop of the tracer would. Segments are mapped by the caller itself (outcome Remote).

Source: Linux 6.18 ipc/{shm,sem,msg}.c; sysvipc(7) and the pages it names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pylibos.abi import ipc as c
from pylibos.abi.errno import Errno
from pylibos.abi.limits import TIMESPEC
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.syscalls.params import Address, InOutPtr, InPtr, Int, Long, OutPtr, Size, UInt, ULong
from pylibos.emulation.syscalls.table import Restart, Support, syscall

if TYPE_CHECKING:
    from pylibos.emulation.ipc.manager import Ipc
    from pylibos.emulation.ipc.objects import IpcObject, IpcTable, Kind
    from pylibos.emulation.ipc.semaphores import SemaphoreSet
    from pylibos.emulation.outcome import Blocking, Remote
    from pylibos.emulation.process.thread import Thread

_READ: Final = 0o444
_WRITE: Final = 0o222
_SECOND: Final = 1_000_000_000
_TEXT_MAX: Final = 1 << 20
"""No message is longer, whatever MsgMax says."""


def ipc(thread: Thread) -> Ipc:
    """The sandbox's IPC. Imported with the first call: most programs use none, and start-up time is counted."""
    existing = thread.executive.ipc
    if existing is not None:
        return existing
    from pylibos.emulation.ipc.manager import ipc_of

    return ipc_of(thread.executive)


def _described(thread: Thread, table: IpcTable[Kind], identifier: int, *, by_index: bool, anyone: bool) -> Kind:
    """The object of a *_STAT command, if the caller may read it. Raises EINVAL, EACCES."""
    found = table.at(identifier) if by_index else table.find(identifier)
    if not anyone:
        found.require(thread.credentials, _READ)
    return found


def _changed(thread: Thread, target: IpcObject, perm: bytes) -> None:
    """IPC_SET by the owner. Raises EPERM, EINVAL."""
    target.require_owner(thread.credentials)
    target.change(perm)


# -- shared memory -----------------------------------------------------------------------------------------------------------
@syscall("shmget", number=29, support=Support.PARTIAL, note="no huge pages")
def sys_shmget(thread: Thread, key: Int, size: Size, flags: Int) -> int:
    """shmget(2). Raises: EINVAL, ENOENT, EEXIST, EACCES, ENOSPC, ENOMEM; EPERM SHM_HUGETLB."""
    return ipc(thread).memory.get(thread.process, key, size, flags)


@syscall("shmat", number=30)
def sys_shmat(thread: Thread, identifier: Int, address: Address, flags: Int) -> Remote:
    """shmat(2). Raises: EINVAL, EACCES, ENOMEM."""
    return ipc(thread).memory.attach(thread, identifier, address, flags)


@syscall("shmdt", number=67)
def sys_shmdt(thread: Thread, address: Address) -> Remote:
    """shmdt(2). Raises: EINVAL nothing is attached there."""
    return ipc(thread).memory.detach(thread, address)


@syscall("shmctl", number=31, support=Support.PARTIAL, note="SHM_LOCK locks nothing: the host holds the memory; no swap is told of")
def sys_shmctl(thread: Thread, identifier: Int, command: Int, buffer: InOutPtr[bytes]) -> int | None:
    """shmctl(2). Raises: EINVAL, EACCES, EPERM, EFAULT."""
    memory = ipc(thread).memory
    memory.collect()
    segments = memory.segments
    if identifier < 0:
        raise SyscallError(Errno.EINVAL)
    if command == c.IPC_INFO:
        limit = ipc(thread).limit
        most = limit("ShmMni")
        buffer.write(c.SHMINFO.pack(limit("ShmMax"), 1, most, most, limit("ShmAll"), 0, 0, 0, 0))
        return segments.highest_index
    if command == c.SHM_INFO:
        pages = memory.pages()
        buffer.write(c.SHM_INFO_RECORD.pack(len(segments), pages, pages, 0, 0, 0))
        return segments.highest_index
    if command in (c.IPC_STAT, c.SHM_STAT, c.SHM_STAT_ANY):
        by_index = command != c.IPC_STAT
        segment = _described(thread, segments, identifier, by_index=by_index, anyone=command == c.SHM_STAT_ANY)
        buffer.write(segment.status(memory.attached(segment)))
        return segment.identifier if by_index else 0
    if command == c.IPC_SET:
        perm = buffer.read(c.PERM.size + c.SHMID_TAIL.size)[: c.PERM.size]
        segment = segments.find(identifier)
        _changed(thread, segment, perm)
        segment.change_s = ipc(thread).now_s()
    elif command == c.IPC_RMID:
        segment = segments.find(identifier)
        segment.require_owner(thread.credentials)
        memory.remove(segment)
    elif command in (c.SHM_LOCK, c.SHM_UNLOCK):
        segment = segments.find(identifier)
        segment.require_owner(thread.credentials)
        segment.mode = segment.mode & ~c.SHM_LOCKED | (c.SHM_LOCKED if command == c.SHM_LOCK else 0)
    else:
        raise SyscallError(Errno.EINVAL)
    return None


# -- semaphores ----------------------------------------------------------------------------------------------------------------
@syscall("semget", number=64)
def sys_semget(thread: Thread, key: Int, count: Int, flags: Int) -> int:
    """semget(2). Raises: EINVAL, ENOENT, EEXIST, EACCES, ENOSPC."""
    return ipc(thread).semaphores.get(thread.process, key, count, flags)


def _operate(thread: Thread, identifier: int, operations: InPtr[bytes], count: int, timeout: InPtr[bytes] | None) -> Blocking | None:
    if count < 1 or identifier < 0:
        raise SyscallError(Errno.EINVAL)
    if count > c.SEMOPM:
        raise SyscallError(Errno.E2BIG)
    from pylibos.emulation.ipc.semaphores import Operation

    timeout_ns: int | None = None
    if timeout:
        seconds, nanoseconds = timeout.unpack(TIMESPEC)
        if seconds < 0 or not 0 <= nanoseconds < _SECOND:
            raise SyscallError(Errno.EINVAL)
        timeout_ns = seconds * _SECOND + nanoseconds
    copied = [Operation(*fields) for fields in c.SEMBUF.iter_unpack(operations.read(count * c.SEMBUF.size))]
    return ipc(thread).semaphores.operate(thread.process, identifier, copied, timeout_ns)


@syscall("semop", number=65, restart=Restart.NEVER)
def sys_semop(thread: Thread, identifier: Int, operations: InPtr[bytes], count: UInt) -> Blocking | None:
    """semop(2). Raises: EINVAL, E2BIG, EFAULT, EFBIG, EACCES, ERANGE, EAGAIN, EIDRM, ENOMEM, EINTR."""
    return _operate(thread, identifier, operations, count, None)


@syscall("semtimedop", number=220, restart=Restart.NEVER)
def sys_semtimedop(thread: Thread, identifier: Int, operations: InPtr[bytes], count: UInt, timeout: InPtr[bytes]) -> Blocking | None:
    """semtimedop(2). Raises: as semop; EAGAIN the time has passed."""
    return _operate(thread, identifier, operations, count, timeout)


@syscall("semctl", number=66, support=Support.PARTIAL, note="a sandbox has at most 1,024,000 semaphores")
def sys_semctl(thread: Thread, identifier: Int, number: Int, command: Int, argument: ULong) -> int | None:
    """semctl(2). Raises: EINVAL, EACCES, EPERM, ERANGE, EFAULT."""
    semaphores = ipc(thread).semaphores
    sets = semaphores.sets
    if identifier < 0:
        raise SyscallError(Errno.EINVAL)
    if command in (c.IPC_INFO, c.SEM_INFO):
        counted = command == c.SEM_INFO
        OutPtr[bytes](argument, thread.memory).write(_seminfo(len(sets) if counted else 20, semaphores.total if counted else c.SEMAEM))
        return sets.highest_index
    if command in (c.IPC_STAT, c.SEM_STAT, c.SEM_STAT_ANY):
        by_index = command != c.IPC_STAT
        found = _described(thread, sets, identifier, by_index=by_index, anyone=command == c.SEM_STAT_ANY)
        OutPtr[bytes](argument, thread.memory).write(found.status())
        return found.identifier if by_index else 0
    if command == c.IPC_SET:
        perm = thread.memory.read(argument, c.PERM.size + c.SEMID_TAIL.size)[: c.PERM.size]
        target = sets.find(identifier)
        _changed(thread, target, perm)
        target.change_s = ipc(thread).now_s()
    elif command == c.IPC_RMID:
        target = sets.find(identifier)
        target.require_owner(thread.credentials)
        semaphores.remove(target)
    elif command == c.SETVAL:
        value = argument & 0xFFFFFFFF
        _set_value(thread, identifier, number, value - (1 << 32) if value >> 31 else value)
    elif command == c.GETALL:
        target = sets.find(identifier)
        target.require(thread.credentials, _READ)
        thread.memory.write(argument, b"".join(value.to_bytes(2, "little") for value in target.values))
    elif command == c.SETALL:
        target = sets.find(identifier)
        target.require(thread.credentials, _WRITE)
        data = thread.memory.read(argument, 2 * len(target.values))
        values = [int.from_bytes(data[at : at + 2], "little") for at in range(0, len(data), 2)]
        semaphores.set_values(target, 0, values, thread.process.pid)
    else:
        return _semaphore_state(thread, identifier, number, command)
    return None


def _set_value(thread: Thread, identifier: int, number: int, value: int) -> None:
    semaphores = ipc(thread).semaphores
    if not 0 <= value <= c.SEMVMX:
        raise SyscallError(Errno.ERANGE)
    target = semaphores.sets.find(identifier)
    if not 0 <= number < len(target.values):
        raise SyscallError(Errno.EINVAL)
    target.require(thread.credentials, _WRITE)
    semaphores.set_values(target, number, [value], thread.process.pid)


def _semaphore_state(thread: Thread, identifier: int, number: int, command: int) -> int:
    """GETVAL, GETPID, GETNCNT, GETZCNT. Raises EINVAL, EACCES."""
    if command not in (c.GETVAL, c.GETPID, c.GETNCNT, c.GETZCNT):
        raise SyscallError(Errno.EINVAL)
    target: SemaphoreSet = ipc(thread).semaphores.sets.find(identifier)
    target.require(thread.credentials, _READ)
    if not 0 <= number < len(target.values):
        raise SyscallError(Errno.EINVAL)
    if command == c.GETVAL:
        return target.values[number]
    if command == c.GETPID:
        return target.pids[number]
    return target.waiting(number, zero=command == c.GETZCNT)


def _seminfo(usz: int, aem: int) -> bytes:
    from pylibos.emulation.ipc.semaphores import SEMMNS

    return c.SEMINFO.pack(SEMMNS, c.SEMMNI, SEMMNS, SEMMNS, c.SEMMSL, c.SEMOPM, c.SEMOPM, usz, c.SEMVMX, aem)


# -- messages --------------------------------------------------------------------------------------------------------------------
@syscall("msgget", number=68)
def sys_msgget(thread: Thread, key: Int, flags: Int) -> int:
    """msgget(2). Raises: ENOENT, EEXIST, EACCES, ENOSPC."""
    return ipc(thread).messages.get(thread.process, key, flags)


@syscall("msgsnd", number=69, restart=Restart.NO_HANDLER)
def sys_msgsnd(thread: Thread, identifier: Int, message: InPtr[bytes], size: Size, flags: Int) -> Blocking:
    """msgsnd(2). Raises: EINVAL, EFAULT, EACCES, EAGAIN, EIDRM, ENOMEM, EINTR."""
    from pylibos.emulation.ipc.messages import Message

    messages = ipc(thread).messages
    (kind,) = message.unpack(c.LONG)
    if identifier < 0 or size > _TEXT_MAX or kind < 1:
        raise SyscallError(Errno.EINVAL)
    messages.check_size(size)
    text = thread.memory.read(message.address + c.LONG.size, size)
    return messages.send(thread.process, identifier, Message(kind, text), flags)


@syscall("msgrcv", number=70, restart=Restart.NO_HANDLER)
def sys_msgrcv(thread: Thread, identifier: Int, buffer: OutPtr[bytes], size: Long, wanted: Long, flags: Int) -> Blocking:
    """msgrcv(2). Raises: EINVAL, EFAULT, EACCES, E2BIG, ENOMSG, EIDRM, EINTR."""
    messages = ipc(thread).messages
    if identifier < 0 or size < 0:
        raise SyscallError(Errno.EINVAL)
    if flags & c.MSG_COPY and (flags & c.MSG_EXCEPT or not flags & c.IPC_NOWAIT):
        raise SyscallError(Errno.EINVAL)
    message = yield from messages.receive(thread.process, identifier, size, wanted, flags)
    text = message.text[:size]
    buffer.write(c.LONG.pack(message.type) + text)
    return len(text)


@syscall("msgctl", number=71)
def sys_msgctl(thread: Thread, identifier: Int, command: Int, buffer: InOutPtr[bytes]) -> int | None:
    """msgctl(2). Raises: EINVAL, EACCES, EPERM, EFAULT."""
    messages = ipc(thread).messages
    queues = messages.queues
    if identifier < 0:
        raise SyscallError(Errno.EINVAL)
    if command in (c.IPC_INFO, c.MSG_INFO):
        buffer.write(_msginfo(ipc(thread), in_use=command == c.MSG_INFO))
        return queues.highest_index
    if command in (c.IPC_STAT, c.MSG_STAT, c.MSG_STAT_ANY):
        by_index = command != c.IPC_STAT
        queue = _described(thread, queues, identifier, by_index=by_index, anyone=command == c.MSG_STAT_ANY)
        buffer.write(queue.status())
        return queue.identifier if by_index else 0
    if command == c.IPC_SET:
        data = buffer.read(c.PERM.size + c.MSQID_TAIL.size)
        limit = c.MSQID_TAIL.unpack(data[c.PERM.size :])[5]
        messages.change(identifier, thread.credentials, data[: c.PERM.size], limit)
    elif command == c.IPC_RMID:
        queue = queues.find(identifier)
        queue.require_owner(thread.credentials)
        messages.remove(queue)
    else:
        raise SyscallError(Errno.EINVAL)
    return None


def _msginfo(all_ipc: Ipc, *, in_use: bool) -> bytes:
    """struct msginfo: limits, or (MSG_INFO) what exists."""
    most, longest, room = all_ipc.limit("MsgMni"), all_ipc.limit("MsgMax"), all_ipc.limit("MsgMnb")
    count, size = all_ipc.messages.totals()
    pool, table, headers = (len(all_ipc.messages.queues), count, size) if in_use else (most * room // 1024, room, room)
    return c.MSGINFO.pack(*(min(number, 0x7FFFFFFF) for number in (pool, table, longest, room, most, 16, headers)), 0xFFFF)
