"""Calls that wait: park, wake, signals and death, as the supervisor drives them."""

from __future__ import annotations

from typing import Any

import pytest

from pylibos.emulation.errors import Interrupted
from pylibos.emulation.object_manager.dispatcher import Event
from pylibos.emulation.outcome import Blocking, Forward, Install, Wait
from pylibos.monitor.host_abi import HostStream
from pylibos.runtime.supervisor import NR_REISSUE
from pylibos.runtime.task import NOT_READY, Stage
from pylibos.tracer import tracer as events
from tests.unit.runtime.engine import CALL_ID, RIP, TID, Bench

NUMBER, PAUSE = 73, 34
ARGUMENTS = (5, 2)
STOPPED = 5
"""SIGTRAP, what an EVENT_STOP that PTRACE_INTERRUPT asked for carries."""


@pytest.fixture
def bench() -> Bench:
    return Bench()


def waiting(event: Event, log: list[str]) -> Blocking:
    try:
        yield Wait((event,))
    except Interrupted:
        log.append("interrupted")
        raise
    except GeneratorExit:
        log.append("cancelled")
        raise
    return 42


def call(bench: Bench) -> list[Any]:
    return bench.event(events.NOTIFIED, number=NUMBER, arguments=ARGUMENTS)


def park(bench: Bench) -> tuple[Event, list[str]]:
    """A task asleep in pause."""
    event, log = Event(), list[str]()
    bench.answer_with(waiting(event, log))
    assert call(bench) == [("set_deadline", 0), ("interrupt", TID), ("reply", CALL_ID, 0)]
    assert bench.event(events.STOP, detail=events.EVENT_STOP, value=STOPPED) == [("resume", TID)]
    assert (bench.register(events.RAX), bench.register(events.RIP)) == (PAUSE, RIP - 2)
    assert bench.event(events.TRACED, number=PAUSE) == [("resume", TID)]
    assert bench.stage() is Stage.PARKED
    assert bench.tracer.reports_signals
    return event, log


def test_a_wait_that_is_satisfied_at_once_does_not_stop_anything(bench: Bench) -> None:
    event = Event()
    event.set()
    bench.answer_with(waiting(event, []))
    assert call(bench)[-1] == ("reply", CALL_ID, 42)
    assert bench.stage() is Stage.RUNNING
    assert not bench.tracer.reports_signals


def test_park_and_wake(bench: Bench) -> None:
    event, _log = park(bench)
    event.set()
    bench.waits.deliver()
    assert bench.tracer.take() == [("interrupt", TID)]
    assert bench.stage() is Stage.WAKING
    assert bench.event(events.STOP, detail=events.EVENT_STOP, value=STOPPED) == [("resume", TID)]
    assert (bench.register(events.RAX), bench.register(events.RIP)) == (NUMBER, RIP - 2)
    assert call(bench) == [("reply", CALL_ID, 42)]
    assert bench.stage() is Stage.RUNNING
    assert bench.task.ready is NOT_READY
    assert not bench.tracer.reports_signals


def test_the_outcome_is_for_the_same_call_only(bench: Bench) -> None:
    event, _log = park(bench)
    event.set()
    bench.waits.deliver()
    bench.event(events.STOP, detail=events.EVENT_STOP, value=STOPPED)
    bench.answer_with(7)
    assert bench.event(events.NOTIFIED, number=NUMBER, arguments=(6, 2)) == [("reply", CALL_ID, 7)]
    assert bench.event(events.NOTIFIED, number=NUMBER + 1, arguments=ARGUMENTS) == [("reply", CALL_ID, 7)]
    assert call(bench) == [("reply", CALL_ID, 42)]


def test_satisfied_before_it_is_asleep(bench: Bench) -> None:
    event = Event()
    bench.answer_with(waiting(event, []))
    call(bench)
    event.set()
    bench.waits.deliver()
    assert bench.event(events.STOP, detail=events.EVENT_STOP, value=STOPPED) == [("resume", TID)]
    assert (bench.register(events.RAX), bench.register(events.RIP)) == (NUMBER, RIP - 2)
    assert call(bench) == [("reply", CALL_ID, 42)]


def test_a_signal_interrupts_and_the_kernel_decides_about_restarting(bench: Bench) -> None:
    event, log = park(bench)
    assert bench.event(events.SIGNAL, detail=10) == [("resume", TID, 10)]
    assert log == ["interrupted"]
    assert bench.register(events.ORIG_RAX) == NUMBER
    assert bench.register(events.RAX) > 2**64 - 4096
    assert bench.register(events.RIP) == RIP
    assert bench.stage() is Stage.RUNNING
    event.set()
    assert bench.waits.deliver() == 0


@pytest.mark.parametrize(("number", "ignored", "caught"), [(17, 0, 0), (10, 1 << 9, 0), (28, 1 << 27, 0)])
def test_an_ignored_signal_does_not_interrupt(bench: Bench, number: int, ignored: int, caught: int) -> None:
    """A tracee stops for it all the same, and calls pause again by itself."""
    event, log = park(bench)
    bench.signals = (0, 0, ignored, caught)
    assert bench.event(events.SIGNAL, detail=number) == [("signal_pass", TID, number)]
    assert log == []
    assert bench.event(events.TRACED, number=PAUSE) == [("resume", TID)]
    assert bench.stage() is Stage.PARKED
    event.set()
    bench.waits.deliver()
    assert bench.tracer.take() == [("interrupt", TID)]
    assert bench.event(events.STOP, detail=events.EVENT_STOP, value=STOPPED) == [("resume", TID)]
    assert call(bench) == [("reply", CALL_ID, 42)]


