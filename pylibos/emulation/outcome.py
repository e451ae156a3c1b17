"""What a system call handler may answer besides a number: control outcomes.

A handler returns ``int`` (the result), ``None`` (0) or one of these; errors are raised (SyscallError), control is returned.
A handler that must wait is a generator: it yields Wait values and finally returns one of the above. The runtime carries
outcomes out through the engine in use; nothing here knows which engine that is.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Final

from pylibos.abi.record import field, mutable_record, record

if TYPE_CHECKING:
    from pylibos.emulation.fs.inode import Inode
    from pylibos.emulation.object_manager.dispatcher import DispatcherObject
    from pylibos.emulation.process.thread import Thread
    from pylibos.emulation.security.credentials import Credentials
    from pylibos.monitor.host_abi import HostStream


@record
class Forward:
    """Let the host kernel execute the call exactly as the guest made it.

    Legal only for calls whose authority is in their registers: no pointer of a forwarded, notified call may carry anything
    that was checked. Calls routed TRACE may be forwarded with pointers that carry no authority (a timeout, a signal set).
    """


FORWARD = Forward()


@record
class Translated:
    """Let the host kernel execute a TRACE-routed call with arguments of the library OS's, or have its result translated.

    ``address``: (index of the argument that points to a socket address, whose size is the next argument; the address in its place). The
    guest's registers are as it set them when the call returns, also to a signal handler.
    ``message``: a struct msghdr in place of the one argument 1 points to, followed by the socket address its name is set to.
    ``arguments``: (index, value) of further arguments that are plain numbers.
    ``done``: told the raw result (a negative errno or restart code on failure) before the guest goes on; must not raise.
    The replacement lies in guest memory while the kernel copies it: it must carry no authority either.
    """

    address: tuple[int, bytes] | None = None
    done: Callable[[int], None] | None = None
    arguments: Sequence[tuple[int, int]] = ()
    message: bytes | None = None


@record
class Clone:
    """Have the host kernel execute clone(2) with these arguments instead of the guest's call (clone3, or clone with flags taken out).

    Only for TRACE-routed calls. Nothing is read from guest memory again; both parent and child go on with the registers they had.
    ``parent_tid_address``: where the parent is told the child's number beside a pidfd, for which clone(2) itself has no room.
    ``clear_handlers``: the child begins with the default action for every signal it does not ignore (CLONE_CLEAR_SIGHAND).
    """

    flags: int
    stack: int = 0
    parent_tid: int = 0
    child_tid: int = 0
    tls: int = 0
    parent_tid_address: int = 0
    clear_handlers: bool = False


@record
class Install:
    """The call's result is a new guest descriptor (the lowest free number) that refers to ``stream``.

    ``keep``: the library OS keeps its handle; otherwise it is closed once the guest has its duplicate (or if that failed).
    ``failed``: told the errno when the guest could not take the descriptor (EMFILE): takes back what the call has made.
    """

    stream: HostStream
    close_on_exec: bool = False
    keep: bool = False
    failed: Callable[[int], None] | None = None


DESCRIPTOR: Final = 1 << 64
"""In the arguments of a Remote's calls: the number of the descriptor that was installed for them."""
DATA: Final = DESCRIPTOR + 1
"""The same for the address its data have been written to."""


@record
class Remote:
    """The caller itself makes some quick native calls (mmap, munmap, close, fcntl, ...), and their results make its answer.

    None may be one that the filter notifies us of: we would wait for ourselves.
    ``calls``: (number, arguments) in order; each is made, whatever the one before answered. ``stream``: installed first, close-on-exec, and
    closed on our side. ``data``: what DATA points to in the caller's memory; like every address another thread of the guest may change it,
    so it must carry no authority. ``finish``: the raw results (none when the descriptor could not be installed) -> the result or -errno.
    """

    calls: Sequence[tuple[int, tuple[int, ...]]]
    finish: Callable[[Sequence[int]], int]
    stream: HostStream | None = None
    data: bytes = b""


@record
class Wait:
    """Yielded by a blocking handler: resume when one of (or all of) the objects is signalled, or the time has passed.

    Sent back into the generator: the index of the object that satisfied the wait, or None for a time-out. timeout_ns is
    relative; None waits without limit. A signal to an interruptible waiter raises Interrupted inside the generator.
    """

    objects: Sequence[DispatcherObject] = ()
    wait_all: bool = False
    timeout_ns: int | None = None
    interruptible: bool = True


@mutable_record
class LoadSegment:
    """One PT_LOAD of an image. Addresses are the ELF file's own; sizes in bytes; protection is PROT_* bits."""

    address: int
    memory_size: int
    offset: int
    file_size: int
    protection: int


@mutable_record
class ImagePlan:
    """How to map one ELF image from an open stream."""

    stream: HostStream
    position_independent: bool
    entry: int
    program_headers: int
    program_header_count: int
    segments: list[LoadSegment]
    alignment: int = 4096
    """What the load bias of a position-independent image must be a multiple of, bytes, a power of two."""
    keep: bool = False
    """The library OS keeps ``stream`` (an interpreter used by every program); otherwise the engine closes it after use."""


@mutable_record
class ExecPlan:
    """A successful execve up to the point where the old program dies: the engine starts our loader with this.

    ``argument_prefix`` replaces argv[0] (a ``#!`` line puts the interpreter, its argument and the script there; None keeps argv
    as the guest gave it). ``path`` is the guest's path of the program (AT_EXECFN).
    """

    path: bytes
    program: ImagePlan
    interpreter: ImagePlan | None
    argument_prefix: list[bytes] | None = None
    executable_stack: bool = False
    comm: bytes = b""
    """Name of the new program's thread; empty: the last component of path."""
    executable_path: bytes = b""
    """Guest path of the mapped program, all links resolved (/proc/PID/exe): for a script its interpreter."""
    executable: Inode | None = None
    """The inode that is mapped, when it is of the view."""
    credentials: Credentials | None = None
    """Credentials of the new program; None keeps the process's own value."""
    commit: list[Callable[[Thread], None]] = field(default_factory=list)
    """Run by the process table once the old program is gone, with the surviving thread."""


@record
class Exec:
    """Answer of execve and execveat: replace the program."""

    plan: ExecPlan
    argv_address: int
    envp_address: int
    empty_string_address: int
    """Address in guest memory of a NUL byte (the end of the path string): an empty path for execveat."""


Outcome = int | None | Forward | Translated | Clone | Install | Exec | Remote
Blocking = Generator[Wait, int | None, Outcome]
