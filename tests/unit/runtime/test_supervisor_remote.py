"""Calls a guest makes for itself at our word: order, placeholders, descriptors, death in the middle."""

from __future__ import annotations

import signal
from collections.abc import Sequence

import pytest

from pylibos.emulation.outcome import DESCRIPTOR, Remote
from pylibos.monitor.host_abi import HostStream
from pylibos.runtime.supervisor import NR_REISSUE
from pylibos.runtime.task import Stage
from pylibos.tracer import tracer as events
from tests.unit.runtime.engine import CALL_ID, RIP, TID, Bench

NUMBER, MMAP, CLOSE = 30, 9, 3
STOPPED = 5
STREAM = HostStream(55)
SYSCALL_STOP = (signal.SIGTRAP | 0x80) << 8 | 0x7F


def outcome(results: list[Sequence[int]], *, stream: HostStream | None = STREAM) -> Remote:
    def finish(raw: Sequence[int]) -> int:
        results.append(raw)
        return 0x7000 if raw else -12

    return Remote([(MMAP, (1, 2, DESCRIPTOR)), (CLOSE, (DESCRIPTOR,))], finish, stream)


def record_calls(bench: Bench) -> list[tuple[int, ...]]:
    """(number, first three arguments) at every run of a call to its exit; it returns 100, 101, ..."""
    made: list[tuple[int, ...]] = []

    def run_to_exit(tid: int, entered: bool) -> int | None:
        held = bench.tracer.held[tid]
        number = held[events.ORIG_RAX] if entered else held[events.RAX]
        made.append((number, held[events.RDI], held[events.RSI], held[events.RDX]))
        assert held[events.RIP] == (RIP if entered else RIP - 2)
        return 99 + len(made)

    vars(bench.supervisor)["run_to_exit"] = run_to_exit
    return made


def test_a_notified_call_stops_makes_its_calls_and_goes_on() -> None:
    bench = Bench()
    results: list[Sequence[int]] = []
    made = record_calls(bench)
    bench.answer_with(outcome(results))
    assert bench.event(events.NOTIFIED, number=NUMBER) == [("interrupt", TID), ("reply", CALL_ID, 0)]
    assert bench.installer.given == [(155, True)]
    assert bench.stage() is Stage.REMOTE_STOPPING
    assert bench.event(events.STOP, detail=events.EVENT_STOP, value=STOPPED) == [("resume", TID)]
    assert made == [(MMAP, 1, 2, 3), (CLOSE, 3, 0, 0)]
    assert results == [[100, 101]]
    assert (bench.register(events.RAX), bench.register(events.RIP), bench.register(events.RDI)) == (0x7000, RIP, 0)
    assert bench.closed == [STREAM]
    assert bench.stage() is Stage.RUNNING


def test_without_room_for_the_descriptor_nothing_is_called() -> None:
    bench = Bench()
    results: list[Sequence[int]] = []
    made = record_calls(bench)
    bench.installer.fail_at = 0
    bench.answer_with(outcome(results))
    assert bench.event(events.NOTIFIED, number=NUMBER) == [("reply", CALL_ID, -12)]
    assert (made, results, bench.closed) == ([], [()], [STREAM])


def test_a_traced_call_without_descriptor_becomes_the_first_of_them() -> None:
    bench = Bench()
    made = record_calls(bench)
    bench.answer_with(Remote([(MMAP, (7,)), (MMAP, (8,))], lambda raw: sum(raw) - 196))
    assert bench.event(events.TRACED, number=NUMBER) == [("resume", TID)]
    assert [call[:2] for call in made] == [(MMAP, 7), (MMAP, 8)]
    assert bench.register(events.RAX) == 5
    assert bench.register(events.ORIG_RAX) == 2**64 - 1


def test_a_traced_call_that_needs_a_descriptor_is_made_again_as_a_notified_one() -> None:
    bench = Bench()
    record_calls(bench)
    bench.answer_with(outcome([]))
    assert bench.event(events.TRACED, number=NUMBER) == [("renumber", TID, NR_REISSUE)]
    assert bench.event(events.NOTIFIED, number=NR_REISSUE) == [("interrupt", TID), ("reply", CALL_ID, 0)]


@pytest.mark.parametrize("where", ["before the stop", "in a call"])
def test_a_task_that_dies_leaves_no_stream(where: str) -> None:
    bench = Bench()
    bench.answer_with(outcome([]))
    bench.event(events.NOTIFIED, number=NUMBER)
    if where == "before the stop":
        bench.event(events.EXIT, value=9)
    else:
        bench.tracer.stops = [SYSCALL_STOP, 9]
        bench.event(events.STOP, detail=events.EVENT_STOP, value=STOPPED)
    assert bench.closed == [STREAM]
    assert TID not in bench.supervisor.tasks
