"""Whom a guest may signal: the confinement of kill(2) and its relatives to the sandbox.

Owns the choice of targets and the permission rule; sends nothing. Targets are always processes of the table, never numbers, so no
number a guest makes up can reach a process outside. Source: Linux 6.18 kernel/signal.c (kill_something_info, kill_ok_by_cred).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylibos.abi.process import NSIG, SIGCONT
from pylibos.emulation.security.capabilities import Capability

if TYPE_CHECKING:
    from pylibos.emulation.process.process import Process
    from pylibos.emulation.process.table import ProcessTable


def valid_signal(number: int) -> bool:
    """Whether a signal number may be sent; 0 asks only whether one could."""
    return 0 <= number <= NSIG


def may_signal(sender: Process, target: Process, number: int) -> bool:
    """kill_ok_by_cred: the same process, a matching user id, CAP_KILL, or SIGCONT within the session."""
    if sender is target:
        return True
    mine, theirs = sender.credentials, target.credentials
    if mine.euid in (theirs.suid, theirs.ruid) or mine.ruid in (theirs.suid, theirs.ruid):
        return True
    return mine.has_capability(Capability.KILL) or (number == SIGCONT and sender.sid == target.sid)


def group_targets(table: ProcessTable, pgid: int) -> list[Process]:
    """Members of a group whose names still stand."""
    return [process for process in table.group(pgid) if table.exists(process)]


def everyone(table: ProcessTable, sender: Process) -> list[Process]:
    """What kill(-1) means: all but the first process of the sandbox and the sender."""
    return [process for process in table.processes() if process is not sender and process is not table.init]
