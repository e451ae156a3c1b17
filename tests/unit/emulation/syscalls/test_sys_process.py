from __future__ import annotations

import struct

import pytest

from pylibos.abi.errno import Errno
from pylibos.abi.process import CLONE_FILES, CLONE_FS, CLONE_NEWUSER, CLONE_THREAD, CLONE_VM
from pylibos.emulation.outcome import FORWARD
from pylibos.emulation.security.credentials import Credentials
from tests.guest_world import BASE, World, call


# -- groups and sessions ----------------------------------------------------------------------------------------------------
def test_setpgid_of_a_child_before_it_executes() -> None:
    world = World()
    child = world.fork(world.root)
    assert call(world.root, "setpgid", child.tid, child.tid) is FORWARD
    assert child.process.pgid == child.tid
    other = world.fork(world.root)
    assert call(other, "setpgid", 0, child.tid) is FORWARD
    assert call(other, "getpgrp") == call(world.root, "getpgid", other.tid) == child.tid
    assert call(other, "setpgid", 0, 0) is FORWARD
    assert other.process.pgid == other.tid


@pytest.mark.parametrize(
    ("prepare", "arguments", "expected"),
    [
        pytest.param("", (0, -1), Errno.EINVAL, id="negative"),
        pytest.param("", (99, 0), Errno.ESRCH, id="nobody"),
        pytest.param("", (1, 1), Errno.ESRCH, id="not-a-child"),
        pytest.param("thread", (3, 0), Errno.EINVAL, id="a-thread"),
        pytest.param("child", (3, 0), None, id="a-child"),
        pytest.param("executed", (3, 0), Errno.EACCES, id="child-has-executed"),
        pytest.param("session", (3, 0), Errno.EPERM, id="child-in-another-session"),
        pytest.param("leader", (0, 0), Errno.EPERM, id="session-leader"),
        pytest.param("", (0, 99), Errno.EPERM, id="no-such-group"),
        pytest.param("elsewhere", (0, 3), Errno.EPERM, id="group-in-another-session"),
        pytest.param("", (0, 1), None, id="join"),
    ],
)
def test_setpgid_rules(prepare: str, arguments: tuple[int, int], expected: Errno | None) -> None:
    world = World()
    caller = world.fork(world.root)
    if prepare == "thread":
        world.fork(caller, CLONE_THREAD)
    elif prepare in ("child", "executed", "session"):
        child = world.fork(caller).process
        child.forked_without_exec = prepare != "executed"
        child.sid = 1 if prepare != "session" else child.pid
    elif prepare == "leader":
        world.table.start_session(caller.process)
    elif prepare == "elsewhere":
        world.table.start_session(world.fork(world.root).process)
    result = call(caller, "setpgid", *arguments)
    assert result is FORWARD if expected is None else result == -expected


def test_setsid() -> None:
    world = World()
    child = world.fork(world.root)
    assert call(world.root, "setsid") == -Errno.EPERM
    assert call(child, "setsid") is FORWARD
    assert call(child, "getsid", 0) == call(world.root, "getsid", child.tid) == child.tid
    assert call(child, "setsid") == -Errno.EPERM
    assert call(child, "getsid", 4242) == -Errno.ESRCH
    leader = world.fork(world.root)
    leader.process.pgid = leader.tid
    assert call(leader, "setsid") == -Errno.EPERM


# -- memory of others --------------------------------------------------------------------------------------------------------
def vectors(*pairs: tuple[int, int]) -> bytes:
    return b"".join(struct.pack("<QQ", *pair) for pair in pairs)


