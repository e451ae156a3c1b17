"""The supervisor's side of the network: decides on addresses, and asks the network domain for the ways that are granted.

What it is: what stands behind ``tcp:`` and ``udp:`` streams. Owns the decision (NetworkRules; told of resolved names before a guest
can act on them) and the control socket. Never waits: a way's stream becomes readable when its outcome is known.
Invariants: no rules, no domain, no way; every decision is recorded in the name of whose call asked.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import signal
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pylibos.monitor.host_abi import HostError
from pylibos.monitor.network.rules import NetRule, NetworkRules, normal_address
from pylibos.monitor.policy import AnyOperation, Deny, NetworkOperation

if TYPE_CHECKING:
    from pylibos.monitor.policy import Decision

_MESSAGE_MAX: Final = 512
_URI_MAX: Final = 64
Record = Callable[[AnyOperation, bytes, "Decision"], None]


class NetworkLink:
    """One sandbox's network, seen from the supervisor. record: told of decisions (of allowed ones too, with record_all)."""

    def __init__(self, rules: tuple[NetRule, ...] = (), record: Record | None = None, *, record_all: bool = False) -> None:
        self.rules = NetworkRules(rules)
        self._record = record
        self._record_all = record_all
        self._control: socket.socket | None = None
        self._process = -1
        """The domain's pidfd."""
        self.ready = False
        """The domain has set the sandbox's network up."""
        self.failure = ""
        """Why there is no way out although there should be."""

    @property
    def is_open(self) -> bool:
        """Whether the domain is there."""
        return self._control is not None

    def start(self, init_pid: int, *, user: bool, published: list[tuple[socket.socket, int]]) -> int:
        """Start the domain for the name spaces of init (user: it has a user name space of its own). The descriptor to watch for reading."""
        from pylibos.monitor.network.domain import start

        network = os.open(f"/proc/{init_pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        outer = os.open(f"/proc/{init_pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC) if user else None
        self._control, self._process = start((outer, network), self.rules, published, ipv6=_has_ipv6())
        os.close(network)
        if outer is not None:
            os.close(outer)
        for listener, _port in published:
            listener.close()
        return self._control.fileno()

    def receive(self) -> None:
        """Take what the domain has said."""
        control = self._control
        while control is not None:
            try:
                message = control.recv(_MESSAGE_MAX, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                message = b""
            if not message:
                control.close()
                self._control = None
                self.failure = self.failure or "the network domain has ended"
                return
            self._said(message.decode("ascii", "replace"))

    def _said(self, text: str) -> None:
        word, _, rest = text.partition(" ")
        if word == "ready":
            self.ready = True
        elif word == "learn":
            name, _, address = rest.partition(" ")
            self.rules.learn(name, ipaddress.ip_address(address), time.monotonic_ns())
        elif word == "denied":
            name, _, rule = rest.partition(" ")
            if self._record is not None:
                self._record(NetworkOperation.RESOLVE, f"{name}:*".encode(), Deny(rule, errno.EACCES, "--net"))
        else:
            self.failure = rest

    def open(self, protocol: str, name: bytes) -> int:
        """The stream of a way to ADDRESS/PORT: readable with the outcome. HostError EACCES, ENETUNREACH, EINVAL."""
        self.receive()
        address_text, slash, port_text = name.rpartition(b"/")
        if not slash or len(name) > _URI_MAX or not port_text.isdigit():
            raise HostError(errno.EINVAL, "not ADDRESS/PORT")
        try:
            address, port = normal_address(ipaddress.ip_address(address_text.decode("ascii"))), int(port_text)
        except ValueError:
            raise HostError(errno.EINVAL, "not an address") from None
        decision = self.rules.decide(protocol, address, port, time.monotonic_ns())
        denied = isinstance(decision, Deny)
        if self._record is not None and (denied or self._record_all):
            shown = f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
            self._record(NetworkOperation.CONNECT, shown.encode(), decision)
        if denied:
            raise HostError(errno.EACCES, decision.rule)
        if self._control is None:
            raise HostError(errno.ENETUNREACH, self.failure or "there is no network domain")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.setblocking(False)
        with theirs:
            try:
                socket.send_fds(self._control, [f"{protocol} {address} {port}".encode()], [theirs.fileno()], socket.MSG_DONTWAIT)
            except OSError as error:
                ours.close()
                raise HostError(error.errno or errno.EIO, "the network domain is behind") from None
        return ours.detach()

    def close(self) -> None:
        """End the domain, at once."""
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._process, signal.SIGKILL)
            os.close(self._process)
            self._process = -1


def _has_ipv6() -> bool:
    """Whether the host itself has an IPv6 address beyond its loopback and links."""
    try:
        with open("/proc/net/if_inet6", "rb") as file:
            return any(line.split()[3] == b"00" for line in file)
    except OSError:
        return False
