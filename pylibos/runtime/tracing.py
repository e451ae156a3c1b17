"""The engine's half of ptrace(2) among guests: host stops in, stops of tracees out; a tracee's registers through the host tracer.

The supervisor is the host tracer of every task. A stop of a tracee that its guest tracer is to see is *held*: the host task simply is not
resumed, and the way it would have gone on is kept (Tracee.go). What of it comes before or after (seccomp filters, an exec under way, the
route of a call) is unchanged.

Invariants: a held task stands at a host stop, so every request on it succeeds or says that it was killed; stages that are not the guest's
business are never held; the mode a task is resumed in (Tracer.set_mode) is derived from all who watch it, in one place.

Source: Linux 6.18 kernel/ptrace.c, kernel/signal.c (ptrace_stop), ptrace(2).
"""

from __future__ import annotations

import signal as signals
import struct
from typing import TYPE_CHECKING, Final

from pylibos.abi import ptrace as p
from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.process.tracing import Stop, Traces
from pylibos.tracer import tracer as events
from pylibos.tracer.native import lib

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylibos.emulation.process.process import Process
    from pylibos.emulation.process.thread import Thread
    from pylibos.emulation.process.tracing import Tracee
    from pylibos.runtime.observed import ObservedTasks
    from pylibos.runtime.supervisor import Supervisor
    from pylibos.runtime.task import Task

SIGTRAP: Final = 5
NR_EXECVE: Final = 59
_STOP_SIGNALS: Final = frozenset((signals.SIGSTOP, signals.SIGTSTP, signals.SIGTTIN, signals.SIGTTOU))
_SIGN: Final = 1 << 63
_SIGNAL_HEAD: Final = struct.Struct("<iii4xii")
_SI_KERNEL: Final = 0x80
_SYSCALL_INSTRUCTION: Final = b"\x0f\x05"
_EXTRA_OPTIONS: Final = p.option_of(p.EVENT_EXIT) | p.option_of(p.EVENT_VFORK_DONE)
"""What the host is asked to stop a tracee for besides what it stops every task for."""
_EVENTS: Final = {events.EVENT_FORK: p.EVENT_FORK, events.EVENT_VFORK: p.EVENT_VFORK, events.EVENT_CLONE: p.EVENT_CLONE}
_NO_OPERATION: Final = b"\0"


