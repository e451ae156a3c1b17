from __future__ import annotations

import struct

from pylibos.abi.errno import Errno
from pylibos.emulation.outcome import FORWARD
from pylibos.emulation.security.credentials import Credentials
from tests.guest_world import BASE, World, call


def uname(world: World) -> list[bytes]:
    assert call(world.root, "uname", BASE) == 0
    raw = world.root.memory.read(BASE, 6 * 65)
    return [raw[65 * index : 65 * index + 65].rstrip(b"\0") for index in range(6)]


def test_uname_and_names() -> None:
    world = World()
    assert uname(world)[:2] == [b"Linux", b"pylibos"]
    assert uname(world)[4] == b"x86_64"
    world.root.memory.write(BASE + 1024, b"other\xff")
    assert call(world.root, "sethostname", BASE + 1024, 6) == 0
    assert call(world.root, "setdomainname", BASE + 1024, 5) == 0
    assert (uname(world)[1], uname(world)[5]) == (b"other\xff", b"other")
    assert call(world.root, "sethostname", BASE, 65) == -Errno.EINVAL
    assert call(world.root, "sethostname", BASE, -1) == -Errno.EINVAL
    world.root.process.credentials = Credentials(5, 5)
    assert call(world.root, "sethostname", BASE, 1) == -Errno.EPERM


def test_uname_of_a_personality() -> None:
    world = World()
    world.executive.registry.set_value("\\Registry\\Machine\\System\\Kernel", "Release", "6.18.44-x")
    assert call(world.root, "personality", 0x0020008) == 0
    assert (uname(world)[2], uname(world)[4]) == (b"2.6.78-x", b"i686")


def test_sysinfo() -> None:
    world = World()
    world.fork(world.root)
    assert call(world.root, "sysinfo", BASE) == 0
    raw = world.root.memory.read(BASE, 112)
    total, free = struct.unpack_from("<QQ", raw, 32)
    assert (total, free) == (1 << 30, 1 << 29)
    assert struct.unpack_from("<H", raw, 80) == (2,)
    assert struct.unpack_from("<I", raw, 104) == (1,)
    assert call(world.root, "sysinfo", 8) == -Errno.EFAULT


def test_adjtimex_reports_and_does_not_set() -> None:
    world = World()
    world.root.memory.write(BASE, bytes(4))
    assert call(world.root, "adjtimex", BASE) == 5
    raw = world.root.memory.read(BASE, 208)
    assert struct.unpack_from("<q", raw, 72)[0] == world.host.clock_ns // 10**9
    world.root.memory.write(BASE, b"\1\0\0\0")
    assert call(world.root, "adjtimex", BASE) == -Errno.EPERM
    assert call(world.root, "clock_adjtime", 0, BASE) == -Errno.EPERM
    assert call(world.root, "clock_adjtime", 1, BASE) == -Errno.EOPNOTSUPP
    assert call(world.root, "clock_adjtime", 99, BASE) == -Errno.EINVAL


def test_pages_of_others_do_not_move() -> None:
    world = World()
    child = world.fork(world.root)
    assert call(world.root, "move_pages", 0, 1, BASE) is FORWARD
    assert call(world.root, "move_pages", child.tid, 1, BASE) == -Errno.EPERM
    assert call(world.root, "migrate_pages", 4242, 1, BASE, BASE) == -Errno.ESRCH
