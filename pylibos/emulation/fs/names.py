"""Operations on names: create, mkdir, mknod, symlink, link, unlink, rmdir, rename, with every check Linux makes before them.

Functions take the calling thread, where the name is (base directory and text) and do checks, the inode's own operation, cache
invalidation and notification, in this order. The order of errors follows Linux: what exists or not is told before EROFS, EROFS before
EACCES.

Sources: Linux fs/namei.c (filename_create, may_create, may_delete, do_unlinkat, do_rmdir, do_renameat2, do_linkat, vfs_*),
fs/inode.c (inode_init_owner, mode_strip_sgid), Documentation/filesystems/directory-locking.rst (ancestor rule).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylibos.abi.errno import Errno
from pylibos.abi.files import (
    RENAME_EXCHANGE,
    RENAME_NOREPLACE,
    S_IFBLK,
    S_IFCHR,
    S_IFDIR,
    S_IFLNK,
    S_IFMT,
    S_IFREG,
    S_ISGID,
    S_ISUID,
)
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.fs.inode import is_ancestor
from pylibos.emulation.fs.notify import (
    IN_CREATE,
    IN_DELETE,
    IN_DELETE_SELF,
    IN_ISDIR,
    IN_MOVE_SELF,
    IN_MOVED_FROM,
    IN_MOVED_TO,
    new_cookie,
    notify,
)
from pylibos.emulation.fs.permission import CAP_FSETID, CAP_MKNOD, owner_or_capable, permitted, require, sticky_forbids

if TYPE_CHECKING:
    from pylibos.emulation.fs.filesystem import FileSystem
    from pylibos.emulation.fs.inode import Directory, Inode
    from pylibos.emulation.process.thread import Thread
    from pylibos.emulation.security.credentials import Credentials

_DOTS = (b".", b"..", b"/")


def may_change(directory: Directory, credentials: Credentials) -> None:
    """Whether names may be entered in or taken out of a directory. Raises EROFS, ENOENT (removed directory), EACCES."""
    if directory.volume.read_only:
        raise SyscallError(Errno.EROFS)
    if directory.nlink == 0:
        raise SyscallError(Errno.ENOENT)
    require(directory, credentials, 3)


def new_attributes(directory: Directory, mode: int, thread: Thread, *, umask: bool = True) -> tuple[int, int, int]:
    """(mode, uid, gid) of a new inode in directory: umask, set-group-id directories, and the set-group-id bit a stranger may not make."""
    process = thread.process
    credentials = process.credentials
    if umask:
        mode &= ~process.fs.umask
    if directory.mode & S_ISGID:
        gid = directory.gid
        if mode & S_IFMT == S_IFDIR:
            mode |= S_ISGID
        elif (
            mode & (S_ISGID | 0o010) == S_ISGID | 0o010
            and not credentials.in_group(gid)
            and not credentials.has_capability(CAP_FSETID)
        ):
            mode &= ~S_ISGID
        return mode, credentials.fsuid, gid
    return mode, credentials.fsuid, credentials.fsgid


def _enter(
    files: FileSystem, thread: Thread, directory: Directory, name: bytes, mode: int, rdev: int = 0, target: bytes = b""
) -> Inode:
    may_change(directory, thread.process.credentials)
    mode, uid, gid = new_attributes(directory, mode, thread, umask=not target)
    inode = directory.make(name, mode, uid, gid, rdev, target)
    files.cache.forget_name(directory, name)
    if directory.watches:
        notify(directory, IN_CREATE | (IN_ISDIR if inode.is_directory else 0), name)
    return inode


def create_file(files: FileSystem, thread: Thread, directory: Directory, name: bytes, mode: int) -> Inode:
    """A new regular file for open(O_CREAT): the name is known to be missing."""
    return _enter(files, thread, directory, name, S_IFREG | mode)


def discard(files: FileSystem, thread: Thread, directory: Directory, name: bytes, inode: Inode) -> None:
    """Take back a file that create_file() has just made, because its creator could not get a descriptor (EMFILE, known first on Linux)."""
    if files.child(thread, directory, name) is not inode:
        return
    directory.remove(name, inode)
    lost_name(files, inode)
    thread.process.executive.io.unlinked(inode)


def make_node(
    files: FileSystem, thread: Thread, base: Inode | None, path: bytes, mode: int, rdev: int = 0, target: bytes = b""
) -> Inode:
    """mkdir, mknod and symlink: a new inode of the type in mode. Raises EEXIST, ENOENT, EPERM (devices), may_change()'s."""
    directory, name, slash = files.parent(thread, base, path)
    if name in _DOTS or files.child(thread, directory, name) is not None:
        raise SyscallError(Errno.EEXIST)
    kind = mode & S_IFMT
    if slash and kind != S_IFDIR:
        raise SyscallError(Errno.ENOENT)
    if kind in {S_IFCHR, S_IFBLK} and not thread.process.credentials.has_capability(CAP_MKNOD):
        raise SyscallError(Errno.EPERM)
    return _enter(files, thread, directory, name, mode, rdev, target)


