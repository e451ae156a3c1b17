"""The text of a traced call: python-ptrace's formatting over guest memory that is not to be trusted."""

from __future__ import annotations

import ctypes
import os

import pytest

from pylibos.emulation.syscalls.all import TABLE
from pylibos.runtime.calltrace import STRING_LIMIT, CallFormatter
from pylibos.runtime.memory import TaskMemory

NUMBERS = {row.name: number for number, row in TABLE.items()}
AT_FDCWD = 2**64 - 100


@pytest.fixture(scope="module")
def formatter() -> CallFormatter:
    return CallFormatter()


def text_of(formatter: CallFormatter, name: str, *args: int) -> str:
    return formatter.call(TaskMemory(os.getpid()), NUMBERS[name], (*args, *[0] * (6 - len(args))))


def test_paths_flags_and_directories_are_shown_by_name(formatter: CallFormatter) -> None:
    path = ctypes.create_string_buffer(b"/etc/passwd")
    shown = text_of(formatter, "openat", AT_FDCWD, ctypes.addressof(path), os.O_WRONLY | os.O_CREAT, 0o644)
    assert shown.startswith("openat(AT_FDCWD, '/etc/passwd', O_WRONLY|O_CREAT")


def test_thirty_two_bit_directories_too(formatter: CallFormatter) -> None:
    path = ctypes.create_string_buffer(b"x")
    assert "AT_FDCWD" in text_of(formatter, "openat", 2**32 - 100, ctypes.addressof(path), 0)


def test_wild_pointers_are_shown_as_numbers(formatter: CallFormatter) -> None:
    assert "0x10" in text_of(formatter, "execve", 0x10, 0x10, 0) or "16" in text_of(formatter, "execve", 0x10, 0x10, 0)


def test_strings_are_cut_and_escaped(formatter: CallFormatter) -> None:
    path = ctypes.create_string_buffer(b"\x1b[2J\xff" + b"a" * 4000)
    shown = text_of(formatter, "chdir", ctypes.addressof(path))
    assert "\x1b" not in shown
    assert shown.isascii()
    assert shown.endswith("'...)")
    assert len(shown) < STRING_LIMIT + 60


def test_a_huge_count_reads_nothing(formatter: CallFormatter) -> None:
    mask = ctypes.create_string_buffer(8)
    assert text_of(formatter, "rt_sigprocmask", 0, ctypes.addressof(mask), 0, 2**62).startswith("rt_sigprocmask(")


def test_calls_without_arguments_have_none(formatter: CallFormatter) -> None:
    assert text_of(formatter, "vfork", 1, 2, 3) == "vfork()"


def test_every_call_of_the_table_can_be_shown(formatter: CallFormatter) -> None:
    for number, row in TABLE.items():
        for wild in (0, 2**64 - 1):
            assert formatter.call(TaskMemory(os.getpid()), number, (wild,) * 6).startswith(f"{row.name}(")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (3, "3"), (-2, "-1 ENOENT (No such file or directory)"), (-512, "? ERESTARTSYS"), (0x7F0000000000, "0x7f0000000000")],
)
def test_results(value: int, text: str) -> None:
    assert CallFormatter.result(value) == text
