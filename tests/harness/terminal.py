"""A program on a real terminal: a pseudo terminal it has as its controlling one, driven by bytes, with a limit on every wait.

What it is: what a person at a terminal does (type, look for a text, resize) and can see (modes, exit status) for one program.
What it owns: the pair of descriptors and the session of the program; leaving the context kills the whole of it.
What it must not know: PyLibOS. Errors are assertion errors that show everything the program has written.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.harness.processes import descendants, kill_descendants

PATIENCE_SECONDS = 30.0
"""Only for what must happen; a machine under load takes its time."""


class Terminal:
    """One program and its terminal."""

    def __init__(self, process: subprocess.Popen[bytes], master: int, slave: int) -> None:
        self.process = process
        self.master = master
        self.slave = slave
        self.seen = b""
        self._start = 0

    def send(self, data: bytes) -> None:
        """Type."""
        while data:
            data = data[os.write(self.master, data) :]

    def expect(self, pattern: bytes, seconds: float = PATIENCE_SECONDS) -> re.Match[bytes]:
        """Read until pattern matches what came after the last match."""
        deadline = time.monotonic() + seconds
        while True:
            match = re.search(pattern, self.seen[self._start :], re.DOTALL)
            if match is not None:
                self._start += match.end()
                return match
            if not self._read(deadline - time.monotonic()):
                rest = self.seen[self._start :]
                raise AssertionError(f"{pattern!r} did not come in {seconds} s; not matched yet: {rest!r}; all: {self.seen!r}")

    def _read(self, seconds: float) -> bool:
        """More output; False when the time is over or the terminal has ended."""
        waiting = select.poll()
        waiting.register(self.master, select.POLLIN)
        if seconds <= 0 or not waiting.poll(seconds * 1000):
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return False
        self.seen += data
        return bool(data)

    def resize(self, rows: int, columns: int) -> None:
        """Change the window; the foreground process group gets SIGWINCH."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("<HHHH", rows, columns, 0, 0))

    def modes(self) -> list[Any]:
        """The terminal's modes now."""
        return termios.tcgetattr(self.slave)

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Until the program has ended, reading what it writes: exit code, or -n for signal n."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            if time.monotonic() > deadline:
                raise AssertionError(f"still running after {seconds} s; output: {self.seen!r}")
            self._read(0.02)
        while self._read(0.02):
            pass
        return self.process.returncode


def wait_until(true: Any, what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Until true() holds; an assertion error that names it otherwise."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds} s: {what}"
        time.sleep(0.01)


@contextlib.contextmanager
def on_terminal(
    argv: Sequence[str] | Callable[[int], Sequence[str]],
    *,
    env: Mapping[str, str],
    cwd: Path | str,
    size: tuple[int, int] = (30, 90),
    redirect: Mapping[str, Any] | None = None,
) -> Iterator[Terminal]:
    """Start argv (made from the terminal's descriptor if it depends on it) as the leader of a session with a new terminal of `size`.

    redirect: stdin, stdout or stderr elsewhere, as Popen has it.
    """
    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("<HHHH", *size, 0, 0))
    before = frozenset(descendants(os.getpid()))
    streams = {"stdin": slave, "stdout": slave, "stderr": slave, **(redirect or {})}

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        ["setpriv", "--pdeathsig=KILL", "--", *(argv(slave) if callable(argv) else argv)],
        env=dict(env),
        cwd=cwd,
        preexec_fn=take_terminal,  # noqa: PLW1509 - the test process has one thread
        **streams,
    )
    terminal = Terminal(process, master, slave)
    try:
        yield terminal
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
        kill_descendants(before)
        os.close(master)
        os.close(slave)
