"""Guests that trace guests (Linux: kernel/ptrace.c): who traces whom, what a tracee is stopped for, what a wait may report.

The host tracer of every guest task is ours, so ptrace(2) among guests is this table. A tracee runs, or is *stopped*: then it has a Stop,
a way to go on (a callable of the engine's), and, until its tracer has waited, something to report. What has happened on the host
before and what happens next is the engine's (TraceEngine).

    running --stop()--> stopped and unreported --take()--> stopped --resume()--> running
    any --exited()/forget()--> gone; a tracee that is no child of its tracer leaves its end to be reported

Invariants: a tracee has one tracer (a process: requests may come from any of its threads); the tables hold only living tracees; a stopped
tracee does not execute. Must not know registers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

from pylibos.abi import ptrace as p
from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.object_manager.dispatcher import Event

if TYPE_CHECKING:
    from pylibos.emulation.process.process import Process
    from pylibos.emulation.process.thread import Thread

SIGKILL: Final = 9
SIGTRAP: Final = 5
SIGCHLD: Final = 17
SIGSTOP: Final = 19
SYSCALL_BIT: Final = 0x80
_STOPPED: Final = 0x7F
ENDED_MAX: Final = 4096
"""Ends kept for a tracer that does not wait."""


class Stop(NamedTuple):
    """Why a tracee stands still. code: signal | event << 8, what waitid calls its status; information: siginfo, None to ask the host."""

    code: int
    message: int = 0
    information: bytes | None = None
    group: bool = False
    """A group stop: it has no siginfo."""

    @property
    def status(self) -> int:
        """The word wait4 reports."""
        return self.code << 8 | _STOPPED


class TraceEngine(Protocol):
    """What the state machine asks of the engine. thread is a tracee unless said otherwise."""

    def watch_tracer(self, process: Process) -> None:
        """process has its first tracee (see its waits from now on) or has lost its last one."""
        ...

    def announce(self, process: Process) -> None:
        """Something is to be reported to this tracer: SIGCHLD, and whoever waits looks again."""
        ...

    def attached(self, thread: Thread, stop: bool) -> None:
        """thread has a tracer now; stop: it is to stop with SIGSTOP."""
        ...

    def detached(self, thread: Thread) -> None:
        """It has none any more and goes on by itself."""
        ...

    def interrupt(self, thread: Thread) -> None:
        """Stop it soon, wherever it is (EVENT_STOP)."""
        ...

    def prepare(self, tracee: Tracee, request: int) -> None:
        """It will be resumed by this request."""
        ...

    def kill(self, thread: Thread) -> None:
        """SIGKILL."""
        ...


class Tracee:
    """One traced thread."""

    __slots__ = (
        "event_message",
        "fresh",
        "go",
        "interrupted",
        "listening",
        "options",
        "request",
        "seized",
        "stop",
        "thread",
        "tracer",
        "unreported",
    )

    def __init__(self, thread: Thread, tracer: Process, seized: bool, options: int = 0) -> None:
        self.thread = thread
        self.tracer = tracer
        self.seized = seized
        self.options = options
        self.stop: Stop | None = None
        self.go: Callable[[int], None] | None = None
        """How it goes on from its stop, with a signal to deliver or 0."""
        self.unreported = False
        self.request = p.CONT
        """How it was resumed last."""
        self.event_message = 0
        self.interrupted = False
        """PTRACE_INTERRUPT was asked for and has not been seen."""
        self.listening = False
        self.fresh = False
        """Attached at its birth: its first stop is still to come."""

    def wants(self, event: int) -> bool:
        """Whether its tracer has asked for an event."""
        return bool(self.options & p.option_of(event))

    @property
    def steps_calls(self) -> bool:
        """Whether it stops at the entry and exit of calls."""
        return self.request == p.SYSCALL

    @property
    def syscall_code(self) -> int:
        """What a stop at a call is reported as."""
        return SIGTRAP | (SYSCALL_BIT if self.options & p.O_TRACESYSGOOD else 0)


class Ended(NamedTuple):
    """The end of a tracee that its tracer cannot learn of natively."""

    tid: int
    pgid: int
    status: int


class Report(NamedTuple):
    """What a wait finds."""

    tid: int
    uid: int
    status: int
    code: int
    stopped: bool


class Traces:
    """All tracees of a sandbox."""

    def __init__(self, engine: TraceEngine) -> None:
        self.engine = engine
        self._tracees: dict[Thread, Tracee] = {}
        self._by_tracer: dict[Process, dict[Tracee, None]] = {}
        self._ended: dict[Process, list[Ended]] = {}
        self._news: dict[Process, Event] = {}

    # -- who ------------------------------------------------------------------------------------------------------------
    def of(self, thread: Thread) -> Tracee | None:
        """The tracee a thread is."""
        return self._tracees.get(thread)

    def stopped(self, thread: Thread | None, tracer: Process) -> Tracee:
        """thread as a stopped tracee of this tracer. Raises ESRCH, as every request but a few does."""
        tracee = None if thread is None else self._tracees.get(thread)
        if tracee is None or tracee.tracer is not tracer or tracee.stop is None:
            raise SyscallError(Errno.ESRCH)
        return tracee

    def traces_any(self, process: Process) -> bool:
        """Whether process has tracees, or ends of such to wait for."""
        return process in self._by_tracer or process in self._ended

    def attach(self, thread: Thread, tracer: Process, *, seized: bool, options: int = 0, stop: bool = False) -> Tracee:
        """thread gets a tracer. Raises EPERM when it has one, or is the tracer's own."""
        if thread in self._tracees or thread.process is tracer:
            raise SyscallError(Errno.EPERM)
        tracee = Tracee(thread, tracer, seized, options)
        self._enter(tracee)
        self.engine.attached(thread, stop)
        return tracee

    def inherit(self, parent: Tracee, child: Thread) -> None:
        """A tracee's new child is traced from its birth."""
        tracee = Tracee(child, parent.tracer, parent.seized, parent.options)
        tracee.fresh = True
        self._enter(tracee)
        self.engine.attached(child, False)

    def _enter(self, tracee: Tracee) -> None:
        first = tracee.tracer not in self._by_tracer
        self._tracees[tracee.thread] = tracee
        self._by_tracer.setdefault(tracee.tracer, {})[tracee] = None
        if first:
            self.engine.watch_tracer(tracee.tracer)

    def _remove(self, tracee: Tracee) -> None:
        self._tracees.pop(tracee.thread, None)
        mine = self._by_tracer.get(tracee.tracer)
        if mine is not None:
            mine.pop(tracee, None)
            if not mine:
                del self._by_tracer[tracee.tracer]
                self.engine.watch_tracer(tracee.tracer)

    # -- stopping and going on ---------------------------------------------------------------------------------------------
    def stop(self, tracee: Tracee, stop: Stop, go: Callable[[int], None]) -> None:
        """A tracee stands still until resume(); its tracer is told."""
        tracee.stop, tracee.go = stop, go
        tracee.unreported = True
        tracee.listening = False
        tracee.event_message = stop.message
        self.engine.announce(tracee.tracer)

    def resume(self, tracee: Tracee, request: int, signal: int) -> None:
        """It goes on: request is one of RESUMPTIONS."""
        go, tracee.go = tracee.go, None
        tracee.stop = None
        tracee.unreported = False
        tracee.request = request
        self.engine.prepare(tracee, request)
        if go is not None:
            go(signal)

    def detach(self, tracee: Tracee, signal: int = 0) -> None:
        """It is nobody's any more, and goes on."""
        self._remove(tracee)
        go, tracee.go = tracee.go, None
        tracee.stop = None
        self.engine.detached(tracee.thread)
        if go is not None:
            go(signal)

    def interrupt(self, tracee: Tracee) -> None:
        """PTRACE_INTERRUPT."""
        if tracee.stop is None or tracee.listening:
            tracee.interrupted = True
            self.engine.interrupt(tracee.thread)

    # -- ends -------------------------------------------------------------------------------------------------------------
    def exited(self, thread: Thread, status: int) -> None:
        """A thread has ended. Its tracer hears of it, unless it is its own child's end, which it waits for natively."""
        tracee = self._tracees.get(thread)
        if tracee is None:
            return
        process, tracer = thread.process, tracee.tracer
        self.engine.detached(thread)
        self._remove(tracee)
        native = process.parent is tracer and thread.is_leader
        if tracer.exit_status is None and not native:
            ended = self._ended.setdefault(tracer, [])
            if len(ended) >= ENDED_MAX:  # natively these would be zombies, which are limited too
                del ended[0]
            ended.append(Ended(thread.tid, process.pgid, status))
            self.engine.watch_tracer(tracer)
            self.engine.announce(tracer)
        elif tracer.exit_status is None:
            self.news(tracer).set()

    def forget(self, thread: Thread) -> None:
        """A thread has vanished in an exec of another thread."""
        tracee = self._tracees.get(thread)
        if tracee is not None:
            self.engine.detached(thread)
            self._remove(tracee)

    def tracer_gone(self, process: Process) -> None:
        """A tracer has ended: its tracees go on, or end with it."""
        for tracee in list(self._by_tracer.get(process, ())):
            if tracee.options & p.O_EXITKILL:
                self.engine.kill(tracee.thread)
            self.detach(tracee)
        self._ended.pop(process, None)
        self._news.pop(process, None)

    # -- waiting ------------------------------------------------------------------------------------------------------------
    def news(self, process: Process) -> Event:
        """Set whenever a tracer should look again."""
        event = self._news.get(process)
        if event is None:
            event = self._news[process] = Event()
        return event

    def recheck(self, process: Process | None) -> None:
        """A process has a new child: a wait of its that knew only tracees looks again."""
        if process is not None and process in self._news:
            self._news[process].set()

    def take(self, process: Process, matches: Callable[[int, int], bool], *, keep: bool = False, ends: bool = True) -> Report | None:
        """The next thing a wait of process reports. matches(tid, pgid); keep: WNOWAIT, it stays to be reported; ends: also of tracees."""
        ended = self._ended.get(process, [])
        for index, end in enumerate(ended):
            if ends and matches(end.tid, end.pgid):
                if not keep:
                    del ended[index]
                    if not ended:
                        del self._ended[process]
                        self.engine.watch_tracer(process)
                return Report(end.tid, 0, end.status, end.status, False)
        for tracee in self._by_tracer.get(process, ()):
            thread = tracee.thread
            if tracee.unreported and tracee.stop is not None and matches(thread.tid, thread.process.pgid):
                tracee.unreported = keep
                return Report(thread.tid, thread.process.credentials.ruid, tracee.stop.status, tracee.stop.code, True)
        return None

    def could_report(self, process: Process, matches: Callable[[int, int], bool]) -> bool:
        """Whether a wait of process has a tracee to wait for."""
        return any(matches(tracee.thread.tid, tracee.thread.process.pgid) for tracee in self._by_tracer.get(process, ()))

    def __iter__(self) -> Iterator[Tracee]:
        return iter(list(self._tracees.values()))
