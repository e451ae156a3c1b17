"""CPython's own test suite, natively and inside, and the comparison test by test.

What it is: `Suite` runs a module with cpython_driver.py as a user, natively or under an engine, and gets the outcome of every test of it;
    `compare` says which tests pass natively and not inside; `Gaps` is cpython_gaps.toml, the strict list of those that may.
What it owns: the working directory of its runs.
What it must not know: pytest.
Invariants: the native run is the oracle. A test that hangs, or takes its interpreter down, is that test's outcome: the module is started
    again for the rest. A test that differs is run again by itself before it counts; one that passes then is reported as unsteady.
"""

from __future__ import annotations

import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.harness.comparison import NATIVE, NOBODY, WITHOUT_NAME_SPACES, as_user, outer_environment, pylibos_argv
from tests.harness.processes import started

PYTHON = "/usr/bin/python3.11"
"""Debian's: libpython3.11-testsuite holds its tests. (Another python3.11 that comes first on PATH has its own.)"""
DRIVER = Path(__file__).with_name("cpython_driver.py")
GAPS = Path(__file__).with_name("cpython_gaps.toml")
PASSED = frozenset({"ok", "expected failure"})
# fmt: off
MODULES = (
    "test_os", "test_posix", "test_posixpath", "test_subprocess", "test_signal", "test_threading", "test_thread", "test_socket",
    "test_select", "test_selectors", "test_epoll", "test_poll", "test_mmap", "test_io", "test_fileio", "test_file",
    "test_tempfile", "test_shutil", "test_pathlib", "test_glob", "test_fcntl", "test_pty", "test_tty", "test_termios", "test_time",
    "test_resource", "test_wait3", "test_wait4", "test_fork1", "test_stat", "test_struct", "test_asyncio",
    "test_multiprocessing_fork", "test_multiprocessing_spawn", "test_concurrent_futures", "test_sqlite3", "test_zipfile",
    "test_tarfile", "test_ssl", "test_httpservers", "test_ctypes", "test_faulthandler", "test_eintr", "test_socketserver",
    "test_openpty", "test_ioctl", "test_getpass", "test_grp", "test_pwd", "test_uuid",
)
# fmt: on
RESOURCES = {"test_socketserver": ("network",)}
"""regrtest's resources that a module wants though it asks nothing of the world."""
NEVER = ("test.test_time.TimeTestCase.test_monotonic_settime",)
"""Not run: natively, as root, they change the machine (this one its clock)."""
RESTARTS = 12
"""How often a module is started again after a test that ended its interpreter."""


