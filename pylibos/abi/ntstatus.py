"""NTSTATUS values the executive uses, and the errno a Linux program gets for each. Pure data.

Invariant: every status has an errno (a test counts), so a StatusError that reaches the system call boundary always has an answer.
Source: [MS-ERREF] section 2.3.1; the pairs follow what POSIX names the same condition.
"""

from __future__ import annotations

import enum
from typing import Final

from pylibos.abi.errno import Errno


class NtStatus(enum.IntEnum):
    """Status codes by their NT names without the STATUS_ prefix; 0xC....... is an error, 0x8....... a warning."""

    SUCCESS = 0x00000000
    ABANDONED_WAIT_0 = 0x00000080
    TIMEOUT = 0x00000102
    NO_MORE_ENTRIES = 0x8000001A
    UNSUCCESSFUL = 0xC0000001
    NOT_IMPLEMENTED = 0xC0000002
    INVALID_HANDLE = 0xC0000008
    INVALID_PARAMETER = 0xC000000D
    ACCESS_DENIED = 0xC0000022
    OBJECT_TYPE_MISMATCH = 0xC0000024
    OBJECT_NAME_INVALID = 0xC0000033
    OBJECT_NAME_NOT_FOUND = 0xC0000034
    OBJECT_NAME_COLLISION = 0xC0000035
    OBJECT_PATH_INVALID = 0xC0000039
    OBJECT_PATH_NOT_FOUND = 0xC000003A
    OBJECT_PATH_SYNTAX_BAD = 0xC000003B
    MUTANT_NOT_OWNED = 0xC0000046
    SEMAPHORE_LIMIT_EXCEEDED = 0xC0000047
    QUOTA_EXCEEDED = 0xC0000044
    DELETE_PENDING = 0xC0000056
    INSUFFICIENT_RESOURCES = 0xC000009A
    NOT_SAME_OBJECT = 0xC00001AC
    CANNOT_DELETE = 0xC0000121
    KEY_DELETED = 0xC000017C
    REGISTRY_CORRUPT = 0xC000014C
    NAME_TOO_LONG = 0xC0000106
    HANDLE_NOT_CLOSABLE = 0xC0000235


ERRNO_OF: Final[dict[NtStatus, Errno]] = {
    # The first two are no failures: raising one as an error is a bug of ours, which the guest sees as EIO.
    NtStatus.SUCCESS: Errno.EIO,
    NtStatus.NO_MORE_ENTRIES: Errno.EIO,
    NtStatus.ABANDONED_WAIT_0: Errno.EOWNERDEAD,
    NtStatus.TIMEOUT: Errno.ETIMEDOUT,
    NtStatus.UNSUCCESSFUL: Errno.EIO,
    NtStatus.NOT_IMPLEMENTED: Errno.ENOSYS,
    NtStatus.INVALID_HANDLE: Errno.EBADF,
    NtStatus.INVALID_PARAMETER: Errno.EINVAL,
    NtStatus.ACCESS_DENIED: Errno.EACCES,
    NtStatus.OBJECT_TYPE_MISMATCH: Errno.EINVAL,
    NtStatus.OBJECT_NAME_INVALID: Errno.EINVAL,
    NtStatus.OBJECT_NAME_NOT_FOUND: Errno.ENOENT,
    NtStatus.OBJECT_NAME_COLLISION: Errno.EEXIST,
    NtStatus.OBJECT_PATH_INVALID: Errno.ENOTDIR,
    NtStatus.OBJECT_PATH_NOT_FOUND: Errno.ENOENT,
    NtStatus.OBJECT_PATH_SYNTAX_BAD: Errno.EINVAL,
    NtStatus.MUTANT_NOT_OWNED: Errno.EPERM,
    NtStatus.SEMAPHORE_LIMIT_EXCEEDED: Errno.EOVERFLOW,
    NtStatus.QUOTA_EXCEEDED: Errno.ENOSPC,
    NtStatus.DELETE_PENDING: Errno.ENOENT,
    NtStatus.INSUFFICIENT_RESOURCES: Errno.ENOMEM,
    NtStatus.NOT_SAME_OBJECT: Errno.EINVAL,
    NtStatus.CANNOT_DELETE: Errno.ENOTEMPTY,
    NtStatus.KEY_DELETED: Errno.ENOENT,
    NtStatus.REGISTRY_CORRUPT: Errno.EUCLEAN,
    NtStatus.NAME_TOO_LONG: Errno.ENAMETOOLONG,
    NtStatus.HANDLE_NOT_CLOSABLE: Errno.EPERM,
}
