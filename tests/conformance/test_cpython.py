"""CPython's own tests inside, judged by their native run; the modules of SHORT here, all of them with `--conformance all`.

`scripts/conformance` runs the same by hand, module by module. What may fail is in cpython_gaps.toml, strictly.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conformance.cpython_suite import (
    MODULES,
    Gaps,
    Judgement,
    ModuleRun,
    Suite,
    TestOutcome,
    available,
    compare,
    default_user,
    describe,
    judge,
    load_gaps,
)
from tests.harness.plugin import Comparer, require_pylibos

SHORT = ("test_posix", "test_fcntl", "test_mmap", "test_fileio", "test_tempfile", "test_shutil", "test_resource", "test_pwd", "test_glob")
"""Modules that start few processes and ask for much: the calls of os, files of every kind, trees of them."""
SECONDS = 2400


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "module" in metafunc.fixturenames:
        whole = metafunc.config.getoption("--conformance") == "all"
        metafunc.parametrize("module", MODULES if whole else SHORT)
        if "user" in metafunc.fixturenames:
            metafunc.parametrize("user", ["user", "root"] if whole and os.getuid() == 0 else ["user"])


@pytest.fixture(scope="module")
def suite(scratch: Path) -> Suite:
    base = scratch / "cpython"
    base.mkdir(mode=0o755)
    return Suite(base)


@pytest.mark.guest
@pytest.mark.slow
@pytest.mark.timeout(SECONDS)
def test_what_passes_natively_passes_inside(comparer: Comparer, suite: Suite, module: str, user: str) -> None:
    require_pylibos()
    if (missing := available()) is not None:
        pytest.skip(missing)
    uid = 0 if user == "root" else default_user()
    comparer.prepare(uid if os.getuid() == 0 else None)
    verdict = judge(suite, module, "notify", uid, load_gaps())
    if {outcome.outcome for outcome in verdict.native.outcomes.values()} == {"skip"}:
        pytest.skip("; ".join({outcome.why for outcome in verdict.native.outcomes.values()}))
    assert verdict.native.passed(), "nothing passes natively: an oracle that says nothing"
    assert not verdict.unexpected, "\n".join(describe(verdict))
    assert not verdict.closed, f"known gaps that pass, remove them: {verdict.closed}"


def ran(**outcomes: str) -> ModuleRun:
    return ModuleRun({f"test.test_x.{name}": TestOutcome(outcome) for name, outcome in outcomes.items()})


def test_a_test_that_is_skipped_or_gone_inside_differs() -> None:
    native = ran(a="ok", b="ok", c="ok", d="skip", e="fail", f="expected failure", g="ok")
    inside = ran(a="ok", b="skip", d="ok", e="fail", f="ok", g="hang")
    lost = {difference.test.rpartition(".")[2]: difference.inside.outcome for difference in compare(native, inside)}
    assert lost == {"b": "skip", "c": "missing", "g": "hang"}


class ScriptedSuite:
    """Stands in for Suite: the outcomes of each run in turn."""

    def __init__(self, *runs: ModuleRun) -> None:
        self.runs = list(runs)

    def run(self, module: str, place: str, user: int, *, only: object = None, log: object = None) -> ModuleRun:
        return self.runs.pop(0)


def scripted(gaps: Gaps, *runs: ModuleRun) -> Judgement:
    return judge(ScriptedSuite(*runs), "test_x", "notify", 1000, gaps)


def test_the_list_is_strict() -> None:
    gaps = Gaps([{"tests": ["test.test_x.a", "test.test_x.b"], "reason": "because"}])
    verdict = scripted(gaps, ran(a="ok", b="ok", c="ok"), ran(a="fail", b="ok", c="fail"), ran(c="fail"))
    assert [difference.test for difference in verdict.known] == ["test.test_x.a"]
    assert [difference.test for difference in verdict.unexpected] == ["test.test_x.c"]
    assert verdict.closed == ["test.test_x.b"]


def test_a_gap_that_does_not_pass_natively_is_not_closed() -> None:
    """Where the oracle has nothing to say (a test skipped for want of a program), neither has the list."""
    gaps = Gaps([{"tests": ["test.test_x.a"], "reason": "because"}])
    assert scripted(gaps, ran(a="skip"), ran(a="skip")).closed == []


def test_what_passes_when_run_again_is_said_to_be_unsteady() -> None:
    verdict = scripted(Gaps([]), ran(a="ok"), ran(a="fail"), ran(a="ok"))
    assert not verdict.unexpected
    assert [difference.test for difference in verdict.unsteady] == ["test.test_x.a"]


@pytest.mark.parametrize(
    "entry",
    [
        {"tests": ["test.test_x.a"]},
        {"tests": [], "reason": "because"},
        {"tests": ["test.test_x.a"], "reason": ""},
        {"tests": ["test.test_x.a"], "reason": "because", "users": ["me"]},
        {"tests": ["test.test_x.a", "test.test_x.a"], "reason": "because"},
        {"tests": ["test.test_x.a"], "reason": "because", "why": "typo"},
    ],
)
def test_a_list_with_mistakes_is_refused(entry: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"^gap 1: "):
        Gaps([entry])


def test_the_list_stays_below_one_in_a_hundred() -> None:
    """Of the tests that pass natively, some 6,900 in all modules."""
    assert len(load_gaps().tests()) <= 60


def test_every_gap_is_of_a_module_of_the_list() -> None:
    assert {test.split(".")[1] for test in load_gaps().tests()} <= set(MODULES)
