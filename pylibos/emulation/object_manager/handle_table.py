"""Handle tables (NT Ex/Ob): numbers a process holds objects by.

Handles are positive multiples of 4, lowest free first. Each entry has the access granted when it was made and whether a child
inherits it. The table counts references through the manager's callbacks only; it never deletes an object itself.

Invariants: a handle is in the table or free, never both; every entry holds one reference and one handle count on its object.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Final, NamedTuple

from pylibos.abi.ntstatus import NtStatus
from pylibos.emulation.object_manager.errors import StatusError
from pylibos.emulation.object_manager.object_type import ObjectHeader

HANDLES_MAX: Final = 1 << 16
"""Handles one process may have: a bound on what a hostile guest can make the executive keep."""


class HandleEntry(NamedTuple):
    """What a handle stands for."""

    header: ObjectHeader
    granted_access: int
    inherit: bool
    protected: bool = False
    """Closing it is refused (HANDLE_NOT_CLOSABLE)."""


class HandleTable:
    """Handles of one process."""

    __slots__ = ("_entries", "_free", "_next", "limit")

    def __init__(self, limit: int = HANDLES_MAX) -> None:
        self.limit = limit
        self._entries: dict[int, HandleEntry] = {}
        self._free: list[int] = []
        self._next = 4

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, handle: int) -> bool:
        return handle in self._entries

    def __iter__(self) -> Iterator[tuple[int, HandleEntry]]:
        """(handle, entry) in ascending order."""
        return iter(sorted(self._entries.items()))

    def add(self, entry: HandleEntry) -> int:
        """Give entry the lowest free handle. Raises INSUFFICIENT_RESOURCES at the limit."""
        if len(self._entries) >= self.limit:
            raise StatusError(NtStatus.INSUFFICIENT_RESOURCES)
        if self._free:
            handle = heappop(self._free)
        else:
            handle = self._next
            self._next += 4
        self._entries[handle] = entry
        return handle

    def get(self, handle: int) -> HandleEntry:
        """The entry. Raises INVALID_HANDLE."""
        entry = self._entries.get(handle)
        if entry is None:
            raise StatusError(NtStatus.INVALID_HANDLE, hex(handle))
        return entry

    def remove(self, handle: int) -> HandleEntry:
        """Free the handle and return what it stood for. Raises INVALID_HANDLE, HANDLE_NOT_CLOSABLE."""
        entry = self.get(handle)
        if entry.protected:
            raise StatusError(NtStatus.HANDLE_NOT_CLOSABLE, hex(handle))
        del self._entries[handle]
        heappush(self._free, handle)
        return entry

    def set_flags(self, handle: int, *, inherit: bool | None = None, protected: bool | None = None) -> None:
        """Change the flags of a handle. Raises INVALID_HANDLE."""
        entry = self.get(handle)
        self._entries[handle] = entry._replace(
            inherit=entry.inherit if inherit is None else inherit,
            protected=entry.protected if protected is None else protected,
        )

    def inheritable(self) -> list[tuple[int, HandleEntry]]:
        """(handle, entry) of those a child gets, ascending."""
        return [(handle, entry) for handle, entry in self if entry.inherit]

    def adopt(self, handle: int, entry: HandleEntry) -> None:
        """Place an inherited entry at the parent's number in a new table (ascending calls). Raises INVALID_PARAMETER."""
        if handle < self._next or handle % 4:
            raise StatusError(NtStatus.INVALID_PARAMETER, hex(handle))
        self._free.extend(range(self._next, handle, 4))  # ascending, so the list stays a heap
        self._next = handle + 4
        self._entries[handle] = entry

    def clear(self) -> list[HandleEntry]:
        """Drop everything (the process ended), protected handles too; the entries, for their references to be given back."""
        entries = list(self._entries.values())
        self._entries.clear()
        self._free.clear()
        self._next = 4
        return entries
