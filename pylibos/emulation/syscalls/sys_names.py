"""unlink, rename, link, symlink and mknod families. The rules are in fs/names.py. Source: fs/namei.c."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylibos.abi.errno import Errno
from pylibos.abi.files import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_REMOVEDIR,
    AT_SYMLINK_FOLLOW,
    RENAME_EXCHANGE,
    RENAME_NOREPLACE,
    S_IFBLK,
    S_IFCHR,
    S_IFDIR,
    S_IFIFO,
    S_IFMT,
    S_IFREG,
    S_IFSOCK,
)
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.fs.names import link, make_node, rename, rmdir, symlink, unlink
from pylibos.emulation.syscalls.params import DirFd, Flags, UInt, UserPath
from pylibos.emulation.syscalls.table import Support, syscall

if TYPE_CHECKING:
    from pylibos.emulation.fs.inode import Inode
    from pylibos.emulation.process.thread import Thread


class UnlinkFlags(Flags):
    """AT_* of unlinkat."""

    REMOVEDIR = AT_REMOVEDIR


class LinkFlags(Flags):
    """AT_* of linkat."""

    FOLLOW = AT_SYMLINK_FOLLOW
    EMPTY_PATH = AT_EMPTY_PATH


class RenameFlags(Flags):
    """RENAME_* of renameat2; RENAME_WHITEOUT is refused as a file system without it does."""

    NOREPLACE = RENAME_NOREPLACE
    EXCHANGE = RENAME_EXCHANGE


def _base(thread: Thread, dirfd: int, path: bytes) -> Inode | None:
    return None if dirfd == AT_FDCWD else thread.process.executive.io.base(thread, dirfd, path)


@syscall("unlink", number=87)
def sys_unlink(thread: Thread, path: UserPath) -> None:
    """unlink(2)."""
    unlink(thread.process.executive.files, thread, None, path)


@syscall("unlinkat", number=263)
def sys_unlinkat(thread: Thread, dirfd: DirFd, path: UserPath, flags: UnlinkFlags) -> None:
    """unlinkat(2)."""
    remove = rmdir if flags else unlink
    remove(thread.process.executive.files, thread, _base(thread, dirfd, path), path)


@syscall("rename", number=82)
def sys_rename(thread: Thread, old_path: UserPath, new_path: UserPath) -> None:
    """rename(2)."""
    rename(thread.process.executive.files, thread, None, old_path, None, new_path, 0)


@syscall("renameat", number=264)
def sys_renameat(thread: Thread, old_dirfd: DirFd, old_path: UserPath, new_dirfd: DirFd, new_path: UserPath) -> None:
    """renameat(2)."""
    files = thread.process.executive.files
    rename(files, thread, _base(thread, old_dirfd, old_path), old_path, _base(thread, new_dirfd, new_path), new_path, 0)


@syscall("renameat2", number=316)
def sys_renameat2(
    thread: Thread, old_dirfd: DirFd, old_path: UserPath, new_dirfd: DirFd, new_path: UserPath, flags: RenameFlags
) -> None:
    """renameat2(2). Raises EINVAL for NOREPLACE with EXCHANGE, and for RENAME_WHITEOUT."""
    if flags == RenameFlags.NOREPLACE | RenameFlags.EXCHANGE:
        raise SyscallError(Errno.EINVAL)
    files = thread.process.executive.files
    rename(files, thread, _base(thread, old_dirfd, old_path), old_path, _base(thread, new_dirfd, new_path), new_path, int(flags))


@syscall("link", number=86)
def sys_link(thread: Thread, old_path: UserPath, new_path: UserPath) -> None:
    """link(2): a final symbolic link is linked itself."""
    files = thread.process.executive.files
    link(files, thread, files.find(thread, None, old_path, False), None, new_path)


@syscall("linkat", number=265)
def sys_linkat(
    thread: Thread, old_dirfd: DirFd, old_path: UserPath, new_dirfd: DirFd, new_path: UserPath, flags: LinkFlags
) -> None:
    """linkat(2). An O_TMPFILE file gets its name through AT_EMPTY_PATH or /proc/self/fd/N."""
    executive = thread.process.executive
    inode: Inode | None
    if old_path:
        base = _base(thread, old_dirfd, old_path)
        inode = executive.files.find(thread, base, old_path, bool(flags & AT_SYMLINK_FOLLOW))
    elif not flags & AT_EMPTY_PATH:
        raise SyscallError(Errno.ENOENT)
    else:
        inode = thread.process.fs.cwd if old_dirfd == AT_FDCWD else executive.io.inode_of(thread, old_dirfd)
    if inode is None:
        raise SyscallError(Errno.EXDEV)
    unnamed = inode.nlink == 0 and inode.name == b"#%d" % inode.number
    link(executive.files, thread, inode, _base(thread, new_dirfd, new_path), new_path, unnamed=unnamed)


@syscall("symlink", number=88)
def sys_symlink(thread: Thread, target: UserPath, path: UserPath) -> None:
    """symlink(2)."""
    symlink(thread.process.executive.files, thread, target, None, path)


@syscall("symlinkat", number=266)
def sys_symlinkat(thread: Thread, target: UserPath, dirfd: DirFd, path: UserPath) -> None:
    """symlinkat(2)."""
    symlink(thread.process.executive.files, thread, target, _base(thread, dirfd, path), path)


def _mknod(thread: Thread, dirfd: int, path: bytes, mode: int, device: int) -> None:
    kind = mode & S_IFMT or S_IFREG
    if kind == S_IFDIR:
        raise SyscallError(Errno.EPERM)
    if kind not in {S_IFREG, S_IFIFO, S_IFSOCK, S_IFCHR, S_IFBLK}:
        raise SyscallError(Errno.EINVAL)
    rdev = device if kind in {S_IFCHR, S_IFBLK} else 0
    make_node(thread.process.executive.files, thread, _base(thread, dirfd, path), path, kind | (mode & 0o7777), rdev)


@syscall("mknod", number=133, support=Support.PARTIAL, note="a device node opens only if the sandbox has a driver for its number")
def sys_mknod(thread: Thread, path: UserPath, mode: UInt, device: UInt) -> None:
    """mknod(2). Raises EPERM for a directory, and for devices without CAP_MKNOD."""
    _mknod(thread, AT_FDCWD, path, mode, device)


@syscall("mknodat", number=259, support=Support.PARTIAL, note="a device node opens only if the sandbox has a driver for its number")
def sys_mknodat(thread: Thread, dirfd: DirFd, path: UserPath, mode: UInt, device: UInt) -> None:
    """mknodat(2)."""
    _mknod(thread, dirfd, path, mode, device)
