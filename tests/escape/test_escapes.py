"""Attacks on the sandbox, one program per class of escape: each tries to get out and says "contained" when nothing worked.

A program's number is its class in the list of known escapes (docs: threat model). What it must not reach: a directory of the host outside
every grant, with a file, a socket and a set-user-id program's privileges, and a process of the host. Both are looked at afterwards.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.build import Builder
from tests.harness.comparison import ENVIRONMENT, NOBODY, as_user, outer_environment, pylibos_argv
from tests.harness.plugin import Comparer, require_pylibos
from tests.harness.processes import Completed, run, started

HERE = Path(__file__).parent
PAIR = "e20_shared_objects"
"""An attack of one sandbox on another: two of it run at once."""
ATTACKS = sorted(path.stem for path in HERE.glob("e*.c") if path.stem not in ("escape", PAIR))
USERS = [None, NOBODY] if os.getuid() == 0 else [None]
FAULT = re.compile(r"Traceback|internal fault|bug in PyLibOS")
SECRET = b"not for guests\n"


@pytest.fixture(scope="module")
def attack_builder(scratch: Path) -> Builder:
    """The attacks of this directory, with their own header."""
    directory = scratch / "escape-build"
    directory.mkdir(mode=0o755)
    return Builder(directory, HERE)


@pytest.fixture
def canary(scratch: Path) -> Iterator[Path]:
    """A directory the guest is not granted, open to everybody on the host, so that only the sandbox keeps it safe."""
    directory = scratch / "outside"
    directory.mkdir()
    directory.chmod(0o777)
    (directory / "secret").write_bytes(SECRET)
    (directory / "secret").chmod(0o666)
    yield directory
    for entry in directory.iterdir():
        entry.rmdir() if entry.is_dir() else entry.unlink()
    directory.rmdir()


@pytest.fixture
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the host that must live on."""
    with subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], stdin=subprocess.DEVNULL) as process:
        yield process
        process.kill()


def contained(comparer: Comparer, engine: str, user: int | None, program: Path, arguments: list[str]) -> Completed:
    """Run an attack with a writable grant of an empty working directory."""
    require_pylibos()
    comparer.prepare(user)
    from tests.harness.comparison import Case

    comparer.arena.fresh(Case(argv=("true",), user=user))
    work = comparer.arena.work
    flags = ["--ro", str(program.parent), "--rw", str(work), "-C", str(work), "--tmpfs", "/scratch", "--timeout", "120s"]
    command = as_user(user, pylibos_argv(engine, [str(program), *arguments], flags, ENVIRONMENT))
    return run(command, cwd=work, env=outer_environment(), timeout=150)


@pytest.mark.guest
@pytest.mark.parametrize("user", USERS, ids=lambda user: "nobody" if user else "self")
@pytest.mark.parametrize("attack", ATTACKS)
def test_contained(
    comparer: Comparer,
    attack_builder: Builder,
    inside: str,
    attack: str,
    user: int | None,
    canary: Path,
    stranger: subprocess.Popen[bytes],
    request: pytest.FixtureRequest,
) -> None:
    program = attack_builder.build(HERE / f"{attack}.c", "static", ("-pthread",))
    rounds = int(request.config.getoption("--escape-rounds"))
    completed = contained(comparer, inside, user, program, [str(canary), str(stranger.pid), str(rounds)])
    assert completed.status == 0, completed.describe()
    assert completed.stdout.splitlines()[-1:] == [b"contained"], completed.describe()
    assert not FAULT.search(completed.stderr.decode("utf-8", "replace")), completed.describe()
    assert not completed.leaked, completed.describe()
    assert sorted(entry.name for entry in canary.iterdir()) == ["secret"], "something was made or removed outside"
    assert (canary / "secret").read_bytes() == SECRET
    assert (canary / "secret").stat().st_mode & 0o7777 == 0o666
    assert stranger.poll() is None, "a process of the host was ended"


