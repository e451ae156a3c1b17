"""Guests that trace guests, as the supervisor drives them: what is held, how it goes on, and what a tracer's wait answers."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pylibos.abi import bpf
from pylibos.abi import ptrace as p
from pylibos.emulation.process.tracing import Tracee
from pylibos.runtime import traced_waits, tracing
from pylibos.runtime.task import Stage, Task
from pylibos.tracer import tracer as events
from tests.unit.runtime.engine import TID, Bench

TRACER_TID = 2000
WAIT4, GETPPID = 61, 110
EXIT = 2
SIGUSR1, SIGCHLD, SIGSTOP = 10, 17, 19


class Thing:
    """Compared and hashed by what it is."""

    def __init__(self, **fields: Any) -> None:
        vars(self).update(fields)


class Memory:
    """Writes down what is written."""

    def __init__(self) -> None:
        self.written: dict[int, bytes] = {}

    def write(self, address: int, data: bytes) -> None:
        self.written[address] = data


class TracedBench(Bench):
    """TID is traced by the process of TRACER_TID."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[tuple[int, int]] = []
        vars(self.supervisor)["signal_guest"] = lambda pid, number: self.sent.append((pid, number))
        self.tracer_task = self.add(TRACER_TID)
        self.tracer_task.thread.memory = self.memory = Memory()
        traces = self.supervisor.observed.traces()
        self.tracee: Tracee = traces.attach(self.task.thread, self.tracer_task.thread.process, seized=False)
        self.tracer.take()
        self.traces = traces

    def add(self, tid: int) -> Any:
        task = super().add(tid)
        old = task.thread
        process: Any = Thing(host_pid=tid, credentials=SimpleNamespace(ruid=5), pgid=7, exit_status=None, parent=None, threads={})
        thread: Any = Thing(host_tid=tid, tid=tid - 900, process=process, memory=old.memory, seccomp=None, is_leader=True)
        process.threads[thread.tid] = thread
        task.thread = thread
        return task

    def call(self, kind: int, number: int = GETPPID, tid: int = TID, arguments: tuple[int, ...] = (0,) * 6) -> list[Any]:
        """An entry or exit stop."""
        fields = (events.STOP, tid, events.EVENT_SYSCALL, bpf.AUDIT_ARCH_X86_64, kind, number, *arguments, 0, 0, 0, events.NO_PATH)
        if kind == events.ENTRY:
            self.tracer.held[tid][events.ORIG_RAX] = number
        self.supervisor._handlers[events.STOP](fields)
        self.waits.deliver()
        return self.tracer.take()

    def resume(self, request: int, signal: int = 0) -> list[Any]:
        """The guest's tracer lets its tracee go on."""
        self.traces.resume(self.tracee, request, signal)
        return self.tracer.take()


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> TracedBench:
    monkeypatch.setattr(tracing, "lib", SimpleNamespace(shim_tgkill=lambda *_arguments: 0))
    return TracedBench()


def test_signals_are_seen_while_there_is_a_tracee(bench: TracedBench) -> None:
    assert bench.tracer.reports_signals
    bench.traces.detach(bench.tracee)
    assert not bench.tracer.reports_signals


def test_a_signal_is_held_and_decided_by_the_tracer(bench: TracedBench) -> None:
    assert bench.event(events.SIGNAL, detail=SIGUSR1) == []
    assert bench.tracee.stop is not None
    assert bench.tracee.stop.code == SIGUSR1
    assert bench.sent == [(TRACER_TID, SIGCHLD)]
    assert ("signal_pass", TID, SIGUSR1) in bench.resume(p.CONT, SIGUSR1)
    bench.event(events.SIGNAL, detail=SIGUSR1)
    assert ("resume", TID) in bench.resume(p.CONT)


def test_calls_stop_at_entry_and_exit_when_asked_for(bench: TracedBench) -> None:
    bench.event(events.SIGNAL, detail=SIGSTOP)
    assert ("set_mode", TID, events.MODE_CALLS) in bench.resume(p.SYSCALL)
    assert bench.call(events.ENTRY) == []
    assert ("resume", TID) in bench.resume(p.SYSCALL)
    bench.tracer.held[TID][events.ORIG_RAX] = -1  # the library OS has answered it
    assert bench.call(EXIT) == []
    assert bench.register(events.ORIG_RAX) == GETPPID
    said = bench.resume(p.CONT)
    assert ("set_mode", TID, events.MODE_FREE) in said
    assert said[-1] == ("resume", TID, 0)


def test_a_call_the_tracer_takes_out_returns_what_it_says(bench: TracedBench) -> None:
    bench.event(events.SIGNAL, detail=SIGSTOP)
    bench.resume(p.SYSCALL)
    bench.call(events.ENTRY)
    bench.tracer.held[TID][events.ORIG_RAX] = -1 & 0xFFFFFFFFFFFFFFFF
    bench.tracer.held[TID][events.RAX] = 1234
    bench.resume(p.SYSCALL)
    bench.tracer.held[TID][events.RAX] = (1 << 64) - 38  # what the kernel's filter made of the number -1
    bench.call(EXIT)
    assert bench.register(events.RAX) == 1234


