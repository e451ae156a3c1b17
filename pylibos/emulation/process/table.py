"""The process manager's table (NT: Ps; Linux: kernel/fork.c, kernel/exit.c): who exists, who is whose child, who left.

Owns the guest <-> host names of processes and threads, the tree, process groups and sessions, and zombies. It is told of events by
the runtime (create_root, fork, exec_committed, thread_exited, reaped) and never asks the engine for anything; signals, waiting and
scheduling stay native. Must not know registers, ptrace or the seccomp listener.

Invariants: a live Process has at least one Thread; a zombie has none; a Thread is found under both names or neither; every live
process but the first has a live parent or none of its ancestors lives (then the sandbox is ending).

Zombies: the host kernel reaps, so the table is not always told. Names of dead processes are swept against the host whenever their
number has doubled, and a name the host gives out again replaces the dead one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from pylibos.abi.process import CLONE_FS, CLONE_PARENT, CLONE_THREAD
from pylibos.emulation.changes import context_changed
from pylibos.emulation.process.process import Process
from pylibos.emulation.process.thread import Thread
from pylibos.monitor.host_abi import HostError

if TYPE_CHECKING:
    from pylibos.emulation.executive import Executive
    from pylibos.emulation.fs.context import FsContext
    from pylibos.emulation.guest import GuestMemory
    from pylibos.emulation.object_manager.dispatcher import ProcessExit
    from pylibos.emulation.outcome import ExecPlan
    from pylibos.emulation.process.job import JobTable
    from pylibos.emulation.security.credentials import Credentials

MemoryFactory = Callable[[int], "GuestMemory"]
"""host_tid -> the memory of that thread's address space. Called again after exec: the address space is a new one then."""

COMM_SIZE = 15
"""Bytes of a thread's name, the NUL not counted (TASK_COMM_LEN - 1)."""

_SWEEP_MINIMUM = 64
_CLOCK_MONOTONIC = 1


