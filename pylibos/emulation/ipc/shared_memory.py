"""System V shared memory: segments are anonymous host files (NT sections) that guests map themselves.

Owns the segments. Attaching has the caller map the segment's file (Remote), detaching has it unmap; who has what attached is not recorded
but read from the guests' memory maps, so that mremap, munmap and the end of a process count as they do in Linux. For the moment between
the two calls of an attachment another thread of the same guest can reach the file: what it could do to it, it could do to the memory.
Must not know registers.
Sources: Linux 6.18 ipc/shm.c; shmop(2), shmctl(2).

Invariants: a segment that was removed keeps its identifier exactly until nobody has it mapped; its file is closed then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pylibos.abi.errno import Errno
from pylibos.abi.ipc import (
    SHM_DEST,
    SHM_EXEC,
    SHM_HUGETLB,
    SHM_RDONLY,
    SHM_REMAP,
    SHM_RND,
    SHMID_TAIL,
)
from pylibos.abi.memory import MAP_FIXED, MAP_FIXED_NOREPLACE, MAP_SHARED, PROT_EXEC, PROT_READ, PROT_WRITE
from pylibos.abi.syscall_numbers import NUMBERS
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.ipc.objects import READ, WRITE, IpcObject, IpcTable
from pylibos.emulation.outcome import DESCRIPTOR, Remote
from pylibos.monitor.host_abi import Access, AttributeChange, HostError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pylibos.emulation.process.process import Process
    from pylibos.emulation.process.thread import Thread
    from pylibos.emulation.security.credentials import Credentials
    from pylibos.monitor.host_abi import HostABI, HostStream

PAGE: Final = 4096
SIZE_MAX: Final = (1 << 63) - 1
_EXECUTE: Final = 0o111
_ADDRESS_MAX: Final = (1 << 64) - 1
_LABEL: Final = b"/memfd:SYSV"
"""How a segment's file is called in a host memory map."""

Key = tuple[int, int]


