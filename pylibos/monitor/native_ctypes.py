"""Kernel calls through ctypes: the fallback Native, and the rare calls the compiled shim does not carry.

What it is: a thin, typed skin over libc's functions. Owns the loaded libc. Must not know policy or the host ABI's names. ctypes costs
milliseconds to import, so nothing imports this module at start-up: linux_host loads it when one of its calls is first needed.

Raises HostError only. Sources: openat2(2), process_vm_readv(2), renameat2(2), fallocate(2), statfs(2), utimensat(2), tgkill(2).
"""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING, Final

from pylibos.monitor.errors import host_error
from pylibos.monitor.host_abi import HostError
from pylibos.monitor.linux_streams import attributes

if TYPE_CHECKING:
    from pylibos.monitor.host_abi import StreamAttributes

_SYS_OPENAT2: Final = 437
_SYS_TGKILL: Final = 234
_UTIME_OMIT: Final = (1 << 30) - 2
_AT_SYMLINK_NOFOLLOW: Final = 0x100
_NANOSECONDS: Final = 1_000_000_000
_ADDRESS_LIMIT: Final = 1 << 64
_EBADF: Final = 9
_EFAULT: Final = 14

_libc = ctypes.CDLL(None, use_errno=True)
_IN_NONBLOCK: Final = os.O_NONBLOCK
_IN_CLOEXEC: Final = os.O_CLOEXEC


class _OpenHow(ctypes.Structure):
    """struct open_how (linux/openat2.h): 24 bytes."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


class _IoVector(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _TimeSpec(ctypes.Structure):
    """struct timespec."""

    _fields_ = (("seconds", ctypes.c_int64), ("nanoseconds", ctypes.c_int64))


class _StatFs(ctypes.Structure):
    """struct statfs of x86-64: 120 bytes. Counts in blocks of block_size bytes."""

    _fields_ = (
        ("kind", ctypes.c_int64),
        ("block_size", ctypes.c_int64),
        ("blocks", ctypes.c_uint64),
        ("blocks_free", ctypes.c_uint64),
        ("blocks_available", ctypes.c_uint64),
        ("files", ctypes.c_uint64),
        ("files_free", ctypes.c_uint64),
        ("identity", ctypes.c_int32 * 2),
        ("name_max", ctypes.c_int64),
        ("fragment_size", ctypes.c_int64),
        ("flags", ctypes.c_int64),
        ("spare", ctypes.c_int64 * 4),
    )


_process_vm_readv = _libc.process_vm_readv
_process_vm_readv.restype = ctypes.c_ssize_t
_process_vm_writev = _libc.process_vm_writev
_process_vm_writev.restype = ctypes.c_ssize_t


def _check(result: int) -> int:
    """libc's convention (-1 and errno) as HostError."""
    if result < 0:
        raise HostError(ctypes.get_errno())
    return result


def _transfer(function: ctypes._NamedFuncPointer, host_tid: int, local: object, address: int, size: int) -> int:
    """One process_vm_readv or process_vm_writev of a single range."""
    if not 0 <= address < _ADDRESS_LIMIT:
        raise HostError(_EFAULT)
    here = _IoVector(ctypes.cast(local, ctypes.c_void_p), size)  # type: ignore[arg-type]  # any buffer or bytes object
    there = _IoVector(address, size)
    pid = ctypes.c_int(host_tid)
    one = ctypes.c_ulong(1)
    return _check(int(function(pid, ctypes.byref(here), one, ctypes.byref(there), one, ctypes.c_ulong(0))))


