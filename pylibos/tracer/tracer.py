"""The tracer: real tasks in, events out; answers in, resumed tasks out.

Knows listener, stops and registers, not what a call means. One instance per supervisor and thread. Methods that act on a task
that was killed meanwhile do nothing: its exit event follows.

Sources: seccomp_unotify(2), ptrace(2), Linux kernel/seccomp.c:seccomp_do_user_notification().
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterable
from typing import Final

from pylibos.tracer.native import ffi, lib

NOTIFIED: Final = 1
TRACED: Final = 2
STOP: Final = 3
SIGNAL: Final = 4
EXIT: Final = 5
STREAM: Final = 6
TIMER: Final = 7
REQUEST: Final = 8

EVENT_SYSCALL: Final = 0
EVENT_FORK: Final = 1
EVENT_VFORK: Final = 2
EVENT_CLONE: Final = 3
EVENT_EXEC: Final = 4
EVENT_STOP: Final = 128
ENTRY: Final = 1
"""The id field of a stop at a call: its entry; an exit otherwise."""

MODE_FREE: Final = 0
MODE_CALLS: Final = 1
MODE_STEP: Final = 2
"""How a task is resumed: freely, up to the next entry or exit of a call, or for one instruction."""
PTRACE_SETOPTIONS: Final = 0x4200
PTRACE_SETSIGINFO: Final = 0x4203
PTRACE_GETREGSET: Final = 0x4204
PTRACE_SETREGSET: Final = 0x4205
BASE_OPTIONS: Final = 0x1 | 0x2 | 0x4 | 0x8 | 0x10 | 0x80 | 1 << 20
"""TRACESYSGOOD, FORK, VFORK, CLONE, EXEC, SECCOMP, EXITKILL: what c_shim/trace.c attaches with."""
_WORD: Final = 0xFFFFFFFFFFFFFFFF

RAX: Final = 10
RCX: Final = 11
RDX: Final = 12
RSI: Final = 13
RDI: Final = 14
ORIG_RAX: Final = 15
RIP: Final = 16
RSP: Final = 19
R10: Final = 7
R8: Final = 9
R9: Final = 8
NO_PATH: Final = 0xFFFFFFFFFFFFFFFF
ALL_SIGNALS: Final = 0xFFFFFFFFFFFFFFFF

_FIELDS = struct.Struct("<16Q")
_REGISTERS = struct.Struct("<27Q")

Fields = tuple[int, ...]
"""kind, tid, detail, value, id, number, argument 0..5, instruction, stack, path address, path size."""


Failure = Callable[[int], Exception]
"""Makes the exception of an errno."""


class TracerError(Exception):
    """Interception itself failed: nothing may go on running."""


class Tracer:
    """The one blocking wait, and every act on a stopped or waiting task."""

    def __init__(self) -> None:
        self._loop = ffi.new("struct shim_loop *")
        error = lib.shim_loop_open(self._loop)
        if error:
            raise TracerError(os.strerror(-error))
        self._event = ffi.new("struct shim_event *")
        self._buffer = memoryview(ffi.buffer(self._event))
        self._path_offset = _FIELDS.size
        self._registers = ffi.new("uint64_t[27]")
        self._register_buffer = ffi.buffer(self._registers)
        self._mask = ffi.new("uint64_t *")

    def configure(self, notified: Iterable[int], continued: Iterable[int], paths: dict[int, int]) -> None:
        """Fill the loop's tables: calls answered by notification alone, calls to continue unseen, arguments to prefetch."""
        for number in notified:
            self._loop.notified_only[number] = 1
        for number in continued:
            self._loop.action[number] = 1
        for number, index in paths.items():
            self._loop.path_argument[number] = index + 1

    def answer_names(self, number: int, fields: dict[str, int]) -> None:
        """Let the loop answer a notified call from the published names. fields: of struct shim_names_call."""
        call = self._loop.names[number]
        for name, value in fields.items():
            setattr(call, name, value)

    @property
    def answered(self) -> int:
        """Calls the loop has answered from the published names."""
        return int(self._loop.answered)

    def new_task(self, tid: int) -> None:
        """A host task number stands for another task from now on: what was published for the old one does not hold."""
        lib.shim_names_task_new(tid)

    def let_pass(self, number: int, argument: int, values: Iterable[int]) -> None:
        """Continue a call unseen when its int argument is one of at most PASS_MAX values; none: report it again."""
        rule = self._loop.rule[number]
        rule.argument = argument
        rule.count = 0
        for value in values:
            rule.values[rule.count] = value & 0xFFFFFFFF
            rule.count += 1

    def let_loopback_connects_pass(self) -> None:
        """Continue connect unseen when it names the loopback: where no address leads anywhere else."""
        self._loop.loopback_connects = 1

    def report(self, numbers: Iterable[int]) -> None:
        """Continue these calls unseen no more."""
        for number in numbers:
            self._loop.action[number] = 0

    def protect(self, passage: int) -> None:
        """Answer EBADF to traced calls that would close, replace or read this descriptor number."""
        self._loop.passage = passage

    # -- waiting ---------------------------------------------------------------------------------------------------
    def next(self) -> Fields:
        """Wait for the next event."""
        error = lib.shim_next(self._loop, self._event)
        if error:
            raise TracerError(os.strerror(-error))
        return _FIELDS.unpack_from(self._buffer)

    def path(self, size: int) -> bytes:
        """The path prefetched with the last event."""
        return bytes(self._buffer[self._path_offset : self._path_offset + size])

    def watch(self, descriptor: int, events: int, tag: int) -> None:
        """Report poll events of a host descriptor once, with tag; events 0 withdraws."""
        lib.shim_watch(self._loop, descriptor, events, tag)

    def set_deadline(self, deadline_ns: int) -> None:
        """Report TIMER when CLOCK_MONOTONIC reaches deadline_ns; 0 withdraws."""
        self._loop.deadline = deadline_ns

    def report_signals(self, wanted: bool) -> None:
        """Whether signal-delivery stops are events (somebody is parked) or passed on at once."""
        self._loop.report_signals = wanted

    # -- notified calls -----------------------------------------------------------------------------------------------
    def accept_listener(self, control: int) -> None:
        """Take over the seccomp listener that init sent through the control socket."""
        listener = lib.shim_receive_listener(control)
        if listener < 0:
            raise TracerError(f"no seccomp listener: {os.strerror(-listener)}")
        self._loop.listener = listener

    def reply(self, call_id: int, value: int) -> None:
        """Finish a notified call: a result, or -errno."""
        lib.shim_reply(self._loop, call_id, value, 0)

    def reply_continue(self, call_id: int) -> None:
        """Let the kernel execute a notified call as it stands."""
        lib.shim_reply(self._loop, call_id, 0, 1)

    def install(self, call_id: int, descriptor: int, close_on_exec: bool) -> int:
        """Put a duplicate of a host descriptor into the caller's table; its number, or -errno. The call still waits."""
        return int(lib.shim_install(self._loop, call_id, descriptor, close_on_exec, 0))

    def install_reply(self, call_id: int, descriptor: int, close_on_exec: bool) -> int:
        """Install and finish the call with the new number; that number or -errno (then the call still waits)."""
        return int(lib.shim_install(self._loop, call_id, descriptor, close_on_exec, 1))

    # -- traced calls and stops ------------------------------------------------------------------------------------------
    def seize(self, tid: int) -> None:
        """Attach without stopping."""
        error = lib.shim_seize(tid)
        if error < 0:
            raise TracerError(f"ptrace is not permitted: {os.strerror(-error)}")

    def resume(self, tid: int, signal: int = 0) -> None:
        """Continue a stopped task, delivering signal."""
        lib.shim_resume(tid, signal)

    def resume_to_exit(self, tid: int) -> None:
        """Continue until the call has returned (EVENT_SYSCALL) unless another event comes first."""
        lib.shim_resume_to_exit(tid)

    def set_mode(self, tid: int, mode: int) -> None:
        """From the task's next resumption on; MODE_*."""
        lib.shim_set_mode(tid, mode)

    def set_signal_information(self, tid: int, information: bytes) -> None:
        """Replace the siginfo (128 bytes) of the signal at whose delivery the task is stopped."""
        buffer = ffi.from_buffer(information)
        lib.shim_ptrace(PTRACE_SETSIGINFO, tid, 0, int(ffi.cast("uintptr_t", buffer)))

    def set_extra_options(self, tid: int, options: int) -> None:
        """PTRACE_O_* of a stopped task besides those every task has."""
        lib.shim_ptrace(PTRACE_SETOPTIONS, tid, 0, BASE_OPTIONS | options)

    def request_out(self, tid: int, request: int, address: int, size: int, failed: Failure) -> bytes:
        """A ptrace request that fills a structure of size bytes. failed makes the exception of an errno."""
        buffer = ffi.new("char[]", size)
        self.request_plain(tid, request, address, int(ffi.cast("uintptr_t", buffer)), failed)
        return bytes(ffi.buffer(buffer))

    def request_in(self, tid: int, request: int, address: int, data: bytes, failed: Failure) -> None:
        """A ptrace request that reads a structure."""
        self.request_plain(tid, request, address, int(ffi.cast("uintptr_t", ffi.from_buffer(data))), failed)

    def request_plain(self, tid: int, request: int, address: int, data: int, failed: Failure) -> None:
        """A ptrace request as it is."""
        result = lib.shim_ptrace(request, tid, address & _WORD, data & _WORD)
        if result < 0:
            raise failed(-int(result))

    def register_set(self, tid: int, kind: int, size: int, failed: Failure) -> bytes:
        """PTRACE_GETREGSET: at most size bytes."""
        buffer = ffi.new("char[]", max(size, 1))
        vector = ffi.new("uint64_t[2]", [int(ffi.cast("uintptr_t", buffer)), size])
        self.request_plain(tid, PTRACE_GETREGSET, kind, int(ffi.cast("uintptr_t", vector)), failed)
        return bytes(ffi.buffer(buffer, min(int(vector[1]), size)))

    def set_register_set(self, tid: int, kind: int, data: bytes, failed: Failure) -> None:
        """PTRACE_SETREGSET."""
        buffer = ffi.from_buffer(data)
        vector = ffi.new("uint64_t[2]", [int(ffi.cast("uintptr_t", buffer)), len(data)])
        self.request_plain(tid, PTRACE_SETREGSET, kind, int(ffi.cast("uintptr_t", vector)), failed)

    def listen(self, tid: int) -> None:
        """Leave a task in its group stop."""
        lib.shim_listen(tid)

    def interrupt(self, tid: int) -> None:
        """Ask a running task to stop (EVENT_STOP)."""
        lib.shim_interrupt(tid)

    def answer(self, tid: int, value: int) -> None:
        """Finish a call at its RET_TRACE stop without executing it."""
        lib.shim_answer(tid, value)

    def renumber(self, tid: int, number: int) -> None:
        """Turn the call at its RET_TRACE stop into another one, with the same arguments."""
        lib.shim_renumber(tid, number)

    def signal_pass(self, tid: int, signal: int) -> None:
        """Deliver a signal at its delivery stop, re-issuing a notified call that was never received."""
        lib.shim_signal_pass(self._loop, tid, signal)

    def stay(self, here: bool) -> None:
        """Keep the supervisor on its present processor, which is the one of the guest it has just heard of; or let it go again."""
        lib.shim_stay(1 if here else 0)

    def keep(self, tid: int) -> None:
        """Keep a task on the supervisor's present processor, unless another one is kept or the host does not allow it."""
        lib.shim_keep(tid)

    def let_go(self, tid: int, now: int) -> None:
        """A task that may have been kept can run where it could before. now: its number, if that has changed; 0 when it is gone."""
        lib.shim_let_go(tid, now)

    def wait_stop(self, tid: int) -> int:
        """Wait for one task's next stop: its wait status, or -errno."""
        return int(lib.shim_wait_stop(tid))

    def event_message(self, tid: int) -> int:
        """What a stopped task's last event was about: for an exec, the number the task had before."""
        return int(lib.shim_event_message(tid))

    def registers(self, tid: int) -> list[int] | None:
        """General registers of a stopped task in struct user_regs_struct order; None when it is gone."""
        if lib.shim_registers(tid, self._registers) < 0:
            return None
        return list(_REGISTERS.unpack(self._register_buffer))

    def signal_mask(self, tid: int) -> int | None:
        """Signals a stopped task blocks, bit n - 1 for signal n; None when it is gone."""
        return int(self._mask[0]) if lib.shim_signal_mask(tid, self._mask) >= 0 else None

    def set_signal_mask(self, tid: int, mask: int) -> None:
        """Set them; SIGKILL and SIGSTOP cannot be blocked."""
        lib.shim_set_signal_mask(tid, mask)

    def set_registers(self, tid: int, registers: list[int]) -> None:
        """Set them; values are taken modulo 2**64."""
        self._register_buffer[:] = _REGISTERS.pack(*(value & 0xFFFFFFFFFFFFFFFF for value in registers))
        lib.shim_set_registers(tid, self._registers)
