"""stress-ng's stressors natively and inside: SHORT here, all classes with `--stress-ng all`; what may differ is in stress_ng_gaps.toml."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.conformance import stress_ng
from tests.conformance.stress_ng import Runner, all_stressors, available, judge, load_gaps
from tests.harness.comparison import NATIVE
from tests.harness.plugin import Comparer, require_pylibos
from tests.harness.processes import Completed

SHORT = (
    *("clone", "context", "dentry", "dir", "dup", "epoll", "eventfd", "exit-group", "fifo", "fork", "futex", "getdent", "kill", "lockofd"),
    *("mmap", "mq", "msg", "poll", "pthread", "sem-sysv", "sigq", "sigsegv", "sigsuspend", "sock", "splice", "timer", "vfork", "vm"),
)
"""One or two of every class, quick ones."""
SECONDS = 120


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "stressor" in metafunc.fixturenames:
        whole = metafunc.config.getoption("--stress-ng") == "all"
        metafunc.parametrize("stressor", all_stressors() if whole and available() else SHORT)


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    made = Runner()
    yield made
    made.close()


@pytest.mark.guest
@pytest.mark.slow
@pytest.mark.timeout(SECONDS)
def test_what_passes_natively_passes_inside(comparer: Comparer, runner: Runner, stressor: str) -> None:
    require_pylibos()
    if not available():
        pytest.skip("stress-ng is not installed")
    comparer.prepare(runner.user)
    native = runner.run(stressor, NATIVE)
    if not native.passed:
        pytest.skip(f"does not pass natively: {native.why}")
    inside = runner.run(stressor, "notify")
    reason = load_gaps().get(stressor)
    if reason is None:
        assert inside.passed, inside.line()
    elif inside.passed:
        pytest.fail(f"{stressor} is a gap that passes, remove it: {reason}", pytrace=False)
    else:
        pytest.xfail(reason)


def test_the_gap_list_names_stressors() -> None:
    gaps = load_gaps()
    if available():
        assert not set(gaps) - set(all_stressors())
    assert not set(gaps) & set(SHORT)


@pytest.mark.parametrize(
    ("where", "status", "text", "verdict"),
    [
        ("notify", 0, "", "pass"),
        ("notify", 2, "stress-ng: fail:  [3] pipe: lost", "fail"),
        ("notify", 0, "pipe: stressor will be skipped", "skip"),
        ("notify", 124, "", "hang"),
        ("notify", 125, "pylibos: no", "harm"),
        ("notify", 0, "Traceback (most recent call last)", "harm"),
        (NATIVE, 0, "Traceback (most recent call last)", "pass"),
    ],
)
def test_judging(where: str, status: int, text: str, verdict: str) -> None:
    done = Completed(b"", text.encode(), status, timed_out=False, leaked=(), seconds=0.0)
    assert judge("pipe", where, done).verdict == verdict


def test_what_is_left_running_is_told() -> None:
    done = Completed(b"", b"", 0, timed_out=False, leaked=("stress-ng",), seconds=0.0)
    assert judge("pipe", NATIVE, done).verdict == "leak"


def test_every_stressor_is_bounded() -> None:
    for name in SHORT:
        words = stress_ng.command(name, stress_ng.GAPS.parent)
        assert f"--{name}-ops" in words
        assert "-t" in words
        assert words[0] == "prlimit"
