"""What every System V object has: a key, an identifier, an owner, a mode; and the table of one kind of them.

Owns identifiers (Linux's own scheme: index cycling through a small window, sequence number above it), keys, ipcperms and the
*_STAT by index. Must not know what an object is for. Sources: Linux 6.18 ipc/util.c; sysvipc(7).

Invariants: an object is found under its identifier and, unless its key is IPC_PRIVATE, its key, or it is gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Generic, TypeVar

from pylibos.abi.errno import Errno
from pylibos.abi.ipc import IPC_CREAT, IPC_EXCL, IPC_PRIVATE, PERM, SEQUENCE_MAX, SEQUENCE_SHIFT
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.object_manager.object_type import ObjectType, Operations, SecurityDescriptor
from pylibos.emulation.security.capabilities import Capability

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pylibos.emulation.object_manager.manager import ObjectManager
    from pylibos.emulation.object_manager.object_type import ObjectHeader
    from pylibos.emulation.security.credentials import Credentials

_CYCLE_MINIMUM: Final = 64
"""Indices are given out in turn from at least this many (RADIX_TREE_MAP_SIZE)."""
_INDEX_MASK: Final = (1 << SEQUENCE_SHIFT) - 1
READ: Final = 0o444
WRITE: Final = 0o222


class IpcObject:
    """Base of segments, semaphore sets and message queues."""

    __slots__ = ("cgid", "creator", "cuid", "gid", "header", "identifier", "key", "mode", "sequence", "uid")

    def __init__(self, key: int, flags: int, who: Credentials, pid: int) -> None:
        self.key = key
        self.mode = flags & 0o777
        self.uid = self.cuid = who.euid
        self.gid = self.cgid = who.egid
        self.creator = pid
        self.identifier = -1
        self.sequence = 0
        self.header: ObjectHeader | None = None
        """Its entry in the object name space."""

    def permitted(self, who: Credentials, wanted: int) -> bool:
        """ipcperms(): whether who has the rights of wanted, whose bits stand in any of the three triples."""
        requested = (wanted >> 6 | wanted >> 3 | wanted) & 0o7
        granted = self.mode
        if who.euid in (self.cuid, self.uid):
            granted >>= 6
        elif who.in_group(self.cgid) or who.in_group(self.gid):
            granted >>= 3
        return not requested & ~granted or who.has_capability(Capability.IPC_OWNER)

    def require(self, who: Credentials, wanted: int) -> None:
        """Raise EACCES unless permitted."""
        if not self.permitted(who, wanted):
            raise SyscallError(Errno.EACCES)

    def require_owner(self, who: Credentials) -> None:
        """Raise EPERM unless who is the owner or creator, or may administer."""
        if who.euid not in (self.cuid, self.uid) and not who.has_capability(Capability.SYS_ADMIN):
            raise SyscallError(Errno.EPERM)

    def change(self, perm: bytes) -> None:
        """IPC_SET: owner, group and the nine mode bits of a struct ipc64_perm."""
        fields = PERM.unpack(perm)
        uid, gid, mode = fields[1], fields[2], fields[5]
        if 0xFFFFFFFF in (uid, gid):
            raise SyscallError(Errno.EINVAL)
        self.uid, self.gid = uid, gid
        self.mode = self.mode & ~0o777 | mode & 0o777

    def describe(self) -> str:
        """One line for `pylibos objects`."""
        return f"key {self.key & 0xFFFFFFFF:#x} owner {self.uid} mode {self.mode & 0o777:o}"

    def perm(self, mode_bits: int = 0) -> bytes:
        """struct ipc64_perm; mode_bits are added to the mode."""
        return PERM.pack(self.key, self.uid, self.gid, self.cuid, self.cgid, self.mode | mode_bits, self.sequence & 0xFFFF, 0, 0, 0)


Kind = TypeVar("Kind", bound=IpcObject)


class IpcTable(Generic[Kind]):
    """All objects of one kind, named by their identifiers in a directory of the object name space."""

    __slots__ = ("_by_index", "_by_key", "_directory", "_last_index", "_next_index", "_objects", "_sequence", "_type")

    def __init__(self, objects: ObjectManager, name: str) -> None:
        self._objects = objects
        self._type = objects.register_type(ObjectType(name, Operations(describe=lambda header: header.body.describe())))
        self._directory = f"\\BaseNamedObjects\\{name}"
        objects.create_directory(self._directory)
        self._by_index: dict[int, Kind] = {}
        self._by_key: dict[int, Kind] = {}
        self._sequence = 0
        self._last_index = -1
        self._next_index = 0

    def __len__(self) -> int:
        return len(self._by_index)

    def __iter__(self) -> Iterator[Kind]:
        """By index."""
        return iter([self._by_index[index] for index in sorted(self._by_index)])

    @property
    def highest_index(self) -> int:
        """What the *_INFO commands return; 0 when there is none."""
        return max(self._by_index, default=0)

    def get(self, key: int, flags: int, who: Credentials, check: Callable[[Kind], None], make: Callable[[], Kind], limit: int) -> int:
        """ipcget(): the identifier of the object of that key, or of a new one.

        check raises when an existing object does not fit the request. Raises ENOENT, EEXIST, EACCES, ENOSPC (limit objects exist).
        """
        found = None if key == IPC_PRIVATE else self._by_key.get(key)
        if found is None:
            if key != IPC_PRIVATE and not flags & IPC_CREAT:
                raise SyscallError(Errno.ENOENT)
            if len(self._by_index) >= limit:
                raise SyscallError(Errno.ENOSPC)
            return self._enter(make())
        if flags & IPC_CREAT and flags & IPC_EXCL:
            raise SyscallError(Errno.EEXIST)
        check(found)
        found.require(who, flags)
        return found.identifier

    def _enter(self, made: Kind) -> int:
        window = max(len(self._by_index) * 3 // 2, _CYCLE_MINIMUM)
        index = self._next_index % window
        while index in self._by_index:
            index = (index + 1) % window
        if index <= self._last_index:
            self._sequence = (self._sequence + 1) % (SEQUENCE_MAX + 1)
        self._last_index, self._next_index = index, index + 1
        made.sequence = self._sequence
        made.identifier = self._sequence << SEQUENCE_SHIFT | index
        self._by_index[index] = made
        if made.key != IPC_PRIVATE:
            self._by_key[made.key] = made
        security = SecurityDescriptor(made.uid, made.gid, made.mode)
        made.header = self._objects.create(self._type, made, f"{self._directory}\\{made.identifier}", security=security, permanent=True)
        self._objects.dereference(made.header)
        return made.identifier

    def find(self, identifier: int) -> Kind:
        """The object of an identifier. Raises EINVAL."""
        found = self._by_index.get(identifier & _INDEX_MASK) if identifier >= 0 else None
        if found is None or found.identifier != identifier:
            raise SyscallError(Errno.EINVAL)
        return found

    def at(self, index: int) -> Kind:
        """The object of an index, for the *_STAT commands. Raises EINVAL."""
        found = self._by_index.get(index & _INDEX_MASK) if index >= 0 else None
        if found is None:
            raise SyscallError(Errno.EINVAL)
        return found

    def forget_key(self, gone: Kind) -> None:
        """A removed object that stays (attached memory): its key is free, and it reports IPC_PRIVATE."""
        if self._by_key.get(gone.key) is gone:
            del self._by_key[gone.key]
        gone.key = IPC_PRIVATE

    def remove(self, gone: Kind) -> None:
        """The object is no more."""
        if self._by_key.get(gone.key) is gone:
            del self._by_key[gone.key]
        index = gone.identifier & _INDEX_MASK
        if self._by_index.get(index) is gone:
            del self._by_index[index]
        if gone.header is not None:
            self._objects.make_temporary(gone.header)
            gone.header = None
