"""The receive loop's tables as derived from the system call table."""

from __future__ import annotations

from typing import Any

import pytest

from pylibos.emulation.syscalls.all import TABLE
from pylibos.emulation.syscalls.table import Route
from pylibos.runtime.filters import configure_tracer

NUMBERS = {row.name: number for number, row in TABLE.items()}


class Recorder:
    """Keeps what configure() is given."""

    def __init__(self, *, traced: bool, report_all: bool = False) -> None:
        tracer: Any = self
        configure_tracer(tracer, traced=traced, report_all=report_all)

    def configure(self, notified: list[int], continued: list[int], paths: dict[int, int]) -> None:
        self.notified, self.continued, self.paths = set(notified), set(continued), paths


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
        for number in continued:
            row = TABLE[number]
            assert row.handler is None
            assert row.errno is None
            assert not row.alternatives
    assert NUMBERS["openat"] not in Recorder(traced=True).continued
    assert not {number for number in Recorder(traced=False).continued if TABLE[number].route is not Route.TRACE}


def test_a_trace_sees_everything() -> None:
    assert not Recorder(traced=True, report_all=True).continued
