"""Native reads, writes and closes of watched files: what the host kernel tells of them becomes inotify events of the view.

Guests read, write and close natively, so nobody sees it; a file that somebody watches for such events is therefore *followed*: a ``watch:``
stream of the host on its content, relayed as it becomes readable. Owns the followed inodes. Only content that is the sandbox's own is
followed (memory files, writable host files): a read-only host file would tell what host programs do with it.

Limits: files opened before their directory was watched are not followed; the host allows a user some 128 such streams, beyond which
events of names and attributes are all that remains. Events come a moment after the fact. Sources: inotify(7).
"""

from __future__ import annotations

from contextlib import suppress
from struct import Struct
from typing import TYPE_CHECKING, Final

from pylibos.emulation.fs.hostfs import HostFile
from pylibos.emulation.fs.memfs import MemFile
from pylibos.emulation.fs.notify import notify_change
from pylibos.monitor.host_abi import Access, HostError

if TYPE_CHECKING:
    from pylibos.emulation.fs.inode import Inode
    from pylibos.monitor.host_abi import HostABI, HostStream

IN_NATIVE: Final = 0x1B
"""IN_ACCESS, IN_MODIFY, IN_CLOSE_WRITE, IN_CLOSE_NOWRITE."""
IN_IGNORED: Final = 0x8000
POLLIN: Final = 1
_EVENT: Final = Struct("<iIII")
"""struct inotify_event of a watched file: wd, mask, cookie, length of the name (0)."""
_CHUNK: Final = 4096


def _watched(inode: Inode) -> bool:
    parent = inode.parent
    watches = [*(inode.watches or ()), *((parent.watches if parent is not None else None) or ())]
    return any(watch.mask & IN_NATIVE for watch in watches)


class NativeChanges:
    """The followed files of one sandbox."""

    def __init__(self, host: HostABI) -> None:
        self._host = host
        self._inodes: dict[int, Inode] = {}
        self._streams: dict[Inode, HostStream] = {}
        self._relaying = False

    def opened(self, inode: Inode, stream: HostStream) -> None:
        """A guest is about to get ``stream``, an open of inode."""
        if isinstance(inode, HostFile) or (isinstance(inode, MemFile) and inode.stream is not None):
            self._follow(inode, stream)

    def watched(self, inode: Inode) -> None:
        """A watch was put on inode, which guests may have open already."""
        if isinstance(inode, MemFile) and inode.stream is not None:
            self._follow(inode, inode.stream)
        elif isinstance(inode, HostFile) and inode.mode >> 12 == 8:
            try:
                handle = self._host.stream_open(inode.uri(), Access.NONE)
            except HostError:
                return
            self._follow(inode, handle)
            self._host.stream_close(handle)

    def follows(self, inode: Inode) -> bool:
        """Whether the host tells of every change of inode's content, those we make included."""
        return inode in self._streams

    def _follow(self, inode: Inode, handle: HostStream) -> None:
        if inode in self._streams or not _watched(inode):
            return
        host = self._host
        try:
            stream = host.stream_open(b"watch:%d/%d" % (handle, IN_NATIVE), Access.READ)
        except HostError:
            return
        self._inodes[stream] = inode
        self._streams[inode] = stream
        self._wait(stream, POLLIN)

    def ready(self, stream: int) -> None:
        """The loop's report: a watch: stream may be read."""
        inode = self._inodes.get(stream)
        if inode is None:
            return
        handle = self._streams[inode]
        if self._relay(inode, handle) and _watched(inode):
            self._wait(handle, POLLIN)
            return
        del self._inodes[stream], self._streams[inode]
        self._wait(handle, 0)
        self._host.stream_close(handle)

    def _wait(self, stream: HostStream, events: int) -> None:
        with suppress(HostError):  # without a loop, events come with the next one of our own
            self._host.wait_register(stream, events)

    def relay_all(self) -> None:
        """Everything told up to now: called before an event of our own, which must not overtake what went before it."""
        if not self._relaying:
            self._relaying = True
            try:
                for stream in tuple(self._inodes):
                    self.ready(stream)
            finally:
                self._relaying = False

    def _relay(self, inode: Inode, stream: HostStream) -> bool:
        """Pass on what there is; False when the file is gone."""
        alive = True
        while True:
            try:
                data = self._host.stream_read(stream, -1, _CHUNK)
            except HostError:  # EAGAIN: no more
                return alive
            for _number, mask, _cookie, _length in _EVENT.iter_unpack(data):
                if mask & IN_NATIVE:
                    notify_change(inode, mask & IN_NATIVE)
                alive = alive and not mask & IN_IGNORED
