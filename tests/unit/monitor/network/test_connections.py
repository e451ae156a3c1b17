"""The domain's parts on real loopback sockets: 127.0.0.2 plays the destination, 127.0.0.3 its address on the guests' side."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from pylibos.monitor.network import connections
from pylibos.monitor.network.connections import Connections
from pylibos.monitor.network.datagrams import Datagrams
from pylibos.monitor.network.loop import Loop
from pylibos.monitor.network.pump import reset

OUTSIDE, GATE = "127.0.0.2", "127.0.0.3"


class FakeFactory:
    """Makes the sockets of the guests' side where the test can reach them."""

    def bound(self, kind: str, _where: str, _address: str, port: int) -> socket.socket:
        made = socket.socket(socket.AF_INET, (socket.SOCK_STREAM if kind == "stream" else socket.SOCK_DGRAM) | socket.SOCK_NONBLOCK)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((GATE, port))
        return made

    def plain(self, kind: str, _where: str, _version: int) -> socket.socket:
        return GateSocket(socket.AF_INET, (socket.SOCK_STREAM if kind == "stream" else socket.SOCK_DGRAM) | socket.SOCK_NONBLOCK)


class GateSocket(socket.socket):
    """Connects to the guests' side of a destination."""

    def connect_ex(self, address: Any) -> int:
        return super().connect_ex((GATE, address[1]))


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loop]:
    monkeypatch.setattr(connections, "is_own", lambda _target: False)
    made = Loop()
    reader, writer = os.pipe()

    def end() -> None:
        made.running = False

    made.watch(reader, 1, end)
    made.stop = lambda: os.write(writer, b"x")  # type: ignore[attr-defined]
    yield made
    os.close(reader)
    os.close(writer)


class Serving:
    """Runs a loop in a thread while the test plays guest and world."""

    def __init__(self, loop: Loop) -> None:
        self.loop: Any = loop
        self.thread = threading.Thread(target=loop.run)

    def __enter__(self) -> None:
        self.thread.start()

    def __exit__(self, *_error: object) -> None:
        self.loop.stop()
        self.thread.join(10)
        assert not self.thread.is_alive()


def outcome(answer: socket.socket) -> int:
    answer.settimeout(10)
    return int.from_bytes(answer.recv(4), "little")


Asking = Callable[[], tuple[socket.socket, socket.socket]]


@pytest.fixture
def asking() -> Iterator[Asking]:
    """Makes both ends of a way's stream, the test's and the domain's."""
    kept: list[socket.socket] = []

    def make() -> tuple[socket.socket, socket.socket]:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        kept.extend((ours, theirs))
        return ours, theirs

    yield make
    for end in kept:
        end.close()


def test_a_guest_is_joined_with_the_connection_that_was_dialled(loop: Loop, asking: Asking) -> None:
    made = Connections(loop, FakeFactory())  # type: ignore[arg-type]
    with socket.create_server((OUTSIDE, 0)) as server:
        port = server.getsockname()[1]
        ours, theirs = asking()
        made.dial((OUTSIDE, port), theirs)
        with Serving(loop):
            assert outcome(ours) == 0
            assert ours.recv(1) == b""
            with socket.create_connection((GATE, port)) as guest, server.accept()[0] as world:
                guest.sendall(b"question")
                assert world.recv(99) == b"question"
                guest.shutdown(socket.SHUT_WR)
                assert world.recv(99) == b""
                world.sendall(b"answer after the end")
                world.close()
                assert guest.recv(99) == b"answer after the end"
                assert guest.recv(99) == b""
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((GATE, port))
    assert (made._carried, made._dials, made._gates) == (0, 0, {})


def test_many_bytes_both_ways(loop: Loop, asking: Asking) -> None:
    made = Connections(loop, FakeFactory())  # type: ignore[arg-type]
    data = os.urandom(3_000_000)
    with socket.create_server((OUTSIDE, 0)) as server:
        port = server.getsockname()[1]
        ours, theirs = asking()
        made.dial((OUTSIDE, port), theirs)

        def echo() -> None:
            with server.accept()[0] as world:
                while block := world.recv(100_000):
                    world.sendall(block)

        echoing = threading.Thread(target=echo)
        echoing.start()
        with Serving(loop):
            assert outcome(ours) == 0
            with socket.create_connection((GATE, port)) as guest:

                def send() -> None:
                    guest.sendall(data)
                    guest.shutdown(socket.SHUT_WR)

                sending = threading.Thread(target=send)
                sending.start()
                got = hashlib.sha256()
                while block := guest.recv(65536):
                    got.update(block)
                sending.join(10)
            echoing.join(10)
    assert got.digest() == hashlib.sha256(data).digest()


