"""Finding the program in the guest's view, before anything has been started."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pylibos.abi.errno import Errno
from pylibos.runtime.compose import find_program
from pylibos.runtime.status import ProgramNotExecutable, ProgramNotFound

FILES = {b"/usr/bin/ls": 0, b"/opt/ls": 0, b"/opt/text": Errno.EACCES, b"/usr/bin/text": 0, b"/opt/locked": Errno.EACCES, b"./here": 0}


def find(name: bytes, path: bytes | None = b"/opt:/usr/bin") -> bytes:
    composition: Any = SimpleNamespace(find=lambda candidate: int(FILES.get(candidate, Errno.ENOENT)))
    config: Any = SimpleNamespace(argv=(name,), environment={} if path is None else {b"PATH": path})
    return find_program(composition, config)


def test_the_first_directory_wins() -> None:
    assert find(b"ls") == b"/opt/ls"
    assert find(b"ls", b"/usr/bin:/opt") == b"/usr/bin/ls"


def test_what_may_not_be_executed_is_passed_over() -> None:
    assert find(b"text") == b"/usr/bin/text"


@pytest.mark.parametrize("path", [b"", b":", b"/nowhere", None])
def test_nowhere_to_be_found(path: bytes | None) -> None:
    with pytest.raises(ProgramNotFound):
        find(b"ls", path)


def test_found_but_forbidden() -> None:
    with pytest.raises(ProgramNotExecutable):
        find(b"locked")
    with pytest.raises(ProgramNotExecutable):
        find(b"/opt/locked")


def test_a_slash_means_no_search() -> None:
    assert find(b"./here") == b"./here"
    with pytest.raises(ProgramNotFound):
        find(b"./ls")


def test_bytes_that_are_no_text() -> None:
    with pytest.raises(ProgramNotFound, match="no such program"):
        find(b"\xff\xfe")
