"""The beginning of tasks: the creator's event and the new task's first stop come in either order, or one of them never.

Owns who has stopped without having been announced, who has ended so, and the limit of tasks. A new task executes nothing before both
have been seen; one whose creator died before it could report ends unseen.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Final

from pylibos.runtime.task import Stage, Task
from pylibos.tracer import tracer as events

if TYPE_CHECKING:
    from pylibos.runtime.supervisor import Supervisor

NR_CLONE: Final = 56
TASKS_MAX: Final = 4096
"""Threads of one sandbox: beyond it fork is EAGAIN, so that a fork bomb exhausts the sandbox and not the host."""
_EARLY_MAX: Final = 64
"""Ends of tasks whose beginning has not been reported yet: more than can be in flight means that the beginnings will never come."""
EAGAIN: Final = 11
CLONE_PARENT: Final = 0x8000
CLONE_THREAD: Final = 0x10000
CLOCK_MONOTONIC: Final = 1
CREATOR_UNKNOWN: Final = 0
ANNOUNCEMENT_PATIENCE_NS: Final = 20_000_000
"""How long a new task may stand unannounced before its creator is looked for: a loaded host delivers both events within a few ms."""


class Births:
    """Every task between its creation and its first instruction."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._tracer = supervisor.tracer
        self._refused = False
        self.held: dict[int, int] = {}
        """Tasks that have stopped before their creation was reported: host tid -> the creating process."""
        self._ended_early: dict[int, int] = {}
        """Wait status of tasks that ended before their creation was reported."""

    def forked(self, tid: int, task: Task | None, child_tid: int, kind: int) -> None:
        """The creator's event: it is stopped inside its fork, vfork or clone."""
        supervisor = self._supervisor
        if task is None:
            if tid != supervisor.init_pid or supervisor.main is not None or supervisor.on_first_process is None:
                supervisor.kill(child_tid)
                self._tracer.resume(tid)
                return
            child = supervisor.on_first_process(child_tid, supervisor.guest_pid(child_tid))
            supervisor.main, supervisor.main_pid = child, child_tid
        else:
            registers = self._tracer.registers(tid)
            flags = registers[events.RDI] if registers is not None and registers[events.ORIG_RAX] == NR_CLONE else 0
            if len(supervisor.tasks) >= supervisor.tasks_max:
                self._refuse(tid, task, child_tid, flags)
                return
            thread = supervisor.executive.processes.fork(task.thread, child_tid, supervisor.guest_pid(child_tid), flags)
            child = Task(thread)
            if task.stage is Stage.CLONING:
                supervisor.clones.forked(tid, task, child)
        supervisor.tracer.new_task(child_tid)
        supervisor.tasks[child_tid] = child
        supervisor.observed.born(child)
        held = task is not None and task.observed is not None and supervisor.observed.forked(tid, task, child, kind)
        if self.held.pop(child_tid, None) is not None:
            if child.stage is Stage.NEWBORN:
                supervisor.clones.born(child_tid, child)
            if not supervisor.observed.stopped(child_tid, child, signal.SIGTRAP):
                self._tracer.resume(child_tid)
        elif child_tid in self._ended_early:
            supervisor.exited(child_tid, self._ended_early.pop(child_tid))
        if not held:
            self._tracer.resume(tid)

    def _refuse(self, tid: int, task: Task, child_tid: int, flags: int) -> None:
        """Too many tasks: the child ends before its first instruction, and the parent sees EAGAIN (a thread takes its process along)."""
        supervisor = self._supervisor
        if not self._refused:
            self._refused = True
            supervisor.report(f"pylibos: the sandbox has reached its limit of {supervisor.tasks_max} tasks; fork answers EAGAIN")
        self.held.pop(child_tid, None)
        supervisor.kill(child_tid)
        if flags & CLONE_THREAD or supervisor.run_to_exit(tid, True) is None:
            return
        if task.stage is Stage.CLONING:
            supervisor.clones.undo(tid, task)
        registers = self._tracer.registers(tid)
        if registers is not None:
            supervisor.answer_at_exit(tid, registers, -EAGAIN)

    def hold(self, tid: int) -> None:
        """A task that nobody has announced: its creator's event follows, nearly always as the very next one.

        Whether the creator still lives costs a read of /proc, so it is asked only when the event is late.
        """
        self._ended_early.pop(tid, None)
        self.held[tid] = CREATOR_UNKNOWN
        self._look_later(tid)

    def _look_later(self, tid: int) -> None:
        supervisor = self._supervisor
        now = supervisor.executive.host.clock_read(CLOCK_MONOTONIC)
        supervisor.waits.timers.add(now + ANNOUNCEMENT_PATIENCE_NS, lambda: self._unannounced(tid))
        supervisor.arm_timer()

    def _unannounced(self, tid: int) -> None:
        """Time to look for the creator of a held task; a dead one will not announce it."""
        if self.held.get(tid) != CREATOR_UNKNOWN:
            return
        supervisor = self._supervisor
        if supervisor.clones.giving_away:
            self._look_later(tid)  # its parent may not be its creator
            return
        group, parent = _relatives(tid)
        creator = parent if group == tid else group
        process = supervisor.executive.processes.process_by_host(creator)
        if (process is None or process.is_zombie) and not (creator == supervisor.init_pid and supervisor.main is None):
            del self.held[tid]
            supervisor.kill(tid)
        else:
            self.held[tid] = creator

    def ended(self, tid: int, status: int) -> None:
        """A task that is not known has ended."""
        if self.held.pop(tid, None) is None:
            if len(self._ended_early) >= _EARLY_MAX:
                self._ended_early.clear()
            self._ended_early[tid] = status

    def orphaned(self, host_pid: int) -> None:
        """A process has ended or is another program now: what its threads had created without living to report it ends unseen.

        No guest has learnt of those tasks, so it is as if the signal had come before the fork.
        """
        for child in [child for child, creator in self.held.items() if creator == host_pid]:
            del self.held[child]
            self._supervisor.kill(child)


def _relatives(tid: int) -> tuple[int, int]:
    """Thread group and parent process of a host task; zeros when it is gone."""
    try:
        with open(f"/proc/{tid}/status", "rb") as file:
            fields = dict(line.split(b":", 1) for line in file.read().splitlines() if b":" in line)
    except OSError:
        return 0, 0
    return int(fields.get(b"Tgid", b"0")), int(fields.get(b"PPid", b"0"))
