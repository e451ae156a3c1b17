"""Turns the system call table into the neutral filter rules of abi/filter_rules.py, which the monitor compiles.

Owns the mapping Route -> FilterAction only. Must not know libseccomp or engines beyond that there is a rule per number.
"""

from __future__ import annotations

from typing import Final

from pylibos.abi.filter_rules import FilterAction, FilterRule
from pylibos.emulation.syscalls.table import TABLE, Route, SyscallRow

_ACTIONS: Final = {
    Route.DIRECT: FilterAction.ALLOW,
    Route.NOTIFY: FilterAction.NOTIFY,
    Route.TRACE: FilterAction.TRACE,
    Route.REFUSED: FilterAction.ERRNO,
}


def _rule(row: SyscallRow) -> FilterRule:
    errno = int(row.errno) if row.errno is not None else 0
    if not row.alternatives or row.route is not Route.DIRECT:
        # A checked row that stops anyway is checked by its entry in the table; the filter need not know.
        return FilterRule(row.number, _ACTIONS[row.route], errno)
    # A route that leads to a fallback nobody wrote is a refusal, at once where libseccomp can express the complement.
    refuse = (row.otherwise is Route.REFUSED or row.fallback is None) and len(row.alternatives) == 1
    otherwise = FilterAction.ERRNO if refuse else _ACTIONS[row.otherwise]
    return FilterRule(row.number, FilterAction.ALLOW, errno, row.alternatives, otherwise)


def filter_rules() -> tuple[FilterRule, ...]:
    """One rule per row of the table, by ascending number. Import pylibos.emulation.syscalls.all first."""
    return tuple(_rule(row) for _, row in sorted(TABLE.items()))
