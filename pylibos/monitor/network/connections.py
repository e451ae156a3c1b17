"""Connections of the network domain: dialled for guests, accepted for ``--publish``, and carried.

What it is: for each destination a guest is about to connect to, the dial on the host's side and the *gate*, a listener with the
destination's own address on the guests' side. A guest that waits is told the dial's outcome first and then connects natively to the
gate, which is there by then. For a guest that does not wait the gate is there at once but closed (its backlog is full, so the kernel
drops the SYN): the guest's socket is connecting, as it should be, and connects when its kernel repeats the SYN, or is refused.
Owns every socket it is given. Bounded: MAX_CONNECTIONS, MAX_DIALS.

Adversary: a guest may connect to a gate it did not ask for; it then reaches a destination that is granted anyhow.
Sources: connect(2), listen(2), tcp(7); Linux net/ipv4/tcp_input.c (tcp_conn_request: a full accept queue drops the SYN).
"""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pylibos.monitor.network.loop import EDGE, READ, WRITE, Loop
from pylibos.monitor.network.pump import Progress, Pump, reset

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylibos.monitor.network.place import Factory

MAX_CONNECTIONS: Final = 512
MAX_DIALS: Final = 256
ARRIVAL_S: Final = 10.0
"""How long a connected upstream waits for its guest."""
HELD_S: Final = 130.0
"""The same while the guest's SYN is being held back: its last repetition comes after 127 s."""
_BACKLOG: Final = 64

Target = tuple[str, int]
"""Address text and port."""


def finish(answer: socket.socket, number: int) -> None:
    """Tell the supervisor the outcome (0 or an errno) and close."""
    with answer, suppress(OSError):
        answer.send(number.to_bytes(4, "little"))


def family(target: Target) -> int:
    """AF_INET or AF_INET6."""
    return socket.AF_INET6 if ":" in target[0] else socket.AF_INET


def is_own(target: Target) -> bool:
    """Whether the guests have the same address on their own loopback: the gate must stand there."""
    return ipaddress.ip_address(target[0]).is_loopback


class Gate:
    """The listener that stands for one destination.

    ready: connected upstreams waiting for guests; early: guests that came first. users: dials and upstreams that need the gate.
    """

    __slots__ = ("early", "filler", "listener", "ready", "target", "users")

    def __init__(self, target: Target, listener: socket.socket) -> None:
        self.target = target
        self.listener = listener
        self.filler: socket.socket | None = None
        """The connection that fills the backlog while the gate is closed."""
        self.ready: deque[socket.socket] = deque()
        self.early: deque[socket.socket] = deque()
        self.users = 0


class Dial:
    """One connection being made for a guest. answer: to the supervisor, None once nobody is interested."""

    __slots__ = ("answer", "gate", "target", "upstream")

    def __init__(self, target: Target, upstream: socket.socket, answer: socket.socket) -> None:
        self.target = target
        self.upstream = upstream
        self.answer: socket.socket | None = answer
        self.gate: Gate | None = None
        """Set when the guest's SYN is being held back."""


