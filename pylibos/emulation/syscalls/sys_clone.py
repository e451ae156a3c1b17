"""clone(2) and clone3(2): what a new task shares, decided here, made by the host kernel.

fork, vfork and the plain clone flags are native (rows.py). Here: clone3, whose arguments lie in memory, and clone with flags that need a
decision. struct clone_args is copied once, checked as the kernel checks it, and becomes a clone(2) with its arguments in registers (Clone):
the kernel reads nothing again. CLONE_UNTRACED is taken out, so that no task is ever without us; CLONE_PTRACE too, because our tracer's
events already attach every child.

An adversarial guest can send here: any size and content of clone_args, flags that ask for new name spaces, a cgroup or numbers of its
choice. All of these are refused as Linux refuses them to who has no capability.

Source: Linux 6.18 kernel/fork.c (copy_clone_args_from_user, clone3_args_valid, kernel_clone).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

from pylibos.abi import process as c
from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.outcome import Clone
from pylibos.emulation.syscalls.params import Address, Size, ULong
from pylibos.emulation.syscalls.table import Route, Support, fallback, syscall

if TYPE_CHECKING:
    from pylibos.emulation.process.thread import Thread

_ARGUMENTS: Final = struct.Struct("<11Q")
_SIZE_FIRST: Final = 64
"""CLONE_ARGS_SIZE_VER0: what Linux 5.3 had."""
_SIZE_CGROUP: Final = 88
_SIZE_MAX: Final = 4096
_ADDRESS_LIMIT: Final = 1 << 47
_NAMESPACE_LEVELS: Final = 32
_INT_MAX: Final = 0x7FFFFFFF


class CloneArguments(NamedTuple):
    """struct clone_args, include/uapi/linux/sched.h; every field 64 bits."""

    flags: int
    pidfd: int
    child_tid: int
    parent_tid: int
    exit_signal: int
    stack: int
    stack_size: int
    tls: int
    set_tid: int
    set_tid_size: int
    cgroup: int


def _copy(thread: Thread, address: int, size: int) -> CloneArguments:
    """copy_struct_from_user: E2BIG for a larger struct with something in what we do not know; EINVAL too small; EFAULT."""
    if size > _SIZE_MAX:
        raise SyscallError(Errno.E2BIG)
    if size < _SIZE_FIRST:
        raise SyscallError(Errno.EINVAL)
    raw = thread.memory.read(address, size)
    if any(raw[_ARGUMENTS.size :]):
        raise SyscallError(Errno.E2BIG)
    return CloneArguments(*_ARGUMENTS.unpack(raw[: _ARGUMENTS.size].ljust(_ARGUMENTS.size, b"\0")))


def _check_numbers(thread: Thread, arguments: CloneArguments, size: int) -> None:
    """The part of the kernel's checks that comes with the copy. Raises EINVAL, EFAULT."""
    if arguments.set_tid_size > _NAMESPACE_LEVELS or bool(arguments.set_tid) != bool(arguments.set_tid_size):
        raise SyscallError(Errno.EINVAL)
    if arguments.exit_signal > c.NSIG:
        raise SyscallError(Errno.EINVAL)
    if arguments.flags & c.CLONE_INTO_CGROUP and (arguments.cgroup > _INT_MAX or size < _SIZE_CGROUP):
        raise SyscallError(Errno.EINVAL)
    if arguments.set_tid:
        thread.memory.read(arguments.set_tid, 4 * arguments.set_tid_size)


def _check_flags(arguments: CloneArguments) -> None:
    """clone3_args_valid. Raises EINVAL."""
    flags = arguments.flags
    if flags & ~(c.CLONE_LEGACY_FLAGS | c.CLONE_CLEAR_SIGHAND | c.CLONE_INTO_CGROUP):
        raise SyscallError(Errno.EINVAL)
    if flags & (c.CLONE_DETACHED | (c.CSIGNAL & ~c.CLONE_NEWTIME)):
        raise SyscallError(Errno.EINVAL)
    if flags & c.CLONE_SIGHAND and flags & c.CLONE_CLEAR_SIGHAND:
        raise SyscallError(Errno.EINVAL)
    if flags & (c.CLONE_THREAD | c.CLONE_PARENT) and arguments.exit_signal:
        raise SyscallError(Errno.EINVAL)
    stack, size = arguments.stack, arguments.stack_size
    if bool(stack) != bool(size) or stack >= _ADDRESS_LIMIT or size > _ADDRESS_LIMIT - stack:
        raise SyscallError(Errno.EINVAL)


def _check_sharing(flags: int) -> None:
    """copy_process: what Linux says of impossible combinations before it looks at capabilities. Raises EINVAL."""
    if flags & c.CLONE_FS and flags & (c.CLONE_NEWNS | c.CLONE_NEWUSER):
        raise SyscallError(Errno.EINVAL)
    if (flags & c.CLONE_THREAD and not flags & c.CLONE_SIGHAND) or (flags & c.CLONE_SIGHAND and not flags & c.CLONE_VM):
        raise SyscallError(Errno.EINVAL)


def _refuse_authority(flags: int) -> None:
    """New name spaces are the policy's. Raises EPERM."""
    _check_sharing(flags)
    if flags & c.NAMESPACE_FLAGS:
        raise SyscallError(Errno.EPERM)


@syscall(
    "clone3",
    number=435,
    route=Route.TRACE,
    support=Support.PARTIAL,
    note="no new name spaces, no numbers of the caller's choice (EPERM), no cgroup (EBADF: no guest can hold a descriptor of one)",
)
def sys_clone3(thread: Thread, address: Address, size: Size) -> Clone:
    """clone3(2). Compare Linux kernel/fork.c:clone3().

    Raises: E2BIG, EINVAL, EFAULT the arguments; EPERM a name space or set_tid; EBADF a cgroup. EAGAIN and ENOMEM come from the host.
    """
    arguments = _copy(thread, address, size)
    _check_numbers(thread, arguments, size)
    _check_flags(arguments)
    flags = arguments.flags & ~c.CLONE_TRACING
    if flags & c.CLONE_INTO_CGROUP:
        raise SyscallError(Errno.EBADF)
    _refuse_authority(flags)
    if arguments.set_tid:
        raise SyscallError(Errno.EPERM)
    wants_both = flags & c.CLONE_PIDFD and flags & c.CLONE_PARENT_SETTID
    if wants_both and arguments.pidfd == arguments.parent_tid:
        raise SyscallError(Errno.EINVAL)
    legacy = flags & c.CLONE_LEGACY_FLAGS & ~(c.CLONE_PARENT_SETTID if wants_both else 0)
    return Clone(
        legacy | arguments.exit_signal,
        arguments.stack + arguments.stack_size,
        arguments.pidfd if flags & c.CLONE_PIDFD else arguments.parent_tid,
        arguments.child_tid,
        arguments.tls,
        parent_tid_address=arguments.parent_tid if wants_both else 0,
        clear_handlers=bool(flags & c.CLONE_CLEAR_SIGHAND),
    )


@fallback("clone", number=56)
def sys_clone(thread: Thread, flags: ULong, stack: Address, parent_tid: Address, child_tid: Address, tls: ULong) -> Clone:
    """clone(2) with flags the filter does not let pass. Compare Linux kernel/fork.c. Raises: EPERM a name space; EINVAL from the host."""
    flags &= 0xFFFFFFFF & ~c.CLONE_TRACING
    _refuse_authority(flags & ~c.CLONE_NEWTIME)  # its bit belongs to the exit signal here
    return Clone(flags, stack, parent_tid, child_tid, tls)