def test_a_wait_that_ends_while_an_ignored_signal_passes_is_not_lost(bench: Bench) -> None:
    event, _log = park(bench)
    bench.event(events.SIGNAL, detail=17)
    event.set()
    bench.waits.deliver()
    assert bench.event(events.TRACED, number=PAUSE) == [("resume", TID), ("interrupt", TID)]
    bench.event(events.STOP, detail=events.EVENT_STOP, value=STOPPED)
    assert call(bench) == [("reply", CALL_ID, 42)]


@pytest.mark.parametrize("kind", [events.NOTIFIED, events.TRACED])
def test_a_task_that_does_not_call_pause_again_has_left_its_wait(bench: Bench, kind: int) -> None:
    """Another thread has installed a handler after we looked: the call has returned EINTR, and its wait must not answer a later one."""
    event, log = park(bench)
    bench.event(events.SIGNAL, detail=17)
    bench.answer_with(7)
    assert bench.event(kind, number=39) == ([("reply", CALL_ID, 7)] if kind == events.NOTIFIED else [("answer", TID, 7)])
    assert log == ["cancelled"]
    assert bench.stage() is Stage.RUNNING
    event.set()
    assert bench.waits.deliver() == 0
    assert not bench.tracer.reports_signals


def test_a_caught_signal_interrupts_whatever_its_default_is(bench: Bench) -> None:
    _event, log = park(bench)
    bench.signals = (0, 0, 0, 1 << 16)
    assert bench.event(events.SIGNAL, detail=17) == [("resume", TID, 17)]
    assert log == ["interrupted"]


def test_a_signal_after_the_wait_was_over_loses_nothing(bench: Bench) -> None:
    event, log = park(bench)
    event.set()
    bench.waits.deliver()
    bench.tracer.take()
    assert bench.event(events.SIGNAL, detail=10) == [("resume", TID, 10)]
    assert log == []
    assert bench.register(events.RAX) == 2**64 - 513
    assert call(bench) == [("reply", CALL_ID, 42)]


def test_signals_of_others_are_passed_on(bench: Bench) -> None:
    park(bench)
    bench.add(TID + 1)
    assert bench.event(events.SIGNAL, tid=TID + 1, detail=10) == [("signal_pass", TID + 1, 10)]


def test_a_stop_signal_on_the_way_is_kept(bench: Bench) -> None:
    bench.answer_with(waiting(Event(), []))
    call(bench)
    assert bench.event(events.STOP, detail=events.EVENT_STOP, value=19) == [("listen", TID)]


def test_death_withdraws_the_wait(bench: Bench) -> None:
    _event, log = park(bench)
    bench.event(events.EXIT, value=9)
    assert log == ["cancelled"]
    assert bench.ended == [(TID, 9)]
    assert not bench.tracer.reports_signals


def test_a_timeout_arms_the_timer_and_ends_the_wait(bench: Bench) -> None:
    def slow() -> Blocking:
        value = yield Wait((), timeout_ns=1000)
        return -110 if value is None else value

    bench.answer_with(slow())
    assert ("set_deadline", 1000) in call(bench)
    bench.now = 1000
    bench.event(events.TIMER)
    bench.event(events.STOP, detail=events.EVENT_STOP, value=STOPPED)
    assert call(bench) == [("reply", CALL_ID, -110)]


# -- answers that need another kind of stop -------------------------------------------------------------------------------
def test_calls_of_unknown_tasks_are_not_answered_by_the_executive(bench: Bench) -> None:
    bench.answer_with(0)
    assert bench.event(events.NOTIFIED, tid=4242, number=NUMBER) == [("reply", CALL_ID, -38)]
    assert bench.event(events.TRACED, tid=4242, number=NUMBER) == [("answer", 4242, -38)]


def test_a_traced_call_that_needs_a_notification_is_made_again(bench: Bench) -> None:
    bench.answer_with(Install(HostStream(20), close_on_exec=True))
    assert bench.event(events.TRACED, number=NUMBER, arguments=ARGUMENTS) == [("renumber", TID, NR_REISSUE)]
    assert bench.event(events.NOTIFIED, number=NR_REISSUE, arguments=ARGUMENTS) == [("reply", CALL_ID, 6)]
    assert bench.tracer.installs == [(CALL_ID, 120, True)]
    assert bench.closed == [20]


def test_the_number_is_nothing_special_when_a_guest_uses_it(bench: Bench) -> None:
    bench.answer_with(-38)
    assert bench.event(events.NOTIFIED, number=NR_REISSUE) == [("reply", CALL_ID, -38)]


def test_plain_answers(bench: Bench) -> None:
    bench.answer_with(-2)
    assert bench.event(events.TRACED, number=NUMBER) == [("answer", TID, -2)]
    bench.answer_with(Forward())
    assert bench.event(events.TRACED, number=NUMBER) == [("resume", TID)]
    assert bench.event(events.NOTIFIED, number=NUMBER) == [("reply_continue", CALL_ID)]


def test_an_answer_at_the_exit_of_a_call_that_was_used_up(bench: Bench) -> None:
    bench.installer.registers = [0] * 27
    bench.answer_with(-9)
    assert bench.event(events.TRACED, number=NUMBER) == [("resume", TID)]
    assert bench.register(events.RAX) == 2**64 - 9
    assert bench.register(events.ORIG_RAX) == 2**64 - 1
