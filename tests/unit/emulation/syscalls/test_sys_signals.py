from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from pylibos.abi.errno import Errno
from pylibos.abi.process import CLONE_THREAD
from pylibos.emulation.fs.inode import Inode
from pylibos.emulation.fs.proc_process import ProcessDirectory, Subject
from pylibos.emulation.io_manager.manager import IoManager
from pylibos.emulation.outcome import FORWARD
from pylibos.emulation.process.thread import Thread
from pylibos.emulation.security.credentials import Credentials
from pylibos.monitor.host_abi import Create
from tests.guest_world import World, call

SIGTERM = 15
SIGCONT = 18


def test_kill_of_a_guest_is_forwarded() -> None:
    world = World()
    child = world.fork(world.root)
    assert call(world.root, "kill", child.tid, SIGTERM) is FORWARD
    assert call(child, "kill", 1, 0) is FORWARD
    assert world.host.signals == []


@pytest.mark.parametrize("pid", [1001, 4242, 2**31 - 1, -4242, -(2**31)])
def test_kill_reaches_nobody_outside(pid: int) -> None:
    world = World()
    world.host.guests[4242] = world.host.guests[1001]
    assert call(world.root, "kill", pid, SIGTERM) == -Errno.ESRCH
    assert world.host.signals == []


def test_process_descriptors_are_of_guests_only() -> None:
    world = World(private_pids=True)
    child = world.fork(world.root)
    assert call(world.root, "pidfd_open", child.tid, 0) is FORWARD
    assert call(world.root, "pidfd_open", child.tid, 0o4000) is FORWARD
    assert call(world.root, "pidfd_open", 4242, 0) == -Errno.ESRCH
    assert call(world.root, "pidfd_open", 0, 0) == -Errno.EINVAL
    assert call(world.root, "pidfd_open", child.tid, 1) == -Errno.EINVAL


def described_by(inode: Inode | None) -> IoManager:
    """An I/O manager to whom every descriptor is `inode`."""
    return cast("IoManager", SimpleNamespace(inode_of=lambda _thread, _fd: inode))


def test_signals_by_directory_need_leave_for_one() -> None:
    world = World()
    first, second = world.fork(world.root), world.fork(world.root)
    directory = ProcessDirectory.__new__(ProcessDirectory)
    directory.subject = Subject(second.process, None)
    world.executive.io = described_by(directory)
    second.process.credentials = Credentials(1000, 1000)
    assert call(second, "pidfd_send_signal", 5, SIGTERM, 0, 0) == 0
    assert world.host.signals.pop() == (second.process.host_pid, 0, SIGTERM)
    directory.subject = Subject(first.process, None)
    assert call(second, "pidfd_send_signal", 5, SIGTERM, 0, 0) == -Errno.EPERM
    assert call(second, "pidfd_send_signal", 5, 65, 0, 0) == -Errno.EINVAL
    assert call(first, "pidfd_send_signal", 5, SIGTERM, 0x1000, 0) == -Errno.ENOSYS
    assert call(first, "pidfd_send_signal", 5, 0, 0, 0) == 0
    assert world.host.signals == []


def test_kill_with_a_bad_signal() -> None:
    world = World()
    assert call(world.root, "kill", 1, 65) == -Errno.EINVAL
    assert call(world.root, "kill", 1, -1) == -Errno.EINVAL
    assert call(world.root, "kill", 77, 65) == -Errno.ESRCH
    assert call(world.root, "kill", 0, 65) == -Errno.EINVAL


def test_kill_looks_at_credentials() -> None:
    world = World()
    child = world.fork(world.root)
    child.process.credentials = Credentials(1000, 1000)
    assert call(child, "kill", 1, SIGTERM) == -Errno.EPERM
    assert call(world.root, "kill", child.tid, SIGTERM) is FORWARD
    assert call(child, "kill", 1, SIGCONT) is FORWARD
    child.process.sid = child.tid
    assert call(child, "kill", 1, SIGCONT) == -Errno.EPERM


def family() -> tuple[World, Thread, Thread, Thread]:
    world = World()
    return world, world.root, world.fork(world.root), world.fork(world.root)


def test_kill_of_a_group_goes_through_the_host_one_by_one() -> None:
    world, _, first, second = family()
    second.process.pgid = second.tid
    assert call(first, "kill", 0, SIGTERM) == 0
    assert world.host.signals == [(1001, 0, SIGTERM), (first.host_tid, 0, SIGTERM)]
    assert call(first, "kill", -second.tid, SIGTERM) == 0
    assert world.host.signals[2:] == [(second.host_tid, 0, SIGTERM)]


def test_kill_of_a_group_is_forwarded_where_numbers_are_private() -> None:
    world, root, first, _ = family()
    world.executive.private_pids = True
    assert call(first, "kill", 0, SIGTERM) is FORWARD
    assert call(first, "kill", -1, SIGTERM) is FORWARD
    # one member may not be signalled: then only the others are
    first.process.credentials = Credentials(1000, 1000)
    assert call(first, "kill", 0, SIGTERM) == 0
    assert world.host.signals == [(first.host_tid, 0, SIGTERM)]
    assert root.process.exit_status is None


def test_kill_everyone_spares_the_sender_and_the_first() -> None:
    world, _, first, second = family()
    assert call(first, "kill", -1, SIGTERM) == 0
    assert world.host.signals == [(second.host_tid, 0, SIGTERM)]
    second.process.credentials = Credentials(5, 5)
    first.process.credentials = Credentials(6, 6)
    assert call(first, "kill", -1, SIGTERM) == 0  # as Linux: nobody permitted, but somebody there
    assert len(world.host.signals) == 1


