"""Network rules: what ``--net HOST:PORT`` and ``network = [...]`` grant, and the decision on an address or a name.

What it is: the parser of one rule, and NetworkRules, the compiled set with its two questions: may this address be dialled (``decide``),
and may this name be resolved (``grants_name``). Owns what was learnt from resolved names. Pure: opens nothing, resolves nothing, is told
the time.

    example.org:443    *.example.org:443    *:443    192.0.2.7:22    10.1.0.0/16:5432    [2001:db8::/32]:443    HOST:8000-8010
    HOST:*             HOST:53/udp          HOST:443/tcp             localhost:8080 (the host's own loopback)

Invariants: the decision is on the address that will be dialled, never on a name somebody says it has. An address is granted by a rule
that names it, or for LEARNT_NS after the resolver answered a granted name with it, for that rule's ports. Addresses that mean the host
itself or its link (SPECIAL) are granted only by a rule that names nothing else: neither 0.0.0.0/0 nor a name that resolves to 127.0.0.1
reaches the host's loopback. A name granted by a wildcard never leads to a private network. ::ffff:a.b.c.d is a.b.c.d.

Adversary: a guest chooses addresses and names; who runs a granted name's zone chooses what it resolves to. What is learnt is bounded.
Sources: RFC 6890 (special-purpose addresses), RFC 4291, RFC 1123 section 2.1 (a name whose last label is a number is none).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from typing import Final

from pylibos.abi.record import record
from pylibos.monitor.policy import Allow, Decision, Deny

EACCES: Final = 13
PORT_MAX: Final = 65535
NAME_MAX: Final = 253
LEARNT_NS: Final = 300 * 1_000_000_000
"""How long an answer of the resolver grants its addresses: its TTL and some more, because programs keep what they have looked up."""
_LEARNT_MAX: Final = 4096
PROTOCOLS: Final = ("tcp", "udp")
BOTH: Final = frozenset(PROTOCOLS)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Net = ipaddress.IPv4Network | ipaddress.IPv6Network

GUEST_ADDRESSES: Final = ("198.18.0.1", "fd70:796c:6962:6f73::1")
"""What the sandbox's own interface has, where it has one (RFC 2544 benchmarking and a local prefix: nobody's real network)."""
RESOLVER: Final = "198.18.0.53"
SPECIAL: Final[tuple[Net, ...]] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4", "198.18.0.0/24",
        "::/96", "fe80::/10", "fec0::/10", "ff00::/8", "fd70:796c:6962:6f73::/64",
    )
)  # fmt: skip
"""The host itself, its link, groups, the reserved rest, and the sandbox's own network."""
PRIVATE: Final[tuple[Net, ...]] = tuple(
    ipaddress.ip_network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "198.18.0.0/15", "fc00::/7")
)
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER: Final = re.compile(r"0x[0-9a-f]*|[0-9]+")
_PORTS: Final = re.compile(r"(?:(\*)|([0-9]{1,5})(?:-([0-9]{1,5}))?)(?:/([a-z]+))?")


class RuleError(ValueError):
    """A rule is not one; str() says why and what to write."""


@record
class NetRule:
    """One grant. Either network is set, or name: a lower-case name, ``*.name`` or ``*``. ports: first and last. origin: for messages."""

    origin: str
    ports: tuple[int, int]
    protocols: frozenset[str]
    name: str = ""
    network: Net | None = None

    def covers(self, protocol: str, port: int) -> bool:
        """Whether the rule is about this protocol and port."""
        return protocol in self.protocols and self.ports[0] <= port <= self.ports[1]

    def names(self, name: str) -> bool:
        """Whether a normal name (normal_name) is the rule's, or below its wildcard."""
        if not self.name:
            return False
        if self.name == "*":
            return True
        return name.endswith(self.name[1:]) if self.name.startswith("*.") else name == self.name


def normal_name(text: str) -> str | None:
    """A host name in lower case without its last dot; None when it is none: empty or long labels, other characters (a NUL), or a
    last label that is a number, which programs read as an address (127.1, 0x7f.1)."""
    name = text.removesuffix(".")
    name = name.lower()
    if not name.isascii() or not 0 < len(name) <= NAME_MAX:
        return None
    labels = name.split(".")
    if not all(_LABEL.fullmatch(label) for label in labels) or _NUMBER.fullmatch(labels[-1]):
        return None
    return name


