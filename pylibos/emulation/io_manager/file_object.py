"""FileObject: one open of a file, directory or token (NT FILE_OBJECT; Linux: open file description).

A regular file's descriptors are native and need no object of their own: one is made on demand from the inode. Directories and O_PATH opens
are tokens: unique host objects whose (device, inode) leads here. What dup and fork share is the token's own offset, kept by the host.
Must not know paths' meaning or system calls.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pylibos.emulation.fs.inode import Inode
    from pylibos.emulation.fs.notify import NotifyQueue
    from pylibos.emulation.io_manager.directory import Listing
    from pylibos.monitor.host_abi import HostStream

Key = tuple[int, int]
"""(host device, host inode)."""


class FileKind(enum.Enum):
    """What a descriptor is to the library OS."""

    FILE = "file"
    """Content of an inode of the view: regular file, FIFO, device."""
    DIRECTORY = "directory"
    PATH = "path"
    """Opened with O_PATH: names an inode, gives no access to it."""
    NOTIFY = "inotify"
    FOREIGN = "foreign"
    """Not made by the VFS: pipe, socket, eventfd, standard stream."""


class FileObject:
    """One open. ``stream`` is the library OS's duplicate (tokens only); ``path`` the guest path at open time."""

    __slots__ = ("flags", "inode", "key", "kind", "listing", "missed", "mode", "path", "queue", "stream")

    def __init__(
        self,
        kind: FileKind,
        key: Key,
        inode: Inode | None = None,
        path: bytes = b"",
        flags: int = 0,
        stream: HostStream | None = None,
        mode: int = 0,
    ) -> None:
        self.kind = kind
        self.key = key
        self.inode = inode
        self.path = path
        self.flags = flags
        self.stream = stream
        self.mode = mode
        """Host st_mode, for FOREIGN."""
        self.listing: Listing | None = None
        """Names of a directory as they were when the guest last read from position 0."""
        self.queue: NotifyQueue | None = None
        self.missed = False
        """A sweep found no guest descriptor for it; a second one gives it up."""