@dataclass(frozen=True, slots=True)
class TestOutcome:
    """What became of one test. `outcome` is the driver's word, or `hang` or `crash`."""

    __test__ = False
    outcome: str
    why: str = ""
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether the test succeeded (a skipped one did not)."""
        return self.outcome in PASSED


Outcomes = dict[str, TestOutcome]


@dataclass(slots=True)
class ModuleRun:
    """All tests of a module at one place."""

    outcomes: Outcomes = field(default_factory=dict)
    seconds: float = 0.0

    def passed(self) -> set[str]:
        """The tests that succeeded."""
        return {name for name, outcome in self.outcomes.items() if outcome.passed}

    def note(self, name: str, outcome: TestOutcome) -> None:
        """Keep the worse when a test is run more than once."""
        known = self.outcomes.get(name)
        if known is None or known.passed:
            self.outcomes[name] = outcome


class Runner(Protocol):
    """What `judge` asks of a Suite."""

    def run(self, module: str, place: str, user: int, *, only: Iterable[str] | None = None, log: Path | None = None) -> ModuleRun:
        """All tests of `module` (or `only` these) at `place`: natively, or under an engine."""


class Suite:
    """Runs modules below `base`, a directory every user can search."""

    def __init__(
        self,
        base: Path,
        *,
        test_seconds: float = 180.0,
        module_seconds: float = 1200.0,
        resources: Sequence[str] = (),
        python: Path = Path(PYTHON),
        name_spaces: bool = True,
    ) -> None:
        """name_spaces: False runs PyLibOS where it can make none, as in many containers; its guests then have no network."""
        self._base, self._python, self._name_spaces = base, python, name_spaces
        self._test_seconds, self._module_seconds = test_seconds, module_seconds
        self._resources = list(resources)
        self._shown = base / "shown"
        self._shown.mkdir(mode=0o755, exist_ok=True)
        self._driver = Path(shutil.copy(DRIVER, self._shown / DRIVER.name))
        self._driver.chmod(0o644)
        self._orders = self._shown / "orders.json"

    def run(self, module: str, place: str, user: int, *, only: Iterable[str] | None = None, log: Path | None = None) -> ModuleRun:
        """All tests of `module` (or `only` these) at `place`: natively, or under an engine."""
        result, begun = ModuleRun(), time.monotonic()
        wanted = None if only is None else sorted(only)
        for _attempt in range(RESTARTS):
            left = self._module_seconds - (time.monotonic() - begun)
            if left <= 0 or self._once(module, place, user, wanted, result, left, log):
                break
        result.seconds = time.monotonic() - begun
        return result

    def _command(self, module: str, place: str, user: int) -> tuple[list[str], dict[str, str]]:
        """The argument list, and the environment it is started with. Both places have the same: a home and a /tmp of their own."""
        home = self._base / "home"
        shutil.rmtree(home, ignore_errors=True)
        for directory in (home, home / "tmp"):
            directory.mkdir(mode=0o700)
            if os.getuid() == 0:
                os.chown(directory, user, user)
        environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(home), "TMPDIR": str(home / "tmp"), "LANG": "C.UTF-8"}
        environment["PYTHONDONTWRITEBYTECODE"] = "1"
        argv = [str(self._python), str(self._driver), module, str(self._orders)]
        if place == NATIVE:
            return as_user(user, argv), environment
        shown = [] if self._python.is_relative_to("/usr") else ["--ro", str(self._python.parent.parent)]
        network = "loopback" if self._name_spaces else "none"
        before = [] if self._name_spaces else [sys.executable, "-c", WITHOUT_NAME_SPACES]
        flags = [*shown, "--net", network, "--ro", str(self._shown), "-v", f"{home}:{home}:cow", "-C", str(home)]
        return as_user(user, [*before, *pylibos_argv(place, argv, flags, environment)]), outer_environment()

    def _once(
        self, module: str, place: str, user: int, only: list[str] | None, result: ModuleRun, seconds: float, log: Path | None
    ) -> bool:
        """One start of the driver. True when the module is through; False when a test ended it and the rest remains."""
        command, environment = self._command(module, place, user)
        skip = sorted({*result.outcomes, *NEVER})
        orders = {"only": only, "skip": skip, "resources": [*self._resources, *RESOURCES.get(module, ())]}
        self._orders.write_text(json.dumps(orders))
        self._orders.chmod(0o644)
        with (log or Path(os.devnull)).open("ab") as noise:
            pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": noise}
            with started(command, cwd=self._base / "home", env=environment, **pipes) as process:
                running, end = self._follow(process, result, seconds)
                if end not in {"done", "hang"}:
                    end = f"status {process.wait()}"
        if end == "done":
            return True
        outcome = TestOutcome("hang", f"no word for {self._test_seconds:.0f} s") if end == "hang" else TestOutcome("crash", end)
        result.note(running or f"test.{module} (between tests)", outcome)
        return running is None

    def _follow(self, process: subprocess.Popen[bytes], result: ModuleRun, seconds: float) -> tuple[str | None, str]:
        """Read reports to the end. Returns the test that was running, and `done`, `hang` or `gone`."""
        assert process.stdout is not None
        deadline, running, pending = time.monotonic() + seconds, None, b""
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while True:
                if not selector.select(max(0.0, min(self._test_seconds, deadline - time.monotonic()))):
                    return running, "hang"
                block = os.read(process.stdout.fileno(), 1 << 16)
                *lines, pending = (pending + block).split(b"\n")
                for line in lines:
                    report = json.loads(line)
                    if "done" in report:
                        return None, "done"
                    running = report.get("start")
                    if "end" in report:
                        result.note(report["end"], TestOutcome(report["outcome"], report["why"], report["seconds"]))
                if not block:
                    return running, "gone"


@dataclass(frozen=True, slots=True)
class Difference:
    """A test that passes natively and not inside."""

    test: str
    inside: TestOutcome


MISSING = TestOutcome("missing", "not run: its class or module failed before")


def compare(native: ModuleRun, inside: ModuleRun) -> list[Difference]:
    """What passes natively and not inside, in the order of the native run."""
    passed = inside.passed()
    lost = [name for name, outcome in native.outcomes.items() if outcome.passed and name not in passed]
    return [Difference(name, inside.outcomes.get(name, MISSING)) for name in lost]


@dataclass(slots=True)
class Judgement:
    """A module compared: `unexpected` differ without a gap, `closed` are gaps that no longer differ, `unsteady` passed when run again."""

    module: str
    user: int
    native: ModuleRun
    inside: ModuleRun
    known: list[Difference] = field(default_factory=list)
    unexpected: list[Difference] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    unsteady: list[Difference] = field(default_factory=list)


class Gaps:
    """The strict list: test -> reason, for a user (`root` or `user`)."""

    def __init__(self, entries: Sequence[dict[str, object]]) -> None:
        self._reasons: dict[tuple[str, bool], str] = {}
        for number, entry in enumerate(entries, 1):
            if set(entry) - {"users"} != {"tests", "reason"}:
                raise ValueError(f"gap {number}: needs tests and reason, may have users; has {sorted(entry)}")
            tests, reason, users = entry["tests"], entry["reason"], entry.get("users", ["root", "user"])
            if not (isinstance(tests, list) and tests and isinstance(reason, str) and reason and isinstance(users, list)):
                raise ValueError(f"gap {number}: tests and users are lists, reason is a sentence")
            for test in tests:
                for user in users:
                    if user not in {"root", "user"} or (test, user == "root") in self._reasons:
                        raise ValueError(f"gap {number}: {test} for {user} is unknown or listed twice")
                    self._reasons[test, user == "root"] = reason

    def of(self, module: str, user: int) -> dict[str, str]:
        """Test -> reason, of one module."""
        prefix = f"test.{module}."
        return {test: reason for (test, as_root), reason in self._reasons.items() if as_root == (user == 0) and test.startswith(prefix)}

    def tests(self) -> set[str]:
        """Every test named."""
        return {test for test, _root in self._reasons}


def load_gaps() -> Gaps:
    """cpython_gaps.toml. Raises ValueError naming the entry for anything unexpected."""
    return Gaps(tomllib.loads(GAPS.read_text()).get("gap", []))


def judge(
    suite: Runner,
    module: str,
    engine: str,
    user: int,
    gaps: Gaps,
    *,
    only: Sequence[str] | None = None,
    native: ModuleRun | None = None,
    log: Path | None = None,
) -> Judgement:
    """Run a module at both places (unless its native run is given) and compare. What differs unexpectedly is run once more by itself."""
    native = native or suite.run(module, NATIVE, user, only=only)
    inside = suite.run(module, engine, user, only=only, log=log)
    verdict, known = Judgement(module, user, native, inside), gaps.of(module, user)
    differences = compare(native, inside)
    again = [difference.test for difference in differences if difference.test not in known]
    if again:
        second = suite.run(module, engine, user, only=again, log=log)
        for difference in differences:
            if difference.test in known:
                continue
            if difference.test in second.passed():
                inside.outcomes[difference.test] = second.outcomes[difference.test]
                verdict.unsteady.append(difference)
            else:
                verdict.unexpected.append(difference)
    verdict.known = [difference for difference in differences if difference.test in known]
    differing = {difference.test for difference in differences}
    ran = native.passed()
    verdict.closed = sorted(test for test in known if test in ran and test not in differing)
    return verdict


def describe(verdict: Judgement) -> list[str]:
    """What is wrong with a module, for a reader."""
    lines = []
    for title, found in (("DIFFERS", verdict.unexpected), ("unsteady", verdict.unsteady), ("known gap", verdict.known)):
        for difference in found:
            why = difference.inside.why.strip().splitlines()
            lines.append(f"  {title}: {difference.test}: {difference.inside.outcome}: {why[-1] if why else ''}")
    lines += [f"  CLOSED: {test} is a known gap that passes, remove it" for test in verdict.closed]
    return lines


def default_user() -> int:
    """Who the tests run as: nobody when we may choose, ourselves otherwise."""
    return NOBODY if os.getuid() == 0 else os.getuid()


def available(python: Path = Path(PYTHON)) -> str | None:
    """Why the suite cannot be run here; None when it can."""
    missing = f"{python} with its tests is not here (apt-get install libpython3.11-testsuite)"
    if not python.exists():
        return missing
    probe = subprocess.run([python, "-c", "import test.test_os"], capture_output=True, check=False)
    return missing if probe.returncode else None


def stop_on_signals() -> None:
    """End as an exception does, so that what was started is ended too."""

    def stop(number: int, _frame: object) -> None:
        sys.exit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
