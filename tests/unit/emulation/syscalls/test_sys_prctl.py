from __future__ import annotations

import pytest

from pylibos.abi import process as c
from pylibos.abi.errno import Errno
from pylibos.abi.process import CLONE_THREAD
from pylibos.emulation.outcome import FORWARD
from tests.guest_world import BASE, World, call

END = BASE + 0x8000


def test_name_of_the_thread() -> None:
    world = World()
    world.root.memory.write(BASE, b"a name of more than fifteen\0")
    assert call(world.root, "prctl", c.PR_SET_NAME, BASE) == 0
    assert world.root.comm == world.root.process.comm == b"a name of more "
    assert call(world.root, "prctl", c.PR_GET_NAME, BASE + 64) == 0
    assert world.root.memory.read(BASE + 64, 16) == b"a name of more \0"
    other = world.fork(world.root, CLONE_THREAD)
    other.memory.write(BASE, b"worker\0")
    assert call(other, "prctl", c.PR_SET_NAME, BASE) == 0
    assert (other.comm, world.root.process.comm) == (b"worker", b"a name of more ")


def test_name_at_the_end_of_memory() -> None:
    world = World()
    world.root.memory.write(END - 3, b"ab\0")
    assert call(world.root, "prctl", c.PR_SET_NAME, END - 3) == 0
    assert world.root.comm == b"ab"
    world.root.memory.write(END - 3, b"abc")
    assert call(world.root, "prctl", c.PR_SET_NAME, END - 3) == -Errno.EFAULT
    assert call(world.root, "prctl", c.PR_SET_NAME, END) == -Errno.EFAULT


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param((c.PR_GET_DUMPABLE,), 1, id="dumpable"),
        pytest.param((c.PR_SET_DUMPABLE, 2), -Errno.EINVAL, id="dumpable-by-root"),
        pytest.param((c.PR_SET_PDEATHSIG, 65), -Errno.EINVAL, id="death-signal"),
        pytest.param((c.PR_GET_SECCOMP,), 0, id="no-filter"),
        pytest.param((c.PR_SET_SECCOMP, 2, 0), -Errno.EFAULT, id="filter"),
        pytest.param((c.PR_SET_MM, 13, 0), -Errno.EPERM, id="memory-map"),
        pytest.param((c.PR_SET_SYSCALL_USER_DISPATCH, 1), -Errno.EINVAL, id="user-dispatch"),
        pytest.param((c.PR_SET_VMA, 0), -Errno.EINVAL, id="vma-name"),
        pytest.param((c.PR_CAPBSET_READ, 0), 1, id="bounding"),
        pytest.param((c.PR_CAPBSET_READ, 41), -Errno.EINVAL, id="bounding-unknown"),
        pytest.param((c.PR_CAP_AMBIENT, c.PR_CAP_AMBIENT_RAISE, 1), -Errno.EPERM, id="ambient"),
        pytest.param((c.PR_CAP_AMBIENT, 9, 1), -Errno.EINVAL, id="ambient-unknown"),
        pytest.param((c.PR_GET_NO_NEW_PRIVS, 1), -Errno.EINVAL, id="surplus-argument"),
        pytest.param((c.PR_SET_NO_NEW_PRIVS, 0), -Errno.EINVAL, id="no-way-back"),
        pytest.param((12345,), -Errno.EINVAL, id="unknown"),
        pytest.param((-1,), -Errno.EINVAL, id="negative"),
    ],
)
def test_answer(arguments: tuple[int, ...], expected: int) -> None:
    assert call(World().root, "prctl", *arguments) == expected


def test_what_is_set_is_read_back() -> None:
    world = World()
    root = world.root
    assert call(root, "prctl", c.PR_SET_DUMPABLE, 0) == 0
    assert call(root, "prctl", c.PR_GET_DUMPABLE) == 0
    assert call(root, "prctl", c.PR_SET_KEEPCAPS, 1) == 0
    assert call(root, "prctl", c.PR_GET_KEEPCAPS) == 1
    assert call(root, "prctl", c.PR_SET_NO_NEW_PRIVS, 1) == 0
    assert call(root, "prctl", c.PR_GET_NO_NEW_PRIVS) == 1
    assert call(root, "prctl", c.PR_SET_PDEATHSIG, 9) is FORWARD
    assert call(root, "prctl", c.PR_GET_PDEATHSIG, BASE) == 0
    assert call(root, "prctl", c.PR_SET_CHILD_SUBREAPER, 1) is FORWARD
    assert call(root, "prctl", c.PR_GET_CHILD_SUBREAPER, BASE + 4) == 0
    assert root.memory.read(BASE, 8) == b"\x09\0\0\0\x01\0\0\0"
    assert root.process.child_subreaper
    assert call(root, "prctl", c.PR_CAPBSET_DROP, 5) == 0
    assert call(root, "prctl", c.PR_CAPBSET_READ, 5) == 0


def test_ambient_set() -> None:
    world = World()
    credentials = world.root.process.credentials
    credentials.inheritable = 2
    ambient = c.PR_CAP_AMBIENT
    assert call(world.root, "prctl", ambient, c.PR_CAP_AMBIENT_RAISE, 1) == 0
    assert call(world.root, "prctl", ambient, c.PR_CAP_AMBIENT_IS_SET, 1) == 1
    assert call(world.root, "prctl", ambient, c.PR_CAP_AMBIENT_CLEAR_ALL, 1) == -Errno.EINVAL
    assert call(world.root, "prctl", ambient, c.PR_CAP_AMBIENT_LOWER, 1) == 0
    assert credentials.ambient == 0


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (c.ARCH_SET_FS, FORWARD),
        (c.ARCH_GET_GS, FORWARD),
        (c.ARCH_REQ_XCOMP_PERM, FORWARD),
        (c.ARCH_GET_CPUID, 1),
        (c.ARCH_SET_CPUID, -Errno.ENODEV),
        (0x3001, -Errno.EINVAL),
        (0x2003, -Errno.EINVAL),
    ],
)
def test_arch_prctl(code: int, expected: object) -> None:
    assert call(World().root, "arch_prctl", code, BASE) == expected