def normal_address(address: Address) -> Address:
    """The address that is dialled: an IPv4-mapped IPv6 address is the IPv4 address."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return address if mapped is None else mapped


def is_special(address: Address) -> bool:
    """Whether only a rule that names nothing else may grant it."""
    return any(address in net for net in SPECIAL)


def parse_rule(text: str, origin: str) -> tuple[NetRule, ...]:
    """The rules one text means (``localhost`` is two). Raises RuleError."""
    host, colon, port = text.rpartition(":")
    if not colon or not host:
        raise RuleError("expected HOST:PORT (HOST:* for every port)")
    ports, protocols = _parse_ports(port)
    if host.startswith("["):
        if not host.endswith("]"):
            raise RuleError(f'"{host}" lacks its closing bracket')
        return (NetRule(origin, ports, protocols, network=_parse_network(host[1:-1], 6)),)
    if ":" in host:
        raise RuleError(f"write an IPv6 address in brackets: [{host}]:{port}")
    if re.fullmatch(r"[0-9.]+(/[0-9.]*)?", host):
        return (NetRule(origin, ports, protocols, network=_parse_network(host, 4)),)
    if host.lower() in {"localhost", "localhost."}:
        return tuple(NetRule(origin, ports, protocols, network=ipaddress.ip_network(own)) for own in ("127.0.0.1", "::1"))
    return (NetRule(origin, ports, protocols, name=_parse_name(host)),)


def _parse_ports(text: str) -> tuple[tuple[int, int], frozenset[str]]:
    match = _PORTS.fullmatch(text)
    if match is None:
        raise RuleError(f'"{text}" is not a port (443, 8000-8010, *, 53/udp)')
    if match[4] is not None and match[4] not in BOTH:
        raise RuleError(f'"{match[4]}" is not a protocol; known: tcp, udp')
    protocols = BOTH if match[4] is None else frozenset((match[4],))
    if match[1]:
        return (0, PORT_MAX), protocols
    first = int(match[2])
    last = first if match[3] is None else int(match[3])
    if not 0 < first <= last <= PORT_MAX:
        raise RuleError(f'"{text}": ports go from 1 to {PORT_MAX}')
    return (first, last), protocols


def _parse_network(text: str, version: int) -> Net:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise RuleError(f'"{text}" is not an address or network: {error}') from None
    if network.version != version:
        raise RuleError(f'"{text}" is not an IPv{version} address or network')
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96 and network.network_address.ipv4_mapped is not None:
        raise RuleError(f'"{text}": write the IPv4 address itself')
    return network


def _parse_name(host: str) -> str:
    if host == "*":
        return host
    wild = host.startswith("*.")
    if not host.isascii():
        raise RuleError(f'"{host}": write an international name in its ASCII form (xn--...)')
    name = normal_name(host[2:] if wild else host)
    if name is None or (wild and "." not in name):
        raise RuleError(f'"{host}" is not a host name, *.name.tld, address or network')
    return f"*.{name}" if wild else name


class NetworkRules:
    """The rules of one sandbox, and what it has learnt from names they grant."""

    __slots__ = ("_learnt", "_rules")

    def __init__(self, rules: Iterable[NetRule] = ()) -> None:
        self._rules: Sequence[NetRule] = tuple(rules)
        self._learnt: dict[Address, dict[str, int]] = {}
        """address -> the names that resolved to it, and until when (ns) each holds."""

    def __bool__(self) -> bool:
        return bool(self._rules)

    def decide(self, protocol: str, address: Address, port: int, now_ns: int) -> Decision:
        """Whether protocol ("tcp", "udp") to that port of that address is granted."""
        address = normal_address(address)
        special = [net for net in SPECIAL if address in net]
        for rule in self._rules:
            if rule.network is None or address not in rule.network or not rule.covers(protocol, port):
                continue
            if all(_within(rule.network, net) for net in special):
                return Allow(rule.origin)
        if special:
            return Deny("network: the host itself is reached only by a rule that names it", EACCES, "--net")
        names = [name for name, until in self._learnt.get(address, {}).items() if until > now_ns]
        for name in names:
            for rule in self.granting(name, address):
                if rule.covers(protocol, port):
                    return Allow(f"{rule.origin} ({name})")
        if any(rule.name == "*" and rule.covers(protocol, port) for rule in self._rules) and not _is_private(address):
            return Allow("network: *")
        known = f" for {names[0]}" if names else ""
        return Deny(f"network: no rule{known}" if self._rules else "network: none", EACCES, "--net")

    def granting(self, name: str, address: Address) -> Iterable[NetRule]:
        """The rules by which a (normal) name leads to an address it resolved to."""
        address = normal_address(address)
        if is_special(address):
            return ()
        private = _is_private(address)
        return (rule for rule in self._rules if rule.names(name) and not (private and rule.name.startswith("*")))

    def grants_name(self, name: str) -> Decision:
        """Whether a (normal) name may be resolved: some rule grants something by it."""
        for rule in self._rules:
            if rule.names(name):
                return Allow(rule.origin)
        return Deny("network: no rule", EACCES, "--net")

    def learn(self, name: str, address: Address, now_ns: int) -> None:
        """The resolver has answered a granted name with this address."""
        address = normal_address(address)
        while len(self._learnt) >= _LEARNT_MAX and address not in self._learnt:
            del self._learnt[next(iter(self._learnt))]
        names = self._learnt.setdefault(address, {})
        names[name] = now_ns + LEARNT_NS
        if len(names) > 64:  # one address that serves a whole zone
            del names[next(iter(names))]

    def wants_host_loopback(self, protocol: str, address: Address, port: int) -> bool:
        """Whether a rule names the host's own loopback at this port: there the sandbox's own stands back."""
        address = normal_address(address)
        return address.is_loopback and self.decide(protocol, address, port, 0).__class__ is Allow


def _within(network: Net, outer: Net) -> bool:
    """Whether outer covers network (both of one version, as both hold the same address)."""
    return network.prefixlen >= outer.prefixlen


def _is_private(address: Address) -> bool:
    return any(address in net for net in PRIVATE)
