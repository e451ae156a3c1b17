"""The executive: the one value that holds the library OS's subsystems together (composition, no behaviour of its own).

Built by runtime; handed to handlers through Thread.executive. Nothing here touches the host except through HostABI.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pylibos.abi.record import mutable_record

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylibos.emulation.config_manager.registry import Registry
    from pylibos.emulation.fs.filesystem import FileSystem
    from pylibos.emulation.fs.terminals import Terminals
    from pylibos.emulation.io_manager.manager import IoManager
    from pylibos.emulation.ipc.manager import Ipc
    from pylibos.emulation.memory.quota import Quota
    from pylibos.emulation.net.local import LocalSockets
    from pylibos.emulation.net.unix import UnixNames
    from pylibos.emulation.net.ways import Ways
    from pylibos.emulation.object_manager.manager import ObjectManager
    from pylibos.emulation.process.table import ProcessTable
    from pylibos.emulation.process.thread import Thread
    from pylibos.emulation.process.tracing import Tracee, Traces
    from pylibos.monitor.host_abi import HostABI


class TraceAccess(Protocol):
    """A stopped tracee's registers, memory and signals, through the host tracer. Raises SyscallError with the host's errno."""

    def read(self, thread: Thread, request: int, address: int, size: int) -> bytes:
        """What a request puts at its data argument."""
        ...

    def write(self, thread: Thread, request: int, address: int, data: bytes) -> None:
        """A request that takes what its data argument points at."""
        ...

    def plain(self, thread: Thread, request: int, address: int, data: int) -> None:
        """A request whose arguments are numbers."""
        ...

    def read_set(self, thread: Thread, kind: int, size: int) -> bytes:
        """A register set, at most size bytes."""
        ...

    def write_set(self, thread: Thread, kind: int, data: bytes) -> None:
        """Set one."""
        ...

    def call_information(self, tracee: Tracee) -> bytes:
        """struct ptrace_syscall_info for the stop as the tracer sees it."""
        ...

    def listen(self, tracee: Tracee) -> None:
        """Leave it in its group stop, but report what happens to it."""
        ...


class Observer(Protocol):
    """What the executive asks of the engine for threads whose every call must be seen."""

    def filtered(self, thread: Thread) -> None:
        """thread.seccomp has changed: from its next call on it decides."""
        ...

    def traces(self) -> Traces:
        """Who traces whom."""
        ...

    def tracer_pid(self, thread: Thread) -> int:
        """The guest process that traces a thread, 0 for nobody."""
        ...

    def access(self) -> TraceAccess:
        """To stopped tracees."""
        ...


def _nothing() -> None:
    """Nobody wants to know."""


@mutable_record
class Executive:
    """Subsystems by their NT names: host ABI, object manager, I/O manager, VFS, process manager, configuration manager."""

    host: HostABI
    objects: ObjectManager
    io: IoManager
    files: FileSystem
    processes: ProcessTable
    registry: Registry
    private_network: bool = False
    """The guests have a network name space of their own: with private_root, no name of a socket can reach the host."""
    private_root: bool = False
    """The guests' host root directory is an empty one nobody can write: a path the host kernel resolves for them leads nowhere."""
    private_pids: bool = False
    """The guests have a PID name space of their own: the host's names of processes are theirs, and nobody else can be named."""
    policy_quota: Quota | None = None
    """Limits of the policy that are kept for all guests together."""
    quota: Quota | None = None
    """The limits guests are told, the host's own included; None until somebody asks (memory/quota.py)."""
    ipc: Ipc | None = None
    """System V objects and POSIX message queues; None until the first."""
    memory_kills: int = 0
    """Guests that the limit on memory has ended."""
    terminals: Terminals | None = None
    """Pseudo terminals and the console, once /dev has been made."""
    unix_names: UnixNames | None = None
    """Sockets bound to paths of the view; None until the first."""
    first_socket_path: Callable[[], None] = _nothing
    """Called at that first one: from then on calls that show addresses have to be asked for."""
    observer: Observer | None = None
    """Makes every call of a thread pass the executive; None without an engine."""
    local: LocalSockets | None = None
    """AF_UNIX sockets the host binds and connects, where the guests share its network name space; None with a network of their own."""
    ways: Ways | None = None
    """Ways out of the guests' own network; None: there is none, whatever policy says."""
