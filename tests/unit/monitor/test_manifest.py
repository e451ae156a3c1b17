"""Policy files and flags: what is read, and what people are told when it is wrong."""

from __future__ import annotations

import pytest

from pylibos.monitor.manifest import (
    Environment,
    Grant,
    Limits,
    Manifest,
    ManifestError,
    MountMode,
    Network,
    OnDeny,
    grant_flag,
    parse_duration,
    parse_manifest,
    parse_size,
)

FULL = b"""
version = 1
network = "loopback"
tmpfs = ["/scratch"]
cwd = "/work"
on_deny = "kill"
system = false

[files]
ro = ["/data", "~/datasets/*"]
rw = ["./out"]
cow = ["/src"]
deny = ["/data/*.key"]
hidden = [
    "**/secret",
    "~/.cache",
]

[[files.mount]]
source = "/a"
target = "/b"
mode = "rw"

[environment]
set = { A = "1", B = "" }
pass = ["LC_*", "TERM"]

[limits]
memory = "512M"
processes = 64
descriptors = 256
file_size = 1048576
cpu = 10
timeout = "1.5m"
"""


def test_everything() -> None:
    manifest = parse_manifest(FULL, "p.toml")
    assert manifest.grants == (
        Grant("/data", MountMode.RO, "p.toml:10 files.ro"),
        Grant("~/datasets/*", MountMode.RO, "p.toml:10 files.ro"),
        Grant("./out", MountMode.RW, "p.toml:11 files.rw"),
        Grant("/src", MountMode.COW, "p.toml:12 files.cow"),
        Grant("/a", MountMode.RW, "p.toml:20 files.mount.source", "/b"),
    )
    assert [(entry.pattern, entry.hidden, entry.origin) for entry in manifest.restrictions] == [
        ("**/secret", True, "p.toml:15 files.hidden"),
        ("~/.cache", True, "p.toml:16 files.hidden"),
        ("/data/*.key", False, "p.toml:13 files.deny"),
    ]
    assert manifest.environment == Environment((("A", "1"), ("B", "")), ("LC_*", "TERM"))
    assert manifest.limits == Limits(512 << 20, 64, 256, 1 << 20, 10_000_000_000, 90_000_000_000)
    assert (manifest.network, manifest.cwd, manifest.on_deny, manifest.tmpfs) == (Network.LOOPBACK, "/work", OnDeny.KILL, ("/scratch",))
    assert not manifest.system


def test_the_smallest() -> None:
    assert parse_manifest(b"version = 1", "x") == Manifest(name="x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "p: version = 1 is missing"),
        ("version = 2", "p:1: version 2 is not supported; this pylibos reads version 1"),
        ("version = true", "p:1: version True is not supported; this pylibos reads version 1"),
        ("version = 1\nnetwrok = 'none'", 'p:2: unknown key "netwrok"; did you mean "network"?'),
        ("version = 1\n\n[files]\nrw = []\nros = []", 'p:5: unknown key "ros" in [files]; did you mean "ro"?'),
        ("version = 1\n[file]\n", 'p:2: unknown key "file"; did you mean "files"?'),
        ("version = 1\nfiles.wr = []", 'p:2: unknown key "wr" in [files]; did you mean "rw"?'),
        ("version = 1\nfiles = { wr = [] }", 'p:2: unknown key "wr" in [files]; did you mean "rw"?'),
        ("version = 1\nnetwork = 'non'", 'p:2: unknown network "non"; did you mean "none"?'),
        ("version = 1\nnetwork = 'zzzz'", 'p:2: unknown network "zzzz"; known: none, loopback'),
        ("version = 1\nnetwork = 'a.example:80'", 'p:2: unknown network "a.example:80"; rules stand in an array: network = ["HOST:PORT"]'),
        ("version = 1\nnetwork = ['a.example']", "p:2: p:2 network: expected HOST:PORT (HOST:* for every port)"),
        ("version = 1\nnetwork = [\n'a.example:1',\n'b.example:x']", 'p:2: p:4 network: "x" is not a port (443, 8000-8010, *, 53/udp)'),
        ("version = 1\nnetwork = [1]", "p:2: network must be a string"),
        ("version = 1\nnetwork = 1", "p:2: network must be an array of strings"),
        ("version = 1\npublish = ['80']", "p:2: p:2 publish: expected [HOST:]PORT:GUESTPORT with ports from 1 to 65535"),
        ("version = 1\n[files]\nro = '/x'", "p:3: ro must be an array of strings"),
        ("version = 1\n[files]\nro = [1]", "p:3: ro must be a string"),
        ("version = 1\n[files]\nro = ['x']", 'p:3: "x" must start with /, ~/ or ./'),
        ("version = 1\n[files]\nro = ['']", "p:3: ro is empty or has control characters"),
        ("version = 1\n[files]\ndeny = ['x']", 'p:3: "x": a pattern starts with / or **/'),
        ("version = 1\nfiles = 3", "p:2: files must be a table"),
        ("version = 1\ncwd = 'x'", 'p:2: cwd: "x" must be an absolute path without ".."'),
        ("version = 1\ntmpfs = ['/a/../b']", 'p:2: tmpfs: "/a/../b" must be an absolute path without ".."'),
        ("version = 1\n[limits]\nmemory = '5X'", 'p:3: memory: "5X" is not a size (examples: 512M, 2G, 4096)'),
        ("version = 1\n[limits]\nprocesses = 'many'", "p:3: processes: processes must be a number"),
        ("version = 1\n[limits]\nprocesses = 0", "p:3: processes is out of range"),
        ("version = 1\n[limits]\nprocesses = true", "p:3: processes: processes must be a number"),
        ("version = 1\n[environment.set]\n'A-B' = ''", 'p:3: "A-B" is not a variable name'),
        ("version = 1\n[environment]\npass = ['A=B']", 'p:3: "A=B" is not a variable name'),
        ("version = 1\n[[files.mount]]\nsource = '/a'", "p:2: a mount needs target"),
        ("version = 1\n[[files.mount]]\nsource = '/a'\ntarget = '/b'\nmode = 'wr'", 'p:5: unknown mode "wr"; did you mean "rw"?'),
        ("version = 1\nx = [", "p:2: not TOML: "),
        ("version = 1\nversion = 1", "p:2: not TOML: "),
    ],
)
def test_messages(text: str, message: str) -> None:
    with pytest.raises(ManifestError) as caught:
        parse_manifest(text.encode(), "p")
    assert str(caught.value) == message or (message.endswith(": ") and str(caught.value).startswith(message))


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xfe",
        b"version = 1\n[files]\nro = ['\xc3']",
        b"a = " + b"[" * 100_000,
        b"a = " + b"9" * 10_000,
        b"#" * (2 << 20),
        b"version = 1\n" + b"a." * 50_000 + b"b = 1",
        b"version = 1\x00",
        b"version = 1\nx" + b" " * 200_000 + b"= 1",
    ],
    ids=["utf16", "broken", "nested", "digits", "large", "dotted", "nul", "spaces"],
)
def test_hostile_files(data: bytes) -> None:
    with pytest.raises(ManifestError):
        parse_manifest(data)


