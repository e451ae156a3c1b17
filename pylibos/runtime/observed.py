"""Tasks whose every call is seen: those that have restricted themselves with seccomp, tracees at their tracer's wish, and tracers.

Such a task is resumed up to the entry and the exit of each call (MODE_CALLS), whatever route the call then takes. At the entry the guest's
own filters decide: let it go its way, answer in its stead, deliver SIGSYS, or end the thread or process. Stops that belong to something of
ours (an exec under way, a task put to sleep, the loader) are passed over unseen: the guest has not made those calls.

An answer is given at the exit: at the entry the call's number becomes -1, which nothing executes.

Source: Linux 6.18 kernel/seccomp.c (__seccomp_filter), kernel/entry/common.c (syscall_trace_enter: ptrace first, then seccomp).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from pylibos.abi import bpf
from pylibos.runtime.actions import default_actions, signal_set
from pylibos.runtime.task import Stage
from pylibos.tracer import tracer as events

if TYPE_CHECKING:
    from pylibos.emulation.executive import TraceAccess
    from pylibos.emulation.process.process import Process
    from pylibos.emulation.process.thread import Thread
    from pylibos.emulation.process.tracing import Traces
    from pylibos.runtime.supervisor import Supervisor
    from pylibos.runtime.task import Task
    from pylibos.runtime.traced_waits import TracedWaits, WaitCall
    from pylibos.runtime.tracing import Tracing
    from pylibos.tracer.tracer import Fields

ENOSYS: Final = 38
ERRNO_MAX: Final = 4095
SIGKILL: Final = 9
SIGSYS: Final = 31
NR_EXIT: Final = 60
_SKIP: Final = -1
_NUMBER: Final = 0xFFFFFFFF
_SIGINFO: Final = struct.Struct("<iii4xQiI")
"""siginfo_t of SIGSYS: signo, errno, code, call address, call number, architecture."""
_SIGINFO_SIZE: Final = 128
_SYS_SECCOMP: Final = 1
_OURS_AT_ENTRY: Final = frozenset(
    (Stage.EXEC_ENTERING, Stage.EXEC_RUNNING, Stage.PARK_ENTERING, Stage.PARKED, Stage.REISSUE, Stage.LOADING)
)
"""Stages in which a call is not the guest's, or not its first attempt."""
_OURS_AT_EXIT: Final = frozenset((Stage.PARKED, Stage.LOADING))
_OURS_AT_STOP: Final = frozenset((Stage.EXEC_ENTERING, Stage.EXEC_RUNNING, Stage.PARK_ENTERING, Stage.LOADING, Stage.LOADED))
_ARGUMENTS: Final = (events.RDI, events.RSI, events.RDX, events.R10, events.R8, events.R9)
_WORD: Final = 0xFFFFFFFFFFFFFFFF
_RESTARTS: Final = frozenset(_WORD + 1 - code for code in (512, 513, 514, 516))
"""Where the kernel may make the call again, its number is not touched."""
_WAITS: Final = frozenset((61, 247))
"""wait4 and waitid."""
Call = tuple[int, int, int, tuple[int, ...]]
"""Architecture, number, instruction pointer, arguments."""


class Observed:
    """What is known of one such task between a call's entry and its exit."""

    __slots__ = ("answer", "fatal", "mode", "number", "trap", "wait")

    def __init__(self) -> None:
        self.answer: int | None = None
        """What the call returns, which nobody has executed."""
        self.trap: bytes | None = None
        """siginfo of the SIGSYS that follows."""
        self.fatal = False
        """It is to end with that SIGSYS, whatever it has set up."""
        self.mode = events.MODE_FREE
        self.number: int | None = None
        """The call whose entry its tracer has seen."""
        self.wait: WaitCall | None = None
        """The wait of a tracer that the host kernel executes."""


