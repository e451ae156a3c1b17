from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylibos.monitor.network.rules import LEARNT_NS, SPECIAL, NetworkRules, RuleError, normal_name, parse_rule
from pylibos.monitor.policy import Allow


def rules(*texts: str) -> NetworkRules:
    return NetworkRules(rule for text in texts for rule in parse_rule(text, text))


def allows(granted: NetworkRules, address: str, port: int = 443, protocol: str = "tcp", now: int = 0) -> bool:
    return isinstance(granted.decide(protocol, ipaddress.ip_address(address), port, now), Allow)


@pytest.mark.parametrize(
    ("rule", "address", "port", "protocol", "expected"),
    [
        ("192.0.2.7:443", "192.0.2.7", 443, "tcp", True),
        ("192.0.2.7:443", "192.0.2.7", 443, "udp", True),
        ("192.0.2.7:443/tcp", "192.0.2.7", 443, "udp", False),
        ("192.0.2.7:443", "192.0.2.7", 444, "tcp", False),
        ("192.0.2.7:443", "192.0.2.8", 443, "tcp", False),
        ("192.0.2.7:443", "::ffff:192.0.2.7", 443, "tcp", True),
        ("192.0.2.0/24:8000-8010", "192.0.2.9", 8010, "tcp", True),
        ("192.0.2.0/24:8000-8010", "192.0.2.9", 8011, "tcp", False),
        ("[2001:db8::/32]:*", "2001:db8::9", 1, "udp", True),
        ("[2001:db8::/32]:*", "2001:db9::9", 1, "udp", False),
        ("10.0.0.0/8:5432", "10.1.2.3", 5432, "tcp", True),
        # The host itself needs a rule of its own.
        ("0.0.0.0/0:*", "127.0.0.1", 443, "tcp", False),
        ("0.0.0.0/0:*", "8.8.8.8", 443, "tcp", True),
        ("0.0.0.0/0:*", "0.0.0.0", 443, "tcp", False),
        ("0.0.0.0/0:*", "169.254.169.254", 80, "tcp", False),
        ("169.254.169.254:80", "169.254.169.254", 80, "tcp", True),
        ("0.0.0.0/0:*", "255.255.255.255", 80, "udp", False),
        ("0.0.0.0/0:*", "224.0.0.1", 80, "udp", False),
        ("0.0.0.0/0:*", "198.18.0.53", 53, "udp", False),
        ("[::/0]:*", "::1", 443, "tcp", False),
        ("[::/0]:*", "::", 443, "tcp", False),
        ("[::/0]:*", "::7f00:1", 443, "tcp", False),
        ("[::/0]:*", "::ffff:127.0.0.1", 443, "tcp", False),
        ("[::/0]:*", "::ffff:8.8.8.8", 443, "tcp", False),
        ("[::/0]:*", "fe80::1", 443, "tcp", False),
        ("[::/0]:*", "2606:4700::1", 443, "tcp", True),
        ("127.0.0.1:8080", "127.0.0.1", 8080, "tcp", True),
        ("127.0.0.1:8080", "::ffff:127.0.0.1", 8080, "tcp", True),
        ("127.0.0.1:8080", "127.0.0.2", 8080, "tcp", False),
        ("127.0.0.0/8:8080", "127.9.9.9", 8080, "tcp", True),
        ("126.0.0.0/7:8080", "127.0.0.1", 8080, "tcp", False),
        ("localhost:8080", "127.0.0.1", 8080, "tcp", True),
        ("localhost:8080", "::1", 8080, "tcp", True),
        ("*:443", "8.8.8.8", 443, "tcp", True),
        ("*:443", "10.0.0.1", 443, "tcp", False),
        ("*:443", "127.0.0.1", 443, "tcp", False),
        # A name grants no address by itself.
        ("example.org:443", "93.184.216.34", 443, "tcp", False),
    ],
)
def test_addresses(rule: str, address: str, port: int, protocol: str, expected: bool) -> None:
    assert allows(rules(rule), address, port, protocol) is expected


