"""That the receive loop really answers: what it says is compared elsewhere, but no comparison notices a table that is never used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import os
from pylibos.runtime.run import Run
from pylibos.cli.main import main
counts = []
plain = Run.execute
def counting(self):
    status = plain(self)
    os.write(2, b"answered %d\\n" % self.tracer.answered)
    return status
Run.execute = counting
raise SystemExit(main())
"""
SCRIPT = "for i in 1 2 3 4 5 6 7 8 9 10; do [ -r /etc/passwd ]; [ -e /nowhere ]; done"

_named = sys._xoptions.get("pylibos_build")


def answered(*flags: str) -> int:
    """How many calls of SCRIPT the loop has answered by itself."""
    head = f"import sys\nsys.path.append({str(ROOT)!r})\nsys.path.extend({sys.path!r})\nsys.argv[:1] = ['pylibos', 'run']\n"
    command = [sys.executable, "-I", "-S", "-X", f"pylibos_build={_named}", "-c", head + PROGRAM, *flags, "--", "/bin/sh", "-c", SCRIPT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode in (0, 1), done.stderr
    return int(done.stderr.rsplit("answered ", 1)[1])


@pytest.mark.skipif(not isinstance(_named, str), reason="the C parts are not compiled")
def test_repeated_questions_are_answered_by_the_loop(tmp_path: Path) -> None:
    assert answered() >= 14
    assert answered("--trace") == 0
    assert answered("-v") == 0
    assert answered("--audit", str(tmp_path / "audit")) == 0
    assert answered("--engine", "ptrace") == 0
