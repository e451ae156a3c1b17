"""Replacing a program: the engine's half of execve.

The executive has decided (Exec). From there: the loader and the ELF images are installed as descriptors, the task is stopped,
its registers turned into execveat(loader, "", argv, envp, AT_EMPTY_PATH), the kernel replaces the address space, and at
PTRACE_EVENT_EXEC the plan is written into the loader before its first instruction. Any exec event that was not prepared here, or
that did not load our loader, kills the process: a guest cannot make the host execute a file of its choosing.

Stages: EXEC_STOPPING -> EXEC_ENTERING -> EXEC_RUNNING -> RUNNING; on failure the injected descriptors are closed again.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from pylibos.abi.plan import PLAN_ADDRESS, Image, pack_plan
from pylibos.emulation.errors import SyscallError
from pylibos.runtime.memory import TaskMemory
from pylibos.runtime.task import Stage
from pylibos.tracer import tracer as events

if TYPE_CHECKING:
    from pylibos.emulation.outcome import Exec, ImagePlan
    from pylibos.runtime.supervisor import Supervisor
    from pylibos.runtime.task import Task
    from pylibos.tracer.tracer import Fields

NR_CLOSE: Final = 3
NR_EXECVEAT: Final = 322
AT_EMPTY_PATH: Final = 0x1000
_NO_CALL: Final = -1
ENOEXEC: Final = 8
_SYSCALL_SIZE: Final = 2


class ImageLoader:
    """Carries out Exec outcomes. loader: our descriptor of the loader's ELF file and its (device, inode)."""

    def __init__(self, supervisor: Supervisor, loader: tuple[int, tuple[int, int]]) -> None:
        self._supervisor = supervisor
        self._tracer = supervisor.tracer
        self._descriptor, self._identity = loader
        self._under_way: set[int] = set()
        """Outcomes being carried out, by id: as long as there is one, the supervisor stays on the processor of the guest it heard of."""

    def begin(self, task: Task, call_id: int, outcome: Exec) -> None:
        """The execve waits in the listener: give the task its descriptors and ask it to stop."""
        tid = task.thread.host_tid
        self._install(tid, task, outcome)
        task.stage = Stage.EXEC_STOPPING
        self._tracer.keep(tid)
        self._tracer.interrupt(tid)
        self._tracer.reply(call_id, 0)

    def begin_traced(self, tid: int, task: Task, outcome: Exec) -> None:
        """The same for an execve at its RET_TRACE stop (ptrace engine): after the installations the task is at a call's exit."""
        self._install(tid, task, outcome)
        if self._supervisor.tasks.get(tid) is not task:
            self.abandoned(task)  # it died during an installation
            return
        saved = self._supervisor.installer.moved()
        if saved is None:
            task.exec = None
            self.release(outcome)
            self._tracer.answer(tid, task.number)
            return
        self._enter(tid, task, list(saved), 0)

    def _install(self, tid: int, task: Task, outcome: Exec) -> None:
        """Loader, program, interpreter into the task's table; task.number is 0, or the -errno of the one that failed."""
        self._under_way.add(id(outcome))
        self._tracer.stay(True)
        numbers: list[int] = []
        plan = outcome.plan
        wanted = [(self._descriptor, True), (self._supervisor.descriptor(plan.program.stream), False)]
        if plan.interpreter is not None:
            wanted.append((self._supervisor.descriptor(plan.interpreter.stream), False))
        error = 0
        for descriptor, close_on_exec in wanted:
            number = self._supervisor.installer.install_descriptor(tid, descriptor, close_on_exec)
            if number < 0:
                error = number
                break
            numbers.append(number)
        task.exec = outcome
        task.descriptors = tuple(numbers)
        task.number = error

    def stopped(self, tid: int, task: Task, signal_number: int) -> None:
        """The task has stopped on its way out of execve: send it into execveat."""
        registers = self._tracer.registers(tid)
        if registers is not None:
            self._enter(tid, task, registers, signal_number)

    def _enter(self, tid: int, task: Task, registers: list[int], signal_number: int) -> None:
        """From behind the execve's syscall instruction: go back and make it execveat on the loader."""
        if task.exec is None:
            return
        task.saved = list(registers)
        task.mask = self._tracer.signal_mask(tid)
        # A handler that ran now would see our descriptors and could leave without ever coming back to the exec.
        self._tracer.set_signal_mask(tid, events.ALL_SIGNALS)
        if task.number:
            self._undo(tid, task, task.number)
            return
        registers[events.RAX] = NR_EXECVEAT
        registers[events.ORIG_RAX] = _NO_CALL
        registers[events.RDI] = task.descriptors[0]
        registers[events.RSI] = task.exec.empty_string_address
        registers[events.RDX] = task.exec.argv_address
        registers[events.R10] = task.exec.envp_address
        registers[events.R8] = AT_EMPTY_PATH
        registers[events.RIP] -= _SYSCALL_SIZE
        self._tracer.set_registers(tid, registers)
        task.stage = Stage.EXEC_ENTERING
        self._supervisor.continue_stopped(tid, signal_number)

    def entered(self, tid: int, task: Task, fields: Fields) -> None:
        """The task is at the RET_TRACE stop of execveat: let it execute if the arguments are still ours."""
        outcome = task.exec
        if (
            outcome is None
            or fields[6] & 0xFFFFFFFF != task.descriptors[0]
            or fields[7] != outcome.empty_string_address
            or fields[10] & 0xFFFFFFFF != AT_EMPTY_PATH
        ):
            self._supervisor.kill(tid)
            return
        task.stage = Stage.EXEC_RUNNING
        self._supervisor.takeovers.begin(tid, task)
        self._tracer.resume_to_exit(tid)

    def executed(self, tid: int, old_tid: int) -> None:
        """PTRACE_EVENT_EXEC: the address space is the loader's."""
        supervisor = self._supervisor
        if tid == supervisor.init_pid and old_tid == tid and supervisor.main is None:
            self._tracer.resume(tid)
            return
        self._tracer.let_go(old_tid, tid)
        supervisor.takeovers.succeeded(tid)
        task = supervisor.rename_task(old_tid, tid)
        if task is None or task.stage is not Stage.EXEC_RUNNING or task.exec is None or not self._is_loader(tid):
            supervisor.kill(tid)
            return
        outcome, task.exec = task.exec, None
        plan = outcome.plan
        thread = task.thread
        supervisor.executive.processes.exec_committed(thread, plan)
        who = thread.process.credentials
        interpreter = None if plan.interpreter is None else self._image(plan.interpreter, task.descriptors[2])
        packed = pack_plan(
            plan.path,
            self._image(plan.program, task.descriptors[1]),
            interpreter,
            plan.argument_prefix or [],
            (who.ruid, who.euid, who.rgid, who.egid),
            plan.executable_stack,
            task.observed is not None,
        )
        task.descriptors = ()
        # The calls of our loader are not the program's: an observed task says when it is done, and takes no signal before.
        task.stage = Stage.RUNNING if task.observed is None else Stage.LOADING
        if task.observed is not None:
            supervisor.observed.loading(tid)
        task.saved = None
        self.release(outcome)
        supervisor.drop_ready(task)
        supervisor.births.orphaned(thread.process.host_pid)
        if task.observed is None:
            self._unblock(tid, task)
        try:
            TaskMemory(tid).write(PLAN_ADDRESS, packed)
        except SyscallError:
            supervisor.kill(tid)
            return
        self._tracer.resume(tid)

    def loaded(self, tid: int, task: Task) -> None:
        """The loader is done and at the RET_TRACE stop of its pause(entry point): take it there."""
        registers = self._tracer.registers(tid)
        if registers is None:
            return
        registers[events.RIP] = registers[events.RDI]
        registers[events.ORIG_RAX] = _NO_CALL
        for register in (events.RAX, events.RDI, events.RSI, events.RCX):
            registers[register] = 0
        self._tracer.set_registers(tid, registers)
        task.stage = Stage.LOADED
        self._tracer.resume_to_exit(tid)

    def arrived(self, tid: int, task: Task) -> None:
        """The exit stop of that pause: before the program's first instruction."""
        task.stage = Stage.RUNNING
        self._unblock(tid, task)
        self._supervisor.observed.executed(tid, task)

    def failed(self, tid: int, task: Task) -> None:
        """execveat returned: the kernel refused (arguments too long, no memory)."""
        registers = self._tracer.registers(tid)
        if registers is None:
            return
        error = registers[events.RAX]
        self._undo(tid, task, error - (1 << 64) if error >> 63 else -ENOEXEC)
        self._supervisor.takeovers.failed(tid, task.thread.process.host_pid)

    def _undo(self, tid: int, task: Task, error: int) -> None:
        """Close the injected descriptors inside the task and let execve return error."""
        saved = task.saved
        if saved is None:
            return
        for number in task.descriptors:
            registers = list(saved)
            registers[events.RAX] = NR_CLOSE
            registers[events.ORIG_RAX] = _NO_CALL
            registers[events.RDI] = number
            registers[events.RIP] -= _SYSCALL_SIZE
            if not self._supervisor.remote_call(tid, registers):
                return
        self._unblock(tid, task)
        self._tracer.let_go(tid, tid)
        saved[events.RAX] = error
        saved[events.ORIG_RAX] = _NO_CALL
        self._tracer.set_registers(tid, saved)
        if task.exec is not None:
            self.release(task.exec)
        task.exec = None
        task.saved = None
        task.descriptors = ()
        task.stage = Stage.RUNNING
        self._supervisor.observed.returned(tid, task)

    def _unblock(self, tid: int, task: Task) -> None:
        if task.mask is not None:
            self._tracer.set_signal_mask(tid, task.mask)
            task.mask = None

    def abandoned(self, task: Task) -> None:
        """The task is gone in the middle of an exec."""
        self._tracer.let_go(task.thread.host_tid, 0)
        outcome, task.exec = task.exec, None
        if outcome is not None:
            self.release(outcome)

    def release(self, outcome: Exec) -> None:
        """Close the streams of an image that is mapped, or never will be."""
        self._under_way.discard(id(outcome))
        if not self._under_way:
            self._tracer.stay(False)
        close = self._supervisor.executive.host.stream_close
        plan = outcome.plan
        if not plan.program.keep:
            close(plan.program.stream)
        if plan.interpreter is not None and not plan.interpreter.keep:
            close(plan.interpreter.stream)

    def _is_loader(self, tid: int) -> bool:
        try:
            status = os.stat(f"/proc/{tid}/exe")
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == self._identity

    @staticmethod
    def _image(plan: ImagePlan, descriptor: int) -> Image:
        return Image(
            descriptor,
            plan.alignment if plan.position_independent else 0,
            plan.entry,
            plan.program_headers,
            plan.program_header_count,
            [(s.address, s.memory_size, s.offset, s.file_size, s.protection) for s in plan.segments],
        )
