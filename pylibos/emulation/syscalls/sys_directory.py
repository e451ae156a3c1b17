"""Directories: getdents, mkdir, rmdir, and the process's place in the tree: chdir, fchdir, getcwd, chroot.

Sources: fs/readdir.c, fs/open.c (chdir, chroot), fs/d_path.c (getcwd).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylibos.abi.errno import Errno
from pylibos.abi.files import PATH_MAX, S_IFDIR
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.fs.inode import Directory, Inode, path_of
from pylibos.emulation.fs.names import make_node, rmdir
from pylibos.emulation.fs.permission import CAP_SYS_CHROOT, require
from pylibos.emulation.fs.walk import parent_of
from pylibos.emulation.io_manager.directory import read_directory
from pylibos.emulation.io_manager.file_object import FileKind
from pylibos.emulation.syscalls.params import DirFd, Fd, Mode, OutPtr, Size, UInt, UserPath
from pylibos.emulation.syscalls.table import syscall

if TYPE_CHECKING:
    from pylibos.emulation.process.thread import Thread


def _read(thread: Thread, fd: int, buffer: OutPtr[bytes], size: int, *, old: bool) -> int:
    file = thread.process.executive.io.describe(thread, fd)
    if file.kind is not FileKind.DIRECTORY or file.inode is None:
        raise SyscallError(Errno.EBADF if file.kind is FileKind.PATH else Errno.ENOTDIR)
    parent = parent_of(file.inode, thread.process.fs.root)
    data, position = read_directory(thread, file, parent.number, size, old=old)
    if data:
        buffer.write(data)
        assert file.stream is not None
        thread.process.executive.host.stream_seek(file.stream, position)
    return len(data)


@syscall("getdents64", number=217)
def sys_getdents64(thread: Thread, fd: Fd, buffer: OutPtr[bytes], size: UInt) -> int:
    """getdents64(2). Raises ENOTDIR, EINVAL when the buffer holds no entry, ENOENT for a removed directory."""
    return _read(thread, fd, buffer, size, old=False)


@syscall("getdents", number=78)
def sys_getdents(thread: Thread, fd: Fd, buffer: OutPtr[bytes], size: UInt) -> int:
    """getdents(2): the old record layout."""
    return _read(thread, fd, buffer, size, old=True)


@syscall("mkdir", number=83)
def sys_mkdir(thread: Thread, path: UserPath, mode: Mode) -> None:
    """mkdir(2)."""
    make_node(thread.process.executive.files, thread, None, path, S_IFDIR | (mode & 0o1777))


@syscall("mkdirat", number=258)
def sys_mkdirat(thread: Thread, dirfd: DirFd, path: UserPath, mode: Mode) -> None:
    """mkdirat(2)."""
    executive = thread.process.executive
    make_node(executive.files, thread, executive.io.base(thread, dirfd, path), path, S_IFDIR | (mode & 0o1777))


@syscall("rmdir", number=84)
def sys_rmdir(thread: Thread, path: UserPath) -> None:
    """rmdir(2)."""
    rmdir(thread.process.executive.files, thread, None, path)


def _enter(thread: Thread, inode: Inode | None) -> Directory:
    if not isinstance(inode, Directory):
        raise SyscallError(Errno.ENOTDIR)
    require(inode, thread.process.credentials, 1)
    return inode


@syscall("chdir", number=80)
def sys_chdir(thread: Thread, path: UserPath) -> None:
    """chdir(2)."""
    process = thread.process
    process.fs.cwd = _enter(thread, process.executive.files.find(thread, None, path))


@syscall("fchdir", number=81)
def sys_fchdir(thread: Thread, fd: Fd) -> None:
    """fchdir(2)."""
    process = thread.process
    process.fs.cwd = _enter(thread, process.executive.io.inode_of(thread, fd))


@syscall("chroot", number=161)
def sys_chroot(thread: Thread, path: UserPath) -> None:
    """chroot(2), inside the guest's own view. Raises EPERM without CAP_SYS_CHROOT."""
    process = thread.process
    directory = _enter(thread, process.executive.files.find(thread, None, path))
    if not process.credentials.has_capability(CAP_SYS_CHROOT):
        raise SyscallError(Errno.EPERM)
    process.fs.root = directory


@syscall("getcwd", number=79)
def sys_getcwd(thread: Thread, buffer: OutPtr[bytes], size: Size) -> int:
    """getcwd(2): length with the NUL. Raises ENOENT for a removed directory, ERANGE."""
    process = thread.process
    cwd = process.fs.cwd
    if cwd.nlink == 0:
        raise SyscallError(Errno.ENOENT)
    path = path_of(cwd, process.fs.root)
    if process.fs.root.parent is not None and not process.executive.files.reachable(cwd, process.fs.root):
        path = b"(unreachable)" + path
    if len(path) >= PATH_MAX:
        raise SyscallError(Errno.ENAMETOOLONG)
    if len(path) + 1 > size:
        raise SyscallError(Errno.ERANGE)
    buffer.write(path + b"\0")
    return len(path) + 1
