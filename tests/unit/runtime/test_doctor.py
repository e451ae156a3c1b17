"""The doctor's report: complete, honest about the kernel's answers, and without a trace on the host."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pylibos.monitor.linux_tokens import TokenPool
from pylibos.runtime import doctor
from pylibos.runtime.probes import Finding

NAMES = ["architecture", "kernel", "Python", "ptrace", "Landlock", "openat2", "compiler", "libseccomp"]
NAMES += ["C shim", "seccomp listener", "killable notifications", "synchronous wake-up", "user name space", "pid name space"]
NAMES += ["network name space", "mount name space", "IPC name space", "seccomp actions", "guest memory", "guest descriptors"]
NAMES += ["token directories", "pseudo terminals", "programs in memory", "Yama ptrace scope", "cgroup delegation"]


@pytest.fixture(scope="module")
def found() -> list[Finding]:
    return doctor.report()


def test_the_report_is_complete(found: list[Finding]) -> None:
    assert sorted(finding.name for finding in found) == sorted(NAMES)


def test_essential_findings_come_first(found: list[Finding]) -> None:
    order = [finding.essential for finding in found]
    assert order == sorted(order, reverse=True)


def test_what_is_missing_has_a_remedy(found: list[Finding]) -> None:
    for finding in found:
        assert finding.detail, finding.name
        assert "\n" not in finding.detail + finding.remedy
        assert finding.ok or finding.remedy, finding.name


def test_nothing_is_left_open_or_running() -> None:
    before = os.listdir("/proc/self/fd")
    doctor.report()
    assert os.listdir("/proc/self/fd") == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_probe_does_not_filter_this_process() -> None:
    before = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(("NoNewPrivs", "Seccomp"))]
    doctor.sync_wake_up()
    doctor.seccomp_actions()
    after = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(("NoNewPrivs", "Seccomp"))]
    assert before == after


def test_where_no_directory_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "TokenPool", lambda: TokenPool([]))
    finding = doctor.token_directories()
    assert not finding.ok
    assert finding.essential
    assert "writable" in finding.remedy


def test_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setenv("CC", "no-such-compiler")
    finding = doctor.compiler()
    assert not finding.ok
    assert "gcc" in finding.detail


@pytest.mark.parametrize(
    ("scope", "root", "ok"), [("", False, True), ("1", False, True), ("2", False, False), ("2", True, True), ("3", True, False)]
)
def test_yama(monkeypatch: pytest.MonkeyPatch, scope: str, root: bool, ok: bool) -> None:
    monkeypatch.setattr(doctor, "setting", lambda _path: scope)
    monkeypatch.setattr(os, "geteuid", lambda: 0 if root else 1000)
    assert doctor.yama().ok is ok


def test_under_a_filter_that_denies(checkout: Path) -> None:
    """In a process that may not call openat2 and process_vm_readv (an old container profile), the report says so."""
    pytest.importorskip("pyseccomp")
    script = """
import errno, pyseccomp
from pylibos.runtime import doctor
filter = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
for name in ("openat2", "process_vm_readv", "unshare"):
    filter.add_rule(pyseccomp.ERRNO(errno.EPERM), name)
filter.load()
for finding in doctor.report():
    if not finding.ok:
        print(finding.name, finding.detail, sep=": ")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=checkout)
    assert done.stderr == ""
    lines = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert lines.keys() >= {"openat2", "guest memory", "user name space", "mount name space"}
    assert "EPERM" in lines["guest memory"]


def test_where_no_terminal_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*, nonblock: bool) -> tuple[int, int]:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(doctor, "open_terminal", none)
    finding = doctor.pseudo_terminals()
    assert not finding.ok
    assert "devpts" in finding.remedy
