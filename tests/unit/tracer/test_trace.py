"""The C functions that act on tasks, on real children: attach, stops, registers, a call made in another process, memory at its edges.

Everything runs in a process of its own, because ptrace ties a tracee to the thread that attached.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PREAMBLE = """
import ctypes, errno, mmap, os, signal
from pylibos.tracer import tracer as t
from pylibos.tracer.native import ffi, lib
PAGE = mmap.PAGESIZE
WALL = 0x40000000
tracer = t.Tracer()
release = {}

def sleeper(prepare=lambda: None):
    "A child that says it is ready and then waits for a byte."
    ready, go = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        os.close(go[1])
        prepare()
        os.write(ready[1], b"r")
        os.read(go[0], 1)
        os._exit(0)
    os.read(ready[0], 1)
    while open(f"/proc/{child}/syscall").read().split()[0] != "0":
        os.sched_yield()
    release[child] = go[1]
    return child

def stopped(child):
    "Attach and stop it, at whatever it waits in."
    tracer.seize(child)
    tracer.interrupt(child)
    status = tracer.wait_stop(child)
    assert os.WIFSTOPPED(status) and status >> 16 == t.EVENT_STOP, hex(status)

def end(child):
    os.kill(child, signal.SIGKILL)
    assert os.WIFSIGNALED(tracer.wait_stop(child))

def call(child, number, *arguments):
    "Have a child stopped inside a system call make another one there; its raw result. Its own call is made again after that."
    saved = tracer.registers(child)
    registers = list(saved)
    registers[t.RAX], registers[t.ORIG_RAX] = number, -1
    registers[t.RIP] -= 2
    for index, value in zip((t.RDI, t.RSI, t.RDX, t.R10, t.R8, t.R9), arguments):
        registers[index] = value
    tracer.set_registers(child, registers)
    for _stop in ("entry", "exit"):
        tracer.resume_to_exit(child)
        status = tracer.wait_stop(child)
        assert os.WSTOPSIG(status) == signal.SIGTRAP | 0x80, hex(status)
    result = tracer.registers(child)[t.RAX]
    saved[t.RAX], saved[t.ORIG_RAX] = saved[t.ORIG_RAX], -1  # the restart code means nothing without a signal
    saved[t.RIP] -= 2
    tracer.set_registers(child, saved)
    return result
"""


def run(body: str) -> str:
    """What body prints after PREAMBLE."""
    build = sys._xoptions.get("pylibos_build")
    flags = ["-X", f"pylibos_build={build}"] if isinstance(build, str) else []
    done = subprocess.run(
        [sys.executable, *flags, "-c", PREAMBLE + body],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_stopped_task_shows_the_call_it_waits_in() -> None:
    body = """
child = sleeper()
stopped(child)
registers = tracer.registers(child)
print(len(registers), registers[t.ORIG_RAX], registers[t.RDX], registers[t.RIP] > 4096)
end(child)
"""
    assert run(body) == "27 0 1 True"


def test_a_call_made_in_another_process() -> None:
    body = """
child = sleeper()
stopped(child)
print(call(child, 3, 9999) == 2**64 - errno.EBADF)
tracer.resume(child)
os.write(release[child], b"g")
print(tracer.wait_stop(child))
"""
    assert run(body) == "True\n0"


def test_registers_can_be_set_modulo_their_width() -> None:
    body = """
child = sleeper()
stopped(child)
registers = tracer.registers(child)
registers[t.R9] = -5
tracer.set_registers(child, registers)
print(tracer.registers(child)[t.R9] == 2**64 - 5)
end(child)
"""
    assert run(body) == "True"


def test_tasks_that_are_gone_are_no_error_to_python() -> None:
    body = """
child = sleeper()
stopped(child)
end(child)
print(tracer.registers(child), tracer.signal_mask(child), tracer.wait_stop(child) < 0)
tracer.set_registers(child, [0] * 27)
tracer.resume(child); tracer.interrupt(child); tracer.answer(child, 0); tracer.renumber(child, 1); tracer.listen(child)
try:
    tracer.seize(child)
except t.TracerError as error:
    print("not permitted" in str(error))
"""
    assert run(body) == "None None True\nTrue"


def test_signal_masks_are_read_and_set() -> None:
    body = """
child = sleeper(lambda: signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1]))
stopped(child)
print(hex(tracer.signal_mask(child)))
tracer.set_signal_mask(child, t.ALL_SIGNALS)
print(tracer.signal_mask(child) == t.ALL_SIGNALS & ~(1 << 8) & ~(1 << 18))
end(child)
"""
    assert run(body) == "0x200\nTrue"


def test_events_of_others_are_kept_while_one_is_waited_for() -> None:
    body = """
