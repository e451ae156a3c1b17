"""A guest process (NT: EPROCESS): what its threads share, by composition.

Owns identity, parentage, credentials, file-system context, process group and session, and the description of the program it runs.
Descriptors are the host's (architecture.md, "Files and descriptors"), so there is no descriptor table here; emulation/io_manager
identifies a number when asked. Must not know how calls are intercepted. Source: Linux include/linux/sched/signal.h (signal_struct).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylibos.abi.process import PER_LINUX

if TYPE_CHECKING:
    from pylibos.emulation.executive import Executive
    from pylibos.emulation.fs.context import FsContext
    from pylibos.emulation.fs.inode import Inode
    from pylibos.emulation.object_manager.dispatcher import ProcessExit
    from pylibos.emulation.process.thread import Thread
    from pylibos.emulation.security.credentials import Credentials


class Process:
    """One guest process. pid is guest-visible; host_pid names it to the host ABI."""

    __slots__ = (
        "argument_prefix",
        "child_subreaper",
        "children",
        "comm",
        "credentials",
        "dumpable",
        "executable",
        "executable_path",
        "execution_count",
        "executive",
        "exit_status",
        "exited",
        "forked_without_exec",
        "fs",
        "group_exit_status",
        "host_pid",
        "parent",
        "parent_death_signal",
        "personality",
        "pgid",
        "pid",
        "sid",
        "start_ns",
        "threads",
    )

    def __init__(
        self,
        executive: Executive,
        pid: int,
        host_pid: int,
        parent: Process | None,
        credentials: Credentials,
        fs: FsContext,
    ) -> None:
        self.executive = executive
        self.pid = pid
        self.host_pid = host_pid
        self.parent = parent
        self.children: dict[int, Process] = {}
        self.threads: dict[int, Thread] = {}
        """Live threads by guest tid; empty once the process is a zombie."""
        self.credentials = credentials
        self.fs = fs
        self.executable: Inode | None = None
        """The program's inode, if it is of the view. Set through run()."""
        self.executable_path = b""
        self.argument_prefix: list[bytes] | None = None
        """Replaces argv[0] in /proc/PID/cmdline when the program is a script (the kernel saw argv before our change)."""
        self.comm = b""
        self.dumpable = 1
        self.parent_death_signal = 0
        self.child_subreaper = False
        self.personality = PER_LINUX
        self.execution_count = 0
        """Successful execs so far; names one image of the process for caches."""
        self.forked_without_exec = False
        """True from fork to the first exec: setpgid on such a child is allowed to its parent (PF_FORKNOEXEC)."""
        self.start_ns = 0
        """Monotonic host time at creation, for /proc/PID/stat."""
        self.exit_status: int | None = None
        """wait(2) status word once the process has ended; None while it lives."""
        self.group_exit_status: int | None = None
        """Status of the leader when it ended before other threads; the process ends with its last thread."""
        self.exited: ProcessExit | None = None
        """Made on demand by ProcessTable.exit_object: signalled for good when the process ends."""
        if parent is None:
            self.pgid = pid
            self.sid = pid
        else:
            self.pgid = parent.pgid
            self.sid = parent.sid

    def run(self, executable: Inode | None) -> None:
        """This process's program is another one (None: it has ended). A running program cannot be written to."""
        if executable is not None:
            executable.running += 1
        if self.executable is not None:
            self.executable.running -= 1
        self.executable = executable

    @property
    def is_zombie(self) -> bool:
        """Ended, perhaps not yet waited for."""
        return self.exit_status is not None

    @property
    def parent_pid(self) -> int:
        """What getppid answers: for the first process of the sandbox, the one above it."""
        return self.executive.processes.above if self.parent is None else self.parent.pid

    def __repr__(self) -> str:
        return f"<Process {self.pid} {self.comm!r}{' zombie' if self.is_zombie else ''}>"
