"""Descriptors for guests: legal only while a call of that guest is being answered, and never left lying about."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from pylibos.abi.plan import PASSAGE, SCRATCH_ADDRESS
from pylibos.emulation.errors import SyscallError
from pylibos.monitor.host_abi import HostError
from pylibos.runtime import installer
from pylibos.runtime.installer import NR_RECVMSG, NotifyInstaller, TracedInstaller
from pylibos.tracer import tracer as events
from tests.unit.runtime.engine import RIP, TID, FakeTracer

Ends = tuple[socket.socket, socket.socket]


class Memory:
    """Guest memory that is only a dictionary of what was written."""

    content: bytearray = bytearray()
    readable = True

    def __init__(self, _tid: int) -> None:
        pass

    def write(self, address: int, data: bytes) -> None:
        if not Memory.readable:
            raise SyscallError(14)  # type: ignore[arg-type]  # only that it is one matters
        Memory.content = bytearray(data)
        assert address == SCRATCH_ADDRESS

    def read(self, address: int, size: int) -> bytes:
        start = address - SCRATCH_ADDRESS
        return bytes(Memory.content[start : start + size])


@pytest.fixture
def ends() -> Iterator[Ends]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.fixture
def tracer() -> Any:
    made = FakeTracer()
    registers = [0] * 27
    registers[events.RIP], registers[events.ORIG_RAX] = RIP, 257
    made.held[TID] = registers
    return made


@pytest.fixture(autouse=True)
def memory(monkeypatch: pytest.MonkeyPatch) -> None:
    Memory.readable = True
    monkeypatch.setattr(installer, "TaskMemory", Memory)


def receive(ends: Ends, number: int) -> Any:
    """A run_to_exit that does what the guest's recvmsg would: take the message, leave a control message with number."""

    def run(_tid: int, _fresh: bool) -> int:
        _data, descriptors, _flags, _address = socket.recv_fds(ends[1], 1, 1)
        for descriptor in descriptors:
            os.close(descriptor)
        struct.pack_into("<QiiI", Memory.content, 56 + 16, 20, socket.SOL_SOCKET, socket.SCM_RIGHTS, number)
        return 1

    return run


def test_a_notified_call_may_take_descriptors_for_itself_only(tracer: Any) -> None:
    tracer.install = lambda call_id, descriptor, close_on_exec: (call_id, descriptor, close_on_exec) == (7, 20, True) and 5
    notify = NotifyInstaller(tracer)
    with pytest.raises(HostError):
        notify.install_for_host(TID, 20, close_on_exec=True)
    notify.begin(7, TID)
    assert notify.install_for_host(TID, 20, close_on_exec=True) == 5
    assert notify.install_descriptor(TID + 1, 20, close_on_exec=True) == -1
    notify.begin(0, TID)
    assert notify.install_descriptor(TID, 20, close_on_exec=True) == -1
    assert notify.moved() is None


def test_over_the_passage(tracer: Any, ends: Ends) -> None:
    traced = TracedInstaller(tracer, ends, PASSAGE)
    traced.run_to_exit = receive(ends, 9)
    traced.begin(0, TID)
    assert traced.install_for_host(TID, 0, close_on_exec=False) == 9
    registers = tracer.held[TID]
    assert (registers[events.RDI], registers[events.RSI], registers[events.ORIG_RAX]) == (PASSAGE, SCRATCH_ADDRESS, NR_RECVMSG)
    saved = traced.moved()
    assert saved is not None
    assert saved[events.ORIG_RAX] == 257
    assert traced.install_for_host(TID, 0, close_on_exec=True) == 9
    registers = tracer.held[TID]
    assert (registers[events.ORIG_RAX], registers[events.RIP]) == (-1, RIP - 2)
    assert registers[events.RDX] & installer.MSG_CMSG_CLOEXEC


def test_a_message_nobody_took_is_taken_back(tracer: Any, ends: Ends) -> None:
    traced = TracedInstaller(tracer, ends, PASSAGE)
    traced.run_to_exit = lambda _tid, _fresh: -24
    traced.begin(0, TID)
    before = len(os.listdir("/proc/self/fd"))
    assert traced.install_descriptor(TID, 0, close_on_exec=False) == -24
    assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(BlockingIOError):
        ends[1].recv(1, socket.MSG_DONTWAIT)


def test_a_guest_without_room_for_the_message_gets_nothing(tracer: Any, ends: Ends) -> None:
    Memory.readable = False
    traced = TracedInstaller(tracer, ends, PASSAGE)
    traced.begin(0, TID)
    assert traced.install_descriptor(TID, 0, close_on_exec=False) == -24
    with pytest.raises(BlockingIOError):
        ends[1].recv(1, socket.MSG_DONTWAIT)


def test_other_tasks_get_nothing(tracer: Any, ends: Ends) -> None:
    traced = TracedInstaller(tracer, ends, PASSAGE)
    traced.begin(0, TID)
    assert traced.install_descriptor(TID + 1, 0, close_on_exec=False) == -1
    assert traced.moved() is None
