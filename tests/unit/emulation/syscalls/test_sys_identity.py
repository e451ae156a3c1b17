from __future__ import annotations

import struct

from pylibos.abi.errno import Errno
from pylibos.emulation.security.capabilities import FULL_SET
from tests.guest_world import BASE, World, call

V1, V3 = 0x19980330, 0x20080522


def words(world: World, address: int, count: int) -> tuple[int, ...]:
    return struct.unpack(f"<{count}I", world.root.memory.read(address, 4 * count))


def test_ids_of_root_and_after_dropping_them() -> None:
    world = World()
    root = world.root
    assert [call(root, name) for name in ("getuid", "geteuid", "getgid", "getegid")] == [0, 0, 0, 0]
    assert call(root, "setgroups", 0, 0) == 0
    assert call(root, "setresgid", 100, 100, 100) == 0
    assert call(root, "setuid", 1000) == 0
    assert [call(root, name) for name in ("getuid", "geteuid", "getgid", "getegid")] == [1000, 1000, 100, 100]
    assert call(root, "setuid", 0) == -Errno.EPERM
    assert call(root, "setgid", 5) == -Errno.EPERM
    assert call(root, "setgroups", 1, BASE) == -Errno.EPERM
    assert call(root, "getresuid", BASE, BASE + 4, BASE + 8) == 0
    assert call(root, "getresgid", BASE + 12, BASE + 16, BASE + 20) == 0
    assert words(world, BASE, 6) == (1000, 1000, 1000, 100, 100, 100)


def test_upper_halves_of_registers_do_not_count() -> None:
    world = World()
    assert call(world.root, "setuid", 7 | 1 << 40) == 0
    assert call(world.root, "getuid") == 7
    assert call(world.root, "setuid", -1) == -Errno.EINVAL


def test_saved_ids_allow_the_way_back() -> None:
    world = World()
    assert call(world.root, "setresuid", -1, 5, -1) == 0
    assert call(world.root, "geteuid") == 5
    assert call(world.root, "setreuid", -1, 0) == 0
    assert call(world.root, "geteuid") == 0
    assert call(world.root, "setregid", 3, 4) == 0
    assert (call(world.root, "getgid"), call(world.root, "getegid")) == (3, 4)


def test_file_system_ids_answer_the_old_value() -> None:
    world = World()
    assert call(world.root, "setfsuid", 9) == 0
    assert call(world.root, "setfsuid", -1) == 9
    assert call(world.root, "setfsgid", 9) == 0
    assert call(world.root, "setfsgid", 9) == 9


def test_groups() -> None:
    world = World()
    world.root.memory.write(BASE, struct.pack("<3I", 30, 10, 20))
    assert call(world.root, "setgroups", 3, BASE) == 0
    assert call(world.root, "getgroups", 0, 0) == 3
    assert call(world.root, "getgroups", 2, BASE) == -Errno.EINVAL
    assert call(world.root, "getgroups", -1, BASE) == -Errno.EINVAL
    assert call(world.root, "getgroups", 8, BASE + 64) == 3
    assert words(world, BASE + 64, 3) == (10, 20, 30)
    assert call(world.root, "getgroups", 8, 1) == -Errno.EFAULT
    assert call(world.root, "setgroups", 65537, BASE) == -Errno.EINVAL
    assert call(world.root, "setgroups", 2, 1) == -Errno.EFAULT


def test_capabilities() -> None:
    world = World()
    memory = world.root.memory
    child = world.fork(world.root)
    child.process.credentials.setuid(5)
    memory.write(BASE, struct.pack("<Ii", V3, 0))
    assert call(world.root, "capget", BASE, BASE + 64) == 0
    assert words(world, BASE + 64, 6) == (FULL_SET & 0xFFFFFFFF, FULL_SET & 0xFFFFFFFF, 0, FULL_SET >> 32, FULL_SET >> 32, 0)
    memory.write(BASE, struct.pack("<Ii", V1, child.tid))
    assert call(world.root, "capget", BASE, BASE + 64) == 0
    assert words(world, BASE + 64, 3) == (0, 0, 0)
    memory.write(BASE, struct.pack("<Ii", V3, 4242))
    assert call(world.root, "capget", BASE, BASE + 64) == -Errno.ESRCH
    assert call(world.root, "capset", BASE, BASE + 64) == -Errno.EPERM
    memory.write(BASE, struct.pack("<Ii", V3, -1))
    assert call(world.root, "capget", BASE, BASE + 64) == -Errno.EINVAL


def test_capability_version_negotiation() -> None:
    world = World()
    world.root.memory.write(BASE, struct.pack("<Ii", 0, 0))
    assert call(world.root, "capget", BASE, 0) == 0
    assert words(world, BASE, 1) == (V3,)
    world.root.memory.write(BASE, struct.pack("<Ii", 1, 0))
    assert call(world.root, "capget", BASE, BASE + 64) == -Errno.EINVAL
    world.root.memory.write(BASE, struct.pack("<Ii", 1, 0))
    assert call(world.root, "capset", BASE, BASE + 64) == -Errno.EINVAL


def test_capset_drops_and_does_not_raise() -> None:
    world = World()
    memory = world.root.memory
    memory.write(BASE, struct.pack("<Ii", V3, 0) + struct.pack("<6I", 1, 3, 0, 0, 0, 0))
    assert call(world.root, "capset", BASE, BASE + 8) == 0
    credentials = world.root.process.credentials
    assert (credentials.effective, credentials.permitted) == (1, 3)
    memory.write(BASE + 8, struct.pack("<6I", 1, 7, 0, 0, 0, 0))
    assert call(world.root, "capset", BASE, BASE + 8) == -Errno.EPERM
