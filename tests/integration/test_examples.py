"""Every example does what its `expected` says, and leaves its directory as it was."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted(path.parent for path in (ROOT / "examples").glob("*/command"))
NEEDS = {"build": ("make", "cc"), "server": ("/usr/bin/python3",), "hostile": ("/usr/bin/python3",)}


def tree(directory: Path) -> dict[str, str]:
    """Relative path -> kind, mode and contents of everything below a directory."""
    found = {}
    for path in sorted(directory.rglob("*")):
        status = path.lstat()
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() and not path.is_symlink() else ""
        found[str(path.relative_to(directory))] = f"{status.st_mode:o} {status.st_size if digest else 0} {digest}"
    return found


def test_there_are_examples() -> None:
    assert {path.name for path in EXAMPLES} >= {"build", "hostile", "objects", "server"}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_complete(example: Path) -> None:
    assert {"policy.toml", "command", "expected"} <= {path.name for path in example.iterdir()}
    assert os.access(example / "command", os.X_OK)


@pytest.mark.guest
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_prints_what_it_promises(example: Path, tmp_path: Path) -> None:
    for tool in NEEDS.get(example.name, ()):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    copy = tmp_path / "examples" / example.name
    shutil.copytree(example, copy)
    (tmp_path / "README.md").write_text("a file outside\n")
    (tmp_path / "examples" / "build").mkdir(exist_ok=True)
    before = tree(tmp_path)
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": os.environ.get("HOME", "/"), "PYLIBOS": str(ROOT / "scripts/pylibos")}
    command = [str(copy / "command")]
    ended = subprocess.run(
        command, cwd="/", env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=150
    )
    assert ended.stdout == (example / "expected").read_text(), ended.stderr
    assert ended.returncode == 0, ended.stderr
    assert tree(tmp_path) == before
