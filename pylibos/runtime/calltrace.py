"""`pylibos run --trace`: every call that reaches the supervisor as a line on standard error, in the manner of strace.

Owns the text and when it is written, never an answer: a run gives the same results with and without it. Prototypes, names of flags and
the reading of arguments are python-ptrace's, which is imported when a trace begins and never on the way of an ordinary run; numbers it
does not know yet are named by our own table. Guests are hostile: what is read for a line is bounded, control characters are
escaped, and whatever goes wrong while one is made becomes part of it.

Calls the kernel's filter lets pass (DIRECT) are not seen under the notify engine; with --engine ptrace every call is.

Sources: strace(1); python-ptrace's ptrace.func_call and ptrace.syscall.
"""

from __future__ import annotations

import logging
import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pylibos.abi.errno import Errno
from pylibos.emulation.dispatch import dispatch
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.outcome import Clone, Exec, Forward, Install, Translated
from pylibos.emulation.syscalls.table import TABLE
from pylibos.runtime.status import PylibosError
from pylibos.runtime.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylibos.emulation.dispatch import Answer
    from pylibos.emulation.guest import GuestMemory
    from pylibos.emulation.outcome import Blocking
    from pylibos.emulation.process.thread import Thread
    from pylibos.runtime.task import Task
    from pylibos.tracer.tracer import Fields

STRING_LIMIT: Final = 120
"""Characters of a string argument that are shown, and the most that is read of any other argument, in words of 8 bytes."""
ARRAY_LIMIT: Final = 8
_LARGEST_READ: Final = 4096
_WORD: Final = 8
_RESTARTS: Final = {512: "ERESTARTSYS", 513: "ERESTARTNOINTR", 514: "ERESTARTNOHAND", 516: "ERESTART_RESTARTBLOCK"}


class GuestReader:
    """What python-ptrace's arguments ask of their process, over a guest's memory. Raises ValueError for what cannot be read."""

    def __init__(self, memory: GuestMemory) -> None:
        self._memory = memory

    def readBytes(self, address: int, size: int) -> bytes:  # noqa: N802 - python-ptrace's name, like those that follow
        """Exactly size bytes."""
        if not 0 <= size <= _LARGEST_READ:
            raise ValueError("too large")
        try:
            return self._memory.read(address, size)
        except SyscallError as error:
            raise ValueError("not readable") from error

    def readWord(self, address: int) -> int:  # noqa: N802
        """One pointer."""
        return int.from_bytes(self.readBytes(address, _WORD), "little")

    def readStruct(self, address: int, struct: Any) -> Any:  # noqa: N802
        """A ctypes structure, or the value of a simple ctypes type."""
        import ctypes

        found = struct.from_buffer_copy(self.readBytes(address, ctypes.sizeof(struct)))
        return found.value if hasattr(found, "value") else found

    def readArray(self, address: int, element: Any, count: int) -> Any:  # noqa: N802
        """A ctypes array."""
        return self.readStruct(address, element * count)

    def readCString(self, address: int, limit: int) -> tuple[bytes, bool]:  # noqa: N802
        """(text without its NUL, whether it was cut at limit)."""
        try:
            return self._memory.read_string(address, limit), False
        except SyscallError as error:
            if error.errno != Errno.ENAMETOOLONG:
                raise ValueError("not readable") from error
            return self._memory.read_partial(address, limit), True


class CallFormatter:
    """Calls and results as text. Raises PylibosError when python-ptrace is not installed."""

    def __init__(self) -> None:
        try:
            from ptrace.func_call import FunctionCall, FunctionCallOptions
            from ptrace.syscall import SYSCALL_NAMES, SYSCALL_PROTOTYPES, SyscallArgument
        except ImportError as error:
            raise PylibosError(f"--trace needs python-ptrace: {error}", "pip install python-ptrace") from error
        # It reports arguments it cannot format to its log, which would land between the guest's own lines.
        logging.getLogger().addHandler(logging.NullHandler())
        self._call: Any = FunctionCall
        self._argument: Any = SyscallArgument
        self._names: dict[int, str] = SYSCALL_NAMES
        self._prototypes: dict[str, tuple[str, tuple[tuple[str, str], ...]]] = SYSCALL_PROTOTYPES
        self._options: Any = FunctionCallOptions(replace_socketcall=False, string_max_length=STRING_LIMIT, max_array_count=ARRAY_LIMIT)

    def name(self, number: int) -> str:
        """The call's name: ours, because the table is complete, else python-ptrace's."""
        row = TABLE.get(number)
        return row.name if row is not None else self._names.get(number, f"syscall_{number:#x}")

    def call(self, memory: GuestMemory, number: int, args: tuple[int, ...]) -> str:
        """'openat(AT_FDCWD, '/etc/passwd', O_RDONLY)'."""
        name = self.name(number)
        call = self._call(name, self._options, self._argument)
        call.process = GuestReader(memory)
        prototype = self._prototypes.get(name)
        parameters = prototype[1] if prototype is not None else (("unsigned long", ""),) * self._count(number)
        for value, (kind, parameter) in zip(args, parameters, strict=False):
            call.addArgument(value=value & 0xFFFFFFFF if kind == "int" else value, name=parameter, type=kind)
        text: str = call.format()
        return text.encode("ascii", "backslashreplace").decode("ascii")

    @staticmethod
    def _count(number: int) -> int:
        """How many arguments a call python-ptrace does not know has, as far as we do."""
        row = TABLE.get(number)
        function = None if row is None else row.handler or row.fallback
        return 6 if function is None else function.__code__.co_argcount - 1

    @staticmethod
    def result(value: int) -> str:
        """'3', '-1 ENOENT (No such file or directory)', '? ERESTARTSYS'; large values in hexadecimal, because they are addresses."""
        if -4096 < value < 0:
            if -value in _RESTARTS:
                return f"? {_RESTARTS[-value]}"
            name = Errno(-value).name if -value in Errno.__members__.values() else f"E{-value}"
            return f"-1 {name} ({os.strerror(-value)})"
        return str(value) if value < 1 << 31 else hex(value)


