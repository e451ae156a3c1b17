"""Everything System V IPC and POSIX message queues of one sandbox: made at the first call that needs it.

Owns the four subsystems and what they are told of processes. Two sandboxes share nothing of it: keys, identifiers and names are the
executive's. Source: docs/adr/0012-ipc-in-the-executive.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pylibos.emulation.config_manager.defaults import LIMITS
from pylibos.emulation.ipc.messages import Messages
from pylibos.emulation.ipc.objects import IpcTable
from pylibos.emulation.ipc.posix_queues import PosixQueues
from pylibos.emulation.ipc.semaphores import Semaphores
from pylibos.emulation.ipc.shared_memory import Segment, SharedMemory

if TYPE_CHECKING:
    from pylibos.emulation.executive import Executive
    from pylibos.emulation.process.process import Process

CLOCK_REALTIME: Final = 0
CLOCK_MONOTONIC: Final = 1
_SECOND: Final = 1_000_000_000
_SWEEP_NS: Final = 50_000_000
"""Least time between two looks, because a process ended, at what has no name or key any more."""


class Ipc:
    """The subsystems by name."""

    __slots__ = ("_executive", "_swept_ns", "memory", "messages", "queues", "semaphores")

    def __init__(self, executive: Executive) -> None:
        self._executive = executive
        self._swept_ns = 0
        objects = executive.objects
        sections: IpcTable[Segment] = IpcTable(objects, "Section")
        self.memory = SharedMemory(executive.host, self.now_s, self.limit, executive.processes.live, sections)
        self.semaphores = Semaphores(self.now_s, IpcTable(objects, "SemaphoreSet"))
        self.messages = Messages(self.now_s, self.limit, IpcTable(objects, "MessageQueue"))
        self.queues = PosixQueues(executive.host, executive.io.live_keys)
        executive.processes.on_process_exit.append(self._process_exited)

    def now_s(self) -> int:
        """Seconds since the epoch."""
        return self._executive.host.clock_read(CLOCK_REALTIME) // _SECOND

    def limit(self, name: str) -> int:
        """One of the sandbox's limits: /proc/sys/kernel/msgmax and so on."""
        return self._executive.registry.number(LIMITS, name)

    def lines(self, name: bytes) -> bytes:
        """/proc/sysvipc/NAME without its heading: ``msg``, ``sem`` or ``shm``."""
        memory = self.memory
        if name == b"shm":
            memory.collect()
            return b"".join(segment.line(memory.attached(segment), memory.resident(segment)) for segment in memory.segments)
        if name == b"sem":
            return b"".join(found.line() for found in self.semaphores.sets)
        return b"".join(queue.line() for queue in self.messages.queues)

    def _process_exited(self, process: Process) -> None:
        self.semaphores.process_exited(process)
        self.queues.process_exited(process)
        now = self._executive.host.clock_read(CLOCK_MONOTONIC)
        if now - self._swept_ns >= _SWEEP_NS:
            self._swept_ns = now
            self.memory.collect()
            self.queues.collect()


def ipc_of(executive: Executive) -> Ipc:
    """The sandbox's IPC, made now if nobody has needed it yet."""
    if executive.ipc is None:
        executive.ipc = Ipc(executive)
    return executive.ipc
