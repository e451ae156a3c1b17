"""Job objects (NT): a set of processes with common limits and accounts.

Owns membership, limits and what its ended processes used. A process belongs to at most one job; children are born into the parent's job.
Limits are checked when something joins (active processes) and when enforce() is called with the host's accounts (time, memory): the
caller decides when that is and what killing means. Must not know how processes are created or reaped; the process manager reports.

The job is signaled (dispatcher object) when a job-wide limit has been passed, or when its last process ends.
Invariants: active + ended = total processes; a process is in ``processes`` exactly while it is alive and assigned.
Source: WDK/SDK CreateJobObject, JOBOBJECT_EXTENDED_LIMIT_INFORMATION, JOBOBJECT_BASIC_ACCOUNTING_INFORMATION.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from pylibos.abi.ntstatus import NtStatus
from pylibos.abi.record import record
from pylibos.emulation.object_manager.dispatcher import DispatcherObject
from pylibos.emulation.object_manager.errors import StatusError
from pylibos.monitor.host_abi import HostError

if TYPE_CHECKING:
    from pylibos.emulation.process.process import Process
    from pylibos.monitor.host_abi import HostABI, ProcessUsage

SIGKILL: Final = 9


@record
class JobLimits:
    """Limits; None is without limit. Times in ns of processor time, memory in bytes of virtual size."""

    active_processes: int | None = None
    process_time_ns: int | None = None
    job_time_ns: int | None = None
    process_memory: int | None = None
    job_memory: int | None = None
    kill_on_close: bool = False
    """The last handle of the job closing ends its processes."""


class Accounting(NamedTuple):
    """What a job has used. Times in ns; ended processes included, peak_memory as far as it was looked at."""

    user_ns: int
    system_ns: int
    page_faults: int
    total_processes: int
    active_processes: int
    terminated_processes: int
    peak_memory: int


class Job(DispatcherObject):
    """One job object."""

    __slots__ = (
        "_ended_faults",
        "_ended_system",
        "_ended_user",
        "_last",
        "limits",
        "name",
        "peak_memory",
        "processes",
        "terminated",
        "total",
    )

    def __init__(self, name: str = "", limits: JobLimits | None = None) -> None:
        super().__init__()
        self.name = name
        self.limits = JobLimits() if limits is None else limits
        self.processes: dict[int, Process] = {}
        """Members by guest pid."""
        self.total = 0
        self.terminated = 0
        """Members killed for passing a limit."""
        self.peak_memory = 0
        self._ended_user = self._ended_system = self._ended_faults = 0
        self._last: dict[int, ProcessUsage] = {}

    # -- members -----------------------------------------------------------------------------------------------------
    def assign(self, process: Process) -> None:
        """Take a live process in. Raises QUOTA_EXCEEDED at the limit of active processes, INVALID_PARAMETER for a dead or known one."""
        if process.is_zombie or process.pid in self.processes:
            raise StatusError(NtStatus.INVALID_PARAMETER, f"process {process.pid}")
        limit = self.limits.active_processes
        if limit is not None and len(self.processes) >= limit:
            raise StatusError(NtStatus.QUOTA_EXCEEDED, self.name)
        self.processes[process.pid] = process
        self.total += 1
        self.signaled = False

    def exited(self, process: Process) -> None:
        """A member has ended (others are ignored): its last known use is added to the account."""
        if self.processes.get(process.pid) is not process:
            return
        del self.processes[process.pid]
        usage = self._last.pop(process.pid, None)
        if usage is not None:
            self._ended_user += usage.user_ns
            self._ended_system += usage.system_ns
            self._ended_faults += usage.minor_faults + usage.major_faults
        if not self.processes:
            self._signal()

    # -- accounts and limits -------------------------------------------------------------------------------------------
    def refresh(self, host: HostABI) -> None:
        """Ask the host what each member uses now."""
        memory = 0
        for process in self.processes.values():
            try:
                usage = host.process_usage(process.host_pid)
            except HostError:
                continue  # it has just ended; exited() will follow
            self._last[process.pid] = usage
            memory += usage.virtual_size
        self.peak_memory = max(self.peak_memory, memory)

    def accounting(self) -> Accounting:
        """The account as of the last refresh."""
        live = self._last.values()
        return Accounting(
            self._ended_user + sum(usage.user_ns for usage in live),
            self._ended_system + sum(usage.system_ns for usage in live),
            self._ended_faults + sum(usage.minor_faults + usage.major_faults for usage in live),
            self.total,
            len(self.processes),
            self.terminated,
            self.peak_memory,
        )

    def enforce(self, host: HostABI) -> list[Process]:
        """Refresh, kill what has passed a limit (everyone, for a job-wide one), and name the killed."""
        self.refresh(host)
        limits = self.limits
        account = self.accounting()
        memory = sum(usage.virtual_size for usage in self._last.values())
        if _passed(account.user_ns + account.system_ns, limits.job_time_ns) or _passed(memory, limits.job_memory):
            victims = list(self.processes.values())
            self._signal()
        else:
            victims = [process for process in self.processes.values() if self._over(process)]
        return self._kill(host, victims)

    def terminate(self, host: HostABI) -> list[Process]:
        """TerminateJobObject: kill every member, and name them."""
        return self._kill(host, list(self.processes.values()))

    def closed(self, host: HostABI) -> list[Process]:
        """The last handle has gone: kills the members if the limits say so."""
        return self.terminate(host) if self.limits.kill_on_close else []

    def _over(self, process: Process) -> bool:
        usage = self._last.get(process.pid)
        if usage is None:
            return False
        limits = self.limits
        return _passed(usage.user_ns + usage.system_ns, limits.process_time_ns) or _passed(usage.virtual_size, limits.process_memory)

    def _kill(self, host: HostABI, victims: list[Process]) -> list[Process]:
        killed = []
        for process in victims:
            try:
                host.process_signal(process.host_pid, 0, SIGKILL)
            except HostError:
                continue
            killed.append(process)
        self.terminated += len(killed)
        return killed

    def _signal(self) -> None:
        self.signaled = True
        self.offer()

    def __str__(self) -> str:
        return f"{len(self.processes)} active of {self.total}"


class JobTable:
    """Which job each process belongs to."""

    __slots__ = ("_member",)

    def __init__(self) -> None:
        self._member: dict[int, Job] = {}

    def job_of(self, process: Process) -> Job | None:
        """The job of a process."""
        job = self._member.get(process.pid)
        return job if job is not None and job.processes.get(process.pid) is process else None

    def assign(self, job: Job, process: Process) -> None:
        """Put a process into a job. Raises as Job.assign; ACCESS_DENIED when it is in one already."""
        if self.job_of(process) is not None:
            raise StatusError(NtStatus.ACCESS_DENIED, f"process {process.pid}")
        job.assign(process)
        self._member[process.pid] = job

    def forked(self, parent: Process, child: Process) -> None:
        """A child is born into its parent's job. Raises QUOTA_EXCEEDED: the child must not run."""
        job = self.job_of(parent)
        if job is not None:
            job.assign(child)
            self._member[child.pid] = job

    def exited(self, process: Process) -> None:
        """A process has ended (ProcessTable.on_process_exit)."""
        job = self.job_of(process)
        if job is not None:
            del self._member[process.pid]
            job.exited(process)


def _passed(value: int, limit: int | None) -> bool:
    return limit is not None and value > limit
