"""A thread that executes a program becomes its process's leader: what the old leader has stopped for is nobody's, or is done later."""

from __future__ import annotations

from typing import Any, cast

import pytest

from pylibos.runtime.takeover import Takeovers
from pylibos.runtime.task import Stage, Task
from pylibos.tracer import tracer as events
from tests.unit.runtime.engine import TID, Bench

OTHER = TID + 1


def process_of_two(bench: Bench) -> Task:
    """The executing thread; the bench's task is its leader."""
    thread = bench.add(OTHER)
    thread.thread.process = bench.task.thread.process
    bench.task.thread.process.threads = cast("Any", {TID: bench.task.thread, OTHER: thread.thread})
    return thread


def stop(kind: int, tid: int = TID, detail: int = 0) -> Any:
    return (kind, tid, detail, 0, 0, 39, 1, 2, 3, 4, 5, 6, 0x401000, 0, 0, 44)


def test_the_leaders_stops_wait_for_the_outcome() -> None:
    bench = Bench()
    replayed: list[Any] = []
    takeovers = Takeovers(replayed.append)
    takeovers.begin(OTHER, process_of_two(bench))
    assert TID in takeovers.threads
    assert takeovers.put_aside(stop(events.TRACED))
    assert takeovers.put_aside(stop(events.SIGNAL))
    assert not takeovers.put_aside(stop(events.EXIT)), "its end is its end"
    assert not takeovers.put_aside(stop(events.NOTIFIED)), "is answered by its own number"
    assert not takeovers.put_aside(stop(events.STOP, detail=events.EVENT_EXEC)), "is the outcome"
    takeovers.failed(OTHER, TID)
    assert [fields[0] for fields in replayed] == [events.TRACED, events.SIGNAL]
    assert {fields[15] for fields in replayed} == {events.NO_PATH}, "the path has been overwritten"
    assert not takeovers.threads


def test_success_makes_them_nobodys() -> None:
    bench = Bench()
    replayed: list[Any] = []
    takeovers = Takeovers(replayed.append)
    takeovers.begin(OTHER, process_of_two(bench))
    takeovers.put_aside(stop(events.TRACED))
    takeovers.succeeded(TID)
    takeovers.failed(OTHER, TID)
    assert replayed == []


def test_of_several_the_last_failure_counts() -> None:
    bench = Bench()
    replayed: list[Any] = []
    takeovers = Takeovers(replayed.append)
    task = process_of_two(bench)
    takeovers.begin(OTHER, task)
    takeovers.begin(OTHER + 1, task)
    takeovers.put_aside(stop(events.TRACED))
    takeovers.failed(OTHER, TID)
    assert replayed == []
    takeovers.failed(OTHER + 1, TID)
    assert len(replayed) == 1


@pytest.mark.parametrize("tid", [TID, OTHER])
def test_a_leader_or_a_lonely_thread_takes_nothing_over(tid: int) -> None:
    bench = Bench()
    takeovers = Takeovers(lambda _fields: None)
    if tid == TID:
        process_of_two(bench)
    bench.task.thread.process.threads = bench.task.thread.process.threads if tid == TID else cast("Any", {OTHER: None})
    takeovers.begin(tid, bench.task)
    assert not takeovers.threads


def test_an_exec_event_ends_a_call_that_is_waited_for() -> None:
    """The leader was to make a quick call; it has been killed, and the stop that comes is the new program's."""
    bench = Bench()
    bench.tracer.stops = [events.EVENT_EXEC << 16 | 5 << 8 | 0x7F]
    vars(bench.tracer)["event_message"] = lambda _tid: OTHER
    seen: list[tuple[int, int]] = []
    vars(bench.supervisor._images)["executed"] = lambda tid, old: seen.append((tid, old))
    assert bench.supervisor.run_to_exit(TID, False) is None
    assert seen == [(TID, OTHER)]
    assert bench.task.stage is Stage.RUNNING
