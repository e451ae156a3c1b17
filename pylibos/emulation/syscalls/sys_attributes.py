"""chmod, chown, utime, truncate and extended attribute families, and umask. The rules are in fs/attributes.py.

A descriptor of an object the VFS did not make is changed natively: the call is forwarded, its authority being the descriptor. Sources:
fs/open.c, fs/attr.c, fs/utimes.c, fs/xattr.c.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from struct import Struct
from typing import TYPE_CHECKING, Final

from pylibos.abi.errno import Errno
from pylibos.abi.files import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_SYMLINK_NOFOLLOW,
    UTIME_OMIT,
    XATTR_CREATE,
    XATTR_NAME_MAX,
    XATTR_REPLACE,
    XATTR_SIZE_MAX,
)
from pylibos.abi.memory import PAGE_SIZE
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.fs.attributes import chmod, chown, stamp, truncate, xattr_get, xattr_list, xattr_set
from pylibos.emulation.fs.hostfs import HostFile
from pylibos.emulation.io_manager.file_object import FileKind
from pylibos.emulation.outcome import FORWARD, Forward
from pylibos.emulation.syscalls.params import (
    DirFd,
    Fd,
    Flags,
    InPtr,
    Int,
    Mode,
    Offset,
    OptionalUserPath,
    OutPtr,
    Size,
    UInt,
    UserPath,
)
from pylibos.emulation.syscalls.table import syscall

if TYPE_CHECKING:
    from pylibos.emulation.fs.inode import Inode
    from pylibos.emulation.process.thread import Thread

_TIMES: Final = Struct("<qqqq")
"""timespec[2] or timeval[2], 32 bytes: atime (s, ns or us), mtime."""
_XATTR_ARGS: Final = Struct("<QII")
"""struct xattr_args, 16 bytes: value address, size (bytes), flags."""
_UTIMBUF: Final = Struct("<qq")
"""struct utimbuf, 16 bytes: actime, modtime in seconds."""


class ChangeFlags(Flags):
    """AT_* of fchmodat2, fchownat and utimensat."""

    NOFOLLOW = AT_SYMLINK_NOFOLLOW
    EMPTY_PATH = AT_EMPTY_PATH


class XattrFlags(Flags):
    """XATTR_* of setxattr."""

    CREATE = XATTR_CREATE
    REPLACE = XATTR_REPLACE


def inode_at(thread: Thread, dirfd: int, path: bytes, flags: int) -> Inode | None:
    """The inode of a *at call; None for a foreign descriptor (AT_EMPTY_PATH)."""
    executive = thread.process.executive
    if path:
        base = None if dirfd == AT_FDCWD else executive.io.base(thread, dirfd, path)
        return executive.files.find(thread, base, path, not flags & AT_SYMLINK_NOFOLLOW)
    if not flags & AT_EMPTY_PATH:
        raise SyscallError(Errno.ENOENT)
    return thread.process.fs.cwd if dirfd == AT_FDCWD else executive.io.inode_of(thread, dirfd)


def inode_of_open(thread: Thread, fd: int) -> Inode | None:
    """The inode of a descriptor that may be changed through; None when the change is native. Raises EBADF (O_PATH too)."""
    file = thread.process.executive.io.describe(thread, fd)
    if file.kind is FileKind.PATH:
        raise SyscallError(Errno.EBADF)
    return file.inode


def held(thread: Thread, fd: int, inode: Inode) -> AbstractContextManager[None]:
    """Within it, changes of a host file reach the open file itself, whatever has become of its name."""
    return inode.through(thread.host_tid, fd) if isinstance(inode, HostFile) and fd >= 0 else nullcontext()


def _path(thread: Thread, path: bytes, follow: bool = True) -> Inode:
    return thread.process.executive.files.find(thread, None, path, follow)


def _some(inode: Inode | None) -> Inode:
    if inode is None:
        raise SyscallError(Errno.EOPNOTSUPP)
    return inode


# -- mode ------------------------------------------------------------------------------------------------------------------
@syscall("chmod", number=90)
def sys_chmod(thread: Thread, path: UserPath, mode: Mode) -> None:
    """chmod(2)."""
    chmod(thread, _path(thread, path), mode)


@syscall("fchmod", number=91)
def sys_fchmod(thread: Thread, fd: Fd, mode: Mode) -> Forward | None:
    """fchmod(2)."""
    inode = inode_of_open(thread, fd)
    if inode is None:
        return FORWARD
    with held(thread, fd, inode):
        chmod(thread, inode, mode)
    return None


@syscall("fchmodat", number=268)
def sys_fchmodat(thread: Thread, dirfd: DirFd, path: UserPath, mode: Mode) -> None:
    """fchmodat(2): the call without flags."""
    chmod(thread, _some(inode_at(thread, dirfd, path, 0)), mode)


@syscall("fchmodat2", number=452)
def sys_fchmodat2(thread: Thread, dirfd: DirFd, path: UserPath, mode: Mode, flags: ChangeFlags) -> None:
    """fchmodat2(2)."""
    chmod(thread, _some(inode_at(thread, dirfd, path, flags)), mode)


@syscall("umask", number=95)
def sys_umask(thread: Thread, mask: UInt) -> int:
    """umask(2): the old mask."""
    context = thread.process.fs
    old = context.umask
    context.umask = mask & 0o777
    return old


# -- owner -----------------------------------------------------------------------------------------------------------------
@syscall("chown", number=92)
def sys_chown(thread: Thread, path: UserPath, uid: UInt, gid: UInt) -> None:
    """chown(2)."""
    chown(thread, _path(thread, path), uid, gid)


@syscall("lchown", number=94)
def sys_lchown(thread: Thread, path: UserPath, uid: UInt, gid: UInt) -> None:
    """lchown(2)."""
    chown(thread, _path(thread, path, False), uid, gid)


@syscall("fchown", number=93)
def sys_fchown(thread: Thread, fd: Fd, uid: UInt, gid: UInt) -> Forward | None:
    """fchown(2)."""
    inode = inode_of_open(thread, fd)
    if inode is None:
        return FORWARD
    with held(thread, fd, inode):
        chown(thread, inode, uid, gid)
    return None


@syscall("fchownat", number=260)
def sys_fchownat(thread: Thread, dirfd: DirFd, path: UserPath, uid: UInt, gid: UInt, flags: ChangeFlags) -> None:
    """fchownat(2)."""
    chown(thread, _some(inode_at(thread, dirfd, path, flags)), uid, gid)


# -- times -----------------------------------------------------------------------------------------------------------------
def _microseconds(times: InPtr[bytes]) -> tuple[int, int, int, int] | None:
    if not times:
        return None
    a, a_us, m, m_us = times.unpack(_TIMES)
    if not (0 <= a_us < 1_000_000 and 0 <= m_us < 1_000_000):
        raise SyscallError(Errno.EINVAL)
    return a, a_us * 1000, m, m_us * 1000


@syscall("utime", number=132)
def sys_utime(thread: Thread, path: UserPath, times: InPtr[bytes]) -> None:
    """utime(2)."""
    value = None
    if times:
        accessed, modified = times.unpack(_UTIMBUF)
        value = (accessed, 0, modified, 0)
    stamp(thread, _path(thread, path), value)


@syscall("utimes", number=235)
def sys_utimes(thread: Thread, path: UserPath, times: InPtr[bytes]) -> None:
    """utimes(2)."""
    value = _microseconds(times)
    stamp(thread, _path(thread, path), value)


@syscall("futimesat", number=261)
def sys_futimesat(thread: Thread, dirfd: DirFd, path: OptionalUserPath, times: InPtr[bytes]) -> None:
    """futimesat(2). A NULL path means the descriptor itself."""
    value = _microseconds(times)
    inode = inode_at(thread, dirfd, path, 0) if path is not None else thread.process.executive.io.inode_of(thread, dirfd)
    stamp(thread, _some(inode), value)


@syscall("utimensat", number=280)
def sys_utimensat(
    thread: Thread, dirfd: DirFd, path: OptionalUserPath, times: InPtr[bytes], flags: ChangeFlags
) -> None:
    """utimensat(2). A NULL path means the descriptor itself (futimens)."""
    value = None
    if times:
        a, a_ns, m, m_ns = times.unpack(_TIMES)
        value = (a, a_ns, m, m_ns)
        if a_ns == UTIME_OMIT and m_ns == UTIME_OMIT:
            return  # before anything is looked at, a missing file too
    if path is None:
        if dirfd == AT_FDCWD:
            raise SyscallError(Errno.EFAULT)
        if flags & ~AT_EMPTY_PATH:
            raise SyscallError(Errno.EINVAL)
        io = thread.process.executive.io
        inode = io.inode_of(thread, dirfd)
    else:
        inode = inode_at(thread, dirfd, path, flags)
    if inode is None:
        return  # a pipe or socket: Linux stamps an inode nobody can look at again
    with held(thread, -1 if path else dirfd, inode):
        stamp(thread, inode, value)


# -- length ----------------------------------------------------------------------------------------------------------------
@syscall("truncate", number=76)
def sys_truncate(thread: Thread, path: UserPath, length: Offset) -> None:
    """truncate(2). Raises EINVAL for a negative length, whatever the path."""
    if length < 0:
        raise SyscallError(Errno.EINVAL)
    truncate(thread, _path(thread, path), length)


@syscall("ftruncate", number=77)
def sys_ftruncate(thread: Thread, fd: Fd, length: Offset) -> Forward:
    """ftruncate(2): native, on the content the descriptor already gives write access to."""
    return FORWARD


FALLOC_FL_PUNCH_HOLE: Final = 2
_ALLOCATION_MAX: Final = 8 << 30
"""Bytes: the size memory volumes report. The host would try to fill its memory with more."""


@syscall("fallocate", number=285)
def sys_fallocate(thread: Thread, fd: Fd, mode: Int, offset: Offset, length: Offset) -> Forward:
    """fallocate(2): native, on the content the descriptor already gives write access to. Raises ENOSPC for more than a volume has."""
    if length > _ALLOCATION_MAX and not mode & FALLOC_FL_PUNCH_HOLE:
        raise SyscallError(Errno.ENOSPC)
    return FORWARD


# -- extended attributes ---------------------------------------------------------------------------------------------------
def _name(name: InPtr[bytes]) -> bytes:
    try:
        text = name.read_string(XATTR_NAME_MAX + 1)
    except SyscallError as error:
        if error.errno == Errno.ENAMETOOLONG:
            raise SyscallError(Errno.ERANGE) from None
        raise
    if not text:
        raise SyscallError(Errno.ERANGE)
    return text


def _set(thread: Thread, inode: Inode, name: InPtr[bytes], value: InPtr[bytes], size: int, flags: int) -> None:
    key = _name(name)
    if size > XATTR_SIZE_MAX:
        raise SyscallError(Errno.E2BIG)
    xattr_set(thread, inode, key, value.read(size) if size else b"", flags)


def _give(data: bytes, buffer: OutPtr[bytes], size: int) -> int:
    if size:
        if len(data) > size:
            raise SyscallError(Errno.ERANGE)
        buffer.write(data)
    return len(data)


@syscall("setxattr", number=188)
def sys_setxattr(
    thread: Thread, path: UserPath, name: InPtr[bytes], value: InPtr[bytes], size: Size, flags: XattrFlags
) -> None:
    """setxattr(2)."""
    _set(thread, _path(thread, path), name, value, size, flags)


@syscall("lsetxattr", number=189)
def sys_lsetxattr(
    thread: Thread, path: UserPath, name: InPtr[bytes], value: InPtr[bytes], size: Size, flags: XattrFlags
) -> None:
    """lsetxattr(2)."""
    _set(thread, _path(thread, path, False), name, value, size, flags)


@syscall("fsetxattr", number=190)
def sys_fsetxattr(thread: Thread, fd: Fd, name: InPtr[bytes], value: InPtr[bytes], size: Size, flags: XattrFlags) -> None:
    """fsetxattr(2)."""
    _set(thread, _opened(thread, fd), name, value, size, flags)


def _opened(thread: Thread, fd: int) -> Inode:
    file = thread.process.executive.io.describe(thread, fd)
    if file.kind is FileKind.PATH:
        raise SyscallError(Errno.EBADF)
    return _some(file.inode)


@syscall("getxattr", number=191)
def sys_getxattr(thread: Thread, path: UserPath, name: InPtr[bytes], buffer: OutPtr[bytes], size: Size) -> int:
    """getxattr(2)."""
    return _give(xattr_get(thread, _path(thread, path), _name(name)), buffer, size)


@syscall("lgetxattr", number=192)
def sys_lgetxattr(thread: Thread, path: UserPath, name: InPtr[bytes], buffer: OutPtr[bytes], size: Size) -> int:
    """lgetxattr(2)."""
    return _give(xattr_get(thread, _path(thread, path, False), _name(name)), buffer, size)


@syscall("fgetxattr", number=193)
def sys_fgetxattr(thread: Thread, fd: Fd, name: InPtr[bytes], buffer: OutPtr[bytes], size: Size) -> int:
    """fgetxattr(2)."""
    return _give(xattr_get(thread, _opened(thread, fd), _name(name)), buffer, size)


@syscall("listxattr", number=194)
def sys_listxattr(thread: Thread, path: UserPath, buffer: OutPtr[bytes], size: Size) -> int:
    """listxattr(2)."""
    return _give(xattr_list(thread, _path(thread, path)), buffer, size)


@syscall("llistxattr", number=195)
def sys_llistxattr(thread: Thread, path: UserPath, buffer: OutPtr[bytes], size: Size) -> int:
    """llistxattr(2)."""
    return _give(xattr_list(thread, _path(thread, path, False)), buffer, size)


@syscall("flistxattr", number=196)
def sys_flistxattr(thread: Thread, fd: Fd, buffer: OutPtr[bytes], size: Size) -> int:
    """flistxattr(2)."""
    return _give(xattr_list(thread, _opened(thread, fd)), buffer, size)


@syscall("removexattr", number=197)
def sys_removexattr(thread: Thread, path: UserPath, name: InPtr[bytes]) -> None:
    """removexattr(2)."""
    xattr_set(thread, _path(thread, path), _name(name), None, 0)


@syscall("lremovexattr", number=198)
def sys_lremovexattr(thread: Thread, path: UserPath, name: InPtr[bytes]) -> None:
    """lremovexattr(2)."""
    xattr_set(thread, _path(thread, path, False), _name(name), None, 0)


@syscall("fremovexattr", number=199)
def sys_fremovexattr(thread: Thread, fd: Fd, name: InPtr[bytes]) -> None:
    """fremovexattr(2)."""
    xattr_set(thread, _opened(thread, fd), _name(name), None, 0)


# -- the same relative to a directory descriptor (Linux 6.13) ----------------------------------------------------------------
def _attribute_arguments(arguments: InPtr[bytes], size: int) -> tuple[int, int, int]:
    """(value address, size in bytes, flags) of a struct xattr_args, whose later versions may only add zeros (copy_struct_from_user)."""
    if size < _XATTR_ARGS.size:
        raise SyscallError(Errno.EINVAL)
    if size > PAGE_SIZE:
        raise SyscallError(Errno.E2BIG)
    data = arguments.read(size)
    if any(data[_XATTR_ARGS.size :]):
        raise SyscallError(Errno.E2BIG)
    value, length, flags = _XATTR_ARGS.unpack_from(data)
    return value, length, flags


@syscall("setxattrat", number=463)
def sys_setxattrat(
    thread: Thread, dirfd: DirFd, path: OptionalUserPath, at: ChangeFlags, name: InPtr[bytes], arguments: InPtr[bytes], size: Size
) -> None:
    """setxattrat(2). Compare Linux fs/xattr.c. Raises: EINVAL flags or a short structure; E2BIG a newer structure; as setxattr."""
    value, length, flags = _attribute_arguments(arguments, size)
    if flags & ~(XATTR_CREATE | XATTR_REPLACE):
        raise SyscallError(Errno.EINVAL)
    _set(thread, _some(inode_at(thread, dirfd, path or b"", at)), name, InPtr(value, thread.memory), length, flags)


@syscall("getxattrat", number=464)
def sys_getxattrat(
    thread: Thread, dirfd: DirFd, path: OptionalUserPath, at: ChangeFlags, name: InPtr[bytes], arguments: InPtr[bytes], size: Size
) -> int:
    """getxattrat(2). Compare Linux fs/xattr.c. Raises: EINVAL flags or a short structure; E2BIG a newer structure; as getxattr."""
    value, length, flags = _attribute_arguments(arguments, size)
    if flags:
        raise SyscallError(Errno.EINVAL)
    inode = _some(inode_at(thread, dirfd, path or b"", at))
    return _give(xattr_get(thread, inode, _name(name)), OutPtr(value, thread.memory), length)


@syscall("listxattrat", number=465)
def sys_listxattrat(thread: Thread, dirfd: DirFd, path: OptionalUserPath, at: ChangeFlags, buffer: OutPtr[bytes], size: Size) -> int:
    """listxattrat(2). Compare Linux fs/xattr.c. Raises: as listxattr."""
    return _give(xattr_list(thread, _some(inode_at(thread, dirfd, path or b"", at))), buffer, size)


@syscall("removexattrat", number=466)
def sys_removexattrat(thread: Thread, dirfd: DirFd, path: OptionalUserPath, at: ChangeFlags, name: InPtr[bytes]) -> None:
    """removexattrat(2). Compare Linux fs/xattr.c. Raises: as removexattr."""
    xattr_set(thread, _some(inode_at(thread, dirfd, path or b"", at)), _name(name), None, 0)
