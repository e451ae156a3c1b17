"""The policy's limit on memory: all guests together, their files in memory included, as an out-of-memory killer keeps it.

What it is: a look at the sandbox's use several times a second, and the death of the greediest guest when it is above the limit (of all,
when what is kept in files alone is). Between two looks a guest can pass the limit by what it can touch in that time; a bound on each
process's writable private memory (RLIMIT_DATA, twice the limit) ends what grows faster.

What counts: anonymous memory and swap of every process (shared pages once, by proportional size, as soon as it matters), the contents of
the view's files in memory, and of memfds that a guest holds without having them in the view. What does not: page cache of the host's files,
kernel memory, buffers of pipes and sockets (bounded by the number of descriptors).

Must not know how calls are intercepted. An adversarial guest can make looks expensive (many processes, many descriptors): each is
bounded, and the next one is put off in proportion to what the last cost.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Final

from pylibos.emulation.memory.quota import files_size
from pylibos.monitor.host_abi import HostError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylibos.emulation.executive import Executive
    from pylibos.emulation.process.process import Process

PERIOD_NS: Final = 50_000_000
"""Between two looks; a fifth of it above half the limit."""
MEMFD_EVERY: Final = 10
"""Looks between two searches for memfds."""
DESCRIPTORS_LOOKED_AT: Final = 4096
DATA_FACTOR: Final = 2
_S_IFMT: Final = 0o170000
_S_IFREG: Final = 0o100000
_MONOTONIC: Final = 1


class MemoryLimit:
    """Keeps one limit in bytes. memory_device: st_dev of every memfd of this host. kill_all: ends the sandbox."""

    def __init__(
        self, executive: Executive, limit: int, memory_device: int, kill_all: Callable[[], None], report: Callable[[str], None]
    ) -> None:
        self.executive = executive
        self.limit = limit
        self.exceeded = False
        self._memory_device = memory_device
        self._kill_all = kill_all
        self._report = report
        self._looks = 0
        self._memfds = 0

    def look(self) -> int:
        """Measure, kill if need be; nanoseconds until the next look."""
        host = self.executive.host
        begun = host.clock_read(_MONOTONIC)
        if self._looks % MEMFD_EVERY == 0:
            self._memfds = self._foreign_memory()
        self._looks += 1
        files = files_size(self.executive) + self._memfds
        anonymous = self._anonymous()
        total = files + sum(anonymous.values())
        if total > self.limit:
            exact = {process: self._proportional(process, size) for process, size in anonymous.items()}
            if files > self.limit or not exact:
                self.exceeded = True
                self._report(f"pylibos: memory limit reached: {files >> 20} MiB in files of {self.limit >> 20} MiB; ending the sandbox")
                self._kill_all()
            elif files + sum(exact.values()) > self.limit:
                self._kill(max(exact, key=lambda process: (exact[process], process.start_ns)), exact)
        cost = host.clock_read(_MONOTONIC) - begun
        return max(PERIOD_NS // 5 if total > self.limit // 2 else PERIOD_NS, 10 * cost)

    def _kill(self, victim: Process, sizes: dict[Process, int]) -> None:
        name = victim.comm.decode("utf-8", "replace")
        used = f"{sizes[victim] >> 20} MiB of {self.limit >> 20} MiB"
        self._report(f"pylibos: memory limit reached: killed {name!r} (pid {victim.pid}, {used})")
        self.executive.memory_kills += 1
        if victim is self.executive.processes.init:
            self.exceeded = True
        try:
            self.executive.host.process_signal(victim.host_pid, 0, signal.SIGKILL)
        except HostError:
            return  # it ended by itself

    def _anonymous(self) -> dict[Process, int]:
        """Bytes of anonymous memory and swap by process; pages that forks share count for each."""
        found = {}
        for process in self.executive.processes.live():
            try:
                usage = self.executive.host.process_usage(process.host_pid, True)
            except HostError:
                continue
            known = usage.accounts
            found[process] = (known["RssAnon"] + known.get("VmSwap", 0)) << 10 if "RssAnon" in known else usage.resident_size
        return found

    def _proportional(self, process: Process, otherwise: int) -> int:
        """The same with shared pages counted once."""
        try:
            text = self.executive.host.memory_map_text(process.host_pid, True)
        except HostError:
            return otherwise
        total = 0
        anonymous = pss = 0
        for line in text.splitlines():
            if line.startswith(b"Pss:"):
                pss = int(line.split()[1])
            elif line.startswith(b"Anonymous:"):
                anonymous = int(line.split()[1])
            elif line.startswith(b"SwapPss:"):
                total += min(pss, anonymous) + int(line.split()[1])
        return total << 10

    def _foreign_memory(self) -> int:
        """Bytes in memfds of the guests' own that are no files of the view."""
        executive = self.executive
        host = executive.host
        seen: dict[tuple[int, int], int] = {}
        left = DESCRIPTORS_LOOKED_AT
        for process in executive.processes.live():
            try:
                for descriptor in host.descriptor_list(process.host_pid)[:left]:
                    left -= 1
                    attributes = host.descriptor_attributes(process.host_pid, descriptor)
                    key = (attributes.device, attributes.inode)
                    regular = attributes.mode & _S_IFMT == _S_IFREG
                    if regular and attributes.device == self._memory_device and key not in executive.io.inodes:
                        seen[key] = attributes.blocks << 9
            except HostError:
                continue
        return sum(seen.values())
