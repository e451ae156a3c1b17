"""Signal states and wait satisfaction of each dispatcher object type, and the wait engine's edges."""

from __future__ import annotations

import pytest

from pylibos.abi.ntstatus import NtStatus
from pylibos.emulation.object_manager.dispatcher import (
    DispatcherObject,
    Event,
    EventType,
    Mutant,
    ProcessExit,
    Semaphore,
    StreamReady,
    Timer,
)
from pylibos.emulation.object_manager.errors import StatusError
from pylibos.emulation.object_manager.waits import PendingWait, WaitQueue
from pylibos.emulation.outcome import Wait


class Bench:
    """A wait queue with a hand-driven clock and a log of resumed waits."""

    def __init__(self) -> None:
        self.now = 1000
        self.waits = WaitQueue(lambda: self.now)
        self.log: list[PendingWait] = []

    def begin(self, *objects: DispatcherObject, wait_all: bool = False, timeout_ns: int | None = None, owner: object = None) -> PendingWait:
        return self.waits.begin(objects, self.log.append, wait_all=wait_all, timeout_ns=timeout_ns, owner=owner)

    def advance(self, delta_ns: int) -> None:
        self.now += delta_ns
        self.waits.expire()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_notification_event_releases_all_and_stays(bench: Bench) -> None:
    event = Event()
    first, second = bench.begin(event), bench.begin(event)
    event.set()
    assert first.done
    assert second.done
    assert event.signaled
    assert bench.waits.deliver() == 2
    assert bench.log == [first, second]
    assert bench.begin(event).done


def test_synchronization_event_releases_one_in_order(bench: Bench) -> None:
    event = Event(EventType.SYNCHRONIZATION)
    first, second = bench.begin(event), bench.begin(event)
    event.set()
    assert (first.done, second.done, event.signaled) == (True, False, False)
    event.set()
    assert second.done
    event.set()
    assert event.signaled


def test_pulse_leaves_nothing_behind(bench: Bench) -> None:
    event = Event()
    first = bench.begin(event)
    event.pulse()
    assert first.done
    assert not bench.begin(event).done


def test_wait_any_answers_the_index_and_takes_only_one(bench: Bench) -> None:
    one, two = Semaphore(0), Semaphore(0)
    wait = bench.begin(one, two)
    two.release()
    one.release()
    assert wait.result == 1
    assert (one.count, two.count) == (1, 0)


def test_wait_all_takes_everything_or_nothing(bench: Bench) -> None:
    lock, slots = Mutant(), Semaphore(0)
    wait = bench.begin(lock, slots, wait_all=True, owner="a")
    assert not wait.done
    assert lock.signaled, "a mutant may not be taken before all are there"
    slots.release()
    assert (wait.result, lock.owner, slots.count) == (0, "a", 0)


def test_wait_all_refuses_a_repeated_object(bench: Bench) -> None:
    event = Event(EventType.SYNCHRONIZATION)
    with pytest.raises(ValueError, match="twice"):
        bench.begin(event, event, wait_all=True)


def test_mutant_is_recursive_and_owned(bench: Bench) -> None:
    lock = Mutant()
    assert bench.begin(lock, owner="a").done
    assert bench.begin(lock, owner="a").done
    other = bench.begin(lock, owner="b")
    with pytest.raises(StatusError) as caught:
        lock.release("b")
    assert caught.value.status is NtStatus.MUTANT_NOT_OWNED
    lock.release("a")
    owners = [lock.owner]
    lock.release("a")
    owners.append(lock.owner)
    assert owners == ["a", "b"]
    assert other.done


def test_abandoned_mutant_is_told_once(bench: Bench) -> None:
    lock = Mutant("dead")
    wait = bench.begin(lock, owner="heir")
    assert lock.abandon("dead")
    assert wait.abandoned
    lock.release("heir")
    assert not bench.begin(lock, owner="next").abandoned


