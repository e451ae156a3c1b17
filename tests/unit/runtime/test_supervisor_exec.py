"""execve as the supervisor drives it: stages, what a hostile guest may try in between, and what is given back."""

from __future__ import annotations

import os
from typing import Any

import pytest

from pylibos.abi.plan import PLAN_ADDRESS
from pylibos.runtime import image
from pylibos.runtime.task import Stage
from pylibos.tracer import tracer as events
from tests.unit.runtime.engine import CALL_ID, INTERPRETER, LOADER, PROGRAM, RIP, TID, Bench, make_exec

EXECVE, EXECVEAT, CLOSE = 59, 322, 3
SYSCALL_STOP = (5 | 0x80) << 8 | 0x7F
OURS = (3, 0x7003, 0x7001, 0x7002, image.AT_EMPTY_PATH)
"""Arguments of execveat when nothing was tampered with."""


@pytest.fixture
def bench() -> Bench:
    return Bench()


def begin(bench: Bench) -> None:
    """Up to the point where execveat is about to be entered."""
    bench.answer_with(make_exec())
    assert bench.event(events.NOTIFIED, number=EXECVE) == [("interrupt", TID), ("reply", CALL_ID, 0)]
    assert bench.stage() is Stage.EXEC_STOPPING
    assert bench.tracer.kept == [TID]
    assert bench.event(events.STOP, detail=events.EVENT_STOP, value=5) == [("resume", TID)]
    assert bench.stage() is Stage.EXEC_ENTERING


def written(bench: Bench, monkeypatch: pytest.MonkeyPatch, *, loader: bool = True) -> list[tuple[int, bytes]]:
    """Make the exec event's surroundings harmless; the list fills with what is written into the guest."""
    found: list[tuple[int, bytes]] = []
    memory: Any = type("Memory", (), {"__init__": lambda *_: None, "write": lambda _self, address, data: found.append((address, data))})
    monkeypatch.setattr(image, "TaskMemory", memory)
    monkeypatch.setattr(image.ImageLoader, "_is_loader", lambda _self, _tid: loader)
    return found


