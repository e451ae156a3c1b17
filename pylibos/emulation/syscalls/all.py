"""Fills the system call table: imports every family explicitly, no directory scan. The order does not matter but for the last.

Import this module (runtime, scripts and tests do) before using table.TABLE, ENTRIES or filter_rules(). Import-light packages stay
import-light because only this module pulls in the handlers.
"""

from __future__ import annotations

from pylibos.emulation.syscalls import rows  # noqa: F401 - imported for its rows
from pylibos.emulation.syscalls import rows_missing  # noqa: F401, I001 - last: it fills what is left
from pylibos.emulation.syscalls.filter import filter_rules
from pylibos.emulation.syscalls.table import ENTRIES, TABLE

__all__ = ["ENTRIES", "TABLE", "filter_rules"]
