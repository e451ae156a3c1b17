"""The inner end of the sandbox's network: a process in the guests' name spaces that sets them up and makes sockets there on request.

What it is: entering the name spaces of the init process, one link with a gateway behind it, and a closed set of three requests. With a
veth pair the gateway is a network name space of its own in which every address of the Internet is local (a route of type local), so that a
listener there answers for any of them; the guests see an ordinary interface with a default route. Where the kernel has no veth, the
guests' own loopback device is the gateway, too. Owns nothing that leads outside: the way on is the domain's (domain.py).
Must not know rules. Netlink is pyroute2's.

Adversary: only the domain can ask, and what it asks for is parsed all the same. Guests share the network, not the process.
Sources: network_namespaces(7), user_namespaces(7), setns(2), veth(4), ip-route(8) (type local), ip(7) (IP_FREEBIND).
"""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from pylibos.monitor.network.rules import GUEST_ADDRESSES, RESOLVER

if TYPE_CHECKING:
    from collections.abc import Callable

CLONE_NEWNET: Final = 0x40000000
_IPV6_FREEBIND: Final = 78
_RTN_LOCAL: Final = 2
_SCOPE_HOST: Final = 254
_MTU: Final = 65_000
"""Packets as large as the loopback's: fewer of them."""
GATEWAYS: Final = (RESOLVER, "fd70:796c:6962:6f73::53")
_LENGTHS: Final = (24, 64)
_REQUEST_LIMIT: Final = 256
_NODAD: Final = 0x02


class PlaceError(Exception):
    """The sandbox's network could not be set up; str() says what failed."""


class Place:
    """The two name spaces, and sockets in them. user: descriptor of the user name space to enter, None for none."""

    def __init__(self, user: int | None, network: int, *, ipv6: bool) -> None:
        from pylibos.monitor.native_ctypes import setns, unshare

        self._setns = setns
        if user is not None:
            setns(user, 0)
        setns(network, CLONE_NEWNET)
        self._inside = network
        self._families = (socket.AF_INET, socket.AF_INET6) if ipv6 else (socket.AF_INET,)
        unshare(CLONE_NEWNET)
        self._gate = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            self._make_link()
        except OSError:
            os.close(self._gate)
            self._gate = network
            setns(network, CLONE_NEWNET)
            self._use_loopback()

    def _make_link(self) -> None:
        """We are in the gateway's name space. OSError when there is no veth."""
        with self._netlink() as gate:
            gate.link("set", index=1, state="up")
            try:
                gate.link("add", ifname="inner", kind="veth", peer={"ifname": "eth0", "net_ns_fd": self._inside, "mtu": _MTU}, mtu=_MTU)
            except _netlink_error() as error:
                raise OSError(error.code, "veth") from None
            inner = gate.link_lookup(ifname="inner")[0]
            for family, address, length in zip(self._families, GATEWAYS, _LENGTHS, strict=False):
                self._address(gate, inner, family, address, length)
            gate.link("set", index=inner, state="up")
            for family in self._families:
                gate.route("add", family=family, dst=_everything(family), type=_RTN_LOCAL, scope=_SCOPE_HOST, oif=1)
        self._setns(self._inside, CLONE_NEWNET)
        with self._netlink() as inside:
            outer = inside.link_lookup(ifname="eth0")[0]
            for family, address, length in zip(self._families, GUEST_ADDRESSES, _LENGTHS, strict=False):
                self._address(inside, outer, family, address, length)
            inside.link("set", index=outer, state="up")
            for family, gateway in zip(self._families, GATEWAYS, strict=False):
                inside.route("add", family=family, dst=_everything(family), gateway=gateway)

    def _use_loopback(self) -> None:
        """We are in the guests' name space: its lo answers for every address."""
        with self._netlink() as inside:
            for family, own, gateway, length in zip(self._families, GUEST_ADDRESSES, GATEWAYS, (32, 128), strict=False):
                self._address(inside, 1, family, own, length)
                self._address(inside, 1, family, gateway, length)
                source = {"prefsrc": own} if family == socket.AF_INET else {}
                inside.route("add", family=family, dst=_everything(family), type=_RTN_LOCAL, scope=_SCOPE_HOST, oif=1, **source)

    @staticmethod
    def _netlink() -> Any:
        from pyroute2 import IPRoute

        return IPRoute()

    @staticmethod
    def _address(link: Any, index: int, family: int, address: str, length: int) -> None:
        flags = {"flags": _NODAD} if family == socket.AF_INET6 else {}
        link.addr("add", index=index, family=family, address=address, prefixlen=length, **flags)

    def plain(self, kind: str, where: str, family: int) -> socket.socket:
        """A socket without a name, that does not block. kind: stream, dgram; where: inside (the guests' name space), gate."""
        self._setns(self._inside if where == "inside" else self._gate, CLONE_NEWNET)
        made = socket.socket(family, (socket.SOCK_STREAM if kind == "stream" else socket.SOCK_DGRAM) | socket.SOCK_NONBLOCK)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            made.setsockopt(socket.IPPROTO_IPV6, _IPV6_FREEBIND, 1)
        return made

    def bound(self, kind: str, where: str, address: str, port: int) -> socket.socket:
        """The same, bound to a name. OSError."""
        made = self.plain(kind, where, socket.AF_INET6 if ":" in address else socket.AF_INET)
        try:
            if kind == "stream":
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind((address, port))
        except OSError:
            made.close()
            raise
        return made


