"""Calls that a guest makes for itself at our word: the engine's half of Remote outcomes.

A notified call gets its descriptor through the listener, is asked to stop and answered, so that it stops before its next instruction; a
traced one is at a stop already, and its own call becomes the first of them. The calls then run with all signals blocked, each from entry
to exit, while the supervisor waits: they must be quick. At the end the registers are the guest's again, with the answer.
Stages: REMOTE_STOPPING -> RUNNING (notified); a traced call needs none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pylibos.abi.plan import SCRATCH_ADDRESS, SCRATCH_SIZE
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.outcome import DATA, DESCRIPTOR
from pylibos.monitor.host_abi import HostError
from pylibos.runtime.memory import TaskMemory
from pylibos.runtime.task import Stage
from pylibos.tracer import tracer as events

if TYPE_CHECKING:
    from pylibos.emulation.outcome import Remote
    from pylibos.runtime.supervisor import Supervisor
    from pylibos.runtime.task import Task

_ARGUMENTS: Final = (events.RDI, events.RSI, events.RDX, events.R10, events.R8, events.R9)
_SYSCALL_SIZE: Final = 2
_NO_CALL: Final = -1
_DATA_MAX: Final = SCRATCH_SIZE // 2
"""The other half has slots that calls under way may still read."""
EFAULT: Final = 14


class RemoteCalls:
    """Carries out Remote outcomes."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._tracer = supervisor.tracer

    def begin_notified(self, task: Task, call_id: int, outcome: Remote) -> None:
        """The call waits in the listener."""
        number = self._install(task.thread.host_tid, outcome)
        if outcome.stream is not None and number < 0:
            self._supervisor.discard(outcome)
            self._tracer.reply(call_id, outcome.finish(()))
            return
        task.remote = outcome
        task.number = number
        task.stage = Stage.REMOTE_STOPPING
        self._tracer.interrupt(task.thread.host_tid)
        self._tracer.reply(call_id, 0)

    def begin_traced(self, tid: int, task: Task, outcome: Remote) -> None:
        """The call is at its RET_TRACE stop (after an installation: at the exit of the call that was used up for it)."""
        supervisor = self._supervisor
        number = self._install(tid, outcome)
        if supervisor.tasks.get(tid) is not task:
            supervisor.discard(outcome)
            return
        moved = supervisor.installer.moved()
        saved = self._tracer.registers(tid) if moved is None else moved
        if saved is None:
            supervisor.discard(outcome)
            return
        if outcome.stream is not None and number < 0:
            value: int | None = outcome.finish(())
        else:
            value = self._make(tid, saved, outcome, number, entered=moved is None)
        supervisor.discard(outcome)
        if value is not None:
            supervisor.answer_at_exit(tid, saved, value)

    def stopped(self, tid: int, task: Task, signal_number: int) -> None:
        """The EVENT_STOP of a task whose notified call has been answered."""
        outcome, task.remote = task.remote, None
        task.stage = Stage.RUNNING
        saved = self._tracer.registers(tid)
        if outcome is None or saved is None:
            return
        value = self._make(tid, saved, outcome, task.number, entered=False)
        self._supervisor.discard(outcome)
        if value is None:
            return
        saved[events.RAX] = value
        saved[events.ORIG_RAX] = _NO_CALL
        self._tracer.set_registers(tid, saved)
        if task.observed is not None:
            self._supervisor.observed.returned(tid, task)
        else:
            self._supervisor.continue_stopped(tid, signal_number)

    def abandoned(self, task: Task) -> None:
        """The task is gone before it could make its calls."""
        outcome, task.remote = task.remote, None
        if outcome is not None:
            self._supervisor.discard(outcome)

    def _install(self, tid: int, outcome: Remote) -> int:
        """Number of the installed descriptor; -1 without one, or -errno."""
        if outcome.stream is None:
            return -1
        try:
            descriptor = self._supervisor.descriptor(outcome.stream)
        except HostError as error:
            return -error.errno
        return self._supervisor.installer.install_descriptor(tid, descriptor, True)

    def _make(self, tid: int, saved: list[int], outcome: Remote, descriptor: int, *, entered: bool) -> int | None:
        """Have the stopped task make the calls; the answer, None when it died. entered: it is at the entry of its own call."""
        if outcome.data:
            assert len(outcome.data) <= _DATA_MAX
            try:
                TaskMemory(tid).write(SCRATCH_ADDRESS, outcome.data)
            except SyscallError:
                return -EFAULT
        special = {DESCRIPTOR: descriptor, DATA: SCRATCH_ADDRESS}
        results: list[int] = []
        for number, arguments in outcome.calls:
            registers = list(saved)
            for register, argument in zip(_ARGUMENTS, arguments, strict=False):
                registers[register] = special.get(argument, argument)
            if entered:
                registers[events.ORIG_RAX] = number
            else:
                registers[events.ORIG_RAX] = _NO_CALL
                registers[events.RIP] -= _SYSCALL_SIZE
            registers[events.RAX] = number
            self._tracer.set_registers(tid, registers)
            result = self._supervisor.run_to_exit(tid, entered)
            if result is None:
                return None
            entered = False
            results.append(result)
        return outcome.finish(results)