class TracingSupervisor(Supervisor):
    """A supervisor that says what it does. A line appears when the call's result is known; one that waits says so first."""

    def __init__(self, formatter: CallFormatter, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._formatter = formatter
        self._open: dict[int, str] = {}
        """Host thread -> the call it is in, as text, while its result is not known."""
        self._answering: Thread | None = None
        self.dispatch = self._dispatch_and_tell

    def _say(self, thread: Thread, text: str) -> None:
        sys.stderr.write(f"[{thread.tid}] {text}\n")

    def _finish(self, thread: Thread, result: str) -> None:
        text = self._open.pop(thread.host_tid, None)
        if text is not None:
            self._say(thread, f"{text} = {result}")

    def _dispatch_and_tell(self, thread: Thread, number: int, args: tuple[int, ...]) -> Answer | Blocking:
        self._finish(thread, "? (interrupted)")
        self._open[thread.host_tid] = self._formatter.call(thread.memory, number, args)
        outcome = dispatch(thread, number, args)
        if isinstance(outcome, int):
            self._finish(thread, self._formatter.result(outcome))
        return outcome

    def _tell(self, task: Task, outcome: Answer | Blocking) -> None:
        thread = self._answering = task.thread
        if isinstance(outcome, int):
            self._finish(thread, self._formatter.result(outcome))
        elif isinstance(outcome, (Forward, Translated, Clone)):
            self._finish(thread, "? (the kernel's)")
        elif isinstance(outcome, Exec):
            path = outcome.plan.path.decode("ascii", "backslashreplace")
            self._finish(thread, f"? (becomes {path!r})")

    def _told(self, task: Task, outcome: Answer | Blocking) -> None:
        if task.blocking is not None and not isinstance(outcome, (int, Forward, Translated, Clone, Install, Exec)):
            host_tid = task.thread.host_tid
            text = self._open.get(host_tid)
            if text is not None:
                self._say(task.thread, f"{text} <waits>")
                self._open[host_tid] = f"<... {self._formatter.name(task.call[0])} goes on>"

    def finish_notified(self, task: Task, call_id: int, outcome: Answer | Blocking) -> None:
        """Carry it out, and say so."""
        self._tell(task, outcome)
        super().finish_notified(task, call_id, outcome)
        self._told(task, outcome)

    def finish_traced(self, tid: int, task: Task, outcome: Answer | Blocking) -> None:
        """The same at a RET_TRACE stop; a descriptor or an exec for which the call is made again is told then."""
        if self.only_traced or not isinstance(outcome, Exec):
            self._tell(task, outcome)
        super().finish_traced(tid, task, outcome)
        self._told(task, outcome)

    def installed(self, result: int) -> None:
        """The answer of a call that gave the guest a descriptor."""
        if self._answering is not None:
            self._finish(self._answering, self._formatter.result(result))

    def _exit(self, fields: Fields) -> None:
        task = self.tasks.get(fields[1])
        if task is not None:
            status = fields[3]
            killed = os.WIFSIGNALED(status)
            self._finish(task.thread, "? (killed)" if killed else "?")
            ending = f"killed by signal {os.WTERMSIG(status)}" if killed else f"exited with {os.WEXITSTATUS(status)}"
            self._say(task.thread, f"+++ {ending} +++")
        super()._exit(fields)


def tracing_supervisor() -> Callable[..., Supervisor]:
    """What makes a supervisor that traces. Raises PylibosError now, before anything has been started, when the library is missing."""
    return partial(TracingSupervisor, CallFormatter())
