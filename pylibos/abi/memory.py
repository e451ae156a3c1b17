"""Memory protection, mapping and advice numbers. Pure data.

Source: Linux include/uapi/asm-generic/{mman,mman-common}.h, include/uapi/linux/{mman,memfd}.h (6.18).
"""

from __future__ import annotations

from typing import Final

PAGE_SIZE: Final = 4096
ADDRESS_LIMIT: Final = 0x7FFF_FFFF_F000
"""TASK_SIZE of x86-64 with four-level page tables: no guest address is at or above it."""

PROT_NONE: Final = 0
PROT_READ: Final = 1
PROT_WRITE: Final = 2
PROT_EXEC: Final = 4
PROT_GROWSDOWN: Final = 0x0100_0000
PROT_GROWSUP: Final = 0x0200_0000

MAP_SHARED: Final = 0x01
MAP_PRIVATE: Final = 0x02
MAP_SHARED_VALIDATE: Final = 0x03
MAP_FIXED: Final = 0x10
MAP_ANONYMOUS: Final = 0x20
MAP_32BIT: Final = 0x40
MAP_GROWSDOWN: Final = 0x0100
MAP_DENYWRITE: Final = 0x0800
MAP_EXECUTABLE: Final = 0x1000
MAP_LOCKED: Final = 0x2000
MAP_NORESERVE: Final = 0x4000
MAP_POPULATE: Final = 0x8000
MAP_NONBLOCK: Final = 0x1_0000
MAP_STACK: Final = 0x2_0000
MAP_HUGETLB: Final = 0x4_0000
MAP_SYNC: Final = 0x8_0000
MAP_FIXED_NOREPLACE: Final = 0x10_0000

MREMAP_MAYMOVE: Final = 1
MREMAP_FIXED: Final = 2
MREMAP_DONTUNMAP: Final = 4

MS_ASYNC: Final = 1
MS_INVALIDATE: Final = 2
MS_SYNC: Final = 4

MFD_CLOEXEC: Final = 1
MFD_ALLOW_SEALING: Final = 2
MFD_HUGETLB: Final = 4
MFD_NOEXEC_SEAL: Final = 8
MFD_EXEC: Final = 16
