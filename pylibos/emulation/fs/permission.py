"""Who may do what to an inode: Linux's generic permission check and its relatives, on the guest's own view of ownership.

Pure functions of an inode's mode and owner and of Credentials. POSIX ACLs are not consulted. Must not know paths or descriptors.
Sources: Linux fs/namei.c (generic_permission, may_delete, __check_sticky), fs/attr.c (setattr_prepare); capabilities(7).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pylibos.abi.errno import Errno
from pylibos.abi.files import S_ISGID, S_ISVTX
from pylibos.emulation.errors import SyscallError

if TYPE_CHECKING:
    from pylibos.emulation.fs.inode import Inode
    from pylibos.emulation.security.credentials import Credentials

CAP_CHOWN: Final = 0
CAP_DAC_OVERRIDE: Final = 1
CAP_DAC_READ_SEARCH: Final = 2
CAP_FOWNER: Final = 3
CAP_FSETID: Final = 4
CAP_SYS_CHROOT: Final = 18
CAP_SYS_ADMIN: Final = 21
CAP_MKNOD: Final = 27

_OVERRIDE: Final = 1 << CAP_DAC_OVERRIDE
_READ_SEARCH: Final = 1 << CAP_DAC_READ_SEARCH


def permitted(inode: Inode, credentials: Credentials, mask: int) -> bool:
    """Whether the file-system identity may read (4), write (2), execute or search (1)."""
    mode = inode.mode
    if credentials.fsuid == inode.uid:
        bits = mode >> 6
    elif credentials.in_group(inode.gid):
        bits = mode >> 3
    else:
        bits = mode
    if bits & mask == mask:
        return True
    return by_capability(inode, credentials.effective, mask)


def by_capability(inode: Inode, effective: int, mask: int) -> bool:
    """Whether capabilities alone allow mask."""
    if inode.is_directory:
        return bool(effective & _OVERRIDE or (not mask & 2 and effective & _READ_SEARCH))
    if effective & _OVERRIDE and (not mask & 1 or inode.mode & 0o111):
        return True
    return bool(mask == 4 and effective & _READ_SEARCH)


def permitted_real(inode: Inode, credentials: Credentials, mask: int) -> bool:
    """access(2): the same with the real ids; a non-root caller's capabilities do not count, root's permitted ones do."""
    mode = inode.mode
    if credentials.ruid == inode.uid:
        bits = mode >> 6
    elif inode.gid == credentials.rgid or inode.gid in credentials.groups:
        bits = mode >> 3
    else:
        bits = mode
    if bits & mask == mask:
        return True
    return by_capability(inode, credentials.permitted if credentials.ruid == 0 else 0, mask)


def require(inode: Inode, credentials: Credentials, mask: int) -> None:
    """Raise EACCES unless permitted."""
    if not permitted(inode, credentials, mask):
        raise SyscallError(Errno.EACCES)


def owner_or_capable(inode: Inode, credentials: Credentials) -> bool:
    """Whether the caller owns the inode or has CAP_FOWNER."""
    return credentials.fsuid == inode.uid or credentials.has_capability(CAP_FOWNER)


def sticky_forbids(directory: Inode, inode: Inode, credentials: Credentials) -> bool:
    """Whether the sticky bit of directory keeps the caller from removing or renaming inode."""
    return bool(
        directory.mode & S_ISVTX
        and credentials.fsuid not in (inode.uid, directory.uid)
        and not credentials.has_capability(CAP_FOWNER)
    )


def chmod_bits(inode: Inode, mode: int, credentials: Credentials) -> int:
    """The bits chmod may really set: set-group-id falls for a caller outside the file's group without CAP_FSETID."""
    if mode & S_ISGID and not credentials.in_group(inode.gid) and not credentials.has_capability(CAP_FSETID):
        return mode & ~S_ISGID
    return mode
