"""Calls executed natively with arguments of ours: the engine's half of the outcome Replace.

At the RET_TRACE stop the data goes into a block of the loader's page, the argument registers are changed, and the task runs up to the
call's exit stop, where they are put back before the guest (or the kernel, when it restarts an interrupted call) sees them again.

A block belongs to one task of an address space until its call has ended, because the kernel reads it at a moment we do not see. When
all are taken, by calls that wait, the last is shared: their addresses have been read long before they wait. Other threads of the guest
can write there at any time; Replace says why that must be harmless.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pylibos.abi.plan import REPLACE_ADDRESS, REPLACE_SIZE, REPLACE_SLOTS
from pylibos.emulation.dispatch import finish
from pylibos.emulation.errors import SyscallError
from pylibos.runtime.task import Stage
from pylibos.tracer import tracer as events

if TYPE_CHECKING:
    from pylibos.emulation.outcome import Replace
    from pylibos.runtime.supervisor import Supervisor
    from pylibos.runtime.task import Task

_ARGUMENTS: Final = (events.RDI, events.RSI, events.RDX, events.R10, events.R8, events.R9)
_SIGN: Final = 1 << 63
EFAULT: Final = 14


class ReplacedCalls:
    """All tasks in the stage REPLACED."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._tracer = supervisor.tracer

    def begin(self, tid: int, task: Task, outcome: Replace) -> None:
        """A call at its RET_TRACE stop: change its arguments and let it run to its exit."""
        saved = self._tracer.registers(tid)
        if saved is None:
            return
        registers = list(saved)
        if outcome.data:
            task.slot = self._free_slot(task)
            address = REPLACE_ADDRESS + task.slot * REPLACE_SIZE
            try:
                task.thread.memory.write(address, outcome.data[:REPLACE_SIZE])
            except SyscallError:  # the guest has unmapped the loader
                self._tracer.answer(tid, finish(task.thread, task.call[0], outcome, -EFAULT))
                return
            registers[_ARGUMENTS[outcome.address]] = address
        for index, value in outcome.arguments:
            registers[_ARGUMENTS[index]] = value
        task.saved = saved
        task.replaced = outcome
        task.stage = Stage.REPLACED
        self._tracer.set_registers(tid, registers)
        self._tracer.resume_to_exit(tid)

    def ended(self, tid: int, task: Task) -> None:
        """The call's exit stop: the guest's registers, and its result."""
        registers = self._tracer.registers(tid)
        outcome, saved = task.replaced, task.saved
        task.replaced = task.saved = None
        task.stage = Stage.RUNNING
        if registers is None or outcome is None or saved is None:
            return
        for register in _ARGUMENTS:
            registers[register] = saved[register]
        raw = registers[events.RAX]
        registers[events.RAX] = finish(task.thread, task.call[0], outcome, raw - (1 << 64) if raw & _SIGN else raw)
        self._tracer.set_registers(tid, registers)
        self._tracer.resume(tid)

    def _free_slot(self, task: Task) -> int:
        tasks = self._supervisor.tasks
        taken = {
            other.slot
            for thread in task.thread.process.threads.values()
            if (other := tasks.get(thread.host_tid)) is not None and other is not task and other.stage is Stage.REPLACED
        }
        return next((slot for slot in range(REPLACE_SLOTS) if slot not in taken), REPLACE_SLOTS - 1)
