"""Parameter types against C's conversions, computed by ctypes."""

from __future__ import annotations

import ctypes
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.guest import FlatMemory
from pylibos.emulation.process.thread import Thread
from pylibos.emulation.syscalls import params
from pylibos.emulation.syscalls.params import Flags, InOutPtr, InPtr, OutPtr, decoder_of
from tests.unit.emulation.syscalls.helpers import make_thread

raw_words = (
    st.integers(0, 2**64 - 1) | st.integers(0, 2**33) | st.sampled_from([2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1, 2**64 - 100])
)


def decode(annotation: object, raw: int, thread: Thread | None = None) -> Any:
    decoder = decoder_of(annotation)
    assert decoder is not None
    return decoder(raw, thread or make_thread())


@pytest.mark.parametrize(
    ("annotation", "model"),
    [
        (params.Int, ctypes.c_int32),
        (params.Fd, ctypes.c_int32),
        (params.DirFd, ctypes.c_int32),
        (params.Pid, ctypes.c_int32),
        (params.UInt, ctypes.c_uint32),
        (params.Long, ctypes.c_int64),
        (params.Offset, ctypes.c_int64),
        (params.ULong, ctypes.c_uint64),
        (params.Size, ctypes.c_uint64),
        (params.Address, ctypes.c_uint64),
    ],
    ids=["Int", "Fd", "DirFd", "Pid", "UInt", "Long", "Offset", "ULong", "Size", "Address"],
)
def test_numbers_convert_as_in_c(annotation: object, model: Any) -> None:
    @given(raw=raw_words)
    def check(raw: int) -> None:
        assert decode(annotation, raw) == model(raw).value

    check()


def test_at_fdcwd_in_either_width() -> None:
    assert decode(params.DirFd, 0xFFFFFF9C) == params.AT_FDCWD
    assert decode(params.DirFd, 2**64 - 100) == params.AT_FDCWD


def test_mode_and_signal() -> None:
    assert decode(params.Mode, 0o100644) == 0o644
    assert decode(params.Mode, 0o7777) == 0o7777
    assert decode(params.Signal, 0) == 0
    assert decode(params.Signal, 64) == 64
    for bad in (65, 2**32 - 1, 2**64 - 1):
        with pytest.raises(SyscallError) as error:
            decode(params.Signal, bad)
        assert error.value.errno is Errno.EINVAL


def test_path_is_copied_without_its_nul() -> None:
    memory = FlatMemory(0x1000, 0x3000)
    memory.write(0x1000, b"/etc/passwd\0junk")
    assert decode(params.UserPath, 0x1000, make_thread(memory)) == b"/etc/passwd"
    assert decode(params.OptionalUserPath, 0x1000, make_thread(memory)) == b"/etc/passwd"
    assert decode(params.OptionalUserPath, 0) is None


@pytest.mark.parametrize(("length", "fits"), [(4095, True), (4096, False)])
def test_path_length_limit(length: int, fits: bool) -> None:
    memory = FlatMemory(0x1000, 0x3000)
    memory.write(0x1000, b"a" * length + b"\0")
    if fits:
        assert len(decode(params.UserPath, 0x1000, make_thread(memory))) == length
    else:
        with pytest.raises(SyscallError) as error:
            decode(params.UserPath, 0x1000, make_thread(memory))
        assert error.value.errno is Errno.ENAMETOOLONG


def test_null_path_is_a_fault() -> None:
    with pytest.raises(SyscallError) as error:
        decode(params.UserPath, 0)
    assert error.value.errno is Errno.EFAULT


def test_prefetched_path_is_used_once_and_only_for_its_address() -> None:
    memory = FlatMemory(0x1000, 0x1000)
    memory.write(0x1000, b"real\0")
    memory.write(0x1100, b"other\0")
    thread = make_thread(memory)
    thread.prefetched_address, thread.prefetched_path = 0x1000, b"copied"
    assert decode(params.UserPath, 0x1100, thread) == b"other"
    assert decode(params.UserPath, 0x1000, thread) == b"copied"
    assert decode(params.UserPath, 0x1000, thread) == b"real"


def test_pointers() -> None:
    memory = FlatMemory(0x1000, 0x100)
    thread = make_thread(memory)
    out: OutPtr[bytes] = decode(OutPtr[bytes], 0x1010, thread)
    out.write(struct.pack("<II", 7, 9))
    assert out
    assert not out.is_null
    pointer: InPtr[bytes] = decode(InPtr, 0x1010, thread)
    assert pointer.unpack(struct.Struct("<II")) == (7, 9)
    assert pointer.read(4) == b"\7\0\0\0"
    both: InOutPtr[bytes] = decode(InOutPtr[bytes], 0x1010, thread)
    both.write(both.read(4)[::-1])
    assert pointer.read(4) == b"\0\0\0\7"
    assert decode(OutPtr[bytes], 0).is_null
    with pytest.raises(SyscallError):
        decode(OutPtr[bytes], 0x10FF, thread).write(b"12")


class Colour(Flags):
    RED = 1
    GREEN = 2
    HIGH = 0x8000_0000


def test_flags_are_strict_and_32_bits_wide() -> None:
    assert decode(Colour, 3) == Colour.RED | Colour.GREEN
    assert decode(Colour, 0x8000_0000) & Colour.HIGH
    assert decode(Colour, 0xFFFF_FFFF_0000_0001) == Colour.RED  # the upper half of an int argument is ignored
    assert type(decode(Colour, 3)) is int, "a member would make a test of a bit thirty times as dear"
    for _ in range(2):
        with pytest.raises(SyscallError) as error:
            decode(Colour, 4)
        assert error.value.errno is Errno.EINVAL


class Wide(Flags):
    A = 1
    ALL = 0xFFFF


def test_hostile_combinations_do_not_accumulate() -> None:
    for raw in range(1 << 14):
        value = decode(Wide, raw)
        assert value == raw
        assert bool(value & Wide.A) == bool(raw & 1)
        assert value & ~Wide.A == raw & ~1
    assert not hasattr(Wide, "_value2member_map_"), "an enum would keep a member for each combination a guest tries"


def test_no_decoder() -> None:
    assert decoder_of(int) is None
    assert decoder_of(dict) is None
    assert decoder_of(None) is None


def test_own_types_bring_from_raw() -> None:
    class Half(int):
        @classmethod
        def from_raw(cls, raw: int, _thread: Thread) -> Half:
            return cls(raw // 2)

    assert decode(Half, 10) == 5