class Segment(IpcObject):
    """One segment. ``size`` in bytes as asked for; the file has whole pages."""

    __slots__ = ("attach_s", "change_s", "detach_s", "file", "last_pid", "size", "stream")

    def __init__(self, key: int, flags: int, who: Credentials, pid: int, size: int, now_s: int) -> None:
        super().__init__(key, flags, who, pid)
        self.size = size
        self.stream: HostStream | None = None
        self.file: Key = (0, 0)
        """(device, inode) of the backing file."""
        self.attach_s = self.detach_s = 0
        self.change_s = now_s
        self.last_pid = 0

    @property
    def bytes_mapped(self) -> int:
        """The size in whole pages."""
        return -(-self.size // PAGE) * PAGE

    @property
    def removed(self) -> bool:
        """IPC_RMID has been done."""
        return bool(self.mode & SHM_DEST)

    def status(self, attached: int) -> bytes:
        """struct shmid64_ds."""
        tail = (self.size, self.attach_s, self.detach_s, self.change_s, self.creator, self.last_pid, attached, 0, 0)
        return self.perm() + SHMID_TAIL.pack(*tail)

    def line(self, attached: int, resident: int) -> bytes:
        """Its line of /proc/sysvipc/shm; resident in bytes."""
        head = b"%10d %10d  %4o %21d %5d %5d  %5d " % (
            self.key, self.identifier, self.mode, self.size, self.creator, self.last_pid, attached,
        )  # fmt: skip
        owners = b"%5d %5d %5d %5d " % (self.uid, self.gid, self.cuid, self.cgid)
        return head + owners + b"%10d %10d %10d %21d %21d\n" % (self.attach_s, self.detach_s, self.change_s, resident, 0)


class SharedMemory:
    """All segments of a sandbox. ``limit(name)`` reads ShmMax, ShmAll and ShmMni; ``live`` gives the living processes."""

    __slots__ = ("_host", "_limit", "_live", "_now_s", "_removed", "segments")

    def __init__(
        self,
        host: HostABI,
        now_s: Callable[[], int],
        limit: Callable[[str], int],
        live: Callable[[], Iterable[Process]],
        segments: IpcTable[Segment],
    ) -> None:
        self._host = host
        self._now_s = now_s
        self._limit = limit
        self._live = live
        self.segments = segments
        self._removed: list[Segment] = []

    def pages(self) -> int:
        """Pages of all segments."""
        return sum(segment.bytes_mapped for segment in self.segments) // PAGE

    def get(self, process: Process, key: int, size: int, flags: int) -> int:
        """shmget(2). Raises EINVAL, ENOENT, EEXIST, EACCES, ENOSPC, EPERM (huge pages are nobody's)."""
        self.collect()

        def check(found: Segment) -> None:
            if size > found.size:
                raise SyscallError(Errno.EINVAL)

        def make() -> Segment:
            if not 1 <= size <= min(self._limit("ShmMax"), SIZE_MAX - PAGE):
                raise SyscallError(Errno.EINVAL)
            if flags & SHM_HUGETLB:
                raise SyscallError(Errno.EPERM)
            if self.pages() + -(-size // PAGE) > self._limit("ShmAll"):
                raise SyscallError(Errno.ENOSPC)
            segment = Segment(key, flags, process.credentials, process.pid, size, self._now_s())
            self._back(segment)
            return segment

        return self.segments.get(key, flags, process.credentials, check, make, self._limit("ShmMni"))

    def _back(self, segment: Segment) -> None:
        """Give a new segment its file. Raises ENOMEM, or ENOSPC when we have no descriptor left for it."""
        host = self._host
        try:
            stream = host.stream_open(b"mem:SYSV%08x" % (segment.key & 0xFFFFFFFF), Access.READ_WRITE)
        except HostError as error:
            raise SyscallError(Errno.ENOSPC if error.errno == Errno.EMFILE else Errno.ENOMEM) from error
        try:
            host.stream_change_open(stream, AttributeChange(size=segment.bytes_mapped))
            attributes = host.stream_query_open(stream)
        except HostError as error:
            host.stream_close(stream)
            raise SyscallError(Errno.ENOMEM) from error
        segment.stream = stream
        segment.file = (attributes.device, attributes.inode)

    # -- attaching ---------------------------------------------------------------------------------------------------------
    def attach(self, thread: Thread, identifier: int, address: int, flags: int) -> Remote:
        """shmat(2). Raises EINVAL, EACCES; the caller's own mmap may answer EINVAL (something is there already), ENOMEM."""
        segment = self.segments.find(identifier)
        if segment.removed:
            self.collect()
            segment = self.segments.find(identifier)
        placement = MAP_SHARED
        if address:
            if flags & SHM_RND:
                address &= ~(PAGE - 1)
            if address % PAGE or not address:
                raise SyscallError(Errno.EINVAL)
            if address + segment.size > _ADDRESS_MAX:
                raise SyscallError(Errno.EINVAL)
            placement |= MAP_FIXED if flags & SHM_REMAP else MAP_FIXED_NOREPLACE
        elif flags & SHM_REMAP:
            raise SyscallError(Errno.EINVAL)
        reading = bool(flags & SHM_RDONLY)
        protection = PROT_READ if reading else PROT_READ | PROT_WRITE
        wanted = READ if reading else READ | WRITE
        if flags & SHM_EXEC:
            protection |= PROT_EXEC
            wanted |= _EXECUTE
        segment.require(thread.credentials, wanted)
        assert segment.stream is not None
        stream = self._host.stream_reopen(segment.stream, Access.READ if reading else Access.READ_WRITE)

        def finish(results: Sequence[int]) -> int:
            if not results:
                return -int(Errno.ENOMEM)
            mapped = results[0]
            if -4095 <= mapped < 0:
                return -int(Errno.EINVAL) if mapped == -Errno.EEXIST else mapped
            segment.attach_s = self._now_s()
            segment.last_pid = thread.process.pid
            return mapped

        arguments = (address, segment.bytes_mapped, protection, placement, DESCRIPTOR, 0)
        return Remote([(NUMBERS["mmap"], arguments), (NUMBERS["close"], (DESCRIPTOR,))], finish, stream)

    def detach(self, thread: Thread, address: int) -> Remote:
        """shmdt(2): unmap every piece of the segment attached at address. Raises EINVAL nothing is."""
        if address % PAGE:
            raise SyscallError(Errno.EINVAL)
        segment: Segment | None = None
        pieces: list[tuple[int, int]] = []
        for start, end, offset, file in self._mapped(thread.host_tid):
            if start < address or start - address != offset:
                continue
            if segment is None:
                segment = self._of_file(file)
            if segment is not None and file == segment.file and start < address + segment.bytes_mapped:
                pieces.append((start, end - start))
        if segment is None:
            raise SyscallError(Errno.EINVAL)
        left = segment

        def finish(results: Sequence[int]) -> int:
            left.detach_s = self._now_s()
            left.last_pid = thread.process.pid
            self.collect()
            return next((result for result in results if result < 0), 0)

        return Remote([(NUMBERS["munmap"], piece) for piece in pieces], finish)

    def _of_file(self, file: Key) -> Segment | None:
        return next((segment for segment in self.segments if segment.file == file), None)

    def _mapped(self, host_tid: int) -> Iterator[tuple[int, int, int, Key]]:
        """(start, end, offset, file) of every mapping of a segment in an address space, ascending."""
        try:
            text = self._host.memory_map_text(host_tid)
        except HostError:
            return
        for line in text.splitlines():
            if _LABEL not in line:
                continue
            span, _permissions, offset, device, inode = line.split(None, 5)[:5]
            start, _, end = span.partition(b"-")
            yield int(start, 16), int(end, 16), int(offset, 16), (_device(device), int(inode))

    def attached(self, segment: Segment) -> int:
        """shm_nattch: mappings of it in all processes."""
        count = 0
        for process in self._live():
            thread = next(iter(process.threads.values()), None)
            if thread is not None:
                count += sum(file == segment.file for _start, _end, _offset, file in self._mapped(thread.host_tid))
        return count

    def resident(self, segment: Segment) -> int:
        """Bytes of a segment that are in memory."""
        return 0 if segment.stream is None else self._host.stream_query_open(segment.stream).blocks * 512

    # -- the end of a segment -------------------------------------------------------------------------------------------------
    def remove(self, segment: Segment) -> None:
        """IPC_RMID: gone at once, or with its last attachment."""
        self.segments.forget_key(segment)
        if not segment.removed:
            segment.mode |= SHM_DEST
            self._removed.append(segment)
        self.collect()

    def collect(self) -> None:
        """Let go of removed segments that nobody has attached any more."""
        for segment in tuple(self._removed):
            if not self.attached(segment):
                self._removed.remove(segment)
                self.segments.remove(segment)
                if segment.stream is not None:
                    self._host.stream_close(segment.stream)
                    segment.stream = None


def _device(text: bytes) -> int:
    """The st_dev of a map line's MAJOR:MINOR."""
    major, _, minor = text.partition(b":")
    high, low = int(major, 16), int(minor, 16)
    return low & 0xFF | (high & 0xFFF) << 8 | (low & ~0xFF) << 12 | (high & ~0xFFF) << 32
