"""Fills the system call table: imports every family explicitly, no directory scan.

Import this module (runtime, scripts and tests do) before using table.TABLE, ENTRIES or filter_rules(). The package itself stays
import-light because only this module pulls in the handlers. A new family file is one more name in the list.
"""

from __future__ import annotations

from pylibos.emulation.syscalls import (  # noqa: F401 - imported for the rows they register
    rows,
    rows_missing,
    sys_attributes,
    sys_clone,
    sys_descriptors,
    sys_directory,
    sys_identity,
    sys_ioctl,
    sys_ipc,
    sys_limits,
    sys_memory,
    sys_mqueue,
    sys_names,
    sys_open,
    sys_pidfd,
    sys_prctl,
    sys_process,
    sys_ptrace,
    sys_seccomp,
    sys_signals,
    sys_sockets,
    sys_stat,
    sys_system,
    sys_time,
)
from pylibos.emulation.syscalls.filter import filter_rules
from pylibos.emulation.syscalls.table import ENTRIES, TABLE

rows_missing.register()

__all__ = ["ENTRIES", "TABLE", "filter_rules"]
