from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any

import pytest

from pylibos.abi import sockets as c
from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.outcome import FORWARD, Translated
from pylibos.emulation.process.thread import Thread
from pylibos.emulation.security.credentials import Credentials
from pylibos.monitor.host_abi import Access
from tests.guest_world import BASE, World, call

SOCKET, FILE = 0, 2
PATH = b"\x01\0/run/server\0"
ABSTRACT = b"\x01\0\0name"
INET = b"\x02\0\x1f\x90\x7f\0\0\x01" + bytes(8)


class Files:
    """A view with one socket, writable by its owner."""

    def find(self, thread: Thread, base: object, path: bytes) -> Any:
        if path != b"/run/server":
            raise SyscallError(Errno.ENOENT)
        return SimpleNamespace(mode=0o140755, uid=0, gid=0, is_directory=False, device=1, number=2)

    def parent(self, thread: Thread, base: object, path: bytes) -> Any:
        return None, path.rpartition(b"/")[2], False

    def child(self, thread: Thread, directory: object, name: bytes) -> Any:
        return self if name == b"server" else None


def world(isolated: bool = False) -> World:
    made = World(files=Files(), private_network=isolated, private_root=isolated)
    for stream in made.host.stream_open_pair(b"unix:stream"):
        made.host.descriptor_install(1001, stream, False)
    made.host.descriptor_install(1001, made.host.stream_open(b"mem:x", Access.READ_WRITE), False)
    return made


@pytest.mark.parametrize(
    ("domain", "kind", "protocol", "outside", "isolated"),
    [
        pytest.param(c.AF_UNIX, c.SOCK_STREAM, 0, None, None, id="unix-stream"),
        pytest.param(c.AF_UNIX, c.SOCK_SEQPACKET | c.SOCK_CLOEXEC | c.SOCK_NONBLOCK, 0, None, None, id="unix-seqpacket"),
        pytest.param(c.AF_UNIX, c.SOCK_DGRAM, 0, Errno.EACCES, None, id="unix-datagram"),
        pytest.param(c.AF_UNIX, c.SOCK_RAW, 0, Errno.EACCES, None, id="unix-raw-is-datagram"),
        pytest.param(c.AF_INET, c.SOCK_STREAM, 0, Errno.EACCES, None, id="tcp"),
        pytest.param(c.AF_INET6, c.SOCK_DGRAM, 17, Errno.EACCES, None, id="udp6"),
        pytest.param(c.AF_INET, c.SOCK_RAW, 1, Errno.EPERM, Errno.EPERM, id="raw"),
        pytest.param(c.AF_INET, c.SOCK_STREAM, 132, Errno.EACCES, Errno.EPROTONOSUPPORT, id="sctp"),
        pytest.param(c.AF_NETLINK, c.SOCK_RAW, 0, Errno.EACCES, None, id="route"),
        pytest.param(c.AF_NETLINK, c.SOCK_RAW, 9, Errno.EPROTONOSUPPORT, Errno.EPROTONOSUPPORT, id="audit"),
        pytest.param(17, c.SOCK_RAW, 3, Errno.EAFNOSUPPORT, Errno.EAFNOSUPPORT, id="packet"),
        pytest.param(38, 5, 0, Errno.EAFNOSUPPORT, Errno.EAFNOSUPPORT, id="alg"),
        pytest.param(40, 1, 0, Errno.EAFNOSUPPORT, Errno.EAFNOSUPPORT, id="vsock"),
        pytest.param(c.AF_UNIX, c.SOCK_STREAM | 0x100000, 0, Errno.EINVAL, Errno.EINVAL, id="flags"),
    ],
)
def test_which_sockets_exist(domain: int, kind: int, protocol: int, outside: Errno | None, isolated: Errno | None) -> None:
    for expected, alone in ((outside, False), (isolated, True)):
        result = call(world(alone).root, "socket", domain, kind, protocol)
        assert result is FORWARD if expected is None else result == -expected


@pytest.mark.parametrize("name", ["connect", "sendto", "sendmsg", "sendmmsg"])
def test_without_ways_out_everything_outside_is_denied(name: str) -> None:
    made = world(isolated=True)
    outside = b"\x02\0\x01\xbb\xc0\0\x02\1" + bytes(8)
    for address, expected in ((outside, -Errno.EACCES), (INET, FORWARD)):
        assert reaching(made, name, address) == expected


def reaching(made: World, name: str, address: bytes) -> Any:
    """Make a call that names address."""
    memory = made.root.memory
    memory.write(BASE, address)
    memory.write(BASE + 256, struct.pack("<QI4xQQQQQ", BASE, len(address), 0, 0, 0, 0, 0).ljust(64, b"\0") * 2)
    if name == "connect":
        return call(made.root, name, SOCKET, BASE, len(address))
    if name == "sendto":
        return call(made.root, name, SOCKET, BASE, 1, 0, BASE, len(address))
    if name == "sendmsg":
        return call(made.root, name, SOCKET, BASE + 256, 0)
    return call(made.root, name, SOCKET, BASE + 256, 2, 0)


@pytest.mark.parametrize("one", ["private_network", "private_root"])
def test_half_an_isolation_is_none(one: str) -> None:
    made = World(**{one: True})
    assert call(made.root, "socket", c.AF_INET, c.SOCK_STREAM, 0) == -Errno.EACCES
    assert call(made.root, "socket", c.AF_UNIX, c.SOCK_DGRAM, 0) == -Errno.EACCES


