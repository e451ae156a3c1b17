"""Taking one figure: an operation's nanoseconds, a program's wall time, the memory of a supervisor.

Every function runs one command once, in a process group of its own, under a time limit, and either returns a figure or
raises MeasureError with a text for the table; a failed run never yields a figure.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from scripts.bench.ways import Way, command_environment
from scripts.bench.workloads import Operation, Program, remove_leavings

SLEEP_SECONDS = "30"
READY = "ready"
SETTLE_SECONDS = 0.3


class MeasureError(Exception):
    """The command failed, printed something else, or took too long."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to measure."""

    batches: int
    batch_ms: float
    timeout_s: float


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _run(argv: Sequence[str], work: Path, timeout_s: float) -> tuple[float, bytes]:
    """Run argv in work: (wall seconds, standard output). Raises MeasureError."""
    start = time.perf_counter()
    with subprocess.Popen(
        argv,
        cwd=work,
        env=command_environment(work),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            _kill_group(process)
            raise MeasureError(f"no end after {timeout_s:.0f} s") from None
        took = time.perf_counter() - start
    if process.returncode != 0:
        last = errors.decode(errors="replace").strip().splitlines()[-1:] or ["no message"]
        raise MeasureError(f"status {process.returncode}: {last[0][:120]}")
    return took, output


def prepare(way: Way, work: Path, timeout_s: float) -> None:
    """Run the way once: the first use of PyLibOS from a checkout builds its environment. Raises MeasureError."""
    _run(way.wrap(["/bin/true"]), work, timeout_s)


def operation_ns(way: Way, operation: Operation, micro: Path, limits: Limits) -> float:
    """Median nanoseconds of one operation. Raises MeasureError."""
    argv = way.wrap([str(micro), "-k", str(limits.batches), "-t", str(limits.batch_ms), operation.name])
    _, output = _run(argv, micro.parent, limits.timeout_s)
    try:
        record = json.loads(output)
    except ValueError:
        raise MeasureError("no figure printed") from None
    if "error" in record:
        raise MeasureError(str(record["error"]))
    return float(record["ns"])


def program_seconds(way: Way, program: Program, work: Path, limits: Limits) -> float:
    """Wall seconds of one run of a program. Raises MeasureError."""
    remove_leavings(work, program.leaves)
    took, _ = _run(way.wrap(program.argv), work, limits.timeout_s)
    return took


def _parents() -> dict[int, int]:
    """pid -> parent pid of every process."""
    parents: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        with contextlib.suppress(OSError):
            status = Path(f"/proc/{entry}/stat").read_text(encoding="utf-8", errors="replace")
            parents[int(entry)] = int(status.rpartition(")")[2].split()[1])
    return parents


def _descendants(root: int) -> Iterator[int]:
    """root and every process below it."""
    parents = _parents()
    waiting = [root]
    while waiting:
        pid = waiting.pop()
        yield pid
        waiting.extend(child for child, parent in parents.items() if parent == pid)


def _status_field(pid: int, pattern: str) -> str:
    found = re.search(pattern, Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    return found.group(1) if found else ""


def _pss_kib(pid: int) -> int:
    """Proportional set size of one process, KiB (proc_pid_smaps(5)); 0 when it is gone."""
    with contextlib.suppress(OSError):
        found = re.search(r"^Pss:\s*(\d+)", Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii"), re.MULTILINE)
        return int(found.group(1)) if found else 0
    return 0


def _supervisor_pss(root: int) -> int:
    """KiB of every process of the tree that is not itself traced: the guests are the traced ones."""
    total = 0
    for pid in _descendants(root):
        with contextlib.suppress(OSError):
            if _status_field(pid, r"^TracerPid:\s*(\d+)") == "0":
                total += _pss_kib(pid)
    return total


def supervisor_pss_kib(way: Way, work: Path, timeout_s: float) -> int:
    """PSS in KiB of everything but the guest while `sleep` runs under the way. Raises MeasureError."""
    argv = way.wrap(["/bin/sh", "-c", f"echo {READY}; exec /bin/sleep {SLEEP_SECONDS}"])
    process = subprocess.Popen(
        argv,
        cwd=work,
        env=command_environment(work),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        if not select.select([process.stdout], [], [], timeout_s)[0] or process.stdout.readline().strip() != READY.encode():
            raise MeasureError("the guest never came to its sleep")
        time.sleep(SETTLE_SECONDS)
        return _supervisor_pss(process.pid)
    finally:
        process.stdout.close()
        _kill_group(process)
