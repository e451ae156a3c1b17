from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from pylibos.abi.errno import Errno
from pylibos.emulation.net.unix import NAME_SIZE, NAMES_MAX, UnixNames
from pylibos.emulation.outcome import Translated
from tests.support.vfs_guest import BASE, Guest

SERVER = b"\x01\0/run/server"


def node(number: int) -> Any:
    return SimpleNamespace(device=1, number=number)


def test_a_name_fits_the_smallest_address_and_differs() -> None:
    names = {UnixNames.make(bytes([n]) * 8) for n in range(9)}
    assert len(names) == 9
    assert {len(name) for name in names} == {NAME_SIZE}
    assert all(name.startswith(b"\0") and b"\0" not in name[1:] for name in names)


def test_the_oldest_name_is_forgotten() -> None:
    names = UnixNames()
    for number in range(NAMES_MAX + 1):
        names.enter(node(number), b"\0%d" % number, b"/%d\0" % number)
    assert names.find(node(0)) is None
    assert names.shown(b"\0000") is None
    assert names.find(node(1)) == b"\0001"
    assert names.shown(b"\0%d" % NAMES_MAX) == b"/%d\0" % NAMES_MAX


@pytest.fixture
def guest() -> Guest:
    made = Guest([(b"/", "tmpfs", None)], [])
    made.call("mkdir", b"/run", 0o755)
    made.executive.private_network = made.executive.private_root = True
    made.executive.unix_names = None
    return made


@pytest.fixture
def server() -> Iterator[int]:
    with socket.socket(socket.AF_UNIX) as one:
        yield one.fileno()


def bind(guest: Guest, descriptor: int) -> Translated:
    answer = guest.call("bind", descriptor, SERVER, len(SERVER))
    assert isinstance(answer, Translated)
    return answer


def test_a_bound_path_is_a_socket_that_leads_to_the_host_name(guest: Guest, server: int) -> None:
    answer = bind(guest, server)
    assert answer.address is not None
    assert answer.done is not None
    index, address = answer.address
    assert index == 1
    assert address[:3] == b"\x01\0\0", "an abstract name"
    answer.done(0)
    assert guest.stat(b"/run/server")[3] == 0o140755, "the umask applies"
    assert guest.call("connect", server, SERVER, len(SERVER)) == Translated((1, address))
    assert guest.call("sendto", server, b"x", 1, 0, SERVER, len(SERVER)) == Translated((4, address))
    assert guest.call("bind", server, SERVER, len(SERVER)) == -Errno.EADDRINUSE
    guest.call("unlink", b"/run/server")
    assert guest.call("connect", server, SERVER, len(SERVER)) == -Errno.ENOENT
    assert isinstance(guest.call("bind", server, SERVER, len(SERVER)), Translated)


def test_a_failed_bind_leaves_no_node(guest: Guest, server: int) -> None:
    answer = bind(guest, server)
    assert answer.done is not None
    answer.done(-Errno.EINVAL)
    assert guest.stat(b"/run/server") == (-Errno.ENOENT,)
    bind(guest, server)
    guest.write_file(b"/run/server", b"taken meanwhile")
    answer.done(0)
    assert guest.read_file(b"/run/server") == b"taken meanwhile"


def test_what_is_no_server_refuses(guest: Guest, server: int) -> None:
    guest.write_file(b"/run/server", b"")
    assert guest.call("connect", server, SERVER, len(SERVER)) == -Errno.ECONNREFUSED
    guest.call("unlink", b"/run/server")
    guest.call("mknod", b"/run/server", 0o140777, 0)
    assert guest.call("connect", server, SERVER, len(SERVER)) == -Errno.ECONNREFUSED
    assert guest.call("bind", server, b"\x01\0/nowhere/x", 12) == -Errno.ENOENT
    assert guest.call("bind", server, b"\x01\0/run/x/", 9) == -Errno.ENOENT
    guest.executive.private_root = False
    assert guest.call("bind", server, b"\x01\0/run/x", 8) == -Errno.EACCES


@pytest.mark.parametrize("room", [0, 1, 16, 110])
def test_addresses_show_the_path(guest: Guest, server: int, room: int) -> None:
    bound = bind(guest, server)
    assert bound.done is not None
    assert bound.address is not None
    bound.done(0)
    guest.memory.write(BASE + 0x1000, room.to_bytes(4, "little"))
    answer = guest.call("getsockname", server, BASE + 0x2000, BASE + 0x1000)
    assert isinstance(answer, Translated)
    assert answer.done is not None
    raw = bound.address[1]
    guest.memory.write(BASE + 0x2000, raw[:room].ljust(room, b"\xee"))  # as the kernel would
    guest.memory.write(BASE + 0x1000, len(raw).to_bytes(4, "little"))
    answer.done(0)
    shown = SERVER + b"\0"
    whole = room >= len(raw)
    assert guest.memory.read(BASE + 0x2000, min(room, len(shown))) == (shown if whole else raw)[:room]
    assert int.from_bytes(guest.memory.read(BASE + 0x1000, 4), "little") == (len(shown) if whole else len(raw))


def test_without_names_nothing_is_watched(guest: Guest, server: int) -> None:
    assert guest.call("getsockname", server, BASE, BASE) == "forward"
    answer = bind(guest, server)
    assert answer.done is not None
    answer.done(0)
    assert guest.call("accept4", server, 0, 0, os.O_CLOEXEC) == "forward"
