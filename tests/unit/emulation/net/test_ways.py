from __future__ import annotations

from typing import Any

import pytest

from pylibos.abi.errno import Errno
from pylibos.emulation.errors import Interrupted
from pylibos.emulation.net.addresses import Destination, SocketAddress, destination
from pylibos.emulation.net.ways import NO_INTERRUPT, PATIENCE_NS, UNFINISHED_MAX, Ways
from pylibos.emulation.object_manager.dispatcher import Event
from pylibos.emulation.outcome import FORWARD, Wait
from pylibos.monitor.fake_host import FakeHost
from pylibos.monitor.host_abi import HostError, HostStream

WHERE = Destination("192.0.2.1", 443)
URI = b"tcp:192.0.2.1/443"
SOCKET = (1, 2)


def inet(address: bytes, port: int = 80) -> SocketAddress:
    return SocketAddress(2, port.to_bytes(2, "big") + address + bytes(8))


def inet6(address: str, port: int = 80) -> SocketAddress:
    import ipaddress

    return SocketAddress(10, port.to_bytes(2, "big") + bytes(4) + ipaddress.ip_address(address).packed + bytes(4))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (inet(b"\xc0\0\2\1"), "192.0.2.1"),
        (inet(b"\x7f\0\0\1"), None),
        (inet(b"\x7f\xff\xff\xff"), None),
        (inet(bytes(4)), None),
        (inet(b"\xc6\x12\0\x35"), None),
        (inet(b"\xff\xff\xff\xff"), "255.255.255.255"),
        (inet6("2001:db8::1"), "2001:db8:0:0:0:0:0:1"),
        (inet6("::1"), None),
        (inet6("::"), None),
        (inet6("::ffff:192.0.2.1"), "192.0.2.1"),
        (inet6("::ffff:127.0.0.1"), None),
        (inet6("::127.0.0.1"), "0:0:0:0:0:0:7f00:1"),
        (inet6("fd70:796c:6962:6f73::53"), None),
        (inet6("fe80::1"), "fe80:0:0:0:0:0:0:1"),
        (SocketAddress(2, b"\0\x50\x7f"), None),
        (SocketAddress(0, b"\0\x50\xc0\0\2\1"), None),
        (SocketAddress(1, b"\0\x50\xc0\0\2\1"), None),
    ],
)
def test_what_is_outside(name: SocketAddress, expected: str | None) -> None:
    where = destination(name)
    assert (None if where is None else where.host) == expected


def test_a_port_of_the_loopback_that_is_the_hosts() -> None:
    assert destination(inet(b"\x7f\0\0\1", 8080), {8080}) == Destination("127.0.0.1", 8080)
    assert destination(inet(bytes(4), 8080), {8080}) == Destination("127.0.0.1", 8080)
    assert destination(inet6("::1", 8080), {8080}) == Destination("::1", 8080)
    assert destination(inet(b"\x7f\0\0\1", 8081), {8080}) is None


def made(**outcomes: int | None) -> tuple[FakeHost, Ways]:
    host = FakeHost()
    host.ways = {URI: outcomes.get("tcp", 0), b"udp:192.0.2.1/443": outcomes.get("udp", 0)}
    return host, Ways(host)


def finished(blocking: Any) -> Any:
    """Run a handler whose waits are satisfied at once."""
    value = None
    while True:
        try:
            assert isinstance(blocking.send(value), Wait)
        except StopIteration as stop:
            return stop.value
        value = 0


def test_a_way_is_asked_for_and_then_the_kernel_connects() -> None:
    host, ways = made()
    assert finished(ways.connect(WHERE, SOCKET, waits=True)) is FORWARD
    assert len(host._opens) == 1, "ours is closed; the other end is the test's"


def test_no_rule_no_way() -> None:
    _host, ways = made()
    with pytest.raises(HostError) as caught:
        finished(ways.connect(Destination("192.0.2.2", 443), SOCKET, waits=True))
    assert caught.value.errno == Errno.EACCES


