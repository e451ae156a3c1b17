"""Limits of a policy that are kept: processes and threads, descriptors, the size of files, processor time and memory of all together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.harness.comparison import NOBODY
from tests.harness.plugin import Comparer
from tests.harness.programs import bash, python


def policy(scratch: Path, limits: str) -> str:
    path = scratch / "limits.toml"
    path.write_text(f"version = 1\n[limits]\n{limits}\n")
    path.chmod(0o644)
    return str(path)


FORKS = """
import os, threading, time
children, failure = [], 0
while len(children) < 50:
    try:
        child = os.fork()
    except OSError as error:
        failure = error.errno
        break
    if child == 0:
        time.sleep(60)
        os._exit(0)
    children.append(child)
print(len(children), failure)
for child in children:
    os.kill(child, 9)
    os.waitpid(child, 0)
child = os.fork()
if child == 0:
    os._exit(7)
print(os.waitpid(child, 0)[1] >> 8)
"""


@pytest.mark.guest
@pytest.mark.parametrize("user", [None, NOBODY])
@pytest.mark.parametrize("form", ["flag", "policy"])
def test_processes(comparer: Comparer, inside: str, scratch: Path, user: int | None, form: str) -> None:
    flags = ("--pids", "8") if form == "flag" else ("-p", policy(scratch, "processes = 8"))
    outcome = comparer.inside(python(FORKS, user=user, flags=flags), inside)
    assert outcome.stdout == b"7 11\n7\n", outcome.completed.describe()


@pytest.mark.guest
def test_descriptors_and_file_size(comparer: Comparer, inside: str, scratch: Path) -> None:
    script = """
import os, resource, signal
print(resource.getrlimit(resource.RLIMIT_NOFILE), resource.getrlimit(resource.RLIMIT_FSIZE))
for kind in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE):
    try: resource.setrlimit(kind, (1 << 20, 1 << 20))
    except (ValueError, PermissionError) as error: print('kept')
got = []
try:
    while True: got.append(os.dup(1))
except OSError as error: print(error.errno, got[-1])
for fd in got: os.close(fd)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
fd = os.open('/tmp/big', os.O_RDWR | os.O_CREAT)
acts = [lambda: os.pwrite(fd, b'x' * 10, 8190), lambda: os.pwrite(fd, b'x', 8192), lambda: os.ftruncate(fd, 8193)]
acts += [lambda: os.truncate('/tmp/big', 8192), lambda: os.posix_fallocate(fd, 0, 9000)]
for act in acts:
    try: print(act())
    except OSError as error: print(error.errno)
print(os.fstat(fd).st_size)
"""
    flags = ("-p", policy(scratch, 'descriptors = 40\nfile_size = "8K"'))
    outcome = comparer.inside(python(script, flags=flags), inside)
    last = 39 if inside == "notify" else 38  # the last but one there: the passage has the last (ADR 8)
    wanted = f"(40, 40) (8192, 8192)\nkept\nkept\n24 {last}\n2\n27\n27\nNone\n27\n8192\n"
    assert outcome.stdout.decode() == wanted, outcome.completed.describe()


@pytest.mark.guest
def test_processor_time_of_all_together(comparer: Comparer, inside: str, scratch: Path) -> None:
    status = scratch / "status.json"
    status.unlink(missing_ok=True)
    flags = ("-p", policy(scratch, 'cpu = "1s"'), "--status-file", str(status))
    # Each process by itself stays below the limit for long; the two together do not.
    script = "import os\nos.fork()\nwhile True: pass"
    case = python(script, flags=flags, timeout=30)
    outcome = comparer.inside(case, inside)
    assert outcome.completed.status in (137, -9), outcome.completed.describe()
    assert not outcome.completed.timed_out
    said = json.loads(status.read_text())
    assert (said["reason"], said["code"]) == ("limit:cpu", 137)


@pytest.mark.guest
def test_a_program_below_its_limits_ends_as_ever(comparer: Comparer, inside: str, scratch: Path) -> None:
    flags = ("-p", policy(scratch, 'cpu = "60s"\nprocesses = 64\ndescriptors = 256\nfile_size = "1M"'))
    script = "import subprocess; print(subprocess.run(['/bin/sh', '-c', 'exit 5']).returncode)"
    outcome = comparer.inside(python(script, flags=flags), inside)
    assert (outcome.stdout, outcome.completed.status) == (b"5\n", 0), outcome.completed.describe()


GROW = """
import time
kept = []
for _ in range(300):
    kept.append(bytearray(1 << 20))
    time.sleep(0.001)
print("not reached")
"""
SHARE = """
import os, time
kept = bytes(range(256)) * (60 << 12)
children = []
for _ in range(4):
    child = os.fork()
    if child == 0:
        time.sleep(0.5)
        os._exit(kept[1])
    children.append(child)
print([os.waitpid(child, 0)[1] >> 8 for child in children])
try:
    bytearray(1 << 33)
except MemoryError:
    print("too much at once")
"""


@pytest.mark.guest
@pytest.mark.parametrize("user", [None, NOBODY])
def test_memory(comparer: Comparer, inside: str, user: int | None) -> None:
    """The greediest ends, the others go on, and everybody could have known."""
    told = "grep MemTotal /proc/meminfo; cat /sys/fs/cgroup/memory.max"
    script = f"{told}; python3 -c '{GROW}' 2>/dev/null; echo $?; grep oom_kill /sys/fs/cgroup/memory.events"
    outcome = comparer.inside(bash(script, user=user, flags=("-m", "150M")), inside)
    assert outcome.stdout.split() == [b"MemTotal:", b"153600", b"kB", b"157286400", b"137", b"oom_kill", b"1"], outcome.completed.describe()
    assert b"memory limit reached: killed 'python3'" in outcome.stderr


@pytest.mark.guest
def test_shared_memory_counts_once_and_a_huge_request_fails(comparer: Comparer, inside: str) -> None:
    outcome = comparer.inside(python(SHARE, flags=("-m", "150M")), inside)
    assert outcome.stdout == b"[1, 1, 1, 1]\ntoo much at once\n", outcome.completed.describe()


FULL = (
    "head -c 300M /dev/zero >/tmp/file",
    "exec python3 -c 'import os\nf = os.memfd_create(str(1))\nwhile True: os.write(f, bytes(1 << 20))'",
)


@pytest.mark.guest
@pytest.mark.parametrize("script", FULL, ids=["file", "memfd"])
def test_files_in_memory_count(comparer: Comparer, inside: str, scratch: Path, script: str) -> None:
    """What no death of a process gives back ends the sandbox."""
    status = scratch / "status.json"
    case = bash(f"{script}; sleep 5; echo no", flags=("-p", policy(scratch, 'memory = "100M"'), "--status-file", str(status)))
    outcome = comparer.inside(case, inside)
    assert outcome.completed.status == 137, outcome.completed.describe()
    assert b"no" not in outcome.stdout
    assert json.loads(status.read_text())["reason"] == "limit:memory"
    assert not outcome.completed.leaked
