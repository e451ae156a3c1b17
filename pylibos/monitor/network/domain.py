"""The network domain: the processes between the sandbox's network and the host's.

What it is: the domain proper, which dials, carries, resolves and accepts (connections.py, datagrams.py, resolver.py), and the place
(place.py), a process in the guests' name spaces that makes the sockets towards them. Guests reach the world only by reaching a socket made
here for one destination that the rules grant, so nothing a guest does with its own sockets, at whatever moment, leads further.
The supervisor (link.py) asks with one message and one end of a socket pair; four bytes come back on that: 0, and the guest's own connect
arrives, or an errno. Owns both processes' lives: they end when the supervisor's end of the control socket closes, however that came.

Invariants: nothing is dialled that the rules do not grant at that moment, whoever asks; a fault ends the domain, and with it every way out.
"""

from __future__ import annotations

import errno
import gc
import ipaddress
import os
import signal
import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pylibos import bundle
from pylibos.monitor.native_ctypes import end_with_parent
from pylibos.monitor.network.connections import Connections, finish
from pylibos.monitor.network.datagrams import Datagrams
from pylibos.monitor.network.loop import READ, Loop
from pylibos.monitor.network.place import Factory, serve
from pylibos.monitor.policy import Deny

if TYPE_CHECKING:
    from pylibos.monitor.network.rules import Address, NetworkRules

MESSAGE_MAX: Final = 512
NOBODY: Final = 65534
_IGNORED: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGALRM, signal.SIGCHLD)


class Domain:
    """The loop's parts, put together. control: to the supervisor. published: host listeners and the guests' ports behind them."""

    def __init__(self, control: socket.socket, factory: Factory, rules: NetworkRules, published: list[tuple[socket.socket, int]]) -> None:
        self._control = control
        self._rules = rules
        self.loop = Loop()
        self._connections = Connections(self.loop, factory)
        self._datagrams = Datagrams(self.loop, factory)
        from pylibos.monitor.network.resolver import Resolver  # dnspython: 60 ms that the supervisor need not wait for

        self._resolver = Resolver(self.loop, factory, rules, learnt=self._learnt, denied=self._denied)
        for listener, port in published:
            self._connections.publish(listener, port)
        self.loop.watch(control.fileno(), READ, self._requested)

    def _requested(self) -> None:
        try:
            message, descriptors, _flags, _from = socket.recv_fds(self._control, MESSAGE_MAX, 1, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        if not message or len(descriptors) != 1:
            self.loop.running = False
            return
        answer = socket.socket(fileno=descriptors[0])
        answer.setblocking(False)
        protocol, address, port = message.decode("ascii").split(" ")
        target = (address, int(port))
        decision = self._rules.decide(protocol, ipaddress.ip_address(address), target[1], time.monotonic_ns())
        if isinstance(decision, Deny):
            finish(answer, errno.EACCES)
        elif protocol == "tcp":
            self._connections.dial(target, answer)
        else:
            self._datagrams.associate(target, answer)

    def _learnt(self, name: str, address: Address) -> None:
        self._rules.learn(name, address, time.monotonic_ns())
        tell(self._control, f"learn {name} {address}")

    def _denied(self, name: str, rule: str) -> None:
        tell(self._control, f"denied {name} {rule}")


def tell(control: socket.socket, text: str) -> None:
    """A message to the supervisor; it is lost when the supervisor is far behind or gone."""
    with suppress(OSError):
        control.send(text.encode("ascii", "replace")[:MESSAGE_MAX], socket.MSG_DONTWAIT)


def start(
    name_spaces: tuple[int | None, int], rules: NetworkRules, published: list[tuple[socket.socket, int]], *, ipv6: bool
) -> tuple[socket.socket, int]:
    """Start the domain: our end of its control socket, and its pidfd. name_spaces: descriptors of the guests' user (or None) and network
    name space.

    It is a child of the caller, who kills it or dies first; somebody who waits for any child may reap it.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    supervisor = os.getpid()
    child = os.fork()
    if child == 0:
        try:
            ours.close()
            _run(theirs, supervisor, name_spaces, rules, published, ipv6=ipv6)
        finally:
            os._exit(0)
    theirs.close()
    return ours, os.pidfd_open(child)


def _run(
    control: socket.socket,
    supervisor: int,
    name_spaces: tuple[int | None, int],
    rules: NetworkRules,
    published: list[tuple[socket.socket, int]],
    *,
    ipv6: bool,
) -> None:
    gc.disable()
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    user, network = name_spaces
    kept = {control.fileno(), network, *(listener.fileno() for listener, _port in published)} | ({user} if user is not None else set())
    bundle.forget()
    _close_all_but(kept)
    factory_end, place_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    _end_with(supervisor)
    domain = os.getpid()
    if os.fork() == 0:
        try:
            _end_with(domain)
            _close_all_but({place_end.fileno(), *((user,) if user is not None else ()), network})
            serve(place_end, user, network, ipv6=ipv6, ready=lambda: _end_with(domain))
        finally:
            os._exit(0)
    place_end.close()
    os.close(network)
    if user is not None:
        os.close(user)
    try:
        # Everything is imported before the privileges go: nobody may be unable to read where it lies.
        from pylibos.monitor.network import resolver  # noqa: F401

        _give_up_root()
        _end_with(supervisor)
        report = factory_end.recv(MESSAGE_MAX)
        if report != b"ready":
            tell(control, report.decode("ascii", "replace") or "failed the process in the guests' name spaces died")
            return
        built = Domain(control, Factory(factory_end), rules, published)
        tell(control, "ready")
        built.loop.run()
    except (OSError, ValueError, ImportError) as fault:  # whatever else ends us, the supervisor sees that we are gone
        tell(control, f"failed {type(fault).__name__}: {fault}")
        raise


def _end_with(parent: int) -> None:
    """Die when the parent does. To be said again after every change of identity, which takes it back."""
    end_with_parent(signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def _close_all_but(kept: set[int]) -> None:
    """Descriptors of the supervisor are not ours; 0 to 2 become /dev/null, so that nobody waits for us to close them."""
    null = os.open("/dev/null", os.O_RDWR | os.O_CLOEXEC)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    first = 3
    for descriptor in sorted(kept):
        os.closerange(first, descriptor)
        first = descriptor + 1
    os.closerange(first, os.sysconf("SC_OPEN_MAX"))


def _give_up_root() -> None:
    if os.geteuid() == 0:
        with suppress(PermissionError):
            os.setgroups([])
        os.setresgid(NOBODY, NOBODY, NOBODY)
        os.setresuid(NOBODY, NOBODY, NOBODY)