def test_the_outcome_is_the_answer_but_a_refusal_is_the_kernels() -> None:
    _host, ways = made(tcp=int(Errno.EHOSTUNREACH))
    with pytest.raises(HostError) as caught:
        finished(ways.connect(WHERE, SOCKET, waits=True))
    assert caught.value.errno == Errno.EHOSTUNREACH
    _host, ways = made(tcp=int(Errno.ECONNREFUSED))
    assert finished(ways.connect(WHERE, SOCKET, waits=True)) is FORWARD


def test_a_domain_that_ends_is_no_network() -> None:
    host, ways = made(tcp=None)
    connecting = ways.connect(WHERE, SOCKET, waits=True)
    assert isinstance(next(connecting), Wait)
    host.stream_close(host.domain_ends[URI])
    with pytest.raises(HostError) as caught:
        connecting.send(0)
    assert caught.value.errno == Errno.ENETUNREACH


def test_who_does_not_wait_is_held_back() -> None:
    host, ways = made(tcp=None)
    connecting = ways.connect(WHERE, SOCKET, waits=False)
    wait = next(connecting)
    assert wait.timeout_ns == PATIENCE_NS
    connecting.send(None)
    other = host.domain_ends[URI]
    assert host.stream_read(other, -1, 9) == b"h"
    host.stream_write(other, -1, bytes(4))
    with pytest.raises(StopIteration) as stop:
        connecting.send(0)
    assert stop.value.value is FORWARD
    # Asked again meanwhile: the kernel knows (EALREADY); asked when the host has ended it: a new dial.
    assert finished(ways.connect(WHERE, SOCKET, waits=False)) is FORWARD
    assert host.domain_ends[URI] == other
    host.stream_close(other)
    host.ways[URI] = 0
    assert finished(ways.connect(WHERE, SOCKET, waits=False)) is FORWARD
    assert host.domain_ends[URI] != other


@pytest.mark.parametrize("waits", [True, False])
def test_an_interrupted_connect_goes_on(waits: bool) -> None:
    host, ways = made(tcp=None)
    connecting = ways.connect(WHERE, SOCKET, waits=waits)
    next(connecting)
    if waits:
        with pytest.raises(Interrupted):
            connecting.throw(Interrupted())
    else:
        with pytest.raises(StopIteration) as stop:
            connecting.throw(Interrupted())
        assert stop.value.value == NO_INTERRUPT
    other = host.domain_ends.pop(URI)
    host.stream_write(other, -1, bytes(4))
    assert finished(ways.connect(WHERE, SOCKET, waits=waits)) is FORWARD
    assert URI not in host.domain_ends, "the same dial"


def test_a_guest_that_dies_leaves_nothing() -> None:
    host, ways = made(tcp=None)
    connecting = ways.connect(WHERE, SOCKET, waits=True)
    next(connecting)
    connecting.close()
    assert len(host._opens) == 1


def test_unfinished_dials_are_bounded() -> None:
    host, ways = made(tcp=None)
    for number in range(UNFINISHED_MAX + 20):
        connecting = ways.connect(WHERE, (1, number), waits=True)
        next(connecting)
        with pytest.raises(Interrupted):
            connecting.throw(Interrupted())
    assert len(ways._unfinished) == UNFINISHED_MAX
    assert len(host._opens) == 2 * UNFINISHED_MAX + 20


def test_one_way_for_datagrams_serves_many() -> None:
    host, ways = made()
    assert finished(ways.send([WHERE])) is FORWARD
    del host.ways[b"udp:192.0.2.1/443"]
    assert ways.send([WHERE]) is FORWARD
    host.clock_ns += 1 << 40
    with pytest.raises(HostError) as caught:
        finished(ways.send([WHERE]))
    assert caught.value.errno == Errno.EACCES


def test_sockets_wait_for_the_network() -> None:
    _host, ways = made()
    assert ways.socket() is FORWARD
    ways.established = Event()
    waiting = ways.socket()
    assert isinstance(next(waiting), Wait)  # type: ignore[arg-type]
    ways.established.set()
    assert ways.socket() is FORWARD


def test_only_our_streams_are_ours() -> None:
    _host, ways = made()
    assert not ways.ready(HostStream(99), 1)
