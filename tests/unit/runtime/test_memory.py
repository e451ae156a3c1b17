"""TaskMemory over a process we know well: our own."""

from __future__ import annotations

import ctypes
import mmap
import os
from collections.abc import Iterator

import pytest

from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError
from pylibos.runtime.memory import TaskMemory

PAGE = mmap.PAGESIZE
PROT_NONE = 0
_libc = ctypes.CDLL(None, use_errno=True)


@pytest.fixture
def memory() -> TaskMemory:
    return TaskMemory(os.getpid())


@pytest.fixture
def island() -> Iterator[int]:
    """Address of two pages that can be read and written, between pages that cannot."""
    area = mmap.mmap(-1, 4 * PAGE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(area))
    for page in (start, start + 3 * PAGE):
        assert _libc.mprotect(ctypes.c_void_p(page), PAGE, PROT_NONE) == 0
    yield start + PAGE
    assert _libc.mprotect(ctypes.c_void_p(start), 4 * PAGE, mmap.PROT_READ | mmap.PROT_WRITE) == 0


def error_of(action: object, *arguments: object) -> int:
    with pytest.raises(SyscallError) as caught:
        action(*arguments)  # type: ignore[operator]  # a bound method
    return int(caught.value.errno)


def test_what_is_written_can_be_read(memory: TaskMemory, island: int) -> None:
    memory.write(island + PAGE - 3, b"across")
    assert memory.read(island + PAGE - 3, 6) == b"across"
    assert ctypes.string_at(island + PAGE - 3, 6) == b"across"


@pytest.mark.parametrize("size", [1, PAGE, 2 * PAGE])
def test_reads_may_end_exactly_at_the_hole(memory: TaskMemory, island: int, size: int) -> None:
    end = island + 2 * PAGE
    assert memory.read(end - size, size) == bytes(size)
    assert error_of(memory.read, end - size, size + 1) == Errno.EFAULT
    assert memory.read_partial(end - size, size + 100) == bytes(size)


def test_nothing_before_the_hole_is_a_fault(memory: TaskMemory, island: int) -> None:
    assert error_of(memory.read_partial, island + 2 * PAGE, 1) == Errno.EFAULT
    assert error_of(memory.read_partial, island - 1, 10) == Errno.EFAULT
    assert error_of(memory.write, island + 2 * PAGE - 1, b"ab") == Errno.EFAULT


@pytest.mark.parametrize("address", [0, 1 << 47, 2**64 - 1, 2**64, -1])
def test_addresses_no_guest_has_are_faults(memory: TaskMemory, address: int) -> None:
    for action, arguments in ((memory.read, (address, 1)), (memory.read_string, (address, 1)), (memory.write, (address, b"x"))):
        assert error_of(action, *arguments) == Errno.EFAULT


def test_nothing_is_read_and_written_anywhere(memory: TaskMemory) -> None:
    assert memory.read(0, 0) == b""
    memory.write(0, b"")


def test_large_reads_do_not_use_the_scratch_buffer(memory: TaskMemory) -> None:
    large = ctypes.create_string_buffer(os.urandom(200_000), 200_000)
    assert memory.read(ctypes.addressof(large), 200_000) == large.raw


@pytest.mark.parametrize("length", [0, 1, 255, 256, 257, PAGE - 1, PAGE, PAGE + 1])
def test_strings_of_awkward_lengths(memory: TaskMemory, island: int, length: int) -> None:
    text = b"t" * length
    for start in (island, island + 2 * PAGE - length - 1):
        ctypes.memmove(start, text + b"\0", length + 1)
        assert memory.read_string(start, length + 1) == text
        assert memory.read_string(start, 2 * PAGE) == text
        if length:
            assert error_of(memory.read_string, start, length) == Errno.ENAMETOOLONG


def test_a_string_that_runs_into_a_hole(memory: TaskMemory, island: int) -> None:
    ctypes.memset(island, ord("x"), 2 * PAGE)
    assert error_of(memory.read_string, island + 2 * PAGE - 10, 11) == Errno.EFAULT
    assert error_of(memory.read_string, island + 2 * PAGE - 10, 10) == Errno.ENAMETOOLONG


def test_pages_that_are_not_writable_stay_as_they_are(memory: TaskMemory, island: int) -> None:
    assert _libc.mprotect(ctypes.c_void_p(island), PAGE, mmap.PROT_READ) == 0
    assert error_of(memory.write, island, b"x") == Errno.EFAULT
    assert memory.read(island, 1) == b"\0"


def test_a_task_that_is_gone_is_a_fault() -> None:
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    assert error_of(TaskMemory(child).read, 4096, 1) == Errno.EFAULT
