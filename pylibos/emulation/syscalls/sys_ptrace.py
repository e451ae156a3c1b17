"""ptrace(2) of a guest by a guest.

Decodes requests and checks permission; the state machine is process/tracing.py's, and what reads or changes a stopped tracee is done by
the host tracer, which is ours, with copies of ours (TraceAccess). So no request reaches a task outside the sandbox: a number that is
nobody's in the table is ESRCH. PTRACE_O_SUSPEND_SECCOMP is EPERM, always; no option of a guest's reaches the host as such.

An adversarial guest can send here: any request, number and address; register sets of any size (bounded), registers of any content (the host
kernel checks what a tracer may set, and our filter runs after whatever a tracer does to a call).

Source: Linux 6.18 kernel/ptrace.c, arch/x86/kernel/ptrace.c.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pylibos.abi import process as c
from pylibos.abi import ptrace as p
from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.security.access import require_access
from pylibos.emulation.syscalls.params import Address, Long, ULong
from pylibos.emulation.syscalls.table import Route, Support, syscall

if TYPE_CHECKING:
    from pylibos.emulation.executive import TraceAccess
    from pylibos.emulation.process.thread import Thread
    from pylibos.emulation.process.tracing import Tracee, Traces

_WORD: Final = 8
_IOVEC: Final = 16
_SIGSET: Final = 8


def _traces(thread: Thread) -> Traces:
    observer = thread.executive.observer
    if observer is None:
        raise SyscallError(Errno.ENOSYS)
    return observer.traces()


def _access(thread: Thread) -> TraceAccess:
    observer = thread.executive.observer
    if observer is None:
        raise SyscallError(Errno.ENOSYS)
    return observer.access()


# -- getting a tracee ---------------------------------------------------------------------------------------------------
def _trace_me(thread: Thread) -> None:
    parent = thread.process.parent
    if parent is None or parent.exit_status is not None:
        raise SyscallError(Errno.EPERM)
    _traces(thread).attach(thread, parent, seized=False)


def _options(value: int) -> int:
    if value & ~p.OPTIONS:
        raise SyscallError(Errno.EINVAL)
    if value & p.O_SUSPEND_SECCOMP:
        raise SyscallError(Errno.EPERM)
    return value


def _attach(thread: Thread, pid: int, address: int, data: int, *, seized: bool) -> None:
    if seized and address:
        raise SyscallError(Errno.EIO)
    options = 0
    if seized:
        if data & ~p.OPTIONS:
            raise SyscallError(Errno.EIO)
        options = _options(data)
    target = thread.executive.processes.thread(pid) if pid > 0 else None
    if target is None:
        raise SyscallError(Errno.ESRCH)
    if target.process is thread.process:
        raise SyscallError(Errno.EPERM)
    require_access(thread.process, target.process)
    _traces(thread).attach(target, thread.process, seized=seized, options=options, stop=not seized)


# -- a stopped tracee -----------------------------------------------------------------------------------------------------
def _resume(thread: Thread, tracee: Tracee, request: int, data: int) -> None:
    if data > c.NSIG:
        raise SyscallError(Errno.EIO)
    _traces(thread).resume(tracee, request, data)


def _detach(thread: Thread, tracee: Tracee, _address: int, data: int) -> None:
    if data > c.NSIG:
        raise SyscallError(Errno.EIO)
    _traces(thread).detach(tracee, data)


def _set_options(thread: Thread, tracee: Tracee, _address: int, data: int) -> None:
    tracee.options = _options(data)


def _event_message(thread: Thread, tracee: Tracee, _address: int, data: int) -> None:
    thread.memory.write(data, tracee.event_message.to_bytes(_WORD, "little"))


def _get_signal_information(thread: Thread, tracee: Tracee, _address: int, data: int) -> None:
    stop = tracee.stop
    assert stop is not None
    if stop.group:
        raise SyscallError(Errno.EINVAL)
    information = stop.information
    if information is None:
        information = _access(thread).read(tracee.thread, p.GETSIGINFO, 0, p.SIGINFO_SIZE)
    thread.memory.write(data, information)


def _set_signal_information(thread: Thread, tracee: Tracee, _address: int, data: int) -> None:
    information = thread.memory.read(data, p.SIGINFO_SIZE)
    stop = tracee.stop
    assert stop is not None
    if stop.group:
        raise SyscallError(Errno.EINVAL)
    if stop.information is None:
        _access(thread).write(tracee.thread, p.SETSIGINFO, 0, information)


def _peek(request: int) -> Handler:
    def handler(thread: Thread, tracee: Tracee, address: int, data: int) -> None:
        thread.memory.write(data, _access(thread).read(tracee.thread, request, address, _WORD))

    return handler


def _poke(request: int) -> Handler:
    def handler(thread: Thread, tracee: Tracee, address: int, data: int) -> None:
        _access(thread).plain(tracee.thread, request, address, data)

    return handler


def _get(request: int, size: int) -> Handler:
    """A whole structure to data."""

    def handler(thread: Thread, tracee: Tracee, _address: int, data: int) -> None:
        thread.memory.write(data, _access(thread).read(tracee.thread, request, 0, size))

    return handler


def _set(request: int, size: int) -> Handler:
    def handler(thread: Thread, tracee: Tracee, _address: int, data: int) -> None:
        _access(thread).write(tracee.thread, request, 0, thread.memory.read(data, size))

    return handler


def _vector(thread: Thread, data: int) -> tuple[int, int]:
    raw = thread.memory.read(data, _IOVEC)
    return int.from_bytes(raw[:_WORD], "little"), int.from_bytes(raw[_WORD:], "little")


def _get_register_set(thread: Thread, tracee: Tracee, address: int, data: int) -> None:
    base, size = _vector(thread, data)
    found = _access(thread).read_set(tracee.thread, address, min(size, p.REGISTER_SET_MAX))
    thread.memory.write(base, found)
    thread.memory.write(data + _WORD, len(found).to_bytes(_WORD, "little"))


def _set_register_set(thread: Thread, tracee: Tracee, address: int, data: int) -> None:
    base, size = _vector(thread, data)
    _access(thread).write_set(tracee.thread, address, thread.memory.read(base, min(size, p.REGISTER_SET_MAX)))


def _get_signal_mask(thread: Thread, tracee: Tracee, address: int, data: int) -> None:
    if address != _SIGSET:
        raise SyscallError(Errno.EINVAL)
    thread.memory.write(data, _access(thread).read(tracee.thread, p.GETSIGMASK, _SIGSET, _SIGSET))


def _set_signal_mask(thread: Thread, tracee: Tracee, address: int, data: int) -> None:
    if address != _SIGSET:
        raise SyscallError(Errno.EINVAL)
    _access(thread).write(tracee.thread, p.SETSIGMASK, _SIGSET, thread.memory.read(data, _SIGSET))


def _get_syscall_information(thread: Thread, tracee: Tracee, address: int, data: int) -> int:
    information = _access(thread).call_information(tracee)
    thread.memory.write(data, information[: min(address, len(information))])
    return len(information)


Handler = Callable[["Thread", "Tracee", int, int], int | None]

_OF_STOPPED: Final[dict[int, Handler]] = {
    p.PEEKTEXT: _peek(p.PEEKDATA),
    p.PEEKDATA: _peek(p.PEEKDATA),
    p.PEEKUSER: _peek(p.PEEKUSER),
    p.POKETEXT: _poke(p.POKEDATA),
    p.POKEDATA: _poke(p.POKEDATA),
    p.POKEUSER: _poke(p.POKEUSER),
    p.GETREGS: _get(p.GETREGS, p.REGISTERS_SIZE),
    p.SETREGS: _set(p.SETREGS, p.REGISTERS_SIZE),
    p.GETFPREGS: _get(p.GETFPREGS, p.FLOATING_POINT_SIZE),
    p.SETFPREGS: _set(p.SETFPREGS, p.FLOATING_POINT_SIZE),
    p.DETACH: _detach,
    p.SETOPTIONS: _set_options,
    p.GETEVENTMSG: _event_message,
    p.GETSIGINFO: _get_signal_information,
    p.SETSIGINFO: _set_signal_information,
    p.GETREGSET: _get_register_set,
    p.SETREGSET: _set_register_set,
    p.GETSIGMASK: _get_signal_mask,
    p.SETSIGMASK: _set_signal_mask,
    p.GET_SYSCALL_INFO: _get_syscall_information,
}


def _interrupt(thread: Thread, pid: int) -> None:
    target = thread.executive.processes.thread(pid)
    tracee = None if target is None else _traces(thread).of(target)
    if tracee is None or tracee.tracer is not thread.process:
        raise SyscallError(Errno.ESRCH)
    if not tracee.seized:
        raise SyscallError(Errno.EIO)
    _traces(thread).interrupt(tracee)


@syscall(
    "ptrace",
    number=101,
    route=Route.TRACE,
    support=Support.PARTIAL,
    note="the tracer is a process, not one of its threads; no SYSEMU, SINGLEBLOCK, PEEKSIGINFO, SECCOMP_GET_FILTER (EIO)",
)
def sys_ptrace(thread: Thread, request: Long, pid: Long, address: Address, data: ULong) -> int | None:
    """ptrace(2) between guests. Compare Linux kernel/ptrace.c.

    Raises: ESRCH nobody in the sandbox, not the caller's tracee, or not stopped; EPERM; EINVAL options; EIO request, signal; EFAULT.
    """
    if request == p.TRACEME:
        _trace_me(thread)
        return None
    if request in (p.ATTACH, p.SEIZE):
        _attach(thread, pid, address, data, seized=request == p.SEIZE)
        return None
    if request == p.INTERRUPT:
        _interrupt(thread, pid)
        return None
    traces = _traces(thread)
    target = thread.executive.processes.thread(pid) if pid > 0 else None
    if request == p.KILL:
        tracee = None if target is None else traces.of(target)
        if tracee is None or tracee.tracer is not thread.process:
            raise SyscallError(Errno.ESRCH)
        traces.engine.kill(tracee.thread)
        return None
    tracee = traces.stopped(target, thread.process)
    if request in p.RESUMPTIONS:
        _resume(thread, tracee, request, data)
        return None
    if request == p.LISTEN:
        if not tracee.seized or tracee.stop is None or tracee.stop.code >> 8 != p.EVENT_STOP:
            raise SyscallError(Errno.EIO)
        _access(thread).listen(tracee)
        return None
    handler = _OF_STOPPED.get(request)
    if handler is None:
        raise SyscallError(Errno.EIO)
    return handler(thread, tracee, address, data)