class CtypesNative:
    """Implements the Native protocol."""

    def openat2(self, directory: int, path: bytes, flags: int, mode: int, resolve: int) -> int:
        how = _OpenHow(flags, mode, resolve)
        arguments = (ctypes.c_long(_SYS_OPENAT2), ctypes.c_long(directory), ctypes.c_char_p(path), ctypes.byref(how))
        return _check(int(_libc.syscall(*arguments, ctypes.c_size_t(ctypes.sizeof(how)))))

    def memory_read(self, host_tid: int, address: int, size: int) -> bytes:
        if size <= 0:
            return b""
        buffer = ctypes.create_string_buffer(size)
        count = _transfer(_process_vm_readv, host_tid, buffer, address, size)
        return buffer.raw[:count]

    def memory_write(self, host_tid: int, address: int, data: bytes) -> int:
        if not data:
            return 0
        return _transfer(_process_vm_writev, host_tid, ctypes.c_char_p(data), address, len(data))

    def descriptor_attributes(self, host_tid: int, descriptor: int) -> StreamAttributes:
        try:
            return attributes(os.stat(b"/proc/%d/fd/%d" % (host_tid, descriptor)))
        except FileNotFoundError:
            raise HostError(_EBADF) from None
        except OSError as error:
            raise host_error(error) from None

    def tgkill(self, host_pid: int, host_tid: int, signal: int) -> None:
        numbers = (ctypes.c_long(value) for value in (_SYS_TGKILL, host_pid, host_tid, signal))
        _check(int(_libc.syscall(*numbers)))


def rename(source_directory: int, source: bytes, target_directory: int, target: bytes, flags: int) -> None:
    """renameat2(2)."""
    names = (ctypes.c_int(source_directory), ctypes.c_char_p(source), ctypes.c_int(target_directory), ctypes.c_char_p(target))
    _check(int(_libc.renameat2(*names, ctypes.c_uint(flags))))


def allocate(descriptor: int, mode: int, offset: int, size: int) -> None:
    """fallocate(2): offset and size in bytes."""
    _check(int(_libc.fallocate(ctypes.c_int(descriptor), ctypes.c_int(mode), ctypes.c_int64(offset), ctypes.c_int64(size))))


def volume(descriptor: int) -> tuple[int, int, int, int, int, int, int, int]:
    """fstatfs(2): (kind, block_size, blocks, blocks_free, blocks_available, files, files_free, name_max)."""
    record = _StatFs()
    _check(int(_libc.fstatfs(ctypes.c_int(descriptor), ctypes.byref(record))))
    return (
        record.kind & 0xFFFFFFFF,
        record.block_size,
        record.blocks,
        record.blocks_free,
        record.blocks_available,
        record.files,
        record.files_free,
        record.name_max,
    )


def set_times(directory: int, name: bytes, atime_ns: int | None, mtime_ns: int | None, *, follow: bool) -> None:
    """utimensat(2) of a name relative to a directory. None as a time leaves it alone."""
    times = (_TimeSpec * 2)()
    for index, value in enumerate((atime_ns, mtime_ns)):
        seconds, nanoseconds = (0, _UTIME_OMIT) if value is None else divmod(value, _NANOSECONDS)
        times[index] = _TimeSpec(seconds, nanoseconds)
    flags = 0 if follow else _AT_SYMLINK_NOFOLLOW
    _check(int(_libc.utimensat(ctypes.c_int(directory), ctypes.c_char_p(name), ctypes.byref(times), ctypes.c_int(flags))))


def watch(path: bytes, mask: int) -> int:
    """A new non-blocking inotify descriptor that watches one path for mask. HostError(ENOENT, EACCES, EMFILE, ENOSPC)."""
    descriptor = _check(int(_libc.inotify_init1(_IN_NONBLOCK | _IN_CLOEXEC)))
    try:
        _check(int(_libc.inotify_add_watch(descriptor, ctypes.c_char_p(path), ctypes.c_uint32(mask))))
    except HostError:
        os.close(descriptor)
        raise
    return descriptor


def setns(descriptor: int, kind: int) -> None:
    """setns(2): the calling thread enters a name space of a kind (CLONE_NEW*; 0 is any)."""
    _check(_libc.setns(descriptor, kind))


def unshare(flags: int) -> None:
    """unshare(2)."""
    _check(_libc.unshare(flags))


def end_with_parent(signal: int) -> None:
    """prctl(PR_SET_PDEATHSIG): the calling process gets the signal when the thread that made it ends."""
    _check(_libc.prctl(1, ctypes.c_ulong(signal), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0)))
