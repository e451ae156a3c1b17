"""System V objects and POSIX queues in memory: identifiers, permission, bounds, and the end of processes."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pylibos.abi import ipc as c
from pylibos.abi.errno import Errno
from pylibos.emulation.dispatch import advance, cancel, interrupt
from pylibos.emulation.object_manager.errors import StatusError
from pylibos.emulation.object_manager.manager import ObjectManager
from pylibos.emulation.outcome import DATA, DESCRIPTOR, Install, Remote, Wait
from pylibos.emulation.process.thread import Thread
from tests.guest_world import BASE, World, call


@pytest.fixture
def world() -> World:
    world = World()
    world.executive.objects = ObjectManager()
    world.executive.io = cast("Any", SimpleNamespace(live_keys=set))
    return world


def child(world: World, uid: int = 0) -> Thread:
    thread = world.fork(world.root)
    if uid:
        thread.credentials.setuid(uid)
    return thread


def finished(thread: Thread, name: str, *arguments: int) -> Any:
    """The answer of a call whose handler may be a generator that does not wait."""
    outcome = call(thread, name, *arguments)
    return advance(thread, 0, outcome) if hasattr(outcome, "send") else outcome


def semop(thread: Thread, identifier: int, *operations: tuple[int, int, int]) -> Any:
    thread.memory.write(BASE, b"".join(c.SEMBUF.pack(*operation) for operation in operations))
    return call(thread, "semop", identifier, BASE, len(operations))


def send(thread: Thread, identifier: int, kind: int, text: bytes, flags: int = 0) -> Any:
    thread.memory.write(BASE, c.LONG.pack(kind) + text)
    return finished(thread, "msgsnd", identifier, BASE, len(text), flags)


def receive(thread: Thread, identifier: int, kind: int = 0, flags: int = c.IPC_NOWAIT) -> Any:
    size = finished(thread, "msgrcv", identifier, BASE, 0x1000, kind, flags)
    return size if not isinstance(size, int) or size < 0 else thread.memory.read(BASE + 8, size)


def test_identifiers_cycle_and_a_removed_one_is_nobodys(world: World) -> None:
    first = call(world.root, "semget", 0, 1, 0o600)
    assert first == 0
    assert call(world.root, "semctl", first, 0, c.IPC_RMID) == 0
    seen = {first}
    for _ in range(200):
        identifier = call(world.root, "semget", 0, 1, 0o600)
        assert identifier not in seen
        seen.add(identifier)
        assert call(world.root, "semctl", identifier, 0, c.IPC_RMID) == 0
        assert call(world.root, "semctl", identifier, 0, c.GETVAL) == -Errno.EINVAL


def test_objects_are_named_in_the_object_name_space(world: World) -> None:
    identifier = call(world.root, "msgget", 77, c.IPC_CREAT | 0o640)
    path = f"\\BaseNamedObjects\\MessageQueue\\{identifier}"
    assert world.executive.objects.lookup(path).body.key == 77
    assert call(world.root, "msgctl", identifier, c.IPC_RMID, 0) == 0
    with pytest.raises(StatusError):
        world.executive.objects.lookup(path)


@pytest.mark.parametrize("get", ["shmget", "semget", "msgget"])
def test_another_user_has_the_rights_of_the_mode(world: World, get: str) -> None:
    arguments = (5, c.IPC_CREAT | 0o600) if get == "msgget" else (5, 1, c.IPC_CREAT | 0o600)
    owner, other = child(world, 1000), child(world, 1001)
    identifier = call(owner, get, *arguments)
    assert identifier >= 0
    assert call(other, get, *arguments[:-1], 0o600) == -Errno.EACCES
    control = get[:3] + "ctl"
    command = (identifier, 0, c.IPC_STAT, BASE) if control == "semctl" else (identifier, c.IPC_STAT, BASE)
    assert call(owner, control, *command) == 0
    assert call(other, control, *command) == -Errno.EACCES
    assert call(world.root, control, *command) == 0, "the guest's root may read anything"
    removal = (identifier, 0, c.IPC_RMID) if control == "semctl" else (identifier, c.IPC_RMID, 0)
    assert call(other, control, *removal) == -Errno.EPERM
    assert call(owner, control, *removal) == 0


def test_the_waker_carries_the_operation_out(world: World) -> None:
    sleeper = child(world)
    identifier = call(world.root, "semget", 0, 2, 0o600)
    waiting = semop(sleeper, identifier, (0, -2, 0), (1, 1, 0))
    assert isinstance(advance(sleeper, 65, waiting), Wait)
    assert call(world.root, "semctl", identifier, 0, c.GETNCNT) == 1
    assert semop(world.root, identifier, (0, 1, 0)) == 0
    assert semop(world.root, identifier, (0, 1, 0)) == 0
    assert [call(world.root, "semctl", identifier, number, c.GETVAL) for number in (0, 1)] == [0, 1]
    assert call(world.root, "semctl", identifier, 0, c.GETPID) == sleeper.process.pid
    assert advance(sleeper, 65, waiting, 0) == 0


def test_an_interrupted_or_dead_waiter_takes_nothing(world: World) -> None:
    one, two = child(world), child(world)
    identifier = call(world.root, "semget", 0, 1, 0o600)
    first, second = semop(one, identifier, (0, -1, 0)), semop(two, identifier, (0, -1, 0))
    advance(one, 65, first), advance(two, 65, second)
    assert interrupt(one, 65, first) == -Errno.EINTR
    cancel(second)
    assert semop(world.root, identifier, (0, 1, 0)) == 0
    assert call(world.root, "semctl", identifier, 0, c.GETVAL) == 1


def test_what_a_process_took_comes_back_when_it_ends(world: World) -> None:
    holder, waiter = child(world), child(world)
    identifier = call(world.root, "semget", 0, 1, 0o600)
    call(world.root, "semctl", identifier, 0, c.SETVAL, 3)
    assert semop(holder, identifier, (0, -3, c.SEM_UNDO)) == 0
    waiting = semop(waiter, identifier, (0, -1, 0))
    advance(waiter, 65, waiting)
    world.end(holder)
    assert advance(waiter, 65, waiting, 0) == 0
    assert call(world.root, "semctl", identifier, 0, c.GETVAL) == 2


def test_semaphores_and_undo_entries_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from pylibos.emulation.ipc import semaphores

    monkeypatch.setattr(semaphores, "SEMMNS", 40)
    monkeypatch.setattr(semaphores, "UNDO_ENTRIES", 2)
    identifier = call(world.root, "semget", 0, 30, 0o600)
    assert call(world.root, "semget", 0, 11, 0o600) == -Errno.ENOSPC
    taker = child(world)
    assert semop(taker, identifier, (0, 1, c.SEM_UNDO), (1, 1, c.SEM_UNDO)) == 0
    assert semop(world.root, identifier, (2, 1, c.SEM_UNDO)) == -Errno.ENOMEM
    assert call(world.root, "semctl", identifier, 2, c.GETVAL) == 0, "nothing was done"
    world.end(taker)
    assert semop(world.root, identifier, (2, 1, c.SEM_UNDO)) == 0
    assert call(world.root, "semctl", identifier, 0, c.IPC_RMID) == 0
    assert call(world.root, "semget", 0, 40, 0o600) >= 0


def test_messages_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from pylibos.emulation.ipc import messages

    monkeypatch.setattr(messages, "TOTAL_BYTES", 2 * (messages.OVERHEAD_BYTES + 4))
    identifier = call(world.root, "msgget", 0, 0o600)
    assert [send(world.root, identifier, 1, b"1234") for _ in range(3)] == [0, 0, -Errno.ENOMEM]
    assert receive(world.root, identifier) == b"1234"
    assert send(world.root, identifier, 1, b"1234") == 0
    assert call(world.root, "msgctl", identifier, c.IPC_RMID, 0) == 0
    again = call(world.root, "msgget", 0, 0o600)
    assert send(world.root, again, 1, b"1234") == 0


def test_a_message_goes_to_the_first_receiver_that_takes_it(world: World) -> None:
    first, second = child(world), child(world)
    identifier = call(world.root, "msgget", 0, 0o600)
    small = call(first, "msgrcv", identifier, BASE, 2, 0, 0)
    large = call(second, "msgrcv", identifier, BASE, 100, 0, 0)
    assert isinstance(advance(first, 70, small), Wait)
    assert isinstance(advance(second, 70, large), Wait)
    assert send(world.root, identifier, 9, b"long") == 0
    assert advance(first, 70, small, 0) == -Errno.E2BIG
    assert advance(second, 70, large, 0) == 4
    assert second.memory.read(BASE, 12) == struct.pack("<q", 9) + b"long"
    assert receive(world.root, identifier) == -Errno.ENOMSG


def test_attaching_is_a_mapping_the_guest_makes(world: World) -> None:
    identifier = call(world.root, "shmget", 0, 5000, 0o600)
    outcome = call(world.root, "shmat", identifier, 0, 0)
    assert isinstance(outcome, Remote)
    assert [number for number, _arguments in outcome.calls] == [9, 3]
    assert outcome.calls[0][1][1] == 8192
    assert outcome.calls[0][1][4] == DESCRIPTOR
    assert outcome.finish([0x7000_0000, 0]) == 0x7000_0000
    assert outcome.finish([-int(Errno.EEXIST), 0]) == -Errno.EINVAL
    assert outcome.finish([]) == -Errno.ENOMEM
    assert call(world.root, "shmat", identifier, 0x1001, 0) == -Errno.EINVAL
    assert call(world.root, "shmdt", 0x7000_0000) == -Errno.EINVAL, "no map shows it"


def test_a_segment_is_backed_by_one_stream_that_goes_with_it(world: World) -> None:
    before = len(world.host._opens)
    identifiers = [call(world.root, "shmget", 0, 4096, 0o600) for _ in range(10)]
    for identifier in identifiers:
        assert call(world.root, "shmctl", identifier, c.IPC_RMID, 0) == 0
        assert call(world.root, "shmctl", identifier, c.IPC_STAT, BASE) == -Errno.EINVAL
    assert len(set(identifiers)) == len(identifiers)
    assert len(world.host._opens) == before


def test_a_queue_by_name(world: World) -> None:
    world.root.memory.write(BASE, b"name\0")
    assert call(world.root, "mq_open", BASE, 2, 0, 0) == -Errno.ENOENT
    outcome = call(world.root, "mq_open", BASE, 0o102, 0o600, 0)
    assert call(world.root, "mq_open", BASE, 0o3, 0, 0) == -Errno.EINVAL
    assert isinstance(outcome, Install)
    assert outcome.close_on_exec
    other = child(world, 1000)
    other.memory.write(BASE, b"name\0")
    assert call(other, "mq_open", BASE, 0, 0, 0) == -Errno.EACCES
    assert call(other, "mq_unlink", BASE) == -Errno.EPERM
    assert call(world.root, "mq_unlink", BASE) == 0
    assert call(world.root, "mq_unlink", BASE) == -Errno.ENOENT


def test_queues_are_bounded_even_for_root_without_limits(world: World) -> None:
    """65,536 messages of 16 MiB are what Linux lets a privileged process ask for."""
    world.host.process_limits = lambda *_arguments: (-1, -1)  # type: ignore[method-assign]
    world.root.memory.write(BASE, b"name\0")
    world.root.memory.write(BASE + 64, c.MQ_ATTR.pack(0, 65536, 16 << 20, 0, 0, 0, 0, 0))
    assert call(world.root, "mq_open", BASE, 0o102, 0o600, BASE + 64) == -Errno.EMFILE
    world.root.memory.write(BASE + 64, c.MQ_ATTR.pack(0, 4, 12 << 20, 0, 0, 0, 0, 0))
    assert isinstance(call(world.root, "mq_open", BASE, 0o102, 0o600, BASE + 64), Install)
    world.root.memory.write(BASE, b"next\0")
    assert call(world.root, "mq_open", BASE, 0o102, 0o600, BASE + 64) == -Errno.EMFILE


def test_remote_placeholders_are_no_addresses() -> None:
    assert min(DESCRIPTOR, DATA) >= 1 << 64


def test_a_queue_made_with_access_mode_three(world: World) -> None:
    """What a random call asks for: Linux makes the queue."""
    world.root.memory.write(BASE, b"odd\0")
    assert isinstance(call(world.root, "mq_open", BASE, 0o103, 0o600, 0), Install)
