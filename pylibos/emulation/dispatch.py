"""The system call boundary (NT KiSystemService): table lookup, decoding, and the one place where errors become numbers.

SyscallError and HostError are the guest's errors: -errno. Anything else a handler raises is our bug: it is reported with its
traceback through ``on_fault``, the guest gets EIO, and the sandbox goes on. Control outcomes pass through untouched.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pylibos.abi.errno import Errno
from pylibos.emulation.errors import Interrupted, SyscallError
from pylibos.emulation.outcome import FORWARD
from pylibos.emulation.syscalls.table import TABLE
from pylibos.monitor.host_abi import HostError

if TYPE_CHECKING:
    from pylibos.emulation.outcome import Blocking, Outcome, Wait
    from pylibos.emulation.process.thread import Thread

_ENOSYS = -Errno.ENOSYS.value
_EIO = -Errno.EIO.value
_EINTR = -Errno.EINTR.value


class FaultHook:
    """Where internal faults are reported: the runtime sets ``report``."""

    report: Callable[[str], None] = print


def dispatch(thread: Thread, number: int, args: Sequence[int]) -> Outcome | Blocking:
    """Answer one call: a number, a control outcome, or a generator that waits."""
    row = TABLE.get(number)
    if row is None:
        return _ENOSYS
    invoke = row.invoke
    if invoke is None:
        return FORWARD if row.errno is None else -row.errno.value
    try:
        result = invoke(thread, args)
    except SyscallError as error:
        return -error.errno.value
    except HostError as error:
        return -error.errno
    except Exception:
        fault(thread, row.name, args)
        return _EIO
    return 0 if result is None else result  # type: ignore[no-any-return]


def finish(thread: Thread, advance: Callable[[], Wait]) -> Outcome | Wait:
    """Take one step of a waiting handler: its next Wait, or its outcome, with the same translation of errors."""
    try:
        return advance()
    except StopIteration as stop:
        return 0 if stop.value is None else stop.value  # type: ignore[no-any-return]
    except SyscallError as error:
        return -error.errno.value
    except HostError as error:
        return -error.errno
    except Interrupted:
        return _EINTR
    except Exception:
        fault(thread, "a waiting call", ())
        return _EIO


def fault(thread: Thread, name: str, args: Sequence[int]) -> None:
    """Report the exception being handled as our bug."""
    shown = ", ".join(f"{value:#x}" for value in args)
    FaultHook.report(f"internal fault in {name}({shown}) of pid {thread.process.pid}:\n{traceback.format_exc()}")
