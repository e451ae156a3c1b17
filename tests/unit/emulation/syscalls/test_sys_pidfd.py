"""Calls through process descriptors: whom they mean, and when the host may be let do it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pylibos.abi.errno import Errno
from pylibos.emulation.outcome import FORWARD
from pylibos.emulation.process.thread import Thread
from pylibos.emulation.security.credentials import Credentials
from tests.guest_world import World, call

PIDFD, OTHER = 5, 6
SIGTERM = 15


def world_with_pidfd(target: int, **executive: Any) -> World:
    """Descriptor PIDFD of every guest means the host process target, OTHER is no pidfd."""
    world = World(**executive)
    names = {PIDFD: b"anon_inode:[pidfd]", OTHER: b"pipe:[7]"}
    io: Any = SimpleNamespace(inode_of=lambda _thread, _fd: None)
    world.executive.io = io
    vars(world.host)["descriptor_name"] = lambda _tid, number: names[number]
    vars(world.host)["descriptor_state"] = lambda _tid, _number: (0, target)
    return world


@pytest.fixture
def world() -> World:
    return world_with_pidfd(1002, private_pids=True)


@pytest.fixture
def child(world: World) -> Thread:
    return world.fork(world.root)


def test_signals_go_to_who_is_meant(world: World, child: Thread) -> None:
    assert call(world.root, "pidfd_send_signal", PIDFD, SIGTERM, 0, 0) is FORWARD
    assert call(world.root, "pidfd_send_signal", PIDFD, 65, 0, 0) == -Errno.EINVAL
    assert call(world.root, "pidfd_send_signal", PIDFD, SIGTERM, 0, 3) == -Errno.EINVAL
    assert call(world.root, "pidfd_send_signal", OTHER, SIGTERM, 0, 0) == -Errno.EBADF
    assert world.host.signals == []


def test_a_number_that_could_change_its_meaning_is_not_let_through(world: World, child: Thread) -> None:
    """Not everybody may be signalled: the supervisor sends it itself, to whom it has looked up."""
    world.fork(world.root)
    world.root.process.credentials = child.process.credentials = Credentials(1000, 1000)
    assert call(world.root, "pidfd_send_signal", PIDFD, SIGTERM, 0, 0) == 0
    assert world.host.signals == [(1002, 0, SIGTERM)]
    assert call(world.root, "pidfd_send_signal", PIDFD, SIGTERM, 0x10000, 0) == -Errno.EPERM
    assert call(world.root, "pidfd_getfd", PIDFD, 1, 0) == -Errno.EPERM
    child.process.credentials = Credentials(0, 0)
    assert call(world.root, "pidfd_send_signal", PIDFD, SIGTERM, 0, 0) == -Errno.EPERM


@pytest.mark.parametrize("host_id", [-1, 4711])
def test_the_dead_and_the_host_are_nobody(host_id: int) -> None:
    world = world_with_pidfd(host_id, private_pids=True)
    for name in ("pidfd_send_signal", "pidfd_getfd", "process_madvise", "process_mrelease"):
        assert call(world.root, name, PIDFD, 0, 0, 0) == -Errno.ESRCH, name


def test_without_a_name_space_nothing_is_let_through(child: Thread) -> None:
    world = world_with_pidfd(1002)
    world.fork(world.root)
    assert call(world.root, "pidfd_send_signal", PIDFD, SIGTERM, 0, 0) == 0
    assert world.host.signals == [(1002, 0, SIGTERM)]
    assert call(world.root, "pidfd_getfd", PIDFD, 1, 0) == -Errno.EPERM
    assert call(world.root, "process_madvise", PIDFD, 0, 0, 0, 0) == -Errno.ENOSYS
    assert call(world.root, "process_mrelease", PIDFD, 0) == -Errno.ENOSYS


def test_kcmp_is_between_guests(world: World, child: Thread) -> None:
    assert call(world.root, "kcmp", 1, child.tid, 1, 0, 0) is FORWARD
    assert call(world.root, "kcmp", 1, child.tid, 8, 0, 0) == -Errno.EINVAL
    assert call(world.root, "kcmp", 1, 4711, 1, 0, 0) == -Errno.ESRCH
    child.process.credentials = Credentials(1000, 1000)
    assert call(child, "kcmp", 1, child.tid, 1, 0, 0) == -Errno.EPERM
