"""open: from a path and flags to an open of an inode, with Linux's order of checks.

Owns the rules of O_CREAT, O_EXCL, O_DIRECTORY, O_NOFOLLOW, O_TRUNC, O_TMPFILE, O_PATH; the I/O manager does the open itself.
Sources: Linux fs/namei.c (open_last_lookups, do_open, may_open, do_tmpfile), fs/open.c (build_open_flags), open(2), openat2(2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pylibos.abi.errno import Errno
from pylibos.abi.files import (
    O_ACCMODE,
    O_CLOEXEC,
    O_CREAT,
    O_DIRECTORY,
    O_EXCL,
    O_LARGEFILE,
    O_NOATIME,
    O_NOCTTY,
    O_NOFOLLOW,
    O_NONBLOCK,
    O_PATH,
    O_TMPFILE_BIT,
    O_TRUNC,
    S_IFBLK,
    S_IFCHR,
    S_IFMT,
    S_IFREG,
    S_IFSOCK,
    S_ISGID,
    S_ISUID,
)
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.fs.attributes import drop_set_id
from pylibos.emulation.fs.inode import Directory, Inode, path_of
from pylibos.emulation.fs.names import create_file, discard, may_change, new_attributes
from pylibos.emulation.fs.notify import IN_OPEN, notify_change
from pylibos.emulation.fs.permission import owner_or_capable, permitted
from pylibos.emulation.outcome import Install

if TYPE_CHECKING:
    from pylibos.emulation.fs.filesystem import FileSystem
    from pylibos.emulation.process.thread import Thread

_MASKS: Final = (4, 2, 6, 6)
"""Permission asked for by access mode; mode 3 (no read or write, ioctl only) asks for both."""

_SLOW: Final = O_CREAT | O_DIRECTORY | O_NOFOLLOW | O_PATH | O_TMPFILE_BIT | O_NOATIME | O_TRUNC
PLAIN_READ: Final = O_CLOEXEC | O_NOCTTY | O_NONBLOCK | O_LARGEFILE
"""Flags of an open that only reads and concerns nobody else: the engine may answer a repeated one (published.py)."""
_WITH_PATH: Final = O_PATH | O_CLOEXEC | O_DIRECTORY | O_NOFOLLOW


def open_path(thread: Thread, base: Inode | None, path: bytes, flags: int, mode: int, rules: int = 0) -> Any:
    """Open path: Install, or a generator when it must wait (FIFO). flags as the guest gave them; rules: RESOLVE_* of openat2."""
    executive = thread.process.executive
    files = executive.files
    if not flags & _SLOW and not rules:
        inode = files.find(thread, base, path)
        repeated = files.repeated
        if inode.is_regular:
            mask = _MASKS[flags & O_ACCMODE]
            if mask & 2 and inode.volume.read_only:
                raise SyscallError(Errno.EROFS)
            if not permitted(inode, thread.process.credentials, mask):
                raise SyscallError(Errno.EACCES)
            if _is_watched(inode):
                return _open_watched(thread, inode, flags, b"")
            answer = executive.io.open(thread, inode, flags, b"")
            if repeated and not flags & ~PLAIN_READ and files.cache.published is not None:
                files.cache.published.open(thread, base, path, True, inode)
            return answer
        return open_inode(thread, inode, flags)
    if flags & O_PATH:
        flags &= _WITH_PATH
    elif flags & O_TMPFILE_BIT:
        return _open_unnamed(thread, base, path, flags, mode, rules)
    if flags & O_CREAT:
        if flags & O_DIRECTORY:
            raise SyscallError(Errno.EINVAL)
        return _open_or_create(thread, files, base, path, flags, mode, rules)
    follow = not flags & O_NOFOLLOW
    found = files.look_by_rules(thread, base, path, follow, rules).inode if rules else files.find(thread, base, path, follow)
    if found is None:
        raise SyscallError(Errno.ENOENT)
    return open_inode(thread, found, flags)


def open_inode(thread: Thread, inode: Inode, flags: int, *, created: bool = False) -> Any:
    """Open an inode already found. created: by this very call, so permission bits do not matter."""
    if inode.is_symlink and not flags & O_PATH:
        raise SyscallError(Errno.ENOTDIR if flags & O_DIRECTORY else Errno.ELOOP)
    if inode.is_directory:
        if flags & O_CREAT:
            raise SyscallError(Errno.EISDIR)
    elif flags & O_DIRECTORY:
        raise SyscallError(Errno.ENOTDIR)
    executive = thread.process.executive
    if not flags & O_PATH and not created:
        _check(thread, inode, flags)
    if flags & O_TRUNC and inode.is_regular and inode.mode & (S_ISUID | S_ISGID):
        drop_set_id(thread, inode)
    plain = inode.is_regular and not flags & O_PATH
    path = b"" if plain else path_of(inode, thread.process.fs.root)
    if not flags & O_PATH and _is_watched(inode):
        return _open_watched(thread, inode, flags, path)
    return executive.io.open(thread, inode, flags, path)


def _is_watched(inode: Inode) -> bool:
    """Whether somebody is to be told of opens."""
    return inode.watches is not None or (inode.parent is not None and inode.parent.watches is not None)


def _open_watched(thread: Thread, inode: Inode, flags: int, path: bytes) -> Any:
    """Open, and tell of it; content is followed from here on, because the guest's reads, writes and its close are native."""
    executive = thread.process.executive
    answer = executive.io.open(thread, inode, flags, path)
    notify_change(inode, IN_OPEN)
    if inode.mode & S_IFMT == S_IFREG and isinstance(answer, Install):
        executive.files.native_changes.opened(inode, answer.stream)
    return answer