@pytest.mark.parametrize("stage", [Stage.EXEC_ENTERING, Stage.PARK_ENTERING, Stage.LOADING])
def test_what_is_not_the_tracees_is_not_shown(bench: TracedBench, stage: Stage) -> None:
    bench.event(events.SIGNAL, detail=SIGSTOP)
    bench.resume(p.SYSCALL)
    bench.task.stage = stage
    assert bench.call(events.ENTRY) == [("resume", TID)]
    assert bench.tracee.stop is None
    assert ("resume", TID) in bench.event(events.STOP, detail=events.EVENT_STOP, value=5)


def test_group_stops(bench: TracedBench) -> None:
    bench.event(events.STOP, detail=events.EVENT_STOP, value=SIGSTOP)
    assert bench.tracee.stop is not None
    assert (bench.tracee.stop.code, bench.tracee.stop.group) == (SIGSTOP, True)
    assert bench.resume(p.CONT)[-1] == ("resume", TID)


def wait4(bench: TracedBench, pid: int = -1 & 0xFFFFFFFF, options: int = 0) -> list[Any]:
    return bench.call(events.ENTRY, WAIT4, TRACER_TID, (pid, 0x500, options, 0, 0, 0))


def test_a_wait_that_finds_something_is_answered_at_its_entry(bench: TracedBench) -> None:
    bench.event(events.SIGNAL, detail=SIGUSR1)
    wait4(bench)
    assert bench.register(events.ORIG_RAX, TRACER_TID) == 0xFFFFFFFFFFFFFFFF
    bench.call(EXIT, WAIT4, TRACER_TID)
    assert bench.register(events.RAX, TRACER_TID) == TID - 900
    assert bench.memory.written == {0x500: b"\x7f\x0a\0\0"}


def test_news_interrupt_a_wait_of_the_hosts(bench: TracedBench) -> None:
    assert wait4(bench) == [("resume", TRACER_TID)]
    assert ("interrupt", TRACER_TID) in bench.event(events.SIGNAL, detail=SIGUSR1)
    bench.tracer.held[TRACER_TID][events.RAX] = (1 << 64) - traced_waits.ERESTARTSYS
    bench.call(EXIT, WAIT4, TRACER_TID)
    assert bench.register(events.RAX, TRACER_TID) == TID - 900


def stage(bench: TracedBench) -> Stage:
    """What the tracer's next stop belongs to."""
    task: Task = bench.tracer_task
    return task.stage


def test_without_children_a_tracer_sleeps_until_there_are_news(bench: TracedBench) -> None:
    wait4(bench)
    bench.tracer.held[TRACER_TID][events.RAX] = (1 << 64) - traced_waits.ECHILD
    bench.call(EXIT, WAIT4, TRACER_TID)
    assert stage(bench) is Stage.PARK_ENTERING
    bench.tracer_task.stage = Stage.PARKED
    bench.event(events.SIGNAL, detail=SIGUSR1)
    assert stage(bench) is Stage.WAKING
    bench.call(EXIT, 34, TRACER_TID)
    assert stage(bench) is Stage.REISSUE
    wait4(bench)
    bench.call(EXIT, WAIT4, TRACER_TID)
    assert bench.register(events.RAX, TRACER_TID) == TID - 900


def test_polling_a_tracee_that_runs(bench: TracedBench) -> None:
    wait4(bench, options=traced_waits.WNOHANG)
    bench.tracer.held[TRACER_TID][events.RAX] = (1 << 64) - traced_waits.ECHILD
    bench.call(EXIT, WAIT4, TRACER_TID)
    assert bench.register(events.RAX, TRACER_TID) == 0


def test_somebody_elses_number_is_the_hosts_to_judge(bench: TracedBench) -> None:
    bench.event(events.SIGNAL, detail=SIGUSR1)
    assert wait4(bench, pid=4242) == [("resume", TRACER_TID)]
    bench.tracer.held[TRACER_TID][events.RAX] = (1 << 64) - traced_waits.ECHILD
    bench.call(EXIT, WAIT4, TRACER_TID)
    assert bench.register(events.RAX, TRACER_TID) == (1 << 64) - traced_waits.ECHILD


@pytest.mark.parametrize(
    ("number", "arguments", "matching"),
    [
        (61, (0xFFFFFFFF, 0, 0, 0), {(1, 7), (2, 8)}),
        (61, (2, 0, 0, 0), {(2, 8)}),
        (61, (0, 0, 0, 0), {(1, 7)}),
        (61, (0xFFFFFFFF & -8, 0, 0, 0), {(2, 8)}),
        (247, (0, 0, 0, 4, 0), {(1, 7), (2, 8)}),
        (247, (1, 2, 0, 4, 0), {(2, 8)}),
        (247, (2, 8, 0, 4, 0), {(2, 8)}),
    ],
)
def test_whom_a_wait_means(number: int, arguments: tuple[int, ...], matching: set[tuple[int, int]]) -> None:
    process: Any = SimpleNamespace(pgid=7)
    call = traced_waits.decode(process, number, arguments)
    assert call is not None
    assert {who for who in ((1, 7), (2, 8)) if call.matches(*who)} == matching


def test_a_wait_for_a_pidfd_is_not_decoded() -> None:
    process: Any = SimpleNamespace(pgid=7)
    assert traced_waits.decode(process, 247, (3, 5, 0, 4, 0)) is None
