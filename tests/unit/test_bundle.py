"""The bundle of modules, on a small stand-in checkout started by the real scripts/pylibos."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MAIN = """import sys
import json
import pylibos.inner.thing
from pylibos.abi.record import record
from typing import NamedTuple
@record
class Pair:
    a: int
    b: int = 2
class Point(NamedTuple):
    x: int
def main():
    bundled = getattr(pylibos.inner.thing.__loader__, "__name__", "") == "Loader"
    from pylibos.bundle import keep, note, remember
    noted = note("double")
    if noted is None:
        from pylibos.inner.late import FACTOR
        remember("double", FACTOR * pylibos.inner.thing.VALUE)
    if "close" in sys.argv:
        import os
        from pylibos.bundle import forget
        forget()
        os.closerange(3, 100)
        assert os.open("/dev/null", 0) == 3
        from pylibos.inner import late
        print(late.FACTOR, type(late.__loader__).__name__)
        return 0
    if "touch" in sys.argv:
        open(sys.argv[-1], "a").write("# changed while it ran\\n")
    keep()
    thing = pylibos.inner.thing
    print(thing.VALUE, bundled, "typing" in sys.modules, json.dumps([Pair(1).b, Point(3).x]), thing.__file__, noted, sep="|")
    return 0
"""


def write(path: Path, text: str) -> None:
    """A source that was finished before the next run begins: one that is younger is not kept, for it may be changing still."""
    path.write_text(text)
    finished = path.stat().st_mtime_ns - 100_000_000
    os.utime(path, ns=(finished, finished))


class Checkout:
    """A checkout with the real starter and bundle, a pylibos of two modules, and a ready environment."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.build = root / "build"
        for directory in ("scripts", "pylibos/cli", "pylibos/inner", "pylibos/abi", "c_shim", ".venv/bin", "build"):
            (root / directory).mkdir(parents=True)
        scripts = ("scripts/pylibos", "scripts/environment.sh", "scripts/make_environment.py")
        for name in (*scripts, "pylibos/bundle.py", "pylibos/light_typing.py"):
            shutil.copy(ROOT / name, root / name)
        for name in ("record.py", "generated.py"):
            shutil.copy(ROOT / "pylibos/abi" / name, root / "pylibos/abi" / name)
        (root / "pyproject.toml").write_text("[project]\ndependencies = []\n")
        for package in ("pylibos", "pylibos/cli", "pylibos/abi", "pylibos/inner"):
            (root / package / "__init__.py").touch()
        (root / "pylibos/cli/main.py").write_text(MAIN)
        self.thing = root / "pylibos/inner/thing.py"
        self.thing.write_text("VALUE = 1\n")
        (root / "pylibos/inner/late.py").write_text("FACTOR = 2\n")
        (root / "c_shim/shim.c").touch()
        (root / ".venv/bin/python").symlink_to(sys.executable)
        (root / ".venv/pylibos-run.ready").write_text(f"/no/site\n\n\n{self.build}\n")
        for source in root.rglob("*.py"):
            write(source, source.read_text())

    def run(self, *arguments: str) -> list[str]:
        """The value, whether it came from the bundle, whether typing was loaded, what generated classes say, its file, the note."""
        environment = {"PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
        command = [str(self.root / "scripts/pylibos"), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, env=environment)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.strip().split("|")

    def bundles(self) -> list[Path]:
        return list(self.build.glob("modules-*"))


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "checkout")


def test_the_second_run_takes_its_modules_from_the_file(checkout: Checkout) -> None:
    file = str(checkout.thing)
    assert checkout.run() == ["1", "False", "True", "[2, 3]", file, "None"]
    (bundle,) = checkout.bundles()
    written = bundle.stat().st_mtime_ns
    assert checkout.run() == ["1", "True", "False", "[2, 3]", file, "2"]
    assert bundle.stat().st_mtime_ns == written


