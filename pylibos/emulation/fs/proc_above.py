"""/proc/N of the process above the first guest: init, which a program sees as its parent and which no guest is.

It is one of ours, so nothing of it is looked at: a sleeping process of root's, without memory, descriptors or time, that is there for
programs that walk up to it (pstree, ps --forest, ischroot). Its root is the view's root. Source: proc(5).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.fs.inode import Inode, Location
from pylibos.emulation.fs.synthetic import MagicLink, StaticDirectory, SyntheticDirectory, SyntheticFile, SyntheticVolume
from pylibos.emulation.security.capabilities import Capability

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylibos.emulation.process.thread import Thread

NAME: Final = b"init"
_BASE: Final = 1 << 46
"""Inode numbers: below those of guests' directories."""


def create(volume: SyntheticVolume, pid: int, start_ticks: int) -> Inode:
    """The directory of /proc/PID. start_ticks: when it has been started (USER_HZ since the host's boot)."""
    texts = {
        b"cmdline": NAME + b"\0",
        b"comm": NAME + b"\n",
        b"cgroup": b"0::/\n",
        b"stat": b"%d (%b) S 0 0 0 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 %d" % (pid, NAME, start_ticks) + b" 0" * 30 + b"\n",
        b"statm": b"0 0 0 0 0 0 0\n",
        b"status": b"Name:\t%b\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t0\nTracerPid:\t0\n"
        b"Uid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\nFDSize:\t64\nGroups:\t\nThreads:\t1\n" % (NAME, pid, pid),
        b"oom_score": b"0\n",
        b"oom_score_adj": b"0\n",
        b"loginuid": b"4294967295",
        b"sessionid": b"4294967295",
        b"wchan": b"0",
    }
    directory = _filled(volume, texts, _BASE)
    task = StaticDirectory(volume, 0o555, _BASE + 100)
    task.add(b"%d" % pid, _filled(volume, texts, _BASE + 200))
    directory.add(b"task", task)
    return directory


def _filled(volume: SyntheticVolume, texts: dict[bytes, bytes], number: int) -> StaticDirectory:
    directory = StaticDirectory(volume, 0o555, number)
    for index, (name, text) in enumerate(texts.items(), 1):
        directory.add(name, SyntheticFile(volume, _constant(text), None, 0o444, number + index))
    for index, name in enumerate((b"environ", b"auxv", b"maps"), 50):
        directory.add(name, SyntheticFile(volume, _nobody, None, 0o400, number + index))
    for index, name in enumerate((b"fd", b"fdinfo"), 60):
        directory.add(name, SyntheticDirectory(volume, lambda _name, _thread: None, lambda _thread: (), 0o500, number + index))
    for index, name in enumerate((b"root", b"cwd"), 70):
        directory.add(name, MagicLink(volume, _root_text, _root, number + index))
    return directory


def _constant(text: bytes) -> Callable[[Thread], bytes]:
    return lambda _thread: text


def _nobody(_thread: Thread) -> bytes:
    raise SyscallError(Errno.EACCES)


def _require_look(thread: Thread) -> None:
    if not thread.process.credentials.has_capability(Capability.SYS_PTRACE):
        raise SyscallError(Errno.EACCES)


def _root_text(thread: Thread) -> bytes:
    _require_look(thread)
    return b"/"


def _root(thread: Thread) -> Location:
    _require_look(thread)
    root = thread.executive.files.root
    return Location(root, root, b"")
