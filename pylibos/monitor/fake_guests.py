"""The guests of FakeHost: a block of memory, a descriptor table and the accounts of a process.

What it is: the part of the in-memory host that takes a host process or thread identifier; one guest process has one thread and both have
the same number. Owns the table of opens, which streams and descriptors share. Must not know names or the policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from pylibos.abi.errno import Errno
from pylibos.abi.record import field, mutable_record
from pylibos.monitor.fake_nodes import DEVICE, QUEUES, Opened, fail
from pylibos.monitor.host_abi import Access, DescriptorIdentity, HostStream, ProcessUsage, StreamAttributes

_O_CLOEXEC: Final = 0o2000000
_O_APPEND: Final = 0o2000
_O_NONBLOCK: Final = 0o4000
_O_PATH: Final = 0o10000000
_ACCESS_MODES: Final = {1: 0, 2: 1, 3: 2}
_PRIORITIES: Final = (-20, 19)
_IDLE: Final = ProcessUsage("R", 0, 0, 1 << 20, 1 << 16, 0, 0, 1, 0, 0, 0)


@mutable_record
class FakeGuest:
    """A guest process of one thread: memory at base, descriptors, and what the host accounts of it."""

    base: int = 0x10000
    memory: bytearray = field(default_factory=lambda: bytearray(0x10000))
    descriptors: dict[int, tuple[Opened, bool]] = field(default_factory=dict)
    command_line: bytes = b"guest\0"
    environment: bytes = b""
    network: dict[str, bytes] = field(default_factory=dict)
    """Texts of process_text below net/."""
    limits: dict[int, tuple[int, int]] = field(default_factory=dict)
    affinity: int = 1
    nice: int = 0
    usage: ProcessUsage = _IDLE


class FakeGuests:
    """Calls about guests."""

    def __init__(self) -> None:
        self.guests: dict[int, FakeGuest] = {}
        self.signals: list[tuple[int, int, int]] = []
        self._opens: dict[int, Opened] = {}

    def _guest(self, host_tid: int) -> FakeGuest:
        guest = self.guests.get(host_tid)
        if guest is None:
            raise fail(Errno.ESRCH)
        return guest

    def _opened(self, stream: int) -> Opened:
        opened = self._opens.get(stream)
        if opened is None:
            raise fail(Errno.EBADF)
        return opened

    @staticmethod
    def _count(opened: Opened, by: int) -> None:
        """Ends of pipes and sockets are counted, for EOF and EPIPE."""
        if opened.node.kind in QUEUES and not opened.path_only:
            if opened.access & Access.READ:
                opened.node.readers += by
            if opened.access & Access.WRITE:
                opened.write_node.writers += by

    def memory_read(self, host_tid: int, address: int, size: int) -> bytes:
        if size <= 0:
            return b""
        guest = self._guest(host_tid)
        offset = address - guest.base
        if not 0 <= offset < len(guest.memory):
            raise fail(Errno.EFAULT)
        return bytes(guest.memory[offset : offset + size])

    def memory_read_string(self, host_tid: int, address: int, limit: int) -> bytes:
        data = self.memory_read(host_tid, address, limit)
        end = data.find(0)
        if end < 0:
            raise fail(Errno.ENAMETOOLONG if len(data) >= limit else Errno.EFAULT)
        return data[:end]

    def memory_write(self, host_tid: int, address: int, data: bytes) -> None:
        guest = self._guest(host_tid)
        offset = address - guest.base
        if offset < 0 or offset + len(data) > len(guest.memory):
            raise fail(Errno.EFAULT)
        guest.memory[offset : offset + len(data)] = data

    def memory_map_text(self, host_tid: int, detailed: bool = False) -> bytes:
        guest = self._guest(host_tid)
        size = len(guest.memory) >> 10
        region = b"%08x-%08x rw-p 00000000 00:00 0 \n" % (guest.base, guest.base + len(guest.memory))
        return region + b"Size:%16d kB\nRss:%17d kB\n" % (size, size) if detailed else region

    def _descriptor(self, host_tid: int, descriptor: int) -> tuple[Opened, bool]:
        guest = self.guests.get(host_tid)
        if guest is None or descriptor not in guest.descriptors:
            raise fail(Errno.EBADF)
        return guest.descriptors[descriptor]

    def descriptor_identity(self, host_tid: int, descriptor: int) -> DescriptorIdentity:
        node = self._descriptor(host_tid, descriptor)[0].node
        return DescriptorIdentity(DEVICE, node.inode, node.attributes().mode)

    def descriptor_attributes(self, host_tid: int, descriptor: int) -> StreamAttributes:
        return self._descriptor(host_tid, descriptor)[0].node.attributes()

    def descriptor_state(self, host_tid: int, descriptor: int) -> tuple[int, int]:
        opened, close_on_exec = self._descriptor(host_tid, descriptor)
        flags = _O_PATH if opened.path_only else _ACCESS_MODES.get(int(opened.access) & 3, 0)
        flags |= (_O_CLOEXEC if close_on_exec else 0) | (_O_APPEND if opened.append else 0) | (_O_NONBLOCK if opened.nonblock else 0)
        return flags, opened.position

    def descriptor_list(self, host_tid: int) -> Sequence[int]:
        return sorted(self._guest(host_tid).descriptors)

    def descriptor_name(self, host_tid: int, descriptor: int) -> bytes:
        opened = self._descriptor(host_tid, descriptor)[0]
        if opened.path is not None:
            return opened.path
        if opened.node.kind in QUEUES:
            return opened.node.name + b"[%d]" % opened.node.inode
        return opened.node.name + (b" (deleted)" if opened.node.name.startswith((b"/memfd:", b"/token")) else b"")

    def descriptor_install(self, host_tid: int, stream: HostStream, close_on_exec: bool) -> int:
        opened = self._opened(stream)
        if not opened.installable:
            raise fail(Errno.EPERM)
        descriptors = self._guest(host_tid).descriptors
        number = next(free for free in range(len(descriptors) + 1) if free not in descriptors)
        descriptors[number] = (opened, close_on_exec)
        self._count(opened, 1)
        return number

    def process_signal(self, host_pid: int, host_tid: int, signal: int) -> None:
        self._guest(host_tid or host_pid)
        if not 0 <= signal <= 64:
            raise fail(Errno.EINVAL)
        if signal:
            self.signals.append((host_pid, host_tid, signal))

    def process_usage(self, host_pid: int, detailed: bool = False) -> ProcessUsage:
        return self._guest(host_pid).usage

    def process_limits(self, host_pid: int, resource: int, limits: tuple[int, int] | None) -> tuple[int, int]:
        guest = self._guest(host_pid)
        if not 0 <= resource < 16:
            raise fail(Errno.EINVAL)
        old = guest.limits.get(resource, (-1, -1))
        if limits is not None:
            if limits[1] != -1 and (limits[0] == -1 or limits[0] > limits[1]):
                raise fail(Errno.EINVAL)
            guest.limits[resource] = limits
        return old

    def process_text(self, host_pid: int, name: str) -> bytes:
        guest = self._guest(host_pid)
        texts = {"cmdline": guest.command_line, "environ": guest.environment, **guest.network}
        if name not in texts:
            raise fail(Errno.ENOENT)
        return texts[name]

    def thread_affinity(self, host_tid: int, mask: bytes | None) -> bytes:
        guest = self._guest(host_tid)
        if mask is not None:
            wanted = int.from_bytes(mask, "little") & 1  # one processor
            if not wanted:
                raise fail(Errno.EINVAL)
            guest.affinity = wanted
        return guest.affinity.to_bytes(8, "little")

    def thread_priority(self, host_tid: int, nice: int | None) -> int:
        guest = self._guest(host_tid)
        if nice is not None:
            guest.nice = max(_PRIORITIES[0], min(_PRIORITIES[1], nice))
        return guest.nice
