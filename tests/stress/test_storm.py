"""Rounds of forks, execs, signals, threads and interrupted waits: nothing hangs, no signal is lost, nothing is left.

The guest counts its own signals, children and descriptors every round. From outside: the supervisor's descriptors and children are the same
after the last round as after the first few, and no process outlives the run. `--stress-rounds 200` is what a release is tested with.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.harness.build import Builder
from tests.harness.comparison import ENVIRONMENT, NATIVE, NOBODY, Case, as_user, outer_environment, pylibos_argv
from tests.harness.plugin import Comparer, require_pylibos
from tests.harness.processes import descendants, started

HERE = Path(__file__).parent
WARM_UP = 2
SECONDS_EACH = 5.0
"""Far more than a round takes on a busy machine; what takes longer hangs."""
SLACK = 8
"""Descriptors the supervisor may hold more: a stream on its way."""
SWEPT = 1024
"""Tokens of directories stay until there are 512 of them and are then looked through; up to 256 descriptors of tasks are kept."""
FAULT = re.compile(rb"Traceback|internal fault|bug in PyLibOS")


def held(pid: int) -> tuple[int, int, int]:
    """(descriptors, those among them that are given up by sweeping, living descendants) of the supervisor."""
    names = []
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(OSError):
            names.append(os.readlink(f"/proc/{pid}/fd/{name}"))
    swept = sum("pylibos-token" in name or "pidfd" in name for name in names)
    return len(names), swept, len(descendants(pid))


def line_of(process: subprocess.Popen[bytes]) -> bytes:
    assert process.stdout is not None
    return process.stdout.readline()


def go_on(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()


@pytest.mark.guest
@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("user", [None, NOBODY] if os.getuid() == 0 else [None], ids=lambda user: "nobody" if user else "self")
def test_nothing_is_lost_and_nothing_is_left(
    comparer: Comparer, builder: Builder, engine: str, user: int | None, request: pytest.FixtureRequest
) -> None:
    rounds = int(request.config.getoption("--stress-rounds"))
    program = builder.build(HERE / "storm.c", "pie", ("-pthread",))
    comparer.arena.fresh(Case(argv=("true",), user=user))
    work = comparer.arena.work
    words = [str(program), str(WARM_UP), str(rounds)]
    if engine != NATIVE:
        require_pylibos()
        comparer.prepare(user)
        limit = f"{int((rounds + WARM_UP) * SECONDS_EACH) + 60}s"
        flags = ["--ro", str(program.parent), "--tmpfs", "/scratch", "-C", "/scratch", "--timeout", limit]
        words = pylibos_argv(engine, words, flags, ENVIRONMENT)
    errors = work / "stderr"
    with errors.open("wb") as stderr, started(
        as_user(user, words), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, cwd=work, env=outer_environment()
    ) as process:
        assert line_of(process) == b"warm\n", errors.read_bytes()
        before = held(process.pid)
        go_on(process)
        assert line_of(process) == b"%d rounds\n" % (WARM_UP + rounds), errors.read_bytes()
        after = held(process.pid)
        go_on(process)
        assert process.wait(60) == 0
    assert not FAULT.search(errors.read_bytes()), errors.read_bytes()
    assert after[2] == before[2], f"{before[2]} processes before, {after[2]} after"
    assert after[0] - after[1] <= before[0] - before[1] + SLACK, f"{before} descriptors (swept, processes) before, {after} after"
    assert after[1] <= SWEPT, f"{after[1]} tokens and process descriptors are held"