class Connections:
    """All of them."""

    def __init__(self, loop: Loop, factory: Factory) -> None:
        self._loop = loop
        self._factory = factory
        self._gates: dict[Target, Gate] = {}
        self._carried = 0
        self._dials = 0

    # -- dialling --------------------------------------------------------------------------------------------------------
    def dial(self, target: Target, answer: socket.socket) -> None:
        """Connect to a granted target and have its gate opened. The outcome goes to answer."""
        if self._dials >= MAX_DIALS or self._carried >= MAX_CONNECTIONS:
            finish(answer, errno.EAGAIN)
            return
        if is_own(target) and target not in self._gates and not self._is_free(target):
            finish(answer, 0)  # a guest listens there itself
            return
        upstream = socket.socket(family(target), socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        number = upstream.connect_ex(target)
        if number not in (0, errno.EINPROGRESS):
            upstream.close()
            finish(answer, number)
            return
        self._dials += 1
        dial = Dial(target, upstream, answer)
        self._loop.watch(upstream.fileno(), WRITE, lambda: self._dialled(dial))
        self._loop.watch(answer.fileno(), READ, lambda: self._asked_again(dial))

    def _is_free(self, target: Target) -> bool:
        """Whether no guest has the port of its own loopback that a rule gives to the host's."""
        try:
            self._factory.bound("stream", "inside", *target).close()
        except OSError:
            return False
        return True

    def _asked_again(self, dial: Dial) -> None:
        """The supervisor wants the guest's SYN held back (a guest that does not wait), or is no longer interested."""
        answer = dial.answer
        if answer is None:
            return
        try:
            wants = answer.recv(1)
        except OSError:
            wants = b""
        number = 0
        if wants and dial.gate is None:
            try:
                dial.gate = self._gate(dial.target, closed=True)
            except OSError as error:
                number = error.errno or errno.EIO
            with suppress(OSError):
                answer.send(number.to_bytes(4, "little"))
            if number == 0:
                return
        self._loop.forget(answer)
        answer.close()
        dial.answer = None
        if dial.gate is None:
            self._loop.forget(dial.upstream)
            dial.upstream.close()
            self._dials -= 1

    def _dialled(self, dial: Dial) -> None:
        """The host's side is connected, or never will be."""
        self._dials -= 1
        self._loop.forget(dial.upstream)
        number = dial.upstream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        held = dial.gate is not None
        gate = dial.gate
        if number == 0 and gate is None:
            try:
                gate = self._gate(dial.target, closed=False)
            except OSError as error:
                number = error.errno or errno.EIO
        if number or gate is None:
            dial.upstream.close()
            if gate is not None:
                self._leave(gate)
        else:
            self._admit(gate, dial.upstream, HELD_S if held else ARRIVAL_S)
        if dial.answer is not None:
            self._loop.forget(dial.answer)
            if held:
                dial.answer.close()
            else:
                finish(dial.answer, number)

    # -- gates -----------------------------------------------------------------------------------------------------------
    def _gate(self, target: Target, *, closed: bool) -> Gate:
        """The target's gate, with one user more; a new one is closed or open as said. OSError."""
        gate = self._gates.get(target)
        if gate is None:
            where = "inside" if is_own(target) else "gate"
            gate = Gate(target, self._factory.bound("stream", where, *target))
            gate.listener.listen(0 if closed else _BACKLOG)
            if closed:
                gate.filler = self._factory.plain("stream", where, 6 if ":" in target[0] else 4)
                gate.filler.connect_ex(target)
            else:
                self._attend(gate)
            self._gates[target] = gate
        gate.users += 1
        return gate

    def _attend(self, gate: Gate) -> None:
        self._loop.watch(gate.listener.fileno(), READ, lambda: self._arrived(gate))

    def _admit(self, gate: Gate, upstream: socket.socket, patience_s: float) -> None:
        """An upstream is ready for a guest: open the gate."""
        if gate.filler is not None:
            with suppress(OSError):
                gate.listener.accept()[0].close()
            gate.filler.close()
            gate.filler = None
            gate.listener.listen(_BACKLOG)
            self._attend(gate)
        if gate.early:
            self.carry(gate.early.popleft(), upstream)
            self._leave(gate)
        else:
            gate.ready.append(upstream)
            self._loop.after(patience_s, lambda: self._not_arrived(gate, upstream))

    def _arrived(self, gate: Gate) -> None:
        try:
            guest = gate.listener.accept()[0]
        except OSError:
            return
        if gate.ready:
            self.carry(guest, gate.ready.popleft())
            self._leave(gate)
        elif len(gate.early) < gate.users:
            gate.early.append(guest)
        else:
            reset(guest)

    def _not_arrived(self, gate: Gate, upstream: socket.socket) -> None:
        if upstream in gate.ready:
            gate.ready.remove(upstream)
            upstream.close()
            self._leave(gate)

    def _leave(self, gate: Gate) -> None:
        """One user less; the last takes the gate down."""
        gate.users -= 1
        while len(gate.early) > gate.users:
            reset(gate.early.pop())
        if gate.users == 0:
            del self._gates[gate.target]
            self._loop.forget(gate.listener)
            gate.listener.close()
            if gate.filler is not None:
                gate.filler.close()

    # -- carrying --------------------------------------------------------------------------------------------------------
    def carry(self, one: socket.socket, other: socket.socket) -> None:
        """Join two connected sockets until both directions have ended."""
        if self._carried >= MAX_CONNECTIONS:
            reset(one)
            reset(other)
            return
        try:
            pump = Pump(one, other)
        except OSError:
            reset(one)
            reset(other)
            return
        self._carried += 1
        for end in pump.sockets:
            self._loop.watch(end.fileno(), EDGE, lambda: self._move(pump))

    def _move(self, pump: Pump) -> None:
        if not pump.open:
            return
        numbers = [end.fileno() for end in pump.sockets]
        progress = pump.move()
        if progress is Progress.MORE:
            self._loop.soon(id(pump), lambda: self._move(pump))
        elif progress is Progress.END:
            self._carried -= 1
            for number in numbers:
                self._loop.closed(number)

    # -- published ports ---------------------------------------------------------------------------------------------------
    def publish(self, listener: socket.socket, port: int) -> None:
        """Join whoever connects to a listener of the host with the guest that listens on a port of its loopback."""
        listener.setblocking(False)
        self._loop.watch(listener.fileno(), READ, lambda: self._called(listener, port))

    def _called(self, listener: socket.socket, port: int) -> None:
        try:
            caller = listener.accept()[0]
        except OSError:
            return
        if self._carried >= MAX_CONNECTIONS or self._dials >= MAX_DIALS:
            reset(caller)
            return
        try:
            inner = self._factory.plain("stream", "inside", 4)
        except OSError:
            reset(caller)
            return
        self._dials += 1
        inner.connect_ex(("127.0.0.1", port))
        self._loop.watch(inner.fileno(), WRITE, lambda: self._put_through(caller, inner))

    def _put_through(self, caller: socket.socket, inner: socket.socket) -> None:
        self._dials -= 1
        self._loop.forget(inner)
        if inner.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
            inner.close()
            reset(caller)
        else:
            self.carry(caller, inner)


def closer(loop: Loop, sock: socket.socket) -> Callable[[], None]:
    """Forgets and closes a socket, if it is still open."""

    def close() -> None:
        if sock.fileno() >= 0:
            loop.forget(sock)
            sock.close()

    return close
