"""The supervisor's event loop: tracer events in, executive calls, answers out (NT: the trap dispatcher).

Owns the tasks, their stages and the sandbox's life; knows both the tracer and the executive, which do not know each other. The
state machines of exec and of blocking calls are in image.py and blocking.py. Whatever a guest does between two steps, a stop that
does not fit the stage ends that guest, never the supervisor.
"""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from pylibos.emulation.dispatch import dispatch, internal_fault
from pylibos.emulation.outcome import Clone, Exec, Forward, Install, Remote, Translated
from pylibos.monitor.host_abi import HostError
from pylibos.runtime.births import TASKS_MAX, Births
from pylibos.runtime.blocking import BlockingCalls
from pylibos.runtime.cloning import CloneCalls
from pylibos.runtime.image import ImageLoader
from pylibos.runtime.observed import ObservedTasks
from pylibos.runtime.remote import RemoteCalls
from pylibos.runtime.takeover import Takeovers
from pylibos.runtime.task import NOT_READY, NotReady, Stage, Task
from pylibos.runtime.translated import TranslatedCalls
from pylibos.tracer import tracer as events
from pylibos.tracer.native import lib
from pylibos.tracer.tracer import TracerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylibos.emulation.dispatch import Answer
    from pylibos.emulation.executive import Executive
    from pylibos.emulation.object_manager.waits import WaitQueue
    from pylibos.emulation.outcome import Blocking
    from pylibos.emulation.process.thread import Thread
    from pylibos.monitor.host_abi import HostStream
    from pylibos.runtime.installer import Installer
    from pylibos.tracer.tracer import Fields, Tracer

NR_EXECVE: Final = 59
NR_EXECVEAT: Final = 322
NR_PAUSE: Final = 34
NR_REISSUE: Final = 1022
"""A number no kernel knows: a traced call is turned into it when its answer needs a notification (a new descriptor, an exec)."""
_STOP_SIGNALS: Final = frozenset((signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU))
_SIGN: Final = 1 << 63
_GUEST_EVENTS: Final = frozenset((events.NOTIFIED, events.TRACED, events.STOP, events.SIGNAL))
_ENTRY_AND_EXIT: Final = 2
_TRACEE_EVENTS: Final = frozenset((5, 6))
"""PTRACE_EVENT_VFORK_DONE and _EXIT: asked for by tracers among the guests."""
ENOSYS: Final = 38


