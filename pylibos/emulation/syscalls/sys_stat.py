"""stat family, access family, readlink and statfs: calls that only ask.

Handlers find an inode (FileSystem.find is the cached path) and copy its record out. Descriptors that the VFS did not make (pipes,
sockets, standard streams) are described by the host's own attributes. What is asked again is published (fs/published.py): the engine
answers it from then on. Sources: fs/stat.c, fs/open.c (do_faccessat), fs/statfs.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylibos.abi.errno import Errno
from pylibos.abi.files import (
    AT_EACCESS,
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_NO_AUTOMOUNT,
    AT_STATX_SYNC_TYPE,
    AT_SYMLINK_NOFOLLOW,
    NANOSECONDS,
    PIPEFS_MAGIC,
    S_IFIFO,
    S_IFMT,
    S_IFSOCK,
    SOCKFS_MAGIC,
    STAT,
    STATFS,
    STATX,
    STATX_ATTR_MOUNT_ROOT,
    STATX_BASIC_STATS,
    STATX_BTIME,
    STATX_MNT_ID,
    TMPFS_MAGIC,
    device_major,
    device_minor,
)
from pylibos.emulation.changes import context_changed
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.fs.permission import permitted, permitted_real
from pylibos.emulation.fs.published import BY_EFFECTIVE_IDS
from pylibos.emulation.syscalls.params import DirFd, Fd, Flags, Int, OutPtr, UInt, UserPath
from pylibos.emulation.syscalls.table import syscall

if TYPE_CHECKING:
    from pylibos.emulation.fs.inode import Inode, Volume
    from pylibos.emulation.process.thread import Thread
    from pylibos.monitor.host_abi import StreamAttributes


class StatFlags(Flags):
    """AT_* of newfstatat."""

    NOFOLLOW = AT_SYMLINK_NOFOLLOW
    NO_AUTOMOUNT = AT_NO_AUTOMOUNT
    EMPTY_PATH = AT_EMPTY_PATH


class StatxFlags(Flags):
    """AT_* of statx."""

    NOFOLLOW = AT_SYMLINK_NOFOLLOW
    NO_AUTOMOUNT = AT_NO_AUTOMOUNT
    EMPTY_PATH = AT_EMPTY_PATH
    FORCE_SYNC = 0x2000
    DONT_SYNC = 0x4000


class AccessFlags(Flags):
    """AT_* of faccessat2."""

    NOFOLLOW = AT_SYMLINK_NOFOLLOW
    EACCESS = AT_EACCESS
    EMPTY_PATH = AT_EMPTY_PATH


def foreign_record(thread: Thread, attributes: StreamAttributes) -> bytes:
    """struct stat of a descriptor the VFS did not make. Pipes and sockets belong to whoever asks: their makers are guests."""
    credentials = thread.process.credentials
    uid, gid = attributes.uid, attributes.gid
    if attributes.mode & S_IFMT in {S_IFIFO, S_IFSOCK, 0}:
        uid, gid = credentials.fsuid, credentials.fsgid
    a, m, c = attributes.atime_ns, attributes.mtime_ns, attributes.ctime_ns
    return STAT.pack(
        attributes.device, attributes.inode, attributes.link_count, attributes.mode, uid, gid, 0, attributes.rdev, attributes.size,
        attributes.block_size, attributes.blocks, a // NANOSECONDS, a % NANOSECONDS, m // NANOSECONDS, m % NANOSECONDS,
        c // NANOSECONDS, c % NANOSECONDS,
    )  # fmt: skip


def descriptor_record(thread: Thread, fd: int) -> tuple[bytes, Inode | None]:
    """struct stat of an open descriptor, and its inode when it has one. Raises EBADF."""
    executive = thread.process.executive
    io = executive.io
    attributes = executive.host.descriptor_attributes(thread.host_tid, fd)
    key = attributes[:2]
    file = io.files.get(key)
    if file is not None:
        inode = file.inode
        if inode is not None:
            return inode.stat_record(), inode
    else:
        inode = io.inodes.get(key)
        if inode is not None:
            record = inode.record_from(attributes)
            published = executive.files.cache.published
            if published is not None:
                published.described(inode, None)
            return record, inode
    return foreign_record(thread, attributes), None


def _stat(thread: Thread, base: Inode | None, path: bytes, follow: bool, statbuf: OutPtr[bytes]) -> None:
    files = thread.process.executive.files
    inode = files.find(thread, base, path, follow)
    statbuf.write(inode.stat_record())
    if files.repeated and files.cache.published is not None:
        files.cache.published.stat(thread, base, path, follow, inode)


@syscall("stat", number=4)
def sys_stat(thread: Thread, path: UserPath, statbuf: OutPtr[bytes]) -> None:
    """stat(2). Raises walk's errors, EFAULT."""
    _stat(thread, None, path, True, statbuf)


