"""Changing attributes: chmod, chown, times, length and extended attributes, with the checks of notify_change().

Functions take the calling thread and an inode already found. A guest root changes owners in its own view; a writable host mount passes
the change on and the host's refusal back. Sources: Linux fs/attr.c, fs/open.c (chmod_common, chown_common, do_truncate), fs/utimes.c,
fs/xattr.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pylibos.abi.errno import Errno
from pylibos.abi.files import NANOSECONDS, S_ISGID, S_ISUID, UTIME_NOW, UTIME_OMIT, XATTR_NAME_MAX, XATTR_SIZE_MAX
from pylibos.abi.process import RLIMIT_FSIZE
from pylibos.abi.signals import SignalNumber
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.fs.notify import IN_ATTRIB, IN_MODIFY, notify_change
from pylibos.emulation.fs.permission import CAP_CHOWN, CAP_FSETID, CAP_SYS_ADMIN, chmod_bits, owner_or_capable, permitted, require

if TYPE_CHECKING:
    from pylibos.emulation.fs.inode import Inode
    from pylibos.emulation.process.thread import Thread
    from pylibos.emulation.security.credentials import Credentials

UNCHANGED: Final = 0xFFFFFFFF
"""(uid_t)-1."""

SIZE_MAX: Final = 1 << 46
"""Longest file: above what any host file system of ours stores, below where offsets overflow."""


def _writable(inode: Inode) -> None:
    if inode.volume.read_only:
        raise SyscallError(Errno.EROFS)


def _changed(thread: Thread, inode: Inode, mask: int = IN_ATTRIB) -> None:
    if inode.is_directory:
        thread.process.executive.files.search_changed(inode)
    notify_change(inode, mask)


def chmod(thread: Thread, inode: Inode, mode: int) -> None:
    """Set the permission bits. Raises EROFS, EPERM, EOPNOTSUPP for a link."""
    _writable(inode)
    if inode.is_symlink:
        raise SyscallError(Errno.EOPNOTSUPP)
    credentials = thread.process.credentials
    if not owner_or_capable(inode, credentials):
        raise SyscallError(Errno.EPERM)
    if inode.is_directory and (inode.mode ^ mode) & 0o111:
        thread.process.executive.files.search_changed(inode)
    inode.change(mode=chmod_bits(inode, mode, credentials))
    notify_change(inode, IN_ATTRIB)


def chown(thread: Thread, inode: Inode, uid: int, gid: int) -> None:
    """Set owner and group (UNCHANGED leaves one). Set-id bits of a file fall, as on Linux. Raises EROFS, EPERM."""
    _writable(inode)
    credentials = thread.process.credentials
    capable = credentials.has_capability(CAP_CHOWN)
    if not capable:
        owner = credentials.fsuid == inode.uid
        if uid not in (UNCHANGED, inode.uid) or (uid != UNCHANGED and not owner):
            raise SyscallError(Errno.EPERM)
        if gid != UNCHANGED and not (owner and (gid == inode.gid or credentials.in_group(gid))):
            raise SyscallError(Errno.EPERM)
    mode: int | None = None
    if not inode.is_directory and inode.mode & (S_ISUID | S_ISGID):
        mode = without_set_id(inode, credentials)
    inode.change(mode, None if uid == UNCHANGED else uid, None if gid == UNCHANGED else gid)
    _changed(thread, inode)


def without_set_id(inode: Inode, credentials: Credentials) -> int:
    """The permission bits after a change of content or owner: no set-user-id, and set-group-id only as a member's lock mark."""
    mode = inode.mode & 0o7777 & ~S_ISUID
    if mode & 0o010 or not (credentials.in_group(inode.gid) or credentials.has_capability(CAP_FSETID)):
        mode &= ~S_ISGID
    return mode


def drop_set_id(thread: Thread, inode: Inode) -> None:
    """A caller without CAP_FSETID changed the content: the set-id bits fall (file_remove_privs)."""
    credentials = thread.process.credentials
    if not credentials.has_capability(CAP_FSETID) and not inode.volatile:
        inode.change(mode=without_set_id(inode, credentials))


def stamp(thread: Thread, inode: Inode, times: tuple[int, int, int, int] | None) -> None:
    """utimensat: times are (atime s, ns, mtime s, ns) with UTIME_NOW and UTIME_OMIT, None means both now. Raises EACCES, EPERM, EINVAL."""
    _writable(inode)
    credentials = thread.process.credentials
    if times is None:
        both_now = True
    else:
        for nanoseconds in (times[1], times[3]):
            if nanoseconds not in (UTIME_NOW, UTIME_OMIT) and not 0 <= nanoseconds < NANOSECONDS:
                raise SyscallError(Errno.EINVAL)
        if times[1] == UTIME_OMIT and times[3] == UTIME_OMIT:
            return
        both_now = times[1] == UTIME_NOW and times[3] == UTIME_NOW
    if both_now:
        if not owner_or_capable(inode, credentials) and not permitted(inode, credentials, 2):
            raise SyscallError(Errno.EACCES)
    elif not owner_or_capable(inode, credentials):
        raise SyscallError(Errno.EPERM)
    now = inode.volume.now()
    if times is None:
        inode.change(atime=now, mtime=now)
    else:
        inode.change(atime=_time(times[0], times[1], now), mtime=_time(times[2], times[3], now))
    notify_change(inode, IN_ATTRIB)


