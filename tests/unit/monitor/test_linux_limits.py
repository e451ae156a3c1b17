"""The host's control groups, both versions: the least limit on the way to the root counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from pylibos.monitor import linux_limits


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(linux_limits, "MOUNT", str(tmp_path))
    return tmp_path


def group(monkeypatch: pytest.MonkeyPatch, **paths: str) -> None:
    monkeypatch.setattr(linux_limits, "_groups", lambda: {"" if name == "unified" else name: path for name, path in paths.items()})


def write(tree: Path, path: str, text: str) -> None:
    (tree / path).parent.mkdir(parents=True, exist_ok=True)
    (tree / path).write_text(text + "\n")


def test_version_2(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group(monkeypatch, unified="/a/b")
    write(tree, "cgroup.controllers", "cpu memory pids")
    write(tree, "a/memory.max", "1000")
    write(tree, "a/b/memory.max", "max")
    write(tree, "a/pids.max", "70")
    write(tree, "a/b/pids.max", "60")
    write(tree, "a/cpu.max", "50000 100000")
    write(tree, "a/b/cpu.max", "30000 20000")
    assert (linux_limits.memory(), linux_limits.processes(), linux_limits.processors()) == (b"1000", b"60", b"50000 100000")


def test_version_1(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group(monkeypatch, memory="/x", cpu="/", pids="/gone")
    write(tree, "memory/x/memory.limit_in_bytes", str((1 << 63) - 4096))
    write(tree, "memory/memory.limit_in_bytes", "2048")
    write(tree, "cpu/cpu.cfs_quota_us", "-1")
    write(tree, "cpu/cpu.cfs_period_us", "100000")
    write(tree, "pids/pids.max", "5")
    assert (linux_limits.memory(), linux_limits.processes(), linux_limits.processors()) == (b"2048", b"5", b"max")


def test_no_control_groups(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group(monkeypatch)
    assert {linux_limits.memory(), linux_limits.processes(), linux_limits.processors()} == {b"max"}


def test_this_machine_is_read() -> None:
    assert all(text == b"max" or text.replace(b" ", b"").isdigit() for text in (linux_limits.memory(), linux_limits.processors()))
