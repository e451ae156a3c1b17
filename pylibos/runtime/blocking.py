"""Calls that wait: the engine's half of a handler that yields Wait.

While the executive waits, the task sleeps natively in pause(2), where signals reach it as they reach any sleeper. The end of the
wait stops it and has it make its call again, which is then answered at once with the finished outcome. A signal is delivered
with the registers of an interrupted call, so SA_RESTART and EINTR are the kernel's own.

Stages: PARK_STOPPING -> PARK_ENTERING -> PARKED -> (WAKING -> REISSUE) or (a signal: RUNNING).
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Final

from pylibos.emulation.dispatch import advance, cancel, interrupt
from pylibos.emulation.outcome import Wait
from pylibos.monitor.host_abi import HostError
from pylibos.runtime.task import Stage
from pylibos.tracer import tracer as events

if TYPE_CHECKING:
    from pylibos.emulation.dispatch import Answer
    from pylibos.emulation.outcome import Blocking
    from pylibos.runtime.supervisor import Supervisor
    from pylibos.runtime.task import Task

NR_PAUSE: Final = 34
ERESTARTNOINTR: Final = 513
EINTR: Final = 4
_SYSCALL_SIZE: Final = 2
_LAST_STANDARD: Final = 31
_WITHOUT_EFFECT: Final = frozenset((signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH))
"""Signals whose default action is to be ignored (SIGCONT: by a process that runs)."""


class BlockingCalls:
    """All parked tasks."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._tracer = supervisor.tracer

    # -- starting -------------------------------------------------------------------------------------------------
    def begin_notified(self, task: Task, call_id: int, blocking: Blocking) -> None:
        """The handler of a notified call is a generator: run it until it really waits."""
        outcome = self._run(task, blocking)
        if not isinstance(outcome, Wait):
            self._supervisor.finish_notified(task, call_id, outcome)
            return
        task.stage = Stage.PARK_STOPPING
        self._tracer.interrupt(task.thread.host_tid)
        self._tracer.reply(call_id, 0)

    def begin_traced(self, tid: int, task: Task, blocking: Blocking) -> None:
        """The same for a call at its RET_TRACE stop: it can be turned into pause directly."""
        outcome = self._run(task, blocking)
        if not isinstance(outcome, Wait):
            self._supervisor.finish_traced(tid, task, outcome)
            return
        task.saved = self._tracer.registers(tid)
        task.stage = Stage.PARKED
        self._tracer.renumber(tid, NR_PAUSE)

    def park_at_exit(self, tid: int, task: Task, blocking: Blocking) -> None:
        """The same at the exit stop of a call that has returned already: it sleeps, and then makes the call again."""
        outcome = self._run(task, blocking)
        if not isinstance(outcome, Wait):
            self._supervisor.keep_ready(task, outcome)
        task.stage = Stage.PARK_STOPPING
        self.stopped(tid, task, 0)

    # -- stops --------------------------------------------------------------------------------------------------------
    def stopped(self, tid: int, task: Task, signal_number: int) -> None:
        """An EVENT_STOP of a task on its way to sleep, or of one that is to wake."""
        if task.stage is Stage.PARK_STOPPING:
            registers = self._tracer.registers(tid)
            if registers is None:
                return
            task.saved = list(registers)
            if task.blocking is None:
                self._reissue(tid, task, signal_number)
                return
            registers[events.RAX] = NR_PAUSE
            registers[events.ORIG_RAX] = -1
            registers[events.RIP] -= _SYSCALL_SIZE
            self._tracer.set_registers(tid, registers)
            task.stage = Stage.PARK_ENTERING
            self._supervisor.continue_stopped(tid, signal_number)
        else:
            self._reissue(tid, task, signal_number)

    def asleep(self, tid: int, task: Task) -> None:
        """The RET_TRACE stop of pause."""
        task.stage = Stage.PARKED
        self._tracer.resume(tid)
        if task.blocking is None:
            self._wake(task)

    def signalled(self, tid: int, task: Task, signal_number: int) -> bool:
        """A signal-delivery stop: True when the task was waiting and has been resumed here."""
        if task.stage not in (Stage.PARKED, Stage.WAKING, Stage.PARK_ENTERING):
            return False
        saved = task.saved
        if saved is None:
            return False
        if task.blocking is not None and self._ignored(task, signal_number):
            # A tracee hears of ignored signals too. It is woken from pause, but no handler runs: the kernel has it call pause again.
            # (Unless another thread installs a handler just now: then its next call shows that it has left; see strayed.)
            task.stage = Stage.PARK_ENTERING
            return False
        if task.blocking is None:
            # The wait is over: the outcome stands, and the signal is taken when the call has been made again.
            registers = list(saved)
            registers[events.ORIG_RAX] = task.call[0]
            registers[events.RAX] = -ERESTARTNOINTR
            task.stage = Stage.REISSUE
        else:
            registers = list(saved)
            registers[events.ORIG_RAX] = task.call[0]
            registers[events.RAX] = self._interrupt(task)
            task.stage = Stage.RUNNING
        self._tracer.set_registers(tid, registers)
        self._tracer.resume(tid, signal_number)
        return True

    def _ignored(self, task: Task, signal_number: int) -> bool:
        """Whether the signal has no effect at all on the task's process, and so interrupts nothing."""
        if signal_number > _LAST_STANDARD:
            return False
        try:
            _pending, _blocked, ignored, caught = self._supervisor.executive.host.process_usage(task.thread.host_tid).signals
        except HostError:
            return False
        bit = 1 << (signal_number - 1)
        return bool(ignored & bit) or (signal_number in _WITHOUT_EFFECT and not caught & bit)

    def strayed(self, task: Task) -> None:
        """A task that was to sleep in pause makes another call: pause has been interrupted after all, its own call has returned EINTR."""
        self.abandoned(task)
        task.stage = Stage.RUNNING

    def abandoned(self, task: Task) -> None:
        """The task is gone: withdraw its wait."""
        if task.blocking is not None:
            if task.pending is not None:
                task.pending.cancel()
            cancel(task.blocking)
            task.blocking = None
            self._count(-1)

    # -- inside -------------------------------------------------------------------------------------------------------
    def _count(self, change: int) -> None:
        self._supervisor.watch_signals(change)

    def _run(self, task: Task, blocking: Blocking) -> Answer | Wait:
        task.blocking = blocking
        self._count(1)
        return self._advance(task, None)

    def _advance(self, task: Task, value: int | None) -> Answer | Wait:
        """Feed satisfied waits to the handler until it ends or really waits."""
        blocking = task.blocking
        assert blocking is not None
        while True:
            outcome = advance(task.thread, task.call[0], blocking, value)
            if not isinstance(outcome, Wait):
                task.blocking = None
                self._count(-1)
                return outcome
            if not self._wait(task, outcome):
                return outcome
            assert task.pending is not None
            value = task.pending.result

    def _wait(self, task: Task, wait: Wait) -> bool:
        """Start a wait; True when it is satisfied already."""
        task.pending = self._supervisor.waits.park(wait, lambda pending: self._satisfied(task, pending.result), task.thread)
        self._supervisor.arm_timer()
        return task.pending.done

    def _satisfied(self, task: Task, result: int | None) -> None:
        if task.blocking is None:
            return
        outcome = self._advance(task, result)
        if isinstance(outcome, Wait):
            return
        self._supervisor.keep_ready(task, outcome)
        if task.stage is Stage.PARKED:
            self._wake(task)

    def _wake(self, task: Task) -> None:
        task.stage = Stage.WAKING
        self._tracer.interrupt(task.thread.host_tid)

    @staticmethod
    def _call_again(saved: list[int], number: int) -> list[int]:
        registers = list(saved)
        registers[events.RAX] = number
        registers[events.ORIG_RAX] = -1
        registers[events.RIP] -= _SYSCALL_SIZE
        return registers

    def _reissue(self, tid: int, task: Task, signal_number: int) -> None:
        saved = task.saved
        if saved is None:
            return
        self._tracer.set_registers(tid, self._call_again(saved, task.call[0]))
        task.stage = Stage.REISSUE
        self._supervisor.continue_stopped(tid, signal_number)

    def _interrupt(self, task: Task) -> int:
        """Throw Interrupted into the handler; the number to return (a kernel restart code, or a result)."""
        blocking, pending = task.blocking, task.pending
        task.blocking = None
        self._count(-1)
        if pending is not None:
            pending.cancel()
        if blocking is None:
            return -EINTR
        answer = interrupt(task.thread, task.call[0], blocking)
        if isinstance(answer, int):
            return answer
        cancel(blocking)
        return -EINTR
