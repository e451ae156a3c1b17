"""`pip install .`: the wheel has the compiled part, the presets and the command."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
IGNORED = shutil.ignore_patterns(".git", ".venv", "__pycache__", "*.so", ".*_cache", "test-artefacts", "build", ".hypothesis")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("gcc") is None, reason="gcc is not installed")
def test_pip_install_gives_a_working_command(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", minversion="77")
    pytest.importorskip("pip")
    shutil.copytree(ROOT, tmp_path / "source", ignore=IGNORED)
    pip = [sys.executable, "-I", "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "--no-build-isolation", "--no-deps"]
    built = subprocess.run(
        [*pip, "--target", str(tmp_path / "site"), str(tmp_path / "source")], capture_output=True, text=True, check=False, timeout=250
    )
    assert built.returncode == 0, built.stdout[-3000:] + built.stderr[-3000:]
    package = tmp_path / "site" / "pylibos"
    assert list((package / "tracer").glob("_shim*.so"))
    assert sorted(path.name for path in (package / "cli/presets").glob("*.toml")) == ["default.toml", "strict.toml", "workspace.toml"]
    code = f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r}); from pylibos.cli.main import main; sys.exit(main(['doctor']))"
    doctor = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False, timeout=60, cwd="/")
    assert "ok       C shim" in doctor.stdout, doctor.stdout + doctor.stderr
