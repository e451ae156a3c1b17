from __future__ import annotations

import ipaddress

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylibos.monitor.network.names import Question, host_name, parse_addresses, understand
from pylibos.monitor.network.rules import NetworkRules, parse_rule

RULES = NetworkRules(rule for text in ("site.example:443", "*.wild.example:80") for rule in parse_rule(text, "test"))
A, AAAA = ipaddress.ip_address("93.184.216.34"), ipaddress.ip_address("2606:4700::1")


def asked(name: str | dns.name.Name, kind: str = "A") -> Question:
    question = understand(RULES, dns.message.make_query(name, kind).to_wire())
    assert question is not None
    return question


def answered(question: Question, *addresses: str, found: bool = True) -> dns.message.Message:
    wire, given = question.answer(RULES, parse_addresses(addresses), found=found, stream=False)
    message = dns.message.from_wire(wire)
    assert sorted(str(item) for rrset in message.answer for item in rrset) == sorted(map(str, given))
    assert message.id == question.query.id
    return message


def test_a_granted_name_has_addresses_of_the_kind_asked_for() -> None:
    for kind, expected in (("A", str(A)), ("AAAA", str(AAAA))):
        question = asked("Site.Example.", kind)
        assert question.name == "site.example"
        message = answered(question, str(A), str(AAAA))
        assert message.rcode() == dns.rcode.NOERROR
        assert [str(item) for rrset in message.answer for item in rrset] == [expected]


def test_a_name_without_addresses_of_that_kind_exists_all_the_same() -> None:
    message = answered(asked("site.example", "AAAA"), str(A))
    assert (message.rcode(), message.answer) == (dns.rcode.NOERROR, [])


def test_a_name_the_host_does_not_know() -> None:
    assert answered(asked("a.wild.example"), found=False).rcode() == dns.rcode.NXDOMAIN


@pytest.mark.parametrize("name", ["other.example", "wild.example", "site.example.other.", "xsite.example", "1.2.0.192.in-addr.arpa"])
def test_no_rule_no_name(name: str) -> None:
    question = asked(name)
    assert question.name is None
    assert (question.denied is None) == name.endswith(".arpa")
    assert answered(question).rcode() == dns.rcode.NXDOMAIN


@pytest.mark.parametrize(
    "labels",
    [
        (b"evil.net\0", b"wild", b"example", b""),
        (b"evil.net\0.wild.example", b""),
        (b"a.wild.example", b""),
        (b"a", b"wild.example", b""),
        (b"\xff", b"wild", b"example", b""),
        (b"a b", b"wild", b"example", b""),
        (b"a/../b", b"wild", b"example", b""),
        (b"127", b"1", b""),
        (b"0x7f", b"1", b""),
        (b"0x7f000001", b""),
        (b"",),
    ],
)
def test_odd_labels_are_no_host_name(labels: tuple[bytes, ...]) -> None:
    assert host_name(labels) is None
    assert answered(asked(dns.name.Name(labels))).rcode() == dns.rcode.NXDOMAIN


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "169.254.169.254", "224.0.0.1", "::1", "::", "::ffff:127.0.0.1", "fe80::1"])
@pytest.mark.parametrize("name", ["site.example", "a.wild.example"])
def test_a_name_that_leads_to_the_host_does_not_exist(name: str, address: str) -> None:
    message = answered(asked(name, "AAAA" if ":" in address else "A"), address)
    assert (message.rcode(), message.answer) == (dns.rcode.NXDOMAIN, [])


def test_only_a_name_without_wildcard_leads_to_a_private_network() -> None:
    assert answered(asked("site.example"), "10.0.0.1").answer
    assert not answered(asked("a.wild.example"), "10.0.0.1").answer


def test_mixed_addresses_are_sorted_out() -> None:
    message = answered(asked("site.example"), "127.0.0.1", str(A))
    assert [str(item) for rrset in message.answer for item in rrset] == [str(A)]


@pytest.mark.parametrize("kind", ["MX", "TXT", "SRV", "HTTPS", "ANY", "NS", "SOA"])
def test_other_types_have_no_data(kind: str) -> None:
    question = asked("site.example", kind)
    assert question.name is None
    message = answered(question)
    assert (message.rcode(), message.answer) == (dns.rcode.NOERROR, [])


def test_what_is_no_query_gets_no_answer() -> None:
    response = dns.message.make_response(dns.message.make_query("site.example", "A"))
    assert understand(RULES, response.to_wire()) is None
    assert understand(RULES, b"") is None


def test_other_classes_are_refused() -> None:
    question = understand(RULES, dns.message.make_query("site.example", "A", "CH").to_wire())
    assert question is not None
    assert answered(question).rcode() == dns.rcode.REFUSED


def test_a_large_answer_is_truncated_for_a_datagram_and_whole_in_a_stream() -> None:
    question = asked("site.example")
    addresses = [ipaddress.ip_address(0x0B000000 + number) for number in range(100)]
    wire, _given = question.answer(RULES, addresses, found=True, stream=False)
    assert len(wire) <= 512
    assert dns.message.from_wire(wire).flags & dns.flags.TC
    wire, given = question.answer(RULES, addresses, found=True, stream=True)
    assert len(given) == 100
    assert not dns.message.from_wire(wire).flags & dns.flags.TC


@given(st.binary(max_size=300))
def test_any_bytes_are_understood_or_dropped(message: bytes) -> None:
    question = understand(RULES, message)
    if question is not None:
        dns.message.from_wire(question.answer(RULES, (A, AAAA), found=True, stream=False)[0])


@given(st.data())
def test_mutated_queries_are_understood_or_dropped(data: st.DataObject) -> None:
    wire = bytearray(dns.message.make_query("a.wild.example", "A", use_edns=data.draw(st.booleans())).to_wire())
    for position in data.draw(st.lists(st.integers(0, len(wire) - 1), max_size=6)):
        wire[position] = data.draw(st.integers(0, 255))
    question = understand(RULES, bytes(wire))
    if question is not None:
        response, given = question.answer(RULES, (A,), found=True, stream=False)
        assert len(response) <= 4096
        assert not given or (question.name is not None and question.name.endswith((".wild.example", "site.example")))
