"""Numbers and structures of the Linux file interface on x86-64. Pure data and pure packing; imports nothing of ours.

Sources: include/uapi/asm-generic/fcntl.h, include/uapi/linux/{fcntl,stat,fs,openat2,xattr,magic}.h, arch/x86/include/uapi/asm/stat.h.
Sizes are asserted in tests/unit/abi/test_files.py.
"""

from __future__ import annotations

import struct
from typing import Final

# -- st_mode --------------------------------------------------------------------------------------------------------------
S_IFMT: Final = 0o170000
S_IFIFO: Final = 0o010000
S_IFCHR: Final = 0o020000
S_IFDIR: Final = 0o040000
S_IFBLK: Final = 0o060000
S_IFREG: Final = 0o100000
S_IFLNK: Final = 0o120000
S_IFSOCK: Final = 0o140000
S_ISUID: Final = 0o4000
S_ISGID: Final = 0o2000
S_ISVTX: Final = 0o1000
PERMISSIONS: Final = 0o7777

# -- open flags -----------------------------------------------------------------------------------------------------------
O_ACCMODE: Final = 3
O_RDONLY: Final = 0
O_WRONLY: Final = 1
O_RDWR: Final = 2
O_CREAT: Final = 0o100
O_EXCL: Final = 0o200
O_NOCTTY: Final = 0o400
O_TRUNC: Final = 0o1000
O_APPEND: Final = 0o2000
O_NONBLOCK: Final = 0o4000
O_DSYNC: Final = 0o10000
O_ASYNC: Final = 0o20000
O_DIRECT: Final = 0o40000
O_LARGEFILE: Final = 0o100000
O_DIRECTORY: Final = 0o200000
O_NOFOLLOW: Final = 0o400000
O_NOATIME: Final = 0o1000000
O_CLOEXEC: Final = 0o2000000
O_SYNC: Final = 0o4010000
O_PATH: Final = 0o10000000
O_TMPFILE: Final = 0o20200000
O_TMPFILE_BIT: Final = 0o20000000
O_KNOWN: Final = 0o37777703 | O_DIRECT
"""Every bit open(2) gives a meaning to (VALID_OPEN_FLAGS): openat2 refuses others, open ignores them."""

# -- AT_*, RESOLVE_*, RENAME_*, access ---------------------------------------------------------------------------------------
AT_FDCWD: Final = -100
AT_SYMLINK_NOFOLLOW: Final = 0x100
AT_EACCESS: Final = 0x200
AT_REMOVEDIR: Final = 0x200
AT_SYMLINK_FOLLOW: Final = 0x400
AT_NO_AUTOMOUNT: Final = 0x800
AT_EMPTY_PATH: Final = 0x1000
AT_STATX_SYNC_TYPE: Final = 0x6000

RESOLVE_NO_XDEV: Final = 1
RESOLVE_NO_MAGICLINKS: Final = 2
RESOLVE_NO_SYMLINKS: Final = 4
RESOLVE_BENEATH: Final = 8
RESOLVE_IN_ROOT: Final = 16
RESOLVE_CACHED: Final = 32

RENAME_NOREPLACE: Final = 1
RENAME_EXCHANGE: Final = 2
RENAME_WHITEOUT: Final = 4

R_OK: Final = 4
W_OK: Final = 2
X_OK: Final = 1

NAME_MAX: Final = 255
PATH_MAX: Final = 4096
SYMLINK_LIMIT: Final = 40
XATTR_NAME_MAX: Final = 255
XATTR_SIZE_MAX: Final = 65536
XATTR_LIST_MAX: Final = 65536
XATTR_CREATE: Final = 1
XATTR_REPLACE: Final = 2

UTIME_NOW: Final = 0x3FFFFFFF
UTIME_OMIT: Final = 0x3FFFFFFE
NANOSECONDS: Final = 1_000_000_000

# -- fallocate -------------------------------------------------------------------------------------------------------------
FALLOC_FL_KEEP_SIZE: Final = 1
FALLOC_FL_PUNCH_HOLE: Final = 2

# -- super block magic numbers -----------------------------------------------------------------------------------------------
TMPFS_MAGIC: Final = 0x01021994
OVERLAYFS_MAGIC: Final = 0x794C7630
PROC_MAGIC: Final = 0x9FA0
SYSFS_MAGIC: Final = 0x62656572
PIPEFS_MAGIC: Final = 0x50495045
SOCKFS_MAGIC: Final = 0x534F434B
ANON_INODE_MAGIC: Final = 0x09041934

STATX_BASIC_STATS: Final = 0x7FF
STATX_BTIME: Final = 0x800
STATX_MNT_ID: Final = 0x1000
STATX_ATTR_MOUNT_ROOT: Final = 0x2000

STAT: Final = struct.Struct("<QQQIIIIQqqqqQqQqQ24x")
"""struct stat, 144 bytes: dev ino nlink | mode uid gid pad | rdev size blksize blocks | atime mtime ctime as (s, ns) | 24 unused."""

STATFS: Final = struct.Struct("<qqQQQQQiiqqq32x")
"""struct statfs, 120 bytes: type bsize blocks bfree bavail files ffree fsid[2] namelen frsize flags spare."""

STATX: Final = struct.Struct("<IIQIIIHHQQQQqIiqIiqIiqIiIIIIQII96x")
"""struct statx, 256 bytes: mask blksize attributes | nlink uid gid mode pad | ino size blocks attributes_mask | atime btime ctime mtime
(s, ns, pad) | rdev and dev as (major, minor) | mnt_id dio_mem_align dio_offset_align spare."""

DIRENT64_HEADER: Final = struct.Struct("<QqHB")
"""struct linux_dirent64 up to d_name: d_ino, d_off, d_reclen, d_type (19 bytes)."""

DIRENT_HEADER: Final = struct.Struct("<QqH")
"""struct linux_dirent up to d_name (18 bytes); d_type is the last byte of the record."""


def make_device(major: int, minor: int) -> int:
    """dev_t as user space sees it (new_encode_dev widened to 64 bits)."""
    return (minor & 0xFF) | ((major & 0xFFF) << 8) | ((minor & ~0xFF) << 12) | ((major & ~0xFFF) << 32)


def device_major(device: int) -> int:
    """The major number of a dev_t."""
    return (device >> 8 & 0xFFF) | (device >> 32 & ~0xFFF)


def device_minor(device: int) -> int:
    """The minor number of a dev_t."""
    return (device & 0xFF) | (device >> 12 & 0xFFFFFF00)