def test_a_reset_is_passed_on(loop: Loop, asking: Asking) -> None:
    made = Connections(loop, FakeFactory())  # type: ignore[arg-type]
    with socket.create_server((OUTSIDE, 0)) as server:
        port = server.getsockname()[1]
        ours, theirs = asking()
        made.dial((OUTSIDE, port), theirs)
        with Serving(loop):
            assert outcome(ours) == 0
            with socket.create_connection((GATE, port)) as guest:
                reset(server.accept()[0])
                with pytest.raises(ConnectionResetError):
                    guest.recv(1)


def test_a_refusal_is_the_outcome_and_leaves_no_gate(loop: Loop, asking: Asking) -> None:
    made = Connections(loop, FakeFactory())  # type: ignore[arg-type]
    with socket.socket() as unused:
        unused.bind((OUTSIDE, 0))
        port = unused.getsockname()[1]
        ours, theirs = asking()
        made.dial((OUTSIDE, port), theirs)
        with Serving(loop):
            assert outcome(ours) == errno.ECONNREFUSED
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((GATE, port))


def test_a_held_back_guest_connects_once_the_world_does(loop: Loop, asking: Asking) -> None:
    made = Connections(loop, FakeFactory())  # type: ignore[arg-type]
    with socket.socket() as server, socket.socket() as filler, socket.socket() as guest:
        server.bind((OUTSIDE, 0))
        server.listen(0)
        port = server.getsockname()[1]
        filler.connect((OUTSIDE, port))
        ours, theirs = asking()
        made.dial((OUTSIDE, port), theirs)
        with Serving(loop):
            ours.send(b"h")
            assert outcome(ours) == 0
            guest.setblocking(False)
            assert guest.connect_ex((GATE, port)) == errno.EINPROGRESS
            ours.setblocking(False)
            with pytest.raises(BlockingIOError):
                ours.recv(1)
            server.listen(8)
            server.accept()[0].close()
            with server.accept()[0] as world:
                guest.settimeout(10)
                guest.send(b"x")
                assert world.recv(1) == b"x"
                guest.shutdown(socket.SHUT_WR)
                assert world.recv(1) == b""
                world.close()
                assert guest.recv(1) == b""
    assert (made._carried, made._dials, made._gates) == (0, 0, {})


def test_a_way_nobody_waits_for_is_given_up(loop: Loop, asking: Asking) -> None:
    made = Connections(loop, FakeFactory())  # type: ignore[arg-type]
    with socket.socket() as server, socket.socket() as filler:
        server.bind((OUTSIDE, 0))
        server.listen(0)
        filler.connect(server.getsockname())
        ours, theirs = asking()
        made.dial(server.getsockname(), theirs)
        assert made._dials == 1
        with Serving(loop):
            ours.close()
            while theirs.fileno() >= 0:
                pass
    assert made._dials == 0


def test_dials_and_connections_are_bounded(loop: Loop, asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_DIALS", 0)
    made = Connections(loop, FakeFactory())  # type: ignore[arg-type]
    ours, theirs = asking()
    made.dial((OUTSIDE, 9), theirs)
    assert outcome(ours) == errno.EAGAIN
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 0)
    made.carry(*asking())
    assert made._carried == 0


def test_a_published_port(loop: Loop) -> None:
    made = Connections(loop, FakeFactory())  # type: ignore[arg-type]
    with socket.create_server((GATE, 0)) as guest, socket.create_server((OUTSIDE, 0)) as listener:
        made.publish(listener, guest.getsockname()[1])
        with Serving(loop):
            with socket.create_connection(listener.getsockname()) as caller, guest.accept()[0] as inner:
                inner.send(b"hello")
                assert caller.recv(9) == b"hello"
            guest.close()
            with socket.create_connection(listener.getsockname()) as caller, suppress(ConnectionResetError):
                assert caller.recv(9) == b""


def test_datagrams_go_and_come_by_the_destinations_address(loop: Loop, asking: Asking) -> None:
    made = Datagrams(loop, FakeFactory())  # type: ignore[arg-type]
    with socket.socket(type=socket.SOCK_DGRAM) as world, socket.socket(type=socket.SOCK_DGRAM) as guest:
        world.bind((OUTSIDE, 0))
        target = world.getsockname()
        ours, theirs = asking()
        made.associate(target, theirs)
        assert outcome(ours) == 0
        with Serving(loop):
            for sock in (world, guest):
                sock.settimeout(10)
            guest.sendto(b"one", (GATE, target[1]))
            data, client = world.recvfrom(99)
            assert data == b"one"
            world.sendto(b"two", client)
            assert guest.recvfrom(99) == (b"two", (GATE, target[1]))
            world.close()
            guest.connect((GATE, target[1]))
            refused = False
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline and not refused:
                try:
                    guest.send(b"nobody")
                except ConnectionRefusedError:
                    refused = True
            assert refused
    assert not made._associations
