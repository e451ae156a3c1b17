from __future__ import annotations

import struct

import pytest

from pylibos.abi.errno import Errno
from pylibos.abi.process import CLONE_THREAD, PRIO_PGRP, PRIO_PROCESS, PRIO_USER, RLIM_INFINITY
from pylibos.emulation.outcome import FORWARD
from pylibos.emulation.security.credentials import Credentials
from pylibos.monitor.fake_guests import FakeGuest
from tests.guest_world import BASE, World, call

NOFILE = 7


def limits(world: World) -> tuple[int, ...]:
    return struct.unpack("<QQ", world.root.memory.read(BASE + 64, 16))


def test_limits_are_the_hosts_and_only_shrink() -> None:
    world = World()
    root = world.root
    assert call(root, "getrlimit", NOFILE, BASE + 64) == 0
    assert limits(world) == (RLIM_INFINITY, RLIM_INFINITY)
    root.memory.write(BASE, struct.pack("<QQ", 100, 200))
    assert call(root, "setrlimit", NOFILE, BASE) == 0
    assert world.host.guests[1001].limits[NOFILE] == (100, 200)
    root.memory.write(BASE, struct.pack("<QQ", 100, 201))
    assert call(root, "setrlimit", NOFILE, BASE) == -Errno.EPERM
    root.memory.write(BASE, struct.pack("<QQ", RLIM_INFINITY, RLIM_INFINITY))
    assert call(root, "prlimit64", 0, NOFILE, BASE, 0) == -Errno.EPERM
    root.memory.write(BASE, struct.pack("<QQ", 201, 200))
    assert call(root, "setrlimit", NOFILE, BASE) == -Errno.EINVAL
    assert call(root, "prlimit64", 1, NOFILE, 0, BASE + 64) == 0
    assert limits(world) == (100, 200)


def test_limits_of_others() -> None:
    world = World()
    child = world.fork(world.root)
    root = world.root
    root.memory.write(BASE, struct.pack("<QQ", 10, 20))
    assert call(root, "prlimit64", child.tid, NOFILE, BASE, BASE + 64) == 0
    assert limits(world) == (RLIM_INFINITY, RLIM_INFINITY)
    assert world.host.guests[child.host_tid].limits[NOFILE] == (10, 20)
    child.process.credentials = Credentials(9, 9)
    assert call(child, "prlimit64", 1, NOFILE, 0, BASE) == -Errno.EPERM
    assert call(root, "prlimit64", 4242, NOFILE, 0, BASE) == -Errno.ESRCH
    assert call(root, "prlimit64", 0, 16, 0, BASE) == -Errno.EINVAL
    assert call(root, "getrlimit", 16, BASE) == -Errno.EINVAL
    world.end(child)
    assert call(root, "prlimit64", child.tid, NOFILE, 0, BASE) == -Errno.ESRCH


def test_priorities() -> None:
    world = World()
    child = world.fork(world.root)
    root = world.root
    assert call(root, "setpriority", PRIO_PROCESS, 0, 5) == 0
    assert call(root, "getpriority", PRIO_PROCESS, 0) == 15
    assert call(root, "getpriority", PRIO_PROCESS, child.tid) == 20
    assert call(root, "getpriority", PRIO_PGRP, 0) == 20
    assert call(root, "setpriority", PRIO_USER, 0, 40) == 0
    assert [world.host.guests[pid].nice for pid in (1001, child.host_tid)] == [19, 19]
    assert call(root, "setpriority", PRIO_PROCESS, 0, 3) == -Errno.EACCES
    assert call(root, "getpriority", 9, 0) == -Errno.EINVAL
    assert call(root, "getpriority", PRIO_PROCESS, 1001) == -Errno.ESRCH
    assert call(root, "getpriority", PRIO_PGRP, 99) == -Errno.ESRCH
    assert call(root, "getpriority", PRIO_USER, 77) == -Errno.ESRCH
    child.process.credentials = Credentials(9, 9)
    assert call(child, "setpriority", PRIO_PROCESS, 1, 19) == -Errno.EPERM


def test_priority_of_a_user_stays_inside() -> None:
    world = World()
    world.host.guests[4242] = FakeGuest()
    assert call(world.root, "setpriority", PRIO_USER, 0, 7) == 0
    assert world.host.guests[4242].nice == 0


def test_affinity() -> None:
    world = World()
    child = world.fork(world.root)
    root = world.root
    size = call(root, "sched_getaffinity", 0, 128, BASE)
    assert size % 8 == 0
    assert root.memory.read(BASE, size)[0] == 1
    assert call(root, "sched_getaffinity", child.tid, 8, BASE) == 8
    assert call(root, "sched_getaffinity", 0, 7, BASE) == -Errno.EINVAL
    assert call(root, "sched_getaffinity", 0, 0, BASE) == -Errno.EINVAL
    assert call(root, "sched_getaffinity", 1001, 128, BASE) == -Errno.ESRCH
    assert call(root, "sched_setaffinity", 0, 8, BASE) == 0
    root.memory.write(BASE, bytes(8))
    assert call(root, "sched_setaffinity", 0, 8, BASE) == -Errno.EINVAL
    assert call(root, "sched_setaffinity", 1001, 8, BASE) == -Errno.ESRCH


@pytest.mark.parametrize("name", ["sched_setparam", "sched_getscheduler", "sched_setattr", "sched_rr_get_interval", "sched_getattr"])
def test_scheduling_is_confined(name: str) -> None:
    world = World()
    child = world.fork(world.root)
    thread = world.fork(child, CLONE_THREAD)
    assert call(world.root, name, 0, 0, 0) is FORWARD
    assert call(world.root, name, thread.tid, 0, 0) is FORWARD
    assert call(world.root, name, 1001, 0, 0) == -Errno.ESRCH
    assert call(world.root, name, -1, 0, 0) == -Errno.EINVAL


def test_io_priority() -> None:
    world = World()
    assert call(world.root, "ioprio_get", 1, 0) is FORWARD
    assert call(world.root, "ioprio_get", 1, 1001) == -Errno.ESRCH
    assert call(world.root, "ioprio_set", 3, 0, 0) == -Errno.EPERM
    assert call(world.root, "ioprio_set", 0, 0, 0) == -Errno.EINVAL
