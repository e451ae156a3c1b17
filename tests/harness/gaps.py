"""The list of behaviours known to differ from native Linux, and why.

What it is: tests/guest/known_gaps.toml, read strictly. A gap names a test, the engines it concerns, a reason and an issue.
What it must not know: how tests are run. It answers one question: is this difference expected?
Invariants: a gap that no longer differs is an error (the list only shrinks); an unknown key or engine is an error.

A gap's `test` is `program` (the whole comparison) or `program/section`, where the section is a case of a C guest (a line `== name` of
its output), so that one gap does not hide the other behaviours of its program. `program` is the name of a test, or of all variants of a
guest at once (`exec_calls` for exec_calls-cow and exec_calls-rw). `root = true`: the difference shows only when the tests run as root,
whose guests are somebody else on the host.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ENGINES = ("notify", "ptrace")


@dataclass(frozen=True, slots=True)
class Gap:
    """One expected difference."""

    test: str
    engines: tuple[str, ...]
    reason: str
    issue: str


class GapList:
    """All gaps, by test and engine."""

    def __init__(self, gaps: list[Gap]) -> None:
        self._by_key: dict[tuple[str, str], Gap] = {}
        for gap in gaps:
            for engine in gap.engines:
                key = (gap.test, engine)
                if key in self._by_key:
                    raise ValueError(f"{gap.test} has two gaps for engine {engine}")
                self._by_key[key] = gap

    def find(self, names: Sequence[str], engine: str) -> Gap | None:
        """The gap of the whole of a test, known under any of `names`."""
        return next((gap for name in names if (gap := self._by_key.get((name, engine)))), None)

    def sections(self, names: Sequence[str], engine: str) -> dict[str, Gap]:
        """Section name -> gap, for the gaps inside a program known under any of `names`."""
        prefixes = tuple(f"{name}/" for name in names)
        mine = {test: gap for (test, its_engine), gap in self._by_key.items() if its_engine == engine}
        return {test.partition("/")[2]: gap for test, gap in mine.items() if test.startswith(prefixes)}

    def tests(self) -> set[str]:
        """The program part of every gap, for the test that each one exists."""
        return {test.partition("/")[0] for test, _engine in self._by_key}


def load_gaps(path: Path) -> GapList:
    """Read the list. Raises ValueError naming the entry for anything unexpected."""
    document = tomllib.loads(path.read_text())
    if unknown := set(document) - {"gap"}:
        raise ValueError(f"{path}: unknown keys {sorted(unknown)}")
    as_root = os.geteuid() == 0
    entries = [(number, dict(entry)) for number, entry in enumerate(document.get("gap", []), 1)]
    return GapList([_parse(path, number, entry) for number, entry in entries if as_root or entry.get("root") is not True])


def _parse(path: Path, number: int, entry: dict[str, object]) -> Gap:
    where = f"{path}: gap {number}"
    if set(entry) - {"root"} != {"test", "engines", "reason", "issue"} or entry.get("root", True) is not True:
        raise ValueError(f"{where}: needs exactly test, engines, reason, issue (and root = true, or not); has {sorted(entry)}")
    test, engines, reason, issue = entry["test"], entry["engines"], entry["reason"], entry["issue"]
    if not (isinstance(test, str) and isinstance(reason, str) and reason and isinstance(issue, str)):
        raise ValueError(f"{where}: test, reason and issue are strings, and reason is not empty")
    if not isinstance(engines, list) or not engines or not all(engine in ENGINES for engine in engines):
        raise ValueError(f"{where}: engines is a list of {ENGINES}")
    return Gap(test, tuple(engines), reason, issue)
