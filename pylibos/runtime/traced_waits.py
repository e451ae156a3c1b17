"""wait4 and waitid of a guest that traces others: what its tracees have to report, and its children's ends, which the host kernel knows.

A tracer's task is observed, so the entry of each wait is seen. If a tracee has something to report, the call is answered there. Otherwise
the host kernel executes it, with whatever children there are; news from a tracee interrupts it (it then returns a restart code, which
becomes the report). A tracer without any child of its own would get ECHILD: it sleeps as any waiting call does, and makes its call again.

Guests that trace nobody wait natively and never come here.

Source: Linux 6.18 kernel/exit.c (wait_consider_task, wait_task_stopped), wait(2).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from pylibos.emulation.errors import SyscallError
from pylibos.emulation.outcome import FORWARD, Wait
from pylibos.runtime.task import Stage
from pylibos.tracer import tracer as events

if TYPE_CHECKING:
    from pylibos.emulation.outcome import Blocking
    from pylibos.emulation.process.process import Process
    from pylibos.emulation.process.tracing import Report, Traces
    from pylibos.runtime.supervisor import Supervisor
    from pylibos.runtime.task import Task

NR_WAIT4: Final = 61
NR_WAITID: Final = 247
WAITS: Final = frozenset((NR_WAIT4, NR_WAITID))
WNOHANG: Final = 1
WNOWAIT: Final = 0x01000000
WEXITED: Final = 4
P_ALL: Final = 0
P_PID: Final = 1
P_PGID: Final = 2
ECHILD: Final = 10
EFAULT: Final = 14
ERESTARTSYS: Final = 512
_SIGCHLD: Final = 17
_CLD_EXITED: Final = 1
_CLD_KILLED: Final = 2
_CLD_TRAPPED: Final = 4
_USAGE_SIZE: Final = 144
_INFORMATION: Final = struct.Struct("<iii4xiii")
"""siginfo_t of SIGCHLD up to its status: signo, errno, code, pid, uid, status."""
_SIGN: Final = 1 << 31
_WORD: Final = 0xFFFFFFFF

Matches = Callable[[int, int], bool]


class WaitCall(NamedTuple):
    """One wait4 or waitid, decoded."""

    number: int
    arguments: tuple[int, ...]
    matches: Matches
    options: int


def _int(raw: int) -> int:
    value = raw & _WORD
    return value - (1 << 32) if value & _SIGN else value


def decode(process: Process, number: int, arguments: tuple[int, ...]) -> WaitCall | None:
    """None for a call that only the kernel can judge (a bad type, a pidfd)."""
    if number == NR_WAIT4:
        pid, options = _int(arguments[0]), arguments[2] & _WORD
        kind, wanted = (P_ALL, 0) if pid == -1 else (P_PID, pid) if pid > 0 else (P_PGID, -pid or process.pgid)
    else:
        kind, wanted, options = arguments[0] & _WORD, _int(arguments[1]), arguments[3] & _WORD
        if kind not in (P_ALL, P_PID, P_PGID):
            return None
        wanted = wanted or process.pgid if kind == P_PGID else wanted

    def matches(tid: int, pgid: int) -> bool:
        return kind == P_ALL or (tid if kind == P_PID else pgid) == wanted

    return WaitCall(number, arguments, matches, options)


class TracedWaits:
    """Waits of tracers."""

    def __init__(self, supervisor: Supervisor, traces: Traces) -> None:
        self._supervisor = supervisor
        self._tracer = supervisor.tracer
        self._traces = traces

    def entered(self, task: Task, number: int, arguments: tuple[int, ...]) -> int | None:
        """The entry of a wait: its answer, or None when the host kernel is to execute it (and returned() follows)."""
        observed = task.observed
        process = task.thread.process
        if observed is None or not self._traces.traces_any(process):
            return None
        call = decode(process, number, arguments)
        if call is None:
            return None
        answer = self._take(task, call)
        if answer is None:
            observed.wait = call
        return answer

    def returned(self, tid: int, task: Task, registers: list[int]) -> bool:
        """Its exit. registers are changed in place when the answer is another one; True when the task was sent to sleep here."""
        observed = task.observed
        call = None if observed is None else observed.wait
        if observed is None or call is None:
            return False
        observed.wait = None
        result = registers[events.RAX]
        result = result - (1 << 64) if result >> 63 else result
        if result not in (-ECHILD, -ERESTARTSYS):
            return False
        answer = self._take(task, call)
        if answer is None and result == -ECHILD and self._traces.could_report(task.thread.process, call.matches):
            if not call.options & WNOHANG:
                task.call = (call.number, call.arguments)
                return self._supervisor.park_at_exit(tid, task, self._sleep(task.thread.process))
            answer = self._nothing(task, call)
        if answer is not None:
            registers[events.RAX] = answer
            registers[events.ORIG_RAX] = -1
        return False

    def again(self, task: Task, number: int, arguments: tuple[int, ...]) -> bool:
        """Whether this is the wait of a task that has just woken: it is looked at afresh."""
        if task.stage is not Stage.REISSUE or task.ready is not FORWARD or task.ready_call != (number, arguments):
            return False
        self._supervisor.drop_ready(task)
        task.stage = Stage.RUNNING
        return True

    def _sleep(self, process: Process) -> Blocking:
        news = self._traces.news(process)
        news.clear()
        yield Wait((news,))
        return FORWARD

    def _take(self, task: Task, call: WaitCall) -> int | None:
        ends = call.number == NR_WAIT4 or bool(call.options & WEXITED)
        report = self._traces.take(task.thread.process, call.matches, keep=bool(call.options & WNOWAIT), ends=ends)
        if report is None:
            return None
        try:
            return self._write(task, call, report)
        except SyscallError:
            return -EFAULT

    @staticmethod
    def _write(task: Task, call: WaitCall, report: Report) -> int:
        memory = task.thread.memory
        usage = call.arguments[3 if call.number == NR_WAIT4 else 4]
        if usage:
            memory.write(usage, bytes(_USAGE_SIZE))
        if call.number == NR_WAIT4:
            if call.arguments[1]:
                memory.write(call.arguments[1], (report.status & _WORD).to_bytes(4, "little"))
            return report.tid
        if call.arguments[2]:
            code, status = _CLD_TRAPPED, report.code
            if not report.stopped:
                killed = report.status & 0x7F
                code, status = (_CLD_KILLED, killed) if killed else (_CLD_EXITED, report.status >> 8 & 0xFF)
            memory.write(call.arguments[2], _INFORMATION.pack(_SIGCHLD, 0, code, report.tid, report.uid, status))
        return 0

    @staticmethod
    def _nothing(task: Task, call: WaitCall) -> int:
        """WNOHANG with nothing to report: 0, and a waitid's siginfo says that there is nobody."""
        if call.number == NR_WAITID and call.arguments[2]:
            try:
                task.thread.memory.write(call.arguments[2], _INFORMATION.pack(0, 0, 0, 0, 0, 0))
            except SyscallError:
                return -EFAULT
        return 0
