"""open, openat, openat2, creat, memfd_create, name_to_handle_at: calls whose result is a new descriptor.

The rules of opening are in fs/opening.py; answers are Install outcomes (or generators, for FIFOs). Sources: open(2), openat2(2),
memfd_create(2); Linux fs/open.c.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from pylibos.abi.errno import Errno
from pylibos.abi.files import (
    O_CREAT,
    O_DIRECTORY,
    O_KNOWN,
    O_NOFOLLOW,
    O_PATH,
    O_TMPFILE_BIT,
    O_TRUNC,
    O_WRONLY,
    RESOLVE_BENEATH,
    RESOLVE_CACHED,
    RESOLVE_IN_ROOT,
)
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.fs.opening import open_path
from pylibos.emulation.outcome import FORWARD, Forward
from pylibos.emulation.syscalls.params import Address, DirFd, InPtr, Int, Mode, Size, UInt, UserPath
from pylibos.emulation.syscalls.table import Route, Support, syscall

if TYPE_CHECKING:
    from pylibos.emulation.process.thread import Thread

_OPEN_HOW: Final = Struct("<QQQ")
"""struct open_how, 24 bytes: flags, mode, resolve."""

_RESOLVE_KNOWN: Final = 0x3F


@syscall("open", number=2)
def sys_open(thread: Thread, path: UserPath, flags: UInt, mode: Mode) -> Any:
    """open(2). Unknown flags are ignored, as Linux does."""
    return open_path(thread, None, path, flags, mode)


@syscall("openat", number=257)
def sys_openat(thread: Thread, dirfd: DirFd, path: UserPath, flags: UInt, mode: Mode) -> Any:
    """openat(2)."""
    base = None if dirfd == -100 else thread.process.executive.io.base(thread, dirfd, path)
    return open_path(thread, base, path, flags, mode)


@syscall("creat", number=85)
def sys_creat(thread: Thread, path: UserPath, mode: Mode) -> Any:
    """creat(2)."""
    return open_path(thread, None, path, O_CREAT | O_WRONLY | O_TRUNC, mode)


@syscall("openat2", number=437)
def sys_openat2(thread: Thread, dirfd: DirFd, path: UserPath, how: InPtr[bytes], size: Size) -> Any:
    """openat2(2). Raises EINVAL for anything unknown, E2BIG for a longer struct with a non-zero tail."""
    if size < _OPEN_HOW.size:
        raise SyscallError(Errno.EINVAL)
    if size > 4096:
        raise SyscallError(Errno.E2BIG)
    raw = how.read(size)
    if any(raw[_OPEN_HOW.size :]):
        raise SyscallError(Errno.E2BIG)
    flags, mode, resolve = _OPEN_HOW.unpack_from(raw)
    if flags & ~O_KNOWN or resolve & ~_RESOLVE_KNOWN or (resolve & RESOLVE_BENEATH and resolve & RESOLVE_IN_ROOT):
        raise SyscallError(Errno.EINVAL)
    creates = flags & (O_CREAT | O_TMPFILE_BIT)
    if mode & ~0o7777 or (mode and not creates):
        raise SyscallError(Errno.EINVAL)
    if flags & O_PATH and flags & ~(O_PATH | O_DIRECTORY | O_NOFOLLOW | 0o2000000):
        raise SyscallError(Errno.EINVAL)
    if resolve & RESOLVE_CACHED:
        if creates or flags & O_TRUNC:
            raise SyscallError(Errno.EAGAIN)
        resolve &= ~RESOLVE_CACHED
    base = thread.process.executive.io.base(thread, dirfd, path if not resolve & RESOLVE_IN_ROOT else b".")
    return open_path(thread, base, path, flags, mode, resolve)


@syscall("memfd_create", number=319, route=Route.TRACE)
def sys_memfd_create(thread: Thread, name: Address, flags: UInt) -> Forward:
    """memfd_create(2): a native object of the guest's own; the name is a label and carries no authority."""
    return FORWARD


@syscall("name_to_handle_at", number=303, support=Support.PARTIAL, note="always EOPNOTSUPP: inodes have no stable handles")
def sys_name_to_handle_at(thread: Thread, dirfd: DirFd, path: UserPath, handle: Address, mount_id: Address, flags: Int) -> None:
    """name_to_handle_at(2). Raises EOPNOTSUPP, which callers must expect of any file system."""
    raise SyscallError(Errno.EOPNOTSUPP)


