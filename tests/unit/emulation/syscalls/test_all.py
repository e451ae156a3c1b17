"""The table as a whole: complete, consistent, and told truly by docs/syscalls.md."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pylibos.abi.syscall_numbers import NAMES, NUMBERS
from pylibos.emulation.syscalls.all import ENTRIES, TABLE
from pylibos.emulation.syscalls.rows_missing import MISSING
from pylibos.emulation.syscalls.table import Route, Support

ROOT = Path(__file__).resolve().parents[4]
HOST_ABI_LIMIT = 48


def test_every_number_has_a_row_and_every_row_a_number() -> None:
    assert {number: row.name for number, row in TABLE.items()} == NAMES
    assert set(ENTRIES) == set(TABLE)


def test_missing_rows_are_missing() -> None:
    implemented = [name for name in MISSING if TABLE[NUMBERS[name]].support is not Support.MISSING]
    assert implemented == [], "take these out of rows_missing.py"
    assert list(MISSING) == sorted(MISSING, key=lambda name: NUMBERS[name])
    assert len(set(MISSING)) == len(MISSING)


def test_the_host_abi_is_small() -> None:
    assert sum(row.route is Route.DIRECT for row in TABLE.values()) <= HOST_ABI_LIMIT


@pytest.mark.parametrize("row", TABLE.values(), ids=lambda row: row.name)
def test_row_is_consistent(row: object) -> None:
    from pylibos.emulation.syscalls.table import SyscallRow

    assert isinstance(row, SyscallRow)
    refused = row.support in {Support.REFUSED, Support.MISSING}
    assert refused == (row.route is Route.REFUSED)
    assert (row.handler is not None) == (row.support in {Support.FULL, Support.PARTIAL})
    if row.support is not Support.FULL:
        assert row.note
    if refused or row.alternatives:
        assert row.errno is not None
    if row.handler is not None:
        assert row.handler.__doc__, "the docstring names the man page and the errors"


def test_the_page_is_fresh() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "gen_syscall_docs.py"), "--check"]
    result = subprocess.run(command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