def symlink(files: FileSystem, thread: Thread, target: bytes, base: Inode | None, path: bytes) -> None:
    """symlinkat. Raises ENOENT for an empty target."""
    if not target:
        raise SyscallError(Errno.ENOENT)
    make_node(files, thread, base, path, S_IFLNK | 0o777, 0, bytes(target))


def _safe_source(inode: Inode, credentials: Credentials) -> bool:
    """What fs.protected_hardlinks = 1 lets a stranger link: plain files he may read and write, without set-id bits."""
    set_id = inode.mode & S_ISUID or inode.mode & (S_ISGID | 0o010) == S_ISGID | 0o010
    return inode.kind == 8 and not set_id and permitted(inode, credentials, 6)


def link(files: FileSystem, thread: Thread, inode: Inode, base: Inode | None, path: bytes, *, unnamed: bool = False) -> None:
    """linkat of an inode already found. unnamed: it may have no name left (O_TMPFILE)."""
    directory, name, slash = files.parent(thread, base, path)
    if name in _DOTS or files.child(thread, directory, name) is not None:
        raise SyscallError(Errno.EEXIST)
    if slash:
        raise SyscallError(Errno.ENOENT)
    if directory.volume.read_only:
        raise SyscallError(Errno.EROFS)
    if inode.volume is not directory.volume:
        raise SyscallError(Errno.EXDEV)
    credentials = thread.process.credentials
    if not owner_or_capable(inode, credentials) and not _safe_source(inode, credentials):
        raise SyscallError(Errno.EPERM)
    may_change(directory, credentials)
    if inode.is_directory:
        raise SyscallError(Errno.EPERM)
    if inode.nlink == 0 and (not unnamed or getattr(inode, "never_named", False)):
        raise SyscallError(Errno.ENOENT)
    if inode.nlink >= 65000:
        raise SyscallError(Errno.EMLINK)
    directory.link(name, inode)
    files.cache.forget_name(directory, name)
    if directory.watches:
        notify(directory, IN_CREATE, name)


def may_delete(directory: Directory, inode: Inode, credentials: Credentials) -> None:
    """Whether the caller may take inode's name out of directory. Raises EROFS, EACCES, EPERM (sticky)."""
    may_change(directory, credentials)
    if directory.mode & 0o1000 and sticky_forbids(directory, inode, credentials):
        raise SyscallError(Errno.EPERM)


def unlink(files: FileSystem, thread: Thread, base: Inode | None, path: bytes) -> None:
    """unlinkat without AT_REMOVEDIR."""
    directory, name, slash = files.parent(thread, base, path)
    if name in _DOTS:
        raise SyscallError(Errno.EISDIR)
    inode = files.child(thread, directory, name)
    if inode is None:
        raise SyscallError(Errno.ENOENT)
    if slash:
        raise SyscallError(Errno.EISDIR if inode.is_directory else Errno.ENOTDIR)
    may_delete(directory, inode, thread.process.credentials)
    if inode.is_directory:
        raise SyscallError(Errno.EISDIR)
    if inode.parent is None:
        raise SyscallError(Errno.EBUSY)
    directory.remove(name, inode)
    lost_name(files, inode)
    if inode.nlink == 0:
        thread.process.executive.io.unlinked(inode)
    if directory.watches or inode.watches:
        notify(directory, IN_DELETE, name)
        notify(inode, IN_DELETE_SELF, b"")


def lost_name(files: FileSystem, inode: Inode) -> None:
    """Forget paths that ended on a non-directory, or passed through it."""
    files.cache.forget_inode(inode)
    if inode.is_symlink:
        files.cache.forget_links()


def rmdir(files: FileSystem, thread: Thread, base: Inode | None, path: bytes) -> None:
    """rmdir, unlinkat with AT_REMOVEDIR."""
    directory, name, _ = files.parent(thread, base, path)
    if name in _DOTS:
        raise SyscallError(Errno.EINVAL if name == b"." else Errno.ENOTEMPTY if name == b".." else Errno.EBUSY)
    inode = files.child(thread, directory, name)
    if inode is None:
        raise SyscallError(Errno.ENOENT)
    may_delete(directory, inode, thread.process.credentials)
    if not inode.is_directory:
        raise SyscallError(Errno.ENOTDIR)
    if inode.parent is None:
        raise SyscallError(Errno.EBUSY)
    _require_empty(inode, thread)
    directory.remove(name, inode)
    files.cache.forget_directory(inode)
    if directory.watches or inode.watches:
        notify(directory, IN_DELETE | IN_ISDIR, name)
        notify(inode, IN_DELETE_SELF, b"")


