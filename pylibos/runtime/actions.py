"""Calls a stopped task is made to execute for us. The task stands behind a `syscall` instruction, which is used again.

Owns the few calls that are made so; what may go wrong (a guest that has unmapped the loader's page, or rewritten the instruction) hurts
only that guest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pylibos.abi.plan import SCRATCH_ADDRESS, SCRATCH_SIZE
from pylibos.emulation.errors import SyscallError
from pylibos.runtime.memory import TaskMemory
from pylibos.tracer import tracer as events

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pylibos.runtime.supervisor import Supervisor

NR_RT_SIGACTION: Final = 13
_DEFAULT_ACTION: Final = bytes(32)
"""struct kernel_sigaction: handler SIG_DFL, no flags, no restorer, no mask."""
_MASK_SIZE: Final = 8
_SYSCALL_SIZE: Final = 2


def default_actions(supervisor: Supervisor, tid: int, registers: list[int], signals: Iterable[int]) -> bool:
    """Give these signals their default action. registers: the task's own, which the caller sets again. False: the task is gone."""
    action = SCRATCH_ADDRESS + SCRATCH_SIZE - len(_DEFAULT_ACTION)
    try:
        TaskMemory(tid).write(action, _DEFAULT_ACTION)
    except SyscallError:
        supervisor.kill(tid)  # it has unmapped the loader's page: nothing of it may run with these handlers
        return False
    for number in signals:
        call = list(registers)
        call[events.RAX] = NR_RT_SIGACTION
        call[events.ORIG_RAX] = -1
        call[events.RDI], call[events.RSI], call[events.RDX], call[events.R10] = number, action, 0, _MASK_SIZE
        call[events.RIP] -= _SYSCALL_SIZE
        if not supervisor.remote_call(tid, call):
            return False
    return True


def signal_set(tid: int, name: bytes) -> int:
    """A signal set of /proc/TID/status (SigCgt, SigIgn): bit n - 1 for signal n; 0 when the task is gone."""
    try:
        with open(f"/proc/{tid}/status", "rb") as file:
            line = next((line for line in file if line.startswith(name + b":")), b"X: 0")
    except OSError:
        return 0
    return int(line.split()[1], 16)