class Tracing:
    """Holds tracees; the state machine's TraceEngine and the requests' TraceAccess."""

    def __init__(self, supervisor: Supervisor, observed: ObservedTasks) -> None:
        self._supervisor = supervisor
        self._observed = observed
        self._tracer = supervisor.tracer
        self.traces = Traces(self)

    # -- TraceEngine --------------------------------------------------------------------------------------------------
    def watch_tracer(self, process: Process) -> None:
        for thread in process.threads.values():
            task = self._task(thread)
            if task is not None:
                self._observed.update(task)
                if self.traces.traces_any(process):
                    self._tracer.interrupt(thread.host_tid)

    def announce(self, process: Process) -> None:
        self._supervisor.signal_guest(process.host_pid, signals.SIGCHLD)
        for thread in process.threads.values():
            task = self._task(thread)
            if task is not None and task.observed is not None and task.observed.wait is not None:
                self._tracer.interrupt(thread.host_tid)
        self.traces.news(process).set()

    def attached(self, thread: Thread, stop: bool) -> None:
        self._supervisor.watch_signals(1)
        task = self._task(thread)
        if task is None:
            return
        self._observed.update(task)
        if stop:
            lib.shim_tgkill(thread.process.host_pid, thread.host_tid, signals.SIGSTOP)
        tracee = self.traces.of(thread)
        if tracee is not None and not tracee.fresh:
            # It takes up its mode and options at a stop of its own, which nobody hears of unless it is in a group stop.
            self._tracer.interrupt(thread.host_tid)

    def detached(self, thread: Thread) -> None:
        self._supervisor.watch_signals(-1)
        task = self._task(thread)
        if task is not None:
            self._observed.update(task)

    def interrupt(self, thread: Thread) -> None:
        self._tracer.interrupt(thread.host_tid)

    def kill(self, thread: Thread) -> None:
        self._supervisor.kill(thread.process.host_pid)

    def prepare(self, tracee: Tracee, request: int) -> None:
        task = self._task(tracee.thread)
        if task is not None:
            self._set_options(tracee)
            self._observed.update(task)

    def mode_of(self, thread: Thread) -> int | None:
        """What a guest tracer wants of its tracee: None for nothing special."""
        tracee = self.traces.of(thread)
        if tracee is None or tracee.request == p.CONT:
            return None
        if tracee.request == p.SYSCALL:
            return events.MODE_CALLS
        return events.MODE_STEP

    # -- stops ----------------------------------------------------------------------------------------------------------
    def _task(self, thread: Thread) -> Task | None:
        task = self._supervisor.tasks.get(thread.host_tid)
        return task if task is not None and task.thread is thread else None

    def tracee(self, task: Task) -> Tracee | None:
        """The tracee a task is."""
        return self.traces.of(task.thread)

    def _hold(self, tracee: Tracee, stop: Stop, go: Callable[[int], None]) -> None:
        self.traces.stop(tracee, stop, go)

    def call_entered(self, task: Task, go: Callable[[int], None]) -> bool:
        """The entry of a call: True when the tracee stops there."""
        tracee = self.tracee(task)
        if tracee is None or not tracee.steps_calls:
            return False
        self._hold(tracee, Stop(tracee.syscall_code), go)
        return True

    def call_returned(self, task: Task, go: Callable[[int], None]) -> bool:
        """The exit of a call."""
        return self.call_entered(task, go)

    def filter_traced(self, task: Task, data: int, go: Callable[[int], None]) -> bool:
        """A seccomp filter of the guest's own says TRACE."""
        tracee = self.tracee(task)
        if tracee is None or not tracee.wants(p.EVENT_SECCOMP):
            return False
        self._hold(tracee, Stop(SIGTRAP | p.EVENT_SECCOMP << 8, data), go)
        return True

    def signalled(self, task: Task, number: int, go: Callable[[int], None]) -> bool:
        """A signal is about to be delivered."""
        tracee = self.tracee(task)
        if tracee is None:
            return False
        self._hold(tracee, Stop(number), go)
        return True

    def forked(self, tid: int, task: Task, child: Task, kind: int) -> bool:
        """The creator's event; the child has not run yet. True when the creator is held."""
        tracee = self.tracee(task)
        event = _EVENTS[kind]
        if tracee is None or not tracee.wants(event):
            return False
        self.traces.inherit(tracee, child.thread)
        stop = Stop(SIGTRAP | event << 8, child.thread.tid)
        self._hold(tracee, stop, lambda number: self._tracer.resume(tid, number))
        return True

    def stopped(self, tid: int, task: Task, number: int) -> bool:
        """An EVENT_STOP that is nothing of the engine's own. True when the tracee is held."""
        tracee = self.tracee(task)
        if tracee is None:
            return False
        group = number in _STOP_SIGNALS
        self._set_options(tracee)

        def go(sent: int) -> None:
            if sent:
                lib.shim_tgkill(task.thread.process.host_pid, tid, sent)
            self._tracer.resume(tid)

        if tracee.fresh:
            tracee.fresh = False
            stop = Stop(SIGTRAP | p.EVENT_STOP << 8) if tracee.seized else Stop(signals.SIGSTOP, 0, _sent_by_kernel(signals.SIGSTOP))
            self._hold(tracee, stop, go)
        elif group:
            stop = Stop(number | p.EVENT_STOP << 8) if tracee.seized else Stop(number, group=True)
            self._hold(tracee, stop, go)
        elif tracee.seized and (tracee.interrupted or tracee.listening):
            self._hold(tracee, Stop(SIGTRAP | p.EVENT_STOP << 8), go)
        else:
            return False
        tracee.interrupted = False
        return True

    def event(self, tid: int, task: Task, kind: int, value: int) -> bool:
        """VFORK_DONE and EXIT, which only tracees stop for."""
        tracee = self.tracee(task)
        if tracee is None or not tracee.wants(kind):
            return False
        if kind == p.EVENT_VFORK_DONE:
            child = self._supervisor.executive.processes.process_by_host(value)
            value = value if child is None else child.pid
        self._hold(tracee, Stop(SIGTRAP | kind << 8, value), lambda number: self._tracer.resume(tid, number))
        return True

    def executed(self, tid: int, task: Task) -> bool:
        """Before the first instruction of a new program: the task is at the exit of a call of our loader's."""
        tracee = self.tracee(task)
        if tracee is None:
            return False
        registers = self._tracer.registers(tid)
        if registers is None:
            return False
        registers[events.ORIG_RAX] = NR_EXECVE
        registers[events.RAX] = 0
        self._tracer.set_registers(tid, registers)

        def go(sent: int) -> None:
            if not self.call_returned(task, lambda number: self._tracer.resume(tid, number)):
                self._tracer.resume(tid, sent)

        if tracee.wants(p.EVENT_EXEC):
            self._hold(tracee, Stop(SIGTRAP | p.EVENT_EXEC << 8, task.thread.tid), go)
        elif not tracee.seized:
            # What Linux sends a tracee of the old kind: a real SIGTRAP, taken after the call's exit.
            information = _SIGNAL_HEAD.pack(SIGTRAP, 0, 0, task.thread.process.pid, task.thread.process.credentials.ruid)
            stop = Stop(SIGTRAP, information=information.ljust(p.SIGINFO_SIZE, b"\0"))

            def trap(_number: int) -> None:
                self._hold(tracee, stop, lambda number: self._tracer.resume(tid, number))

            if not self.call_returned(task, trap):
                trap(0)
        else:
            go(0)
        return True

    def exited(self, thread: Thread, status: int) -> None:
        """A task has ended."""
        self.traces.exited(thread, status)

    # -- host options ---------------------------------------------------------------------------------------------------
    def _set_options(self, tracee: Tracee) -> None:
        self._tracer.set_extra_options(tracee.thread.host_tid, tracee.options & _EXTRA_OPTIONS)

    # -- TraceAccess -----------------------------------------------------------------------------------------------------
    def read(self, thread: Thread, request: int, address: int, size: int) -> bytes:
        return self._tracer.request_out(thread.host_tid, request, address, size, _failed)

    def write(self, thread: Thread, request: int, address: int, data: bytes) -> None:
        self._tracer.request_in(thread.host_tid, request, address, data, _failed)

    def plain(self, thread: Thread, request: int, address: int, data: int) -> None:
        self._tracer.request_plain(thread.host_tid, request, address, data, _failed)

    def read_set(self, thread: Thread, kind: int, size: int) -> bytes:
        return self._tracer.register_set(thread.host_tid, kind, size, _failed)

    def write_set(self, thread: Thread, kind: int, data: bytes) -> None:
        self._tracer.set_register_set(thread.host_tid, kind, data, _failed)

    def call_information(self, tracee: Tracee) -> bytes:
        # With the size as address the request returns how much there is; only a stop at a call has more than the head.
        stop = tracee.stop
        raw = self._tracer.request_out(tracee.thread.host_tid, p.GET_SYSCALL_INFO, p.SYSCALL_INFO_SIZE, p.SYSCALL_INFO_SIZE, _failed)
        if stop is not None and stop.code & ~0x80 == SIGTRAP and not stop.information:
            return raw[: {1: 80, 2: 33}.get(raw[0], 24)]
        return _NO_OPERATION + raw[1:24]

    def listen(self, tracee: Tracee) -> None:
        tracee.stop = tracee.go = None
        tracee.unreported = False
        tracee.listening = True
        self._tracer.listen(tracee.thread.host_tid)


def _failed(error: int) -> SyscallError:
    known = error if error in Errno.__members__.values() else int(Errno.EIO)
    return SyscallError(Errno(known))


def _sent_by_kernel(number: int) -> bytes:
    return _SIGNAL_HEAD.pack(number, 0, _SI_KERNEL, 0, 0).ljust(p.SIGINFO_SIZE, b"\0")
