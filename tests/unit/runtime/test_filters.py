"""The receive loop's tables as derived from the system call table."""

from __future__ import annotations

from typing import Any

import pytest

from pylibos.abi.errno import Errno
from pylibos.emulation.outcome import FORWARD
from pylibos.emulation.syscalls.all import TABLE
from pylibos.emulation.syscalls.sys_sockets import SHOWING_PATHS
from pylibos.emulation.syscalls.table import PASS_MAX, Route
from pylibos.runtime.filters import configure_tracer
from tests.guest_world import World, call

NUMBERS = {row.name: number for number, row in TABLE.items()}


class Recorder:
    """Keeps what configure() is given."""

    def __init__(self, *, traced: bool, report_all: bool = False) -> None:
        tracer: Any = self
        self.rules: dict[int, tuple[int, ...]] = {}
        configure_tracer(tracer, traced=traced, report_all=report_all)

    def configure(self, notified: list[int], continued: list[int], paths: dict[int, int]) -> None:
        self.notified, self.continued, self.paths = set(notified), set(continued), paths

    def let_pass(self, number: int, argument: int, values: tuple[int, ...]) -> None:
        self.rules[number] = (argument, *values)


@pytest.mark.parametrize(("name", "index"), [("open", 0), ("openat", 1), ("newfstatat", 1), ("readlinkat", 1), ("statx", 1)])
def test_the_path_of_a_call_is_fetched_with_it(name: str, index: int) -> None:
    assert Recorder(traced=False).paths[NUMBERS[name]] == index


def test_calls_without_a_path_fetch_none() -> None:
    paths = Recorder(traced=False).paths
    assert not {NUMBERS[name] for name in ("read", "fstat", "fchmod", "getpid")} & set(paths)


def test_calls_that_wait_natively_may_be_interrupted() -> None:
    notified = Recorder(traced=False).notified
    assert NUMBERS["mkdir"] in notified
    assert not {NUMBERS[name] for name in ("flock", "fcntl", "restart_syscall")} & notified


def test_only_calls_without_a_say_of_ours_pass_unseen() -> None:
    for traced in (False, True):
        continued = Recorder(traced=traced).continued
        assert NUMBERS["select"] in continued
        assert NUMBERS["fsync"] in continued
        for number in continued - set(SHOWING_PATHS):
            row = TABLE[number]
            assert row.handler is None
            assert row.errno is None
            assert not row.alternatives
    assert NUMBERS["openat"] not in Recorder(traced=True).continued
    assert not {number for number in Recorder(traced=False).continued if TABLE[number].route not in (Route.TRACE, Route.NOTIFY)} - {45}
    assert NUMBERS["pause"] not in Recorder(traced=True).continued


def test_calls_that_show_addresses_pass_until_there_are_others_to_show() -> None:
    assert {TABLE[number].name for number in SHOWING_PATHS} == {"accept", "accept4", "getsockname", "getpeername", "recvfrom"}
    assert set(SHOWING_PATHS) <= Recorder(traced=False).continued


def test_what_passes_by_an_argument_is_what_its_handler_forwards() -> None:
    """Whatever the descriptor is: in this world there is none."""
    rules = Recorder(traced=False).rules
    assert {TABLE[number].name for number in rules} == {"setsockopt"}
    for number, (argument, *values) in rules.items():
        assert 0 < len(values) <= PASS_MAX
        for value in values:
            arguments = [77, 0, 0, 0, 0, 0]
            arguments[argument] = value
            assert call(World().root, TABLE[number].name, *arguments) is FORWARD
    assert call(World().root, "setsockopt", 77, 12345, 0, 0, 0) == -Errno.ENOPROTOOPT


def test_an_ioctl_passes_by_its_number_alone() -> None:
    for high in (0, 1 << 32, 7 << 60):
        assert call(World().root, "ioctl", 77, 0x5401 | high, 0) is FORWARD
        assert call(World().root, "ioctl", 77, 0x5412 | high, 0) == -Errno.EBADF, "TIOCSTI is decided"


def test_a_trace_sees_everything() -> None:
    seen = Recorder(traced=True, report_all=True)
    assert not seen.continued
    assert not seen.rules
