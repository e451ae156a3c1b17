"""A guest thread as the executive sees it (NT: ETHREAD; Linux: task).

Owns the identity of one thread and its links: process, memory, the call being answered. Does not know registers, ptrace or how
calls are intercepted; host_tid is only a name it hands to the host ABI.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pylibos.emulation.executive import Executive
    from pylibos.emulation.guest import GuestMemory
    from pylibos.emulation.process.process import Process


class Thread:
    """One guest thread. tid is what the guest sees, host_tid what the host ABI wants."""

    __slots__ = ("comm", "host_tid", "memory", "prefetched_address", "prefetched_path", "process", "robust_list", "tid")

    def __init__(self, process: Process, tid: int, host_tid: int, memory: GuestMemory) -> None:
        self.process = process
        self.tid = tid
        self.host_tid = host_tid
        self.memory = memory
        self.comm = process.comm
        self.robust_list = (0, 0)
        self.prefetched_path: bytes | None = None
        """A path the engine has already copied in with the notification, for the argument equal to prefetched_address; used once."""
        self.prefetched_address = 0

    @property
    def executive(self) -> Executive:
        """The executive this thread's process belongs to."""
        return self.process.executive
