"""The monitor's Native calls through the compiled shim."""

from __future__ import annotations

from pylibos.monitor.host_abi import HostError
from pylibos.tracer.native import ffi, lib

_ADDRESS_LIMIT = 1 << 64
_EFAULT = 14


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

    def tgkill(self, host_pid: int, host_tid: int, signal: int) -> None:
        error = lib.shim_tgkill(host_pid, host_tid, signal)
        if error:
            raise HostError(-error)
