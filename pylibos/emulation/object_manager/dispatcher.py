"""Dispatcher objects (NT Ke): what a blocking call can wait for.

Each object owns its signal state and the wait blocks queued on it. Setting an object signaled offers it to the queued waits in
arrival order (WaitBlock.offer, waits.py); a wait that takes it calls satisfy(), which consumes the signal where the type says so:

    Event NOTIFICATION       stays signaled until clear()         satisfy: nothing
    Event SYNCHRONIZATION    releases one wait, then clears       satisfy: clears
    Mutant                   signaled when free or owned by the asker (recursive)   satisfy: takes ownership
    Semaphore                signaled while count > 0             satisfy: count - 1
    Timer                    signaled at its due time             satisfy: as its event type
    ExitObject               signaled once, for ever              satisfy: nothing
    StreamReady              signaled when the host reports events of a stream      satisfy: nothing (ready() clears)

Must not know generators, threads of the host, or how the runtime sleeps. Nothing here calls back into guests: a satisfied wait is
only queued (waits.py), so setting an event inside a handler is safe. Owners (of mutants) are any objects with identity.

Source: WDK KeInitializeEvent, KeReleaseMutant, KeReleaseSemaphore, KeSetTimerEx, KeWaitForMultipleObjects.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Final

from pylibos.abi.ntstatus import NtStatus
from pylibos.emulation.object_manager.errors import StatusError

if TYPE_CHECKING:
    from pylibos.emulation.object_manager.timers import TimerEntry, TimerQueue
    from pylibos.emulation.object_manager.waits import WaitBlock
    from pylibos.monitor.host_abi import HostABI, HostStream

COUNT_MAX: Final = 0x7FFFFFFF
"""Bound of semaphore counts (a 32-bit LONG on NT)."""

PERIOD_MINIMUM_NS: Final = 100_000
"""Shortest period of a timer: a shorter one would keep the event loop busy with nothing else."""


class EventType(enum.Enum):
    """Whether a signal releases everyone and stays, or one wait and clears."""

    NOTIFICATION = 0
    SYNCHRONIZATION = 1


class DispatcherObject:
    """Anything with a signal state and waiters. Subclasses keep ``signaled`` true exactly while a wait could be satisfied."""

    __slots__ = ("signaled", "waiters")

    def __init__(self, signaled: bool = False) -> None:
        self.signaled = signaled
        self.waiters: dict[WaitBlock, None] = {}
        """Queued waits in arrival order (a dict for removal in O(1))."""

    def signaled_for(self, owner: object) -> bool:
        """Whether a wait by owner would be satisfied now."""
        return self.signaled

    def satisfy(self, owner: object) -> None:
        """Consume the signal on behalf of owner. Called only while signaled_for(owner)."""

    def watched(self) -> None:
        """The first wait was queued."""

    def unwatched(self) -> None:
        """The last queued wait has gone."""

    def offer(self) -> None:
        """Offer the signal to queued waits in order, as long as it lasts. Call after every change towards signaled."""
        if not self.waiters:
            return
        for block in tuple(self.waiters):
            if not self.signaled:
                return
            block.offer()


class Event(DispatcherObject):
    """An event: a flag set by someone for others to wait on."""

    __slots__ = ("event_type",)

    def __init__(self, event_type: EventType = EventType.NOTIFICATION, signaled: bool = False) -> None:
        super().__init__(signaled)
        self.event_type = event_type

    def set(self) -> bool:
        """Signal; the previous state."""
        previous = self.signaled
        self.signaled = True
        self.offer()
        return previous

    def clear(self) -> bool:
        """Reset; the previous state."""
        previous = self.signaled
        self.signaled = False
        return previous

    def pulse(self) -> bool:
        """Release the waits queued now (one of them, for a synchronization event) and reset; the previous state."""
        previous = self.set()
        self.signaled = False
        return previous

    def satisfy(self, owner: object) -> None:
        if self.event_type is EventType.SYNCHRONIZATION:
            self.signaled = False


class Mutant(DispatcherObject):
    """A recursive lock with an owner. A wait by the owner always succeeds; a mutant whose owner died is abandoned."""

    __slots__ = ("abandoned", "count", "owner")

    def __init__(self, owner: object = None) -> None:
        super().__init__(owner is None)
        self.owner = owner
        self.count = 0 if owner is None else 1
        self.abandoned = False

    def signaled_for(self, owner: object) -> bool:
        return self.signaled or (self.owner is owner and owner is not None)

    def satisfy(self, owner: object) -> None:
        """Take ownership, or one more level of it."""
        self.owner = owner
        self.count += 1
        self.signaled = False

    def release(self, owner: object) -> int:
        """Give one level back; the previous count. Raises StatusError(MUTANT_NOT_OWNED)."""
        if self.count == 0 or self.owner is not owner:
            raise StatusError(NtStatus.MUTANT_NOT_OWNED)
        previous = self.count
        self.count -= 1
        if self.count == 0:
            self._free()
        return previous

    def abandon(self, owner: object) -> bool:
        """The owner died: free it whatever its count; False when owner does not hold it."""
        if self.count == 0 or self.owner is not owner:
            return False
        self.count = 0
        self.abandoned = True
        self._free()
        return True

    def take_abandoned(self) -> bool:
        """Whether the previous owner died holding it; told once."""
        abandoned, self.abandoned = self.abandoned, False
        return abandoned

    def _free(self) -> None:
        self.owner = None
        self.signaled = True
        self.offer()


class Semaphore(DispatcherObject):
    """A counter; each satisfied wait takes one."""

    __slots__ = ("count", "limit")

    def __init__(self, count: int, limit: int = COUNT_MAX) -> None:
        if not 0 <= count <= limit or not 0 < limit <= COUNT_MAX:
            raise StatusError(NtStatus.INVALID_PARAMETER)
        super().__init__(count > 0)
        self.count = count
        self.limit = limit

    def release(self, amount: int = 1) -> int:
        """Add amount; the previous count. Raises StatusError(SEMAPHORE_LIMIT_EXCEEDED) and changes nothing."""
        if amount < 1 or self.count + amount > self.limit:
            raise StatusError(NtStatus.SEMAPHORE_LIMIT_EXCEEDED)
        previous = self.count
        self.count += amount
        self.signaled = True
        self.offer()
        return previous

    def satisfy(self, owner: object) -> None:
        self.count -= 1
        self.signaled = self.count > 0


class Timer(DispatcherObject):
    """An alarm at an absolute monotonic time, once or with a period."""

    __slots__ = ("_entry", "_queue", "due_ns", "event_type", "expirations", "period_ns")

    def __init__(self, queue: TimerQueue, event_type: EventType = EventType.NOTIFICATION) -> None:
        super().__init__()
        self._queue = queue
        self._entry: TimerEntry | None = None
        self.event_type = event_type
        self.due_ns = 0
        self.period_ns = 0
        self.expirations = 0
        """How often it has fired since set()."""

    @property
    def active(self) -> bool:
        """Whether it will fire (again)."""
        return self._entry is not None

    def set(self, due_ns: int, period_ns: int = 0) -> bool:
        """Arm for due_ns and clear the signal; period_ns > 0 repeats. True when it was armed before."""
        was_active = self.cancel()
        self.signaled = False
        self.due_ns, self.expirations = due_ns, 0
        self.period_ns = max(period_ns, PERIOD_MINIMUM_NS) if period_ns > 0 else 0
        self._entry = self._queue.add(due_ns, self._fire)
        return was_active

    def cancel(self) -> bool:
        """Disarm, leaving the signal as it is; True when it was armed."""
        if self._entry is None:
            return False
        self._queue.cancel(self._entry)
        self._entry = None
        return True

    def satisfy(self, owner: object) -> None:
        if self.event_type is EventType.SYNCHRONIZATION:
            self.signaled = False

    def _fire(self) -> None:
        self.expirations += 1
        if self.period_ns > 0:
            self.due_ns += self.period_ns
            self._entry = self._queue.add(self.due_ns, self._fire)
        else:
            self._entry = None
        self.signaled = True
        self.offer()


class ExitObject(DispatcherObject):
    """Something that ends once: a process or a thread. ``status`` is its Linux wait status, None while it lives."""

    __slots__ = ("identifier", "status")

    def __init__(self, identifier: int) -> None:
        super().__init__()
        self.identifier = identifier
        self.status: int | None = None

    def exited(self, status: int) -> None:
        """It ended; later calls change nothing (exit races with being killed)."""
        if self.status is not None:
            return
        self.status = status
        self.signaled = True
        self.offer()


class ProcessExit(ExitObject):
    """Signaled when the process with guest pid ``identifier`` has ended."""

    __slots__ = ()


class ThreadExit(ExitObject):
    """Signaled when the thread with guest tid ``identifier`` has ended."""

    __slots__ = ()


class StreamReady(DispatcherObject):
    """Poll events of a host stream. Asks the host while somebody waits; the runtime calls ready() with what was reported."""

    __slots__ = ("events", "host", "reported", "stream")

    def __init__(self, host: HostABI, stream: HostStream, events: int) -> None:
        super().__init__()
        self.host = host
        self.stream = stream
        self.events = events
        """poll(2) bits waited for."""
        self.reported = 0
        """poll(2) bits of the last report."""

    def watched(self) -> None:
        self.host.wait_register(self.stream, self.events)

    def unwatched(self) -> None:
        self.signaled = False
        self.host.wait_register(self.stream, 0)

    def ready(self, events: int) -> None:
        """The host reported events: release every wait for them (the host reports once for all).

        The signal lasts only while an unfinished wait-all needs it; a later wait asks the host again.
        """
        self.reported = events
        self.signaled = True
        self.offer()
        self.signaled = bool(self.waiters)
