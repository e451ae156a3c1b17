"""Directory notification by signal (fcntl F_NOTIFY, "dnotify"): a watch of a directory that sends SIGIO to the process that asked.

What it is: the older sister of inotify, on the same watches of inodes (notify.py). Owns DN_* and one entry for each descriptor of a process
that asked. An entry ends with its process, when its descriptor no longer is the directory, and, unless DN_MULTISHOT was given, with its
first event.
Differs from Linux: the signal is always SIGIO (F_SETSIG is not offered) and says SI_USER; a descriptor made by dup is another one.
Sources: fcntl(2), Linux fs/notify/dnotify/dnotify.c, fs/fcntl.c (sigio_perm).
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pylibos.abi.errno import Errno
from pylibos.abi.events import IN_ACCESS
from pylibos.abi.signals import SignalNumber
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.fs.notify import IN_ATTRIB, IN_CREATE, IN_DELETE, IN_DELETE_SELF, IN_MODIFY, IN_MOVED_FROM, IN_MOVED_TO, Watch
from pylibos.monitor.host_abi import HostError

if TYPE_CHECKING:
    from pylibos.emulation.executive import Executive
    from pylibos.emulation.fs.inode import Inode
    from pylibos.emulation.process.process import Process
    from pylibos.emulation.process.thread import Thread

DN_MULTISHOT: Final = 0x80000000
EVENTS: Final = {
    0x01: IN_ACCESS,  # DN_ACCESS
    0x02: IN_MODIFY,  # DN_MODIFY
    0x04: IN_CREATE | IN_MOVED_TO,  # DN_CREATE
    0x08: IN_DELETE | IN_MOVED_FROM,  # DN_DELETE
    0x10: IN_MOVED_FROM,  # DN_RENAME
    0x20: IN_ATTRIB,  # DN_ATTRIB
}


def events_of(argument: int) -> int:
    """The IN_* events that the DN_* bits of F_NOTIFY's argument mean. Unknown bits mean nothing, as on Linux."""
    return sum({bit for asked, events in EVENTS.items() if argument & asked for bit in (1 << n for n in range(12)) if events & bit})


class DirectorySignal:
    """One descriptor of one process: takes the place of a queue behind a Watch."""

    __slots__ = ("_asker", "_executive", "descriptor", "multishot", "process", "signals", "watch")

    def __init__(self, signals: DirectorySignals, process: Process, descriptor: int, inode: Inode) -> None:
        self.signals = signals
        self.process = process
        self.descriptor = descriptor
        self.multishot = False
        self._executive = process.executive
        self._asker = (process.credentials.euid, process.credentials.ruid)
        self.watch = Watch(self, 0, inode, 0)

    def before(self) -> None:
        """Nothing overtakes a signal that carries nothing."""

    def put(self, _number: int, mask: int, _cookie: int, _name: bytes) -> None:
        """An event of the directory."""
        if not self._stands() or mask & IN_DELETE_SELF:
            self.remove(0)
            return
        if not self.multishot:
            self.remove(0)
        with suppress(HostError):  # it is ending
            self._executive.host.process_signal(self.process.host_pid, 0, SignalNumber.SIGIO)

    def remove(self, _number: int) -> bool:
        """Stop watching."""
        return self.signals.drop(self)

    def _stands(self) -> bool:
        """Whether the process that asked still has that directory open, and is still somebody whom who asked may signal."""
        thread = next(iter(self.process.threads.values()), None)
        theirs = self.process.credentials
        if thread is None or not (self._asker[0] == 0 or {theirs.ruid, theirs.suid} & {*self._asker}):
            return False
        with suppress(SyscallError, HostError):
            return self._executive.io.inode_of(thread, self.descriptor) is self.watch.inode
        return False


class DirectorySignals:
    """All of them, by process and descriptor: a process has no more than descriptors."""

    def __init__(self, executive: Executive) -> None:
        self._entries: dict[tuple[int, int], DirectorySignal] = {}
        executive.processes.on_process_exit.append(self._process_exited)

    def ask(self, thread: Thread, descriptor: int, argument: int) -> None:
        """F_NOTIFY. Asking again for the same directory adds events; asking for none ends it. Raises ENOTDIR, EBADF."""
        inode = thread.executive.io.inode_of(thread, descriptor)
        if inode is None or not inode.is_directory:
            raise SyscallError(Errno.ENOTDIR)
        key = (thread.process.pid, descriptor)
        entry = self._entries.get(key)
        events = events_of(argument)
        if entry is not None and (not events or entry.watch.inode is not inode):
            self.drop(entry)
            entry = None
        if not events:
            return
        if entry is None:
            entry = self._entries[key] = DirectorySignal(self, thread.process, descriptor, inode)
            inode.watches = [*(inode.watches or ()), entry.watch]
            inode.modified()
        entry.watch.mask |= events
        entry.multishot = bool(argument & DN_MULTISHOT)

    def drop(self, entry: DirectorySignal) -> bool:
        """Forget one; False when it is gone already."""
        if self._entries.get((entry.process.pid, entry.descriptor)) is not entry:
            return False
        del self._entries[entry.process.pid, entry.descriptor]
        inode = entry.watch.inode
        inode.watches = [watch for watch in inode.watches or () if watch is not entry.watch] or None
        return True

    def _process_exited(self, process: Process) -> None:
        for entry in [entry for (pid, _descriptor), entry in self._entries.items() if pid == process.pid]:
            self.drop(entry)
