"""Running a program so that nothing of it can outlive the run.

What it is: the only place of the tests that starts processes. A run has a time limit, a limit on what it may print, a process group of
    its own, and everything it leaves behind (daemons, setsid children, reparented orphans) is found, reported and killed.
What it owns: the subreaper setting of the test process (prctl(2) PR_SET_CHILD_SUBREAPER), which makes every orphan of a run our child.
What it must not know: PyLibOS. It runs an argument list; native and contained runs go through the same code.
Invariants: only processes that descend from the test process are ever signalled, each by its own number.
Sources: prctl(2), proc(5) (the format of stat), waitpid(2).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

PR_SET_CHILD_SUBREAPER = 36
OUTPUT_LIMIT = 16 << 20
"""Bytes of standard output kept of one run: more is a test gone wrong, and must not fill the disk of the machine."""
ORPHAN_GRACE_SECONDS = 2.0
"""A program's background children may finish just after it; what is still there after this is a leak."""

BOUND = ("setpriv", "--pdeathsig=KILL", "--")
"""Goes before every program: a test run that is killed itself must not leave programs behind that nobody bounds."""


@dataclass(frozen=True, slots=True)
class Completed:
    """What a run left: `status` is the exit code, or 128 + n when signal n ended it (the shell's convention, and pylibos's)."""

    stdout: bytes
    stderr: bytes
    status: int
    timed_out: bool
    leaked: tuple[str, ...]
    seconds: float

    def describe(self) -> str:
        """For a failure message: everything, with the output shortened."""
        state = "timed out" if self.timed_out else f"status {self.status}"
        leaked = f", left running: {', '.join(self.leaked)}" if self.leaked else ""
        return f"{state} after {self.seconds:.1f} s{leaked}\n--- stdout\n{_shorten(self.stdout)}\n--- stderr\n{_shorten(self.stderr)}"


def _shorten(data: bytes, limit: int = 6000) -> str:
    text = data.decode("utf-8", "backslashreplace")
    return text if len(text) <= limit else f"{text[: limit // 2]}\n[... {len(text) - limit} characters ...]\n{text[-limit // 2 :]}"


def become_subreaper() -> None:
    """Make orphans of runs reparent to this process instead of init, so that they can be found."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def process_table() -> dict[int, tuple[int, str, str]]:
    """pid -> (parent, state letter, command name) of every process that can be seen now."""
    table: dict[int, tuple[int, str, str]] = {}
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            stat = Path(entry.path, "stat").read_bytes()
            opening, closing = stat.index(b"("), stat.rindex(b")")
            fields = stat[closing + 2 :].split()
            table[int(entry.name)] = (int(fields[1]), fields[0].decode(), stat[opening + 1 : closing].decode("utf-8", "replace"))
    return table


def descendants(root: int) -> dict[int, str]:
    """pid -> command name of every living (not zombie) process below `root`."""
    table = process_table()
    children: dict[int, list[int]] = {}
    for pid, (parent, _state, _name) in table.items():
        children.setdefault(parent, []).append(pid)
    found: dict[int, str] = {}
    pending = list(children.get(root, ()))
    while pending:
        pid = pending.pop()
        if table[pid][1] not in "ZX":
            found[pid] = table[pid][2]
        pending.extend(children.get(pid, ()))
    return found


def reap_orphans(before: frozenset[int]) -> None:
    """Collect the zombies that the subreaper setting hands us. Processes of `before` belong to whoever started them."""
    own = os.getpid()
    for pid, (parent, state, _name) in process_table().items():
        if parent == own and state == "Z" and pid not in before:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def kill_descendants(before: frozenset[int]) -> tuple[str, ...]:
    """Kill what descends from us and was not there `before`; returns the names of what was still running after the grace period."""
    deadline = time.monotonic() + ORPHAN_GRACE_SECONDS
    while True:
        reap_orphans(before)
        left = {pid: name for pid, name in descendants(os.getpid()).items() if pid not in before}
        if not left or time.monotonic() > deadline:
            break
        time.sleep(0.02)
    names = tuple(sorted(left.values()))
    for _attempt in range(100):
        if not left:
            break
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
        reap_orphans(before)
        left = {pid: name for pid, name in descendants(os.getpid()).items() if pid not in before}
    return names


@contextlib.contextmanager
def started(argv: Sequence[str], **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a group of its own that is gone, with all it started, when the block ends. For tests that talk to a running program."""
    before = frozenset(descendants(os.getpid()))
    process: subprocess.Popen[bytes] = subprocess.Popen([*BOUND, *argv], start_new_session=True, **options)  # type: ignore[call-overload]
    try:
        yield process
    finally:
        _kill_group(process.pid)
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()
        kill_descendants(before)


def run(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdin: bytes = b"",
    timeout: float = 60.0,
) -> Completed:
    """Run to the end or to the time limit (seconds), with files as standard streams so that no reader is needed.

    Standard output is a regular file: programs that ask (isatty, O_APPEND, lseek) see the same natively and contained.
    """
    before = frozenset(descendants(os.getpid()))
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, tempfile.TemporaryFile() as source:
        source.write(stdin)
        source.seek(0)
        begun = time.monotonic()
        process = subprocess.Popen([*BOUND, *argv], cwd=cwd, env=dict(env), stdin=source, stdout=out, stderr=err, start_new_session=True)
        timed_out = False
        try:
            process.wait(timeout)
        except subprocess.TimeoutExpired:
            timed_out = True
        seconds = time.monotonic() - begun
        if timed_out:
            _kill_group(process.pid)
            process.wait()
        leaked = kill_descendants(before)
        status = process.returncode if process.returncode >= 0 else 128 - process.returncode
        return Completed(_contents(out), _contents(err), status, timed_out, leaked, seconds)


def _contents(stream: IO[bytes]) -> bytes:
    stream.seek(0)
    return stream.read(OUTPUT_LIMIT)