def test_the_happy_path(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    found = written(bench, monkeypatch)
    bench.tracer.masks[TID] = 0x55
    begin(bench)
    assert bench.installer.given == [(LOADER[0], True), (PROGRAM + 100, False), (INTERPRETER + 100, False)]
    assert bench.tracer.masks[TID] == events.ALL_SIGNALS
    names = (events.RAX, events.RDI, events.RSI, events.RDX, events.R10, events.R8, events.RIP)
    assert [bench.register(name) for name in names] == [EXECVEAT, *OURS, RIP - 2]
    assert bench.event(events.TRACED, number=EXECVEAT, arguments=OURS) == [("resume_to_exit", TID)]
    assert bench.stage() is Stage.EXEC_RUNNING
    assert ("resume", TID) in bench.event(events.STOP, detail=events.EVENT_EXEC, value=TID)
    assert [address for address, _ in found] == [PLAN_ADDRESS]
    assert found[0][1].endswith(b"/bin/x\0")
    assert bench.tracer.masks[TID] == 0x55
    assert bench.closed == [PROGRAM, INTERPRETER]
    assert bench.stage() is Stage.RUNNING
    assert len(bench.committed) == 1
    assert not bench.killed
    assert bench.tracer.stays == [True, False]
    assert bench.tracer.kept == []


def test_a_kept_interpreter_stays_open(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    written(bench, monkeypatch)
    bench.answer_with(make_exec(keep_interpreter=True))
    bench.event(events.NOTIFIED, number=EXECVE)
    bench.event(events.STOP, detail=events.EVENT_STOP, value=5)
    bench.event(events.TRACED, number=EXECVEAT, arguments=OURS)
    bench.event(events.STOP, detail=events.EVENT_EXEC, value=TID)
    assert bench.closed == [PROGRAM]


@pytest.mark.parametrize(("index", "value"), [(0, 4), (1, 0x7004), (4, 0), (4, 0x1100)])
def test_arguments_that_are_not_ours_any_more_kill(bench: Bench, index: int, value: int) -> None:
    begin(bench)
    tampered = list(OURS)
    tampered[index] = value
    assert bench.event(events.TRACED, number=EXECVEAT, arguments=tuple(tampered)) == []
    assert bench.killed == [TID]


def test_an_exec_nobody_prepared_kills(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    written(bench, monkeypatch)
    bench.event(events.STOP, detail=events.EVENT_EXEC, value=TID)
    assert bench.killed == [TID]
    assert not bench.committed


def test_an_exec_of_something_else_kills(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    found = written(bench, monkeypatch, loader=False)
    begin(bench)
    bench.event(events.TRACED, number=EXECVEAT, arguments=OURS)
    bench.event(events.STOP, detail=events.EVENT_EXEC, value=TID)
    assert bench.killed == [TID]
    assert not found


def test_an_exec_of_an_unknown_task_kills(bench: Bench) -> None:
    bench.event(events.STOP, tid=4242, detail=events.EVENT_EXEC, value=4242)
    assert bench.killed == [4242]


def test_the_loader_is_known_by_its_identity(bench: Bench) -> None:
    status = os.stat("/proc/self/exe")
    assert image.ImageLoader(bench.supervisor, (1, (status.st_dev, status.st_ino)))._is_loader(os.getpid())
    assert not image.ImageLoader(bench.supervisor, (1, (status.st_dev, status.st_ino + 1)))._is_loader(os.getpid())


def test_a_refused_execveat_returns_its_error_and_closes_what_was_given(bench: Bench) -> None:
    bench.tracer.masks[TID] = 0x55
    begin(bench)
    bench.event(events.TRACED, number=EXECVEAT, arguments=OURS)
    bench.tracer.held[TID][events.RAX] = 2**64 - 7
    bench.tracer.stops = [SYSCALL_STOP] * 6
    said = bench.event(events.STOP, detail=events.EVENT_SYSCALL)
    assert said.count(("resume_to_exit", TID)) == 6
    assert said[-1] == ("resume", TID)
    assert bench.register(events.RAX) == 2**64 - 7
    assert bench.register(events.RIP) == RIP
    assert bench.tracer.masks[TID] == 0x55
    assert bench.closed == [PROGRAM, INTERPRETER]
    assert bench.stage() is Stage.RUNNING
    assert (bench.tracer.kept, bench.tracer.let_go_as) == ([], [TID])


def test_no_room_for_the_descriptors(bench: Bench) -> None:
    bench.installer.fail_at = 1
    bench.answer_with(make_exec())
    bench.event(events.NOTIFIED, number=EXECVE)
    bench.tracer.stops = [SYSCALL_STOP] * 2
    bench.event(events.STOP, detail=events.EVENT_STOP, value=5)
    assert bench.register(events.RAX) == 2**64 - 24
    assert bench.closed == [PROGRAM, INTERPRETER]
    assert bench.stage() is Stage.RUNNING


def test_death_in_the_middle_gives_everything_back(bench: Bench) -> None:
    begin(bench)
    bench.event(events.EXIT, value=9)
    assert bench.tracer.stays == [True, False]
    assert bench.tracer.kept == []
    assert bench.closed == [PROGRAM, INTERPRETER]
    assert TID not in bench.supervisor.tasks
    assert bench.tracer.let_go_as == [0]


def test_another_thread_than_the_leader_takes_its_number(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    written(bench, monkeypatch)
    bench.add(TID - 1)
    begin(bench)
    bench.event(events.TRACED, number=EXECVEAT, arguments=OURS)
    bench.event(events.STOP, tid=TID - 1, detail=events.EVENT_EXEC, value=TID)
    assert bench.supervisor.tasks == {TID - 1: bench.task}
    assert not bench.killed