first, second = sleeper(), sleeper()
tracer.seize(first); tracer.seize(second)
os.kill(second, signal.SIGKILL)
os.waitid(os.P_PID, second, os.WEXITED | os.WNOWAIT)
tracer.interrupt(first)
print(tracer.wait_stop(first) >> 16 == t.EVENT_STOP)
fields = tracer.next()
print(fields[0] == t.EXIT, fields[1] == second, os.WTERMSIG(fields[3]) == signal.SIGKILL)
end(first)
"""
    assert run(body) == "True\nTrue True True"


def test_a_signal_for_a_task_is_delivered_once() -> None:
    body = """
hits = mmap.mmap(-1, PAGE)
def count(*_):
    hits[0] += 1
child = sleeper(lambda: signal.signal(signal.SIGUSR1, count))
tracer.seize(child)
tracer.report_signals(True)
os.kill(child, signal.SIGUSR1)
fields = tracer.next()
print(fields[0] == t.SIGNAL, fields[1] == child, fields[2] == signal.SIGUSR1)
tracer.signal_pass(child, signal.SIGUSR1)
while not hits[0]:
    os.sched_yield()
print(hits[0])
end(child)
"""
    assert run(body) == "True True True\n1"


MEMORY = """
area = mmap.mmap(-1, 4 * PAGE)
start = ctypes.addressof(ctypes.c_char.from_buffer(area))
island = start + PAGE
area[PAGE:3 * PAGE] = bytes(range(256)) * (2 * PAGE // 256)
libc = ctypes.CDLL(None)
def holes():
    for page in (start, start + 3 * PAGE):
        assert libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(PAGE), 0) == 0
child = sleeper(holes)
buffer = ffi.new("char[]", 3 * PAGE)
def read(address, size):
    count = lib.shim_read(child, address, buffer, size)
    return bytes(ffi.buffer(buffer, count)) if count >= 0 else count
def string(address, limit):
    count = lib.shim_read_string(child, address, buffer, limit)
    return bytes(ffi.buffer(buffer, count)) if count >= 0 else count
"""


def test_reads_across_unmapped_pages_give_what_lies_before() -> None:
    body = """
whole = bytes(range(256)) * (2 * PAGE // 256)
print(read(island, 2 * PAGE) == whole, read(island, 3 * PAGE) == whole, read(island + 1, 2 * PAGE) == whole[1:])
print(read(island + 2 * PAGE, 1), read(island - 1, 2), read(start, PAGE), read(island, 0), read(1 << 63, 1))
"""
    assert run(MEMORY + body) == "True True True\n-14 -14 -14 b'' -14"


def test_strings_end_at_their_nul_at_the_limit_or_at_the_hole() -> None:
    body = """
print(string(island + 1, 256) == bytes(range(1, 256)), string(island, 10), string(island + 1, 255), string(island + 1, 254))
last = island + 2 * PAGE - 5
print(string(last, 5), string(last, 6), string(island + 2 * PAGE, 1), string(0, 10), string(island + 1, 0))
"""
    assert run(MEMORY + body) == "True b'' -36 -36\n-36 -14 -14 -14 -36"


def test_writes_are_whole_or_faults() -> None:
    body = """
def write(address, data):
    return lib.shim_write(child, address, ffi.from_buffer(data), len(data))
print(write(island + PAGE - 2, b"abcd"), read(island + PAGE - 2, 4))
print(write(island + 2 * PAGE - 1, b"xy"), write(start, b"x"), write(0, b"x"), write(island, b""))
"""
    assert run(MEMORY + body) == "4 b'abcd'\n-14 -14 -14 0"


def test_memory_of_a_task_that_is_gone() -> None:
    body = """
os.kill(child, signal.SIGKILL)
os.waitpid(child, 0)
print(read(island, 1), string(island, 1), lib.shim_write(child, island, ffi.from_buffer(b"x"), 1))
"""
    assert run(MEMORY + body) == "-3 -3 -3"


def test_a_task_has_its_own_number_without_a_name_space() -> None:
    body = """
child = sleeper()
print(lib.shim_guest_pid(child, -1) == child, lib.shim_guest_pid(2**22 + 5, -1) < 0)
print(lib.shim_tgkill(child, child, 0), lib.shim_tgkill(os.getpid(), child, 0) == -errno.ESRCH)
os.kill(child, 9)
"""
    assert run(body) == "True True\n0 True"


def test_one_task_at_a_time_is_kept_and_gets_its_processors_back() -> None:
    body = """
first, second = sleeper(), sleeper()
before = os.sched_getaffinity(first)
tracer.stay(True)
tracer.keep(first)
tracer.keep(second)
print(len(os.sched_getaffinity(first)), os.sched_getaffinity(second) == before, os.sched_getaffinity(0) == os.sched_getaffinity(first))
tracer.let_go(second, second)
print(len(os.sched_getaffinity(first)))
tracer.let_go(first, first)
tracer.stay(False)
print(os.sched_getaffinity(first) == before, os.sched_getaffinity(0) == before)
tracer.keep(second)
tracer.let_go(second, 0)
tracer.keep(first)
print(len(os.sched_getaffinity(first)))
for child in (first, second):
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
"""
    assert run(body) == "1 True True\n1\nTrue True\n1"
