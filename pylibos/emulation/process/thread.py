"""A guest thread as the executive sees it (NT: ETHREAD; Linux: task).

Owns the identity of one thread and its links: process, memory, the call being answered. Does not know registers, ptrace or how
calls are intercepted; host_tid is only a name it hands to the host ABI.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pylibos.emulation.executive import Executive
    from pylibos.emulation.fs.context import FsContext
    from pylibos.emulation.guest import GuestMemory
    from pylibos.emulation.process.process import Process
    from pylibos.emulation.security.credentials import Credentials
    from pylibos.emulation.security.seccomp import Seccomp


class Thread:
    """One guest thread. tid is what the guest sees, host_tid what the host ABI wants."""

    __slots__ = (
        "clear_child_tid",
        "comm",
        "executive",
        "host_tid",
        "memory",
        "prefetched_address",
        "prefetched_path",
        "process",
        "robust_list",
        "seccomp",
        "tid",
    )

    def __init__(self, process: Process, tid: int, host_tid: int, memory: GuestMemory) -> None:
        self.process = process
        self.executive: Executive = process.executive
        """The executive this thread's process belongs to (a slot, not a property: handlers read it on every call)."""
        self.tid = tid
        self.host_tid = host_tid
        self.memory = memory
        self.comm = process.comm
        self.robust_list = (0, 0)
        self.clear_child_tid = 0
        self.seccomp: Seccomp | None = None
        """The filters of the guest's own that its calls are subject to."""
        self.prefetched_path: bytes | None = None
        """A path the engine has already copied in with the notification, for the argument equal to prefetched_address; used once."""
        self.prefetched_address = 0
        """(device, inode, mode) of the call's first descriptor argument, when the receive loop identified it."""

    @property
    def credentials(self) -> Credentials:
        """The process's credentials: the library OS keeps one set per process, as POSIX (and glibc's setxid) does."""
        return self.process.credentials

    @property
    def fs(self) -> FsContext:
        """The process's file-system context."""
        return self.process.fs

    @property
    def is_leader(self) -> bool:
        """True for the thread whose tid is the process's pid."""
        return self.tid == self.process.pid

    def __repr__(self) -> str:
        return f"<Thread {self.tid} of {self.process.pid} {self.comm!r}>"
