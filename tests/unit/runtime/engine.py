"""A supervisor over a tracer that only writes down what it is told, for tests of the state machines."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from pylibos.emulation.object_manager.waits import WaitQueue
from pylibos.emulation.outcome import Exec, ExecPlan, ImagePlan
from pylibos.monitor.host_abi import HostStream
from pylibos.runtime.supervisor import Supervisor
from pylibos.runtime.task import Stage, Task
from pylibos.tracer import tracer as events

TID = 1000
CALL_ID = 77
RIP = 0x401002
LOADER = (900, (1, 2))
PROGRAM, INTERPRETER = HostStream(10), HostStream(11)


class FakeTracer:
    """Commands as tuples in `said`; registers per task."""

    def __init__(self) -> None:
        self.said: list[tuple[Any, ...]] = []
        self.held: dict[int, list[int]] = {}
        self.masks: dict[int, int] = {}
        self.stops: list[int] = []
        self.reports_signals = False
        self.installs: list[tuple[Any, ...]] = []
        self.stays: list[bool] = []
        self.kept: list[int] = []
        self.let_go_as: list[int] = []

    def install(self, *arguments: Any) -> int:
        self.installs.append(arguments)
        return 6

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.said.append((name, *arguments))

    def keep(self, tid: int) -> None:
        self.kept.append(tid)

    def let_go(self, tid: int, now: int) -> None:
        if tid in self.kept:
            self.kept.remove(tid)
            self.let_go_as.append(now)

    def new_task(self, tid: int) -> None:
        """What was published for the number's last task is of no interest here."""

    def report_signals(self, wanted: bool) -> None:
        self.reports_signals = wanted

    def registers(self, tid: int) -> list[int] | None:
        known = self.held.get(tid)
        return None if known is None else list(known)

    def set_registers(self, tid: int, registers: list[int]) -> None:
        self.held[tid] = list(registers)

    def signal_mask(self, tid: int) -> int | None:
        return self.masks.get(tid, 0)

    def set_signal_mask(self, tid: int, mask: int) -> None:
        self.masks[tid] = mask

    def stay(self, here: bool) -> None:
        self.stays.append(here)

    def wait_stop(self, tid: int) -> int:
        return self.stops.pop(0) if self.stops else -3

    def take(self) -> list[tuple[Any, ...]]:
        """What was said since the last time."""
        said, self.said = self.said, []
        return said


class FakeInstaller:
    """Gives numbers 3, 4, 5, ...; an error instead of the one numbered `fail_at`."""

    def __init__(self) -> None:
        self.given: list[tuple[int, bool]] = []
        self.fail_at = -1
        self.registers: list[int] | None = None

    def begin(self, call_id: int, tid: int) -> None:
        pass

    def install_for_host(self, host_tid: int, descriptor: int, close_on_exec: bool) -> int:
        return self.install_descriptor(host_tid, descriptor, close_on_exec)

    def install_descriptor(self, tid: int, descriptor: int, close_on_exec: bool) -> int:
        if len(self.given) == self.fail_at:
            return -24
        self.given.append((descriptor, close_on_exec))
        return 2 + len(self.given)

    def moved(self) -> list[int] | None:
        return self.registers


class Bench:
    """One supervisor with one task, TID, and everything it did."""

    def __init__(self) -> None:
        self.tracer = FakeTracer()
        self.installer = FakeInstaller()
        self.closed: list[int] = []
        self.killed: list[int] = []
        self.committed: list[Any] = []
        self.ended: list[tuple[int, int]] = []
        self.now = 0
        self.signals = (0, 0, 0, 0)
        """Pending, blocked, ignored and caught by the task's process."""
        self.waits = WaitQueue(lambda: self.now)
        executive: Any = SimpleNamespace(
            host=SimpleNamespace(stream_close=self.closed.append, process_usage=lambda _pid: SimpleNamespace(signals=self.signals)),
            processes=SimpleNamespace(
                exec_committed=lambda _thread, plan: self.committed.append(plan),
                thread_exited=lambda tid, status: self.ended.append((tid, status)),
                process_by_host=lambda _pid: None,
            ),
        )
        tracer: Any = self.tracer
        self.supervisor = Supervisor(
            tracer, executive, self.waits, self.installer, LOADER, descriptor=lambda stream: int(stream) + 100, report=lambda _text: None
        )
        vars(self.supervisor)["kill"] = self.killed.append  # no test may signal a real process
        self.task = self.add(TID)

    def add(self, tid: int) -> Task:
        """Another task of the same kind."""
        credentials = SimpleNamespace(ruid=1, euid=2, rgid=3, egid=4)
        process = SimpleNamespace(host_pid=tid, credentials=credentials)
        thread: Any = SimpleNamespace(host_tid=tid, tid=tid, process=process, memory=None, prefetched_path=None, prefetched_address=0)
        task = Task(thread)
        self.supervisor.tasks[tid] = task
        registers = [0] * 27
        registers[events.RIP] = RIP
        self.tracer.held[tid] = registers
        return task

    def answer_with(self, outcome: Any) -> None:
        """What the executive says to every call from now on."""
        self.supervisor.dispatch = lambda _thread, _number, _arguments: outcome

    def stage(self) -> Stage:
        """What the next stop of the task belongs to."""
        return self.task.stage

    def event(
        self, kind: int, *, tid: int = TID, detail: int = 0, value: int = 0, number: int = 0, arguments: tuple[int, ...] = ()
    ) -> list[Any]:
        """Deliver one event; what the tracer was told meanwhile."""
        padded = (*arguments, *[0] * (6 - len(arguments)))
        call_id = CALL_ID if kind == events.NOTIFIED else 0
        fields = (kind, tid, detail, value, call_id, number, *padded, RIP, 0, 0, events.NO_PATH)
        self.supervisor._handlers[kind](fields)
        self.waits.deliver()
        return self.tracer.take()

    def register(self, index: int, tid: int = TID) -> int:
        """One register as the task has it now."""
        return self.tracer.held[tid][index] & 0xFFFFFFFFFFFFFFFF


def make_exec(*, keep_interpreter: bool = False) -> Exec:
    """An execve the executive has agreed to."""
    program = ImagePlan(PROGRAM, True, 0x1000, 0x40, 3, [])
    interpreter = ImagePlan(INTERPRETER, True, 0x2000, 0x40, 3, [], keep=keep_interpreter)
    return Exec(ExecPlan(b"/bin/x", program, interpreter), 0x7001, 0x7002, 0x7003)
