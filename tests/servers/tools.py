"""What every driver shares: free ports, servers that are started, awaited and ended, and HTTP clients at the same time.

A driver is a program of its own (`python3 -m tests.servers.NAME` in a copy of this package): it starts a real server, uses it through its
real clients and prints what it saw. It prints no numbers of processes or ports, no times and no rates, so that its output natively and
inside can be compared. Everything waits for a bounded time; a driver that ends leaves no process behind. Only the standard library.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Self

PATIENCE = 60.0
"""Seconds for anything a server has to do: a loaded machine under the reference engine is slow."""
STEP = 0.02


class DriverError(Exception):
    """A server did not do what was asked of it in time."""


def show(*words: object) -> None:
    """One line of the driver's output."""
    sys.stdout.write(" ".join(str(word) for word in words) + "\n")
    sys.stdout.flush()


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody has just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until condition holds. Raises DriverError."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise DriverError(f"waited in vain for {what}")
        time.sleep(STEP)


def accepts(address: int | str) -> bool:
    """Whether somebody listens on a port of 127.0.0.1, or on a UNIX socket."""
    family, target = (socket.AF_INET, ("127.0.0.1", address)) if isinstance(address, int) else (socket.AF_UNIX, address)
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(target)
        except OSError:
            return False
        return True


class Server:
    """A server process, its output in a file."""

    def __init__(self, argv: Sequence[str], log: str, address: int | str, env: dict[str, str] | None = None) -> None:
        self.log = Path(log)
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env={**os.environ, **(env or {})}, start_new_session=True
            )
        try:
            until(lambda: self.process.poll() is not None or accepts(address), f"{argv[0]} to listen")
            if self.process.poll() is not None:
                raise DriverError(f"{argv[0]} ended with {self.process.returncode}")
        except DriverError:
            self.kill()
            sys.stderr.write(self.log.read_text(errors="replace")[-3000:])
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_failure: object) -> None:
        self.kill()

    def children(self) -> set[int]:
        """Process numbers of its children."""
        found = set()
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                try:
                    fields = Path(f"/proc/{entry}/stat").read_text(errors="replace").rpartition(")")[2].split()
                except OSError:
                    continue
                if int(fields[1]) == self.process.pid and fields[0] != "Z":
                    found.add(int(entry))
        return found

    def send(self, number: int) -> None:
        """Send the server a signal."""
        self.process.send_signal(number)

    def end(self, number: int = signal.SIGTERM) -> int:
        """Ask the server to end and wait for it: its exit status, or minus the signal."""
        self.send(number)
        return self.wait()

    def wait(self) -> int:
        """Wait for its end. Raises DriverError."""
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise DriverError(f"{self.process.args!r} does not end") from None

    def kill(self) -> None:
        """End whatever of it is left."""
        if self.process.poll() is None:
            for pid in self.children():
                _kill(pid)
            _kill(self.process.pid)
            self.process.wait()


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def run(*argv: str, stdin: str = "", env: dict[str, str] | None = None) -> str:
    """The standard output of a client. Raises DriverError when it fails."""
    ended = subprocess.run(
        argv, input=stdin, capture_output=True, text=True, timeout=PATIENCE, check=False, env={**os.environ, **(env or {})}
    )
    if ended.returncode:
        raise DriverError(f"{' '.join(argv)} ended with {ended.returncode}: {ended.stderr[-2000:]}{ended.stdout[-500:]}")
    return ended.stdout


class Visitor:
    """One connection that makes requests one after the other and counts what it gets."""

    def __init__(self, port: int, paths: Sequence[str], *, keep: bool = True) -> None:
        self.port, self.paths, self.keep = port, paths, keep
        self.seen: Counter[tuple[str, int, int, str]] = Counter()
        self.failures: list[str] = []

    def go(self) -> None:
        """Make all requests."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            for path in self.paths:
                connection.request("GET", path, headers={} if self.keep else {"Connection": "close"})
                answer = connection.getresponse()
                body = answer.read()
                self.seen[path, answer.status, len(body), hashlib.sha256(body).hexdigest()[:12]] += 1
        except (OSError, http.client.HTTPException) as error:
            self.failures.append(repr(error))
        finally:
            connection.close()


def visit(port: int, paths: Sequence[str], visitors: int, *, keep: bool = True) -> None:
    """All paths by each of so many visitors at the same time; prints each distinct answer and how often it came."""
    crowd = [Visitor(port, [*paths[start:], *paths[:start]], keep=keep) for start in (index % len(paths) for index in range(visitors))]
    threads = [threading.Thread(target=visitor.go) for visitor in crowd]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    total: Counter[tuple[str, int, int, str]] = Counter()
    for visitor in crowd:
        total.update(visitor.seen)
    for answer, times in sorted(total.items()):
        show(*answer, f"x{times}")
    failures = Counter(failure for visitor in crowd for failure in visitor.failures)
    for failure, times in sorted(failures.items()):
        show("failed:", failure, f"x{times}")
