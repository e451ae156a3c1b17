"""Forwarded calls with a socket address of ours: the engine's half of Translated outcomes.

The address is written to a slot in the task's loader page and the two argument registers are pointed at it. The call then runs natively,
however long it waits; at its return (which comes before any signal is taken, so a call made again passes here again) the registers
get their values back and the handler hears the result. Several threads may be in such calls: the slots take turns, and a slot must
only stay as it is until the kernel has copied it at the very start of the call. Whatever a guest writes there, it could have passed itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pylibos.abi.plan import SCRATCH_ADDRESS, SCRATCH_SIZE
from pylibos.emulation.errors import SyscallError
from pylibos.runtime.memory import TaskMemory
from pylibos.runtime.task import Stage
from pylibos.tracer import tracer as events

if TYPE_CHECKING:
    from pylibos.emulation.outcome import Translated
    from pylibos.runtime.task import Task
    from pylibos.tracer.tracer import Tracer

_ARGUMENTS: Final = (events.RDI, events.RSI, events.RDX, events.R10, events.R8, events.R9)
_SLOT_SIZE: Final = 64
_FIRST_SLOT: Final = SCRATCH_SIZE // 2
_SLOTS: Final = (SCRATCH_SIZE - _FIRST_SLOT) // _SLOT_SIZE
_SIGN: Final = 1 << 63
EFAULT: Final = 14


class TranslatedCalls:
    """Carries out Translated outcomes of traced calls."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._next_slot = 0

    def begin(self, tid: int, task: Task, outcome: Translated) -> None:
        """The task is at the RET_TRACE stop of the call."""
        if outcome.address is not None:
            registers = self._tracer.registers(tid)
            if registers is None:
                return
            saved = list(registers)
            index, data = outcome.address
            assert len(data) <= _SLOT_SIZE
            slot = SCRATCH_ADDRESS + _FIRST_SLOT + self._next_slot * _SLOT_SIZE
            self._next_slot = (self._next_slot + 1) % _SLOTS
            try:
                TaskMemory(tid).write(slot, data)
            except SyscallError:
                self._tracer.answer(tid, -EFAULT)
                return
            task.saved = saved
            registers[_ARGUMENTS[index]] = slot
            registers[_ARGUMENTS[index + 1]] = len(data)
            self._tracer.set_registers(tid, registers)
        task.translated = outcome
        task.stage = Stage.TRANSLATED
        self._tracer.resume_to_exit(tid)

    def returned(self, tid: int, task: Task) -> None:
        """The task is at the call's exit stop."""
        outcome, task.translated = task.translated, None
        task.stage = Stage.RUNNING
        registers = self._tracer.registers(tid)
        if registers is None or outcome is None:
            return
        result = registers[events.RAX]
        saved, task.saved = task.saved, None
        if outcome.address is not None and saved is not None:
            index = outcome.address[0]
            for argument in _ARGUMENTS[index : index + 2]:
                registers[argument] = saved[argument]
            self._tracer.set_registers(tid, registers)
        if outcome.done is not None:
            outcome.done(result - (1 << 64) if result & _SIGN else result)
        self._tracer.resume(tid)
