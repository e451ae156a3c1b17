"""What the executive sees of a guest thread's memory: the GuestMemory protocol.

Implemented by the runtime over the host ABI, and by FlatMemory (tests). Addresses are guest virtual addresses. All reads copy
once; a handler validates and uses the copy, never reads the same argument twice.
"""

from __future__ import annotations

from typing import NewType, Protocol

from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError

GuestAddress = NewType("GuestAddress", int)


class GuestMemory(Protocol):
    """Memory of the address space a thread runs in."""

    def read(self, address: int, size: int) -> bytes:
        """Exactly size bytes. Raises SyscallError(EFAULT)."""
        ...

    def read_partial(self, address: int, size: int) -> bytes:
        """Up to size bytes, fewer when the rest is unmapped. Raises SyscallError(EFAULT) when nothing is mapped."""
        ...

    def read_string(self, address: int, limit: int) -> bytes:
        """A C string without its NUL. Raises SyscallError(EFAULT), or ENAMETOOLONG when no NUL is within limit bytes."""
        ...

    def write(self, address: int, data: bytes) -> None:
        """All of data. Raises SyscallError(EFAULT)."""
        ...


class FlatMemory:
    """One mapped block, for tests: everything outside is EFAULT."""

    def __init__(self, base: int = 0x10000, size: int = 0x10000) -> None:
        self.base = base
        self.block = bytearray(size)

    def _offset(self, address: int, size: int) -> int:
        offset = address - self.base
        if offset < 0 or offset + size > len(self.block):
            raise SyscallError(Errno.EFAULT)
        return offset

    def read(self, address: int, size: int) -> bytes:
        offset = self._offset(address, size)
        return bytes(self.block[offset : offset + size])

    def read_partial(self, address: int, size: int) -> bytes:
        offset = self._offset(address, min(size, 1))
        return bytes(self.block[offset : offset + size])

    def read_string(self, address: int, limit: int) -> bytes:
        offset = self._offset(address, 1)
        end = self.block.find(0, offset, offset + limit)
        if end < 0:
            raise SyscallError(Errno.ENAMETOOLONG if offset + limit <= len(self.block) else Errno.EFAULT)
        return bytes(self.block[offset:end])

    def write(self, address: int, data: bytes) -> None:
        offset = self._offset(address, len(data))
        self.block[offset : offset + len(data)] = data
