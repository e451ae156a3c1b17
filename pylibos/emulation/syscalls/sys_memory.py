"""Memory beyond mmap: residency, locking, policies, protection keys, sealing.

The address space is the host's, so what names only the caller's own addresses is forwarded. What names other processes is confined to
the caller.

Source: Linux 6.18 mm/{msync,mincore,mlock,mempolicy,migrate,mseal}.c.
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
