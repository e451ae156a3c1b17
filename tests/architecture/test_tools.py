"""The linter and the type checker, so that the test command alone says whether a change may be merged."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def tool(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A Python tool of the environment, with its caches out of the checkout (which may be read-only)."""
    pytest.importorskip(words[0])
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    environment |= {"RUFF_CACHE_DIR": str(tmp_path / "ruff"), "MYPY_CACHE_DIR": str(tmp_path / "mypy")}
    command = [sys.executable, "-m", *words]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=280)


def test_ruff_has_nothing_to_say(tmp_path: Path) -> None:
    ended = tool(tmp_path, "ruff", "check", "--output-format", "concise", ".")
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.slow
def test_mypy_has_nothing_to_say(tmp_path: Path) -> None:
    ended = tool(tmp_path, "mypy")
    assert ended.returncode == 0, ended.stdout[-5000:] + ended.stderr
