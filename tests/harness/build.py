"""Building C guests, once per source text and flags.

What it is: gcc (or musl-gcc) behind a cache keyed by what goes in: the source, the shared header, the compiler and the flags.
What it owns: one directory per test session, readable and searchable by every user, because guests also run as an ordinary user.
What it must not know: how guests are run.
"""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass
from pathlib import Path

COMPILE_SECONDS = 120.0
WARNINGS = (
    *("-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror"),
    # Guests pass wild pointers and lengths on purpose: the compiler's opinions on single arguments are not wanted.
    *(f"-Wno-{name}" for name in ("unused-parameter", "unused-result", "nonnull", "stringop-overflow", "stringop-overread")),
    *(f"-Wno-{name}" for name in ("format-truncation", "array-bounds", "deprecated-declarations", "infinite-recursion")),
)


class BuildError(AssertionError):
    """A guest does not compile: the test's own fault, so it fails rather than skips."""


@dataclass(frozen=True, slots=True)
class Toolchain:
    """A compiler and the flags that make one kind of ELF file of it."""

    name: str
    compiler: str
    flags: tuple[str, ...]


TOOLCHAINS = {
    toolchain.name: toolchain
    for toolchain in (
        Toolchain("pie", "gcc", ("-fPIE", "-pie")),
        Toolchain("nopie", "gcc", ("-fno-pie", "-no-pie")),
        Toolchain("static", "gcc", ("-fno-pie", "-static")),
        Toolchain("static-pie", "gcc", ("-fPIE", "-static-pie")),
        Toolchain("musl", "musl-gcc", ("-fPIE", "-pie")),
        Toolchain("musl-static", "musl-gcc", ("-fno-pie", "-no-pie", "-static")),
    )
}


class Builder:
    """Compiles guests into one directory; a second request for the same program costs a hash."""

    def __init__(self, directory: Path, include: Path) -> None:
        self._directory = directory
        self._include = include
        self._built: dict[str, Path] = {}

    def build(self, source: Path, toolchain: str = "pie", flags: tuple[str, ...] = ()) -> Path:
        """The executable of `source`. Raises BuildError with the compiler's messages."""
        chosen = TOOLCHAINS[toolchain]
        digest = hashlib.sha256()
        for part in (source.read_bytes(), *(header.read_bytes() for header in sorted(self._include.glob("*.h")))):
            digest.update(part)
        digest.update(repr((chosen, flags)).encode())
        key = f"{source.stem}-{toolchain}-{digest.hexdigest()[:12]}"
        program = self._built.get(key)
        if program is None:
            program = self._compile(source, chosen, flags, key)
            self._built[key] = program
        return program

    def _compile(self, source: Path, toolchain: Toolchain, flags: tuple[str, ...], key: str) -> Path:
        # One directory per build, so that the file has the guest's plain name: comm, argv[0] and /proc/self/exe show it.
        target = self._directory / key / source.stem
        target.parent.mkdir(mode=0o755, exist_ok=True)
        command = [toolchain.compiler, *WARNINGS, *toolchain.flags, "-I", str(self._include), "-o", str(target), str(source), *flags]
        done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_SECONDS, check=False)
        if done.returncode != 0:
            raise BuildError(f"{' '.join(command)}\n{done.stderr}")
        return target
