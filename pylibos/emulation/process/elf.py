"""ELF program images: what execve needs to know of an x86-64 file before it is mapped.

Owns the reading and checking of ELF headers; makes an ImagePlan the engine's loader can follow blindly: every number in it has been
bounded here. Must not know paths, permissions or guests. Everything read is hostile.

Stricter than Linux where Linux only notices after the point of no return (and kills): a segment outside the address space or the
file, or one that mmap would refuse, is ENOEXEC here.

Source: Linux 6.18 fs/binfmt_elf.c (load_elf_binary, load_elf_phdrs), arch/x86/include/asm/elf.h.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from pylibos.abi.elf import (
    EHDR,
    ELF_IDENT,
    EM_X86_64,
    ET_DYN,
    ET_EXEC,
    PAGE_SIZE,
    PF_R,
    PF_W,
    PF_X,
    PHDR,
    PROGRAM_HEADERS_MAX,
    PROT_EXEC,
    PROT_READ,
    PROT_WRITE,
    PT_GNU_STACK,
    PT_INTERP,
    PT_LOAD,
    TASK_SIZE,
)
from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.outcome import ImagePlan, LoadSegment

if TYPE_CHECKING:
    from pylibos.monitor.host_abi import HostStream

HEADER_SIZE: Final = 1024
"""Bytes read of every program at once: the header, usual program headers and the interpreter's name fit, so parsing one is a pure
function of them and can be remembered by content (no staleness by construction)."""

INTERPRETER_MAX: Final = 4096
_CACHE_ENTRIES: Final = 512
_PAGE_MASK: Final = PAGE_SIZE - 1

ReadAt = Callable[[int, int], bytes]
"""(offset, size) -> up to size bytes of the file."""


class ElfImage:
    """The checked headers of one ELF file. Addresses are the file's own (before any load bias)."""

    __slots__ = (
        "alignment",
        "entry",
        "executable_stack",
        "file_extent",
        "interpreter",
        "position_independent",
        "program_header_count",
        "program_headers",
        "segments",
    )

    def __init__(self, position_independent: bool, entry: int, program_header_count: int) -> None:
        self.position_independent = position_independent
        self.entry = entry
        self.program_header_count = program_header_count
        self.program_headers = 0
        """Address of the program headers in memory (AT_PHDR), 0 when no segment holds them."""
        self.segments: list[LoadSegment] = []
        self.interpreter: bytes | None = None
        self.executable_stack = False
        self.alignment = PAGE_SIZE
        """Largest p_align of a PT_LOAD that is a power of two, at least a page."""
        self.file_extent = 0
        """The file must have at least this many bytes."""

    def plan(self, stream: HostStream) -> ImagePlan:
        """How to map this image from an open stream of the file."""
        return ImagePlan(
            stream,
            self.position_independent,
            self.entry,
            self.program_headers,
            self.program_header_count,
            self.segments,
            self.alignment,
        )


class ImageCache:
    """Images by the bytes they were parsed from; the oldest half goes when it is full."""

    __slots__ = ("_images",)

    def __init__(self) -> None:
        self._images: dict[bytes, ElfImage] = {}

    def image(self, header: bytes, read: ReadAt, file_size: int) -> ElfImage:
        """The image of a file that starts with ``header`` (its first HEADER_SIZE bytes). Raises SyscallError(ENOEXEC)."""
        image = self._images.get(header)
        if image is None:
            reads = 0

            def counted(offset: int, size: int) -> bytes:
                nonlocal reads
                if offset + size <= len(header):
                    return header[offset : offset + size]
                reads += 1
                return read(offset, size)

            image = parse_elf(header, counted)
            if not reads:
                if len(self._images) >= _CACHE_ENTRIES:
                    for old in list(self._images)[: _CACHE_ENTRIES // 2]:
                        del self._images[old]
                self._images[header] = image
        if image.file_extent > file_size:
            raise SyscallError(Errno.ENOEXEC)
        return image


def parse_elf(header: bytes, read: ReadAt) -> ElfImage:
    """Check the headers of an ELF file. header: its first bytes (at least 64 of them when it is ELF at all).

    Raises SyscallError(ENOEXEC): not ELF64 for x86-64, not executable or shared, or a header out of bounds.
    """
    if len(header) < EHDR.size or not header.startswith(ELF_IDENT):
        raise SyscallError(Errno.ENOEXEC)
    (_, kind, machine, _, entry, table_offset, _, _, _, entry_size, count, _, _, _) = EHDR.unpack_from(header)
    if kind not in (ET_EXEC, ET_DYN) or machine != EM_X86_64 or entry_size != PHDR.size or not 1 <= count <= PROGRAM_HEADERS_MAX:
        raise SyscallError(Errno.ENOEXEC)
    table_size = count * PHDR.size
    # Offsets are signed 64-bit in the kernel; anything near the top is nonsense and would be EINVAL from pread.
    if table_offset > (1 << 62):
        raise SyscallError(Errno.ENOEXEC)
    table = read(table_offset, table_size)
    if len(table) != table_size:
        raise SyscallError(Errno.ENOEXEC)
    image = ElfImage(kind == ET_DYN, entry, count)
    for fields in PHDR.iter_unpack(table):
        kind = fields[0]
        if kind == PT_LOAD:
            _add_segment(image, fields, table_offset)
        elif kind == PT_INTERP and image.interpreter is None:
            image.interpreter = _interpreter(fields, read)
        elif kind == PT_GNU_STACK:
            image.executable_stack = bool(fields[1] & PF_X)
    if not image.segments:
        raise SyscallError(Errno.ENOEXEC)
    return image


def _add_segment(image: ElfImage, fields: tuple[int, ...], table_offset: int) -> None:
    _, flags, offset, address, _, file_size, memory_size, alignment = fields
    if (
        file_size > memory_size
        or address >= TASK_SIZE
        or memory_size > TASK_SIZE - address
        or offset > (1 << 62)
        or (file_size and (address ^ offset) & _PAGE_MASK)
    ):
        raise SyscallError(Errno.ENOEXEC)
    if image.segments:
        previous = image.segments[-1]
        # The ABI wants ascending addresses; the loader reserves from the first start to the last end in one piece.
        if address < previous.address + previous.memory_size:
            raise SyscallError(Errno.ENOEXEC)
    if memory_size == 0:
        return
    protection = (PROT_READ if flags & PF_R else 0) | (PROT_WRITE if flags & PF_W else 0) | (PROT_EXEC if flags & PF_X else 0)
    image.segments.append(LoadSegment(address, memory_size, offset, file_size, protection))
    if file_size:
        image.file_extent = max(image.file_extent, offset + file_size)
    if offset <= table_offset < offset + file_size:
        image.program_headers = address + table_offset - offset
    if alignment > image.alignment and alignment & (alignment - 1) == 0 and alignment <= TASK_SIZE >> 8:
        image.alignment = alignment


def _interpreter(fields: tuple[int, ...], read: ReadAt) -> bytes:
    _, _, offset, _, _, file_size, _, _ = fields
    if not 2 <= file_size <= INTERPRETER_MAX or offset > (1 << 62):
        raise SyscallError(Errno.ENOEXEC)
    name = read(offset, file_size)
    if len(name) != file_size or name[-1]:
        raise SyscallError(Errno.ENOEXEC)
    return name[: name.index(0)]
