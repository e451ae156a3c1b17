"""The monitor's Native calls through the compiled shim."""

from __future__ import annotations

from struct import Struct

from pylibos.monitor.host_abi import HostError, StreamAttributes
from pylibos.tracer.native import ffi, lib

_ADDRESS_LIMIT = 1 << 64
_EBADF = 9
_EFAULT = 14
_record = ffi.new("uint64_t[13]")
_record_view = memoryview(ffi.buffer(_record))
_unpack = Struct("<7Q6q").unpack_from
_descriptor_record = lib.shim_descriptor_record
_new = tuple.__new__
"""StreamAttributes without its Python-level constructor: one for every fstat of a guest."""


class ShimNative:
    """Implements monitor.native.Native."""

    __slots__ = ()

    def openat2(self, directory: int, path: bytes, flags: int, mode: int, resolve: int) -> int:
        descriptor = int(lib.shim_openat2(directory, path, flags, mode, resolve))
        if descriptor < 0:
            raise HostError(-descriptor)
        return descriptor

    def memory_read(self, host_tid: int, address: int, size: int) -> bytes:
        if not 0 <= address < _ADDRESS_LIMIT:
            raise HostError(_EFAULT)
        block = bytearray(max(size, 0))
        count = lib.shim_read(host_tid, address, ffi.from_buffer(block), len(block))
        if count < 0:
            raise HostError(-count)
        return bytes(memoryview(block)[:count])

    def memory_write(self, host_tid: int, address: int, data: bytes) -> int:
        if not 0 <= address < _ADDRESS_LIMIT:
            raise HostError(_EFAULT)
        count = int(lib.shim_write(host_tid, address, ffi.from_buffer(data), len(data)))
        if count < 0:
            raise HostError(-count)
        return count

    def descriptor_attributes(self, host_tid: int, descriptor: int) -> StreamAttributes:
        try:
            error = _descriptor_record(host_tid, descriptor, _record)
        except OverflowError:  # a number that is no int was never a descriptor
            raise HostError(_EBADF) from None
        if error:
            raise HostError(-error)
        return _new(StreamAttributes, _unpack(_record_view))

    def tgkill(self, host_pid: int, host_tid: int, signal: int) -> None:
        error = lib.shim_tgkill(host_pid, host_tid, signal)
        if error:
            raise HostError(-error)
