"""clone3, and clones with flags taken out: the engine's half of Clone outcomes.

At the RET_TRACE stop the call becomes clone(2) with arguments in registers, so that nothing the kernel reads can have changed since it
was checked. The creator gets its own registers back at the fork event (or, when clone fails, at its exit stop, number included: the
kernel may make the call again); the child, which was born with the creator's, at its first stop, before its first instruction.

Stages: CLONING -> RUNNING for the creator, NEWBORN -> RUNNING for the child.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pylibos.emulation.errors import SyscallError
from pylibos.runtime.actions import default_actions, signal_set
from pylibos.runtime.task import Stage
from pylibos.tracer import tracer as events

if TYPE_CHECKING:
    from pylibos.emulation.outcome import Clone
    from pylibos.runtime.supervisor import Supervisor
    from pylibos.runtime.task import Task

NR_CLONE: Final = 56
CLONE_PARENT: Final = 0x8000
_ARGUMENTS: Final = (events.RDI, events.RSI, events.RDX, events.R10, events.R8)


class CloneCalls:
    """Tasks that are creating others by a clone of ours."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._tracer = supervisor.tracer
        self._giving: set[int] = set()

    @property
    def giving_away(self) -> bool:
        """Whether a child is on its way whose parent will not be its creator (CLONE_PARENT)."""
        return bool(self._giving)

    def begin(self, tid: int, task: Task, outcome: Clone) -> None:
        """The creator is at the RET_TRACE stop of its call."""
        registers = self._tracer.registers(tid)
        if registers is None:
            return
        task.saved = list(registers)
        task.clone = outcome
        task.stage = Stage.CLONING
        values = (outcome.flags, outcome.stack, outcome.parent_tid, outcome.child_tid, outcome.tls)
        for register, value in zip(_ARGUMENTS, values, strict=True):
            registers[register] = value
        registers[events.ORIG_RAX] = NR_CLONE
        self._tracer.set_registers(tid, registers)
        if outcome.flags & CLONE_PARENT:
            self._giving.add(tid)
        self._tracer.resume_to_exit(tid)

    def forked(self, tid: int, task: Task, child: Task) -> None:
        """The fork event: the creator has a child and stands inside clone."""
        outcome, saved = task.clone, task.saved
        self.undo(tid, task)
        if outcome is None or saved is None:
            return
        if outcome.parent_tid_address:
            number = child.thread.tid.to_bytes(4, "little")
            with suppress(SyscallError):  # the kernel ignores the fault as well
                task.thread.memory.write(outcome.parent_tid_address, number)
        child.stage = Stage.NEWBORN
        child.saved = saved
        child.clone = outcome

    def born(self, tid: int, child: Task) -> None:
        """The child stands before its first instruction; the caller resumes it."""
        outcome, saved = child.clone, child.saved
        child.clone = child.saved = None
        child.stage = Stage.RUNNING
        registers = self._tracer.registers(tid)
        if registers is None or outcome is None or saved is None:
            return
        for register in _ARGUMENTS:
            registers[register] = saved[register]
        if outcome.clear_handlers:
            # clone(2) cannot ask the kernel for it: the child itself resets what it catches.
            caught = signal_set(tid, b"SigCgt")
            default_actions(self._supervisor, tid, registers, [number for number in range(1, 65) if caught >> (number - 1) & 1])
        self._tracer.set_registers(tid, registers)

    def returned(self, tid: int, task: Task) -> None:
        """clone has failed: the creator is at its exit stop."""
        self.undo(tid, task)
        self._supervisor.observed.returned(tid, task)

    def undo(self, tid: int, task: Task) -> None:
        """Give the creator its own arguments and number back."""
        saved = task.saved
        task.clone = task.saved = None
        task.stage = Stage.RUNNING
        self._giving.discard(tid)
        registers = self._tracer.registers(tid)
        if registers is None or saved is None:
            return
        for register in (*_ARGUMENTS, events.ORIG_RAX):
            registers[register] = saved[register]
        self._tracer.set_registers(tid, registers)

    def abandoned(self, task: Task) -> None:
        """The task is gone."""
        self._giving.discard(task.thread.host_tid)
