"""What every test shares: where the checkout is, the compiled C parts, the fixtures that run guests, and hypothesis made repeatable.

`./scripts/test` says where the C parts are. Plain `python -m pytest` finds what `./scripts/test` or `./scripts/pylibos` compiled last.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = ["tests.harness.plugin"]

ROOT = Path(__file__).resolve().parents[1]
SHIM = "_shim.abi3.so"

# The checkout may be read-only (CI runs the tests as an ordinary user too), and an example database would have to be written into it.
# The same examples every time: a run of the suite says something about the change, not about luck. `--hypothesis-profile explore`
# looks for new ones, at length.
settings.register_profile("pylibos", database=None, deadline=None, derandomize=True, print_blob=True)
settings.register_profile("explore", database=None, deadline=None, max_examples=1000, print_blob=True)
settings.load_profile("pylibos")


def _environments() -> Iterator[Path]:
    """Where scripts/environment.sh looks for this checkout's environment, in its order."""
    yield ROOT / ".venv"
    home = os.environ.get("HOME")
    cache = os.environ.get("XDG_CACHE_HOME") or (f"{home}/.cache" if home else "")
    for private in filter(None, (f"{cache}/pylibos" if cache else "", f"/tmp/pylibos-{os.geteuid()}")):
        yield Path(f"{private}{ROOT}/+environment")


def _find_c_parts() -> str | None:
    """The directory of the compiled shim; None when it has not been compiled from the sources as they are now."""
    sources = max(path.stat().st_mtime_ns for path in (ROOT / "c_shim").glob("*.*"))
    beside = ROOT / "pylibos" / "tracer" / SHIM
    if beside.exists() and beside.stat().st_mtime_ns >= sources:
        return str(beside.parent)
    for stamp in (directory / "pylibos-run.ready" for directory in _environments()):
        try:
            fresh = stamp.stat().st_uid == os.geteuid() and stamp.stat().st_mtime_ns >= sources
            build = stamp.read_text().splitlines()[3]
        except (OSError, IndexError):
            continue
        if fresh and Path(build, SHIM).exists():
            return build
    return None


def pytest_configure() -> None:
    """Make the C parts importable, or say how to get them."""
    if "pylibos_build" in sys._xoptions:
        return
    build = _find_c_parts()
    if build is None:
        raise pytest.UsageError("the C parts are not compiled: run ./scripts/test once (or ./scripts/pylibos version)")
    sys._xoptions["pylibos_build"] = build


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of the source tree."""
    return ROOT
