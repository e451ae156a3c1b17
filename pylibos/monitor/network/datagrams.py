"""Datagrams of the network domain: for each destination a socket with its address on the guests' side, for each guest one on ours.

What it is: an association a destination, made before the first datagram is sent, given up when nothing has passed for IDLE_S. Answers reach
the guest from the destination's own address. Owns its sockets; bounded by MAX_ASSOCIATIONS and MAX_CLIENTS.
Adversary: a guest that sends from many ports gets no more clients than there are; destinations can answer only to who has sent.
Sources: udp(7), RFC 4787 (the mapping's life: two minutes at least).
"""

from __future__ import annotations

import errno
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pylibos.monitor.network.connections import Target, family, finish, is_own
from pylibos.monitor.network.loop import READ, Loop

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylibos.monitor.network.place import Factory

MAX_ASSOCIATIONS: Final = 256
MAX_CLIENTS: Final = 512
IDLE_S: Final = 120.0
_SIZE_MAX: Final = 65535
_TURNS: Final = 64
"""Datagrams before others have a turn."""


class Association:
    """One destination. inside is bound to its address in the gateway; clients: a guest's socket name -> our socket."""

    __slots__ = ("clients", "inside", "target", "used")

    def __init__(self, target: Target, inside: socket.socket) -> None:
        self.target = target
        self.inside = inside
        self.clients: dict[tuple[str, int], socket.socket] = {}
        self.used = time.monotonic()


class Datagrams:
    """All associations."""

    def __init__(self, loop: Loop, factory: Factory) -> None:
        self._loop = loop
        self._factory = factory
        self._associations: dict[Target, Association] = {}
        self._clients = 0

    def associate(self, target: Target, answer: socket.socket) -> None:
        """Have a way to a granted target. The outcome goes to answer."""
        if target not in self._associations:
            if len(self._associations) >= MAX_ASSOCIATIONS:
                finish(answer, errno.ENOBUFS)
                return
            own = is_own(target)
            try:
                inside = self._factory.bound("dgram", "inside" if own else "gate", *target)
            except OSError as error:
                # A guest's own socket on the sandbox's loopback stands before the host's.
                finish(answer, 0 if own and error.errno == errno.EADDRINUSE else error.errno or errno.EIO)
                return
            association = self._associations[target] = Association(target, inside)
            self._loop.watch(inside.fileno(), READ, lambda: self._outward(association))
            self._loop.after(IDLE_S, lambda: self._idle(association))
        self._associations[target].used = time.monotonic()
        finish(answer, 0)

    def _outward(self, association: Association) -> None:
        for _turn in range(_TURNS):
            try:
                data, guest = association.inside.recvfrom(_SIZE_MAX)
            except OSError:
                return
            association.used = time.monotonic()
            name = (str(guest[0]), int(guest[1]))
            client = association.clients.get(name) or self._client(association, name)
            if client is not None:
                with suppress(OSError):
                    client.send(data)

    def _client(self, association: Association, guest: tuple[str, int]) -> socket.socket | None:
        if self._clients >= MAX_CLIENTS:
            return None
        client = socket.socket(family(association.target), socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        if client.connect_ex(association.target):
            client.close()
            return None
        self._clients += 1
        association.clients[guest] = client
        self._loop.watch(client.fileno(), READ, self._inward(association, guest, client))
        return client

    def _inward(self, association: Association, guest: tuple[str, int], client: socket.socket) -> Callable[[], None]:
        def inward() -> None:
            for _turn in range(_TURNS):
                try:
                    data = client.recv(_SIZE_MAX)
                except BlockingIOError:
                    return
                except OSError:
                    # Nobody is there. Without our socket the guest's next datagram meets the same answer.
                    self._dissolve(association)
                    return
                association.used = time.monotonic()
                with suppress(OSError):
                    association.inside.sendto(data, guest)

        return inward

    def _idle(self, association: Association) -> None:
        if self._associations.get(association.target) is not association:
            return
        left = association.used + IDLE_S - time.monotonic()
        if left > 0:
            self._loop.after(left, lambda: self._idle(association))
        else:
            self._dissolve(association)

    def _dissolve(self, association: Association) -> None:
        if self._associations.get(association.target) is association:
            del self._associations[association.target]
        for sock in (association.inside, *association.clients.values()):
            self._loop.forget(sock)
            sock.close()
        self._clients -= len(association.clients)
        association.clients.clear()
