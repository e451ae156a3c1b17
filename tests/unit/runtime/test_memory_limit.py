"""Who dies when, over the in-memory host."""

from __future__ import annotations

import signal

import pytest

from pylibos.abi.record import replace
from pylibos.emulation.config_manager.registry import Registry
from pylibos.emulation.executive import Executive
from pylibos.emulation.fs.context import FsContext
from pylibos.emulation.fs.filesystem import FileSystem
from pylibos.emulation.guest import FlatMemory
from pylibos.emulation.io_manager.manager import IoManager
from pylibos.emulation.object_manager.manager import ObjectManager
from pylibos.emulation.process.table import ProcessTable
from pylibos.emulation.security.credentials import Credentials
from pylibos.monitor.fake_guests import FakeGuest
from pylibos.monitor.fake_host import FakeHost
from pylibos.monitor.host_abi import Access, Create
from pylibos.runtime.memory_limit import PERIOD_NS, MemoryLimit

FIRST, SECOND = 7001, 7002
MIB = 1 << 20


class Box:
    """Two guests, a limit of 100 MiB, and what was said and done."""

    def __init__(self) -> None:
        self.host = FakeHost()
        io = IoManager(self.host)
        files = FileSystem(self.host, io.inodes)
        files.mount_all([(b"/", "tmpfs", None)])
        processes = ProcessTable(lambda _: FlatMemory())
        self.executive = Executive(self.host, ObjectManager(), io, files, processes, Registry())
        self.host.guests = {FIRST: FakeGuest(), SECOND: FakeGuest()}
        self.proportional: dict[int, int] = {}
        self.said: list[str] = []
        self.ended: list[bool] = []
        self.thread = processes.create_root(self.executive, FIRST, 5, Credentials(0, 0), FsContext(files.root))
        processes.fork(self.thread, SECOND, 6, 0)
        self.keeper = MemoryLimit(self.executive, 100 * MIB, 99, lambda: self.ended.append(True), self.said.append)

    def use(self, pid: int, anonymous: int, proportional: int | None = None) -> None:
        guest = self.host.guests[pid]
        guest.usage = replace(guest.usage, accounts={"RssAnon": anonymous >> 10})
        self.proportional[pid] = (anonymous if proportional is None else proportional) >> 10

    def regions(self, pid: int, _detailed: bool) -> bytes:
        size = self.proportional[pid]
        return b"0-1 rw-p 0 00:00 0\nPss: %d kB\nAnonymous: %d kB\nSwapPss: 0 kB\n" % (size, size)

    def killed(self) -> list[int]:
        assert all(number == signal.SIGKILL for _, _, number in self.host.signals)
        return [pid for pid, _, _ in self.host.signals]


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch) -> Box:
    made = Box()
    monkeypatch.setattr(made.host, "memory_map_text", made.regions)
    return made


def test_below_the_limit_nothing_happens_and_looks_come_closer(box: Box) -> None:
    box.use(FIRST, 10 * MIB)
    box.use(SECOND, 20 * MIB)
    assert box.keeper.look() == PERIOD_NS
    box.use(SECOND, 80 * MIB)
    assert box.keeper.look() == PERIOD_NS // 5
    assert (box.killed(), box.said, box.ended) == ([], [], [])


def test_the_greediest_dies(box: Box) -> None:
    box.use(FIRST, 40 * MIB)
    box.use(SECOND, 70 * MIB)
    box.keeper.look()
    assert (box.killed(), box.ended, box.keeper.exceeded, box.executive.memory_kills) == ([SECOND], [], False, 1)
    assert "70 MiB of 100 MiB" in box.said[0]
    box.use(FIRST, 140 * MIB)
    box.keeper.look()
    assert (box.killed(), box.keeper.exceeded) == ([SECOND, FIRST], True), "the first process's end is the run's"


def test_shared_pages_count_once(box: Box) -> None:
    box.use(FIRST, 80 * MIB, 40 * MIB)
    box.use(SECOND, 80 * MIB, 40 * MIB)
    box.keeper.look()
    assert box.killed() == []


def test_files_that_alone_are_too_much_end_everything(box: Box) -> None:
    inode = box.executive.files.root.make(b"file", 0o100644, 0, 0)  # type: ignore[attr-defined]
    stream = inode.open_stream(box.thread, Access.READ_WRITE, Create.OPEN)
    box.host.stream_write(stream, 101 * MIB, b"x")
    inode.resize(101 * MIB)
    box.host.stream_allocate(stream, 0, 0, 101 * MIB)
    box.use(FIRST, MIB)
    box.use(SECOND, MIB)
    box.keeper.look()
    assert (box.ended, box.killed(), box.keeper.exceeded) == ([True], [], True)
