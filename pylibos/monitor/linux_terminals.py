"""Pseudo terminals of the host: a new master, and a pinned handle of its slave.

What it is: the ``pty:`` pair of the Linux host. The slave comes from TIOCGPTPEER with O_PATH: exactly the master's own, whatever /dev/pts
shows, and without opening it (an open and close would hang the master up). While the handle lives it names this terminal and no other:
when the last master closes, its link count is 0 and an open of it EIO, also if the kernel gives the number to somebody else.
Must not know guests. Sources: pts(4), ioctl_tty(2); Linux drivers/tty/pty.c:ptm_open_peer(), fs/devpts/inode.c:devpts_pty_kill().
"""

from __future__ import annotations

import fcntl
import os
from typing import Final

from pylibos.abi.ioctl import TIOCGPTPEER
from pylibos.monitor.host_abi import HostError

ENXIO: Final = 6


def open_terminal(nonblock: bool) -> tuple[int, int]:
    """(master, slave handle): descriptors of ours. Raises HostError ENXIO where the host has no pseudo terminals, OSError (ENOSPC)."""
    flags = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC | (os.O_NONBLOCK if nonblock else 0)
    try:
        master = os.open(b"/dev/ptmx", flags)
    except FileNotFoundError:
        raise HostError(ENXIO, "no /dev/ptmx") from None
    try:
        return master, fcntl.ioctl(master, TIOCGPTPEER, os.O_PATH | os.O_NOCTTY | os.O_CLOEXEC)
    except BaseException:
        os.close(master)
        raise