def _require_empty(inode: Inode, thread: Thread) -> None:
    if not inode.is_empty(thread):  # type: ignore[attr-defined]  # is_directory says so
        raise SyscallError(Errno.ENOTEMPTY)


def rename(  # noqa: C901, PLR0912 - the checks of vfs_rename, in its order
    files: FileSystem, thread: Thread, base: Inode | None, path: bytes, new_base: Inode | None, new_path: bytes, flags: int
) -> None:
    """renameat2. flags: NOREPLACE, EXCHANGE."""
    source_directory, name, slash = files.parent(thread, base, path)
    target_directory, new_name, new_slash = files.parent(thread, new_base, new_path)
    if source_directory.volume is not target_directory.volume:
        raise SyscallError(Errno.EXDEV)
    if name in _DOTS or new_name in _DOTS:
        raise SyscallError(Errno.EEXIST if flags & RENAME_NOREPLACE and name not in _DOTS else Errno.EBUSY)
    credentials = thread.process.credentials
    if source_directory.volume.read_only:
        raise SyscallError(Errno.EROFS)
    inode = files.child(thread, source_directory, name)
    if inode is None:
        raise SyscallError(Errno.ENOENT)
    other = files.child(thread, target_directory, new_name)
    if flags & RENAME_NOREPLACE and other is not None:
        raise SyscallError(Errno.EEXIST)
    if flags & RENAME_EXCHANGE:
        if other is None:
            raise SyscallError(Errno.ENOENT)
        if new_slash and not other.is_directory:
            raise SyscallError(Errno.ENOTDIR)
    if not inode.is_directory and (slash or (new_slash and not flags & RENAME_EXCHANGE)):
        raise SyscallError(Errno.ENOTDIR)
    if inode.is_directory and is_ancestor(inode, target_directory):
        raise SyscallError(Errno.EINVAL)
    if other is not None and other.is_directory and is_ancestor(other, source_directory):
        raise SyscallError(Errno.EINVAL if flags & RENAME_EXCHANGE else Errno.ENOTEMPTY)
    if inode is other:
        return
    may_delete(source_directory, inode, credentials)
    if other is None:
        may_change(target_directory, credentials)
    else:
        may_delete(target_directory, other, credentials)
        if not flags & RENAME_EXCHANGE and inode.is_directory != other.is_directory:
            raise SyscallError(Errno.ENOTDIR if inode.is_directory else Errno.EISDIR)
    if inode.is_directory and source_directory is not target_directory:
        require(inode, credentials, 2)
    if flags & RENAME_EXCHANGE and other is not None and other.is_directory and source_directory is not target_directory:
        require(other, credentials, 2)
    if inode.parent is None or (other is not None and other.parent is None):
        raise SyscallError(Errno.EBUSY)
    if flags & RENAME_EXCHANGE and other is not None:
        source_directory.exchange(name, inode, target_directory, new_name, other)
    else:
        if other is not None and other.is_directory:
            _require_empty(other, thread)
        source_directory.move(name, inode, target_directory, new_name, other)
    _renamed(files, thread, inode, other, target_directory, new_name)
    _tell_rename(source_directory, name, target_directory, new_name, inode)


def _renamed(
    files: FileSystem, thread: Thread, inode: Inode, other: Inode | None, directory: Directory, name: bytes
) -> None:
    """Forget what a rename made untrue."""
    if inode.is_directory or (other is not None and other.is_directory):
        files.cache.clear()
    else:
        lost_name(files, inode)
        files.cache.forget_name(directory, name)
        if other is not None:
            lost_name(files, other)
    if other is not None and other.nlink == 0 and not other.is_directory:
        thread.process.executive.io.unlinked(other)


def _tell_rename(source: Directory, name: bytes, target: Directory, new_name: bytes, inode: Inode) -> None:
    if source.watches or target.watches or inode.watches:
        cookie = new_cookie()
        kind = IN_ISDIR if inode.is_directory else 0
        notify(source, IN_MOVED_FROM | kind, name, cookie)
        notify(target, IN_MOVED_TO | kind, new_name, cookie)
        notify(inode, IN_MOVE_SELF, b"")
