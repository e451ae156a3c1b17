"""Native: the handful of kernel calls the Linux host needs and Python's os module does not have.

What it is: a Protocol, so that the runtime can hand LinuxHost the compiled shim (cffi, fast) while unit tests and hosts without a
compiler use native_ctypes (slower, no build step). Owns the constants of openat2(2). Must not import an implementation.

Every function raises HostError and nothing else.
Sources: openat2(2), process_vm_readv(2), tgkill(2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from pylibos.monitor.host_abi import StreamAttributes

AT_FDCWD: Final = -100
RESOLVE_NO_MAGICLINKS: Final = 0x02
RESOLVE_NO_SYMLINKS: Final = 0x04


class Native(Protocol):
    """Kernel calls on the hot path of the host ABI."""

    def openat2(self, directory: int, path: bytes, flags: int, mode: int, resolve: int) -> int:
        """openat2(2); the new descriptor. HostError(ENOSYS) where the kernel has no such call, EPERM where a container denies it."""
        ...

    def memory_read(self, host_tid: int, address: int, size: int) -> bytes:
        """process_vm_readv(2) of one range: what could be copied (at least one byte unless size is 0). HostError(EFAULT, ESRCH, EPERM)."""
        ...

    def memory_write(self, host_tid: int, address: int, data: bytes) -> int:
        """process_vm_writev(2) of one range: bytes copied. HostError(EFAULT, ESRCH, EPERM)."""
        ...

    def descriptor_attributes(self, host_tid: int, descriptor: int) -> StreamAttributes:
        """fstat(2) of a descriptor of another task. HostError(EBADF, ESRCH, EPERM)."""
        ...

    def tgkill(self, host_pid: int, host_tid: int, signal: int) -> None:
        """tgkill(2). HostError(ESRCH, EPERM, EINVAL)."""
        ...
