"""Audit: what the monitor decided, written down for machines (JSON lines) and for the person at the terminal.

What it is: the recorder that linux_paths tells its decisions. Owns the audit file, the denials of this run and the denial lines' rate.
Must not know the policy's structure or the guest's.
Invariants: recording never waits for a reader: lines are buffered, and what a slow pipe does not take within the bound is dropped and
counted (a line says how many); every text a guest can influence (paths, its name) is escaped before it reaches a terminal.

Adversary: a guest that produces denials as fast as it can, with names made of escape sequences, gets one line for each of the first
few distinct objects and a count; memory stays bounded.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final

from pylibos.abi.record import mutable_record
from pylibos.monitor.policy import AnyOperation, Decision, Deny, NetworkOperation, Operation

ENOENT: Final = 2

OPERATION_NAMES: Final[dict[AnyOperation, str]] = {
    Operation.QUERY: "stat",
    Operation.LIST: "list",
    Operation.READ: "open(read)",
    Operation.EXECUTE: "exec",
    Operation.WRITE: "open(write)",
    Operation.CREATE: "create",
    Operation.DELETE: "delete",
    Operation.RENAME: "rename",
    Operation.LINK: "link",
    Operation.CHANGE: "change",
    NetworkOperation.CONNECT: "connect",
    NetworkOperation.RESOLVE: "resolve",
}

_FLUSH_BYTES: Final = 1 << 16
_BUFFER_LIMIT: Final = 1 << 22
"""Bytes kept for a reader that does not read; beyond, lines are dropped."""

_DISTINCT_LIMIT: Final = 512
"""Denied objects remembered apart; beyond, they are only counted."""

_BURST: Final = 10
_LINES_PER_SECOND: Final = 2
_NANOSECONDS: Final = 1_000_000_000


def escape(text: bytes | str) -> str:
    """Text for a terminal or a log: everything that is not printable (control, bidirectional, not UTF-8) and \\ as an escape."""
    if isinstance(text, bytes):
        text = text.decode("utf-8", "surrogateescape")
    if text.isprintable() and "\\" not in text:
        return text
    return "".join(char if char.isprintable() and char != "\\" else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if char == "\\":
        return "\\\\"
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


@mutable_record
class Denial:
    """One distinct denied thing: how often, and who asked first."""

    operation: str
    path: bytes
    rule: str
    hint: str
    pid: int
    comm: str
    count: int = 1

    def line(self) -> str:
        """The line a person sees."""
        import shlex  # a run that is denied nothing does not wait for it

        path = escape(self.path)
        allow = f"  allow with: {self.hint} {shlex.quote(path)}" if self.hint else ""
        return f"pylibos: denied {self.operation} {path}  [rule: {escape(self.rule)}]{allow}  (pid {self.pid} {self.comm})"


class AuditFile:
    """An append-only file of JSON lines that never makes the caller wait."""

    def __init__(self, path: str) -> None:
        """Open (or create, mode 0600) the file; a FIFO must have a reader. OSError when that fails."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
        self._descriptor = os.open(path, flags, 0o600)
        self._buffer = bytearray()
        self._dropped = 0

    def add(self, line: bytes) -> None:
        """Append one line (without its newline)."""
        if len(self._buffer) + len(line) >= _BUFFER_LIMIT:
            self.flush()
            if len(self._buffer) + len(line) >= _BUFFER_LIMIT:
                self._dropped += 1
                return
        if self._dropped:
            self._buffer += b'{"event":"dropped","count":%d}\n' % self._dropped
            self._dropped = 0
        self._buffer += line
        self._buffer += b"\n"
        if len(self._buffer) >= _FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what the file takes now."""
        while self._buffer and self._descriptor >= 0:
            try:
                written = os.write(self._descriptor, self._buffer)
            except BlockingIOError:
                return
            except OSError:
                # A full disk or a vanished reader must not end the sandbox; the loss is counted.
                self._dropped += self._buffer.count(b"\n")
                self._buffer.clear()
                return
            del self._buffer[:written]

    def close(self) -> None:
        """Write the rest and close."""
        self.flush()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class Audit:
    """Records decisions. Hand ``record`` to LinuxHost as its recorder, and set ``pid`` and ``comm`` before each guest call."""

    def __init__(
        self,
        file: AuditFile | None = None,
        *,
        report: Callable[[str], None] | None = None,
        clock_ns: Callable[[], int] = time.monotonic_ns,
        wall_ns: Callable[[], int] = time.time_ns,
        exists: Callable[[bytes], bool] = os.path.lexists,
    ) -> None:
        """report: takes one denial line (None: none are wanted). exists: keeps names that are nowhere out of the denial lines."""
        self.pid = 0
        self.comm = b""
        self._file = file
        self._report = report
        self._clock_ns = clock_ns
        self._wall_ns = wall_ns
        self._exists = exists
        self._denials: dict[tuple[str, bytes, str], Denial] = {}
        self._total = 0
        self._unreported = 0
        self._tokens = float(_BURST)
        self._last_ns = clock_ns()

    @property
    def wants_everything(self) -> bool:
        """Whether allowed operations are to be recorded, too (LinuxHost's record_all)."""
        return self._file is not None

    def record(self, operation: AnyOperation, path: bytes, decision: Decision) -> None:
        """One decision of the monitor."""
        if self._file is not None:
            self._file.add(self._json(operation, path, decision))
        if isinstance(decision, Deny):
            self._denied(operation, path, decision)

    def _json(self, operation: AnyOperation, path: bytes, decision: Decision) -> bytes:
        import json

        seconds, nanoseconds = divmod(self._wall_ns(), _NANOSECONDS)
        record = {
            "time": f"{seconds}.{nanoseconds:09d}",
            "pid": self.pid,
            "comm": escape(self.comm),
            "operation": OPERATION_NAMES[operation],
            "object": path.decode("utf-8", "backslashreplace"),
            "decision": "deny" if isinstance(decision, Deny) else "allow",
            "rule": decision.rule,
        }
        if decision.errno:
            record["errno"] = decision.errno
        return json.dumps(record, separators=(",", ":")).encode("ascii")

    def _denied(self, operation: AnyOperation, path: bytes, decision: Deny) -> None:
        name = OPERATION_NAMES[operation]
        key = (name, path, decision.rule)
        known = self._denials.get(key)
        if known is not None:
            known.count += 1
            self._total += 1
            return
        # What is not there would not be there with a grant either: no news. The guest learns nothing from this.
        if decision.errno == ENOENT and not self._exists(path):
            makes = operation in (Operation.CREATE, Operation.RENAME)
            if not makes or not self._exists(path.rpartition(b"/")[0] or b"/"):
                return
        self._total += 1
        if len(self._denials) >= _DISTINCT_LIMIT:
            self._unreported += 1
            return
        denial = Denial(name, path, decision.rule, decision.hint, self.pid, escape(self.comm))
        self._denials[key] = denial
        if self._report is not None:
            if self._may_report():
                self._report(denial.line())
            else:
                self._unreported += 1

    def _may_report(self) -> bool:
        """A bucket of lines: ten at once, two more a second."""
        now = self._clock_ns()
        self._tokens = min(float(_BURST), self._tokens + (now - self._last_ns) * _LINES_PER_SECOND / _NANOSECONDS)
        self._last_ns = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def denials(self) -> list[Denial]:
        """The distinct denials of this run, in the order they came (for --status-fd)."""
        return list(self._denials.values())

    def summary(self) -> str | None:
        """The line at exit, or None when nothing was denied."""
        if not self._total:
            return None
        noun = "operation" if self._total == 1 else "operations"
        more = "" if self._file is not None else "; all of them: --audit FILE"
        return f"pylibos: {self._total} {noun} denied{more}"

    def flush(self) -> None:
        """Write buffered lines as far as the file takes them (call when idle)."""
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        """Write the rest."""
        if self._file is not None:
            self._file.close()
