"""The name server's transport, on real loopback sockets; what a message means is test_names.py's."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Any

import dns.message
import dns.rcode
import pytest

from pylibos.monitor.network import resolver
from pylibos.monitor.network.loop import Loop
from pylibos.monitor.network.rules import NetworkRules, parse_rule

ADDRESS = "127.0.0.4"


class FakeFactory:
    """Gives the resolver sockets of the test's own, and remembers where they are."""

    def __init__(self) -> None:
        self.ports: dict[str, int] = {}

    def bound(self, kind: str, _where: str, _address: str, _port: int) -> socket.socket:
        made = socket.socket(socket.AF_INET, (socket.SOCK_STREAM if kind == "stream" else socket.SOCK_DGRAM) | socket.SOCK_NONBLOCK)
        made.bind((ADDRESS, 0))
        self.ports[kind] = made.getsockname()[1]
        self.sockets = [*getattr(self, "sockets", []), made]
        return made


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[FakeFactory, list[str]]]:
    """A running name server and what it said."""

    def getaddrinfo(name: bytes, *_how: object, **_more: object) -> list[Any]:
        if name == b"gone.example":
            raise socket.gaierror(socket.EAI_NONAME)
        return [(socket.AF_INET, 1, 6, "", ("192.0.2.1", 0)), (socket.AF_INET6, 1, 6, "", ("2001:db8::1", 0, 0, 0))]

    monkeypatch.setattr(resolver.socket, "getaddrinfo", getaddrinfo)  # type: ignore[attr-defined]
    factory, loop, said = FakeFactory(), Loop(), list[str]()
    rules = NetworkRules((*parse_rule("site.example:443", "t"), *parse_rule("gone.example:1", "t")))
    made = resolver.Resolver(
        loop,
        factory,  # type: ignore[arg-type]
        rules,
        learnt=lambda name, address: said.append(f"learnt {name} {address}"),
        denied=lambda name, rule: said.append(f"denied {name} {rule}"),
    )
    ours, theirs = socket.socketpair()

    def stop() -> None:
        loop.running = False

    loop.watch(theirs.fileno(), 1, stop)
    thread = threading.Thread(target=loop.run)
    thread.start()
    yield factory, said
    ours.send(b"x")
    thread.join(10)
    assert not thread.is_alive()
    assert made._questions == 0
    for sock in (ours, theirs, *factory.sockets):
        sock.close()


def query(name: str, kind: str = "A") -> bytes:
    return dns.message.make_query(name, kind).to_wire()


def shown(answer: bytes) -> tuple[str, list[str]]:
    message = dns.message.from_wire(answer)
    return dns.rcode.to_text(message.rcode()), [str(item) for rrset in message.answer for item in rrset]


def test_datagrams(server: tuple[FakeFactory, list[str]]) -> None:
    factory, said = server
    with socket.socket(type=socket.SOCK_DGRAM) as guest:
        guest.settimeout(10)
        guest.connect((ADDRESS, factory.ports["dgram"]))
        for name, kind, expected in (
            ("site.example", "A", ("NOERROR", ["192.0.2.1"])),
            ("site.example", "AAAA", ("NOERROR", ["2001:db8::1"])),
            ("gone.example", "A", ("NXDOMAIN", [])),
            ("other.example", "A", ("NXDOMAIN", [])),
        ):
            guest.send(query(name, kind))
            assert shown(guest.recv(4096)) == expected
        guest.send(b"nonsense")
        guest.send(query("other.example"))
        assert shown(guest.recv(4096)) == ("NXDOMAIN", [])
    assert said[:2] == ["learnt site.example 192.0.2.1", "learnt site.example 2001:db8::1"]
    assert "denied other.example network: no rule" in said


def test_streams_carry_several_questions_in_any_pieces(server: tuple[FakeFactory, list[str]]) -> None:
    factory, _said = server
    wire = b"".join(len(part).to_bytes(2, "big") + part for part in (query("site.example"), query("other.example")))
    with socket.socket() as guest:
        guest.settimeout(10)
        guest.connect((ADDRESS, factory.ports["stream"]))
        for byte in wire:
            guest.send(bytes((byte,)))
        file = guest.makefile("rb")
        answers = [shown(file.read(int.from_bytes(file.read(2), "big"))) for _ in range(2)]
        assert sorted(answers) == [("NOERROR", ["192.0.2.1"]), ("NXDOMAIN", [])]
        guest.shutdown(socket.SHUT_WR)
        assert file.read() == b""
        file.close()
