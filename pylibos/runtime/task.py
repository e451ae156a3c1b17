"""A host task as the supervisor drives it: the link between a tracee's stops and an executive Thread.

Owns the engine-side state of one task (what it is in the middle of); the meaning of calls is the executive's.
"""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pylibos.emulation.dispatch import Answer
    from pylibos.emulation.object_manager.waits import PendingWait
    from pylibos.emulation.outcome import Blocking, Clone, Exec, Remote, Translated
    from pylibos.emulation.process.thread import Thread
    from pylibos.runtime.observed import Observed


class Stage(enum.Enum):
    """What the next stop of a task belongs to."""

    RUNNING = "running"
    EXEC_STOPPING = "exec: asked to stop after its execve was answered"
    EXEC_ENTERING = "exec: about to call execveat on the loader"
    EXEC_RUNNING = "exec: in execveat"
    LOADING = "exec: our loader maps the program and will say when it is done"
    LOADED = "exec: about to execute the program's first instruction"
    PARK_STOPPING = "blocked: asked to stop so that it can be put to sleep"
    PARK_ENTERING = "blocked: about to call pause"
    PARKED = "blocked: asleep in pause, takes signals"
    WAKING = "blocked: asked to stop because the wait is over"
    CLONING = "in the clone(2) that stands for its call"
    NEWBORN = "created by such a clone: about to stop for the first time"
    TRANSLATED = "in a forwarded call whose return must be seen"
    REMOTE_STOPPING = "asked to stop so that it can make calls of ours"
    REISSUE = "about to make its call again; the answer is ready"


class Task:
    """One traced host task."""

    __slots__ = (
        "blocking",
        "call",
        "clone",
        "descriptors",
        "exec",
        "mask",
        "number",
        "observed",
        "pending",
        "ready",
        "ready_call",
        "remote",
        "saved",
        "slot",
        "stage",
        "thread",
        "translated",
    )

    def __init__(self, thread: Thread) -> None:
        self.thread = thread
        self.stage = Stage.RUNNING
        self.call: tuple[int, tuple[int, ...]] = (0, ())
        """Number and arguments of the call being carried out in several steps."""
        self.number = 0
        self.saved: list[int] | None = None
        self.exec: Exec | None = None
        self.slot = 0
        """Which slot for an address of ours the call reads, while it is TRANSLATED."""
        self.observed: Observed | None = None
        """Set when every call of the task is seen."""
        self.translated: Translated | None = None
        self.clone: Clone | None = None
        """What is being carried out while CLONING, or what has made this task while NEWBORN."""
        self.remote: Remote | None = None
        self.descriptors: tuple[int, ...] = ()
        self.blocking: Blocking | None = None
        self.pending: PendingWait | None = None
        self.ready: Answer | NotReady = NOT_READY
        """The finished outcome that waits for the call to be made again."""
        self.ready_call: tuple[int, tuple[int, ...]] = (0, ())
        """Number and arguments of that call."""
        self.mask: int | None = None
        """The task's own signal mask while everything is blocked: on the way from execve to the new program."""


class NotReady:
    """No outcome waits."""


NOT_READY = NotReady()
