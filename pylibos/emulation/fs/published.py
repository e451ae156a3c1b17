"""Published names: answers about paths that the engine's receive loop may give again without asking us (c_shim/names.c).

Owns what may be published and when it is withdrawn. It mirrors two caches that exist anyway, and nothing else:
    the walk cache   a name published is an entry of a table there; whatever drops the entry withdraws the name
    Inode.record     a stat record published is the inode's packed record; forget_record() withdraws it with all that was said of the file
    IoManager.inodes what the content of a published file is on the host: calls that name a descriptor are answered by its record
So an answer of the loop is one that Python would have given without asking the host or looking at anything new. An open for reading is the
one answer that asks the host: it opens anew what we hold open, which is what Python does with content in memory. Content of the host's
that is only read is held open here for it (the lower tree is believed to stand still). Never published:
what has no record to keep (volatile inodes, files a guest may be writing natively), names relative to a descriptor, long paths, anything
for a process whose real ids are not those it acts with (access looks for the name with other rights than stat).

What a task may be told depends on its root, current directory and credentials: the engine keeps them by host tid, and drops all of
them when CONTEXT_CHANGES moves. A path is published when it is asked for the second time, so that a walk over a tree costs nothing.

The engine's side is a NameTable; numbers of tables, directories, identities and records are ours and never used again for another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from pylibos.emulation.changes import context_changed

if TYPE_CHECKING:
    from pylibos.emulation.fs.inode import Inode
    from pylibos.emulation.fs.walk_cache import Key, Table
    from pylibos.emulation.process.thread import Thread
    from pylibos.monitor.host_abi import HostABI, HostStream

PATH_MAX: Final = 220
"""Longest path published, bytes: what the engine's table has room for."""
RECORDS: Final = 4096
"""Records the engine has room for: number n + RECORDS takes the place of n."""
LIMIT: Final = 4096
"""Directories, and identities, remembered before all is forgotten."""
INVALID: Final = 22
SOURCES: Final = 64
"""Files the engine may open, unless the runtime knows how many descriptors it has."""
READ: Final = 4
BY_EFFECTIVE_IDS: Final = 8
"""Added to the mode: access with AT_EACCESS."""


class NameTable(Protocol):
    """The engine's table. Nothing here fails; what has no room is not kept."""

    def clear(self) -> None:
        """Withdraw every name."""

    def task(self, tid: int, not_following: int, following: int, directory: int, identity: int) -> None:
        """What host task tid is now; holds until CONTEXT_CHANGES moves."""

    def publish(self, table: int, directory: int, path: bytes, record: int) -> None:
        """A path leads to a record, or (0) its last name is missing."""

    def forget(self, table: int, directory: int, path: bytes) -> None:
        """Withdraw one name."""

    def stat(self, record: int, data: bytes) -> None:
        """struct stat of a file."""

    def statx(self, record: int, data: bytes) -> None:
        """struct statx of a file."""

    def verdict(self, record: int, identity: int, index: int, verdict: int) -> None:
        """What access says to an identity: index mode 0..7 (+ BY_EFFECTIVE_IDS); verdict 1 granted, else an errno."""

    def link(self, record: int, text: bytes, error: int) -> None:
        """What readlink says: text, or an errno."""

    def source(self, record: int, stream: HostStream) -> None:
        """Opens for reading may open this stream of ours anew, until the record is withdrawn."""

    def content(self, key: tuple[int, int], record: int) -> None:
        """A descriptor with this (device, inode) on the host is one of that file."""

    def withdraw(self, record: int) -> None:
        """Forget what was said of a file."""


class Publication:
    """A file's place in the table: Inode.publication."""

    __slots__ = ("held", "number", "owner", "table")

    def __init__(self, owner: PublishedNames, number: int) -> None:
        self.owner = owner
        self.table = owner.table
        self.number = number
        self.held: tuple[HostABI, HostStream] | None = None
        """A stream that is open for the table's sake alone."""

    @property
    def is_openable(self) -> bool:
        """Whether the table has a source of it."""
        return self.number in self.owner.openable

    def withdraw(self) -> None:
        """The file's record is not true any more."""
        self.table.withdraw(self.number)
        self.owner.openable.pop(self.number, None)
        if self.held is not None:
            (host, stream), self.held = self.held, None
            host.stream_close(stream)