def test_process_vm_copies_between_guests() -> None:
    world = World()
    child = world.fork(world.root)
    child.memory.write(BASE + 0x1000, b"hello, world")
    world.root.memory.write(BASE, vectors((BASE + 0x100, 5), (BASE + 0x200, 100)) + vectors((BASE + 0x1000, 7), (BASE + 0x1007, 5)))
    assert call(world.root, "process_vm_readv", child.tid, BASE, 2, BASE + 32, 2, 0) == 12
    assert world.root.memory.read(BASE + 0x100, 5) == b"hello"
    assert world.root.memory.read(BASE + 0x200, 7) == b", world"
    world.root.memory.write(BASE + 0x100, b"HELLO")
    assert call(world.root, "process_vm_writev", child.tid, BASE, 1, BASE + 32, 1, 0) == 5
    assert child.memory.read(BASE + 0x1000, 7) == b"HELLO, "


@pytest.mark.parametrize(
    ("pid", "counts", "flags", "expected"),
    [
        pytest.param(4242, (1, 1), 0, Errno.ESRCH, id="outside"),
        pytest.param(0, (1, 1), 0, Errno.ESRCH, id="zero"),
        pytest.param(2, (1, 1), 1, Errno.EINVAL, id="flags"),
        pytest.param(2, (1, 1025), 0, Errno.EINVAL, id="too-many-remote"),
        pytest.param(2, (1 << 40, 1), 0, Errno.EINVAL, id="too-many-local"),
        pytest.param(2, (1, 2), 0, Errno.EINVAL, id="negative-size"),
        pytest.param(2, (0, 0), 0, None, id="nothing"),
    ],
)
def test_process_vm_limits(pid: int, counts: tuple[int, int], flags: int, expected: Errno | None) -> None:
    world = World()
    world.fork(world.root)
    world.root.memory.write(BASE, vectors((BASE, 1), (BASE, 1), (BASE, 1 << 63)))
    result = call(world.root, "process_vm_readv", pid, BASE, counts[0], BASE + 16, counts[1], flags)
    assert result == (0 if expected is None else -expected)


def test_process_vm_stops_at_a_hole_and_asks_for_rights() -> None:
    world = World()
    child = world.fork(world.root)
    end = BASE + 0x8000
    world.root.memory.write(BASE, vectors((BASE + 0x100, 64)) + vectors((end - 4, 8), (BASE, 8)) + vectors((end, 8)))
    assert call(world.root, "process_vm_readv", child.tid, BASE, 1, BASE + 16, 2, 0) == 4
    assert call(world.root, "process_vm_readv", child.tid, BASE, 1, BASE + 48, 1, 0) == -Errno.EFAULT
    child.process.credentials = Credentials(7, 7)
    child.memory.write(BASE, vectors((BASE, 4)))
    assert call(child, "process_vm_writev", 1, BASE, 1, BASE, 1, 0) == -Errno.EPERM
    world.root.process.credentials = Credentials(7, 7)
    assert call(child, "process_vm_writev", 1, BASE, 1, BASE, 1, 0) == 4
    world.root.process.dumpable = 0
    assert call(child, "process_vm_writev", 1, BASE, 1, BASE, 1, 0) == -Errno.EPERM


# -- the rest ------------------------------------------------------------------------------------------------------------------
def test_personality() -> None:
    world = World()
    assert call(world.root, "personality", 0xFFFFFFFF) == 0
    assert call(world.root, "personality", 0x0040000) == 0
    assert call(world.root, "personality", 0x0400000) == -Errno.EINVAL
    assert call(world.root, "personality", 0xFFFFFFFF) == 0x0040000


def test_unshare() -> None:
    world = World()
    thread = world.root
    before = thread.process.fs
    assert call(thread, "unshare", CLONE_NEWUSER) == -Errno.EPERM
    assert call(thread, "unshare", 1) == -Errno.EINVAL
    assert call(thread, "unshare", CLONE_FS) == 0
    assert thread.process.fs is not before
    assert call(thread, "unshare", CLONE_FILES) is FORWARD
    assert call(thread, "unshare", CLONE_VM) == 0
    world.fork(thread, CLONE_THREAD)
    assert call(thread, "unshare", CLONE_VM) == -Errno.EINVAL


@pytest.mark.parametrize("name", ["ptrace", "setns", "acct"])
def test_refused(name: str) -> None:
    assert call(World().root, name) == -Errno.EPERM
