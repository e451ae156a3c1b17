"""The boundary: every exception becomes a number here, and our own bugs do not reach the guest as anything but EIO."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import pytest

from pylibos.abi.errno import Errno
from pylibos.abi.ntstatus import NtStatus
from pylibos.emulation import dispatch as boundary
from pylibos.emulation.dispatch import advance, cancel, dispatch, interrupt
from pylibos.emulation.errors import Interrupted, SyscallError
from pylibos.emulation.object_manager.errors import StatusError
from pylibos.emulation.outcome import Blocking, Install, Wait
from pylibos.emulation.process.thread import Thread
from pylibos.emulation.syscalls import table
from pylibos.emulation.syscalls.params import Int
from pylibos.emulation.syscalls.table import Restart, syscall
from pylibos.monitor.host_abi import HostError, HostStream
from tests.unit.emulation.syscalls.helpers import make_thread

NUMBER = 9100
ZERO = (0,) * 6


@pytest.fixture(autouse=True)
def clean_table() -> Iterator[None]:
    yield
    table.TABLE.pop(NUMBER, None)
    table.ENTRIES.pop(NUMBER, None)


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> list[Exception]:
    seen: list[Exception] = []
    monkeypatch.setattr(boundary.internal_fault, "hook", lambda *report: seen.append(report[3]))
    return seen


def test_unknown_numbers() -> None:
    for number in (NUMBER, -1, 2**64 - 1, 337, 423, 512):
        assert dispatch(make_thread(), number, ZERO) == -Errno.ENOSYS


@pytest.mark.parametrize(
    ("kind", "answer"),
    [(0, 0), (1, 17), (2, -int(Errno.EBADF)), (3, -int(Errno.EXDEV)), (4, -int(Errno.EIO)), (5, -int(Errno.EIO)), (6, -17)],
)
def test_translation(kind: int, answer: int, faults: list[Exception]) -> None:
    @syscall("probe", number=NUMBER)
    def sys_probe(thread: Thread, kind: Int) -> int | None:
        if kind == 2:
            raise SyscallError(Errno.EBADF)
        if kind == 3:
            raise HostError(18)
        if kind == 4:
            raise ZeroDivisionError
        if kind == 5:
            raise RecursionError
        if kind == 6:
            raise StatusError(NtStatus.OBJECT_NAME_COLLISION)
        return 17 if kind else None

    result = dispatch(make_thread(), NUMBER, (kind, 0, 0, 0, 0, 0))
    assert result == answer
    assert type(result) is int
    assert [type(fault) for fault in faults] == {4: [ZeroDivisionError], 5: [RecursionError]}.get(kind, [])


def test_our_own_exit_is_not_swallowed() -> None:
    @syscall("probe", number=NUMBER)
    def sys_probe(thread: Thread) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dispatch(make_thread(), NUMBER, ZERO)


def test_the_default_hook_prints_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    @syscall("probe", number=NUMBER)
    def sys_probe(thread: Thread) -> None:
        raise ZeroDivisionError("the bug")

    before = boundary.internal_fault.count
    assert dispatch(make_thread(), NUMBER, (255, 0, 0, 0, 0, 0)) == -Errno.EIO
    assert boundary.internal_fault.count == before + 1
    text = capsys.readouterr().err
    assert "probe(0xff, " in text
    assert "ZeroDivisionError: the bug" in text
    assert "sys_probe" in text


def test_control_passes_through() -> None:
    answer = Install(HostStream(3), close_on_exec=True)

    @syscall("probe", number=NUMBER)
    def sys_probe(thread: Thread) -> Install:
        return answer

    assert dispatch(make_thread(), NUMBER, ZERO) is answer


def waiting(restart: Restart, catch: bool = False) -> Blocking:
    @syscall("probe", number=NUMBER, restart=restart)
    def sys_probe(thread: Thread, kind: Int) -> Blocking:
        try:
            index = yield Wait(timeout_ns=5)
        except Interrupted:
            if catch:
                return 3
            raise
        if kind == 1:
            raise SyscallError(Errno.ETIMEDOUT)
        if kind == 2:
            raise HostError(5)
        if kind == 3:
            raise ZeroDivisionError
        return index

    blocking = dispatch(make_thread(), NUMBER, ZERO)
    assert isinstance(blocking, Generator)
    return blocking


def test_blocking_call_runs_to_its_end() -> None:
    thread, blocking = make_thread(), waiting(Restart.SYS)
    first = advance(thread, NUMBER, blocking)
    assert isinstance(first, Wait)
    assert first.timeout_ns == 5
    assert advance(thread, NUMBER, blocking, 4) == 4


def test_time_out_is_none() -> None:
    thread, blocking = make_thread(), waiting(Restart.SYS)
    advance(thread, NUMBER, blocking)
    assert advance(thread, NUMBER, blocking, None) == 0


@pytest.mark.parametrize(("kind", "answer"), [(1, -110), (2, -5), (3, -5)])
def test_errors_after_a_wait(kind: int, answer: int, faults: list[Exception]) -> None:
    waiting(Restart.SYS)
    thread = make_thread()
    blocking = dispatch(thread, NUMBER, (kind, 0, 0, 0, 0, 0))
    assert isinstance(blocking, Generator)
    advance(thread, NUMBER, blocking)
    assert advance(thread, NUMBER, blocking, 0) == answer
    assert len(faults) == (kind == 3)


@pytest.mark.parametrize("restart", list(Restart))
def test_interruption(restart: Restart) -> None:
    thread, blocking = make_thread(), waiting(restart)
    advance(thread, NUMBER, blocking)
    assert interrupt(thread, NUMBER, blocking) == -int(restart)


def test_a_handler_may_answer_an_interruption_itself() -> None:
    thread, blocking = make_thread(), waiting(Restart.SYS, catch=True)
    advance(thread, NUMBER, blocking)
    assert interrupt(thread, NUMBER, blocking) == 3


def test_interrupted_before_it_began() -> None:
    assert interrupt(make_thread(), NUMBER, waiting(Restart.NO_HANDLER)) == -514


def test_cancel_runs_finally() -> None:
    released = []

    def handler() -> Blocking:
        try:
            yield Wait()
        finally:
            released.append(True)
            raise SyscallError(Errno.EIO)

    blocking = handler()
    next(blocking)
    cancel(blocking)
    assert released == [True]
