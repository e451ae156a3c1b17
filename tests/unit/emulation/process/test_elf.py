from __future__ import annotations

import struct
from collections.abc import Callable

import pytest

from pylibos.abi.elf import EHDR, PHDR, PT_GNU_STACK, PT_INTERP, PT_LOAD, TASK_SIZE
from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.process.elf import ElfImage, ImageCache, parse_elf
from pylibos.monitor.host_abi import HostStream

Header = tuple[int, int, int, int, int, int, int]
"""p_type p_flags p_offset p_vaddr p_filesz p_memsz p_align."""

TEXT: Header = (PT_LOAD, 5, 0, 0, 0x800, 0x800, 0x1000)
DATA: Header = (PT_LOAD, 6, 0x800, 0x1800, 0x100, 0x900, 0x1000)


def build(*headers: Header, kind: int = 3, machine: int = 62, entry: int = 0x400, size: int = 0x1000, **changes: int) -> bytes:
    count = changes.get("count", len(headers))
    offset = changes.get("table", 64)
    entry_size = changes.get("entry_size", PHDR.size)
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    data = bytearray(size)
    EHDR.pack_into(data, 0, ident, kind, machine, 1, entry, offset, 0, 0, 64, entry_size, count, 64, 0, 0)
    for index, (p_type, flags, p_offset, address, file_size, memory_size, alignment) in enumerate(headers):
        place = 64 + index * PHDR.size
        PHDR.pack_into(data, place, p_type, flags, p_offset, address, address, file_size, memory_size, alignment)
    return bytes(data)


def reader(data: bytes) -> Callable[[int, int], bytes]:
    return lambda offset, size: data[offset : offset + size]


def parse(data: bytes) -> ElfImage:
    return parse_elf(data[:1024], reader(data))


def refused(data: bytes) -> None:
    with pytest.raises(SyscallError) as error:
        parse(data)
    assert error.value.errno is Errno.ENOEXEC


def test_position_independent_image() -> None:
    image = parse(build(TEXT, DATA))
    assert image.position_independent
    assert image.entry == 0x400
    assert (image.program_headers, image.program_header_count) == (64, 2)
    assert [(s.address, s.memory_size, s.offset, s.file_size, s.protection) for s in image.segments] == [
        (0, 0x800, 0, 0x800, 5),
        (0x1800, 0x900, 0x800, 0x100, 3),
    ]
    assert image.interpreter is None
    assert not image.executable_stack
    assert image.file_extent == 0x900


def test_fixed_image_and_plan() -> None:
    image = parse(build((PT_LOAD, 4, 0, 0x400000, 0x800, 0x800, 0x200000), kind=2))
    assert not image.position_independent
    assert image.program_headers == 0x400040
    plan = image.plan(HostStream(7))
    assert plan.stream == 7
    assert plan.alignment == 0x200000
    assert plan.segments[0].protection == 1


def test_interpreter_and_stack_flag() -> None:
    data = bytearray(build(TEXT, (PT_INTERP, 4, 0x500, 0, 8, 8, 1), (PT_GNU_STACK, 7, 0, 0, 0, 0, 16)))
    data[0x500:0x508] = b"/lib/ld\0"
    image = parse(bytes(data))
    assert image.interpreter == b"/lib/ld"
    assert image.executable_stack


def test_second_interpreter_is_ignored() -> None:
    data = bytearray(build(TEXT, (PT_INTERP, 4, 0x500, 0, 3, 3, 1), (PT_INTERP, 4, 0x600, 0, 3, 3, 1)))
    data[0x500:0x503] = b"/a\0"
    data[0x600:0x603] = b"/bb"
    assert parse(bytes(data)).interpreter == b"/a"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(build(TEXT)[:63], id="short-header"),
        pytest.param(b"\x7fELF\x01\x01" + build(TEXT)[6:], id="32-bit"),
        pytest.param(b"\x7fELF\x02\x02" + build(TEXT)[6:], id="big-endian"),
        pytest.param(build(TEXT, kind=1), id="relocatable"),
        pytest.param(build(TEXT, kind=4), id="core"),
        pytest.param(build(TEXT, machine=183), id="aarch64"),
        pytest.param(build(TEXT, entry_size=32), id="entry-size"),
        pytest.param(build(TEXT, count=0), id="no-headers"),
        pytest.param(build(TEXT, count=1171), id="table-over-64K"),
        pytest.param(build(TEXT, table=0xFF0), id="table-past-the-end"),
        pytest.param(build(TEXT, table=1 << 63), id="table-offset-negative"),
        pytest.param(build((PT_GNU_STACK, 6, 0, 0, 0, 0, 0)), id="nothing-to-load"),
        pytest.param(build((PT_LOAD, 5, 0, 0, 0x900, 0x800, 0x1000)), id="file-larger-than-memory"),
        pytest.param(build((PT_LOAD, 5, 0, TASK_SIZE, 0, 0x1000, 0x1000)), id="above-user-space"),
        pytest.param(build((PT_LOAD, 5, 0, 0x1000, 0, TASK_SIZE, 0x1000)), id="reaches-above-user-space"),
        pytest.param(build((PT_LOAD, 5, 0, (1 << 64) - 0x1000, 0, 0x2000, 0x1000)), id="wraps"),
        pytest.param(build((PT_LOAD, 5, 0x10, 0x20, 0x100, 0x100, 0x1000)), id="offset-not-congruent"),
        pytest.param(build(DATA, TEXT), id="descending"),
        pytest.param(build(TEXT, (PT_LOAD, 5, 0x400, 0x400, 0x100, 0x100, 0x1000)), id="overlapping"),
        pytest.param(build(TEXT, (PT_INTERP, 4, 0x500, 0, 1, 1, 1)), id="interpreter-empty"),
        pytest.param(build(TEXT, (PT_INTERP, 4, 0x500, 0, 4097, 4097, 1)), id="interpreter-too-long"),
        pytest.param(build(TEXT, (PT_INTERP, 4, 0xFFF, 0, 4, 4, 1)), id="interpreter-past-the-end"),
        pytest.param(build(TEXT, (PT_INTERP, 4, 0, 0, 4, 4, 1)), id="interpreter-without-nul"),
    ],
)
def test_not_executable(data: bytes) -> None:
    refused(data)


def test_cache_answers_by_content_and_checks_the_size_each_time() -> None:
    cache = ImageCache()
    data = build(TEXT, DATA)
    header = data[:1024]
    first = cache.image(header, reader(data), len(data))
    assert cache.image(header, reader(b""), len(data)) is first
    with pytest.raises(SyscallError):
        cache.image(header, reader(data), 0x8FF)


def test_an_image_read_beyond_the_header_is_not_remembered() -> None:
    data = bytearray(build(TEXT, (PT_INTERP, 4, 0xF00, 0, 4, 4, 1)))
    data[0xF00:0xF04] = b"/a1\0"
    cache = ImageCache()
    assert cache.image(bytes(data[:1024]), reader(bytes(data)), len(data)).interpreter == b"/a1"
    data[0xF02:0xF03] = b"2"
    assert cache.image(bytes(data[:1024]), reader(bytes(data)), len(data)).interpreter == b"/a2"


def test_layouts_have_the_sizes_of_the_abi() -> None:
    assert EHDR.size == 64
    assert PHDR.size == struct.calcsize("<IIQQQQQQ") == 56
