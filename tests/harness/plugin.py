"""The pytest side of the harness: options, the list of engines, and the fixtures that build, run and compare.

`--engines` chooses where programs run: `native` is the oracle by itself, `notify` and `ptrace` compare against it. Native runs are kept
for the session, so that two engines cost one oracle.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.build import Builder
from tests.harness.comparison import (
    NATIVE,
    PYLIBOS,
    ROOT,
    Arena,
    Case,
    Outcome,
    as_user,
    difference,
    outer_environment,
    remove_tree,
    scratch_directory,
)
from tests.harness.gaps import ENGINES, Gap, GapList, load_gaps
from tests.harness.processes import become_subreaper, run

PREPARE_SECONDS = 300.0
"""Making an environment installs packages and compiles."""
GUESTS = ROOT / "tests" / "guest"


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("pylibos", "programs under PyLibOS")
    everywhere = ",".join((NATIVE, *ENGINES))
    group.addoption("--engines", default=everywhere, help="where programs run, separated by commas: native, notify, ptrace")
    checked = "what of the host's visible trees is compared before and after tests/integration"
    group.addoption("--host-check", choices=("metadata", "contents", "off"), default="metadata", help=checked)
    group.addoption("--fuzz-seconds", type=float, default=10.0, help="how long each run of the system call fuzzer lasts")
    group.addoption("--conformance", choices=("short", "all"), default="short", help="how much of CPython's own test suite is run inside")
    group.addoption("--escape-rounds", type=int, default=2_000, help="how often each race of tests/escape is run")
    group.addoption("--debootstrap", default="", metavar="DIR", help="a root made by debootstrap, made there when the directory is empty")
    group.addoption("--servers", choices=("some", "all"), default="some", help="all: every server on both engines and as both users")
    group.addoption("--stress-rounds", type=int, default=4, help="how many rounds of tests/stress are run; 200 before a release")
    group.addoption("--stress-ng", choices=("short", "all"), default="short", help="how many of stress-ng's stressors are run inside")
    group.addoption("--kill-moments", type=int, default=10, help="at how many random moments the supervisor is killed, per engine")


def pytest_configure(config: pytest.Config) -> None:
    for engine in chosen_engines(config):
        if engine not in (NATIVE, *ENGINES):
            raise pytest.UsageError(f"--engines: {engine!r} is not one of native, {', '.join(ENGINES)}")


def chosen_engines(config: pytest.Config) -> list[str]:
    """What --engines says."""
    return [word for word in str(config.getoption("--engines")).split(",") if word]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """`engine` is every chosen place to run; `inside` only those with PyLibOS."""
    engines = chosen_engines(metafunc.config)
    if "engine" in metafunc.fixturenames:
        metafunc.parametrize("engine", engines)
    elif "inside" in metafunc.fixturenames:
        metafunc.parametrize("inside", [engine for engine in engines if engine != NATIVE])


class Comparer:
    """Runs cases and judges them against the oracle and the list of known gaps."""

    def __init__(self, arena: Arena, builder: Builder, gaps: GapList) -> None:
        self.arena = arena
        self.builder = builder
        self.gaps = gaps
        self._oracles: dict[str, Outcome] = {}
        self._prepared: set[int | None] = set()

    def oracle(self, name: str, case: Case) -> Outcome:
        """The native outcome, run once per session."""
        if name not in self._oracles:
            self._oracles[name] = self.arena.native(case)
        return self._oracles[name]

    def prepare(self, user: int | None) -> None:
        """Let PyLibOS make its environment for `user` before a run is compared: the first use says what it does, on standard error."""
        if user not in self._prepared:
            self._prepared.add(user)
            run(as_user(user, [str(PYLIBOS), "doctor"]), cwd=ROOT, env=outer_environment(), timeout=PREPARE_SECONDS)

    def check(self, name: str, case: Case, engine: str, also_known_as: tuple[str, ...] = ()) -> Outcome:
        """Fail the test unless the run equals the oracle, known gaps of any of its names aside. Returns the run's outcome."""
        native = self.oracle(name, case)
        if native.completed.leaked:
            pytest.fail(f"the native run leaves processes behind: {native.completed.leaked}")
        if engine == NATIVE:
            return native
        outcome = self.inside(case, engine)
        self._judge((name, *also_known_as), engine, difference(native, outcome), outcome)
        return outcome

    def inside(self, case: Case, engine: str) -> Outcome:
        """Only the contained run, for behaviour that PyLibOS defines itself."""
        require_pylibos()
        self.prepare(case.user)
        return self.arena.contained(case, engine)

    def _judge(self, names: tuple[str, ...], engine: str, found: dict[str, str], outcome: Outcome) -> None:
        name, whole = names[0], self.gaps.find(names, engine)
        if whole is not None:
            expect_gap(name, whole, failed=bool(found))
        parts = self.gaps.sections(names, engine)
        closed = sorted(set(parts) - set(found))
        unexpected = {part: text for part, text in found.items() if part not in parts}
        # A section that differs usually changes the program's exit status too; that is the same gap.
        if parts and set(unexpected) == {"status"} and set(found) != {"status"} and not outcome.completed.timed_out:
            unexpected = {}
        if unexpected:
            text = "\n".join(f"[{part}]\n{lines}" for part, lines in unexpected.items())
            described = outcome.completed.describe()
            pytest.fail(f"{name} on {engine} differs from native (-native +inside)\n{text}\n\n{described}", pytrace=False)
        if closed:
            pytest.fail(f"known gaps of {name} on {engine} no longer differ, remove them: {closed}", pytrace=False)
        if parts:
            pytest.xfail("; ".join(f"{part}: {gap.reason}" for part, gap in parts.items()))


def expect_gap(name: str, gap: Gap, *, failed: bool) -> None:
    """End a test that has a gap for all of it: expected to fail, and red when it does not."""
    if failed:
        pytest.xfail(f"{gap.reason} ({gap.issue})")
    pytest.fail(f"{name} is a known gap that no longer differs, remove it: {gap.reason}", pytrace=False)


def require_pylibos() -> None:
    """Contained runs need the command; its absence is a failure, because skipping would pass for success."""
    if not PYLIBOS.exists():
        pytest.fail(f"{PYLIBOS} is missing (use --engines native to run only the oracles)", pytrace=False)


@pytest.fixture(scope="session")
def gap_list() -> GapList:
    """tests/guest/known_gaps.toml."""
    return load_gaps(GUESTS / "known_gaps.toml")


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A directory for the session that every user can search, on a path no program finds surprising."""
    become_subreaper()
    os.umask(0o022)
    path = scratch_directory("pylibos-test-")
    yield path
    remove_tree(path)


@pytest.fixture(scope="session")
def builder(scratch: Path) -> Builder:
    """The C guests of this session."""
    directory = scratch / "build"
    directory.mkdir(mode=0o755)
    return Builder(directory, GUESTS)


@pytest.fixture(scope="session")
def comparer(scratch: Path, builder: Builder, gap_list: GapList) -> Comparer:
    """Runs and compares cases in one working directory."""
    base = scratch / "arena"
    base.mkdir(mode=0o755)
    return Comparer(Arena(base), builder, gap_list)
