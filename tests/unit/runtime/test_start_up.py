"""What `pylibos run` waits for before its program starts: a module that crept in costs every run milliseconds.

The first test asks an interpreter without the bundle of modules (pylibos/bundle.py), the second one with it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DEAR = {
    "argparse", "asyncio", "ast", "ctypes", "dataclasses", "datetime", "difflib", "inspect", "json", "logging", "pathlib", "pyseccomp",
    "random", "shlex", "shutil", "subprocess", "tempfile", "threading", "tomllib", "traceback",
}  # fmt: skip

_named = sys._xoptions.get("pylibos_build")


@pytest.mark.skipif(not isinstance(_named, str), reason="the C parts are not compiled")
def test_nothing_dear_is_imported_before_the_program_starts() -> None:
    program = f"import sys; sys.path.append({str(ROOT)!r}); sys.path.extend({sys.path!r})\n"
    program += "import pylibos.cli.run, pylibos.cli.policy, pylibos.runtime.run\nprint(*sys.modules)"
    command = [sys.executable, "-I", "-S", "-X", f"pylibos_build={_named}", "-c", program]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert DEAR & set(loaded) == set()


@pytest.mark.skipif(not isinstance(_named, str), reason="the C parts are not compiled")
def test_with_the_bundle_typing_and_its_train_stay_away(tmp_path: Path) -> None:
    shutil.copy(Path(str(_named)) / "_shim.abi3.so", tmp_path)
    starter = (ROOT / "scripts/pylibos").read_text().rpartition(" -c '")[2].rpartition("'")[0].rpartition("code = main()")[0]
    assert "modules-" in starter
    program = starter + "import pylibos.cli.run, pylibos.cli.policy, pylibos.runtime.run\nprint(*sys.modules)\n"
    program += "from pylibos.bundle import keep\nkeep()\n"
    command = [sys.executable, "-I", "-S", "-X", f"pylibos_build={tmp_path}", "-c", program, str(ROOT), "", ":".join(sys.path), "run"]
    loaded: list[str] = []
    for bundled in (False, True):
        loaded = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
        assert ("typing" in loaded) is not bundled
    assert (DEAR | {"typing", "re", "socket", "selectors", "array", "math", "bisect"}) & set(loaded) == set()


@pytest.mark.skipif(not isinstance(_named, str), reason="the C parts are not compiled")
@pytest.mark.parametrize("first", ["filter notify", "loop False False", "loop True False", "loop False True"])
def test_each_part_of_what_is_kept_can_be_missing(first: str) -> None:
    """A run that finds the filter kept but not the loop's tables (an earlier run was of another kind), or the other way round."""
    program = f"""import sys
sys.path.append({str(ROOT)!r}); sys.path.extend({sys.path!r})
from pylibos import bundle
from pylibos.runtime.filters import configure_tracer, load_filter
class Recorder:
    def configure(self, notified, continued, paths):
        self.said = sorted(notified), sorted(continued), paths
    def let_pass(self, *rule):
        pass
def all_of_it():
    found = [load_filter("notify"), load_filter("ptrace")]
    for traced, report_all in ((False, False), (True, False), (False, True)):
        tracer = Recorder()
        configure_tracer(tracer, traced=traced, report_all=report_all)
        found.append(tracer.said)
    return found
if len(sys.argv) > 1:
    bundle.notes.update(eval(sys.stdin.read()))
    bundle.checked.append(True)
    bundle.note = lambda name: bundle.notes.get(name) if name == sys.argv[1] else None
    print(repr(all_of_it()))
else:
    found = all_of_it()
    print(repr((bundle.notes, found)))
"""
    command = [sys.executable, "-I", "-S", "-X", f"pylibos_build={_named}", "-c", program]
    notes, found = eval(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert set(notes) >= {"filter notify", "filter ptrace", first}
    done = subprocess.run([*command, first], input=repr(notes), capture_output=True, text=True, check=True)
    assert eval(done.stdout) == found
