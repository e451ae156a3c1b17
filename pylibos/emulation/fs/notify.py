"""Change notification (inotify): watches hang on inodes; an event becomes bytes in the pipe the guest reads.

Owns the IN_* numbers, Watch and NotifyQueue. The reading end is a native descriptor of the guest, so read, poll and close are native;
events that do not fit in the pipe are lost and an overflow is told once there is room. Changes made through the VFS
are told here; native reads, writes and closes by native_changes.py. Sources: Linux include/uapi/linux/inotify.h, inotify(7).
"""

from __future__ import annotations

from itertools import count
from struct import Struct
from typing import TYPE_CHECKING, Final, Protocol

from pylibos.monitor.host_abi import HostError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylibos.emulation.fs.inode import Inode
    from pylibos.monitor.host_abi import HostABI, HostStream

IN_ATTRIB: Final = 0x4
IN_MODIFY: Final = 0x2
IN_OPEN: Final = 0x20
IN_MOVED_FROM: Final = 0x40
IN_MOVED_TO: Final = 0x80
IN_CREATE: Final = 0x100
IN_DELETE: Final = 0x200
IN_DELETE_SELF: Final = 0x400
IN_MOVE_SELF: Final = 0x800
IN_ALL_EVENTS: Final = 0xFFF
IN_Q_OVERFLOW: Final = 0x4000
IN_IGNORED: Final = 0x8000
IN_ONLYDIR: Final = 0x01000000
IN_DONT_FOLLOW: Final = 0x02000000
IN_EXCL_UNLINK: Final = 0x04000000
IN_MASK_CREATE: Final = 0x10000000
IN_MASK_ADD: Final = 0x20000000
IN_ISDIR: Final = 0x40000000
IN_ONESHOT: Final = 0x80000000

_EVENT: Final = Struct("<iIII")
"""struct inotify_event: wd, mask, cookie, len, then the name padded with NULs (len bytes)."""

_cookies = count(1)


def new_cookie() -> int:
    """The number that ties the two halves of a rename together."""
    return next(_cookies) & 0xFFFFFFFF


class Listener(Protocol):
    """Who hears of a watch's events: an inotify queue, or (dnotify.py) a process that gets a signal."""

    def before(self) -> None:
        """Something is about to be put."""

    def put(self, number: int, mask: int, cookie: int, name: bytes) -> None:
        """One event."""

    def remove(self, number: int) -> bool:
        """The watch is over."""


class Watch:
    """One inode watched by one listener."""

    __slots__ = ("inode", "mask", "number", "queue")

    def __init__(self, queue: Listener, number: int, inode: Inode, mask: int) -> None:
        self.queue = queue
        self.number = number
        self.inode = inode
        self.mask = mask


class NotifyQueue:
    """One inotify instance: its watches and the writing end of its pipe."""

    def __init__(self, host: HostABI, stream: HostStream, before: Callable[[], None] = lambda: None) -> None:
        """before: brings what happened natively into queues, ahead of an event of our own."""
        self.before = before
        self.host = host
        self.stream = stream
        self.watches: dict[int, Watch] = {}
        self.overflowed = False
        self._next_number = 0

    def add(self, inode: Inode, mask: int, *, extend: bool, create: bool) -> int | None:
        """Watch inode (or change its mask); the watch number, or None when it is watched already and create is asked for."""
        for watch in self.watches.values():
            if watch.inode is inode:
                if create:
                    return None
                watch.mask = watch.mask | mask if extend else mask
                return watch.number
        self._next_number += 1
        watch = Watch(self, self._next_number, inode, mask)
        self.watches[watch.number] = watch
        if inode.watches is None:
            inode.watches = []
        inode.watches.append(watch)
        inode.modified()
        return watch.number

    def remove(self, number: int, *, tell: bool = True) -> bool:
        """Stop a watch; False when there is no such number."""
        watch = self.watches.pop(number, None)
        if watch is None:
            return False
        remaining = [other for other in watch.inode.watches or () if other is not watch]
        watch.inode.watches = remaining or None
        if tell:
            self.put(number, IN_IGNORED, 0, b"")
        return True

    def put(self, number: int, mask: int, cookie: int, name: bytes) -> None:
        """Queue one event."""
        padded = name + b"\0" * (16 - len(name) % 16) if name else b""
        data = _EVENT.pack(number, mask, cookie, len(padded)) + padded
        if self.overflowed:
            data = _EVENT.pack(-1, IN_Q_OVERFLOW, 0, 0) + data
        try:
            self.host.stream_write(self.stream, -1, data)
            self.overflowed = False
        except HostError:
            self.overflowed = True

    def close(self) -> None:
        """The guest has closed it: forget the watches."""
        for number in tuple(self.watches):
            self.remove(number, tell=False)
        self.host.stream_close(self.stream)


def notify(inode: Inode, mask: int, name: bytes, cookie: int = 0) -> None:
    """Tell the watches of inode."""
    if not inode.watches:
        return
    for watch in tuple(inode.watches):
        if watch.mask & mask & IN_ALL_EVENTS:
            watch.queue.before()
            watch.queue.put(watch.number, mask, cookie, name)
            if watch.mask & IN_ONESHOT or mask & IN_DELETE_SELF:
                watch.queue.remove(watch.number)


def notify_change(inode: Inode, mask: int) -> None:
    """Tell the watches of inode and, with its name, those of its directory."""
    if inode.watches:
        notify(inode, mask | (IN_ISDIR if inode.is_directory else 0), b"")
    parent = inode.parent
    if parent is not None and parent.watches:
        notify(parent, mask | (IN_ISDIR if inode.is_directory else 0), inode.name)