class Supervisor:
    """Runs one sandbox from the first notification to the last exit."""

    def __init__(
        self,
        tracer: Tracer,
        executive: Executive,
        waits: WaitQueue,
        installer: Installer,
        loader: tuple[int, tuple[int, int]],
        *,
        descriptor: Callable[[HostStream], int],
        report: Callable[[str], None],
    ) -> None:
        self.tracer = tracer
        self.executive = executive
        self.waits = waits
        self.installer = installer
        self.descriptor = descriptor
        self.report = report
        self.tasks: dict[int, Task] = {}
        self.init_pid = 0
        self.main: Task | None = None
        self.main_pid = 0
        self.main_status: int | None = None
        self.name_space = -1
        self.calling: Thread | None = None
        """Whose call is being answered: the audit log names it."""
        self.only_traced = False
        self.tasks_max = TASKS_MAX
        self.dispatch: Callable[[Thread, int, tuple[int, ...]], Answer | Blocking] = dispatch
        self.on_request: Callable[[int], None] = lambda _signal: None
        self.on_timer: Callable[[], None] = lambda: None
        self.on_stream: Callable[[int, int], None] = lambda _tag, _events: None
        self.on_first_process: Callable[[int, int], Task] | None = None
        self._signal_watchers = 0
        self.births = Births(self)
        self.clones = CloneCalls(self)
        self.takeovers = Takeovers(self._handle)
        self._images = ImageLoader(self, loader)
        self._blocking = BlockingCalls(self)
        self._remote = RemoteCalls(self)
        self.observed = ObservedTasks(self)
        self._translated = TranslatedCalls(tracer, self.tasks, self.observed.returned)
        self._handlers: dict[int, Callable[[Fields], None]] = {
            events.NOTIFIED: self._notified,
            events.TRACED: self._traced,
            events.STOP: self._stop,
            events.SIGNAL: self._signal,
            events.EXIT: self._exit,
            events.STREAM: self._stream,
            events.TIMER: self._timer,
            events.REQUEST: self._request,
        }

    # -- the loop ------------------------------------------------------------------------------------------------
    def run(self) -> int:
        """Serve until the main program has ended; its wait status."""
        following = self.tracer.next
        handlers = self._handlers
        waits = self.waits
        leaders = self.takeovers.threads
        while self.main_status is None:
            fields = following()
            try:
                if leaders and fields[1] in leaders and self.takeovers.put_aside(fields):
                    continue
                handlers[fields[0]](fields)
                if waits.ready:
                    waits.deliver()
            except TracerError:
                raise
            except Exception as fault:
                self._contain(fields, fault)
        return self.main_status

    def _handle(self, fields: Fields) -> None:
        self._handlers[fields[0]](fields)

    def _contain(self, fields: Fields, fault: Exception) -> None:
        """A bug of ours while a guest's event was handled: that guest ends, the others go on. Without a guest to blame, all end."""
        task = self.tasks.get(fields[1]) if fields[0] in _GUEST_EVENTS else None
        if task is None:
            raise fault
        internal_fault.report(task.thread, fields[5] if fields[0] in (events.NOTIFIED, events.TRACED) else -1, fields[6:12], fault)
        self.kill(task.thread.process.host_pid)

    def arm_timer(self) -> None:
        """Tell the tracer when the next deadline is."""
        self.tracer.set_deadline(self.waits.timers.next_deadline() or 0)

    def _stream(self, fields: Fields) -> None:
        self.on_stream(fields[3], fields[2])

    def _timer(self, _fields: Fields) -> None:
        self.waits.expire()
        self.on_timer()
        self.arm_timer()

    def _request(self, fields: Fields) -> None:
        self.on_request(fields[2])

    # -- calls ------------------------------------------------------------------------------------------------------
    def _notified(self, fields: Fields) -> None:
        task = self.tasks.get(fields[1])
        call_id = fields[4]
        if task is None:
            self.tracer.reply(call_id, -ENOSYS)
            return
        self.installer.begin(call_id, fields[1])
        if task.blocking is not None:
            self._blocking.strayed(task)
        if task.ready is not NOT_READY:
            ready = self._ready_answer(task, fields)
            if not isinstance(ready, NotReady):
                self.finish_notified(task, call_id, ready)
                return
        self.calling = thread = task.thread
        if fields[15] != events.NO_PATH:
            thread.prefetched_address = fields[14]
            thread.prefetched_path = self.tracer.path(fields[15])
        else:
            thread.prefetched_path = None
        number = fields[5]
        outcome = self.dispatch(thread, number, fields[6:12])
        if isinstance(outcome, int):
            self.tracer.reply(call_id, outcome)
        else:
            task.call = (number, fields[6:12])
            self.finish_notified(task, call_id, outcome)

    def finish_notified(self, task: Task, call_id: int, outcome: Answer | Blocking) -> None:
        """Carry out the outcome of a call that waits in the listener."""
        if isinstance(outcome, int):
            self.tracer.reply(call_id, outcome)
        elif isinstance(outcome, Forward):
            self.tracer.reply_continue(call_id)
        elif isinstance(outcome, (Translated, Clone)):
            self.tracer.reply(call_id, -ENOSYS)  # only a traced call has a return that can be seen
        elif isinstance(outcome, Install):
            self._install_reply(call_id, outcome)
        elif isinstance(outcome, Exec):
            self._images.begin(task, call_id, outcome)
        elif isinstance(outcome, Remote):
            self._remote.begin_notified(task, call_id, outcome)
        else:
            self._blocking.begin_notified(task, call_id, outcome)

    def _install_reply(self, call_id: int, outcome: Install) -> None:
        # Two steps instead of ADDFD's SEND flag: that one loses the synchronous wake-up (40 us across cores), and between the two
        # nothing but the caller's death can come, because a received call waits killable.
        try:
            result = self.tracer.install(call_id, self.descriptor(outcome.stream), outcome.close_on_exec)
        except HostError as error:
            result = -error.errno
        if result < 0 and outcome.failed is not None:
            outcome.failed(-result)
        self.tracer.reply(call_id, result)
        self.installed(result)
        self.discard(outcome)

    def _ready_answer(self, task: Task, fields: Fields) -> Answer | NotReady:
        """The outcome that was kept for this call; NOT_READY when it is another one (a signal handler's, before the call is made again)."""
        number, arguments = task.ready_call
        if fields[5] not in (number, NR_REISSUE) or fields[6:12] != arguments:
            return NOT_READY
        ready, task.ready = task.ready, NOT_READY
        if task.stage is Stage.REISSUE:
            task.stage = Stage.RUNNING
        return ready

    def keep_ready(self, task: Task, outcome: Answer) -> None:
        """Keep the outcome of task.call until the call is made again. One that was kept for an outer call is given up."""
        self.drop_ready(task)
        task.ready = outcome
        task.ready_call = task.call

    def drop_ready(self, task: Task) -> None:
        """The call will not be made again (its task is gone, or executes another program)."""
        if task.ready is not NOT_READY:
            self.discard(task.ready)
            task.ready = NOT_READY

    def discard(self, outcome: Answer | NotReady) -> None:
        """Close what an outcome holds of ours."""
        if isinstance(outcome, Install):
            if not outcome.keep:
                self.executive.host.stream_close(outcome.stream)
        elif isinstance(outcome, Exec):
            self._images.release(outcome)
        elif isinstance(outcome, Remote) and outcome.stream is not None:
            self.executive.host.stream_close(outcome.stream)

    def installed(self, result: int) -> None:
        """A call has given the guest a descriptor, result, or -errno. Nothing to do: for those who watch."""

    def _traced(self, fields: Fields) -> None:
        tid = fields[1]
        task = self.tasks.get(tid)
        number = fields[5]
        if task is None:
            self._traced_bootstrap(tid)
            return
        if number == NR_EXECVEAT and task.stage is Stage.EXEC_ENTERING:
            self._images.entered(tid, task, fields)
            return
        if number == NR_PAUSE and task.stage is Stage.LOADING:
            self._images.loaded(tid, task)
            return
        if number == NR_PAUSE and task.stage is Stage.PARK_ENTERING:
            self._blocking.asleep(tid, task)
            return
        if task.blocking is not None:
            self._blocking.strayed(task)
        self.calling = thread = task.thread
        self.installer.begin(0, tid)
        if task.ready is not NOT_READY:
            ready = self._ready_answer(task, fields)
            if not isinstance(ready, NotReady):
                self.finish_traced(tid, task, ready)
                return
        if fields[15] != events.NO_PATH:
            thread.prefetched_address = fields[14]
            thread.prefetched_path = self.tracer.path(fields[15])
        else:
            thread.prefetched_path = None
        outcome = self.dispatch(thread, number, fields[6:12])
        task.call = (number, fields[6:12])
        self.finish_traced(tid, task, outcome)

    def finish_traced(self, tid: int, task: Task, outcome: Answer | Blocking) -> None:
        """Carry out the outcome of a call at its RET_TRACE stop."""
        moved = self.installer.moved()
        if moved is not None and self.tasks.get(tid) is not task:
            return  # it died during an installation
        if isinstance(outcome, int):
            if moved is None:
                self.tracer.answer(tid, outcome)
            else:
                self.answer_at_exit(tid, moved, outcome)
        elif isinstance(outcome, Forward):
            self.tracer.resume(tid)
        elif isinstance(outcome, Translated):
            self._translated.begin(tid, task, outcome)
        elif isinstance(outcome, Clone):
            self.clones.begin(tid, task, outcome)
        elif isinstance(outcome, Remote) and (self.only_traced or outcome.stream is None):
            self._remote.begin_traced(tid, task, outcome)
        elif isinstance(outcome, (Install, Exec, Remote)):
            if not self.only_traced:
                self.keep_ready(task, outcome)
                task.stage = Stage.REISSUE
                self.tracer.renumber(tid, NR_REISSUE)
            elif isinstance(outcome, Exec):
                self._images.begin_traced(tid, task, outcome)
            elif isinstance(outcome, Install):
                self._install_traced(tid, task, outcome)
        else:
            self._blocking.begin_traced(tid, task, outcome)

    def answer_at_exit(self, tid: int, registers: list[int], value: int) -> None:
        """Finish a traced call that was used up for something else: the task is at that call's exit stop."""
        registers[events.RAX] = value
        registers[events.ORIG_RAX] = -1
        self.tracer.set_registers(tid, registers)
        task = self.tasks.get(tid)
        if task is None:
            self.tracer.resume(tid)
        else:
            self.observed.returned(tid, task)

    def _install_traced(self, tid: int, task: Task, outcome: Install) -> None:
        try:
            result = self.installer.install_descriptor(tid, self.descriptor(outcome.stream), outcome.close_on_exec)
        except HostError as error:
            result = -error.errno
        if result < 0 and outcome.failed is not None:
            outcome.failed(-result)
        self.installed(result)
        self.discard(outcome)
        moved = self.installer.moved()
        if self.tasks.get(tid) is not task:
            return  # it died during the installation
        if moved is None:
            self.tracer.answer(tid, result)
        else:
            self.answer_at_exit(tid, moved, result)

    def _traced_bootstrap(self, tid: int) -> None:
        """Init is our own code: what it calls is let pass."""
        if tid == self.init_pid:
            self.tracer.resume(tid)
        else:
            self.tracer.answer(tid, -ENOSYS)

    # -- stops ----------------------------------------------------------------------------------------------------------
    def _stop(self, fields: Fields) -> None:
        tid, detail, value = fields[1], fields[2], fields[3]
        task = self.tasks.get(tid)
        if detail in (events.EVENT_FORK, events.EVENT_VFORK, events.EVENT_CLONE):
            self.births.forked(tid, task, value, detail)
        elif detail == events.EVENT_EXEC:
            self._images.executed(tid, value)
        elif detail == events.EVENT_STOP:
            self._interrupted(tid, task, value)
        elif detail == events.EVENT_SYSCALL and task is not None:
            self._call_stop(tid, task, fields)
        elif task is not None and detail in _TRACEE_EVENTS and self.observed.event(tid, task, detail, value):
            pass  # held
        else:
            self.tracer.resume(tid)

    def _call_stop(self, tid: int, task: Task, fields: Fields) -> None:
        """The entry of a call of an observed task, or an exit somebody has asked for."""
        stage = task.stage
        if fields[4] == events.ENTRY:
            self.observed.entered(tid, task, fields)
        elif stage is Stage.EXEC_RUNNING:
            self._images.failed(tid, task)
        elif stage is Stage.LOADED:
            self._images.arrived(tid, task)
        elif stage is Stage.EXEC_STOPPING:  # any stop takes the place of the one that was asked for
            self._images.stopped(tid, task, 0)
        elif stage in (Stage.PARK_STOPPING, Stage.WAKING):
            self._blocking.stopped(tid, task, 0)
        elif stage is Stage.REMOTE_STOPPING:
            self._remote.stopped(tid, task, 0)
        elif stage is Stage.TRANSLATED:
            self._translated.returned(tid, task)
        elif stage is Stage.CLONING:
            self.clones.returned(tid, task)
        else:
            self.observed.returned(tid, task)

    def guest_pid(self, host_tid: int) -> int:
        """The number a task has inside the sandbox."""
        if self.name_space < 0:
            return host_tid
        inside = int(lib.shim_guest_pid(host_tid, self.name_space))
        return inside if inside > 0 else host_tid

    def _interrupted(self, tid: int, task: Task | None, signal_number: int) -> None:
        if task is None:
            if tid == self.init_pid:
                self.tracer.resume(tid)
            else:
                self.births.hold(tid)
        elif task.stage is Stage.NEWBORN:
            self.clones.born(tid, task)
            if not self.observed.stopped(tid, task, signal_number):
                self.continue_stopped(tid, signal_number)
        elif task.stage is Stage.EXEC_STOPPING:
            self._images.stopped(tid, task, signal_number)
        elif task.stage is Stage.REMOTE_STOPPING:
            self._remote.stopped(tid, task, signal_number)
        elif task.stage in (Stage.PARK_STOPPING, Stage.WAKING):
            self._blocking.stopped(tid, task, signal_number)
        elif task.observed is not None and self.observed.stopped(tid, task, signal_number):
            pass  # held
        elif signal_number in _STOP_SIGNALS:
            self.tracer.listen(tid)
        else:
            self.tracer.resume(tid)

    def continue_stopped(self, tid: int, signal_number: int) -> None:
        """Let a task go on after an EVENT_STOP: into its group stop if that is what it was."""
        if signal_number in _STOP_SIGNALS:
            self.tracer.listen(tid)
        else:
            self.tracer.resume(tid)

    def remote_call(self, tid: int, registers: list[int]) -> bool:
        """Have a stopped task execute one quick call natively (rip at a syscall instruction); False when it died on the way."""
        self.tracer.set_registers(tid, registers)
        return self.run_to_exit(tid, False) is not None

    def run_to_exit(self, tid: int, entered: bool) -> int | None:
        """Let a task execute a quick call up to its exit stop; the raw result (signed), None when the task died.

        entered: it is at the call's RET_TRACE stop already. Signals wait meanwhile; SIGSTOP, which cannot, is sent again.
        """
        tracer = self.tracer
        mask = None if entered else tracer.signal_mask(tid)
        if mask is not None:  # or a signal sent again and again would never let the call begin
            tracer.set_signal_mask(tid, events.ALL_SIGNALS)
        stops = 1 if entered else 0
        stopped = False
        while stops < _ENTRY_AND_EXIT:
            tracer.resume_to_exit(tid)
            status = tracer.wait_stop(tid)
            if status < 0:
                return None
            if not os.WIFSTOPPED(status):
                self.exited(tid, status)
                return None
            if status >> 16 == events.EVENT_EXEC:
                # It has been killed by another thread's exec, and the number is the new program's.
                self._images.executed(tid, tracer.event_message(tid))
                return None
            stop_signal = os.WSTOPSIG(status)
            if stop_signal == signal.SIGTRAP | 0x80:
                stops += 1
            elif status >> 16 in (0, events.EVENT_STOP) and stop_signal in _STOP_SIGNALS:
                stopped = True
        if mask is not None:
            tracer.set_signal_mask(tid, mask)
        if stopped:
            lib.shim_tgkill(self.process_of(tid), tid, signal.SIGSTOP)
        registers = tracer.registers(tid)
        if registers is None:
            return None
        result = registers[events.RAX]
        return result - (1 << 64) if result & _SIGN else result

    def watch_signals(self, change: int) -> None:
        """One more (or less) who must see signals before they are delivered."""
        self._signal_watchers += change
        self.tracer.report_signals(self._signal_watchers > 0)

    def process_of(self, tid: int) -> int:
        """Host process id of a task."""
        task = self.tasks.get(tid)
        return tid if task is None else task.thread.process.host_pid

    def _signal(self, fields: Fields) -> None:
        tid, number = fields[1], fields[2]
        task = self.tasks.get(tid)
        if task is not None:
            self.observed.signalled(tid, task, number)
            if task.observed is not None and self.observed.held_for_signal(tid, task, number):
                return
        self.deliver(tid, task, number)

    def deliver(self, tid: int, task: Task | None, number: int) -> None:
        """Let a task at a signal-delivery stop go on with this signal, or with none (0)."""
        if not number:
            self.tracer.resume(tid)
        elif task is None or not self._blocking.signalled(tid, task, number):
            self.tracer.signal_pass(tid, number)

    def exited(self, tid: int, status: int) -> None:
        """A task has ended with this wait status."""
        self._exit((events.EXIT, tid, 0, status))

    def _exit(self, fields: Fields) -> None:
        tid, status = fields[1], fields[3]
        if tid == self.init_pid:
            if self.main_status is None:
                self.main_status = status if self.main is None else 9
            return
        task = self.tasks.pop(tid, None)
        if task is None:
            self.births.ended(tid, status)
            return
        self.observed.exited(task, status)
        self.forget(task)
        process = self.executive.processes.thread_exited(tid, status)
        if process is not None:
            self.births.orphaned(process.host_pid)
            self.observed.process_ended(process)
        if tid == self.main_pid:
            self.main_status = status

    # -- the end -----------------------------------------------------------------------------------------------------------
    def kill(self, pid: int) -> None:
        """SIGKILL, whether or not it still exists."""
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

    def signal_guest(self, pid: int, number: int) -> None:
        """Send a signal, if the process still exists."""
        with suppress(ProcessLookupError):
            os.kill(pid, number)

    def park_at_exit(self, tid: int, task: Task, blocking: Blocking) -> bool:
        """Put a task at a call's exit stop to sleep; it makes the call again when the wait is over."""
        self._blocking.park_at_exit(tid, task, blocking)
        return True

    def rename_task(self, old_tid: int, new_tid: int) -> Task | None:
        """After an exec by another thread than the leader the kernel gives it the leader's id."""
        task = self.tasks.pop(old_tid, None)
        leader = self.tasks.pop(new_tid, None) if old_tid != new_tid else None
        if task is not None and leader is not None:
            self.forget(leader)  # it vanishes without an exit event
        task = task or leader
        if task is not None:
            self.tasks[new_tid] = task
            if task.observed is not None and old_tid != new_tid:
                self.observed.renamed(old_tid, new_tid, task)
        return task

    def forget(self, task: Task) -> None:
        """A task is no more: give up what it was in the middle of."""
        self._blocking.abandoned(task)
        self.takeovers.failed(task.thread.host_tid, task.thread.process.host_pid)
        self.clones.abandoned(task)
        self.observed.abandoned(task)
        self._images.abandoned(task)
        self._remote.abandoned(task)
        self.drop_ready(task)

    def close(self) -> None:
        """Kill and reap everything that is left."""
        for pid in {self.init_pid, *self.tasks, *self.births.held} - {0}:
            self.kill(pid)
        for task in self.tasks.values():
            self.forget(task)
        self.tasks.clear()
        while True:
            try:
                pid, status = os.waitpid(-1, 0x40000000)  # __WALL
            except ChildProcessError:
                return
            if os.WIFSTOPPED(status):
                # Also a task made since: one that went on would fork faster than this loop kills.
                self.kill(pid)
                self.tracer.resume(pid)
