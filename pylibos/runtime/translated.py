"""Forwarded calls with a socket address of ours: the engine's half of Translated outcomes.

The address is written to a slot in the task's loader page and the two argument registers are pointed at it. The call then runs natively,
however long it waits; at its return (which comes before any signal is taken, so a call made again passes here again) the registers
get their values back and the handler hears the result. A slot belongs to one thread of a process until its call returns, because the
kernel copies it at a moment we do not see (a resumed thread may not run for long). When all are taken, by calls that wait, one of those
is shared: they have been copied. Whatever a guest writes there, it could have passed itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pylibos.abi.plan import SCRATCH_ADDRESS, SCRATCH_SIZE
from pylibos.emulation.errors import SyscallError
from pylibos.runtime.memory import TaskMemory
from pylibos.runtime.task import Stage
from pylibos.tracer import tracer as events

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pylibos.emulation.outcome import Translated
    from pylibos.runtime.task import Task
    from pylibos.tracer.tracer import Tracer

_ARGUMENTS: Final = (events.RDI, events.RSI, events.RDX, events.R10, events.R8, events.R9)
_SLOT_SIZE: Final = 64
_FIRST_SLOT: Final = SCRATCH_SIZE // 2
_SLOTS: Final = (SCRATCH_SIZE - _FIRST_SLOT) // _SLOT_SIZE
MESSAGE_HEADER_SIZE: Final = 56
"""sizeof(struct msghdr)."""
_SIGN: Final = 1 << 63
EFAULT: Final = 14


class TranslatedCalls:
    """Carries out Translated outcomes of traced calls."""

    def __init__(self, tracer: Tracer, tasks: Mapping[int, Task], returned: Callable[[int, Task], None]) -> None:
        """returned: what follows at the call's exit stop."""
        self._tracer = tracer
        self._tasks = tasks
        self._returned = returned

    def begin(self, tid: int, task: Task, outcome: Translated) -> None:
        """The task is at the RET_TRACE stop of the call."""
        registers: list[int] | None = None
        if outcome.address is not None or outcome.arguments or outcome.message is not None:
            registers = self._tracer.registers(tid)
            if registers is None:
                return
            task.saved = list(registers)
            for index, value in outcome.arguments:
                registers[_ARGUMENTS[index]] = value
        if registers is not None and not self._place(tid, task, outcome, registers):
            self._tracer.answer(tid, -EFAULT)
            return
        if registers is not None:
            self._tracer.set_registers(tid, registers)
        task.translated = outcome
        task.stage = Stage.TRANSLATED
        self._tracer.resume_to_exit(tid)

    def _place(self, tid: int, task: Task, outcome: Translated, registers: list[int]) -> bool:
        """Write what the call is to read into the task's slot and point its arguments there."""
        if outcome.address is None and outcome.message is None:
            return True
        task.slot = self._free_slot(task)
        slot = SCRATCH_ADDRESS + _FIRST_SLOT + task.slot * _SLOT_SIZE
        if outcome.address is not None:
            index, data = outcome.address
            registers[_ARGUMENTS[index]] = slot
            registers[_ARGUMENTS[index + 1]] = len(data)
        else:
            data = outcome.message or b""
            name = (slot + MESSAGE_HEADER_SIZE).to_bytes(8, "little")
            data = name + (len(data) - MESSAGE_HEADER_SIZE).to_bytes(4, "little") + data[12:]
            registers[_ARGUMENTS[1]] = slot
        assert len(data) <= _SLOT_SIZE
        try:
            TaskMemory(tid).write(slot, data)
        except SyscallError:
            return False
        return True

    def returned(self, tid: int, task: Task) -> None:
        """The task is at the call's exit stop."""
        outcome, task.translated = task.translated, None
        task.stage = Stage.RUNNING
        registers = self._tracer.registers(tid)
        if registers is None or outcome is None:
            return
        result = registers[events.RAX]
        saved, task.saved = task.saved, None
        if saved is not None:
            for argument in _ARGUMENTS:
                registers[argument] = saved[argument]
            self._tracer.set_registers(tid, registers)
        if outcome.done is not None:
            outcome.done(result - (1 << 64) if result & _SIGN else result)
        self._returned(tid, task)

    def _free_slot(self, task: Task) -> int:
        taken = {
            other.slot
            for thread in task.thread.process.threads.values()
            if (other := self._tasks.get(thread.host_tid)) is not None and other is not task and other.stage is Stage.TRANSLATED
        }
        return next((slot for slot in range(_SLOTS) if slot not in taken), _SLOTS - 1)