def _check(thread: Thread, inode: Inode, flags: int) -> None:
    mask = _MASKS[flags & O_ACCMODE] | (2 if flags & O_TRUNC else 0)
    credentials = thread.process.credentials
    kind = inode.mode & S_IFMT
    if mask & 2:
        if inode.is_directory:
            raise SyscallError(Errno.EISDIR)
        if inode.volume.read_only and inode.is_regular:
            raise SyscallError(Errno.EROFS)
    if kind in {S_IFCHR, S_IFBLK} and inode.volume.no_device:
        raise SyscallError(Errno.EACCES)
    if not permitted(inode, credentials, mask):
        raise SyscallError(Errno.EACCES)
    if flags & O_NOATIME and not owner_or_capable(inode, credentials):
        raise SyscallError(Errno.EPERM)
    if kind == S_IFSOCK:
        raise SyscallError(Errno.ENXIO)


def _open_or_create(
    thread: Thread, files: FileSystem, base: Inode | None, path: bytes, flags: int, mode: int, rules: int
) -> Any:
    if path[-1:] == b"/":
        name = files.parent(thread, base, path)[1]
        raise SyscallError(Errno.EEXIST if flags & O_EXCL and name in (b".", b"..", b"/") else Errno.EISDIR)
    follow = not flags & (O_EXCL | O_NOFOLLOW)
    location = files.look_by_rules(thread, base, path, follow, rules) if rules else files.look(thread, base, path, follow)
    inode = location.inode
    if inode is not None:
        if flags & O_EXCL:
            raise SyscallError(Errno.EEXIST)
        return open_inode(thread, inode, flags)
    directory = location.parent
    assert isinstance(directory, Directory)
    inode = create_file(files, thread, directory, location.name, mode & 0o7777)
    answer = open_inode(thread, inode, flags & ~(O_TRUNC | O_CREAT), created=True)

    def not_taken(_errno: int) -> None:
        discard(files, thread, directory, location.name, inode)

    return Install(answer.stream, answer.close_on_exec, answer.keep, not_taken)


def _open_unnamed(
    thread: Thread, base: Inode | None, path: bytes, flags: int, mode: int, rules: int
) -> Any:
    """O_TMPFILE: a regular file in path's file system, without a name until linkat gives it one."""
    if not flags & O_DIRECTORY or not flags & 3:
        raise SyscallError(Errno.EINVAL)
    files = thread.process.executive.files
    directory = files.look_by_rules(thread, base, path, True, rules).inode
    if directory is None:
        raise SyscallError(Errno.ENOENT)
    if not isinstance(directory, Directory):
        raise SyscallError(Errno.ENOTDIR)
    may_change(directory, thread.process.credentials)
    mode, uid, gid = new_attributes(directory, mode & 0o7777, thread)
    inode = directory.make_unnamed(mode, uid, gid, nameable=not flags & O_EXCL)
    answer = thread.process.executive.io.open(thread, inode, flags & ~O_TRUNC, b"")
    thread.process.executive.io.unlinked(inode)
    return answer