def test_semaphore_limit(bench: Bench) -> None:
    slots = Semaphore(1, 2)
    assert slots.release() == 1
    with pytest.raises(StatusError):
        slots.release()
    assert [bench.begin(slots).done for _ in range(3)] == [True, True, False]


def test_time_out_and_its_deadline(bench: Bench) -> None:
    wait = bench.begin(Event(), timeout_ns=50)
    assert bench.waits.timers.next_deadline() == 1050
    bench.advance(49)
    states = [wait.done]
    bench.advance(1)
    states.append(wait.done)
    assert states == [False, True]
    assert wait.result is None
    assert bench.waits.timers.next_deadline() is None


def test_satisfied_wait_withdraws_its_deadline(bench: Bench) -> None:
    event = Event()
    wait = bench.begin(event, timeout_ns=50)
    event.set()
    assert bench.waits.timers.next_deadline() is None
    bench.advance(100)
    assert wait.result == 0
    assert bench.waits.deliver() == 1


def test_poll_does_not_queue(bench: Bench) -> None:
    event = Event()
    assert bench.begin(event, timeout_ns=0).done
    assert not event.waiters


def test_sleep_without_objects(bench: Bench) -> None:
    wait = bench.waits.park(Wait(timeout_ns=5), bench.log.append, None)
    bench.advance(5)
    bench.waits.deliver()
    assert bench.log == [wait]


def test_a_finished_wait_cannot_be_withdrawn(bench: Bench) -> None:
    event = Event(EventType.SYNCHRONIZATION)
    wait = bench.begin(event)
    event.set()
    assert not wait.cancel()
    assert bench.waits.deliver() == 1
    other = bench.begin(event)
    assert other.cancel()
    event.set()
    assert event.signaled
    assert bench.waits.deliver() == 0


def test_setting_inside_a_continuation_is_delivered_in_the_same_round(bench: Bench) -> None:
    first, second = Event(), Event()

    def resume(_: PendingWait) -> None:
        second.set()

    bench.waits.begin([first], resume)
    last = bench.begin(second)
    first.set()
    assert bench.waits.deliver() == 2
    assert bench.log == [last]


def test_periodic_timer(bench: Bench) -> None:
    timer = Timer(bench.waits.timers, EventType.SYNCHRONIZATION)
    timer.set(2000, period_ns=1_000_000)
    wait = bench.begin(timer)
    bench.advance(1000)
    assert wait.done
    assert not timer.signaled
    assert bench.waits.timers.next_deadline() == 1_002_000
    assert timer.cancel()
    assert bench.waits.timers.next_deadline() is None


def test_process_exit_is_for_ever(bench: Bench) -> None:
    process = ProcessExit(12)
    wait = bench.begin(process)
    process.exited(256)
    process.exited(9)
    assert wait.done
    assert process.status == 256
    assert bench.begin(process).done


class HostLog:
    """The one host call StreamReady makes."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []

    def wait_register(self, stream: int, events: int) -> None:
        self.calls.append((stream, events))


def test_stream_ready_registers_while_watched_and_releases_all(bench: Bench) -> None:
    host = HostLog()
    stream = StreamReady(host, 7, 1)  # type: ignore[arg-type]
    waits = [bench.begin(stream), bench.begin(stream)]
    assert host.calls == [(7, 1)]
    stream.ready(1)
    assert all(wait.done for wait in waits)
    assert host.calls == [(7, 1), (7, 0)]
    assert not bench.begin(stream).done, "a new wait asks the host again"
    event = Event()
    both = bench.begin(stream, event, wait_all=True)
    stream.ready(1)
    event.set()
    assert both.done


def test_cancelled_timers_do_not_pile_up(bench: Bench) -> None:
    event = Event()
    for _ in range(1000):
        bench.begin(event, timeout_ns=10**9).cancel()
    assert len(bench.waits.timers._heap) < 200
