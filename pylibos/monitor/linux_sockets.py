"""AF_UNIX sockets with names, for guests that share the host's network name space.

What it is: sockets bound and connected by the supervisor, because there a name in a guest's own call could be any of the host's. A socket
is bound in a private directory that lives for a moment; what is left is a handle (O_PATH) of the socket's node, by which, and only by
which, it can be connected to. Nothing of it can be found on the host afterwards.
Must not know guests. Sources: unix(7); Linux net/unix/af_unix.c (unix_find_bsd takes any path that leads to the node, an unlinked one of
/proc/self/fd too).
"""

from __future__ import annotations

import errno
import os
import socket
from contextlib import suppress
from typing import Final

from pylibos.monitor.host_abi import HostError
from pylibos.monitor.linux_tokens import bases

_PREFIX: Final = "pylibos-socket-"
_LABEL_LIMIT: Final = 32


def bind(kind: int, label: bytes, *, blocking: bool) -> tuple[int, int]:
    """A new bound socket and the handle of its name, both ours. label: letters and digits, the last component of that name."""
    if not label.isalnum() or len(label) > _LABEL_LIMIT:
        raise HostError(errno.EINVAL, "label")
    base = next(iter(bases()), None)
    if base is None:
        raise HostError(errno.EACCES, "no writable directory for sockets")
    directory = f"{base}/{_PREFIX}{os.urandom(8).hex()}"
    name = os.fsencode(directory) + b"/" + label
    made = socket.socket(socket.AF_UNIX, kind)
    os.mkdir(directory, 0o700)
    try:
        made.bind(name)
        handle = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        os.unlink(name)
    except OSError:
        made.close()
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise
    finally:
        os.rmdir(directory)
    made.setblocking(blocking)
    return made.detach(), handle


def connect(kind: int, handle: int, *, blocking: bool) -> int:
    """A new socket connected to the one bound to a name. Never waits: EAGAIN when its queue is full."""
    made = socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK)
    try:
        made.connect(b"/proc/self/fd/%d" % handle)
    except OSError:
        made.close()
        raise
    made.setblocking(blocking)
    return made.detach()
