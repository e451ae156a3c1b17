"""Every C guest of this directory, natively and under each engine.

A guest's first line says what it shows; the comment lines after it say how it is built and run, one directive a line, `// name: words`:
  flags: further compiler flags          variants: kinds of ELF file to build (harness/build.py)
  grant: cow, rw (both by default)       user: nobody (also run as uid 65534), only-nobody, root (needs root)
  timeout: seconds of the native run     inside-only: no oracle; the output must equal PROGRAM.expected
  args: arguments                        stdin: text
  status: the native exit status         run: further flags of `pylibos run`
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.harness.build import TOOLCHAINS
from tests.harness.comparison import ENVIRONMENT, NATIVE, NOBODY, Case, line_difference, sections
from tests.harness.plugin import Comparer

if TYPE_CHECKING:
    from _pytest.mark import ParameterSet

HERE = Path(__file__).parent
DIRECTIVES = {"flags", "variants", "grant", "user", "timeout", "inside-only", "args", "stdin", "status", "run"}


@dataclass(frozen=True, slots=True)
class Guest:
    """A C guest and its directives."""

    source: Path
    directives: dict[str, str]

    def words(self, name: str, default: str = "") -> tuple[str, ...]:
        return tuple(self.directives.get(name, default).split())

    @property
    def inside_only(self) -> bool:
        return "inside-only" in self.directives


def read_guest(source: Path) -> Guest:
    """Parse the `//` lines after the first. An unknown directive is an error: a misspelt one would silently weaken a test."""
    directives: dict[str, str] = {}
    for line in source.read_text().splitlines()[1:]:
        if not line.startswith("//"):
            break
        name, colon, value = line[2:].strip().partition(":")
        if colon and name in DIRECTIVES:
            directives[name] = value.strip()
        elif colon and " " not in name:
            raise ValueError(f"{source.name}: unknown directive {name!r}")
    return Guest(source, directives)


GUESTS = [read_guest(source) for source in sorted(HERE.glob("*.c"))]


def variants(*, inside_only: bool) -> list[ParameterSet]:
    """One parameter per guest, kind of ELF file, user and grant; its id is the name that known_gaps.toml uses."""
    chosen = []
    for guest in GUESTS:
        if guest.inside_only != inside_only:
            continue
        users = {"": (None,), "nobody": (None, NOBODY), "only-nobody": (NOBODY,), "root": (None,)}[guest.directives.get("user", "")]
        for toolchain in guest.words("variants", "pie"):
            for user in users:
                for grant in guest.words("grant", "cow rw"):
                    shown = toolchain if "variants" in guest.directives else ""
                    name = "-".join(filter(None, [guest.source.stem, shown, "nobody" if user else "", grant]))
                    chosen.append(pytest.param(name, guest, toolchain, user, grant, id=name))
    return chosen


def guest_case(comparer: Comparer, guest: Guest, toolchain: str, user: int | None, grant: str) -> Case:
    program = comparer.builder.build(guest.source, toolchain, guest.words("flags"))
    if os.getuid() != 0 and (user not in (None, os.getuid()) or guest.directives.get("user") == "root"):
        pytest.skip("choosing a user and acting as root need root")
    return Case(
        argv=(str(program), *guest.words("args")),
        stdin=guest.directives.get("stdin", "").encode(),
        timeout=float(guest.directives.get("timeout", "60")),
        status=int(guest.directives.get("status", "0")),
        user=user,
        grant=grant,
        flags=("--ro", str(program.parent), *guest.words("run")),
    )


@pytest.mark.guest
@pytest.mark.parametrize(("name", "guest", "toolchain", "user", "grant"), variants(inside_only=False))
def test_guest(comparer: Comparer, engine: str, name: str, guest: Guest, toolchain: str, user: int | None, grant: str) -> None:
    outcome = comparer.check(name, guest_case(comparer, guest, toolchain, user, grant), engine, (guest.source.stem,))
    assert outcome.stdout, "a guest that prints nothing shows nothing"


@pytest.mark.guest
@pytest.mark.parametrize(("name", "guest", "toolchain", "user", "grant"), variants(inside_only=True))
def test_guest_inside_only(
    comparer: Comparer, inside: str, name: str, guest: Guest, toolchain: str, user: int | None, grant: str
) -> None:
    """Behaviour that PyLibOS defines itself: native Linux is no oracle."""
    expected = guest.source.with_suffix(".expected").read_text().splitlines()
    outcome = comparer.inside(guest_case(comparer, guest, toolchain, user, grant), inside)
    actual = outcome.stdout.decode("utf-8", "backslashreplace").splitlines()
    assert not line_difference(expected, actual), outcome.completed.describe()


def test_every_gap_names_a_test(comparer: Comparer) -> None:
    """A gap for a test that does not exist (any more) hides nothing and says something false."""
    known = {str(parameter.values[0]) for inside_only in (False, True) for parameter in variants(inside_only=inside_only)}
    known |= {guest.source.stem for guest in GUESTS}
    unknown = {test for test in comparer.gaps.tests() if "::" not in test} - known
    assert not unknown, f"known_gaps.toml names unknown guests: {sorted(unknown)}"


def test_sections_split_a_guests_output() -> None:
    assert sections(b"x\n== a\n1\n2\n== b\n") == {"": ["x"], "a": ["1", "2"], "b": []}


def test_guests_are_many_and_well_formed() -> None:
    assert sum(guest.source.read_text().count("\nCASE(") for guest in GUESTS) >= 250
    for guest in GUESTS:
        assert set(guest.words("variants", "pie")) <= set(TOOLCHAINS), guest.source.name
        assert guest.inside_only == guest.source.with_suffix(".expected").exists(), guest.source.name
    assert ENVIRONMENT["TZ"] == "UTC"
    assert NATIVE == "native"
