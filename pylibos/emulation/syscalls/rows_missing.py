"""Calls nobody has written yet: ENOSYS in the filter, and shown as missing in docs/syscalls.md.

Owns the explicit list, so that nothing is silently absent: a number in no family file and not here fails the completeness test,
and so does a name here that has a row.
"""

from __future__ import annotations

from typing import Final

from pylibos.abi.syscall_numbers import NUMBERS
from pylibos.emulation.syscalls.table import TABLE, missing

MISSING: Final[tuple[str, ...]] = ()


def register() -> None:
    """Fill the table's gaps; all.py calls this after every family is imported."""
    for name in MISSING:
        if NUMBERS[name] not in TABLE:
            missing(name, NUMBERS[name])
