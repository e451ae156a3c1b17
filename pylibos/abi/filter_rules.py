"""The neutral form of a system call filter: what runtime hands from the system call table to monitor/seccomp.py.

Owns pure data types only. Knows neither handlers (emulation) nor libseccomp (monitor). Invariant: a rule with alternatives
performs ``action`` only when one alternative holds entirely, and ``otherwise`` in every other case; so a mistake in a check
makes a call slower or refused, never allowed. Source: seccomp(2), seccomp_rule_add(3).
"""

from __future__ import annotations

import enum
from typing import NamedTuple

ARGUMENT_COUNT = 6
WORD_MASK = 0xFFFF_FFFF_FFFF_FFFF
INT_MASK = 0xFFFF_FFFF
"""Mask for arguments the kernel reads as int: the upper half of the register is ignored there, so it is here."""


class FilterAction(enum.Enum):
    """What the kernel does with a call."""

    ALLOW = "allow"
    NOTIFY = "notify"
    TRACE = "trace"
    ERRNO = "errno"


class ArgumentCheck(NamedTuple):
    """``args[argument] & mask == value``. argument 0..5; mask and value are unsigned 64-bit."""

    argument: int
    value: int
    mask: int = WORD_MASK

    def holds(self, args: tuple[int, ...]) -> bool:
        """Whether raw registers (unsigned 64-bit) satisfy the check."""
        return args[self.argument] & self.mask == self.value


Alternatives = tuple[tuple[ArgumentCheck, ...], ...]
"""Or of ands. Empty: no condition. An alternative may name each argument once (libseccomp's limit)."""


class FilterRule(NamedTuple):
    """One call number. ``errno`` is a positive number used by whichever of the actions is ERRNO, else 0."""

    number: int
    action: FilterAction
    errno: int = 0
    alternatives: Alternatives = ()
    otherwise: FilterAction = FilterAction.ERRNO


def all_of(*checks: ArgumentCheck) -> Alternatives:
    """One alternative: every check must hold."""
    return (checks,)


def int_argument_in(argument: int, values: tuple[int, ...]) -> Alternatives:
    """The int argument ``argument`` is one of ``values`` (taken modulo 2**32)."""
    return tuple((ArgumentCheck(argument, value & INT_MASK, INT_MASK),) for value in values)