@pytest.mark.parametrize(
    ("name", "address", "outside", "isolated"),
    [
        pytest.param("connect", PATH, Errno.ECONNREFUSED, Errno.ECONNREFUSED, id="connect-path"),
        pytest.param("connect", b"\x01\0/none\0", Errno.ENOENT, Errno.ENOENT, id="connect-missing"),
        pytest.param("connect", ABSTRACT, Errno.ECONNREFUSED, None, id="connect-abstract"),
        pytest.param("connect", INET, Errno.EINVAL, None, id="connect-tcp"),
        pytest.param("connect", b"\0\0", Errno.EINVAL, None, id="disconnect"),
        pytest.param("bind", PATH, Errno.EACCES, Errno.EADDRINUSE, id="bind-path"),
        pytest.param("bind", ABSTRACT, Errno.EACCES, None, id="bind-abstract"),
        pytest.param("bind", b"\x01\0", Errno.EACCES, None, id="autobind"),
        pytest.param("bind", INET, Errno.EINVAL, None, id="bind-tcp"),
        pytest.param("bind", b"\x01", Errno.EINVAL, Errno.EINVAL, id="no-family"),
        pytest.param("bind", bytes(129), Errno.EINVAL, Errno.EINVAL, id="too-long"),
    ],
)
def test_names(name: str, address: bytes, outside: Errno | None, isolated: Errno | None) -> None:
    for expected, alone in ((outside, False), (isolated, True)):
        made = world(alone)
        made.root.memory.write(BASE, address)
        result = call(made.root, name, SOCKET, BASE, len(address))
        assert result is FORWARD if expected is None else result == -expected


def test_names_need_a_socket_and_an_address() -> None:
    made = world()
    made.root.memory.write(BASE, PATH)
    assert call(made.root, "connect", FILE, BASE, len(PATH)) == -Errno.ENOTSOCK
    assert call(made.root, "connect", 9, BASE, len(PATH)) == -Errno.EBADF
    assert call(made.root, "bind", SOCKET, 8, 16) == -Errno.EFAULT
    assert call(made.root, "bind", SOCKET, BASE, -1) == -Errno.EINVAL
    made.root.process.credentials = Credentials(9, 9)
    assert call(made.root, "connect", SOCKET, BASE, len(PATH)) == -Errno.EACCES


def test_sendto() -> None:
    made = world()
    made.root.memory.write(BASE, PATH)
    assert call(made.root, "sendto", SOCKET, BASE, 4, 0, 0, 0) is FORWARD
    assert call(made.root, "sendto", SOCKET, BASE, 4, 0, BASE, len(PATH)) == -Errno.EISCONN
    made = world(True)
    made.root.memory.write(BASE, PATH)
    assert call(made.root, "sendto", SOCKET, BASE, 4, 0, BASE, len(PATH)) == -Errno.ECONNREFUSED
    made.root.memory.write(BASE, INET)
    assert call(made.root, "sendto", SOCKET, BASE, 4, 0, BASE, len(INET)) is FORWARD


@pytest.mark.parametrize("kind", [c.SOCK_STREAM, c.SOCK_DGRAM, c.SOCK_SEQPACKET])
def test_pairs(kind: int) -> None:
    flags = c.SOCK_CLOEXEC | c.SOCK_NONBLOCK
    assert call(world(True).root, "socketpair", c.AF_UNIX, kind | flags, 0, BASE) is FORWARD
    outside = call(world().root, "socketpair", c.AF_UNIX, kind | flags, 0, BASE)
    if kind == c.SOCK_DGRAM:  # sendmsg could name a host path with a real one
        assert isinstance(outside, Translated)
        assert list(outside.arguments) == [(1, c.SOCK_SEQPACKET | flags)]
    else:
        assert outside is FORWARD


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param((c.AF_INET, c.SOCK_STREAM, 0, BASE), Errno.EOPNOTSUPP, id="internet"),
        pytest.param((17, c.SOCK_STREAM, 0, BASE), Errno.EAFNOSUPPORT, id="packet"),
        pytest.param((c.AF_UNIX, 7, 0, BASE), Errno.ESOCKTNOSUPPORT, id="type"),
        pytest.param((c.AF_UNIX, c.SOCK_STREAM, 6, BASE), Errno.EPROTONOSUPPORT, id="protocol"),
        pytest.param((c.AF_UNIX, c.SOCK_STREAM | 0x40, 0, BASE), Errno.EINVAL, id="flags"),
    ],
)
def test_no_pair(arguments: tuple[int, ...], expected: Errno) -> None:
    made = world()
    before = made.host.descriptor_list(1001)
    assert call(made.root, "socketpair", *arguments) == -expected
    assert made.host.descriptor_list(1001) == before


def test_options() -> None:
    made = world()
    assert call(made.root, "setsockopt", SOCKET, c.SOL_SOCKET, 9, BASE, 4) is FORWARD
    assert call(made.root, "setsockopt", SOCKET, 255, 9, BASE, 4) == -Errno.ENOPROTOOPT
    assert call(made.root, "getsockopt", SOCKET, 6, 1, BASE, BASE) is FORWARD
    credentials = call(made.root, "getsockopt", SOCKET, c.SOL_SOCKET, c.SO_PEERCRED, BASE, BASE + 16)
    assert isinstance(credentials, Translated)
    assert credentials.done is not None
    made.root.process.credentials = Credentials(7, 8)
    made.root.memory.write(BASE, struct.pack("<iII", 1, 65534, 65534) + bytes(4) + struct.pack("<I", 12))
    credentials.done(-9)
    assert made.root.memory.read(BASE, 12) == struct.pack("<iII", 1, 65534, 65534)
    credentials.done(0)
    assert made.root.memory.read(BASE, 12) == struct.pack("<iII", 1, 7, 8)
    assert call(made.root, "getsockopt", SOCKET, c.SOL_SOCKET, c.SO_PEERPIDFD, BASE, BASE) == -Errno.ENOPROTOOPT
