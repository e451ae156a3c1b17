"""seccomp(2), and prctl's half of it: a guest restricts itself.

Owns the checks and the choice of threads; filters are security/seccomp.py's, and what enforces them is the engine's (Executive.observer):
from here on every call of the thread is seen by us before it takes its route. Nothing of the guest's is installed in the host.

An adversarial guest can send here: programs of any content (verified by Linux's rules, bounded at 4096 instructions and 32768 on a path).

Source: Linux 6.18 kernel/seccomp.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pylibos.abi import bpf
from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.security.capabilities import Capability
from pylibos.emulation.syscalls.params import Address, UInt
from pylibos.emulation.syscalls.table import Route, Support, syscall

if TYPE_CHECKING:
    from pylibos.emulation.process.thread import Thread
    from pylibos.emulation.security.seccomp import Seccomp

_KNOWN_FLAGS: Final = bpf.FLAG_TSYNC | bpf.FLAG_LOG | bpf.FLAG_SPEC_ALLOW | bpf.FLAG_TSYNC_ESRCH
_ACTIONS: Final = frozenset(
    (
        bpf.SECCOMP_RET_KILL_PROCESS,
        bpf.SECCOMP_RET_KILL_THREAD,
        bpf.SECCOMP_RET_TRAP,
        bpf.SECCOMP_RET_ERRNO,
        bpf.SECCOMP_RET_TRACE,
        bpf.SECCOMP_RET_LOG,
        bpf.SECCOMP_RET_ALLOW,
    )
)


def set_strict(thread: Thread) -> None:
    """SECCOMP_SET_MODE_STRICT. Raises EINVAL when a filter is there already."""
    from pylibos.emulation.security.seccomp import Seccomp  # late: most guests never restrict themselves

    current = thread.seccomp
    if current is not None and current.mode != bpf.MODE_STRICT:
        raise SyscallError(Errno.EINVAL)
    _apply(thread, Seccomp(bpf.MODE_STRICT))


def set_filter(thread: Thread, flags: int, address: int) -> int:
    """SECCOMP_SET_MODE_FILTER: 0, or with TSYNC the tid of a thread that could not follow.

    Raises: EINVAL flags or program; EFAULT; EACCES without no_new_privs and CAP_SYS_ADMIN; ENOMEM too much; ESRCH with TSYNC_ESRCH.
    """
    from pylibos.emulation.security.seccomp import Program, Seccomp

    if flags & ~_KNOWN_FLAGS:
        raise SyscallError(Errno.EINVAL)
    count, instructions = bpf.PROGRAM.unpack(thread.memory.read(address, bpf.PROGRAM.size))
    if not 0 < count <= bpf.BPF_MAXINSNS:
        raise SyscallError(Errno.EINVAL)
    who = thread.process.credentials
    if not who.no_new_privs and not who.has_capability(Capability.SYS_ADMIN):
        raise SyscallError(Errno.EACCES)
    program = Program(thread.memory.read(instructions, count * bpf.INSTRUCTION.size), bool(flags & bpf.FLAG_LOG))
    current = thread.seccomp
    if current is not None and current.mode != bpf.MODE_FILTER:
        raise SyscallError(Errno.EINVAL)
    made = Seccomp(bpf.MODE_FILTER, program, current)
    if not flags & bpf.FLAG_TSYNC:
        _apply(thread, made)
        return 0
    others = [other for other in thread.process.threads.values() if other is not thread]
    for other in others:
        if other.seccomp is not None and (current is None or not current.descends_from(other.seccomp)):
            if flags & bpf.FLAG_TSYNC_ESRCH:
                raise SyscallError(Errno.ESRCH)
            return other.tid
    for member in (thread, *others):
        _apply(member, made)
    return 0


def _apply(thread: Thread, made: Seccomp) -> None:
    observer = thread.executive.observer
    if observer is None:
        raise SyscallError(Errno.EINVAL)  # nothing could enforce it
    thread.seccomp = made
    observer.filtered(thread)


@syscall(
    "seccomp",
    number=317,
    route=Route.TRACE,
    support=Support.PARTIAL,
    note="no user notification (NEW_LISTENER, GET_NOTIF_SIZES are EINVAL, as before Linux 5.0); LOG allows and logs nothing",
)
def sys_seccomp(thread: Thread, operation: UInt, flags: UInt, address: Address) -> int | None:
    """seccomp(2). Compare Linux kernel/seccomp.c:do_seccomp().

    Raises: EINVAL operation, flags, program; EFAULT; EACCES no_new_privs is not set; EOPNOTSUPP an action that is not there.
    """
    if operation == bpf.SET_MODE_STRICT:
        if flags or address:
            raise SyscallError(Errno.EINVAL)
        set_strict(thread)
        return None
    if operation == bpf.SET_MODE_FILTER:
        return set_filter(thread, flags, address)
    if operation == bpf.GET_ACTION_AVAIL:
        if flags:
            raise SyscallError(Errno.EINVAL)
        if int.from_bytes(thread.memory.read(address, 4), "little") not in _ACTIONS:
            raise SyscallError(Errno.EOPNOTSUPP)
        return None
    raise SyscallError(Errno.EINVAL)
