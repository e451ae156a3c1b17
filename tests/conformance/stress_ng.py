"""stress-ng's stressors, natively and inside, one at a time.

What it is: the list of stressors by class, one bounded run of one stressor (`--verify`, a fixed number of operations, a time limit, limits
    on memory and processes), and the verdict of two such runs. As a program (`scripts/conformance stress-ng`) it runs them all.
What it owns: the bounds. A stressor is a bomb by trade: natively it runs as an ordinary user and, where we are root, in a PID name
    space of its own, so that neither its kill(-1) nor what it leaves running reaches anybody else.
What it must not know: pytest.
Invariants: the native run is the oracle; a stressor that does not pass natively says nothing about us and is left out.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.harness.comparison import (
    ENVIRONMENT,
    NATIVE,
    NOBODY,
    ROOT,
    as_user,
    outer_environment,
    pylibos_argv,
    remove_tree,
    scratch_directory,
)
from tests.harness.processes import Completed, become_subreaper, run

CLASSES = ("cpu", "filesystem", "interrupt", "io", "memory", "network", "os", "pipe", "scheduler", "vm")
GAPS = Path(__file__).with_name("stress_ng_gaps.toml")

OPERATIONS = 100
SECONDS = 3
"""Where a stressor ends by itself when it has not done its operations: stress-ng's own -t."""
PATIENCE_SECONDS = 45.0
"""Some do not look at the clock between two operations; what is not over after this hangs."""
ADDRESS_SPACE_BYTES = 3 << 30
PROCESSES = 2000
FILE_BYTES = 256 << 20

_SIZED = ("copy-file", "fallocate", "fiemap", "hdd", "iomix", "malloc", "memfd", "memrate", "mmap", "mremap", "msync", "pagemove",
          "readahead", "shm", "shm-sysv", "sync-file", "vm", "vm-rw")  # fmt: skip
BOUNDS: Mapping[str, tuple[str, ...]] = {
    **{name: (f"--{name}-bytes", "4M") for name in _SIZED},
    "bigheap": ("--bigheap-growth", "4M"),
    "seek": ("--seek-size", "4M"),
    "sendfile": ("--sendfile-size", "4M"),
    "forkheavy": ("--forkheavy-procs", "64"),
    "fork": ("--fork-max", "4"),
    "vfork": ("--vfork-max", "4"),
    "sockmany": ("--sockmany-port", "23000"),
}
"""Further arguments of single stressors: what they would otherwise use is meant for a whole machine."""
FEWER: Mapping[str, int] = {"hdd": 4, "iomix": 4, "dirdeep": 2, "vforkmany": 4, "resources": 2, "zombie": 64}
"""Operations of stressors whose single operation is long."""

_REMARK = re.compile(r"fail:|error:|skip|warn:|unsupported|disabled")


@dataclass(frozen=True, slots=True)
class Result:
    """One run. verdict: pass, fail, skip (stress-ng itself says that it cannot run here), hang, leak or harm (to the supervisor)."""

    stressor: str
    where: str
    verdict: str
    status: int
    seconds: float
    why: str

    @property
    def passed(self) -> bool:
        return self.verdict == "pass"

    def line(self) -> str:
        """For a person."""
        return f"{self.stressor:16} {self.where:7} {self.verdict:5} {self.status:4} {self.seconds:7.2f} s  {self.why}"


def available() -> bool:
    """Whether stress-ng is installed."""
    return shutil.which("stress-ng") is not None


@functools.cache
def stressors_of(name: str) -> tuple[str, ...]:
    """The stressors of a class, as this stress-ng lists them."""
    done = subprocess.run(["stress-ng", "--class", f"{name}?"], capture_output=True, text=True, timeout=30, check=False)
    listed = re.search(rf"class '{name}' stressors:([^\n]*)", done.stdout + done.stderr)
    if listed is None:
        raise RuntimeError(f"stress-ng lists no class {name}: {done.stdout}{done.stderr}")
    return tuple(listed[1].split())


def all_stressors(classes: Iterable[str] = CLASSES) -> tuple[str, ...]:
    """Every stressor of these classes, once, by name."""
    return tuple(sorted({name for each in classes for name in stressors_of(each)}))


def command(stressor: str, directory: Path, operations: int = OPERATIONS, seconds: int = SECONDS) -> list[str]:
    """The arguments of one bounded run."""
    count = min(operations, FEWER.get(stressor, operations))
    limits = ["prlimit", f"--as={ADDRESS_SPACE_BYTES}", f"--fsize={FILE_BYTES}", "--core=0", "--"]
    options = ["--verify", "--oomable", "--temp-path", str(directory), "-t", str(seconds)]
    return [*limits, "stress-ng", *options, f"--{stressor}", "1", f"--{stressor}-ops", str(count), *BOUNDS.get(stressor, ())]


