"""clone3 and its like as the supervisor drives them: arguments in registers, everybody's own registers back, nobody untraced."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pylibos.emulation.outcome import Clone
from pylibos.runtime import actions, births, cloning
from pylibos.runtime.births import CREATOR_UNKNOWN
from pylibos.runtime.task import Stage
from pylibos.tracer import tracer as events
from tests.unit.runtime.engine import RIP, TID, Bench

CLONE, CLONE3, CHILD = 56, 435, 1001
ARGUMENTS = (events.RDI, events.RSI, events.RDX, events.R10, events.R8)
OUTCOME = Clone(0x1011, 0x9000, 0x8000, 0x7000, 0x6000)
PIDFD_AND_TID = Clone(0x1011, 0x9000, 0x8000, 0x7000, 0x6000, parent_tid_address=0x4000)
STOPPED = 5


class Memory:
    """Writes down what is written."""

    def __init__(self) -> None:
        self.written: list[tuple[int, bytes]] = []

    def write(self, address: int, data: bytes) -> None:
        self.written.append((address, data))


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    own = made.tracer.held[TID]
    for value, register in enumerate(ARGUMENTS, 0x100):
        own[register] = value
    own[events.ORIG_RAX] = CLONE3
    child = SimpleNamespace(host_tid=CHILD, tid=77, process=SimpleNamespace(host_pid=CHILD), memory=None, seccomp=None)
    processes: Any = made.supervisor.executive.processes
    processes.fork = lambda _thread, _tid, _pid, _flags: child
    vars(made.supervisor)["guest_pid"] = lambda _tid: 77
    return made


def begin(bench: Bench, outcome: Clone = OUTCOME) -> None:
    bench.answer_with(outcome)
    assert bench.event(events.TRACED, number=CLONE3) == [("resume_to_exit", TID)]
    assert bench.stage() is Stage.CLONING
    assert [bench.register(register) for register in ARGUMENTS] == [0x1011, 0x9000, 0x8000, 0x7000, 0x6000]
    assert bench.register(events.ORIG_RAX) == CLONE


def own_registers(bench: Bench, tid: int = TID) -> bool:
    return [bench.register(register, tid) for register in ARGUMENTS] == [0x100 + index for index in range(5)]


def born_with_the_creators_registers(bench: Bench) -> None:
    bench.tracer.held[CHILD] = list(bench.tracer.held[TID])


def test_creator_and_child_get_their_registers_back(bench: Bench) -> None:
    begin(bench)
    born_with_the_creators_registers(bench)
    assert bench.event(events.STOP, detail=events.EVENT_FORK, value=CHILD) == [("resume", TID)]
    assert bench.stage() is Stage.RUNNING
    assert own_registers(bench)
    assert not own_registers(bench, CHILD)
    assert bench.event(events.STOP, tid=CHILD, detail=events.EVENT_STOP, value=STOPPED) == [("resume", CHILD)]
    assert own_registers(bench, CHILD)


def test_a_child_that_stops_first_waits_for_its_creator(bench: Bench) -> None:
    begin(bench)
    born_with_the_creators_registers(bench)
    host: Any = bench.supervisor.executive.host
    host.clock_read = lambda _clock: 0
    assert ("resume", CHILD) not in bench.event(events.STOP, tid=CHILD, detail=events.EVENT_STOP, value=STOPPED)
    said = bench.event(events.STOP, detail=events.EVENT_FORK, value=CHILD)
    assert said == [("resume", CHILD), ("resume", TID)]
    assert own_registers(bench, CHILD)


def test_a_clone_that_fails_is_the_guests_own_call_again(bench: Bench) -> None:
    """The number too: the kernel may make the call again (ERESTARTNOINTR), and then it must be clone3."""
    begin(bench)
    assert bench.event(events.STOP, detail=events.EVENT_SYSCALL) == [("resume", TID)]
    assert own_registers(bench)
    assert bench.register(events.ORIG_RAX) == CLONE3
    assert bench.register(events.RIP) == RIP


def test_the_parent_learns_the_number_beside_a_pidfd(bench: Bench) -> None:
    memory: Any = Memory()
    bench.task.thread.memory = memory
    begin(bench, PIDFD_AND_TID)
    born_with_the_creators_registers(bench)
    bench.event(events.STOP, detail=events.EVENT_FORK, value=CHILD)
    assert memory.written == [(0x4000, b"\x4d\0\0\0")]


def test_handlers_are_cleared_by_the_child_itself(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int]] = []
    monkeypatch.setattr(actions, "TaskMemory", lambda _tid: Memory())
    monkeypatch.setattr(cloning, "signal_set", lambda _tid, _name: 1 << 9 | 1 << 11)

    def remote_call(_tid: int, call: list[int]) -> bool:
        calls.append((call[events.RAX], call[events.RDI]))
        return True

    vars(bench.supervisor)["remote_call"] = remote_call
    begin(bench, Clone(0x1011, 0x9000, 0x8000, 0x7000, 0x6000, clear_handlers=True))
    born_with_the_creators_registers(bench)
    bench.event(events.STOP, detail=events.EVENT_FORK, value=CHILD)
    bench.event(events.STOP, tid=CHILD, detail=events.EVENT_STOP, value=STOPPED)
    assert calls == [(13, 10), (13, 12)]
    assert own_registers(bench, CHILD)


def test_the_creator_of_a_siblings_clone_is_not_looked_for(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """With CLONE_PARENT a held task's parent says nothing about who will announce it."""
    monkeypatch.setattr(births, "_relatives", lambda _tid: (CHILD, 1))
    host: Any = bench.supervisor.executive.host
    host.clock_read = lambda _clock: bench.now
    bench.answer_with(Clone(0x8011))
    bench.event(events.TRACED, number=CLONE3)
    bench.event(events.STOP, tid=CHILD, detail=events.EVENT_STOP, value=STOPPED)
    bench.now = births.ANNOUNCEMENT_PATIENCE_NS + 1
    bench.event(events.TIMER)
    assert bench.killed == []
    assert bench.supervisor.births.held == {CHILD: CREATOR_UNKNOWN}
    bench.event(events.STOP, detail=events.EVENT_SYSCALL)
    bench.now *= 3
    bench.event(events.TIMER)
    assert bench.killed == [CHILD]
