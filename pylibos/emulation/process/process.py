"""A guest process (NT: EPROCESS): what its threads share, by composition.

Owns identity, parentage, credentials, file-system context and the description of the program it runs. Descriptors are the host's
(architecture.md, "Files and descriptors"), so there is no descriptor table here; emulation/io_manager identifies a number when asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pylibos.emulation.executive import Executive
    from pylibos.emulation.fs.context import FsContext
    from pylibos.emulation.process.thread import Thread
    from pylibos.emulation.security.credentials import Credentials


class Process:
    """One guest process. pid is guest-visible; host_pid names it to the host ABI."""

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
        self.credentials = credentials
        self.fs = fs
        self.executable_path = b""
        self.argument_prefix: list[bytes] | None = None
        """Replaces argv[0] in /proc/PID/cmdline when the program is a script (the kernel saw argv before our change)."""
        self.comm = b""
        self.dumpable = 1
        self.keep_capabilities = False
        self.parent_death_signal = 0
        self.exit_status: int | None = None
