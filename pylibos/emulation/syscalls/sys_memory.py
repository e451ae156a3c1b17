"""Memory beyond mmap: residency, locking, policies, protection keys, sealing, System V IPC and POSIX queues.

The address space is the host's, so what names only the caller's own addresses is forwarded. What names other processes is confined to
the caller; what names host-wide objects (IPC keys, queues) is forwarded only when the guests have an IPC name space of their own.

Source: Linux 6.18 mm/{msync,mincore,mlock,mempolicy,migrate,mseal}.c, ipc/.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.outcome import FORWARD, Forward
from pylibos.emulation.syscalls.params import Address, Pid, ULong
from pylibos.emulation.syscalls.table import Route, Support, forwarded, syscall

if TYPE_CHECKING:
    from pylibos.emulation.process.thread import Thread

_OWN: Final = "names only the caller's own addresses"
_POLICY: Final = "the caller's own memory policy; its pointers carry no authority"

forwarded("msync", 26, route=Route.TRACE, why=_OWN)
forwarded("mincore", 27, route=Route.TRACE, why=_OWN)
forwarded("mlock", 149, route=Route.TRACE, why=_OWN)
forwarded("munlock", 150, route=Route.TRACE, why=_OWN)
forwarded("mlockall", 151, route=Route.TRACE, why=_OWN)
forwarded("munlockall", 152, route=Route.TRACE, why=_OWN)
forwarded("mlock2", 325, route=Route.TRACE, why=_OWN)
forwarded("remap_file_pages", 216, route=Route.TRACE, why=_OWN)
forwarded("mbind", 237, route=Route.TRACE, why=_POLICY)
forwarded("set_mempolicy", 238, route=Route.TRACE, why=_POLICY)
forwarded("get_mempolicy", 239, route=Route.TRACE, why=_POLICY)
forwarded("set_mempolicy_home_node", 450, route=Route.TRACE, why=_POLICY)
forwarded("pkey_mprotect", 329, route=Route.TRACE, why=_OWN)
forwarded("pkey_alloc", 330, route=Route.TRACE, why="the caller's own protection keys")
forwarded("pkey_free", 331, route=Route.TRACE, why="the caller's own protection keys")
forwarded("mseal", 462, route=Route.TRACE, why=_OWN)
forwarded("cachestat", 451, route=Route.TRACE, why="figures of a descriptor the caller holds")


def _own_only(thread: Thread, pid: int) -> Forward:
    if pid in (0, thread.tid, thread.process.pid):
        return FORWARD
    raise SyscallError(Errno.ESRCH if thread.executive.processes.process_of_task(pid) is None else Errno.EPERM)


@syscall("migrate_pages", number=256, route=Route.TRACE, support=Support.PARTIAL, note="only of the caller itself")
def sys_migrate_pages(thread: Thread, pid: Pid, maximum: ULong, old: Address, new: Address) -> Forward:
    """migrate_pages(2). Compare Linux mm/mempolicy.c:kernel_migrate_pages(). Raises: ESRCH; EPERM another process."""
    return _own_only(thread, pid)


@syscall("move_pages", number=279, route=Route.TRACE, support=Support.PARTIAL, note="only of the caller itself")
def sys_move_pages(thread: Thread, pid: Pid, count: ULong, pages: Address) -> Forward:
    """move_pages(2). Compare Linux mm/migrate.c:kernel_move_pages(). Raises: ESRCH; EPERM another process."""
    return _own_only(thread, pid)


# -- System V IPC and POSIX message queues --------------------------------------------------------------------------------
_IPC_NOTE: Final = "ENOSYS unless the sandbox has an IPC name space of its own"


def _private_ipc(thread: Thread) -> Forward:
    if thread.executive.private_ipc:
        return FORWARD
    raise SyscallError(Errno.ENOSYS)


@syscall("shmget", number=29, route=Route.TRACE, support=Support.PARTIAL, note=_IPC_NOTE)
def sys_shmget(thread: Thread) -> Forward:
    """shmget(2): forwarded in a private IPC name space. Raises: ENOSYS otherwise."""
    return _private_ipc(thread)


@syscall("shmat", number=30, route=Route.TRACE, support=Support.PARTIAL, note=_IPC_NOTE)
def sys_shmat(thread: Thread) -> Forward:
    """shmat(2): forwarded in a private IPC name space. Raises: ENOSYS otherwise."""
    return _private_ipc(thread)


@syscall("shmctl", number=31, route=Route.TRACE, support=Support.PARTIAL, note=_IPC_NOTE)
def sys_shmctl(thread: Thread) -> Forward:
    """shmctl(2): forwarded in a private IPC name space. Raises: ENOSYS otherwise."""
    return _private_ipc(thread)


@syscall("semget", number=64, route=Route.TRACE, support=Support.PARTIAL, note=_IPC_NOTE)
def sys_semget(thread: Thread) -> Forward:
    """semget(2): forwarded in a private IPC name space. Raises: ENOSYS otherwise."""
    return _private_ipc(thread)


@syscall("semop", number=65, route=Route.TRACE, support=Support.PARTIAL, note=_IPC_NOTE)
def sys_semop(thread: Thread) -> Forward:
    """semop(2): forwarded in a private IPC name space. Raises: ENOSYS otherwise."""
    return _private_ipc(thread)


@syscall("semctl", number=66, route=Route.TRACE, support=Support.PARTIAL, note=_IPC_NOTE)
def sys_semctl(thread: Thread) -> Forward:
    """semctl(2): forwarded in a private IPC name space. Raises: ENOSYS otherwise."""
    return _private_ipc(thread)


@syscall("shmdt", number=67, route=Route.TRACE, support=Support.PARTIAL, note=_IPC_NOTE)
def sys_shmdt(thread: Thread) -> Forward:
    """shmdt(2): forwarded in a private IPC name space. Raises: ENOSYS otherwise."""
    return _private_ipc(thread)


@syscall("msgget", number=68, route=Route.TRACE, support=Support.PARTIAL, note=_IPC_NOTE)
def sys_msgget(thread: Thread) -> Forward:
    """msgget(2): forwarded in a private IPC name space. Raises: ENOSYS otherwise."""
    return _private_ipc(thread)


@syscall("msgsnd", number=69, route=Route.TRACE, support=Support.PARTIAL, note=_IPC_NOTE)
def sys_msgsnd(thread: Thread) -> Forward:
    """msgsnd(2): forwarded in a private IPC name space. Raises: ENOSYS otherwise."""
    return _private_ipc(thread)


@syscall("msgrcv", number=70, route=Route.TRACE, support=Support.PARTIAL, note=_IPC_NOTE)
def sys_msgrcv(thread: Thread) -> Forward:
    """msgrcv(2): forwarded in a private IPC name space. Raises: ENOSYS otherwise."""
    return _private_ipc(thread)


@syscall("msgctl", number=71, route=Route.TRACE, support=Support.PARTIAL, note=_IPC_NOTE)
def sys_msgctl(thread: Thread) -> Forward:
    """msgctl(2): forwarded in a private IPC name space. Raises: ENOSYS otherwise."""
    return _private_ipc(thread)


@syscall("semtimedop", number=220, route=Route.TRACE, support=Support.PARTIAL, note=_IPC_NOTE)
def sys_semtimedop(thread: Thread) -> Forward:
    """semtimedop(2): forwarded in a private IPC name space. Raises: ENOSYS otherwise."""
    return _private_ipc(thread)


@syscall("mq_open", number=240, route=Route.TRACE, support=Support.PARTIAL, note=_IPC_NOTE)
def sys_mq_open(thread: Thread) -> Forward:
    """mq_open(2): forwarded in a private IPC name space. Raises: ENOSYS otherwise."""
    return _private_ipc(thread)


@syscall("mq_unlink", number=241, route=Route.TRACE, support=Support.PARTIAL, note=_IPC_NOTE)
def sys_mq_unlink(thread: Thread) -> Forward:
    """mq_unlink(2): forwarded in a private IPC name space. Raises: ENOSYS otherwise."""
    return _private_ipc(thread)


@syscall("mq_timedsend", number=242, route=Route.TRACE, support=Support.PARTIAL, note=_IPC_NOTE)
def sys_mq_timedsend(thread: Thread) -> Forward:
    """mq_timedsend(2): forwarded in a private IPC name space. Raises: ENOSYS otherwise."""
    return _private_ipc(thread)


@syscall("mq_timedreceive", number=243, route=Route.TRACE, support=Support.PARTIAL, note=_IPC_NOTE)
def sys_mq_timedreceive(thread: Thread) -> Forward:
    """mq_timedreceive(2): forwarded in a private IPC name space. Raises: ENOSYS otherwise."""
    return _private_ipc(thread)


@syscall("mq_notify", number=244, route=Route.TRACE, support=Support.PARTIAL, note=_IPC_NOTE)
def sys_mq_notify(thread: Thread) -> Forward:
    """mq_notify(2): forwarded in a private IPC name space. Raises: ENOSYS otherwise."""
    return _private_ipc(thread)


@syscall("mq_getsetattr", number=245, route=Route.TRACE, support=Support.PARTIAL, note=_IPC_NOTE)
def sys_mq_getsetattr(thread: Thread) -> Forward:
    """mq_getsetattr(2): forwarded in a private IPC name space. Raises: ENOSYS otherwise."""
    return _private_ipc(thread)
