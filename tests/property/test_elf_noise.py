"""Hostile ELF headers: whatever the bytes, an image is bounded or refused with ENOEXEC."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pylibos.abi.elf import EHDR, PHDR, TASK_SIZE
from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.process.elf import parse_elf

word = st.one_of(st.integers(0, 0x3000), st.integers(0, (1 << 64) - 1), st.sampled_from([0x1000, 1 << 63, TASK_SIZE, (1 << 64) - 1]))
header = st.tuples(
    st.sampled_from([0, 1, 1, 1, 2, 3, 6, 0x6474E551]), st.integers(0, 7), word, word, word, word, word, st.sampled_from([0, 1, 4096, 7])
)


def check(data: bytes) -> None:
    reads = []

    def read(offset: int, size: int) -> bytes:
        reads.append(size)
        assert 0 <= offset <= 1 << 62
        return data[offset : offset + size]

    try:
        image = parse_elf(data[:1024], read)
    except SyscallError as error:
        if error.errno is not Errno.ENOEXEC:
            raise
    else:
        end = 0
        for segment in image.segments:
            assert end <= segment.address
            end = segment.address + segment.memory_size
            assert end <= TASK_SIZE
            assert segment.file_size <= segment.memory_size
        assert image.alignment & (image.alignment - 1) == 0
    assert all(size <= 65536 for size in reads)


@given(st.binary(max_size=600))
def test_noise(data: bytes) -> None:
    check(data)


@given(st.lists(header, max_size=6), st.sampled_from([1, 2, 3]), word, st.integers(0, 65535))
def test_plausible_headers(headers: list[tuple[int, ...]], kind: int, entry: int, count: int) -> None:
    ident = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
    data = EHDR.pack(ident, kind, 62, 1, entry, 64, 0, 0, 64, 56, count if count % 3 == 0 else len(headers), 0, 0, 0)
    for p_type, flags, offset, address, file_size, memory_size, alignment, _ in headers:
        data += PHDR.pack(p_type, flags, offset, address, address, file_size, memory_size, alignment)
    check(data.ljust(0x2000, b"\0"))
