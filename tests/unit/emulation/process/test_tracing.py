"""Who traces whom, what a tracee is stopped for and what a wait finds: the state machine without any engine."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pylibos.abi import ptrace as p
from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.process import tracing
from pylibos.emulation.process.tracing import SIGTRAP, Stop, Tracee, Traces


class Engine:
    """Writes down what it is asked for."""

    def __init__(self) -> None:
        self.said: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.said.append((name, *arguments))

    def take(self) -> list[str]:
        """Names of what was asked for since the last time."""
        said, self.said = self.said, []
        return [words[0] for words in said]


class Thing:
    """A process or thread as far as the table looks: it is what it is, not what it holds."""

    def __init__(self, **fields: Any) -> None:
        vars(self).update(fields)


def process(parent: Any = None, pgid: int = 7) -> Any:
    credentials = SimpleNamespace(ruid=1000)
    return Thing(exit_status=None, pgid=pgid, parent=parent, credentials=credentials)


def thread(owner: Any, tid: int, *, leader: bool = True) -> Any:
    return Thing(process=owner, tid=tid, is_leader=leader)


TRACER = process()
CHILD = thread(process(TRACER), 20)
STRANGER = thread(process(), 30)


@pytest.fixture
def fake() -> Engine:
    return Engine()


@pytest.fixture
def traces(fake: Engine) -> Traces:
    made: Any = fake
    return Traces(made)


def everything(_tid: int, _pgid: int) -> bool:
    return True


def stopped(traces: Traces, tracee: Tracee, code: int = SIGTRAP) -> list[int]:
    """Stop a tracee; the list fills with the signals it goes on with."""
    went: list[int] = []
    traces.stop(tracee, Stop(code), went.append)
    return went


def test_attach_once(traces: Traces, fake: Engine) -> None:
    tracee = traces.attach(CHILD, TRACER, seized=False, stop=True)
    assert traces.of(CHILD) is tracee
    assert fake.take() == ["watch_tracer", "attached"]
    for again in (TRACER, STRANGER.process):
        with pytest.raises(SyscallError) as error:
            traces.attach(CHILD, again, seized=True)
        assert error.value.errno == Errno.EPERM
    with pytest.raises(SyscallError) as error:
        traces.attach(STRANGER, STRANGER.process, seized=True)
    assert error.value.errno == Errno.EPERM


def test_requests_need_a_stopped_tracee_of_ones_own(traces: Traces) -> None:
    tracee = traces.attach(CHILD, TRACER, seized=False)
    for who, by in ((CHILD, TRACER), (STRANGER, TRACER), (None, TRACER)):
        with pytest.raises(SyscallError) as error:
            traces.stopped(who, by)
        assert error.value.errno == Errno.ESRCH
    stopped(traces, tracee)
    assert traces.stopped(CHILD, TRACER) is tracee
    with pytest.raises(SyscallError):
        traces.stopped(CHILD, STRANGER.process)


def test_a_stop_is_reported_once_and_lasts_until_resumed(traces: Traces, fake: Engine) -> None:
    tracee = traces.attach(CHILD, TRACER, seized=False)
    assert traces.take(TRACER, everything) is None
    assert traces.could_report(TRACER, everything)
    fake.take()
    went = stopped(traces, tracee, 19)
    assert fake.take() == ["announce"]
    kept = traces.take(TRACER, everything, keep=True)
    report = traces.take(TRACER, everything)
    assert kept == report
    assert report is not None
    assert (report.tid, report.status, report.code, report.stopped) == (20, 0x137F, 19, True)
    assert traces.take(TRACER, everything) is None
    assert went == []
    traces.resume(tracee, p.SYSCALL, 10)
    assert went == [10]
    assert tracee.steps_calls
    assert fake.take() == ["prepare"]
    with pytest.raises(SyscallError):
        traces.stopped(CHILD, TRACER)


def test_waits_choose_by_number_and_group(traces: Traces) -> None:
    stopped(traces, traces.attach(CHILD, TRACER, seized=False))
    assert traces.take(TRACER, lambda tid, _pgid: tid == 21) is None
    assert traces.take(TRACER, lambda _tid, pgid: pgid == 8) is None
    assert traces.take(STRANGER.process, everything) is None
    assert traces.take(TRACER, lambda tid, pgid: (tid, pgid) == (20, 7)) is not None


def test_a_child_of_a_tracee_begins_traced(traces: Traces) -> None:
    parent = traces.attach(CHILD, TRACER, seized=True, options=p.O_TRACESYSGOOD)
    born = thread(process(CHILD.process), 21)
    traces.inherit(parent, born)
    tracee = traces.of(born)
    assert tracee is not None
    assert (tracee.tracer, tracee.seized, tracee.options, tracee.fresh) == (TRACER, True, p.O_TRACESYSGOOD, True)


def test_the_end_of_ones_own_child_is_the_hosts_to_report(traces: Traces, fake: Engine) -> None:
    traces.attach(CHILD, TRACER, seized=False)
    traces.exited(CHILD, 0x300)
    assert traces.of(CHILD) is None
    assert traces.take(TRACER, everything) is None
    assert not traces.traces_any(TRACER)
    assert fake.take()[-1] == "watch_tracer"


@pytest.mark.parametrize("ended", [STRANGER, thread(CHILD.process, 22, leader=False)], ids=["somebody-elses", "thread"])
def test_other_ends_are_reported_here(traces: Traces, ended: Any) -> None:
    traces.attach(ended, TRACER, seized=False)
    traces.exited(ended, 0x300)
    assert traces.take(TRACER, everything, ends=False) is None
    report = traces.take(TRACER, everything)
    assert report is not None
    assert (report.tid, report.status, report.stopped) == (ended.tid, 0x300, False)
    assert not traces.traces_any(TRACER)


def test_a_tracer_that_does_not_wait_costs_no_more_and_more(traces: Traces, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "ENDED_MAX", 2)
    for tid in (40, 41, 42):
        stranger = thread(process(), tid)
        traces.attach(stranger, TRACER, seized=True)
        traces.exited(stranger, 0)
    found = [traces.take(TRACER, everything) for _ in range(3)]
    assert [None if report is None else report.tid for report in found] == [41, 42, None]


def test_detach_lets_go(traces: Traces, fake: Engine) -> None:
    tracee = traces.attach(CHILD, TRACER, seized=False)
    went = stopped(traces, tracee)
    fake.take()
    traces.detach(tracee, 15)
    assert went == [15]
    assert fake.take() == ["watch_tracer", "detached"]
    assert traces.of(CHILD) is None


@pytest.mark.parametrize("options", [0, p.O_EXITKILL])
def test_the_end_of_a_tracer(traces: Traces, fake: Engine, options: int) -> None:
    tracee = traces.attach(CHILD, TRACER, seized=True, options=options)
    went = stopped(traces, tracee)
    fake.take()
    traces.tracer_gone(TRACER)
    assert ("kill" in fake.take()) == bool(options)
    assert went == [0]
    assert traces.of(CHILD) is None


def test_interrupt(traces: Traces, fake: Engine) -> None:
    tracee = traces.attach(CHILD, TRACER, seized=True)
    fake.take()
    traces.interrupt(tracee)
    assert fake.take() == ["interrupt"]
    assert tracee.interrupted
    tracee.interrupted = False
    stopped(traces, tracee)
    fake.take()
    traces.interrupt(tracee)
    assert fake.take() == []


def test_news_wake_those_who_know_only_tracees(traces: Traces) -> None:
    event = traces.news(TRACER)
    event.clear()
    traces.recheck(TRACER)
    assert event.signaled
    traces.recheck(None)


def test_options_and_codes() -> None:
    tracee = Tracee(CHILD, TRACER, False, p.option_of(p.EVENT_FORK))
    assert tracee.wants(p.EVENT_FORK)
    assert not tracee.wants(p.EVENT_EXEC)
    assert tracee.syscall_code == SIGTRAP
    tracee.options |= p.O_TRACESYSGOOD
    assert tracee.syscall_code == SIGTRAP | 0x80
    assert Stop(SIGTRAP | p.EVENT_STOP << 8).status == 0x80057F