@pytest.mark.guest
def test_two_sandboxes_share_no_object(comparer: Comparer, attack_builder: Builder, inside: str, canary: Path) -> None:
    """The same keys and names at the same time: both make everything anew, and neither sees what the other one wrote."""
    require_pylibos()
    comparer.prepare(None)
    program = attack_builder.build(HERE / f"{PAIR}.c", "static", ("-lrt",))
    work = comparer.arena.work
    work.mkdir(mode=0o755, exist_ok=True)
    with contextlib.ExitStack() as stack:
        pair = []
        for number in (17, 42):
            command = pylibos_argv(inside, [str(program), str(canary), "1", str(number)], ["--ro", str(program.parent)], ENVIRONMENT)
            run_of_it = started(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=work, env=outer_environment())
            pair.append(stack.enter_context(run_of_it))
        outputs = []
        for process in pair:
            assert process.stdout is not None
            outputs.append(process.stdout.readline())
        assert outputs == [b"made\n"] * 2, [process.communicate(b"\n") for process in pair]
        assert [process.communicate(b"\n", timeout=60)[0] for process in pair] == [b"contained\n"] * 2


@pytest.mark.guest
@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"])
def test_closed_standard_streams_are_not_filled_with_ours(comparer: Comparer, inside: str, closed: str) -> None:
    """A descriptor number the caller left free must not come to be one of the supervisor's own in the guest."""
    require_pylibos()
    comparer.prepare(None)
    script = "for n in 0 1 2; do readlink /proc/self/fd/$n; done > seen 2>/dev/null || :"
    from tests.harness.comparison import Case

    comparer.arena.fresh(Case(argv=("true",)))
    work = comparer.arena.work
    command = pylibos_argv(inside, ["/bin/sh", "-c", script], ["--rw", str(work), "-C", str(work)], ENVIRONMENT)
    completed = run(["/bin/sh", "-c", f'"$@" {closed}', "sh", *command], cwd=work, env=outer_environment())
    assert completed.status == 0, completed.describe()
    seen = (work / "seen").read_text()
    assert "eventpoll" not in seen, seen
    assert "memfd" not in seen, seen
    assert not FAULT.search(completed.stderr.decode("utf-8", "replace")), completed.describe()


@pytest.mark.guest
def test_a_fork_bomb_meets_a_limit(comparer: Comparer, attack_builder: Builder, inside: str) -> None:
    """The sandbox runs out of tasks before the host does, and says so; the time limit ends it."""
    require_pylibos()
    comparer.prepare(None)
    program = attack_builder.build(HERE / "fork_bomb.c", "static")
    work = comparer.arena.work
    work.mkdir(mode=0o755, exist_ok=True)
    command = pylibos_argv(inside, [str(program)], ["--ro", str(program.parent), "--timeout", "60s"], ENVIRONMENT)
    completed = run(command, cwd=work, env=outer_environment(), timeout=120)
    assert completed.status in (124, 128 + signal.SIGKILL, 0), completed.describe()
    assert b"limit of" in completed.stderr, completed.describe()
    assert not FAULT.search(completed.stderr.decode("utf-8", "replace")), completed.describe()
    assert not completed.leaked, completed.describe()


@pytest.mark.guest
def test_fifos_without_a_name_are_given_up(comparer: Comparer, attack_builder: Builder, inside: str) -> None:
    """Each FIFO is a descriptor of the supervisor: it must go when its name and its last holder have gone."""
    require_pylibos()
    comparer.prepare(None)
    program = attack_builder.build(HERE / "fifo_leak.c", "static")
    work = comparer.arena.work
    work.mkdir(mode=0o755, exist_ok=True)
    flags = ["--ro", str(program.parent), "--tmpfs", "/scratch", "-C", "/scratch", "--timeout", "60s"]
    command = pylibos_argv(inside, [str(program)], flags, ENVIRONMENT)
    with started(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=work, env=outer_environment()) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"done\n"
        descriptors = Path(f"/proc/{process.pid}/fd")
        pipes = [name for name in descriptors.iterdir() if os.readlink(name).startswith("pipe:")]
    assert len(pipes) < 300, f"{len(pipes)} pipes held"