def test_many_rules_are_read_in_linear_time() -> None:
    lines = b"".join(b'"/%d",\n' % number for number in range(20_000))
    manifest = parse_manifest(b"version = 1\n[files]\nro = [\n" + lines + b"]", "p")
    assert manifest.grants[-1].origin == "p:20003 files.ro"


def test_messages_have_no_control_characters() -> None:
    with pytest.raises(ManifestError) as caught:
        parse_manifest(b'version = 1\n"\\u001b[31m" = 1', "p")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("flag", "value", "expected"),
    [
        ("--ro", "/x", Grant("/x", MountMode.RO, "--ro /x")),
        ("--rw", "a:b", Grant("a:b", MountMode.RW, "--rw a:b")),
        ("-v", "/a:/b", Grant("/a", MountMode.COW, "-v /a:/b", "/b")),
        ("-v", "/a:/b:ro", Grant("/a", MountMode.RO, "-v /a:/b", "/b")),
        ("-v", ".:/b:rw", Grant(".", MountMode.RW, "-v .:/b", "/b")),
        ("-v", "/a:b:/c:cow", Grant("/a:b", MountMode.COW, "-v /a:b:/c", "/c")),
    ],
)
def test_flags(flag: str, value: str, expected: Grant) -> None:
    assert grant_flag(flag, value) == expected


@pytest.mark.parametrize(
    ("flag", "value"), [("--ro", ""), ("-v", ""), ("-v", "/a"), ("-v", "/a:b"), ("-v", ":/b"), ("-v", "/a:/b:wr"), ("--rw", "\0")]
)
def test_wrong_flags(flag: str, value: str) -> None:
    with pytest.raises(ManifestError):
        grant_flag(flag, value)


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("4096", 4096), ("1k", 1024), ("2MB", 2 << 20), ("3GiB", 3 << 30), ("1T", 1 << 40)])
def test_sizes(text: str, value: int) -> None:
    assert parse_size(text) == value


@pytest.mark.parametrize(
    ("text", "value"), [("10", 10**10), ("200ms", 2 * 10**8), ("1.5h", 5400 * 10**9), ("0.25", 250_000_000), ("1d", 86_400 * 10**9)]
)
def test_durations(text: str, value: int) -> None:
    assert parse_duration(text) == value


@pytest.mark.parametrize("text", ["", "x", "1x", "-1", "1.", ".5", "1e3", "1 s", "9" * 50])
def test_wrong_amounts(text: str) -> None:
    with pytest.raises(ManifestError):
        parse_duration(text)
    with pytest.raises(ManifestError):
        parse_size(text)


def test_network_rules_and_published_ports() -> None:
    text = b'version = 1\nnetwork = ["*.example.org:443", "10.0.0.0/8:5432"]\npublish = ["8080:80", "[::1]:1:2"]\n'
    manifest = parse_manifest(text, "p")
    assert manifest.network is Network.RULES
    assert [(rule.origin, rule.name, str(rule.network)) for rule in manifest.network_rules] == [
        ("p:2 network", "*.example.org", "None"),
        ("p:2 network", "", "10.0.0.0/8"),
    ]
    assert [(port.host, port.port, port.guest_port) for port in manifest.publish] == [("127.0.0.1", 8080, 80), ("::1", 1, 2)]


def test_a_published_port_needs_a_network() -> None:
    assert parse_manifest(b"version = 1\npublish = ['8080:80']", "p").network is Network.LOOPBACK
    assert Manifest().with_network([], ["8080:80"]).network is Network.LOOPBACK


def test_network_flags() -> None:
    written = parse_manifest(b"version = 1\nnetwork = ['a.example:1']", "p")
    both = written.with_network(["b.example:2,c.example:3", "allow:d.example:4"], [])
    assert [rule.name for rule in both.network_rules] == ["a.example", "b.example", "c.example", "d.example"]
    assert written.with_network(["none"], []).network_rules == ()
    assert written.with_network(["none"], []).network is Network.NONE
    assert written.with_network(["none,e.example:5"], []).network is Network.RULES
    assert written.with_network([], []) == written
