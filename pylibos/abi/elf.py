"""ELF64 constants and layouts as far as a program loader needs them. Pure data.

Source: System V ABI, Linux include/uapi/linux/elf.h. All integers little endian.
"""

from __future__ import annotations

import struct
from typing import Final

ELF_MAGIC: Final = b"\x7fELF"
ELF_IDENT: Final = b"\x7fELF\x02\x01"
"""Magic, ELFCLASS64, ELFDATA2LSB. The kernel ignores the version and OS ABI bytes that follow."""

EM_X86_64: Final = 62
ET_EXEC: Final = 2
ET_DYN: Final = 3

PT_LOAD: Final = 1
PT_INTERP: Final = 3
PT_PHDR: Final = 6
PT_GNU_STACK: Final = 0x6474E551

PF_X: Final = 1
PF_W: Final = 2
PF_R: Final = 4

PROT_READ: Final = 1
PROT_WRITE: Final = 2
PROT_EXEC: Final = 4

EHDR: Final = struct.Struct("<16sHHIQQQIHHHHHH")
"""e_ident e_type e_machine e_version e_entry e_phoff e_shoff e_flags e_ehsize e_phentsize e_phnum e_shentsize e_shnum e_shstrndx."""

PHDR: Final = struct.Struct("<IIQQQQQQ")
"""p_type p_flags p_offset p_vaddr p_paddr p_filesz p_memsz p_align."""

PROGRAM_HEADERS_MAX: Final = 65536 // PHDR.size
"""The kernel refuses a table over 64 KiB (load_elf_phdrs)."""

TASK_SIZE: Final = 0x7FFFFFFFF000
"""End of the user address space with four-level page tables."""

PAGE_SIZE: Final = 4096
