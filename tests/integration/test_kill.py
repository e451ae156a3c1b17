"""kill -9 of the supervisor, at any moment, leaves no guest alive: not while it starts, not between fork and attach, not while it works."""

from __future__ import annotations

import os
import random
import signal
import time

import pytest

from tests.harness.comparison import ENVIRONMENT, outer_environment, pylibos_argv
from tests.harness.plugin import Comparer, require_pylibos
from tests.harness.processes import descendants, kill_descendants, reap_orphans, started

LATEST_SECONDS = 0.9
"""The supervisor needs about 0.15 s to start, so the moments cover start-up and work."""
GRACE_SECONDS = 5.0
BUSY_GUEST = (
    "trap '' TERM HUP INT; (while :; do /bin/true; done) & (setsid sh -c 'trap \"\" HUP; while :; do sleep 0.01; done' &) ; "
    "while :; do (sleep 0.02; mkdir -p d; rmdir d) & (echo $(echo x | cat)) >/dev/null; wait $!; done"
)
"""Forks, executes, leaves the session, ignores what can be ignored: what kill -9 meets in all its states."""


@pytest.mark.guest
@pytest.mark.slow
def test_no_guest_outlives_the_supervisor(comparer: Comparer, inside: str, request: pytest.FixtureRequest) -> None:
    require_pylibos()
    comparer.prepare(None)
    moments = int(request.config.getoption("--kill-moments"))
    chance = random.Random(20_240_229)
    work = comparer.arena.work
    work.mkdir(mode=0o755, exist_ok=True)
    command = pylibos_argv(inside, ["/bin/bash", "--norc", "-c", BUSY_GUEST], ["--tmpfs", "/scratch", "-C", "/scratch"], ENVIRONMENT)
    before = frozenset(descendants(os.getpid()))
    seen_guests = 0
    for _moment in range(moments):
        delay = chance.uniform(0, LATEST_SECONDS)
        with open(os.devnull, "w+b") as null, started(
            command, stdin=null, stdout=null, stderr=null, cwd=work, env=outer_environment()
        ) as process:
            time.sleep(delay)
            guests = {pid: name for pid, name in descendants(process.pid).items() if pid != process.pid}
            seen_guests += bool(guests)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            left = wait_until_gone(before)
            if left:
                kill_descendants(before)
            assert not left, f"alive {GRACE_SECONDS} s after the supervisor was killed at {delay:.3f} s: {left} (guests then: {guests})"
    assert seen_guests >= moments // 3, "the moments must hit running guests"


def wait_until_gone(before: frozenset[int]) -> dict[int, str]:
    """What of our descendants is still alive after the grace period."""
    deadline = time.monotonic() + GRACE_SECONDS
    while True:
        reap_orphans(before)
        left = {pid: name for pid, name in descendants(os.getpid()).items() if pid not in before}
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.01)


@pytest.mark.guest
def test_a_terminated_supervisor_takes_its_guests_along(comparer: Comparer, inside: str) -> None:
    """SIGTERM is a polite end: the guests go, and the status says so."""
    require_pylibos()
    comparer.prepare(None)
    work = comparer.arena.work
    work.mkdir(mode=0o755, exist_ok=True)
    before = frozenset(descendants(os.getpid()))
    command = pylibos_argv(inside, ["/bin/sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.05; done"], (), ENVIRONMENT)
    import subprocess

    with started(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=work, env=outer_environment()) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        os.kill(process.pid, signal.SIGTERM)
        try:
            process.wait(timeout=GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            pytest.skip("this supervisor passes SIGTERM on to the program, which ignores it")
        assert not wait_until_gone(before)
