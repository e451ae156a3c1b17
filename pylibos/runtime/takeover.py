"""Programs executed by a thread that is not its process's leader: the kernel gives it the leader's number.

From the moment such a thread enters execveat, a stop of the leader may be stale when we act on it: the leader has been killed, and the
number is that of the new program, at its exec event. Registers set, or a resumption, would then hit the wrong program. So the leader's
stops are put aside until the outcome is known: success makes them nobody's, failure makes them due. A stopped leader does not hold up
the exec; being killed ends its stop.

Owns the stops put aside. Must not know what they mean.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pylibos.tracer import tracer as events

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylibos.runtime.task import Task
    from pylibos.tracer.tracer import Fields

_STOPS: Final = frozenset((events.TRACED, events.STOP, events.SIGNAL))
_PATH: Final = 15
"""Index of the field that tells of a path read with the event: by then another event has overwritten it."""


class Takeovers:
    """Per process (by host pid): the threads that may become its leader, and what its leader has stopped for meanwhile."""

    def __init__(self, replay: Callable[[Fields], None]) -> None:
        self._replay = replay
        self.threads: dict[int, set[int]] = {}
        self._aside: dict[int, list[Fields]] = {}

    def begin(self, tid: int, task: Task) -> None:
        """A task enters execveat."""
        process = task.thread.process
        if tid != process.host_pid and len(process.threads) > 1:
            self.threads.setdefault(process.host_pid, set()).add(tid)

    def put_aside(self, fields: Fields) -> bool:
        """Whether an event of a process's leader has to wait; asked only while ``threads`` has its process."""
        if fields[0] not in _STOPS or (fields[0] == events.STOP and fields[2] == events.EVENT_EXEC):
            return False
        kept = list(fields)
        kept[_PATH] = events.NO_PATH
        self._aside.setdefault(fields[1], []).append(tuple(kept))
        return True

    def succeeded(self, host_pid: int) -> None:
        """The process is another program now: all its other threads have gone."""
        self.threads.pop(host_pid, None)
        self._aside.pop(host_pid, None)

    def failed(self, tid: int, host_pid: int) -> None:
        """A thread has returned from execveat, or has died in it."""
        waiting = self.threads.get(host_pid)
        if waiting is None:
            return
        waiting.discard(tid)
        if not waiting:
            del self.threads[host_pid]
            for fields in self._aside.pop(host_pid, ()):
                self._replay(fields)
