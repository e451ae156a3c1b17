"""scripts/pylibos and scripts/test: what the shell part promises, tried on a small stand-in checkout (no pip, no compiler)."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAIN = """import sys
def main():
    print(sys.argv, sys._xoptions.get("pylibos_build"), sys.flags.isolated, sys.flags.no_site)
    return 7
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with the real scripts, a pylibos that only prints, and a ready environment in .venv."""
    root = tmp_path / "a checkout: with spaces"
    for directory in ("scripts", "pylibos/cli", "c_shim", ".venv/bin"):
        (root / directory).mkdir(parents=True)
    for script in ("pylibos", "environment.sh", "make_environment.py"):
        shutil.copy(ROOT / "scripts" / script, root / "scripts" / script)
    (root / "pyproject.toml").write_text('[project]\ndependencies = []\n')
    (root / "pylibos/__init__.py").touch()
    (root / "pylibos/cli/__init__.py").touch()
    (root / "pylibos/cli/main.py").write_text(MAIN)
    (root / "c_shim/shim.c").touch()
    (root / ".venv/bin/python").symlink_to(sys.executable)
    (root / ".venv/pylibos-run.ready").write_text("/no/site\n\n\n/no/build\n")
    return root


def run(command: list[str], **keywords: object) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin"}
    cwd = keywords.pop("cwd", "/")
    assert not keywords
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env=environment, cwd=str(cwd))


def test_a_ready_environment_is_used_as_it_is(checkout: Path) -> None:
    ended = run([str(checkout / "scripts/pylibos"), "run", "a b", "", "*"])
    assert (ended.returncode, ended.stderr) == (7, "")
    assert ended.stdout == "['pylibos', 'run', 'a b', '', '*'] /no/build 1 1\n"


def test_through_symbolic_links_and_relative_paths(checkout: Path, tmp_path: Path) -> None:
    link = tmp_path / "bin" / "plx"
    link.parent.mkdir()
    link.symlink_to(os.path.relpath(checkout / "scripts/pylibos", link.parent))
    assert run([str(link)]).returncode == 7
    assert run(["./scripts/pylibos"], cwd=checkout).returncode == 7
    assert run(["sh", "pylibos"], cwd=checkout / "scripts").returncode == 7
    assert run(["../scripts/pylibos"], cwd=checkout / "c_shim").returncode == 7


@pytest.mark.parametrize("changed", ["c_shim/shim.c", "pyproject.toml", "scripts/make_environment.py"])
def test_a_changed_source_makes_it_stale(checkout: Path, changed: str) -> None:
    (checkout / "scripts/make_environment.py").write_text("import sys; sys.exit('asked to make one')\n")
    stamp = (checkout / ".venv/pylibos-run.ready").stat().st_mtime_ns
    os.utime(checkout / "scripts/make_environment.py", ns=(stamp, stamp))
    assert run([str(checkout / "scripts/pylibos")]).returncode == 7
    os.utime(checkout / changed, ns=(stamp + 10**9, stamp + 10**9))
    ended = run([str(checkout / "scripts/pylibos")])
    assert (ended.returncode, ended.stderr) == (125, "asked to make one\n")


def test_no_python_is_one_line_and_125(checkout: Path) -> None:
    (checkout / ".venv/pylibos-run.ready").unlink()
    script = checkout / "scripts/environment.sh"
    script.write_text(script.read_text().replace("sys.version_info >= (3, 11)", "sys.version_info >= (9, 0)"))
    ended = run([str(checkout / "scripts/pylibos")])
    assert ended.returncode == 125
    assert ended.stderr.startswith("pylibos: no Python 3.11 or newer")
    assert ended.stderr.count("\n") == 1


def test_the_ready_path_starts_no_other_program(checkout: Path) -> None:
    """Every process the shell starts costs a millisecond of every run."""
    ended = run(["sh", "-x", str(checkout / "scripts/pylibos")])
    traced = [line.removeprefix("+ ") for line in ended.stderr.splitlines() if line.startswith("+ ")]
    builtins = ("[", ".", "read", "set", "exec", "use_environment", "find_", "is_", "printf", "return 0")
    assert [line for line in traced if not line.startswith(builtins) and "=" not in line.split("/")[0]] == []
    assert traced[-1].startswith("exec ")


def test_missing_tools_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import importlib.util

    spec = importlib.util.spec_from_file_location("make_environment", ROOT / "scripts/make_environment.py")
    assert spec is not None
    assert spec.loader is not None
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        maker.check_toolchain()
    assert ended.value.code == 125
    assert "apt-get install gcc" in capsys.readouterr().err
    gcc = tmp_path / "gcc"
    gcc.write_text("#!/bin/sh\n")
    gcc.chmod(0o755)
    monkeypatch.setattr(sysconfig, "get_path", lambda *_: str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        maker.check_toolchain()
    assert ended.value.code == 125
    assert "python3-dev" in capsys.readouterr().err
