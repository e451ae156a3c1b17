"""Where our descriptors become guest descriptors: knows the call that is being answered.

HostABI.descriptor_install is delegated here by the Linux host; legal only while a call of that task is being answered. Two ways:
a notified call takes descriptors through the listener (ADDFD); under the ptrace engine the task itself receives them over the
passage socket, by a recvmsg that takes the place of the call it was about to make.
"""

from __future__ import annotations

import _socket as socket  # the socket module costs 2 ms and adds nothing that is needed here
import os
import struct
from typing import TYPE_CHECKING, Final, Protocol

from pylibos.abi.plan import SCRATCH_ADDRESS
from pylibos.emulation.errors import SyscallError
from pylibos.monitor.host_abi import HostError
from pylibos.runtime.memory import TaskMemory
from pylibos.tracer import tracer as events

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylibos.tracer.tracer import Tracer

EPERM: Final = 1
EMFILE: Final = 24
NR_RECVMSG: Final = 47
MSG_DONTWAIT: Final = 0x40
MSG_CMSG_CLOEXEC: Final = 0x40000000
_SYSCALL_SIZE: Final = 2
_SMALLEST_CONTROL: Final = 20

_MESSAGE: Final = struct.Struct("<QIIQQQQQ")
"""struct msghdr: name, name length, padding, iov, iov count, control, control length, flags."""
_VECTOR: Final = struct.Struct("<QQ")
_CONTROL_SIZE: Final = 24
_DESCRIPTOR: Final = struct.Struct("=i")
_NO_WAIT: Final = socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL


class Installer(Protocol):
    """Answers descriptor_install for the task whose call is being answered."""

    def begin(self, call_id: int, tid: int) -> None:
        """A call of tid is being answered; call_id 0 when it is a traced one."""
        ...

    def install_for_host(self, host_tid: int, descriptor: int, close_on_exec: bool) -> int:
        """The new number in the guest of one of our own descriptors. Raises HostError."""
        ...

    def install_descriptor(self, tid: int, descriptor: int, close_on_exec: bool) -> int:
        """The same, answering -errno."""
        ...

    def moved(self) -> list[int] | None:
        """Registers to go on from when a traced call was used up for an installation: the task is at that call's exit."""
        ...


class NotifyInstaller:
    """Through the seccomp listener."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._call_id = 0
        self._tid = 0

    def begin(self, call_id: int, tid: int) -> None:
        self._call_id = call_id
        self._tid = tid

    def install_for_host(self, host_tid: int, descriptor: int, close_on_exec: bool) -> int:
        return _number(self.install_descriptor(host_tid, descriptor, close_on_exec))

    def install_descriptor(self, tid: int, descriptor: int, close_on_exec: bool) -> int:
        if not self._call_id or tid != self._tid:
            return -EPERM
        return self._tracer.install(self._call_id, descriptor, close_on_exec)

    def moved(self) -> list[int] | None:
        return None


class TracedInstaller:
    """Over the passage socket: the supervisor sends, the task receives in place of the call it was making."""

    def __init__(self, tracer: Tracer, ends: tuple[socket.socket, socket.socket], passage: int) -> None:
        self._tracer = tracer
        self._passage = passage
        self._ours, self._theirs = ends
        self._tid = 0
        self._saved: list[int] | None = None
        self.run_to_exit: Callable[[int, bool], int | None] = lambda _tid, _fresh: None
        """Set by the supervisor: let the task execute one call; its result, or None when it died."""

    def begin(self, call_id: int, tid: int) -> None:
        self._tid = tid
        self._saved = None

    def moved(self) -> list[int] | None:
        return self._saved

    def install_for_host(self, host_tid: int, descriptor: int, close_on_exec: bool) -> int:
        return _number(self.install_descriptor(host_tid, descriptor, close_on_exec))

    def install_descriptor(self, tid: int, descriptor: int, close_on_exec: bool) -> int:
        if tid != self._tid:
            return -EPERM
        fresh = self._saved is None
        saved = self._tracer.registers(tid) if self._saved is None else self._saved
        if saved is None:
            return -EPERM
        control = SCRATCH_ADDRESS + _MESSAGE.size + _VECTOR.size
        byte = control + _CONTROL_SIZE
        message = _MESSAGE.pack(0, 0, 0, SCRATCH_ADDRESS + _MESSAGE.size, 1, control, _CONTROL_SIZE, 0) + _VECTOR.pack(byte, 1)
        memory = TaskMemory(tid)
        try:
            memory.write(SCRATCH_ADDRESS, message + bytes(_CONTROL_SIZE + 8))
        except SyscallError:
            return -EMFILE
        try:
            # Not socket.send_fds and recv_fds: they ignore their flags, and nothing here may wait.
            self._ours.sendmsg([b"D"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, _DESCRIPTOR.pack(descriptor))], _NO_WAIT)
        except OSError:
            return -EMFILE
        registers = list(saved)
        registers[events.RDI] = self._passage
        registers[events.RSI] = SCRATCH_ADDRESS
        registers[events.RDX] = MSG_DONTWAIT | (MSG_CMSG_CLOEXEC if close_on_exec else 0)
        registers[events.RAX] = NR_RECVMSG
        if fresh:
            registers[events.ORIG_RAX] = NR_RECVMSG
        else:  # the call itself is used up: make another one
            registers[events.ORIG_RAX] = -1
            registers[events.RIP] -= _SYSCALL_SIZE
        self._tracer.set_registers(tid, registers)
        self._saved = saved
        number = -EMFILE
        if self.run_to_exit(tid, fresh) == 1:
            number = _received(memory, control)
        if number < 0:
            self._take_back()
        return number

    def _take_back(self) -> None:
        """The guest has closed its passage, or has no room: the message must not reach the next receiver."""
        # Not socket.recv_fds: CPython 3.11 drops its flags, and this must not wait.
        try:
            _data, control, _flags, _address = self._theirs.recvmsg(1, socket.CMSG_SPACE(_DESCRIPTOR.size), _NO_WAIT)
        except OSError:
            return
        for _level, kind, data in control:
            if kind == socket.SCM_RIGHTS:
                for (descriptor,) in _DESCRIPTOR.iter_unpack(data):
                    os.close(descriptor)


def _number(result: int) -> int:
    if result < 0:
        raise HostError(-result)
    return result


def _received(memory: TaskMemory, control: int) -> int:
    """The descriptor number in the control message a recvmsg left at control, or -EMFILE."""
    try:
        size, _level, kind, number = struct.unpack_from("<QiiI", memory.read(control, _CONTROL_SIZE))
    except SyscallError:
        return -EMFILE
    return int(number) if size >= _SMALLEST_CONTROL and kind == socket.SCM_RIGHTS else -EMFILE
