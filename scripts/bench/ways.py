"""The ways to run one command: as it is, under PyLibOS (each engine), under PRoot.

A way wraps an argument vector; the command runs in the work directory, which holds everything it may need besides /usr.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

NATIVE = "native"
PROOT = "proot"
REFERENCE_WAYS = (NATIVE, PROOT)
ALL_WAYS = (NATIVE, "pylibos", "pylibos-ptrace", PROOT)


@dataclass(frozen=True, slots=True)
class Way:
    """One way: its name and the words that come before the command."""

    name: str
    prefix: tuple[str, ...]

    def wrap(self, argv: Sequence[str]) -> list[str]:
        """The argument vector that runs argv this way."""
        return [*self.prefix, *argv]


def make_way(name: str, launcher: Sequence[str], flags: Sequence[str], work: Path) -> Way | None:
    """The named way, or None when what it needs is not on this machine.

    launcher is the pylibos command, flags what to add after its `run`.
    """
    if name == NATIVE:
        return Way(name, ())
    if name == PROOT:
        proot = shutil.which("proot")
        return Way(name, (proot, "-r", "/", "-w", str(work))) if proot else None
    if not launcher or shutil.which(launcher[0]) is None:
        return None
    engine = ("--engine", "ptrace") if name == "pylibos-ptrace" else ()
    view = ("-v", f"{work}:{work}:cow", "-C", str(work))
    return Way(name, (*launcher, "run", *engine, *view, *flags, "--"))


def default_launcher() -> list[str]:
    """The pylibos command: $PYLIBOS, or scripts/pylibos of this tree."""
    chosen = os.environ.get("PYLIBOS")
    return shlex.split(chosen) if chosen else [str(Path(__file__).resolve().parent.parent / "pylibos")]


def command_environment(work: Path) -> dict[str, str]:
    """The small fixed environment every way is started with, so that none pays for the caller's.

    The caller's cache directory stays known: it may hold the environment scripts/pylibos made.
    """
    kept = {name: os.environ[name] for name in ("PATH", "XDG_CACHE_HOME", "PYLIBOS_PYTHON", "TMPDIR") if name in os.environ}
    if "HOME" in os.environ:
        kept.setdefault("XDG_CACHE_HOME", str(Path(os.environ["HOME"], ".cache")))
    return {**kept, "HOME": str(work), "LC_ALL": "C"}