def _time(seconds: int, nanoseconds: int, now: int) -> int | None:
    if nanoseconds == UTIME_OMIT:
        return None
    if nanoseconds == UTIME_NOW:
        return now
    return seconds * NANOSECONDS + nanoseconds


def _within_limit(thread: Thread, inode: Inode, size: int) -> None:
    """RLIMIT_FSIZE: SIGXFSZ and EFBIG for a file that would grow beyond it (inode_newsize_ok)."""
    inode.refresh()
    host = thread.process.executive.host
    limit = host.process_limits(thread.process.host_pid, RLIMIT_FSIZE, None)[0]
    if size > inode.size and limit != -1 and size > limit:
        host.process_signal(thread.process.host_pid, thread.host_tid, SignalNumber.SIGXFSZ)
        raise SyscallError(Errno.EFBIG)


def truncate(thread: Thread, inode: Inode, size: int) -> None:
    """truncate by path; size is not negative. Raises EINVAL (no regular file), EISDIR, EROFS, EACCES, EFBIG."""
    if inode.is_directory:
        raise SyscallError(Errno.EISDIR)
    if not inode.is_regular and inode.mode >> 12 != 8:
        raise SyscallError(Errno.EINVAL)
    _writable(inode)
    require(inode, thread.process.credentials, 2)
    if size > SIZE_MAX:
        raise SyscallError(Errno.EFBIG)
    if inode.running:
        raise SyscallError(Errno.ETXTBSY)
    if size > inode.size:
        _within_limit(thread, inode, size)
    inode.resize(size)
    if inode.mode & (S_ISUID | S_ISGID):
        drop_set_id(thread, inode)
    if not thread.executive.files.native_changes.follows(inode):
        notify_change(inode, IN_MODIFY)


# -- extended attributes -------------------------------------------------------------------------------------------------------
def _check_xattr_name(name: bytes) -> None:
    if not 0 < len(name) <= XATTR_NAME_MAX:
        raise SyscallError(Errno.ERANGE)
    space, dot, rest = name.partition(b".")
    if not dot or space not in (b"user", b"trusted", b"security", b"system"):
        raise SyscallError(Errno.EOPNOTSUPP)
    if not rest:
        raise SyscallError(Errno.EINVAL)
    if space == b"system":
        raise SyscallError(Errno.EOPNOTSUPP)


def _may_xattr(thread: Thread, inode: Inode, name: bytes, *, write: bool) -> None:
    credentials = thread.process.credentials
    if write:
        _writable(inode)
    if name.startswith(b"trusted."):
        if not credentials.has_capability(CAP_SYS_ADMIN):
            raise SyscallError(Errno.EPERM if write else Errno.ENODATA)
        return
    if name.startswith(b"security."):
        if write and not credentials.has_capability(CAP_SYS_ADMIN):
            raise SyscallError(Errno.EPERM)
        return
    if not inode.is_directory and inode.mode >> 12 != 8:
        raise SyscallError(Errno.EPERM if write else Errno.ENODATA)
    require(inode, credentials, 2 if write else 4)


def xattr_get(thread: Thread, inode: Inode, name: bytes) -> bytes:
    """Value of one attribute. Raises ENODATA, EOPNOTSUPP, EACCES."""
    _check_xattr_name(name)
    _may_xattr(thread, inode, name, write=False)
    return inode.xattr_get(name)


def xattr_set(thread: Thread, inode: Inode, name: bytes, value: bytes | None, flags: int) -> None:
    """Set, or remove with None. Raises EEXIST, ENODATA, E2BIG, EPERM, EROFS."""
    _check_xattr_name(name)
    if value is not None and len(value) > XATTR_SIZE_MAX:
        raise SyscallError(Errno.E2BIG)
    _may_xattr(thread, inode, name, write=True)
    inode.xattr_set(name, value, flags)
    notify_change(inode, IN_ATTRIB)


def xattr_list(thread: Thread, inode: Inode) -> bytes:
    """All names the caller may see, each with its NUL."""
    privileged = thread.process.credentials.has_capability(CAP_SYS_ADMIN)
    return b"".join(name + b"\0" for name in inode.xattr_names() if privileged or not name.startswith(b"trusted."))
