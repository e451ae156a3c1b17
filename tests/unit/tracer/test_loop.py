"""The C receive loop and descriptor identity, without a guest: each case is a process of its own, because the loop takes signals."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import pylibos.tracer

_named = sys._xoptions.get("pylibos_build")
BUILD = ["-X", f"pylibos_build={_named}"] if isinstance(_named, str) else []
if not any((Path(place) / "_shim.abi3.so").exists() for place in (str(_named), *pylibos.tracer.__path__)):
    pytest.skip("the C parts are not compiled", allow_module_level=True)

ROOT = Path(__file__).resolve().parents[3]
PREAMBLE = """
import os, signal, time
from pylibos.tracer import tracer as t
from pylibos.tracer.native import ffi, lib
loop = t.Tracer()
def kind_detail_value():
    fields = loop.next()
    return fields[0], fields[2], fields[3]
def identity(tid, descriptor):
    answer = ffi.new("uint64_t[13]")
    result = lib.shim_descriptor_record(tid, descriptor, answer)
    return tuple(answer) if result == 0 else result
def same(descriptor):
    status = os.fstat(descriptor)
    return (
        status.st_dev, status.st_ino, status.st_mode, status.st_nlink, status.st_uid, status.st_gid, status.st_rdev, status.st_size,
        status.st_blksize, status.st_blocks, status.st_atime_ns, status.st_mtime_ns, status.st_ctime_ns,
    )
"""


def run(body: str) -> str:
    """What body prints after PREAMBLE."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, *BUILD, "-c", PREAMBLE + body], capture_output=True, text=True, timeout=60, check=False, env=environment, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_deadline_is_reported_and_only_once() -> None:
    body = """
loop.set_deadline(time.monotonic_ns() + 2_000_000)
first = kind_detail_value()[0]
os.kill(os.getpid(), signal.SIGTERM)
print(first == t.TIMER, kind_detail_value()[:2] == (t.REQUEST, signal.SIGTERM))
"""
    assert run(body) == "True True"


def test_a_deadline_in_the_past_is_reported_at_once() -> None:
    assert run("loop.set_deadline(1)\nprint(kind_detail_value()[0] == t.TIMER)") == "True"


def test_a_withdrawn_deadline_is_not_reported() -> None:
    body = """
loop.set_deadline(time.monotonic_ns() + 1_000_000)
os.kill(os.getpid(), signal.SIGHUP)
first = kind_detail_value()[1]
loop.set_deadline(0)
os.kill(os.getpid(), signal.SIGTERM)
print(first == signal.SIGHUP, kind_detail_value()[:2] == (t.REQUEST, signal.SIGTERM))
"""
    assert run(body) == "True True"


def test_requests_that_come_together_are_all_reported() -> None:
    body = """
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    os.kill(os.getpid(), number)
print(sorted(kind_detail_value()[1] for _ in range(3)) == sorted((signal.SIGTERM, signal.SIGINT, signal.SIGHUP)))
"""
    assert run(body) == "True"


def test_every_child_of_a_burst_is_reported() -> None:
    body = """
pids = set()
for status in range(20):
    pid = os.fork()
    if pid == 0:
        os._exit(status)
    pids.add((pid, status << 8))
seen = set()
while len(seen) < 20:
    fields = loop.next()
    assert fields[0] == t.EXIT
    seen.add((fields[1], fields[3]))
print(seen == pids)
"""
    assert run(body) == "True"


def test_a_stream_is_reported_once_per_watch() -> None:
    body = """
ours, theirs = os.pipe()
loop.watch(ours, 1, 77)
os.write(theirs, b"x")
first = kind_detail_value()
os.kill(os.getpid(), signal.SIGTERM)
second = kind_detail_value()[0]
loop.watch(ours, 1, 78)
third = kind_detail_value()
loop.watch(ours, 0, 0)
os.kill(os.getpid(), signal.SIGTERM)
print(first == (t.STREAM, 1, 77), second == t.REQUEST, third == (t.STREAM, 1, 78), kind_detail_value()[0] == t.REQUEST)
"""
    assert run(body) == "True True True True"


def test_only_a_watched_stream_makes_the_wait_a_slow_one() -> None:
    body = """
ours, theirs = os.pipe()
counts = [lib.shim_watching()]
loop.watch(ours, 1, 1 << 32)
counts.append(lib.shim_watching())
os.write(theirs, b"x")
tag = kind_detail_value()[2]
counts.append(lib.shim_watching())
loop.watch(ours, 1, 78)
loop.watch(ours, 1, 79)
counts.append(lib.shim_watching())
loop.watch(ours, 0, 0)
loop.watch(ours, 0, 0)
print(tag == 1 << 32, counts, lib.shim_watching())
"""
    assert run(body) == "True [0, 1, 0, 1] 0"


def test_a_deadline_is_met_while_a_stream_is_watched() -> None:
    body = """
ours, theirs = os.pipe()
loop.watch(ours, 1, 5)
loop.set_deadline(time.monotonic_ns() + 2_000_000)
print(kind_detail_value()[0] == t.TIMER)
"""
    assert run(body) == "True"


def test_identity() -> None:
    body = """
me = os.getpid()
path = os.open("/etc", os.O_PATH)
print(identity(me, 0) == same(0), identity(me, path) == same(path), identity(me, 999), identity(me, -1))
os.close(path)
print(identity(me, path))
"""
    assert run(body).split() == ["True", "True", "-9", "-9", "-9"]


def test_identity_without_room_for_a_pidfd() -> None:
    body = """
import resource
me, path = os.getpid(), os.open("/etc", os.O_PATH)
resource.setrlimit(resource.RLIMIT_NOFILE, (path + 1, path + 1))
print(identity(me, 0) == same(0), identity(me, path) == same(path), identity(me, 999))
"""
    assert run(body).split() == ["True", "True", "-9"]


def test_the_identity_of_a_reused_number_is_the_new_one() -> None:
    body = """
answers = []
for path in ("/etc", "/usr"):
    ready, go = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(path, os.O_RDONLY), 50)
        os.write(go, b"x")
        signal.pause()
    os.read(ready, 1)
    answers.append(identity(pid, 50)[1] == os.stat(path).st_ino)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    answers.append(identity(pid, 50) < 0)
print(*answers)
"""
    assert run(body) == "True True True True"
