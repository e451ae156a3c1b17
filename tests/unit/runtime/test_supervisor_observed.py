"""Tasks whose every call is seen: what a filter's verdict does at entry and exit, and which stops are nobody's business."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pylibos.abi import bpf
from pylibos.runtime import observed as module
from pylibos.runtime.task import Stage
from pylibos.tracer import tracer as events
from tests.unit.runtime.engine import TID, Bench

NUMBER, SIGSYS = 110, 31


@pytest.fixture
def bench() -> Bench:
    made = Bench()
    made.task.thread.process.threads = {1: made.task.thread}
    made.supervisor.observed.watch(made.task)
    assert made.tracer.take() == [("set_mode", TID, events.MODE_CALLS)]
    return made


def restrict(bench: Bench, verdict: int, mode: int = bpf.MODE_FILTER) -> None:
    seccomp: Any = SimpleNamespace(mode=mode, verdict=lambda _number, _arch, _ip, _arguments: verdict)
    bench.task.thread.seccomp = seccomp


def stop(bench: Bench, kind: int) -> list[Any]:
    """An entry or an exit stop."""
    fields = (events.STOP, TID, events.EVENT_SYSCALL, bpf.AUDIT_ARCH_X86_64, kind, NUMBER, *(0,) * 6, 0x1234, 0, 0, events.NO_PATH)
    bench.supervisor._handlers[events.STOP](fields)
    return bench.tracer.take()


EXIT = 2


def test_an_allowed_call_goes_its_way(bench: Bench) -> None:
    restrict(bench, bpf.SECCOMP_RET_ALLOW)
    assert stop(bench, events.ENTRY) == [("resume", TID)]
    assert stop(bench, EXIT) == [("resume", TID, 0)]
    assert bench.register(events.ORIG_RAX) == 0


def test_an_errno_is_given_at_the_exit(bench: Bench) -> None:
    restrict(bench, bpf.SECCOMP_RET_ERRNO | 33)
    assert stop(bench, events.ENTRY) == [("resume", TID)]
    assert bench.register(events.ORIG_RAX) == 0xFFFFFFFFFFFFFFFF
    assert stop(bench, EXIT) == [("resume", TID, 0)]
    assert bench.register(events.RAX) == (1 << 64) - 33


def test_a_trap_is_a_signal_with_its_own_information(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "signal_set", lambda _tid, _name: 0)
    restrict(bench, bpf.SECCOMP_RET_TRAP | 7)
    stop(bench, events.ENTRY)
    assert bench.tracer.reports_signals
    assert stop(bench, EXIT) == [("resume", TID, SIGSYS)]
    assert bench.register(events.RAX) == NUMBER
    said = bench.event(events.SIGNAL, detail=SIGSYS)
    assert [words[0] for words in said] == ["set_signal_information", "signal_pass"]
    assert said[0][2][:16] == b"\x1f\0\0\0\x07\0\0\0\x01\0\0\0\0\0\0\0"
    assert not bench.tracer.reports_signals


@pytest.mark.parametrize("verdict", [bpf.SECCOMP_RET_KILL_PROCESS, bpf.SECCOMP_RET_KILL_THREAD, 0x12340000])
def test_a_fatal_trap_loses_its_handler(bench: Bench, monkeypatch: pytest.MonkeyPatch, verdict: int) -> None:
    reset: list[int] = []

    def default_actions(_supervisor: Any, _tid: int, _registers: list[int], signals: tuple[int, ...]) -> bool:
        reset.extend(signals)
        return True

    monkeypatch.setattr(module, "default_actions", default_actions)
    restrict(bench, verdict)
    bench.tracer.masks[TID] = 1 << (SIGSYS - 1) | 1
    stop(bench, events.ENTRY)
    assert stop(bench, EXIT)[-1] == ("resume", TID, SIGSYS)
    assert reset == [SIGSYS]
    assert bench.tracer.masks[TID] == 1


def test_one_thread_of_several_ends_alone(bench: Bench) -> None:
    bench.task.thread.process.threads[2] = bench.task.thread
    restrict(bench, bpf.SECCOMP_RET_KILL_THREAD)
    stop(bench, events.ENTRY)
    assert bench.register(events.ORIG_RAX) == module.NR_EXIT


def test_strict_mode_kills(bench: Bench) -> None:
    restrict(bench, bpf.SECCOMP_RET_KILL_THREAD, bpf.MODE_STRICT)
    stop(bench, events.ENTRY)
    assert bench.killed == [TID]


@pytest.mark.parametrize("stage", [Stage.EXEC_ENTERING, Stage.PARK_ENTERING, Stage.PARKED, Stage.REISSUE, Stage.LOADING])
def test_calls_that_are_not_the_guests_are_not_asked_about(bench: Bench, stage: Stage) -> None:
    restrict(bench, bpf.SECCOMP_RET_KILL_PROCESS)
    bench.task.stage = stage
    assert stop(bench, events.ENTRY) == [("resume", TID)]
    assert bench.killed == []


def test_an_exit_stop_takes_the_place_of_a_stop_that_was_asked_for(bench: Bench) -> None:
    """The kernel drops a pending PTRACE_INTERRUPT at any other stop."""
    bench.task.stage = Stage.WAKING
    bench.task.saved = list(bench.tracer.held[TID])
    bench.task.call = (73, ())
    stop(bench, EXIT)
    assert bench.task.stage is Stage.REISSUE
    assert bench.register(events.RAX) == 73
