"""Waits against a model that tries, after every step, every wait in arrival order: no lost wake-up, wait-all atomic, counts conserved."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pylibos.emulation.object_manager.dispatcher import DispatcherObject, Event, EventType, Mutant, Semaphore
from pylibos.emulation.object_manager.waits import PendingWait, WaitQueue

OBJECTS = 5
OWNERS = ("a", "b", "c")


class Waits(RuleBasedStateMachine):
    """Objects 0 notification event, 1 synchronization event, 2-3 semaphores, 4 mutant."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.queue = WaitQueue(lambda: self.now)
        self.mutant = Mutant()
        self.sync = Event(EventType.SYNCHRONIZATION)
        self.semaphores = (Semaphore(0), Semaphore(0))
        self.event = Event()
        self.objects: tuple[DispatcherObject, ...] = (self.event, self.sync, *self.semaphores, self.mutant)
        self.released = [0, 0]
        self.taken = [0, 0]
        self.waits: list[tuple[PendingWait, tuple[int, ...], bool, str, int | None]] = []
        self.resumed: list[PendingWait] = []
        self.cancelled: set[int] = set()

    @rule(
        indexes=st.lists(st.integers(0, OBJECTS - 1), unique=True, max_size=4),
        wait_all=st.booleans(),
        owner=st.sampled_from(OWNERS),
        timeout=st.one_of(st.none(), st.integers(0, 20)),
    )
    def begin(self, indexes: list[int], wait_all: bool, owner: str, timeout: int | None) -> None:
        pending = self.queue.begin(
            [self.objects[i] for i in indexes], self.resumed.append, wait_all=wait_all, timeout_ns=timeout, owner=owner
        )
        deadline = None if timeout is None else self.now + timeout
        if pending.done:
            self.count(pending, tuple(indexes), wait_all)
        self.waits.append((pending, tuple(indexes), wait_all and bool(indexes), owner, deadline))

    def count(self, pending: PendingWait, indexes: tuple[int, ...], wait_all: bool) -> None:
        if pending.result is None:
            return
        for index in indexes if wait_all and indexes else (indexes[pending.result],):
            if index in (2, 3):
                self.taken[index - 2] += 1

    @rule()
    def set_event(self) -> None:
        self.event.set()

    @rule()
    def clear_event(self) -> None:
        self.event.clear()

    @rule()
    def set_sync(self) -> None:
        self.sync.set()

    @rule(which=st.integers(0, 1), amount=st.integers(1, 3))
    def release(self, which: int, amount: int) -> None:
        self.released[which] += amount
        self.semaphores[which].release(amount)

    @rule()
    def release_mutant(self) -> None:
        if self.mutant.count:
            self.mutant.release(self.mutant.owner)

    @rule(delta=st.integers(1, 15))
    def pass_time(self, delta: int) -> None:
        self.now += delta
        self.queue.expire()

    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        parked = [w[0] for w in self.waits if not w[0].done]
        if parked:
            pending = data.draw(st.sampled_from(parked))
            assert pending.cancel()
            self.cancelled.add(id(pending))

    @rule()
    def deliver(self) -> None:
        before = len(self.resumed)
        self.queue.deliver()
        for pending in self.resumed[before:]:
            for other, indexes, wait_all, _, _ in self.waits:
                if other is pending:
                    self.count(pending, indexes, wait_all)

    @invariant()
    def nothing_is_lost(self) -> None:
        for pending, indexes, wait_all, owner, deadline in self.waits:
            if pending.done:
                assert not pending.blocks
                continue
            ready = [self.objects[i].signaled_for(owner) for i in indexes]
            assert not (all(ready) and ready if wait_all else any(ready)), "a wait sleeps although it could be satisfied"
            assert deadline is None or deadline > self.now
        assert len(set(map(id, self.resumed))) == len(self.resumed)
        assert not self.cancelled & set(map(id, self.resumed))

    @invariant()
    def counts_are_conserved(self) -> None:
        undelivered = [0, 0]
        for pending in self.queue.ready:
            for other, indexes, wait_all, _, _ in self.waits:
                if other is pending and pending.result is not None:
                    for index in indexes if wait_all else (indexes[pending.result],):
                        if index in (2, 3):
                            undelivered[index - 2] += 1
        for which in (0, 1):
            assert self.semaphores[which].count == self.released[which] - self.taken[which] - undelivered[which]

    @invariant()
    def queues_hold_only_parked_waits(self) -> None:
        for target in self.objects:
            assert all(not block.pending.done for block in target.waiters)
        deadlines = [w[4] for w in self.waits if not w[0].done and w[4] is not None]
        assert self.queue.timers.next_deadline() == (min(deadlines) if deadlines else None)


TestWaits = Waits.TestCase
TestWaits.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
