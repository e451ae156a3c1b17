"""Audit: JSON lines for machines, denial lines for people, bounds on both."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from pylibos.monitor.audit import Audit, AuditFile, escape
from pylibos.monitor.host_abi import Access, HostError
from pylibos.monitor.linux_host import LinuxHost, close_host
from pylibos.monitor.policy import Allow, Deny, Mode, Operation, Policy, Rule

DENY = Deny("rule", 2, "--ro")


class Clock:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.now_ns = 1_000_000_000

    def __call__(self) -> int:
        return self.now_ns


def collector(**options: object) -> tuple[Audit, list[str], Clock]:
    lines: list[str] = []
    clock = Clock()
    audit = Audit(report=lines.append, clock_ns=clock, wall_ns=clock, exists=lambda _path: True)
    audit.pid, audit.comm = 7, b"git"
    return audit, lines, clock


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        (b"/plain path", "/plain path"),
        ("/ünïcode".encode(), "/ünïcode"),
        (b"/a\x1b[31mred", "/a\\x1b[31mred"),
        (b"/a\nb\r\t\x7f", "/a\\x0ab\\x0d\\x09\\x7f"),
        (b"/\xff\xfe", "/\\xff\\xfe"),
        (b"/a\\b", "/a\\\\b"),
        ("/\u202egnp.exe".encode(), "/\\u202egnp.exe"),
        ("/\u2028\U000e0001".encode(), "/\\u2028\\U000e0001"),
        ("/\x9b31m".encode(), "/\\x9b31m"),
    ],
)
def test_escape(text: bytes, escaped: str) -> None:
    assert escape(text) == escaped
    assert escape(text).isprintable()


def test_a_denial_line() -> None:
    audit, lines, _clock = collector()
    audit.record(Operation.WRITE, b"/home/u/.ssh/config", Deny("fs default-deny", 2, "--rw"))
    path = "/home/u/.ssh/config"
    assert lines == [f"pylibos: denied open(write) {path}  [rule: fs default-deny]  allow with: --rw {path}  (pid 7 git)"]
    assert audit.summary() == "pylibos: 1 operation denied; all of them: --audit FILE"


def test_no_hint_when_no_flag_would_help() -> None:
    audit, lines, _clock = collector()
    audit.record(Operation.READ, b"/x", Deny("p.toml:3 files.hidden", 2, ""))
    assert lines == ["pylibos: denied open(read) /x  [rule: p.toml:3 files.hidden]  (pid 7 git)"]


def test_hints_can_be_pasted() -> None:
    audit, lines, _clock = collector()
    audit.record(Operation.READ, b"/a b'c; rm", DENY)
    assert "--ro '/a b'\"'\"'c; rm'" in lines[0]


def test_names_of_guests_are_escaped() -> None:
    audit, lines, _clock = collector()
    audit.comm = b"\x1b]0;x\x07"
    audit.record(Operation.READ, b"/\x1b[2J", DENY)
    assert lines[0].isprintable()


def test_allowed_operations_are_no_denials() -> None:
    audit, lines, _clock = collector()
    audit.record(Operation.READ, b"/x", Allow("ok"))
    assert lines == []
    assert audit.summary() is None


def test_once_per_object_and_rule() -> None:
    audit, lines, _clock = collector()
    for _ in range(5):
        audit.record(Operation.READ, b"/x", DENY)
        audit.record(Operation.QUERY, b"/x", DENY)
    assert len(lines) == 2
    assert [(denial.operation, denial.count) for denial in audit.denials()] == [("open(read)", 5), ("stat", 5)]
    assert audit.summary() == "pylibos: 10 operations denied; all of them: --audit FILE"


def test_lines_are_limited_by_rate() -> None:
    audit, lines, clock = collector()
    for number in range(50):
        audit.record(Operation.READ, b"/%d" % number, DENY)
    assert len(lines) == 10
    clock.now_ns += 3_000_000_000
    for number in range(50, 100):
        audit.record(Operation.READ, b"/%d" % number, DENY)
    assert len(lines) == 16
    assert len(audit.denials()) == 100


def test_memory_is_bounded() -> None:
    audit, _lines, _clock = collector()
    for number in range(5000):
        audit.record(Operation.READ, b"/%d" % number, DENY)
    assert len(audit.denials()) == 512
    assert audit.summary() == "pylibos: 5000 operations denied; all of them: --audit FILE"


def test_what_is_nowhere_is_no_news() -> None:
    lines: list[str] = []
    audit = Audit(report=lines.append, exists=lambda path: path == b"/there")
    audit.record(Operation.QUERY, b"/missing", DENY)
    audit.record(Operation.CREATE, b"/missing/x", DENY)
    assert lines == []
    assert audit.summary() is None
    audit.record(Operation.CREATE, b"/there/x", DENY)
    audit.record(Operation.QUERY, b"/there", DENY)
    audit.record(Operation.WRITE, b"/missing", Deny("r", 13, "--rw"))
    assert len(lines) == 3


# -- the file ------------------------------------------------------------------------------------------------------------


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    clock = Clock()
    clock.now_ns = 1_700_000_000_000_000_005
    audit = Audit(AuditFile(str(path)), wall_ns=clock)
    assert audit.wants_everything
    audit.pid, audit.comm = 9, b"a\x1bb"
    audit.record(Operation.READ, b"/x\xff\n\x1b", Allow("ok"))
    audit.record(Operation.WRITE, b"/etc/passwd", Deny("no", 13, "--rw"))
    audit.close()
    audit.close()
    data = path.read_bytes()
    assert data.endswith(b"\n")
    assert all(32 <= byte < 127 or byte == 10 for byte in data)
    first, second = (json.loads(line) for line in data.splitlines())
    assert first == {
        "time": "1700000000.000000005",
        "pid": 9,
        "comm": "a\\x1bb",
        "operation": "open(read)",
        "object": "/x\\xff\n\x1b",
        "decision": "allow",
        "rule": "ok",
    }
    assert (second["decision"], second["rule"], second["errno"]) == ("deny", "no", 13)
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_file_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    path.write_text("before\n")
    file = AuditFile(str(path))
    file.add(b"after")
    file.close()
    assert path.read_text() == "before\nafter\n"


def test_a_reader_that_does_not_read(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    file = AuditFile(str(path))
    line = b"x" * 1000
    for _ in range(6000):
        file.add(line)
    received = bytearray()
    while True:
        file.flush()
        try:
            chunk = os.read(reader, 1 << 20)
        except BlockingIOError:
            break
        received += chunk
    file.add(b"last")
    file.flush()
    received += os.read(reader, 1 << 20)
    os.close(reader)
    lines = bytes(received).splitlines()
    dropped = json.loads(lines[-2])
    assert lines[-1] == b"last"
    assert dropped["event"] == "dropped"
    assert dropped["count"] == 6000 - (len(lines) - 2) > 0
    assert set(lines[:-2]) == {line}


def test_a_reader_that_went_away(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    file = AuditFile(str(path))
    os.close(reader)
    for _ in range(200):
        file.add(b"x" * 1000)
    file.close()


def test_a_full_disk() -> None:
    file = AuditFile("/dev/full")
    for _ in range(200):
        file.add(b"x" * 1000)
    file.close()


def test_a_fifo_without_reader_is_an_error_at_once(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    with pytest.raises(OSError, match="No such device"):
        AuditFile(str(path))


# -- with the host --------------------------------------------------------------------------------------------------------


def test_the_host_tells_the_audit(tmp_path: Path) -> None:
    base = os.fsencode(tmp_path.resolve())
    (tmp_path / "a").touch()
    umask = os.umask(0o22)
    seen: list[tuple[str, bytes, bool]] = []
    for record_all in (False, True):
        seen.clear()
        host = LinuxHost(
            Policy([Rule(base, Mode.RO, "ro")]),
            recorder=lambda operation, path, decision: seen.append((operation.name, path, isinstance(decision, Deny))),
            record_all=record_all,
        )
        host.stream_open(b"file:" + base + b"/a", Access.READ)
        with pytest.raises(HostError):
            host.stream_open(b"file:" + base + b"/a", Access.READ_WRITE)
        close_host(host)
        denied = ("WRITE", base + b"/a", True)
        assert seen == ([("READ", base + b"/a", False), denied] if record_all else [denied])
    os.umask(umask)
