"""Families of calls that are imported when the first of them is made."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from pylibos.emulation.syscalls import table
from pylibos.emulation.syscalls.all import ENTRIES, TABLE
from pylibos.emulation.syscalls.table import Support, homes

ROOT = Path(__file__).resolve().parents[4]
PROGRAM = """
import sys
from pylibos.emulation.syscalls import table
table.ENTRIES.homes = eval(sys.stdin.read())
before = set(sys.modules)
for number in eval(sys.argv[1]):
    try:
        table.ENTRIES[number]
    except KeyError:
        print("unknown", number)
    else:
        row = table.TABLE[number]
        print(number, row.name, table.fallback_of(number) is not None)
print(sorted(name.rpartition(".")[2] for name in set(sys.modules) - before if ".syscalls." in name))
"""


def ask(numbers: list[int]) -> list[str]:
    """What an interpreter that has imported no family says about calls, in this order; the last line: what it imported."""
    command = [sys.executable, "-c", PROGRAM, repr(numbers)]
    done = subprocess.run(command, input=repr(homes()), capture_output=True, text=True, check=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT)})
    return done.stdout.splitlines()


def test_every_row_is_found_at_home() -> None:
    numbers = sorted(number for number, row in TABLE.items() if row.support is not Support.MISSING)
    expected = [f"{number} {TABLE[number].name} {TABLE[number].fallback is not None}" for number in numbers]
    assert ask(numbers)[:-1] == expected
    assert ask(numbers[::-1])[:-1] == expected[::-1]


def test_one_call_imports_one_family() -> None:
    lines = ask([4, 1022])
    assert lines[:2] == ["4 stat False", "unknown 1022"]
    assert "sys_stat" in lines[2]
    assert "sys_sockets" not in lines[2]


def test_rows_nobody_has_written_are_unknown_calls() -> None:
    missing = {number for number, row in TABLE.items() if row.support is Support.MISSING}
    assert not missing & set(homes())
    assert set(homes()) | missing == set(TABLE) == set(ENTRIES)
    assert table.ENTRIES is ENTRIES
