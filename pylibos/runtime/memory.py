"""Guest memory for handlers: GuestMemory over the shim's process_vm_readv and process_vm_writev.

One TaskMemory per address space use (host tid). The scratch buffer is shared: the supervisor has one thread.
"""

from __future__ import annotations

from typing import Final

from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError
from pylibos.tracer.native import ffi, lib

_SCRATCH_SIZE: Final = 65536
_scratch = ffi.new("char[]", _SCRATCH_SIZE)
_scratch_view = memoryview(ffi.buffer(_scratch))
_ADDRESS_LIMIT: Final = 1 << 47


class TaskMemory:
    """Memory of the address space the thread host_tid runs in. Every failure is EFAULT to the guest."""

    __slots__ = ("host_tid",)

    def __init__(self, host_tid: int) -> None:
        self.host_tid = host_tid

    def read_partial(self, address: int, size: int) -> bytes:
        if size == 0:
            return b""
        if not 0 < address < _ADDRESS_LIMIT:
            raise SyscallError(Errno.EFAULT)
        if size <= _SCRATCH_SIZE:
            count = lib.shim_read(self.host_tid, address, _scratch, size)
            if count < 0:
                raise SyscallError(Errno.EFAULT)
            return bytes(_scratch_view[:count])
        block = bytearray(size)
        count = lib.shim_read(self.host_tid, address, ffi.from_buffer(block), size)
        if count < 0:
            raise SyscallError(Errno.EFAULT)
        return bytes(memoryview(block)[:count])

    def read(self, address: int, size: int) -> bytes:
        data = self.read_partial(address, size)
        if len(data) != size:
            raise SyscallError(Errno.EFAULT)
        return data

    def read_string(self, address: int, limit: int) -> bytes:
        if not 0 < address < _ADDRESS_LIMIT:
            raise SyscallError(Errno.EFAULT)
        limit = min(limit, _SCRATCH_SIZE)
        count = lib.shim_read_string(self.host_tid, address, _scratch, limit)
        if count < 0:
            raise SyscallError(Errno.ENAMETOOLONG if count == -Errno.ENAMETOOLONG else Errno.EFAULT)
        return bytes(_scratch_view[:count])

    def write(self, address: int, data: bytes) -> None:
        if not data:
            return
        if not 0 < address < _ADDRESS_LIMIT or lib.shim_write(self.host_tid, address, ffi.from_buffer(data), len(data)) < 0:
            raise SyscallError(Errno.EFAULT)
