"""FIFOs: named pipes whose content is a host pipe and whose opening rules are ours.

Of a FIFO in memory the library OS keeps only an O_PATH handle of the pipe, which counts neither as reader nor as writer, so end of file
and SIGPIPE are native. A FIFO of a writable host directory is the host's own; a guest that waits in its open is woken by guests only.
Whether somebody has the other end is asked of the guests' descriptor tables (an open of a FIFO is rare): every live guest descriptor of
the pipe's identity, by access mode. An opener that must wait already holds its own end, so nothing written meanwhile is lost.

    O_RDONLY   waits for a writer           O_RDONLY|O_NONBLOCK   never waits
    O_WRONLY   waits for a reader           O_WRONLY|O_NONBLOCK   ENXIO without a reader
    O_RDWR     never waits

Source: fifo(7), Linux fs/pipe.c (fifo_open).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylibos.abi.errno import Errno
from pylibos.abi.files import O_ACCMODE, O_CLOEXEC, O_NONBLOCK, O_PATH, O_RDONLY, O_RDWR, O_WRONLY
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.object_manager.dispatcher import Event
from pylibos.emulation.outcome import Install, Wait
from pylibos.monitor.host_abi import Access, Create, HostError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pylibos.emulation.io_manager.device import IoRequest
    from pylibos.emulation.io_manager.file_object import Key
    from pylibos.emulation.outcome import Blocking
    from pylibos.monitor.host_abi import HostABI, HostStream


class FifoState:
    """The pipe behind one FIFO inode of the library OS."""

    def __init__(self, host: HostABI, key: Key) -> None:
        self.host = host
        self.key = key
        self.waiting_readers: list[Event] = []
        self.waiting_writers: list[Event] = []

    def open(self, access: Access, create: Create) -> HostStream:
        """One end, or both. Never waits."""
        raise NotImplementedError

    def has_reader(self) -> bool:
        """Whether somebody who is no guest reads it."""
        return False


class PipeFifo(FifoState):
    """A FIFO in memory: ``anchor`` is an O_PATH handle of an anonymous pipe, which the kernel opens without waiting."""

    def __init__(self, host: HostABI, key: Key, anchor: HostStream) -> None:
        super().__init__(host, key)
        self.anchor = anchor

    def open(self, access: Access, create: Create) -> HostStream:
        return self.host.stream_reopen(self.anchor, access, create)


class HostFifo(FifoState):
    """A FIFO of a writable host directory; its content is the host's, so that host processes may have the other end."""

    def __init__(self, host: HostABI, key: Key) -> None:
        super().__init__(host, key)
        self.uri = b""

    def open(self, access: Access, create: Create) -> HostStream:
        if access is not Access.WRITE:
            return self.host.stream_open(self.uri, access, create)
        both = self.host.stream_open(self.uri, Access.READ_WRITE)  # a reader for the moment: the kernel wants one
        try:
            return self.host.stream_open(self.uri, access, create)
        finally:
            self.host.stream_close(both)

    def has_reader(self) -> bool:
        try:
            self.host.stream_close(self.host.stream_open(self.uri, Access.WRITE))
        except HostError as error:
            if error.errno == Errno.ENXIO:
                return False
            raise
        return True


def make_state(host: HostABI) -> FifoState:
    """A new pipe of which only the name is kept."""
    reader, writer = host.stream_open_pair(b"pipe:")
    try:
        anchor = host.stream_reopen(reader, Access.NONE)
        attributes = host.stream_query_open(reader)
    finally:
        host.stream_close(reader)
        host.stream_close(writer)
    return PipeFifo(host, (attributes.device, attributes.inode), anchor)


def count_ends(host: HostABI, host_pids: Iterable[int], key: Key) -> tuple[int, int]:
    """(descriptors that read, descriptors that write) the pipe in all guests."""
    readers = writers = 0
    for pid in host_pids:
        try:
            numbers = host.descriptor_list(pid)
        except HostError:
            continue
        for number in numbers:
            try:
                identity = host.descriptor_identity(pid, number)
                if (identity.device, identity.inode) != key:
                    continue
                flags = host.descriptor_state(pid, number)[0]
            except HostError:
                continue
            if flags & O_PATH:
                continue
            mode = flags & O_ACCMODE
            readers += mode != O_WRONLY
            writers += mode != O_RDONLY
    return readers, writers


def open_fifo(request: IoRequest, state: FifoState, host_pids: Iterable[int]) -> Install | Blocking:
    """Open one end (or both). A generator when it may have to wait."""
    host = request.thread.process.executive.host
    mode = request.flags & O_ACCMODE
    nonblocking = Create.NONBLOCK if request.flags & O_NONBLOCK else Create.OPEN
    close_on_exec = bool(request.flags & O_CLOEXEC)
    if mode == O_RDWR:
        stream = state.open(Access.READ_WRITE, nonblocking)
        _release(state.waiting_readers)
        _release(state.waiting_writers)
        return Install(stream, close_on_exec)
    reading = mode == O_RDONLY
    readers, writers = count_ends(host, host_pids, state.key)
    waiting_peers, waiting_own = (
        (state.waiting_writers, state.waiting_readers) if reading else (state.waiting_readers, state.waiting_writers)
    )
    present = bool((writers if reading else readers or state.has_reader()) or waiting_peers)
    if not present and nonblocking and not reading:
        raise SyscallError(Errno.ENXIO)
    stream = state.open(Access.READ if reading else Access.WRITE, nonblocking)
    _release(waiting_peers)
    if present or nonblocking:
        return Install(stream, close_on_exec)
    return _wait_for_peer(host, stream, waiting_own, close_on_exec)


def _release(waiting: list[Event]) -> None:
    events = waiting[:]
    waiting.clear()
    for event in events:
        event.set()


def _wait_for_peer(host: HostABI, stream: HostStream, waiting: list[Event], close_on_exec: bool) -> Blocking:
    event = Event()
    waiting.append(event)
    done = False
    try:
        yield Wait((event,))
        done = True
    finally:
        if not done:
            if event in waiting:
                waiting.remove(event)
            host.stream_close(stream)
    return Install(stream, close_on_exec)
