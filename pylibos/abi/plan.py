"""Binary layouts shared with the static loader: struct exec_plan and struct init_block of c_shim/plan.h.

Pure data and packing. Every field is an unsigned 64-bit little-endian word, so the layouts have no padding; a test compares the
sizes with the C compiler's.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

from pylibos.abi.record import record

LOADER_BASE = 0x5F0000000000
"""Where the loader's text starts; programs are never placed there."""
PLAN_ADDRESS = LOADER_BASE + 0x10000
"""Address of struct exec_plan in a freshly executed loader."""
LOADER_END = LOADER_BASE + 0x20000
PLAN_MAGIC = 0x3130736F62696C50
PLAN_SEGMENTS = 32
PLAN_STRINGS = 12288

AUXILIARY_ADDRESS = PLAN_ADDRESS + 16
"""Where the loader leaves the address of the program's auxiliary vector."""

SCRATCH_ADDRESS = PLAN_ADDRESS + 0x3C00
"""Free bytes behind the plan in the loader's last page: arguments of calls the supervisor has a task make."""
SCRATCH_SIZE = 0x400
PASSAGE = 1023
"""Descriptor number through which guests receive descriptors under the ptrace engine; hidden from them, and not closable."""

_HEADER = struct.Struct("<10Q")
_IMAGE = struct.Struct("<6Q")
_SEGMENT = struct.Struct("<5Q")
IMAGE_SIZE = _IMAGE.size + PLAN_SEGMENTS * _SEGMENT.size
PLAN_HEADER_SIZE = _HEADER.size + 2 * IMAGE_SIZE
PLAN_SIZE = PLAN_HEADER_SIZE + PLAN_STRINGS

Segment = tuple[int, int, int, int, int]
"""(virtual address, memory size, file offset, file size, PROT_* bits); bytes."""


@record
class Image:
    """One ELF image as the loader maps it: from guest descriptor number ``descriptor``. alignment: of the load bias, 0 for ET_EXEC."""

    descriptor: int
    alignment: int
    entry: int
    program_headers: int
    program_header_count: int
    segments: Sequence[Segment]


def pack_image(image: Image | None) -> bytes:
    """IMAGE_SIZE bytes; no segments when there is no such image. ValueError for more than PLAN_SEGMENTS."""
    if image is None:
        return bytes(IMAGE_SIZE)
    if len(image.segments) > PLAN_SEGMENTS:
        raise ValueError("too many segments")
    head = _IMAGE.pack(
        image.descriptor,
        image.alignment,
        image.entry,
        image.program_headers,
        image.program_header_count,
        len(image.segments),
    )
    return (head + b"".join(_SEGMENT.pack(*segment) for segment in image.segments)).ljust(IMAGE_SIZE, b"\0")


def pack_plan(
    path: bytes,
    program: Image,
    interpreter: Image | None,
    prefix: Sequence[bytes],
    identity: tuple[int, int, int, int],
    executable_stack: bool,
    announce: bool = False,
) -> bytes:
    """struct exec_plan up to its last used byte. identity: uid, euid, gid, egid. announce: the loader calls pause instead of jumping
    to the program, so that the supervisor can take it there. ValueError when the strings do not fit."""
    strings = b"\0".join([path, *prefix]) + b"\0"
    if len(strings) > PLAN_STRINGS:
        raise ValueError("strings too long")
    head = _HEADER.pack(PLAN_MAGIC, executable_stack, 0, announce, *identity, len(prefix), len(strings))
    return head + pack_image(program) + pack_image(interpreter) + strings


def pack_init_block(
    bpf: bytes,
    filter_flags: int,
    path: bytes,
    argv: Sequence[bytes],
    envp: Sequence[bytes],
    passage: int = 0,
    *,
    terminal: bool = False,
) -> bytes:
    """struct init_block with everything it points at. bpf: struct sock_filter[] (8 bytes each). passage: see PASSAGE.

    terminal: standard input is the terminal the first program's session gets as its controlling one.
    """
    header_words = 12
    filter_offset = header_words * 8
    argv_offset = (filter_offset + len(bpf) + 7) & ~7
    envp_offset = argv_offset + 8 * (len(argv) + 1)
    string_offset = envp_offset + 8 * (len(envp) + 1)
    strings = bytearray()

    def place(text: bytes) -> int:
        offset = string_offset + len(strings)
        strings.extend(text + b"\0")
        return offset

    path_offset = place(path)
    argv_words = [*map(place, argv), 0]
    envp_words = [*map(place, envp), 0]
    header = struct.pack(
        "<12Q",
        PLAN_MAGIC,
        string_offset + len(strings),
        filter_offset,
        len(bpf) // 8,
        filter_flags,
        path_offset,
        argv_offset,
        len(argv),
        envp_offset,
        len(envp),
        passage,
        terminal,
    )
    block = bytearray(header + bpf)
    block.extend(bytes(argv_offset - len(block)))
    block += struct.pack(f"<{len(argv_words) + len(envp_words)}Q", *argv_words, *envp_words)
    return bytes(block + strings)
