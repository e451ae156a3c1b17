"""A sandbox without an engine: FakeHost, flat guest memory, process table and registry, for tests of handlers and processes."""

from __future__ import annotations

from typing import Any, cast

from pylibos.abi.syscall_numbers import NUMBERS
from pylibos.emulation.config_manager.defaults import load_defaults
from pylibos.emulation.config_manager.registry import Registry
from pylibos.emulation.dispatch import dispatch
from pylibos.emulation.executive import Executive
from pylibos.emulation.fs.context import FsContext
from pylibos.emulation.guest import FlatMemory
from pylibos.emulation.process.table import ProcessTable
from pylibos.emulation.process.thread import Thread
from pylibos.emulation.security.credentials import Credentials
from pylibos.emulation.syscalls import all as _table  # noqa: F401 - fills the table
from pylibos.monitor.fake_guests import FakeGuest
from pylibos.monitor.fake_host import FakeHost

BASE = 0x10000


class _NoFiles:
    """A view without files: nothing was written to a synthetic file."""

    def drain(self) -> None:
        """Nothing to take."""


class World:
    """One sandbox whose first process has guest pid 1 and host pid 1001; later ones get 2/1002 and so on unless told."""

    def __init__(self, *, uid: int = 0, files: Any = None, **executive: Any) -> None:
        self.host = FakeHost()
        self.memories: dict[int, FlatMemory] = {}
        self.table = ProcessTable(self._memory)
        registry = Registry()
        load_defaults(registry)
        self.executive = Executive(
            host=cast("Any", self.host),
            objects=cast("Any", None),
            io=cast("Any", None),
            files=files if files is not None else cast("Any", _NoFiles()),
            processes=self.table,
            registry=registry,
            **executive,
        )
        self._last = 1
        self._add_guest(1001)
        context = FsContext(cast("Any", object()))
        self.root = self.table.create_root(self.executive, 1001, 1, Credentials(uid, uid), context)

    def _memory(self, host_tid: int) -> FlatMemory:
        return self.memories.setdefault(host_tid, FlatMemory(BASE, 0x8000))

    def _add_guest(self, host_pid: int) -> None:
        self.host.guests[host_pid] = FakeGuest()

    def fork(self, parent: Thread, flags: int = 0) -> Thread:
        """A child process (or thread, by flags) with the next number."""
        self._last += 1
        self._add_guest(1000 + self._last)
        return self.table.fork(parent, 1000 + self._last, self._last, flags)

    def end(self, thread: Thread, status: int = 0) -> None:
        """The thread exits; a zombie keeps its host name until reap()."""
        self.table.thread_exited(thread.host_tid, status)

    def reap(self, host_pid: int) -> None:
        """The parent has waited, as the host knows and the table does not."""
        del self.host.guests[host_pid]


def call(thread: Thread, name: str, *arguments: int) -> Any:
    """Make a system call by name through the real boundary: the result, -errno, or a control outcome."""
    padded = tuple(argument & 0xFFFF_FFFF_FFFF_FFFF for argument in arguments) + (0,) * (6 - len(arguments))
    return dispatch(thread, NUMBERS[name], padded)
