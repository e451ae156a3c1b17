"""The number table against three independent ones, wherever they know a number."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pylibos.abi.syscall_numbers import LAST_NUMBER, NAMES, NUMBERS

HEADER = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h")
PTRACE_SPELLINGS = {"timerfd": "timerfd_create"}


def test_shape() -> None:
    assert len(NAMES) == len(NUMBERS) == 337 + 46
    assert set(NAMES) == {*range(337), *range(424, 470)}
    assert LAST_NUMBER == NUMBERS["file_setattr"] == 469


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("read", 0),
        ("newfstatat", 262),
        ("rseq", 334),
        ("uretprobe", 335),
        ("uprobe", 336),
        ("pidfd_send_signal", 424),
        ("cachestat", 451),
        ("fchmodat2", 452),
        ("map_shadow_stack", 453),
        ("futex_wake", 454),
        ("futex_wait", 455),
        ("futex_requeue", 456),
        ("statmount", 457),
        ("listmount", 458),
        ("lsm_get_self_attr", 459),
        ("lsm_list_modules", 461),
        ("mseal", 462),
        ("setxattrat", 463),
        ("removexattrat", 466),
        ("open_tree_attr", 467),
        ("file_getattr", 468),
    ],
)
def test_numbers_newer_than_the_other_tables(name: str, number: int) -> None:
    assert NUMBERS[name] == number


@pytest.mark.skipif(not HEADER.exists(), reason="no kernel headers")
def test_system_header() -> None:
    known = {name: int(number) for name, number in re.findall(r"#define __NR_(\w+) (\d+)", HEADER.read_text())}
    assert len(known) > 330
    assert {name: NUMBERS.get(name) for name in known} == known


def test_libseccomp() -> None:
    pyseccomp = pytest.importorskip("pyseccomp")
    known = {name: pyseccomp.resolve_syscall(pyseccomp.Arch.X86_64, name) for name in NUMBERS}
    known = {name: number for name, number in known.items() if number >= 0}  # negative: libseccomp does not know it
    assert len(known) > 330
    assert {name: NUMBERS[name] for name in known} == known


def test_python_ptrace() -> None:
    table = pytest.importorskip("ptrace.syscall.linux.x86_64").SYSCALL_NAMES
    known = {number: name for number, name in table.items() if number < 512}  # above: x32
    differing = {number: (name, NAMES.get(number)) for number, name in known.items() if NAMES.get(number) != name}
    assert {names for names in differing.values() if PTRACE_SPELLINGS.get(names[0]) != names[1]} == set()
    assert len(known) > 330
