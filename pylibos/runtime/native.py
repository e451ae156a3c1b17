"""The monitor's Native calls through the compiled shim."""

from __future__ import annotations

from pylibos.monitor.host_abi import HostError
from pylibos.tracer.native import ffi, lib


class ShimNative:
    """Implements monitor.native.Native."""

    __slots__ = ()

    def openat2(self, directory: int, path: bytes, flags: int, mode: int, resolve: int) -> int:
        descriptor = int(lib.shim_openat2(directory, path, flags, mode, resolve))
        if descriptor < 0:
            raise HostError(-descriptor)
        return descriptor

    def memory_read(self, host_tid: int, address: int, size: int) -> bytes:
        block = bytearray(size)
        count = lib.shim_read(host_tid, address, ffi.from_buffer(block), size)
        if count < 0:
            raise HostError(-count)
        return bytes(memoryview(block)[:count])

    def memory_write(self, host_tid: int, address: int, data: bytes) -> int:
        count = int(lib.shim_write(host_tid, address, ffi.from_buffer(data), len(data)))
        if count < 0:
            raise HostError(-count)
        return count

    def tgkill(self, host_pid: int, host_tid: int, signal: int) -> None:
        error = lib.shim_tgkill(host_pid, host_tid, signal)
        if error:
            raise HostError(-error)
