"""Starts the sandbox's init process with as many walls as this host allows, and says which it got.

Owns the choice of name spaces and of the identity the picoprocesses have on the host. Everything here is optional to
correctness except what shim_spawn refuses to go without (no_new_privs, the parent-death signal, only six descriptors).
"""

from __future__ import annotations

import os
import signal
from _socket import AF_UNIX, SOCK_STREAM, socket, socketpair  # the socket module costs 2 ms and adds nothing that is needed here

from pylibos.abi.record import record
from pylibos.tracer.native import ffi, lib

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

_WALLS = (
    CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET,
    CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWNET,
    0,
)
_STEPS = {1: "map ids", 2: "bring up loopback", 3: "enter the empty root", 4: "place descriptors", 5: "drop identity",
          6: "drop privileges", 7: "execute the loader"}  # fmt: skip
NOBODY = 65534
_START_PATIENCE_S = 10.0


class SpawnError(Exception):
    """The init process could not be started; the text says at which step."""


@record
class Walls:
    """What surrounds the picoprocesses besides seccomp."""

    pids: bool
    network: bool
    ipc: bool
    mounts: bool
    user: bool


@record
class Init:
    """The running init process: it has reported that it waits for the supervisor to attach."""

    pid: int
    control: socket
    walls: Walls
    peer: socket | None = None
    """Init's end of control, when it was asked for: messages nobody took can be taken back."""


def _attempt(flags: int, standard: tuple[int, int, int], block: int, loader: int, loopback: bool, keep_peer: bool) -> Init:
    ours, theirs = socketpair(AF_UNIX, SOCK_STREAM)
    root = os.geteuid() == 0
    what = ffi.new("struct shim_spawn *")
    what.clone_flags = flags
    for index in range(3):
        what.standard[index] = standard[index]
    what.control = theirs.fileno()
    what.block = block
    what.loader = loader
    what.map_identity = 1 if flags & CLONE_NEWUSER else 0
    if flags & CLONE_NEWUSER:
        what.uid, what.gid = os.geteuid(), os.getegid()
    else:
        what.uid, what.gid = (NOBODY, NOBODY) if root else (-1, -1)
    what.loopback_up = 1 if loopback and flags & CLONE_NEWNET else 0
    what.empty_root = 1 if flags & CLONE_NEWNS else 0
    pid = lib.shim_spawn(what)
    if pid < 0:
        theirs.close()
        ours.close()
        raise SpawnError(f"clone: {os.strerror(-pid)}")
    if not keep_peer:
        theirs.close()
    ours.settimeout(_START_PATIENCE_S)
    try:
        report = ours.recv(3)
    except TimeoutError:
        report = b""
    ours.settimeout(None)
    if report != b"R":
        theirs.close()
        ours.close()
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        step = _STEPS.get(report[1], "start") if len(report) == 3 else "start"
        reason = os.strerror(report[2]) if len(report) == 3 else "the process died"
        raise SpawnError(f"{step}: {reason}")
    walls = Walls(
        pids=bool(flags & CLONE_NEWPID),
        network=bool(flags & CLONE_NEWNET),
        ipc=bool(flags & CLONE_NEWIPC),
        mounts=bool(flags & CLONE_NEWNS),
        user=bool(flags & CLONE_NEWUSER),
    )
    return Init(pid, ours, walls, theirs if keep_peer else None)


def start_init(
    standard: tuple[int, int, int], block: int, loader: int, *, loopback: bool = False, keep_peer: bool = False
) -> Init:
    """Start init with the strongest walls that work here. standard: host descriptors for the guest's 0, 1, 2.

    loopback: a network name space, if there is one, gets its lo up. Raises SpawnError when not even the plain form works.
    """
    user = 0 if os.geteuid() == 0 else CLONE_NEWUSER
    problem = SpawnError("nothing was tried")
    for wall in _WALLS:
        try:
            init = _attempt(wall | user if wall else 0, standard, block, loader, loopback, keep_peer)
        except SpawnError as error:
            problem = error
        else:
            _share_real_identity(init)
            return init
    raise problem


def _share_real_identity(init: Init) -> None:
    """A root supervisor takes its guests' real ids, keeping the effective ones: prlimit(2) of another process asks for equal real
    ids or CAP_SYS_RESOURCE, which a container's root does not have."""
    if os.geteuid() == 0 and not init.walls.user:
        os.setresgid(NOBODY, -1, -1)
        os.setresuid(NOBODY, -1, -1)