def test_a_changed_source_is_never_outlived(checkout: Checkout) -> None:
    checkout.run()
    write(checkout.thing, "VALUE = 22\n")
    assert checkout.run()[:2] == ["22", "False"]
    assert checkout.run()[:2] == ["22", "True"]
    old = checkout.thing.stat()
    checkout.thing.write_text("VALUE = 33\n")  # the same size: time alone tells
    os.utime(checkout.thing, ns=(old.st_atime_ns, old.st_mtime_ns + 2_000_000_000))
    assert checkout.run()[:2] == ["33", "False"]
    checkout.thing.unlink()
    (checkout.thing.parent / "thing").mkdir()
    write(checkout.thing.parent / "thing/__init__.py", "VALUE = 4\n")
    assert checkout.run()[:2] == ["4", "False"]
    assert checkout.run()[:2] == ["4", "True"]


def test_another_version_of_the_bundle_itself_replaces_it(checkout: Checkout) -> None:
    checkout.run()
    source = checkout.root / "pylibos/bundle.py"
    write(source, source.read_text() + "\n# newer\n")
    assert checkout.run()[:2] == ["1", "False"]
    assert checkout.run()[:2] == ["1", "True"]


@pytest.mark.parametrize("content", [b"", b"rubbish", b"N"])
def test_a_broken_file_is_passed_over(checkout: Checkout, content: bytes) -> None:
    checkout.run()
    (bundle,) = checkout.bundles()
    bundle.write_bytes(content)
    assert checkout.run()[:2] == ["1", "False"]
    assert checkout.run()[:2] == ["1", "True"]


def test_a_file_that_others_may_write_is_not_executed(checkout: Checkout) -> None:
    checkout.run()
    (bundle,) = checkout.bundles()
    bundle.chmod(0o666)
    assert checkout.run()[:2] == ["1", "False"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_somebody_else_is_not_executed(checkout: Checkout) -> None:
    checkout.run()
    (bundle,) = checkout.bundles()
    os.chown(bundle, 12345, 12345)
    assert checkout.run()[:2] == ["1", "False"]


def test_where_nothing_can_be_written_nothing_is(checkout: Checkout) -> None:
    checkout.build.rmdir()
    assert checkout.run()[:2] == ["1", "False"]
    assert checkout.run()[:2] == ["1", "False"]


def test_notes_hold_until_any_source_changes(checkout: Checkout) -> None:
    checkout.run()
    assert [checkout.run()[-1], checkout.run()[-1]] == ["2", "2"]
    write(checkout.root / "pylibos/inner/late.py", "FACTOR = 30\n")  # which those runs had not even imported
    assert [checkout.run()[-1], checkout.run()[-1]] == ["None", "30"]
    write(checkout.thing, "VALUE = 22\n")
    assert [checkout.run()[-1], checkout.run()[-1]] == ["None", "660"]


def test_a_source_that_changes_during_the_run_is_not_kept(checkout: Checkout) -> None:
    checkout.run("touch", str(checkout.thing))
    assert checkout.bundles() == []
    write(checkout.thing, checkout.thing.read_text())
    assert checkout.run()[1] == "False"
    assert checkout.run()[1] == "True"


def test_a_child_that_closes_descriptors_forgets_the_bundle(checkout: Checkout) -> None:
    checkout.run()
    assert checkout.run()[1] == "True"
    assert checkout.run("close") == ["2 SourceFileLoader"]


def test_only_a_run_of_the_starter_writes_the_file(checkout: Checkout) -> None:
    """A process with more in it (a test's, say) would leave a file that no run can bring up to date."""
    command = [sys.executable, "-X", f"pylibos_build={checkout.build}", "-c", "from pylibos.bundle import keep; keep()"]
    subprocess.run(command, cwd=checkout.root, check=True, timeout=60)
    assert checkout.bundles() == []


def test_a_module_that_is_no_more_does_not_keep_the_file_old(checkout: Checkout) -> None:
    checkout.run()
    assert checkout.run()[1] == "True"
    (checkout.root / "pylibos/inner/late.py").unlink()
    write(checkout.root / "pylibos/cli/main.py", MAIN.replace("from pylibos.inner.late import FACTOR", "FACTOR = 200"))
    write(checkout.thing, "VALUE = 555\n")
    assert checkout.run()[:2] == ["555", "False"]
    assert checkout.run()[:2] == ["555", "True"]
