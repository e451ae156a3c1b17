"""Opening again what a guest descriptor refers to: the ``guest:PID/FD`` streams of the Linux host.

What it is: the way /proc/PID/fd/N and process substitution work for things that have no name in the guest's view. Never gives more than
the guest has: pipes, FIFOs and terminals it already holds (their other access mode is Linux's own rule), its memfds, the console's files in
the mode the console has them, and regular files that have lost their name, as policy granted them by it (a file that has one is opened
by it). Anything else is EACCES, a socket ENXIO.

Adversary: the guest may replace descriptor FD at any moment. So the object is pinned first (O_PATH) and every check and the final open are
made on the pinned object. The master of a pseudo terminal is not opened again: that would make another terminal.
Sources: proc_pid_fd(5), pts(4).
"""

from __future__ import annotations

import fcntl
import os
import stat
from typing import TYPE_CHECKING, Final

from pylibos.monitor.host_abi import HostError

if TYPE_CHECKING:
    from collections.abc import Callable

EBADF: Final = 9
EACCES: Final = 13
EINVAL: Final = 22
ENXIO: Final = 6

_TERMINAL_MAJORS: Final = frozenset({4, 5, *range(136, 144)})
_HARMLESS_MEMORY_MINORS: Final = frozenset({3, 5, 7, 8, 9})
"""null zero full random urandom."""
_PID_DIGITS: Final = 12
_MASTER: Final = os.makedev(5, 2)
_NO_TERMINAL: Final = os.O_NOCTTY | os.O_CLOEXEC


def reopen_guest(name: bytes, flags: int, console: tuple[int, ...], allowed: Callable[[bytes], None] | None = None) -> int:
    """A new descriptor of ours of what ``PID/FD`` refers to, or of PID's memory for ``PID/mem``. Raises HostError, OSError.

    flags: O_* with O_PATH to look only. allowed: raises unless policy grants the access to the last host path of a regular file
    without a name; None refuses such files too.
    """
    pid_text, _, number_text = name.partition(b"/")
    if number_text == b"mem" and pid_text.isdigit() and len(pid_text) < _PID_DIGITS and int(pid_text) > 1:
        return os.open(b"/proc/%d/mem" % int(pid_text), flags & (os.O_ACCMODE | os.O_PATH) | os.O_CLOEXEC)
    if not (pid_text.isdigit() and number_text.isdigit()) or len(name) > 24 or int(pid_text) <= 1:
        raise HostError(EINVAL, "guest descriptor")
    link = b"/proc/%d/fd/%d" % (int(pid_text), int(number_text))
    try:
        pinned = os.open(link, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        raise HostError(EBADF) from None
    try:
        record = os.fstat(pinned)
        _check(pinned, record, flags, console, allowed)
        if flags & os.O_PATH:
            return os.dup(pinned)
        return _open(b"/proc/self/fd/%d" % pinned, flags)
    finally:
        os.close(pinned)


def pinned_path(descriptor: int) -> bytes:
    """Host name by which policy decides about a pinned regular file, the last one it had if it has none now; b"" for anything else."""
    record = os.fstat(descriptor)
    name = os.readlink(b"/proc/self/fd/%d" % descriptor)
    if not stat.S_ISREG(record.st_mode) or name[:1] != b"/" or name.startswith(b"/memfd:"):
        return b""
    return name.removesuffix(b" (deleted)") if record.st_nlink == 0 else name


def _open(path: bytes, flags: int) -> int:
    """Open without waiting for the other end of a FIFO or for a modem, then take off what the guest did not ask for."""
    descriptor = os.open(path, flags | os.O_NONBLOCK | _NO_TERMINAL)
    if not flags & os.O_NONBLOCK:
        fcntl.fcntl(descriptor, fcntl.F_SETFL, flags & os.O_APPEND)
    return descriptor


def _check(
    pinned: int, record: os.stat_result, flags: int, console: tuple[int, ...], allowed: Callable[[bytes], None] | None
) -> None:
    mode = record.st_mode
    if stat.S_ISSOCK(mode):
        raise HostError(ENXIO)
    if flags & os.O_PATH or stat.S_ISFIFO(mode):
        return
    if stat.S_ISCHR(mode):
        major, minor = os.major(record.st_rdev), os.minor(record.st_rdev)
        if (major in _TERMINAL_MAJORS and record.st_rdev != _MASTER) or (major == 1 and minor in _HARMLESS_MEMORY_MINORS):
            return
        raise HostError(EACCES)
    if stat.S_ISREG(mode):
        if record.st_nlink == 0 and os.readlink(b"/proc/self/fd/%d" % pinned).startswith(b"/memfd:"):
            return
        for descriptor in console:
            given = os.fstat(descriptor)
            if (given.st_dev, given.st_ino) == (record.st_dev, record.st_ino) and not flags & os.O_TRUNC:
                held = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE
                if held in (os.O_RDWR, flags & os.O_ACCMODE):
                    return
        path = pinned_path(pinned) if record.st_nlink == 0 else b""
        if path and allowed is not None:
            allowed(path)
            return
    raise HostError(EACCES)