@syscall("lstat", number=6)
def sys_lstat(thread: Thread, path: UserPath, statbuf: OutPtr[bytes]) -> None:
    """lstat(2)."""
    _stat(thread, None, path, False, statbuf)


@syscall("fstat", number=5)
def sys_fstat(thread: Thread, fd: Fd, statbuf: OutPtr[bytes]) -> None:
    """fstat(2). Raises EBADF, EFAULT."""
    statbuf.write(descriptor_record(thread, fd)[0])


@syscall("newfstatat", number=262)
def sys_newfstatat(thread: Thread, dirfd: DirFd, path: UserPath, statbuf: OutPtr[bytes], flags: StatFlags) -> None:
    """newfstatat(2) (fstatat). With AT_EMPTY_PATH and "" it is fstat."""
    if path:
        base = None if dirfd == AT_FDCWD else thread.process.executive.io.base(thread, dirfd, path)
        _stat(thread, base, path, not flags & AT_SYMLINK_NOFOLLOW, statbuf)
        return
    if not flags & AT_EMPTY_PATH:
        raise SyscallError(Errno.ENOENT)
    if dirfd == AT_FDCWD:
        statbuf.write(thread.process.fs.cwd.stat_record())
    else:
        statbuf.write(descriptor_record(thread, dirfd)[0])


@syscall("statx", number=332)
def sys_statx(thread: Thread, dirfd: DirFd, path: UserPath, flags: StatxFlags, mask: UInt, buffer: OutPtr[bytes]) -> None:
    """statx(2). All basic fields, btime and the mount id are always given, whatever is asked."""
    if flags & AT_STATX_SYNC_TYPE == AT_STATX_SYNC_TYPE or mask & 0x80000000:
        raise SyscallError(Errno.EINVAL)
    inode: Inode | None
    if path:
        executive = thread.process.executive
        files = executive.files
        follow = not flags & AT_SYMLINK_NOFOLLOW
        base = executive.io.base(thread, dirfd, path)
        inode = files.find(thread, base, path, follow)
        data = _statx(inode.stat_record(), inode)
        buffer.write(data)
        if files.repeated and files.cache.published is not None:
            files.cache.published.statx(thread, base, path, follow, inode, data)
        return
    if not flags & AT_EMPTY_PATH:
        raise SyscallError(Errno.ENOENT)
    if dirfd == AT_FDCWD:
        inode = thread.process.fs.cwd
        record = inode.stat_record()
    else:
        record, inode = descriptor_record(thread, dirfd)
    data = _statx(record, inode)
    buffer.write(data)
    published = thread.process.executive.files.cache.published
    if inode is not None and published is not None:
        published.described(inode, data)


def _statx(record: bytes, inode: Inode | None) -> bytes:
    fields = STAT.unpack(record)
    device, number, nlink, mode, uid, gid, _, rdev, size, block_size, blocks = fields[:11]
    a, a_ns, m, m_ns, c, c_ns = fields[11:]
    present = STATX_BASIC_STATS
    birth = mount = attributes = 0
    if inode is not None:
        present |= STATX_BTIME | STATX_MNT_ID
        birth = inode.btime
        mount = inode.volume.mount_id
        attributes = STATX_ATTR_MOUNT_ROOT if inode.parent is None else 0
    return STATX.pack(
        present, block_size, attributes, nlink, uid, gid, mode, 0, number, size, blocks, STATX_ATTR_MOUNT_ROOT,
        a, a_ns, 0, birth // NANOSECONDS, birth % NANOSECONDS, 0, c, c_ns, 0, m, m_ns, 0,
        device_major(rdev), device_minor(rdev), device_major(device), device_minor(device), mount, 0, 0,
    )  # fmt: skip


def _access(thread: Thread, dirfd: int, path: bytes, mode: int, flags: int) -> None:
    if mode & ~7:
        raise SyscallError(Errno.EINVAL)
    executive = thread.process.executive
    inode: Inode | None
    if path:
        files = executive.files
        follow = not flags & AT_SYMLINK_NOFOLLOW
        base = None if dirfd == AT_FDCWD else executive.io.base(thread, dirfd, path)
        by_effective_ids = flags & AT_EACCESS or thread.process.credentials.acts_as_real
        inode = files.find(thread, base, path, follow) if by_effective_ids else _find_by_real_ids(thread, base, path, follow)
        repeated = files.repeated
        error = _verdict(thread, inode, mode, flags)
        if repeated and files.cache.published is not None:
            index = mode + BY_EFFECTIVE_IDS if flags & AT_EACCESS else mode
            files.cache.published.access(thread, base, path, follow, inode, index, error)
    elif not flags & AT_EMPTY_PATH:
        raise SyscallError(Errno.ENOENT)
    else:
        inode = thread.process.fs.cwd if dirfd == AT_FDCWD else executive.io.inode_of(thread, dirfd)
        error = 0 if inode is None else _verdict(thread, inode, mode, flags)
    if error:
        raise SyscallError(Errno(error))


