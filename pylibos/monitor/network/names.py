"""Name resolution for the sandbox: a DNS message in, a DNS message out, decided by the rules.

What it is: the decision about one question and the building of its answer. The wire format is dnspython's. Owns nothing. Must not
resolve: whoever owns the loop does that, off the loop, and comes back with addresses.

A name no rule grants is NXDOMAIN at once. A granted name has addresses only (A, AAAA); for other types there is no data. Addresses that
the rules would not grant by that name (the host itself, its link, private networks below a wildcard) are left out; when none is left
the name does not exist.

Adversary: a guest sends any bytes: what is no single question of class IN is FORMERR, REFUSED or dropped. The name is taken from the
labels themselves: a label with a dot, a NUL or any other odd byte in it is no host name, whatever it looks like when printed.
Sources: RFC 1035, RFC 2308 (negative answers), RFC 6891 (EDNS).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final

import dns.exception
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.OPT
import dns.rdtypes.IN.A
import dns.rdtypes.IN.AAAA  # dnspython imports types by name when it meets them; these are met by everybody
import dns.rrset

from pylibos.monitor.network.rules import Address, NetworkRules, normal_address, normal_name
from pylibos.monitor.policy import Deny

TTL_S: Final = 60
_ADDRESS_TYPES: Final = {dns.rdatatype.A: 4, dns.rdatatype.AAAA: 6}
_UDP_SIZE: Final = 512
MESSAGE_MAX: Final = 65535


class Question:
    """One query that was understood. name: the normal host name to resolve, None when the answer is known already (``response``)."""

    __slots__ = ("denied", "name", "query", "rcode")

    def __init__(self, query: dns.message.Message, name: str | None, rcode: dns.rcode.Rcode, denied: tuple[str, str] | None) -> None:
        self.query = query
        self.name = name
        self.rcode = rcode
        self.denied = denied
        """(name, rule) of a refusal that people should hear of."""

    @property
    def version(self) -> int:
        """4 or 6: the addresses asked for; 0 for other types."""
        return _ADDRESS_TYPES.get(self.query.question[0].rdtype, 0) if self.query.question else 0

    def answer(self, rules: NetworkRules, addresses: Sequence[Address], *, found: bool, stream: bool) -> tuple[bytes, list[Address]]:
        """The message that answers, and the addresses it gives. addresses: the host's resolver's; found: whether it knows the name."""
        given: list[Address] = []
        response = dns.message.make_response(self.query, recursion_available=True)
        response.set_rcode(self.rcode)
        if self.name is not None:
            usable = [normal_address(address) for address in addresses if any(True for _rule in rules.granting(self.name, address))]
            if not found or (addresses and not usable):
                response.set_rcode(dns.rcode.NXDOMAIN)
            given = [address for address in usable if address.version == self.version]
            if given:
                question = self.query.question[0]
                texts = [str(address) for address in given]
                response.answer.append(dns.rrset.from_text_list(question.name, TTL_S, dns.rdataclass.IN, question.rdtype, texts))
        size = MESSAGE_MAX if stream else max(_UDP_SIZE, min(self.query.payload, 4096))
        try:
            return response.to_wire(max_size=size), given
        except dns.exception.TooBig:
            del response.answer[:]
            response.flags |= dns.flags.TC
            return response.to_wire(), given


def host_name(labels: Sequence[bytes]) -> str | None:
    """The normal name of a question's labels (the last is the empty root label), or None when they are no host name."""
    parts = labels[:-1] if labels and not labels[-1] else labels
    if any(b"." in part or not part for part in parts):
        return None
    try:
        text = b".".join(parts).decode("ascii")
    except UnicodeDecodeError:
        return None
    return None if text.endswith(".") else normal_name(text)


def understand(rules: NetworkRules, message: bytes) -> Question | None:
    """Take a query apart and decide on its name. None: not even an answer can be made."""
    try:
        query = dns.message.from_wire(message, ignore_trailing=False, one_rr_per_rrset=True)
    except (dns.exception.DNSException, ValueError, IndexError, AssertionError):
        return None
    if query.flags & dns.flags.QR:
        return None
    if query.opcode() != dns.opcode.QUERY:
        return Question(query, None, dns.rcode.NOTIMP, None) if query.opcode() != dns.opcode.UPDATE else None
    if len(query.question) != 1:
        return Question(query, None, dns.rcode.FORMERR, None)
    question = query.question[0]
    if question.rdclass != dns.rdataclass.IN:
        return Question(query, None, dns.rcode.REFUSED, None)
    name = host_name(question.name.labels)
    if name is None:
        return Question(query, None, dns.rcode.NXDOMAIN, None)
    decision = rules.grants_name(name)
    if isinstance(decision, Deny):
        # A reverse look-up is no wish of the program's own: nobody need hear of it.
        quiet = name.endswith(".arpa")
        return Question(query, None, dns.rcode.NXDOMAIN, None if quiet else (name, decision.rule))
    if question.rdtype not in _ADDRESS_TYPES:
        return Question(query, None, dns.rcode.NOERROR, None)
    return Question(query, name, dns.rcode.NOERROR, None)


def parse_addresses(texts: Sequence[str]) -> list[Address]:
    """What getaddrinfo returned, without scopes and doubles."""
    found: dict[Address, None] = {}
    for text in texts:
        try:
            found[ipaddress.ip_address(text)] = None
        except ValueError:
            continue  # a scoped link-local address is never granted by name
    return list(found)
