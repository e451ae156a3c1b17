"""Reading directories: listings packed once, handed out by position.

The position of a directory descriptor is the token's native offset, shared by dup and fork and moved by lseek: an index into the
listing. Position 0 takes a new listing (rewinddir), any other continues the one taken last, so names removed meanwhile disturb nobody.
d_off of a record is the position after it. Source: getdents(2), Linux fs/readdir.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylibos.abi.errno import Errno
from pylibos.abi.files import DIRENT64_HEADER, DIRENT_HEADER
from pylibos.emulation.errors import SyscallError

if TYPE_CHECKING:
    from pylibos.emulation.fs.inode import Directory
    from pylibos.emulation.io_manager.file_object import FileObject
    from pylibos.emulation.process.thread import Thread

Row = tuple[bytes, int, int]

_pack64 = DIRENT64_HEADER.pack
_pack32 = DIRENT_HEADER.pack


class Listing:
    """Names of a directory at one moment, packed as linux_dirent64 records."""

    __slots__ = ("entries", "joined", "records")

    def __init__(self, entries: list[Row]) -> None:
        """entries: (name, inode number, d_type) of all names, . and .. first."""
        self.entries = entries
        records = []
        for index, (name, number, kind) in enumerate(entries, 1):
            length = (len(name) + 27) & ~7  # 19 bytes of header, the name, its NUL, up to a multiple of 8
            records.append(_pack64(number, index, length, kind) + name + b"\0" * (length - 19 - len(name)))
        self.records = records
        self.joined = b"".join(records)

    def old_record(self, index: int) -> bytes:
        """One struct linux_dirent (getdents): the type is its last byte."""
        name, number, kind = self.entries[index]
        length = (len(name) + 27) & ~7
        return _pack32(number, index + 1, length) + name + b"\0" * (length - 19 - len(name)) + bytes((kind,))


def listing_of(directory: Directory, thread: Thread, parent_number: int) -> Listing:
    """The listing of a directory now; kept on it until a name changes, where the VFS can know that."""
    listing = directory.packed
    if listing is None or listing.entries[1][1] != parent_number:
        listing = Listing([(b".", directory.number, 4), (b"..", parent_number, 4), *directory.read_entries(thread)])
        if directory.cacheable and not directory.volatile:
            directory.packed = listing
    return listing


def read_directory(thread: Thread, file: FileObject, parent_number: int, size: int, *, old: bool = False) -> tuple[bytes, int]:
    """The next records that fit in size bytes, b"" at the end, and the position after them, which is the caller's to set once the guest
    has them. Raises EINVAL when not even one fits, ENOENT."""
    directory: Directory = file.inode  # type: ignore[assignment]  # kind says so
    host = thread.process.executive.host
    assert file.stream is not None
    position = host.stream_position(file.stream)
    if position == 0 or file.listing is None:
        if directory.nlink == 0:
            raise SyscallError(Errno.ENOENT)
        file.listing = listing_of(directory, thread, parent_number)
    listing = file.listing
    end = len(listing.records)
    if position >= end:
        return b"", position
    if position == 0 and len(listing.joined) <= size and not old:
        return listing.joined, end
    room = size
    chosen = []
    index = position
    while index < end:
        record = listing.old_record(index) if old else listing.records[index]
        room -= len(record)
        if room < 0:
            break
        chosen.append(record)
        index += 1
    if not chosen:
        raise SyscallError(Errno.EINVAL)
    return b"".join(chosen), index