class ProcessTable:
    """Processes by pid and host_pid, threads by tid and host_tid."""

    __slots__ = (
        "_by_host_pid",
        "_by_host_tid",
        "_by_pid",
        "_by_tid",
        "_memory",
        "_sweep_at",
        "_zombies",
        "above",
        "init",
        "jobs",
        "on_process_exit",
    )

    def __init__(self, memory: MemoryFactory) -> None:
        self._memory = memory
        self._by_pid: dict[int, Process] = {}
        self._by_host_pid: dict[int, Process] = {}
        self._by_tid: dict[int, Thread] = {}
        self._by_host_tid: dict[int, Thread] = {}
        self._zombies: dict[int, Process] = {}
        self._sweep_at = _SWEEP_MINIMUM
        self.init: Process | None = None
        """The first process of the sandbox."""
        self.jobs: JobTable | None = None
        """Which job each process is in; None while there are no jobs."""
        self.above = 0
        """The number getppid gives the first process and orphans: no process of ours, but it can be asked about, like PID 1."""
        self.on_process_exit: list[Callable[[Process], None]] = []
        """Called when a process ends (its last thread has gone): the I/O manager drops record locks, the runtime its state."""

    # -- looking up ----------------------------------------------------------------------------------------------
    def thread_by_host(self, host_tid: int) -> Thread | None:
        """The live thread with this host name."""
        return self._by_host_tid.get(host_tid)

    def thread(self, tid: int) -> Thread | None:
        """The live thread with this guest tid."""
        return self._by_tid.get(tid)

    def process(self, pid: int) -> Process | None:
        """The process with this guest pid, zombies included."""
        return self._by_pid.get(pid)

    def process_by_host(self, host_pid: int) -> Process | None:
        """The process with this host name, zombies included."""
        return self._by_host_pid.get(host_pid)

    def process_of_task(self, tid: int) -> Process | None:
        """The process a pid argument names when any thread id is accepted there (getpgid, kill): by pid, else by live thread."""
        process = self._by_pid.get(tid)
        if process is not None:
            return process
        thread = self._by_tid.get(tid)
        return None if thread is None else thread.process

    def guest_pid(self, host_pid: int) -> int | None:
        """Guest name of a host process id (SO_PEERCRED, F_GETLK, ...); None when it is none of ours."""
        process = self._by_host_pid.get(host_pid)
        return None if process is None else process.pid

    def host_pid(self, pid: int) -> int | None:
        """Host name of a guest process id."""
        process = self._by_pid.get(pid)
        return None if process is None else process.host_pid

    def processes(self) -> list[Process]:
        """Every process by ascending pid, zombies included (a fresh list). Names already waited for are dropped first."""
        self.sweep()
        return [self._by_pid[pid] for pid in sorted(self._by_pid)]

    def live(self) -> Iterator[Process]:
        """Every process that has not ended, in no particular order."""
        return (process for process in self._by_pid.values() if process.exit_status is None)

    def __len__(self) -> int:
        return len(self._by_pid)

    def thread_count(self) -> int:
        """Number of live threads in the sandbox."""
        return len(self._by_tid)

    # -- groups and sessions -------------------------------------------------------------------------------------
    def group(self, pgid: int) -> list[Process]:
        """Members of a process group, zombies included."""
        return [process for process in self._by_pid.values() if process.pgid == pgid]

    def group_session(self, pgid: int) -> int | None:
        """The session a process group belongs to; None when the group does not exist."""
        for process in self._by_pid.values():
            if process.pgid == pgid:
                return process.sid
        return None

    def start_session(self, process: Process) -> int:
        """setsid has been granted: process leads a new session and a new group, both named by its pid."""
        process.sid = process.pgid = process.pid
        return process.pid

    # -- events --------------------------------------------------------------------------------------------------
    def create_root(self, executive: Executive, host_pid: int, pid: int, credentials: Credentials, fs: FsContext) -> Thread:
        """The sandbox's first process and its first thread. Later calls make further parentless processes (``pylibos exec``)."""
        process = Process(executive, pid, host_pid, None, credentials, fs)
        process.start_ns = executive.host.clock_read(_CLOCK_MONOTONIC)
        if self.init is None:
            self.init = process
        self._enter_process(process)
        return self._enter_thread(process, pid, host_pid)

    def fork(self, parent: Thread, host_child_tid: int, guest_child_tid: int, flags: int) -> Thread:
        """A clone event: a new thread of the parent's process with CLONE_THREAD, else the first thread of a new process.

        flags: the CLONE_* word the guest passed (fork: 0). CLONE_FS shares root, cwd and umask; credentials are always copied.
        The id may be that of a process the host has reaped already: the dead name gives way.
        """
        owner = parent.process
        if flags & CLONE_THREAD:
            thread = self._enter_thread(owner, guest_child_tid, host_child_tid)
            thread.comm = parent.comm
            thread.seccomp = parent.seccomp
            return thread
        executive = parent.executive
        ancestor = owner.parent if flags & CLONE_PARENT and owner.parent is not None else owner
        fs = owner.fs if flags & CLONE_FS else owner.fs.copy()
        child = Process(executive, guest_child_tid, host_child_tid, ancestor, owner.credentials.copy(), fs)
        child.pgid, child.sid = owner.pgid, owner.sid
        child.run(owner.executable)
        child.executable_path = owner.executable_path
        child.argument_prefix = owner.argument_prefix
        child.comm = parent.comm
        child.dumpable = owner.dumpable
        child.personality = owner.personality
        child.execution_count = owner.execution_count
        child.forked_without_exec = True
        child.start_ns = executive.host.clock_read(_CLOCK_MONOTONIC)
        if self.jobs is not None:
            self.jobs.forked(owner, child)
        self._enter_process(child)
        thread = self._enter_thread(child, guest_child_tid, host_child_tid)
        thread.seccomp = parent.seccomp
        return thread

    def exec_committed(self, thread: Thread, plan: ExecPlan) -> None:
        """The exec event: the old program is gone. The other threads vanish and ``thread`` is the leader, under the process's
        pid, as the host kernel has renamed it. Credentials prepared by the handler take effect here."""
        process = thread.process
        for other in list(process.threads.values()):
            if other is not thread:
                self._drop_thread(other)
        if thread.tid != process.pid:
            self._drop_thread(thread)
            thread.tid, thread.host_tid = process.pid, process.host_pid
            self._record_thread(thread)
        thread.memory = self._memory(thread.host_tid)
        thread.robust_list = (0, 0)
        thread.clear_child_tid = 0
        thread.comm = process.comm = (plan.comm or plan.path.rpartition(b"/")[2])[:COMM_SIZE]
        process.run(plan.executable)
        process.executable_path = plan.executable_path or plan.path
        process.argument_prefix = plan.argument_prefix
        process.forked_without_exec = False
        process.execution_count += 1
        elevated = plan.credentials is not None and plan.credentials.elevated
        process.dumpable = 0 if elevated else 1
        process.parent_death_signal = 0 if elevated else process.parent_death_signal
        process.group_exit_status = None
        if plan.credentials is not None:
            process.credentials = plan.credentials
            context_changed()
        for action in plan.commit:
            action(thread)

    def thread_exited(self, host_tid: int, status: int) -> Process | None:
        """A thread has ended with this wait(2) status word. Returns its process when that was the last thread (now a zombie)."""
        thread = self._by_host_tid.get(host_tid)
        if thread is None:
            return None
        process = thread.process
        self._drop_thread(thread)
        if thread.tid == process.pid:
            process.group_exit_status = status
        if process.threads:
            return None
        # A process reports its leader's status even when the leader was not the last to go.
        process.exit_status = status if process.group_exit_status is None else process.group_exit_status
        process.run(None)
        self._zombies[process.pid] = process
        self._reparent(process)
        for callback in self.on_process_exit:
            callback(process)
        if self.jobs is not None:
            self.jobs.exited(process)
        if process.exited is not None:
            process.exited.exited(process.exit_status)
        if len(self._zombies) >= self._sweep_at:
            self.sweep()
            self._sweep_at = max(_SWEEP_MINIMUM, 2 * len(self._zombies))
        return process

    def reaped(self, host_pid: int) -> None:
        """The host says a zombie's name is gone (its parent waited, or nobody will)."""
        process = self._by_host_pid.get(host_pid)
        if process is not None and process.exit_status is not None:
            self._forget(process)

    def sweep(self) -> None:
        """Forget the zombies the host no longer knows."""
        for process in list(self._zombies.values()):
            if not self._host_has(process):
                self._forget(process)

    def exists(self, process: Process) -> bool:
        """Whether a process's name still stands: it lives, or is a zombie nobody has waited for yet."""
        if process.exit_status is None:
            return True
        if self._host_has(process):
            return True
        self._forget(process)
        return False

    def exit_object(self, process: Process) -> ProcessExit:
        """What is signalled when the process ends (at once when it already has): for pidfds and the name space."""
        # Imported late: most programs never wait for a process through the executive, and start-up time is counted.
        from pylibos.emulation.object_manager.dispatcher import ProcessExit

        if process.exited is None:
            process.exited = ProcessExit(process.pid)
            if process.exit_status is not None:
                process.exited.exited(process.exit_status)
        return process.exited

    # -- inside --------------------------------------------------------------------------------------------------
    def _enter_process(self, process: Process) -> None:
        for stale in (self._by_pid.get(process.pid), self._by_host_pid.get(process.host_pid)):
            if stale is not None:
                self._forget(stale)
        self._by_pid[process.pid] = process
        self._by_host_pid[process.host_pid] = process
        if process.parent is not None:
            process.parent.children[process.pid] = process

    def _enter_thread(self, process: Process, tid: int, host_tid: int) -> Thread:
        # A zombie's pid may have been reaped and reused for a thread, which has no process entry of its own.
        stale = self._zombies.get(tid)
        if stale is not None:
            self._forget(stale)
        thread = Thread(process, tid, host_tid, self._memory(host_tid))
        self._record_thread(thread)
        return thread

    def _record_thread(self, thread: Thread) -> None:
        self._by_tid[thread.tid] = thread
        self._by_host_tid[thread.host_tid] = thread
        thread.process.threads[thread.tid] = thread

    def _drop_thread(self, thread: Thread) -> None:
        self._by_tid.pop(thread.tid, None)
        self._by_host_tid.pop(thread.host_tid, None)
        thread.process.threads.pop(thread.tid, None)

    def heir_of(self, process: Process) -> Process | None:
        """Whose the children of a process are when it ends; None: the process above the first."""
        heir = process.parent
        while heir is not None and not (heir.child_subreaper and heir.exit_status is None):
            heir = heir.parent
        if heir is None and not self.above:
            heir = self.init
        return None if heir is process or (heir is not None and heir.exit_status is not None) else heir

    def _reparent(self, process: Process) -> None:
        """Children of a dead process go to the nearest living child subreaper above it, else to the process above the first (no process
        here), or where there is none to the sandbox's first process."""
        if not process.children:
            return
        heir = self.heir_of(process)
        for child in process.children.values():
            child.parent = heir
            if heir is not None:
                heir.children[child.pid] = child
        process.children = {}

    @staticmethod
    def _host_has(process: Process) -> bool:
        """Whether the host still knows the name of a dead process. A name it has given to somebody else counts as known: guests
        that get it replace the entry anyway, and for others a zombie too many is harmless."""
        try:
            process.executive.host.process_usage(process.host_pid)
        except HostError:
            return False
        return True

    def _forget(self, process: Process) -> None:
        for thread in list(process.threads.values()):
            self._drop_thread(thread)
        if process.exit_status is None:
            process.exit_status = 0
            process.run(None)
            self._reparent(process)
        self._zombies.pop(process.pid, None)
        if self._by_pid.get(process.pid) is process:
            del self._by_pid[process.pid]
        if self._by_host_pid.get(process.host_pid) is process:
            del self._by_host_pid[process.host_pid]
        if process.parent is not None and process.parent.children.get(process.pid) is process:
            del process.parent.children[process.pid]
