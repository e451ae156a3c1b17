from __future__ import annotations

import struct

import pytest

from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.net import interfaces as i
from tests.guest_world import BASE, World, call

SOCKET = 0


def asked(command: int, name: bytes = b"lo", value: bytes = b"") -> bytes:
    return i.describe_loopback(command, name.ljust(16, b"\0") + value.ljust(24, b"\xee"))[16:]


def test_the_loopback_is_down_and_has_no_address() -> None:
    assert asked(i.SIOCGIFINDEX)[:4] == struct.pack("<i", 1)
    assert asked(i.SIOCGIFFLAGS)[:2] == struct.pack("<h", 8)
    assert asked(i.SIOCGIFMTU)[:4] == struct.pack("<i", 65536)
    assert asked(i.SIOCGIFMTU)[4:] == b"\xee" * 20
    assert i.describe_loopback(i.SIOCGIFNAME, b"x".ljust(16, b"\0") + struct.pack("<i", 1) + bytes(20))[:3] == b"lo\0"
    for command in (i.SIOCGIFADDR, i.SIOCGIFNETMASK):
        with pytest.raises(SyscallError) as caught:
            asked(command)
        assert caught.value.errno == Errno.EADDRNOTAVAIL


@pytest.mark.parametrize("name", [b"eth0", b"", b"lo0", b"lo\xff", b"l"])
def test_there_is_no_other(name: bytes) -> None:
    for command in i.INTERFACE_QUERIES - {i.SIOCGIFNAME, i.SIOCGIFCONF}:
        with pytest.raises(SyscallError) as caught:
            asked(command, name)
        assert caught.value.errno == Errno.ENODEV


def test_the_call_outside_isolation() -> None:
    made = World()
    for stream in made.host.stream_open_pair(b"unix:stream"):
        made.host.descriptor_install(1001, stream, False)
    memory = made.root.memory
    memory.write(BASE, b"lo".ljust(40, b"\0"))
    assert call(made.root, "ioctl", SOCKET, i.SIOCGIFINDEX, BASE) == 0
    assert memory.read(BASE + 16, 4) == struct.pack("<i", 1)
    memory.write(BASE, i.IFCONF.pack(4096, BASE + 64))
    assert call(made.root, "ioctl", SOCKET, i.SIOCGIFCONF, BASE) == 0
    assert i.IFCONF.unpack(memory.read(BASE, i.IFCONF.size)) == (0, BASE + 64)
    assert call(made.root, "ioctl", SOCKET, i.SIOCGIFINDEX, 8) == -Errno.EFAULT