class ObservedTasks:
    """All of them; the executive's Observer."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._tracer = supervisor.tracer
        self._tracing: Tracing | None = None
        self._waits: TracedWaits | None = None

    # -- who ----------------------------------------------------------------------------------------------------------
    def filtered(self, thread: Thread) -> None:
        """thread's filters have changed. A task that runs stops first: it executes nothing more unseen."""
        task = self._supervisor.tasks.get(thread.host_tid)
        if task is not None and (task.observed is None or task.observed.mode != events.MODE_CALLS):
            self.update(task)
            self._tracer.interrupt(thread.host_tid)

    def traces(self) -> Traces:
        """Who traces whom; the first to ask makes it."""
        return self._engine().traces

    def tracer_pid(self, thread: Thread) -> int:
        """The guest process that traces a thread, 0 for nobody."""
        tracee = None if self._tracing is None else self._tracing.traces.of(thread)
        return 0 if tracee is None else tracee.tracer.pid

    def access(self) -> TraceAccess:
        """To stopped tracees."""
        return self._engine()

    def _engine(self) -> Tracing:
        if self._tracing is None:
            from pylibos.runtime.traced_waits import TracedWaits  # late: few sandboxes have a debugger in them
            from pylibos.runtime.tracing import Tracing

            self._tracing = Tracing(self._supervisor, self)
            self._waits = TracedWaits(self._supervisor, self._tracing.traces)
        return self._tracing

    def update(self, task: Task) -> None:
        """Set how a task is resumed from now on, by all who watch it. Takes effect at its next resumption."""
        tracing, thread = self._tracing, task.thread
        mode = events.MODE_CALLS if thread.seccomp is not None else events.MODE_FREE
        traced = False
        if tracing is not None:
            traced = tracing.tracee(task) is not None
            if tracing.traces.traces_any(thread.process):
                mode = events.MODE_CALLS
            mode = tracing.mode_of(thread) or mode
        observed = task.observed
        if not traced and mode == events.MODE_FREE:
            if observed is None or observed.mode == events.MODE_CALLS:
                return  # the exit of the call it may be in is still wanted: returned() lets it go
            task.observed = None
        elif observed is None:
            observed = task.observed = Observed()
        if observed is not None:
            observed.mode = mode
        self._tracer.set_mode(thread.host_tid, events.MODE_FREE if task.stage is Stage.LOADING else mode)

    def _let_go(self, task: Task, observed: Observed) -> None:
        """At an exit: nobody may be interested any more."""
        if task.thread.seccomp is None and self._tracing is not None:
            traces = self._tracing.traces
            if traces.of(task.thread) is None and not traces.traces_any(task.thread.process):
                observed.mode = events.MODE_FREE
                self.update(task)

    def watch(self, task: Task) -> None:
        """See every call of a task from its next resumption on."""
        task.observed = Observed()
        task.observed.mode = events.MODE_CALLS
        self._tracer.set_mode(task.thread.host_tid, events.MODE_CALLS)

    def born(self, child: Task) -> None:
        """A new task, before its first instruction: filters are inherited, and a tracer's threads wait for its tracees."""
        if child.thread.seccomp is not None:
            self.watch(child)
        elif self._tracing is not None:
            self.update(child)
            self._tracing.traces.recheck(child.thread.process.parent)

    def renamed(self, old_tid: int, new_tid: int, task: Task) -> None:
        """exec has given a task another number."""
        self._tracer.set_mode(old_tid, events.MODE_FREE)
        if task.observed is not None:
            self._tracer.set_mode(new_tid, task.observed.mode)

    def loading(self, tid: int) -> None:
        """Our loader runs in the task: nobody is to see its calls."""
        self._tracer.set_mode(tid, events.MODE_FREE)

    # -- stops --------------------------------------------------------------------------------------------------------
    def entered(self, tid: int, task: Task, fields: Fields) -> None:
        """The entry of a call."""
        observed = task.observed
        number, architecture = fields[5] & _NUMBER, fields[3]
        if observed is None or (task.stage in _OURS_AT_ENTRY and not self._woken(task, number, fields[6:12])):
            self._tracer.resume(tid)
            return
        if self._tracing is not None and self._tracing.call_entered(task, lambda _signal: self._go_on(tid, task, architecture, False)):
            observed.number = number
            return
        self._decide(tid, task, (architecture, number, fields[12], fields[6:12]))

    def _woken(self, task: Task, number: int, arguments: tuple[int, ...]) -> bool:
        return self._waits is not None and self._waits.again(task, number, arguments)

    def _go_on(self, tid: int, task: Task, architecture: int, traced: bool) -> None:
        """The tracer has let the task go on from an entry: it may have made another call of it, or none."""
        registers = self._tracer.registers(tid)
        observed = task.observed
        if registers is None:
            return
        number = registers[events.ORIG_RAX] & _NUMBER
        if number == _NUMBER:
            if observed is not None:
                self._skip(tid, observed, registers[events.RAX])
            return
        arguments = tuple(registers[register] for register in _ARGUMENTS)
        self._decide(tid, task, (architecture, number, registers[events.RIP], arguments), traced=traced)

    def returned(self, tid: int, task: Task) -> None:
        """The exit of a call, when the engine's own business with it is done."""
        observed = task.observed
        if observed is None or task.stage in _OURS_AT_EXIT:
            self._tracer.resume(tid)
            return
        if observed.answer is not None or observed.wait is not None or observed.number is not None:
            registers = self._tracer.registers(tid)
            if registers is None or not self._finish(tid, task, observed, registers):
                return
        self._let_go(task, observed)

        def go(signal: int) -> None:
            if observed.trap is not None:
                self._send_trap(tid, observed)
            else:
                self._tracer.resume(tid, signal)

        if self._tracing is None or not self._tracing.call_returned(task, go):
            go(0)

    def _finish(self, tid: int, task: Task, observed: Observed, registers: list[int]) -> bool:
        """Give a call its answer and its number back; False when the task has been sent to sleep instead."""
        before = list(registers)
        answer, observed.answer = observed.answer, None
        if answer is not None:
            registers[events.RAX] = answer
            registers[events.ORIG_RAX] = _SKIP
        elif self._waits is not None and self._waits.returned(tid, task, registers):
            return False
        number, observed.number = observed.number, None
        if number is not None and registers[events.RAX] & _WORD not in _RESTARTS:
            registers[events.ORIG_RAX] = number
        if registers != before:
            self._tracer.set_registers(tid, registers)
        return True

    def executed(self, tid: int, task: Task) -> None:
        """A new program is about to begin."""
        self.update(task)
        if self._tracing is None or not self._tracing.executed(tid, task):
            self.returned(tid, task)

    def stopped(self, tid: int, task: Task, signal: int) -> bool:
        """An EVENT_STOP that is nothing of the engine's own: True when the task is held for its tracer."""
        return self._tracing is not None and task.stage not in _OURS_AT_STOP and self._tracing.stopped(tid, task, signal)

    def forked(self, tid: int, task: Task, child: Task, kind: int) -> bool:
        """The creator's event: True when it is held."""
        return self._tracing is not None and self._tracing.forked(tid, task, child, kind)

    def event(self, tid: int, task: Task, kind: int, value: int) -> bool:
        """Another event, which only tracees stop for."""
        return self._tracing is not None and self._tracing.event(tid, task, kind, value)

    def held_for_signal(self, tid: int, task: Task, number: int) -> bool:
        """A signal is about to be delivered: True when the tracer decides first."""
        if self._tracing is None:
            return False
        return self._tracing.signalled(task, number, lambda decided: self._supervisor.deliver(tid, task, decided))

    def exited(self, task: Task, status: int) -> None:
        """A task has ended; the table still knows it."""
        if self._tracing is not None:
            self._tracing.exited(task.thread, status)

    def process_ended(self, process: Process) -> None:
        """A process has ended: what it traced is free."""
        if self._tracing is not None:
            self._tracing.traces.tracer_gone(process)

    def signalled(self, tid: int, task: Task, number: int) -> None:
        """A signal-delivery stop: the SIGSYS of a filter gets its siginfo. The caller passes the signal on."""
        observed = task.observed
        if observed is not None and observed.trap is not None and number == SIGSYS:
            self._tracer.set_signal_information(tid, observed.trap)
            observed.trap = None
            self._supervisor.watch_signals(-1)

    def abandoned(self, task: Task) -> None:
        """The task is gone."""
        if self._tracing is not None:
            self._tracing.traces.forget(task.thread)
        if task.observed is not None and task.observed.trap is not None:
            task.observed.trap = None
            self._supervisor.watch_signals(-1)

    # -- filters ----------------------------------------------------------------------------------------------------------
    def _decide(self, tid: int, task: Task, call: Call, *, traced: bool = False) -> None:
        """traced: its tracer has been asked already, as SECCOMP_RET_TRACE wants."""
        architecture, number, instruction, arguments = call
        seccomp, observed = task.thread.seccomp, task.observed
        verdict = bpf.SECCOMP_RET_ALLOW if seccomp is None else seccomp.verdict(number, architecture, instruction, arguments)
        action, data = verdict & bpf.ACTION_MASK, verdict & bpf.DATA_MASK
        if action in (bpf.SECCOMP_RET_ALLOW, bpf.SECCOMP_RET_LOG) or (traced and action == bpf.SECCOMP_RET_TRACE) or observed is None:
            self._proceed(tid, task, call)
        elif action == bpf.SECCOMP_RET_ERRNO:
            self._skip(tid, observed, -min(data, ERRNO_MAX))
        elif action in (bpf.SECCOMP_RET_TRACE, bpf.SECCOMP_RET_USER_NOTIF):
            go = lambda _signal: self._go_on(tid, task, architecture, True)  # noqa: E731
            asked = action == bpf.SECCOMP_RET_TRACE and self._tracing is not None and self._tracing.filter_traced(task, data, go)
            if not asked:
                self._skip(tid, observed, -ENOSYS)  # nobody listens
        elif seccomp is not None and action == bpf.SECCOMP_RET_KILL_THREAD and _ends_alone(task, seccomp.mode):
            self._end_thread(tid, task, seccomp.mode)
        else:
            information = _SIGINFO.pack(SIGSYS, data, _SYS_SECCOMP, instruction, _signed(number), architecture)
            observed.trap = information.ljust(_SIGINFO_SIZE, b"\0")
            observed.fatal = action != bpf.SECCOMP_RET_TRAP
            self._supervisor.watch_signals(1)
            self._skip(tid, observed, number)

    def _proceed(self, tid: int, task: Task, call: Call) -> None:
        """The call takes its route, unless it is a tracer's wait for which there is something to report."""
        if self._waits is not None and task.observed is not None and call[0] == bpf.AUDIT_ARCH_X86_64 and call[1] in _WAITS:
            answer = self._waits.entered(task, call[1], call[3])
            if answer is not None:
                self._skip(tid, task.observed, answer)
                return
        self._tracer.resume(tid)

    def _skip(self, tid: int, observed: Observed, answer: int) -> None:
        """The call is not made; it returns answer."""
        observed.answer = answer
        registers = self._tracer.registers(tid)
        if registers is not None:
            registers[events.ORIG_RAX] = _SKIP
            self._tracer.set_registers(tid, registers)
            self._tracer.resume(tid)

    def _end_thread(self, tid: int, task: Task, mode: int) -> None:
        if mode == bpf.MODE_STRICT and len(task.thread.process.threads) == 1:
            self._supervisor.kill(tid)
            return
        registers = self._tracer.registers(tid)
        if registers is not None:
            registers[events.ORIG_RAX] = NR_EXIT
            registers[events.RDI] = 0
            self._tracer.set_registers(tid, registers)
            self._tracer.resume(tid)

    def _send_trap(self, tid: int, observed: Observed) -> None:
        """force_sig: a SIGSYS that is blocked or ignored, or is to be fatal, gets the default action, and cannot be put off."""
        blocked = self._tracer.signal_mask(tid) or 0
        bit = 1 << (SIGSYS - 1)
        if observed.fatal or blocked & bit or signal_set(tid, b"SigIgn") & bit:
            registers = self._tracer.registers(tid)
            if registers is None or not default_actions(self._supervisor, tid, registers, (SIGSYS,)):
                return
            self._tracer.set_signal_mask(tid, blocked & ~bit)
            self._tracer.set_registers(tid, registers)
        self._tracer.resume(tid, SIGSYS)


def _ends_alone(task: Task, mode: int) -> bool:
    return mode == bpf.MODE_STRICT or len(task.thread.process.threads) > 1


def _signed(number: int) -> int:
    return number - (1 << 32) if number >> 31 else number
