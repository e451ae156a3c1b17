"""Runs one module of CPython's own test suite and reports every test as it ends. Runs natively and inside: standard library only.

What it is: the half of the conformance run that is the program under test. `python3 cpython_driver.py MODULE ORDERS`; ORDERS is a file with
    a JSON object: {"only": [test ids] or null, "skip": [test ids], "resources": [regrtest's]}. One JSON object a line goes to what was
    standard output: {"start": id}, {"end": id, "outcome": ..., "why": ..., "seconds": ...} and, last, {"done": true}. Everything else
    that is printed goes to standard error. The tests' process leads a session with a controlling terminal of its own, so that /dev/tty is
    one; the terminal is no standard stream.
What it must not know: PyLibOS.
Invariants: only this process reports (a forked child that falls out of its test does not); a test is reported as started before it runs, so
    that one that hangs or takes the interpreter down is known by name.
Sources: Lib/test/libregrtest/{setup,runtest,main}.py, whose preparations it makes.
"""

from __future__ import annotations

import fcntl
import importlib
import importlib.util
import json
import os
import sys
import tempfile
import termios
import threading
import time
import traceback
import unittest
from types import TracebackType
from typing import Any, TextIO

Error = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]
WHY_LIMIT = 4000
"""Characters of a traceback that are kept: its end says what went wrong."""
CHANNEL = 250
"""The descriptor of the report: out of the way of tests that count or close low ones."""


class Reporter(unittest.TestResult):
    """Writes a line when a test starts and one when it ends, with the worst of what happened in it (subtests included)."""

    RANK = ("ok", "expected failure", "skip", "unexpected success", "fail", "error")

    def __init__(self, channel: TextIO) -> None:
        super().__init__()
        self._channel = channel
        self._owner = os.getpid()
        self._outcome, self._why, self._begun = "ok", "", 0.0

    def say(self, **fields: object) -> None:
        if os.getpid() == self._owner:
            self._channel.write(json.dumps(fields) + "\n")
            self._channel.flush()

    def startTest(self, test: unittest.TestCase) -> None:  # noqa: N802 (unittest's name)
        super().startTest(test)
        self._outcome, self._why, self._begun = "ok", "", time.monotonic()
        self.say(start=test.id())

    def stopTest(self, test: unittest.TestCase) -> None:  # noqa: N802
        super().stopTest(test)
        self.say(end=test.id(), outcome=self._outcome, why=self._why[-WHY_LIMIT:], seconds=round(time.monotonic() - self._begun, 3))

    def _note(self, test: unittest.TestCase, outcome: str, why: str) -> None:
        if not hasattr(test, "_testMethodName"):
            # What unittest makes up when setUpModule or setUpClass fails is never started: its tests are missing, and this says why.
            self.say(end=test.id(), outcome=outcome, why=why[-WHY_LIMIT:], seconds=0.0)
        elif self.RANK.index(outcome) >= self.RANK.index(self._outcome):
            self._outcome, self._why = outcome, why

    def addError(self, test: unittest.TestCase, err: Error) -> None:  # noqa: N802
        self._note(test, "error", "".join(traceback.format_exception(*err)))

    def addFailure(self, test: unittest.TestCase, err: Error) -> None:  # noqa: N802
        self._note(test, "fail", "".join(traceback.format_exception(*err)))

    def addSkip(self, test: unittest.TestCase, reason: str) -> None:  # noqa: N802
        self._note(test, "skip", reason)

    def addExpectedFailure(self, test: unittest.TestCase, err: Error) -> None:  # noqa: N802
        self._note(test, "expected failure", "")

    def addUnexpectedSuccess(self, test: unittest.TestCase) -> None:  # noqa: N802
        self._note(test, "unexpected success", "")

    def addSubTest(self, test: unittest.TestCase, subtest: unittest.TestCase, err: Error | None) -> None:  # noqa: N802
        if err is not None:
            self._note(test, "fail", f"{subtest}\n" + "".join(traceback.format_exception(*err)))


def chosen(suite: unittest.TestSuite, only: set[str] | None, skip: set[str]) -> unittest.TestSuite:
    """The same suite, nested as it was (fixtures depend on it), without what is not asked for."""
    kept = type(suite)()
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            kept.addTest(chosen(item, only, skip))
        elif item.id() not in skip and (only is None or item.id() in only):
            kept.addTest(item)
    return kept


class Defaults:
    """regrtest's options as nobody has set them: which there are differs from version to version."""

    def __init__(self, resources: list[str]) -> None:
        self.use_resources = resources
        self.verbose = 0
        self.match_tests: tuple[str, ...] = ()

    def __getattr__(self, _name: str) -> None:
        return None


def prepare(resources: list[str]) -> Any:
    """What regrtest does before a module."""
    support: Any = importlib.import_module("test.support")
    setup: Any = importlib.import_module("test.libregrtest.setup")
    if hasattr(setup, "setup_process"):
        setup.setup_process()
    setup.setup_tests(Defaults(resources))
    support.verbose = False
    return support


def drain(master: int) -> None:
    """What is written to the terminal is nobody's business, but must go somewhere."""
    try:
        while os.read(master, 1 << 16):
            pass
    except OSError:
        pass


def in_a_session_with_terminal() -> None:
    """Return in a child that has a controlling terminal; this process stays to read it, and ends as the child does."""
    master, line = os.openpty()
    child = os.fork()
    if child:
        os.close(line)
        threading.Thread(target=drain, args=(master,), daemon=True).start()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os._exit(code if code >= 0 else 128 - code)
    os.setsid()
    fcntl.ioctl(line, termios.TIOCSCTTY, 0)
    os.close(line)
    os.close(master)


def main() -> None:
    """Run the module named on the command line."""
    in_a_session_with_terminal()
    name, orders_path = sys.argv[1:]
    with open(orders_path, encoding="utf-8") as file:
        orders = json.load(file)
    os.dup2(1, CHANNEL, inheritable=False)
    os.dup2(2, 1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.argv = [sys.argv[0]]
    sys.path.pop(0)
    support = prepare(orders["resources"])
    here = f"test_python_{os.getpid()}æ_"
    with open(CHANNEL, "w", encoding="utf-8", closefd=False) as channel, tempfile.TemporaryDirectory(prefix=here) as work:
        os.chdir(work)
        reporter = Reporter(channel)
        if importlib.util.find_spec(f"test.{name}") is None:
            reporter.say(end=f"test.{name}", outcome="skip", why="not part of this testsuite", seconds=0.0)
            reporter.say(done=True)
            return
        try:
            suite = unittest.defaultTestLoader.loadTestsFromModule(importlib.import_module(f"test.{name}"))
        except unittest.SkipTest as skipped:
            reporter.say(end=f"test.{name}", outcome="skip", why=str(skipped), seconds=0.0)
            suite = unittest.TestSuite()
        only = None if orders["only"] is None else set(orders["only"])
        chosen(suite, only, set(orders["skip"])).run(reporter)
        reporter.say(done=True)
        support.reap_children()
        os.chdir("/")


if __name__ == "__main__":
    main()
