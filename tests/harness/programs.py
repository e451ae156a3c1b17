"""Short ways to say "run this program": cases for shells, interpreters and tools, and set-up of their working directories.

What it must not know: pytest. The tables of tests/integration are made of these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypedDict, Unpack

from tests.harness.comparison import Case


class CaseOptions(TypedDict, total=False):
    """The fields of Case that a table may set."""

    stdin: bytes
    env: Mapping[str, str]
    timeout: float
    setup: Callable[[Path], None] | None
    user: int | None
    grant: str
    files: bool
    ignore: tuple[str, ...]
    normalise: Callable[[bytes], bytes]
    normalise_stderr: Callable[[bytes], bytes]
    status: int
    flags: tuple[str, ...]


def shell(script: str, **options: Unpack[CaseOptions]) -> Case:
    """A script for /bin/sh that stops at the first failure."""
    return Case(argv=("/bin/sh", "-ec", script), **options)


def bash(script: str, **options: Unpack[CaseOptions]) -> Case:
    """A script for bash, which goes on after failures."""
    return Case(argv=("/bin/bash", "--norc", "-c", script), **options)


def busybox(applet: str, *arguments: str, **options: Unpack[CaseOptions]) -> Case:
    """One applet of the static busybox."""
    return Case(argv=("/bin/busybox", applet, *arguments), **options)


def python(script: str, **options: Unpack[CaseOptions]) -> Case:
    """A script for the system's CPython, which writes no byte code beside the system's files."""
    env = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONHASHSEED": "0", **options.get("env", {})}
    options["env"] = env
    return Case(argv=("/usr/bin/python3", "-I", "-c", script), **options)


def perl(script: str, **options: Unpack[CaseOptions]) -> Case:
    """A script for perl."""
    return Case(argv=("/usr/bin/perl", "-we", script), **options)


def node(script: str, **options: Unpack[CaseOptions]) -> Case:
    """A script for node."""
    return Case(argv=("/usr/bin/node", "-e", script), **options)


def tree(files: Mapping[str, str | bytes]) -> Callable[[Path], None]:
    """A set-up that writes files; a name that ends with / is an empty directory, contents that start with "-> " are a symbolic link."""

    def setup(work: Path) -> None:
        for name, contents in files.items():
            path = work / name
            if name.endswith("/"):
                path.mkdir(parents=True, exist_ok=True)
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(contents, str) and contents.startswith("-> "):
                path.symlink_to(contents[3:])
            else:
                path.write_bytes(contents if isinstance(contents, bytes) else contents.encode())

    return setup


def sorted_lines(output: bytes) -> bytes:
    """For programs whose lines come in any order (parallel jobs)."""
    return b"\n".join(sorted(output.splitlines()))


SAMPLE = tree(
    {
        "a/one.txt": "alpha\nbeta\ngamma\nalpha beta\n",
        "a/two.txt": "delta\nalpha\nepsilon\n",
        "a/deep/er/three.txt": "".join(f"line {number}\n" for number in range(200)),
        "b/data.csv": "name,value\nx,3\ny,1\nz,2\n",
        "b/empty": "",
        "b/binary": bytes(range(256)) * 40,
        "link": "-> a/one.txt",
        "dangling": "-> nowhere",
        "space name": "spaces\n",
        "empty-directory/": "",
    }
)
"""A small tree for tools that walk and copy."""
