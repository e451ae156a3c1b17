"""The wait engine (NT KeWaitForMultipleObjects) as a pure data structure: no threads, no asyncio, no clock of its own.

The runtime parks a generator by begin(); when the wait is satisfied, timed out or withdrawn it is queued, and deliver() calls
the parked continuation. Satisfying is therefore never re-entrant: an event set inside one handler cannot run another inside it.

    pending = waits.begin(objects, resume, wait_all=False, timeout_ns=None, owner=thread)
    if pending.done: ...            answered at once; resume will not be called, pending.result is the answer
    waits.deliver()                 after every handler and every host event: calls resume(pending) of finished waits
    waits.timers.next_deadline()    how long the event loop may sleep; then waits.expire(now)

Invariants (tested against a model): a signal is consumed exactly when a wait is marked done; a wait-all takes all its objects in
one step or none; a wait is done at most once and its continuation is called at most once; a done wait cannot be withdrawn (so no
wake-up is lost to an interruption); no wait block outlives its wait.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from pylibos.emulation.object_manager.dispatcher import DispatcherObject, Mutant
from pylibos.emulation.object_manager.timers import TimerEntry, TimerQueue

if TYPE_CHECKING:
    from pylibos.emulation.outcome import Wait

Clock = Callable[[], int]
"""The monotonic clock in nanoseconds."""

TIMED_OUT: Final = None
"""Result of a wait whose time passed: what Wait sends back into a generator."""


class WaitBlock:
    """The link between one wait and one of its objects."""

    __slots__ = ("index", "object", "pending")

    def __init__(self, pending: PendingWait, index: int, target: DispatcherObject) -> None:
        self.pending = pending
        self.index = index
        self.object = target

    def offer(self) -> None:
        """The object became signaled: finish the wait if that is enough."""
        self.pending.attempt(self)


class PendingWait:
    """One wait in progress or finished."""

    __slots__ = ("_deadline", "_queue", "abandoned", "blocks", "done", "owner", "result", "resume", "wait_all")

    def __init__(self, queue: WaitQueue, resume: Callable[[PendingWait], None], owner: object, wait_all: bool) -> None:
        self._queue = queue
        self._deadline: TimerEntry | None = None
        self.resume = resume
        self.owner = owner
        self.wait_all = wait_all
        self.blocks: tuple[WaitBlock, ...] = ()
        self.done = False
        self.result: int | None = None
        """Index of the object that satisfied it (0 for wait-all), None for a time-out."""
        self.abandoned = False
        """A mutant it took had been abandoned by a dead owner."""

    def attempt(self, block: WaitBlock) -> None:
        """Finish if block's object (for wait-all: every object) is signaled for the owner."""
        if self.done:
            return
        owner = self.owner
        if self.wait_all:
            for each in self.blocks:
                if not each.object.signaled_for(owner):
                    return
            for each in self.blocks:
                self._take(each.object)
            self._finish(0)
        elif block.object.signaled_for(owner):
            self._take(block.object)
            self._finish(block.index)

    def cancel(self) -> bool:
        """Withdraw (a signal interrupts the call, or the thread died). False when it is done: then its result stands."""
        if self.done:
            return False
        self.done = True
        self._unlink()
        return True

    def _take(self, target: DispatcherObject) -> None:
        target.satisfy(self.owner)
        if isinstance(target, Mutant) and target.take_abandoned():
            self.abandoned = True

    def _finish(self, result: int | None) -> None:
        self.done = True
        self.result = result
        self._unlink()
        self._queue.ready.append(self)

    def _time_out(self) -> None:
        self._deadline = None
        if not self.done:
            self._finish(TIMED_OUT)

    def _unlink(self) -> None:
        if self._deadline is not None:
            self._queue.timers.cancel(self._deadline)
            self._deadline = None
        for block in self.blocks:
            waiters = block.object.waiters
            if waiters.pop(block, block) is None and not waiters:
                block.object.unwatched()
        self.blocks = ()

    def _link(self, objects: Sequence[DispatcherObject], deadline_ns: int | None) -> None:
        self.blocks = tuple(WaitBlock(self, index, target) for index, target in enumerate(objects))
        for block in self.blocks:
            waiters = block.object.waiters
            waiters[block] = None
            if len(waiters) == 1:
                block.object.watched()
        if deadline_ns is not None:
            self._deadline = self._queue.timers.add(deadline_ns, self._time_out)


class WaitQueue:
    """All waits of one executive, its deadlines and the waits that are ready to be resumed."""

    __slots__ = ("clock", "ready", "timers")

    def __init__(self, clock: Clock, timers: TimerQueue | None = None) -> None:
        self.clock = clock
        self.timers = TimerQueue() if timers is None else timers
        self.ready: deque[PendingWait] = deque()

    def begin(
        self,
        objects: Sequence[DispatcherObject],
        resume: Callable[[PendingWait], None],
        *,
        wait_all: bool = False,
        timeout_ns: int | None = None,
        owner: object = None,
    ) -> PendingWait:
        """Start a wait. timeout_ns is relative; <= 0 polls; None is without limit. No objects: only the time (or cancel) ends it.

        Raises ValueError when a wait-all names an object twice (it could never take both signals in one step).
        """
        if wait_all and len(set(map(id, objects))) != len(objects):
            raise ValueError("wait-all names an object twice")
        pending = PendingWait(self, resume, owner, wait_all and len(objects) > 0)
        if self._satisfied_at_once(pending, objects):
            return pending
        if timeout_ns is not None and timeout_ns <= 0:
            pending.done = True
            return pending
        pending._link(objects, None if timeout_ns is None else self.clock() + timeout_ns)
        return pending

    def park(self, wait: Wait, resume: Callable[[PendingWait], None], owner: object) -> PendingWait:
        """begin() for the Wait a generator yielded."""
        return self.begin(wait.objects, resume, wait_all=wait.wait_all, timeout_ns=wait.timeout_ns, owner=owner)

    def deliver(self) -> int:
        """Resume every finished wait, also those finished by the resumed ones; how many were resumed."""
        count = 0
        while self.ready:
            pending = self.ready.popleft()
            pending.resume(pending)
            count += 1
        return count

    def expire(self, now_ns: int | None = None) -> int:
        """Fire deadlines and timers due now; how many. Finished waits are then in ready."""
        return self.timers.expire(self.clock() if now_ns is None else now_ns)

    @staticmethod
    def _satisfied_at_once(pending: PendingWait, objects: Sequence[DispatcherObject]) -> bool:
        owner = pending.owner
        if pending.wait_all:
            if not all(target.signaled_for(owner) for target in objects):
                return False
            for target in objects:
                pending._take(target)
            pending.done, pending.result = True, 0
            return True
        for index, target in enumerate(objects):
            if target.signaled_for(owner):
                pending._take(target)
                pending.done, pending.result = True, index
                return True
        return False
