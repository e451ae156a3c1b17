"""The ordered queue of deadlines: everything in the library OS that happens at a time.

Owns pending entries, nothing else. It never reads a clock and never sleeps: the runtime asks next_deadline(), sleeps in its one
event loop, and calls expire(now). Times are nanoseconds of the monotonic clock. An entry fires at most once; a cancelled entry
never fires. Entries with equal deadlines fire in the order they were added.

Cancelled entries stay in the heap until they surface or outnumber the live ones, so add, cancel and expire are O(log n) amortised.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Final

_COMPACT_MINIMUM: Final = 64


class TimerEntry:
    """One pending deadline. ``callback`` is None once it fired or was cancelled."""

    __slots__ = ("callback", "deadline_ns")

    def __init__(self, deadline_ns: int, callback: Callable[[], None]) -> None:
        self.deadline_ns = deadline_ns
        self.callback: Callable[[], None] | None = callback

    @property
    def pending(self) -> bool:
        """Whether it may still fire."""
        return self.callback is not None


class TimerQueue:
    """Deadlines in order."""

    __slots__ = ("_heap", "_live", "_sequence")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, TimerEntry]] = []
        self._sequence = 0
        self._live = 0

    def __len__(self) -> int:
        return self._live

    def add(self, deadline_ns: int, callback: Callable[[], None]) -> TimerEntry:
        """Call callback once expire() is given a time >= deadline_ns."""
        entry = TimerEntry(deadline_ns, callback)
        self._sequence += 1
        self._live += 1
        heappush(self._heap, (deadline_ns, self._sequence, entry))
        return entry

    def cancel(self, entry: TimerEntry) -> bool:
        """Withdraw an entry; False when it has fired or was cancelled already."""
        if entry.callback is None:
            return False
        entry.callback = None
        self._live -= 1
        if len(self._heap) > _COMPACT_MINIMUM and self._live * 2 < len(self._heap):
            self._heap = [item for item in self._heap if item[2].callback is not None]
            heapify(self._heap)
        return True

    def next_deadline(self) -> int | None:
        """The earliest pending deadline in nanoseconds, None when nothing is pending."""
        while self._heap:
            if self._heap[0][2].callback is not None:
                return self._heap[0][0]
            heappop(self._heap)
        return None

    def expire(self, now_ns: int) -> int:
        """Fire every entry due at now_ns; how many fired. Entries added by callbacks wait for the next call."""
        due: list[TimerEntry] = []
        while self._heap and self._heap[0][0] <= now_ns:
            due.append(heappop(self._heap)[2])
        fired = 0
        for entry in due:
            callback = entry.callback
            if callback is None:  # cancelled, possibly by an earlier callback of this round
                continue
            entry.callback = None
            self._live -= 1
            fired += 1
            callback()
        return fired
