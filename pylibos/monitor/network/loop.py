"""The network domain's event loop: readiness of sockets, timers, nothing else.

What it is: epoll with a callable for each descriptor. Level-triggered unless asked otherwise. Must not know what the sockets are for.
A handler may watch and forget any socket, its own too. Sources: epoll(7).
"""

from __future__ import annotations

import heapq
import select
import socket
import time
from collections.abc import Callable
from typing import Final

READ: Final = select.EPOLLIN
WRITE: Final = select.EPOLLOUT
EDGE: Final = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET


class Loop:
    """Runs until ``running`` is false."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._handlers: dict[int, Callable[[], None]] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._serial = 0
        self._soon: dict[int, Callable[[], None]] = {}
        self.running = True

    def run(self) -> None:
        """Serve."""
        while self.running:
            timeout = -1.0
            if self._soon:
                timeout = 0.0
            elif self._timers:
                timeout = max(0.0, self._timers[0][0] - time.monotonic())
            for descriptor, _events in self._epoll.poll(timeout):
                handler = self._handlers.get(descriptor)
                if handler is not None:
                    handler()
            soon, self._soon = self._soon, {}
            for action in soon.values():
                action()
            while self._timers and self._timers[0][0] <= time.monotonic():
                heapq.heappop(self._timers)[2]()

    def watch(self, descriptor: int, events: int, handler: Callable[[], None]) -> None:
        """Call handler while (EDGE: when) the descriptor has one of these events, or an error."""
        self._handlers[descriptor] = handler
        self._epoll.register(descriptor, events)

    def forget(self, sock: socket.socket) -> None:
        """No longer watch a socket; before it is closed or handed on. Nothing happens when it is not watched."""
        if self._handlers.pop(sock.fileno(), None) is not None:
            self._epoll.unregister(sock.fileno())

    def closed(self, descriptor: int) -> None:
        """A watched descriptor has been closed already: the kernel has forgotten it."""
        self._handlers.pop(descriptor, None)

    def after(self, seconds: float, action: Callable[[], None]) -> None:
        """Call once, that much later."""
        self._serial += 1
        heapq.heappush(self._timers, (time.monotonic() + seconds, self._serial, action))

    def soon(self, key: int, action: Callable[[], None]) -> None:
        """Call once, after the others have had their turn. key: calls with the same one are made once."""
        self._soon[key] = action
