"""The system call boundary: number and raw registers in, an answer out. The only place where errors become numbers.

Owns the translation SyscallError, HostError, StatusError -> -errno, the answer to unknown numbers (ENOSYS) and the containment of our
own bugs: an unexpected exception is reported to the fault hook with its traceback and the guest gets EIO. Blocking handlers come back
as generators; advance() and interrupt() run them a step at a time with the same translation. Must not know engines or registers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pylibos.abi.errno import Errno
from pylibos.abi.ntstatus import ERRNO_OF
from pylibos.emulation.errors import Interrupted, SyscallError
from pylibos.emulation.object_manager.errors import StatusError
from pylibos.emulation.outcome import Blocking, Clone, Exec, Forward, Install, Remote, Translated, Wait
from pylibos.emulation.syscalls.table import ENTRIES, TABLE, Restart
from pylibos.monitor.host_abi import HostError

if TYPE_CHECKING:
    from pylibos.emulation.process.thread import Thread

Answer = int | Forward | Translated | Clone | Install | Exec | Remote
"""A finished call. int: the result, or -errno; -512..-514 are the restart codes of an interrupted wait (table.Restart)."""

FaultHook = Callable[["Thread", int, tuple[int, ...], Exception], None]

ENOSYS_RESULT: Final = -int(Errno.ENOSYS)
EIO_RESULT: Final = -int(Errno.EIO)


def _print_fault(thread: Thread, number: int, args: tuple[int, ...], fault: Exception) -> None:
    import sys  # here: start-up does not pay for what is needed only when something is already wrong
    import traceback

    row = TABLE.get(number)
    arguments = ", ".join(hex(argument) for argument in args)
    sys.stderr.write(f"pylibos: internal fault in {row.name if row else number}({arguments}), thread {thread.tid}\n")
    sys.stderr.writelines(traceback.format_exception(fault))


class InternalFault:
    """Where bugs of ours are reported: a hook the runtime points at its audit log, and a count tests look at."""

    __slots__ = ("count", "hook")

    def __init__(self) -> None:
        self.hook: FaultHook = _print_fault
        self.count = 0

    def report(self, thread: Thread, number: int, args: tuple[int, ...], fault: Exception) -> int:
        """Count and report; the guest's answer."""
        self.count += 1
        self.hook(thread, number, args, fault)
        return EIO_RESULT


internal_fault: Final = InternalFault()


def dispatch(thread: Thread, number: int, args: tuple[int, ...]) -> Answer | Blocking:
    """Answer one call. args: the six raw argument registers, unsigned 64-bit. A generator is a call that waits: advance() it."""
    try:
        entry = ENTRIES[number]
    except KeyError:
        return ENOSYS_RESULT
    try:
        result: Answer | Blocking | None = entry(thread, args)
    except SyscallError as error:
        return -int(error.errno)
    except HostError as error:
        return -error.errno
    except StatusError as error:
        return -int(ERRNO_OF[error.status])
    except Exception as fault:
        return internal_fault.report(thread, number, args, fault)
    return 0 if result is None else result


def advance(thread: Thread, number: int, blocking: Blocking, value: int | None = None) -> Answer | Wait:
    """Run a blocking handler to its next Wait or its end. value: the index of the satisfied object; None at the start and on time-out."""
    try:
        return blocking.send(value)
    except StopIteration as stop:
        result: Answer | None = stop.value
        return 0 if result is None else result
    except SyscallError as error:
        return -int(error.errno)
    except HostError as error:
        return -error.errno
    except StatusError as error:
        return -int(ERRNO_OF[error.status])
    except Exception as fault:
        return internal_fault.report(thread, number, (), fault)


def interrupt(thread: Thread, number: int, blocking: Blocking) -> Answer | Wait:
    """Tell a waiting handler that its thread has a signal to take. The call's restart code unless the handler answers itself."""
    try:
        return blocking.throw(Interrupted())
    except StopIteration as stop:
        result: Answer | None = stop.value
        return 0 if result is None else result
    except Interrupted:
        row = TABLE.get(number)
        return -int(Restart.SYS if row is None else row.restart)
    except SyscallError as error:
        return -int(error.errno)
    except HostError as error:
        return -error.errno
    except StatusError as error:
        return -int(ERRNO_OF[error.status])
    except Exception as fault:
        return internal_fault.report(thread, number, (), fault)


def cancel(blocking: Blocking) -> None:
    """Drop a waiting handler whose thread is gone; its finally clauses run, whatever they raise is of no interest any more."""
    try:
        blocking.close()
    except (SyscallError, HostError, StatusError, RuntimeError):
        return