def test_kill_everyone_when_nobody_is_left() -> None:
    world = World()
    assert call(world.root, "kill", -1, SIGTERM) == -Errno.ESRCH


def test_group_nobody_may_signal() -> None:
    _, _, first, second = family()
    first.process.credentials = Credentials(6, 6)
    second.process.pgid = second.tid
    assert call(first, "kill", -second.tid, SIGTERM) == -Errno.EPERM


def test_zombies() -> None:
    world, root, first, _ = family()
    world.end(first)
    assert call(root, "kill", first.tid, SIGTERM) == 0
    assert world.host.signals == []
    world.reap(first.host_tid)
    assert call(root, "kill", first.tid, SIGTERM) == -Errno.ESRCH


def test_thread_signals() -> None:
    world, root, first, _ = family()
    thread = world.fork(first, CLONE_THREAD)
    assert call(root, "tgkill", first.tid, thread.tid, SIGTERM) is FORWARD
    assert call(root, "tkill", thread.tid, SIGTERM) is FORWARD
    assert call(root, "tgkill", 1, thread.tid, SIGTERM) == -Errno.ESRCH
    assert call(root, "tgkill", 0, thread.tid, SIGTERM) == -Errno.EINVAL
    assert call(root, "tkill", -5, SIGTERM) == -Errno.EINVAL
    assert call(root, "tkill", 1001, SIGTERM) == -Errno.ESRCH
    assert call(root, "tgkill", first.tid, thread.tid, 99) == -Errno.EINVAL
    assert call(root, "rt_tgsigqueueinfo", first.tid, thread.tid, SIGTERM, 0) is FORWARD
    assert call(root, "rt_sigqueueinfo", first.tid, SIGTERM, 0) is FORWARD
    assert call(root, "rt_sigqueueinfo", 4242, SIGTERM, 0) == -Errno.ESRCH
    assert call(root, "rt_sigqueueinfo", -1, SIGTERM, 0) == -Errno.ESRCH


def test_timers_on_cpu_clocks_of_others() -> None:
    _, root, first, _ = family()
    assert call(root, "timer_create", 1, 0, 0) is FORWARD
    assert call(root, "timer_create", (~first.tid << 3) | 2, 0, 0) is FORWARD
    assert call(root, "timer_create", (~4242 << 3) | 2, 0, 0) == -Errno.EINVAL
    assert call(root, "clock_gettime", (~0 << 3) | 2, 0) is FORWARD
    assert call(root, "clock_gettime", (~1001 << 3) | 6, 0) == -Errno.EINVAL
    assert call(root, "clock_getres", (~3 << 3) | 3, 0) == -Errno.EINVAL


def test_the_process_above_the_first_is_there_and_deaf() -> None:
    world = World()
    table = world.executive.processes
    table.above = 99
    child = world.fork(world.root)
    assert call(child, "kill", 99, 0) == 0
    assert call(child, "kill", 99, SIGTERM) == 0
    assert call(child, "kill", 99, 65) == -Errno.EINVAL
    assert call(child, "kill", -99, 0) == -Errno.ESRCH
    assert (call(child, "getpgid", 99), call(child, "getsid", 99)) == (0, 0)
    assert call(child, "sched_getscheduler", 99) == 0
    assert call(child, "tgkill", 99, 99, SIGTERM) == -Errno.ESRCH
    child.process.credentials = Credentials(1000, 1000)
    assert call(child, "kill", 99, 0) == -Errno.EPERM
    assert world.host.signals == []


F_SETOWN = 8


def set_owner(world: World, thread: Thread, who: int) -> object:
    """fcntl(0, F_SETOWN, who) by a guest that has a pipe as descriptor 0."""
    if not world.host.descriptor_list(thread.host_tid):
        reader, _ = world.host.stream_open_pair(b"pipe:", Create(0))
        world.host.descriptor_install(thread.host_tid, reader, False)
    return call(thread, "fcntl", 0, F_SETOWN, who)


def test_the_owner_of_a_descriptor_is_a_guest_the_caller_may_signal() -> None:
    world = World()
    child = world.fork(world.root)
    world.host.guests[4242] = world.host.guests[1001]
    assert set_owner(world, world.root, 1) is FORWARD
    assert set_owner(world, world.root, 0) is FORWARD
    assert set_owner(world, world.root, child.tid) is FORWARD
    assert set_owner(world, world.root, 4242) == -Errno.ESRCH
    assert set_owner(world, world.root, -4242) == -Errno.ESRCH
    assert set_owner(world, world.root, -(2**31)) == -Errno.EINVAL
    child.process.credentials = Credentials(1000, 1000)
    assert set_owner(world, child, child.tid) is FORWARD
    assert set_owner(world, child, 1) == -Errno.EPERM
    assert call(child, "fcntl", 77, F_SETOWN, 1) == -Errno.EBADF


def test_a_group_owns_a_descriptor_only_where_numbers_are_private() -> None:
    world = World()
    assert set_owner(world, world.root, -1) == -Errno.EPERM
    world.executive.private_pids = True
    assert set_owner(world, world.root, -1) is FORWARD


def test_the_dead_own_nothing() -> None:
    world = World()
    child = world.fork(world.root)
    world.end(child)
    assert set_owner(world, world.root, child.tid) == -Errno.ESRCH
    world.executive.private_pids = True
    assert set_owner(world, world.root, child.tid) is FORWARD  # Linux takes a zombie