class Runner:
    """Runs stressors in a working directory of its own; close() removes it."""

    def __init__(self, user: int | None = None, flags: tuple[str, ...] = ()) -> None:
        become_subreaper()
        os.umask(0o022)
        self._base = scratch_directory("pylibos-stress-")
        self.user = (NOBODY if os.getuid() == 0 else None) if user is None else user
        self._flags = flags

    def close(self) -> None:
        """Remove the working directory."""
        remove_tree(self._base)

    def _fresh(self) -> Path:
        work = self._base / "work"
        remove_tree(work)
        work.mkdir(mode=0o755)
        if self.user is not None and os.getuid() == 0:
            os.chown(work, self.user, self.user)
        return work

    def run(self, stressor: str, where: str) -> Result:
        """One run: natively (where is NATIVE) or under an engine."""
        work = self._fresh()
        argv = command(stressor, work)
        if where == NATIVE:
            apart = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--"] if _can_unshare() else []
            full = [*apart, *as_user(self.user, ["prlimit", f"--nproc={PROCESSES}", "--", *argv])]
            done = run(full, cwd=work, env=ENVIRONMENT, timeout=PATIENCE_SECONDS)
        else:
            view = ["-C", str(work), "-v", f"{work}:{work}:cow", "--net", "loopback"]
            flags = [*self._flags, *view, "--timeout", f"{int(PATIENCE_SECONDS)}s"]
            full = as_user(self.user, pylibos_argv(where, argv, flags, ENVIRONMENT))
            done = run(full, cwd=work, env=outer_environment(), timeout=PATIENCE_SECONDS + 15)
        return judge(stressor, where, done)


@functools.cache
def _can_unshare() -> bool:
    if os.getuid() != 0:
        return False
    probe = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--", "true"]
    return subprocess.run(probe, capture_output=True, timeout=30, check=False).returncode == 0


def judge(stressor: str, where: str, done: Completed) -> Result:
    """What a run shows. Inside, whatever the supervisor itself says beyond its limits is harm."""
    text = (done.stdout + done.stderr).decode("utf-8", "replace")
    said = [line.partition("] ")[2] or line for line in text.splitlines() if _REMARK.search(line)]
    verdict = "pass" if done.status == 0 else "fail"
    if done.timed_out or (where != NATIVE and done.status == 124):
        verdict = "hang"
    elif where != NATIVE and (done.status == 125 or "Traceback" in text or "internal fault" in text):
        verdict = "harm"
        said = [line for line in text.splitlines() if "pylibos" in line or "Error" in line or line.startswith("  File")][-6:]
    elif done.leaked:
        verdict = "leak"
        said = list(done.leaked)
    elif verdict == "pass" and re.search(r"skipped|skipping stressor|not implemented|unsupported", text):
        verdict = "skip"
    return Result(stressor, where, verdict, done.status, round(done.seconds, 2), " | ".join(dict.fromkeys(said))[:600])


def load_gaps(path: Path = GAPS) -> dict[str, str]:
    """Stressor -> the reason why it does not pass inside. Raises ValueError for an entry that is not exactly that."""
    gaps: dict[str, str] = {}
    for entry in tomllib.loads(path.read_text()).get("gap", []):
        if set(entry) != {"stressors", "reason"} or not entry["stressors"] or not entry["reason"]:
            raise ValueError(f"{path}: a gap needs exactly stressors and reason; has {sorted(entry)}")
        for name in entry["stressors"]:
            if name in gaps:
                raise ValueError(f"{path}: {name} has two gaps")
            gaps[name] = entry["reason"]
    return gaps


def main(words: list[str] | None = None) -> int:
    """Run what the command line names; a line for each, a summary, and 1 when the gap list is not exactly right."""
    about = "Run stress-ng natively and under PyLibOS, one stressor at a time."
    parser = argparse.ArgumentParser(prog="scripts/conformance stress-ng", description=about)
    parser.add_argument("stressors", nargs="*", help="names; none: all of --class")
    parser.add_argument("--class", dest="classes", default=",".join(CLASSES), help="classes, separated by commas")
    parser.add_argument("--engine", default="notify", help="notify, ptrace or native (only the oracle)")
    parser.add_argument("--json", type=Path, help="append every result here, one JSON object a line")
    parser.add_argument("--oracle", type=Path, help="take native results from this --json file of an earlier run")
    chosen = parser.parse_args(words)
    names = tuple(chosen.stressors) or all_stressors(chosen.classes.split(","))
    native = {}
    if chosen.oracle is not None and chosen.oracle.exists():
        lines = [json.loads(line) for line in chosen.oracle.read_text().splitlines()]
        native = {line["stressor"]: Result(**line) for line in lines if line["where"] == NATIVE}
    runner = Runner()
    gaps = load_gaps()
    counted = passed = 0
    wrong: list[str] = []
    try:
        for name in names:
            fresh = name not in native
            oracle = runner.run(name, NATIVE) if fresh else native[name]
            results = [oracle] if fresh else []
            if oracle.passed and chosen.engine != NATIVE:
                inside = runner.run(name, chosen.engine)
                results.append(inside)
                counted += 1
                passed += inside.passed
                if inside.passed == (name in gaps):
                    wrong.append(f"{name} ({'a gap that passes' if inside.passed else inside.verdict})")
            for result in results:
                print(result.line(), flush=True)
                if chosen.json is not None:
                    with chosen.json.open("a") as file:
                        file.write(json.dumps(dataclasses.asdict(result)) + "\n")
    finally:
        runner.close()
    print(f"{passed} of {counted} stressors that pass natively pass under {chosen.engine} ({100 * passed / max(counted, 1):.1f} %)")
    print(f"not as {GAPS.relative_to(ROOT)} says: {', '.join(wrong) or 'nothing'}")
    return 1 if wrong else 0

