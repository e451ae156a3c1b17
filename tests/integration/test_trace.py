"""`pylibos run --trace`: what a program calls, on standard error, with the same results as without."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = "cat /etc/passwd >/dev/null; cat /missing; exit 3"


def traced(inside: str, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "scripts/pylibos"), "run", "--engine", inside, *flags, "--", "/bin/sh", "-c", SCRIPT]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=120)


@pytest.mark.guest
@pytest.mark.slow
def test_a_trace_shows_calls_arguments_and_results(inside: str) -> None:
    ended = traced(inside, "--trace")
    assert ended.returncode == 3
    assert re.search(r"^\[\d+\] openat\(AT_FDCWD, '/etc/passwd', O_RDONLY[^)]*(\(\w+\))?\) = \d+$", ended.stderr, re.MULTILINE)
    assert "openat(AT_FDCWD, '/missing', O_RDONLY) = -1 ENOENT (No such file or directory)" in ended.stderr
    assert re.search(r"execve\('(/usr)?/bin/cat', .* = \? \(becomes '(/usr)?/bin/cat'\)", ended.stderr)
    assert re.search(r"\+\+\+ exited with 1 \+\+\+", ended.stderr)
    assert ended.stderr.rstrip().endswith("+++ exited with 3 +++")
    assert bool(re.search(r"\] read\(\d+, ", ended.stderr)) is (inside == "ptrace")


@pytest.mark.guest
@pytest.mark.slow
def test_without_the_flag_there_is_no_trace(inside: str) -> None:
    ended = traced(inside)
    assert ended.returncode == 3
    assert ended.stderr.strip() == "cat: /missing: No such file or directory"