def _netlink_error() -> type[Any]:
    from pyroute2.netlink.exceptions import NetlinkError

    kind: type[Any] = NetlinkError
    return kind


def _everything(family: int) -> str:
    return "0.0.0.0/0" if family == socket.AF_INET else "::/0"


def _tell_failure(control: socket.socket, error: BaseException) -> None:
    with suppress(OSError):
        control.send(f"failed {type(error).__name__}: {error}".encode()[:_REQUEST_LIMIT])


def serve(control: socket.socket, user: int | None, network: int, *, ipv6: bool, ready: Callable[[], None]) -> None:
    """Set up, call ready, report, then answer requests until the other end is gone. Every answer is an errno and, with 0, a socket."""
    try:
        place = Place(user, network, ipv6=ipv6)
    except (OSError, ValueError, ImportError) as error:
        _tell_failure(control, error)
        raise
    except _netlink_error() as error:
        _tell_failure(control, error)
        raise
    ready()
    control.send(b"ready")
    while True:
        request = control.recv(_REQUEST_LIMIT)
        if not request:
            return
        try:
            made = _asked(place, request.decode("ascii").split(" "))
        except OSError as error:
            control.send(b"%d" % (error.errno or errno.EIO))
            continue
        except (ValueError, UnicodeDecodeError):
            control.send(b"%d" % errno.EINVAL)
            continue
        with made:
            socket.send_fds(control, [b"0"], [made.fileno()])


def _asked(place: Place, words: list[str]) -> socket.socket:
    """bind KIND WHERE ADDRESS PORT, or plain KIND WHERE 4|6."""
    what, kind, where, *rest = words
    if kind not in ("stream", "dgram") or where not in ("inside", "gate"):
        raise ValueError(kind)
    if what == "bind":
        address, port = rest
        return place.bound(kind, where, address, int(port))
    if what == "plain":
        (version,) = rest
        return place.plain(kind, where, socket.AF_INET6 if version == "6" else socket.AF_INET)
    raise ValueError(what)


class Factory:
    """The domain's side of a place: asks and waits (the place answers within microseconds)."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control

    def bound(self, kind: str, where: str, address: str, port: int) -> socket.socket:
        """A socket bound there. OSError with the errno bind had."""
        return self._ask(f"bind {kind} {where} {address} {port}")

    def plain(self, kind: str, where: str, version: int) -> socket.socket:
        """A socket without a name there."""
        return self._ask(f"plain {kind} {where} {version}")

    def _ask(self, request: str) -> socket.socket:
        self._control.send(request.encode("ascii"))
        answer, descriptors, _flags, _from = socket.recv_fds(self._control, 16, 1)
        if answer != b"0" or len(descriptors) != 1:
            number = int(answer) if answer.isdigit() else errno.EIO
            raise OSError(number, os.strerror(number))
        return socket.socket(fileno=descriptors[0])
