"""prctl(2) and arch_prctl(2): the multiplexers of per-process switches.

Each option is answered from the library OS's own state, or is register-only and harmless and then forwarded, or is EINVAL as on a
kernel built without it. Options that would weaken interception (a filter of the guest's own, making itself undumpable to us, moving
its memory map, syscall user dispatch) never reach the host.

Source: Linux 6.18 kernel/sys.c (prctl), security/commoncap.c (cap_task_prctl), arch/x86/kernel/process_64.c (do_arch_prctl_64).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pylibos.abi import bpf
from pylibos.abi import process as c
from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.outcome import FORWARD, Forward
from pylibos.emulation.process.table import COMM_SIZE
from pylibos.emulation.security.capabilities import LAST_CAPABILITY, SecureBits
from pylibos.emulation.syscalls.params import Int, ULong
from pylibos.emulation.syscalls.sys_seccomp import set_filter, set_strict
from pylibos.emulation.syscalls.table import Route, Support, fallback, syscall

if TYPE_CHECKING:
    from pylibos.emulation.process.thread import Thread

Arguments = tuple[int, int, int, int]
"""arg2..arg5 of prctl as raw registers."""
Option = Callable[["Thread", Arguments], int | Forward | None]

_SUID_DUMP_USER: Final = 1


def _put_int(thread: Thread, address: int, value: int) -> None:
    thread.memory.write(address, (value & 0xFFFFFFFF).to_bytes(4, "little"))


def _none(arguments: Arguments, first: int) -> None:
    """EINVAL unless the arguments from index ``first`` on are zero."""
    if any(arguments[first:]):
        raise SyscallError(Errno.EINVAL)


def _set_name(thread: Thread, arguments: Arguments) -> None:
    # strncpy_from_user of 15 bytes: a name that long need not end inside them.
    raw = thread.memory.read_partial(arguments[0], COMM_SIZE)
    name, nul, _ = raw.partition(b"\0")
    if not nul and len(raw) < COMM_SIZE:
        raise SyscallError(Errno.EFAULT)
    thread.comm = name
    if thread.is_leader:
        thread.process.comm = name


def _get_name(thread: Thread, arguments: Arguments) -> None:
    thread.executive.files.drain()  # a name written to /proc/self/comm
    thread.memory.write(arguments[0], thread.comm.ljust(COMM_SIZE + 1, b"\0"))


def _set_death_signal(thread: Thread, arguments: Arguments) -> Forward:
    if arguments[0] > c.NSIG:
        raise SyscallError(Errno.EINVAL)
    thread.process.parent_death_signal = arguments[0]
    return FORWARD


def _get_death_signal(thread: Thread, arguments: Arguments) -> None:
    _put_int(thread, arguments[0], thread.process.parent_death_signal)


def _get_dumpable(thread: Thread, _: Arguments) -> int:
    return thread.process.dumpable


def _set_dumpable(thread: Thread, arguments: Arguments) -> None:
    # Not forwarded: on the host it would take /proc/PID/mem from us; in the view it only changes what /proc shows.
    if arguments[0] > _SUID_DUMP_USER:
        raise SyscallError(Errno.EINVAL)
    thread.process.dumpable = arguments[0]


def _get_keep_capabilities(thread: Thread, _: Arguments) -> int:
    return int(bool(thread.process.credentials.securebits & SecureBits.KEEP_CAPS))


def _set_keep_capabilities(thread: Thread, arguments: Arguments) -> None:
    if arguments[0] > 1:
        raise SyscallError(Errno.EINVAL)
    thread.process.credentials.set_keep_capabilities(bool(arguments[0]))


def _read_bounding(thread: Thread, arguments: Arguments) -> int:
    if arguments[0] > LAST_CAPABILITY:
        raise SyscallError(Errno.EINVAL)
    return thread.process.credentials.bounding >> arguments[0] & 1


def _drop_bounding(thread: Thread, arguments: Arguments) -> None:
    thread.process.credentials.drop_bounding(arguments[0])


def _get_securebits(thread: Thread, _: Arguments) -> int:
    return thread.process.credentials.securebits


def _set_securebits(thread: Thread, arguments: Arguments) -> None:
    thread.process.credentials.set_securebits(arguments[0])


def _ambient(thread: Thread, arguments: Arguments) -> int | None:
    action, number = arguments[0], arguments[1]
    credentials = thread.process.credentials
    if action == c.PR_CAP_AMBIENT_CLEAR_ALL:
        _none(arguments, 1)
        credentials.clear_ambient()
        return None
    _none(arguments, 2)
    if number > LAST_CAPABILITY:
        raise SyscallError(Errno.EINVAL)
    if action == c.PR_CAP_AMBIENT_IS_SET:
        return credentials.ambient >> number & 1
    if action == c.PR_CAP_AMBIENT_RAISE:
        credentials.raise_ambient(number)
    elif action == c.PR_CAP_AMBIENT_LOWER:
        credentials.lower_ambient(number)
    else:
        raise SyscallError(Errno.EINVAL)
    return None


def _set_no_new_privileges(thread: Thread, arguments: Arguments) -> None:
    if arguments[0] != 1:
        raise SyscallError(Errno.EINVAL)
    _none(arguments, 1)
    thread.process.credentials.no_new_privs = True


def _get_no_new_privileges(thread: Thread, arguments: Arguments) -> int:
    _none(arguments, 0)
    return int(thread.process.credentials.no_new_privs)


def _set_subreaper(thread: Thread, arguments: Arguments) -> Forward:
    thread.process.child_subreaper = bool(arguments[0])
    return FORWARD


def _get_subreaper(thread: Thread, arguments: Arguments) -> None:
    _put_int(thread, arguments[0], int(thread.process.child_subreaper))


def _get_seccomp(thread: Thread, _: Arguments) -> int:
    return 0 if thread.seccomp is None else thread.seccomp.mode


def _set_seccomp(thread: Thread, arguments: Arguments) -> int | None:
    if arguments[0] == bpf.MODE_STRICT:
        set_strict(thread)
        return None
    if arguments[0] == bpf.MODE_FILTER:
        return set_filter(thread, 0, arguments[1])
    raise SyscallError(Errno.EINVAL)


def _refuse_permission(_: Thread, __: Arguments) -> None:
    raise SyscallError(Errno.EPERM)


def _forward(_: Thread, __: Arguments) -> Forward:
    return FORWARD


def _forward_plain_get(_: Thread, arguments: Arguments) -> Forward:
    _none(arguments, 0)
    return FORWARD


def _thp_disable(_: Thread, arguments: Arguments) -> Forward:
    _none(arguments, 1)
    return FORWARD


def _get_tsc(thread: Thread, arguments: Arguments) -> None:
    _put_int(thread, arguments[0], 1)


def _set_tsc(_: Thread, arguments: Arguments) -> None:
    # PR_TSC_SIGSEGV would also stop the vDSO from reading the clock; a kernel may lack it, ours does.
    if arguments[0] != 1:
        raise SyscallError(Errno.EINVAL)


_OPTIONS: Final[dict[int, Option]] = {
    c.PR_SET_PDEATHSIG: _set_death_signal,
    c.PR_GET_PDEATHSIG: _get_death_signal,
    c.PR_GET_DUMPABLE: _get_dumpable,
    c.PR_SET_DUMPABLE: _set_dumpable,
    c.PR_GET_KEEPCAPS: _get_keep_capabilities,
    c.PR_SET_KEEPCAPS: _set_keep_capabilities,
    c.PR_GET_TIMING: lambda _, __: 0,
    c.PR_SET_NAME: _set_name,
    c.PR_GET_NAME: _get_name,
    c.PR_GET_SECCOMP: _get_seccomp,
    c.PR_SET_SECCOMP: _set_seccomp,
    c.PR_CAPBSET_READ: _read_bounding,
    c.PR_CAPBSET_DROP: _drop_bounding,
    c.PR_GET_TSC: _get_tsc,
    c.PR_SET_TSC: _set_tsc,
    c.PR_GET_SECUREBITS: _get_securebits,
    c.PR_SET_SECUREBITS: _set_securebits,
    c.PR_SET_TIMERSLACK: _forward,
    c.PR_GET_TIMERSLACK: _forward,
    c.PR_MCE_KILL: _forward,
    c.PR_MCE_KILL_GET: _forward_plain_get,
    c.PR_SET_MM: _refuse_permission,
    c.PR_SET_CHILD_SUBREAPER: _set_subreaper,
    c.PR_GET_CHILD_SUBREAPER: _get_subreaper,
    c.PR_SET_NO_NEW_PRIVS: _set_no_new_privileges,
    c.PR_GET_NO_NEW_PRIVS: _get_no_new_privileges,
    c.PR_SET_THP_DISABLE: _thp_disable,
    c.PR_GET_THP_DISABLE: _forward_plain_get,
    c.PR_CAP_AMBIENT: _ambient,
    c.PR_GET_SPECULATION_CTRL: _forward,
    c.PR_SET_SPECULATION_CTRL: _forward,
    c.PR_SET_IO_FLUSHER: _refuse_permission,
    c.PR_GET_IO_FLUSHER: _refuse_permission,
    c.PR_SET_MDWE: _forward,
    c.PR_GET_MDWE: _forward_plain_get,
    c.PR_SET_MEMORY_MERGE: _forward,
    c.PR_GET_MEMORY_MERGE: _forward_plain_get,
}


@syscall(
    "prctl",
    number=157,
    route=Route.NOTIFY,
    support=Support.PARTIAL,
    note="no PR_SET_MM, PR_SET_VMA, PR_TSC_SIGSEGV, user dispatch, core scheduling, PR_GET_AUXV",
)
def sys_prctl(thread: Thread, option: Int, arg2: ULong, arg3: ULong, arg4: ULong, arg5: ULong) -> int | Forward | None:
    """prctl(2). Compare Linux kernel/sys.c.

    Raises: EINVAL unknown option or value, also those a kernel may be built without; EPERM capability missing; EFAULT.
    """
    handler = _OPTIONS.get(option)
    if handler is None:
        raise SyscallError(Errno.EINVAL)
    return handler(thread, (arg2, arg3, arg4, arg5))


_ARCH_FORWARDED: Final = frozenset(
    (
        c.ARCH_SET_FS,
        c.ARCH_GET_FS,
        c.ARCH_SET_GS,
        c.ARCH_GET_GS,
        c.ARCH_GET_XCOMP_SUPP,
        c.ARCH_GET_XCOMP_PERM,
        c.ARCH_REQ_XCOMP_PERM,
    )
)


@fallback("arch_prctl", number=158)
def sys_arch_prctl(thread: Thread, option: Int, address: ULong) -> Forward | int:
    """arch_prctl(2): the bases of fs and gs and the AMX permission are forwarded. Compare arch/x86/kernel/process_64.c.

    Raises: ENODEV ARCH_SET_CPUID; EINVAL anything else, as on a kernel without it.
    """
    if option in _ARCH_FORWARDED:
        return FORWARD
    if option == c.ARCH_GET_CPUID:
        return 1
    raise SyscallError(Errno.ENODEV if option == c.ARCH_SET_CPUID else Errno.EINVAL)
