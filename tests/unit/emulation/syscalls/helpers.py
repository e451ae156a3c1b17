"""A thread without an executive, for tests of decoding and dispatch."""

from __future__ import annotations

from typing import cast

from pylibos.emulation.guest import FlatMemory
from pylibos.emulation.process.process import Process
from pylibos.emulation.process.thread import Thread


class FakeProcess:
    """The attributes Thread reads at construction."""

    comm = b"test"
    executive = None


def make_thread(memory: FlatMemory | None = None) -> Thread:
    """A thread over 64 KiB of flat memory at 0x10000."""
    return Thread(cast(Process, FakeProcess()), 7, 7, memory or FlatMemory())
