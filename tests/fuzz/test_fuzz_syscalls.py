"""Random system calls against a whole PyLibOS: the guest gets errnos and signals, the supervisor survives, keeps its size and says nothing.

The fuzzer itself is fuzz_syscalls.c. It runs as an ordinary user when the tests run as root, so that even a hole in the sandbox could not
let it harm the machine; it is never run natively.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.comparison import ENVIRONMENT, NOBODY, as_user, outer_environment, pylibos_argv
from tests.harness.plugin import Comparer, require_pylibos
from tests.harness.processes import started

RESIDENT_LIMIT = 192 << 20
"""Bytes of resident memory of the supervisor after any amount of fuzzing: four times what a quiet one takes."""
DESCRIPTOR_SLACK = 1024
"""Descriptors the supervisor may hold more than before. Closing is native, so it learns of closed tokens by sweeping: up to 512 wait for
their second sweep once the guests hold little (the fuzzer makes sweeps happen when its workers have ended), up to 256 nameless files
for their first, 256 tasks have a pidfd kept; what fuzzing left in the guest's view stays (content is a memfd), as do System V segments
and queues."""
WORRYING = re.compile(r"Traceback|internal error|Error:|Exception|assert", re.IGNORECASE)
CALLS_PER_SECOND = 200
"""Fewer means that the supervisor hung: even full ptrace manages thousands."""


def resident_bytes(pid: int) -> int:
    """Resident set of a process from /proc/PID/statm (pages)."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def descriptors(pid: int) -> dict[int, str]:
    """Descriptor -> what it refers to."""
    found = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/{pid}/fd/{name}")
        except OSError:
            continue
    return found


def lines_until(process: subprocess.Popen[bytes], word: str) -> Iterator[str]:
    """The lines the fuzzer prints before the line `word`. Its time limit is the caller's (the --timeout of pylibos ends the stream)."""
    assert process.stdout is not None
    for raw in process.stdout:
        line = raw.decode("utf-8", "replace").rstrip("\n")
        if line == word:
            return
        yield line
    pytest.fail(f"the fuzzer ended before it said {word!r}", pytrace=False)


@pytest.mark.guest
@pytest.mark.slow
@pytest.mark.fuzz
@pytest.mark.parametrize("seed", [1])
def test_random_calls(
    comparer: Comparer, inside: str, seed: int, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> None:
    require_pylibos()
    seconds = float(request.config.getoption("--fuzz-seconds"))
    program = comparer.builder.build(Path(__file__).parent / "fuzz_syscalls.c", "static", ("-Wno-unused-function",))
    user = NOBODY if os.getuid() == 0 else None
    comparer.prepare(user)
    work = comparer.arena.work
    work.mkdir(mode=0o755, exist_ok=True)
    flags = ["--ro", str(program), "--tmpfs", "/scratch", "-C", "/scratch", "--timeout", f"{int(seconds) + 60}s"]
    command = as_user(user, pylibos_argv(inside, [str(program), str(seed), str(int(seconds))], flags, ENVIRONMENT))
    error_path = tmp_path_factory.mktemp("fuzz") / "stderr"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with error_path.open("wb") as errors, started(command, **pipes, stderr=errors, cwd=work, env=outer_environment()) as process:
        assert process.stdin is not None
        list(lines_until(process, "ready"))
        before = descriptors(process.pid)
        process.stdin.write(b"g")
        process.stdin.flush()
        report = list(lines_until(process, "idle"))
        after, resident = descriptors(process.pid), resident_bytes(process.pid)
        process.stdin.write(b"e")
        process.stdin.flush()
        status = process.wait(timeout=60)
    said = error_path.read_text("utf-8", "replace")
    summary = "\n".join([*report, f"supervisor: {resident >> 20} MiB, descriptors {len(before)} -> {len(after)}", said[-4000:]])
    counted = re.match(r"calls (\d+) succeeded (\d+) odd (\d+)", report[0])
    assert counted, summary
    calls, succeeded, odd = map(int, counted.groups())
    assert calls > seconds * CALLS_PER_SECOND, summary
    assert succeeded > 0, summary
    assert odd == 0, f"errnos that no program may see\n{summary}"
    assert "sane 1" in report, summary
    assert status == 0, summary
    assert not WORRYING.search(said), summary
    assert len(after) <= len(before) + DESCRIPTOR_SLACK, f"{summary}\n{sorted(set(after.values()) - set(before.values()))[:40]}"
    assert resident < RESIDENT_LIMIT, summary