class PublishedNames:
    """What of one sandbox's file system the engine knows."""

    def __init__(self, table: NameTable, sources: int = SOURCES) -> None:
        self.table = table
        self.openable: dict[int, Publication] = {}
        """Record -> publication of the files the engine may open, the oldest first; at most ``sources``: each may be a descriptor."""
        self._sources = sources
        self._directories: dict[Inode, int] = {}
        self._identities: dict[tuple[object, ...], int] = {}
        self._last_number = 0
        self._last_record = 0

    # -- withdrawing (called by the walk cache) ----------------------------------------------------------------------------
    def forget(self, table: Table, key: Key) -> None:
        """The walk cache has dropped an entry."""
        if isinstance(key, bytes):
            self.table.forget(table.number, 0, key)
        else:
            number = self._directories.get(key[0])
            if number is not None:
                self.table.forget(table.number, number, key[1])

    def clear(self) -> None:
        """The walk cache has dropped everything. What may be done with a file can have changed, too (mounts)."""
        self.table.clear()
        self._directories.clear()
        self._identities.clear()
        context_changed()

    def stop_opens(self) -> None:
        """Somebody watches files: every open has to be seen from now on."""
        self._sources = 0
        for publication in tuple(self.openable.values()):
            publication.withdraw()

    # -- publishing (called with what the walk cache has just answered) ----------------------------------------------------
    def absent(self, thread: Thread, base: Inode | None, path: bytes, follow: bool) -> None:
        """path leads to a name that is missing."""
        self._name(thread, base, path, follow, 0)

    def stat(self, thread: Thread, base: Inode | None, path: bytes, follow: bool, inode: Inode) -> None:
        """path leads to inode, whose struct stat was given."""
        number = self._found(thread, base, path, follow, inode)
        if number and inode.record is not None:
            self.table.stat(number, inode.record)

    def statx(self, thread: Thread, base: Inode | None, path: bytes, follow: bool, inode: Inode, data: bytes) -> None:
        """path leads to inode, whose struct statx is data."""
        number = self._found(thread, base, path, follow, inode)
        if number:
            self.table.statx(number, data)

    def access(self, thread: Thread, base: Inode | None, path: bytes, follow: bool, inode: Inode, index: int, error: int) -> None:
        """path leads to inode; index as in NameTable.verdict, error 0 or the errno."""
        number = self._found(thread, base, path, follow, inode)
        if number:
            self.table.verdict(number, self._identity(thread), index, error or 1)

    def link(self, thread: Thread, base: Inode | None, path: bytes, inode: Inode, text: bytes) -> None:
        """path leads to inode, whose text as a link is text; no link: b""."""
        number = self._found(thread, base, path, False, inode)
        if number:
            self.table.link(number, text, 0 if text else INVALID)

    def open(self, thread: Thread, base: Inode | None, path: bytes, follow: bool, inode: Inode) -> None:
        """path leads to inode, a regular file that was opened just to be read."""
        if not self._sources:
            return
        number = self._found(thread, base, path, follow, inode)
        publication = inode.publication
        if not number or publication is None or not (publication.is_openable or self._provide(thread, inode, publication)):
            return
        self.table.verdict(number, self._identity(thread), READ + BY_EFFECTIVE_IDS, 1)

    def _provide(self, thread: Thread, inode: Inode, publication: Publication) -> bool:
        """Give the table a source of the file's content; False when there is none."""
        content = inode.readable_content()
        if content is None:
            return False
        stream, key, is_ours = content
        if len(self.openable) >= self._sources:
            next(iter(self.openable.values())).withdraw()
        publication.held = (thread.process.executive.host, stream) if is_ours else None
        self.openable[publication.number] = publication
        self.table.source(publication.number, stream)
        self.table.content(key, publication.number)
        self.table.stat(publication.number, inode.stat_record())
        return True

    def described(self, inode: Inode, statx: bytes | None) -> None:
        """struct stat (or statx, when given) of a descriptor of inode was asked for."""
        publication = inode.publication
        if publication is not None and publication.is_openable and inode.is_settled:
            if statx is not None:
                self.table.statx(publication.number, statx)
            elif inode.record is not None:
                self.table.stat(publication.number, inode.record)

    def _found(self, thread: Thread, base: Inode | None, path: bytes, follow: bool, inode: Inode) -> int:
        """Publish the name of a file whose record may be kept: the record's number; 0 when it may not."""
        if not inode.is_settled:
            return 0
        publication = inode.publication
        if publication is None or publication.number <= self._last_record - RECORDS or publication.table is not self.table:
            if publication is not None:
                publication.withdraw()
            self._last_record += 1
            publication = inode.publication = Publication(self, self._last_record)
        return publication.number if self._name(thread, base, path, follow, publication.number) else 0

    def _name(self, thread: Thread, base: Inode | None, path: bytes, follow: bool, record: int) -> bool:
        absolute = path[:1] == b"/"
        if (base is not None and not absolute) or len(path) > PATH_MAX:
            return False
        process = thread.process
        context = process.fs
        if not process.credentials.acts_as_real:
            return False
        tables = process.executive.files.tables(process)
        directory = self._directory(context.cwd)
        self.table.task(thread.host_tid, tables[0].number, tables[1].number, directory, self._identity(thread))
        self.table.publish(tables[follow].number, 0 if absolute else directory, path, record)
        return True

    def _directory(self, inode: Inode) -> int:
        number = self._directories.get(inode)
        if number is None:
            if len(self._directories) >= LIMIT:
                self.clear()
            self._last_number += 1
            number = self._directories[inode] = self._last_number
        return number

    def _identity(self, thread: Thread) -> int:
        """The number of what access checks."""
        who = thread.process.credentials
        key = (who.fsuid, who.fsgid, who.effective, who.groups, who.ruid, who.rgid, who.permitted)
        number = self._identities.get(key)
        if number is None:
            if len(self._identities) >= LIMIT:
                self._identities.clear()
            self._last_number += 1
            number = self._identities[key] = self._last_number
        return number
