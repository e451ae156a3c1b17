"""Who may look into whom: ptrace_may_access among the guests of one sandbox.

Owns the rule only. Subjects and objects are processes of the table, so nobody outside can be meant; a security module of the host
(yama) has no say inside. Source: Linux 6.18 kernel/ptrace.c (__ptrace_may_access, with PTRACE_MODE_REALCREDS).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.security.capabilities import Capability

if TYPE_CHECKING:
    from pylibos.emulation.process.process import Process


def may_access(caller: Process, target: Process, *, by_files: bool = False) -> bool:
    """The same process; the same user and group throughout and a dumpable target with no more capabilities; or CAP_SYS_PTRACE.

    by_files: the caller's file-system ids and effective capabilities count (PTRACE_MODE_FSCREDS, for what is asked by names of /proc).
    """
    if target is caller:
        return True
    mine, theirs = caller.credentials, target.credentials
    if mine.has_capability(Capability.SYS_PTRACE):
        return True
    uid, gid, own = (mine.fsuid, mine.fsgid, mine.effective) if by_files else (mine.ruid, mine.rgid, mine.permitted)
    same = {theirs.ruid, theirs.euid, theirs.suid} == {uid} and {theirs.rgid, theirs.egid, theirs.sgid} == {gid}
    return same and target.dumpable == 1 and not theirs.permitted & ~own


def require_access(caller: Process, target: Process) -> None:
    """Raise EPERM unless caller may look into target."""
    if not may_access(caller, target):
        raise SyscallError(Errno.EPERM)