@pytest.mark.parametrize(
    ("rule", "name", "expected"),
    [
        ("example.org:443", "example.org", True),
        ("EXAMPLE.org:443", "example.org", True),
        ("example.org.:443", "example.org", True),
        ("example.org:443", "www.example.org", False),
        ("example.org:443", "notexample.org", False),
        ("*.example.org:443", "www.example.org", True),
        ("*.example.org:443", "a.b.example.org", True),
        ("*.example.org:443", "example.org", False),
        ("*.example.org:443", "evilexample.org", False),
        ("*.example.org:443", "example.org.evil.net", False),
        ("*:443", "anything.at.all", True),
        ("192.0.2.7:443", "example.org", False),
    ],
)
def test_names(rule: str, name: str, expected: bool) -> None:
    assert isinstance(rules(rule).grants_name(name), Allow) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Example.ORG.", "example.org"),
        ("a_b.example.org", "a_b.example.org"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("evil.com\0.example.org", None),
        ("example.org..", None),
        ("", None),
        (".", None),
        ("127.1", None),
        ("0x7f.1", None),
        ("0x7f000001", None),
        ("2130706433", None),
        ("a.0x7f", None),
        ("-a.example.org", None),
        ("a" * 64 + ".org", None),
        (".".join(["a" * 60] * 5), None),
        ("exam ple.org", None),
        ("ex%61mple.org", None),
        ("bücher.example", None),
        ("example\u3002org", None),
        ("\uff25xample.org", None),
    ],
)
def test_what_is_a_name(text: str, expected: str | None) -> None:
    assert normal_name(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "example.org", ":443", "example.org:", "example.org:0", "example.org:65536", "example.org:http", "example.org:9-8",
        "example.org:443/sctp", "2001:db8::1:443", "[2001:db8::1:443", "[2001:db8::1]443", "[example.org]:443", "127.1:80", "127.0.0.1.:80",
        "0x7f.1:80", "0177.0.0.1:80", "10.0.0.1/8:80", "10.0.0.0/33:80", "bücher.example:443", "*.org:443", "*example.org:443",
        "a.*.org:443", "**:443", "evil.com\0.example.org:443", "http://example.org:443", "[::ffff:127.0.0.1]:80", "exa mple.org:1",
        "example.org:\u0664", "example.org:4_4",
    ],
)  # fmt: skip
def test_what_is_no_rule(text: str) -> None:
    with pytest.raises(RuleError):
        parse_rule(text, "test")


def test_a_resolved_name_grants_its_addresses_for_a_while() -> None:
    granted = rules("example.org:443", "*.example.net:80")
    address = ipaddress.ip_address("93.184.216.34")
    granted.learn("example.org", address, now_ns=100)
    assert allows(granted, "93.184.216.34", now=99 + LEARNT_NS)
    assert allows(granted, "::ffff:93.184.216.34", now=1)
    assert not allows(granted, "93.184.216.34", port=80)
    assert not allows(granted, "93.184.216.35")
    assert not allows(granted, "93.184.216.34", now=100 + LEARNT_NS)


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "0.0.0.0", "::1", "::ffff:127.0.0.1", "fe80::1", "198.18.0.53"])
def test_rebinding_to_the_host_is_in_vain(address: str) -> None:
    granted = rules("evil.example:443", "*.evil.example:443", "*:443")
    for name in ("evil.example", "a.evil.example"):
        granted.learn(name, ipaddress.ip_address(address), 0)
    assert not allows(granted, address)


def test_a_wildcard_does_not_lead_to_private_networks() -> None:
    granted = rules("git.corp.example:443", "*.evil.example:443")
    for name in ("git.corp.example", "a.evil.example"):
        granted.learn(name, ipaddress.ip_address("10.1.2.3" if name[0] == "g" else "10.1.2.4"), 0)
    assert allows(granted, "10.1.2.3")
    assert not allows(granted, "10.1.2.4")


def test_what_is_learnt_is_bounded() -> None:
    granted = rules("*:443")
    for number in range(10_000):
        granted.learn("a.example", ipaddress.ip_address(0x0B000000 + number), 0)
    for number in range(200):
        granted.learn(f"a{number}.example", ipaddress.ip_address(0x0C000000), 0)
    assert len(granted._learnt) <= 4096
    assert max(map(len, granted._learnt.values())) <= 64


@given(st.text(max_size=80))
def test_any_text_is_a_rule_or_a_rule_error(text: str) -> None:
    try:
        parsed = parse_rule(text, "test")
    except RuleError:
        return
    for rule in parsed:
        assert 0 <= rule.ports[0] <= rule.ports[1] <= 65535
        assert rule.network is not None or rule.name == "*" or normal_name(rule.name.removeprefix("*.")) == rule.name.removeprefix("*.")


@given(st.text(max_size=80))
def test_a_normal_name_is_stable_and_harmless(text: str) -> None:
    name = normal_name(text)
    if name is not None:
        assert normal_name(name) == name
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-_.")
        with pytest.raises(ValueError, match="does not appear"):
            ipaddress.ip_address(name)


@given(st.ip_addresses())
def test_no_wide_rule_grants_a_special_address(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    wide = rules("0.0.0.0/0:*", "[::/0]:*", "*:*")
    wide.learn("a.example", address, 0)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    real = mapped or address
    if any(real in net for net in SPECIAL):
        assert not allows(wide, str(address))


@given(st.sampled_from(SPECIAL), st.data())
def test_special_addresses_of_every_kind(net: ipaddress.IPv4Network | ipaddress.IPv6Network, data: st.DataObject) -> None:
    address = net[data.draw(st.integers(0, min(net.num_addresses - 1, 1 << 64)))]
    wide = rules("0.0.0.0/0:*", "[::/0]:*", "*:*")
    assert not allows(wide, str(address))
    if address.version == 4:
        assert not allows(wide, f"::ffff:{address}")
