"""Access masks (NT ACCESS_MASK): what a handle may be used for.

Pure data and one function. The low 16 bits are the type's own rights; generic rights are mapped to them by the type when a handle
is made, so a granted mask never has a generic bit. Source: WDK ACCESS_MASK, [MS-DTYP] 2.4.3.
"""

from __future__ import annotations

import enum
from typing import Final, NamedTuple


class AccessMask(enum.IntFlag):
    """Standard and generic rights."""

    NONE = 0
    DELETE = 0x00010000
    READ_CONTROL = 0x00020000
    WRITE_DAC = 0x00040000
    WRITE_OWNER = 0x00080000
    SYNCHRONIZE = 0x00100000
    STANDARD_RIGHTS_REQUIRED = 0x000F0000
    MAXIMUM_ALLOWED = 0x02000000
    GENERIC_ALL = 0x10000000
    GENERIC_EXECUTE = 0x20000000
    GENERIC_WRITE = 0x40000000
    GENERIC_READ = 0x80000000


class DirectoryAccess(enum.IntFlag):
    """Rights specific to directories of the name space."""

    QUERY = 1
    TRAVERSE = 2
    CREATE_OBJECT = 4
    CREATE_SUBDIRECTORY = 8


class KeyAccess(enum.IntFlag):
    """Rights specific to registry keys."""

    QUERY_VALUE = 1
    SET_VALUE = 2
    CREATE_SUB_KEY = 4
    ENUMERATE_SUB_KEYS = 8
    NOTIFY = 16


class EventAccess(enum.IntFlag):
    """Rights specific to events, semaphores, mutants and timers (query and modify share the bits)."""

    QUERY_STATE = 1
    MODIFY_STATE = 2


_GENERIC: Final = 0xF0000000


class GenericMapping(NamedTuple):
    """What each generic right means for a type: masks of specific and standard rights."""

    read: int
    write: int
    execute: int
    all: int

    def apply(self, desired: int) -> int:
        """desired with generic rights (and MAXIMUM_ALLOWED) replaced by what they stand for."""
        granted = desired & ~_GENERIC & ~AccessMask.MAXIMUM_ALLOWED
        if desired & AccessMask.GENERIC_READ:
            granted |= self.read
        if desired & AccessMask.GENERIC_WRITE:
            granted |= self.write
        if desired & AccessMask.GENERIC_EXECUTE:
            granted |= self.execute
        if desired & (AccessMask.GENERIC_ALL | AccessMask.MAXIMUM_ALLOWED):
            granted |= self.all
        return granted
