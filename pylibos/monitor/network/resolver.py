"""The sandbox's name server: UDP and TCP port 53 at RESOLVER, answered by the rules and the host's own resolver.

What it is: the transport and the waiting; what a message means is names.py's. The host's getaddrinfo waits, so it runs in a few threads.
What it gives to a guest it tells (``learn``) before the guest can act on it. Owns its sockets and threads; bounded by MAX_QUESTIONS.
Sources: RFC 1035 section 4.2, RFC 7766.
"""

from __future__ import annotations

import os
import queue
import socket
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pylibos.monitor.network.connections import closer
from pylibos.monitor.network.loop import READ, Loop
from pylibos.monitor.network.names import parse_addresses, understand
from pylibos.monitor.network.rules import RESOLVER, Address, NetworkRules

if TYPE_CHECKING:
    from pylibos.monitor.network.names import Question
    from pylibos.monitor.network.place import Factory

MAX_QUESTIONS: Final = 128
MAX_STREAMS: Final = 64
THREADS: Final = 4
_STREAM_S: Final = 30.0
_SIZE_MAX: Final = 65535
_TURNS: Final = 32

Reply = Callable[[bytes], None]
Done = Callable[[list[Address], bool], None]


class Resolver:
    """Answers names. learnt(name, address); denied(name, rule)."""

    def __init__(
        self,
        loop: Loop,
        factory: Factory,
        rules: NetworkRules,
        *,
        learnt: Callable[[str, Address], None],
        denied: Callable[[str, str], None],
    ) -> None:
        self._loop = loop
        self._rules = rules
        self._learnt = learnt
        self._denied = denied
        self._questions = 0
        self._streams = 0
        self._work: queue.SimpleQueue[tuple[str, Done]] = queue.SimpleQueue()
        self._done: deque[tuple[Done, list[Address], bool]] = deque()
        self._threads = 0
        self._woken, self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        loop.watch(self._woken, READ, self._resolved)
        datagrams = factory.bound("dgram", "gate", RESOLVER, 53)
        loop.watch(datagrams.fileno(), READ, lambda: self._datagrams(datagrams))
        listener = factory.bound("stream", "gate", RESOLVER, 53)
        listener.listen(16)
        loop.watch(listener.fileno(), READ, lambda: self._connected(listener))

    # -- transport -------------------------------------------------------------------------------------------------------
    def _datagrams(self, sock: socket.socket) -> None:
        for _turn in range(_TURNS):
            try:
                message, guest = sock.recvfrom(_SIZE_MAX)
            except OSError:
                return

            def reply(answer: bytes, guest: tuple[str, int] = guest) -> None:
                with suppress(OSError):
                    sock.sendto(answer, guest)

            self.ask(message, reply, stream=False)

    def _connected(self, listener: socket.socket) -> None:
        """One guest's connection: messages behind their length, until it closes, errs or has lasted long enough."""
        try:
            connection = listener.accept()[0]
        except OSError:
            return
        if self._streams >= MAX_STREAMS:
            connection.close()
            return
        self._streams += 1
        connection.setblocking(False)
        received = bytearray()
        close = closer(self._loop, connection)

        def end() -> None:
            if connection.fileno() >= 0:
                self._streams -= 1
            close()

        def reply(answer: bytes) -> None:
            with suppress(OSError):
                connection.send(len(answer).to_bytes(2, "big") + answer)

        def readable() -> None:
            try:
                data = connection.recv(_SIZE_MAX)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            received.extend(data)
            while len(received) >= 2 and len(received) >= 2 + (size := received[0] << 8 | received[1]):
                message = bytes(received[2 : 2 + size])
                del received[: 2 + size]
                self.ask(message, reply, stream=True)
            if not data:
                end()

        self._loop.watch(connection.fileno(), READ, readable)
        self._loop.after(_STREAM_S, end)

    # -- questions -------------------------------------------------------------------------------------------------------
    def ask(self, message: bytes, reply: Reply, *, stream: bool) -> None:
        """One message of a guest."""
        question = understand(self._rules, message)
        if question is None:
            return
        if question.denied is not None:
            self._denied(*question.denied)
        if question.name is None:
            reply(question.answer(self._rules, (), found=True, stream=stream)[0])
        elif self._questions < MAX_QUESTIONS:
            self._questions += 1
            self._resolve(question.name, lambda addresses, found: self._answer(question, reply, addresses, found, stream))

    def _answer(self, question: Question, reply: Reply, addresses: list[Address], found: bool, stream: bool) -> None:
        self._questions -= 1
        name = question.name
        assert name is not None
        answer, given = question.answer(self._rules, addresses, found=found, stream=stream)
        for address in given:
            self._learnt(name, address)
        if addresses and not any(True for address in addresses for _rule in self._rules.granting(name, address)):
            self._denied(name, f"network: a name does not grant {addresses[0]}")
        reply(answer)

    # -- the host's resolver ---------------------------------------------------------------------------------------------
    def _resolve(self, name: str, done: Done) -> None:
        self._work.put((name, done))
        if self._threads < THREADS:
            self._threads += 1
            threading.Thread(target=self._thread, daemon=True).start()

    def _thread(self) -> None:
        while True:
            name, done = self._work.get()
            try:
                entries = socket.getaddrinfo(name.encode("ascii"), None, type=socket.SOCK_STREAM)
                addresses, found = parse_addresses([str(entry[4][0]) for entry in entries]), True
            except (OSError, UnicodeError):
                addresses, found = [], False
            self._done.append((done, addresses, found))
            with suppress(OSError):
                os.write(self._wake, b"x")

    def _resolved(self) -> None:
        with suppress(OSError):
            os.read(self._woken, 4096)
        while self._done:
            done, addresses, found = self._done.popleft()
            done(addresses, found)
