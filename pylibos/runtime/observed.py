"""Tasks whose every call is seen: those that have restricted themselves with seccomp.

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
    from pylibos.emulation.process.thread import Thread
    from pylibos.runtime.supervisor import Supervisor
    from pylibos.runtime.task import Task
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


class Observed:
    """What is known of one such task between a call's entry and its exit."""

    __slots__ = ("answer", "fatal", "trap")

    def __init__(self) -> None:
        self.answer: int | None = None
        """What the call returns, which nobody has executed."""
        self.trap: bytes | None = None
        """siginfo of the SIGSYS that follows."""
        self.fatal = False
        """It is to end with that SIGSYS, whatever it has set up."""


class ObservedTasks:
    """All of them; the executive's Observer."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._tracer = supervisor.tracer

    # -- who ----------------------------------------------------------------------------------------------------------
    def filtered(self, thread: Thread) -> None:
        """thread's filters have changed. A task that runs stops first: it executes nothing more unseen."""
        task = self._supervisor.tasks.get(thread.host_tid)
        if task is not None and task.observed is None:
            self.watch(task)
            self._tracer.interrupt(thread.host_tid)

    def watch(self, task: Task) -> None:
        """See every call of a task from its next resumption on."""
        task.observed = Observed()
        self._tracer.set_mode(task.thread.host_tid, events.MODE_CALLS)

    def born(self, child: Task) -> None:
        """A new task, before its first instruction: filters are inherited."""
        if child.thread.seccomp is not None:
            self.watch(child)

    def renamed(self, old_tid: int, new_tid: int) -> None:
        """exec has given a task another number."""
        self._tracer.set_mode(old_tid, events.MODE_FREE)
        self._tracer.set_mode(new_tid, events.MODE_CALLS)

    # -- stops --------------------------------------------------------------------------------------------------------
    def entered(self, tid: int, task: Task, fields: Fields) -> None:
        """The entry of a call."""
        observed = task.observed
        if observed is None or task.stage in _OURS_AT_ENTRY:
            self._tracer.resume(tid)
            return
        self._decide(tid, task, observed, fields[3], fields[5] & _NUMBER, fields[12], fields[6:12])

    def returned(self, tid: int, task: Task) -> None:
        """The exit of a call, when the engine's own business with it is done."""
        observed = task.observed
        if observed is None or task.stage in _OURS_AT_EXIT or observed.answer is None:
            self._tracer.resume(tid)
            return
        answer, observed.answer = observed.answer, None
        registers = self._tracer.registers(tid)
        if registers is None:
            return
        registers[events.RAX] = answer
        registers[events.ORIG_RAX] = _SKIP
        self._tracer.set_registers(tid, registers)
        if observed.trap is None:
            self._tracer.resume(tid)
        else:
            self._send_trap(tid, observed, registers)

    def signalled(self, tid: int, task: Task, number: int) -> None:
        """A signal-delivery stop: the SIGSYS of a filter gets its siginfo. The caller passes the signal on."""
        observed = task.observed
        if observed is not None and observed.trap is not None and number == SIGSYS:
            self._tracer.set_signal_information(tid, observed.trap)
            observed.trap = None
            self._supervisor.watch_signals(-1)

    def abandoned(self, task: Task) -> None:
        """The task is gone."""
        if task.observed is not None and task.observed.trap is not None:
            task.observed.trap = None
            self._supervisor.watch_signals(-1)

    # -- filters ----------------------------------------------------------------------------------------------------------
    def _decide(
        self, tid: int, task: Task, observed: Observed, architecture: int, number: int, instruction: int, arguments: tuple[int, ...]
    ) -> None:
        seccomp = task.thread.seccomp
        if seccomp is None:
            self._tracer.resume(tid)
            return
        verdict = seccomp.verdict(number, architecture, instruction, arguments)
        action, data = verdict & bpf.ACTION_MASK, verdict & bpf.DATA_MASK
        if action in (bpf.SECCOMP_RET_ALLOW, bpf.SECCOMP_RET_LOG):
            self._tracer.resume(tid)
        elif action == bpf.SECCOMP_RET_ERRNO:
            self._skip(tid, observed, -min(data, ERRNO_MAX))
        elif action in (bpf.SECCOMP_RET_TRACE, bpf.SECCOMP_RET_USER_NOTIF):
            self._skip(tid, observed, -ENOSYS)  # nobody listens
        elif action == bpf.SECCOMP_RET_KILL_THREAD and (seccomp.mode == bpf.MODE_STRICT or len(task.thread.process.threads) > 1):
            self._end_thread(tid, task, seccomp.mode)
        else:
            information = _SIGINFO.pack(SIGSYS, data, _SYS_SECCOMP, instruction, _signed(number), architecture)
            observed.trap = information.ljust(_SIGINFO_SIZE, b"\0")
            observed.fatal = action != bpf.SECCOMP_RET_TRAP
            self._supervisor.watch_signals(1)
            self._skip(tid, observed, number)

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

    def _send_trap(self, tid: int, observed: Observed, registers: list[int]) -> None:
        """force_sig: a SIGSYS that is blocked or ignored, or is to be fatal, gets the default action, and cannot be put off."""
        blocked = self._tracer.signal_mask(tid) or 0
        bit = 1 << (SIGSYS - 1)
        if observed.fatal or blocked & bit or signal_set(tid, b"SigIgn") & bit:
            if not default_actions(self._supervisor, tid, registers, (SIGSYS,)):
                return
            self._tracer.set_signal_mask(tid, blocked & ~bit)
            self._tracer.set_registers(tid, registers)
        self._tracer.resume(tid, SIGSYS)


def _signed(number: int) -> int:
    return number - (1 << 32) if number >> 31 else number
