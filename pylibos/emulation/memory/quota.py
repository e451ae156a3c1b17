"""What the sandbox as a whole may use, and uses, as guests are told: one answer for /proc/meminfo, sysinfo(2) and control-group files.

Owns the Quota: the policy's limits (given by the runtime that keeps them) and the host's own for the supervisor, which bind the guests as
well; the smaller counts. Enforces nothing. What is used is asked for at each look: resident memory of the guests' processes, and the
contents of files in memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pylibos.abi.record import record
from pylibos.monitor.host_abi import HostError

if TYPE_CHECKING:
    from pylibos.emulation.executive import Executive

REFRESHED_AT_ONCE: Final = 4096
DEFAULT_PERIOD_US: Final = 100_000
"""Period told with a limit on processor time when there is none."""


@record
class Quota:
    """Limits; None is none. memory in bytes, processes with threads, processors as (microseconds of time, in so many microseconds)."""

    memory: int | None = None
    processes: int | None = None
    processors: tuple[int, int] | None = None


@record
class Usage:
    """What is used now, in bytes: memory of processes, content of files in memory."""

    resident: int
    files: int

    @property
    def total(self) -> int:
        """What a limit on memory is compared with."""
        return self.resident + self.files


def quota(executive: Executive) -> Quota:
    """The limits that hold: the policy's and the host's, kept after the first question."""
    known = executive.quota
    if known is None:
        given = executive.policy_quota or Quota()
        processors = _numbers(executive, "processor-limit")
        known = executive.quota = Quota(
            _smaller(given.memory, _numbers(executive, "memory-limit")),
            _smaller(given.processes, _numbers(executive, "process-limit")),
            given.processors or ((processors[0], processors[1]) if len(processors) == 2 else None),
        )
    return known


def _numbers(executive: Executive, name: str) -> tuple[int, ...]:
    """A fact of the host as numbers; none when it has no such limit."""
    try:
        words = executive.host.system_query(name).split()
    except HostError:
        return ()
    return tuple(int(word) for word in words) if all(word.isdigit() for word in words) else ()


def _smaller(given: int | None, of_host: tuple[int, ...]) -> int | None:
    candidates = [*of_host[:1], *([] if given is None else [given])]
    return min(candidates) if candidates else None


def usage(executive: Executive) -> Usage:
    """What all guests use together."""
    resident = 0
    for process in executive.processes.live():
        try:
            resident += executive.host.process_usage(process.host_pid).resident_size
        except HostError:
            continue  # it ends just now
    return Usage(resident, files_size(executive))


def files_size(executive: Executive) -> int:
    """Bytes in memory that are no process's: contents of files (those that may be written to are asked for, a bounded number), System V
    segments."""
    total = asked = 0
    for inode in list(executive.io.inodes.values()):
        if getattr(inode, "stream", None) is None:
            continue
        if not inode.is_settled and asked < REFRESHED_AT_ONCE:
            asked += 1
            try:
                inode.refresh()
            except HostError:
                continue
        total += inode.blocks << 9
    if executive.ipc is not None:
        total += sum(map(executive.ipc.memory.resident, executive.ipc.memory.segments))
    return total


def memory_text(executive: Executive) -> bytes:
    """/proc/meminfo: the machine's, or a machine of just the size of the limit."""
    text = executive.host.system_query("meminfo")
    limit = quota(executive).memory
    sizes = {name: int(rest.split()[0]) << 10 for name, rest in _lines(text) if rest.endswith(b"kB")}
    if limit is None or limit >= sizes.get(b"MemTotal", 0):
        return text
    used = usage(executive)
    free = max(0, limit - used.total)
    told = {
        b"MemTotal": limit,
        b"MemFree": free,
        b"MemAvailable": free,
        b"Cached": used.files,
        b"Shmem": used.files,
        b"AnonPages": used.resident,
        b"Active": used.resident,
        b"Active(anon)": used.resident,
    }
    rows = []
    for name, rest in _lines(text):
        if not rest.endswith(b"kB"):
            rows.append((name + b":", b"%d" % int(rest.split()[0]), b""))
            continue
        size = told.get(name, 0 if name not in (b"Hugepagesize", b"VmallocTotal") else sizes[name])
        rows.append((name + b":", b"%d" % (min(size, limit if name in told else size) >> 10), b" kB"))
    return b"".join(b"%b%b%b\n" % (name.ljust(16), number.rjust(8), unit) for name, number, unit in rows)


def _lines(text: bytes) -> list[tuple[bytes, bytes]]:
    found = [line.partition(b":")[::2] for line in text.splitlines()]
    return [(name, rest) for name, rest in found if rest.split()]