def _find_by_real_ids(thread: Thread, base: Inode | None, path: bytes, follow: bool) -> Inode:
    process = thread.process
    own = process.credentials
    process.credentials = own.by_real_ids()
    try:
        return process.executive.files.find(thread, base, path, follow)
    finally:
        process.credentials = own
        context_changed()


def _verdict(thread: Thread, inode: Inode, mode: int, flags: int) -> int:
    """0, or the errno of access to a file that is there."""
    if not mode:
        return 0
    if inode.volatile:
        inode.refresh()
    if mode & 2 and inode.volume.read_only and (inode.is_regular or inode.is_directory or inode.is_symlink):
        return Errno.EROFS
    check = permitted if flags & AT_EACCESS else permitted_real
    if not check(inode, thread.process.credentials, mode) or (mode & 1 and inode.volume.no_exec and inode.is_regular):
        return Errno.EACCES
    return 0


@syscall("access", number=21)
def sys_access(thread: Thread, path: UserPath, mode: Int) -> None:
    """access(2): by the real ids."""
    _access(thread, AT_FDCWD, path, mode, 0)


@syscall("faccessat", number=269)
def sys_faccessat(thread: Thread, dirfd: DirFd, path: UserPath, mode: Int) -> None:
    """faccessat(2): the call without flags."""
    _access(thread, dirfd, path, mode, 0)


@syscall("faccessat2", number=439)
def sys_faccessat2(thread: Thread, dirfd: DirFd, path: UserPath, mode: Int, flags: AccessFlags) -> None:
    """faccessat2(2)."""
    _access(thread, dirfd, path, mode, int(flags))


def _readlink(thread: Thread, dirfd: int, path: bytes, buffer: OutPtr[bytes], size: int) -> int:
    if size <= 0:
        raise SyscallError(Errno.EINVAL)
    executive = thread.process.executive
    inode: Inode | None
    text = b""
    if path:
        files = executive.files
        base = None if dirfd == AT_FDCWD else executive.io.base(thread, dirfd, path)
        inode = files.find(thread, base, path, False)
        repeated = files.repeated
        if inode.is_symlink:
            text = inode.read_link(thread)
        if repeated and files.cache.published is not None and (text or not inode.is_symlink):
            files.cache.published.link(thread, base, path, inode, text)
    else:
        inode = None if dirfd == AT_FDCWD else executive.io.inode_of(thread, dirfd)
        if inode is not None and inode.is_symlink:
            text = inode.read_link(thread)
    if inode is None or not inode.is_symlink:
        raise SyscallError(Errno.EINVAL if path else Errno.ENOENT)
    text = text[:size]
    buffer.write(text)
    return len(text)


@syscall("readlink", number=89)
def sys_readlink(thread: Thread, path: UserPath, buffer: OutPtr[bytes], size: Int) -> int:
    """readlink(2). Raises EINVAL when it is no link."""
    return _readlink(thread, AT_FDCWD, path, buffer, size)


@syscall("readlinkat", number=267)
def sys_readlinkat(thread: Thread, dirfd: DirFd, path: UserPath, buffer: OutPtr[bytes], size: Int) -> int:
    """readlinkat(2). An empty path reads the link an O_PATH descriptor names."""
    return _readlink(thread, dirfd, path, buffer, size)


def _statfs_of(volume: Volume) -> bytes:
    return volume.statfs_record()


@syscall("statfs", number=137)
def sys_statfs(thread: Thread, path: UserPath, buffer: OutPtr[bytes]) -> None:
    """statfs(2)."""
    buffer.write(_statfs_of(thread.process.executive.files.find(thread, None, path).volume))


@syscall("fstatfs", number=138)
def sys_fstatfs(thread: Thread, fd: Fd, buffer: OutPtr[bytes]) -> None:
    """fstatfs(2). A foreign descriptor is told as what its type lives on."""
    file = thread.process.executive.io.describe(thread, fd)
    if file.inode is not None:
        buffer.write(_statfs_of(file.inode.volume))
        return
    magic = {S_IFIFO: PIPEFS_MAGIC, S_IFSOCK: SOCKFS_MAGIC}.get(file.mode & S_IFMT, TMPFS_MAGIC)
    buffer.write(STATFS.pack(magic, 4096, 0, 0, 0, 0, 0, 0, 0, 255, 4096, 0x20))
