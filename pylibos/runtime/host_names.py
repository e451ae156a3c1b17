"""The sandbox's own name on its loopback: a line of /etc/hosts in the guests' view.

Written before the first program of a sandbox whose network is a loopback; it stays in the sandbox. Invariant: a file that is the host's own
(granted for writing) is not touched: the grant is the program's, not ours. (What a network with ways out keeps in /etc is network.py's.)
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from pylibos.emulation.errors import SyscallError
from pylibos.emulation.fs.memfs import MemVolume
from pylibos.emulation.fs.opening import open_path
from pylibos.emulation.outcome import Install
from pylibos.emulation.process.process import Process
from pylibos.emulation.process.thread import Thread
from pylibos.emulation.security.credentials import Credentials
from pylibos.monitor.host_abi import HostError

_HOSTS: Final = b"/etc/hosts"
_O_WRONLY: Final = 1


def add_own_name(scout: Thread, hostname: bytes) -> None:
    """Add the line, where the view has /etc/hosts and it may be changed."""
    executive = scout.executive
    process = Process(executive, 0, 0, None, Credentials(0, 0), scout.process.fs)
    root = Thread(process, 0, 0, scout.memory)
    with suppress(SyscallError, HostError):
        inode = executive.files.find(root, None, _HOSTS)
        if not isinstance(inode.volume, MemVolume):
            return
        outcome = open_path(root, None, _HOSTS, _O_WRONLY, 0)
        if isinstance(outcome, Install):
            executive.host.stream_write(outcome.stream, inode.size, b"\n127.0.1.1\t%b\n" % hostname)
            if not outcome.keep:
                executive.host.stream_close(outcome.stream)
