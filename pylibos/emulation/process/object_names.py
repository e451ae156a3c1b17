"""\\Processes: the process table as it appears in the object name space.

sync_processes() brings \\Processes\\PID (and \\Processes\\PID\\Threads\\TID) into line with the table; who shows the name space calls it
first, so creating a process costs nothing here. Bodies are the Process and Thread values. Owns nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pylibos.emulation.object_manager.namespace import DirectoryObject
from pylibos.emulation.object_manager.object_type import ObjectHeader, ObjectType, SecurityDescriptor

if TYPE_CHECKING:
    from pylibos.emulation.object_manager.manager import ObjectManager
    from pylibos.emulation.process.process import Process
    from pylibos.emulation.process.table import ProcessTable

PROCESSES: Final = "\\Processes"


def sync_processes(manager: ObjectManager, table: ProcessTable) -> None:
    """Make \\Processes list exactly the processes of the table."""
    directory = manager.lookup(PROCESSES)
    for header in list(directory.body):
        _remove(manager, header)
    for process in table.processes():
        _enter(manager, process)


def _enter(manager: ObjectManager, process: Process) -> None:
    who = process.credentials
    security = SecurityDescriptor(who.euid, who.egid, 0o700)
    path = f"{PROCESSES}\\{process.pid}"
    manager.create_directory(path)
    _create(manager, manager.types.process, process, f"{path}\\Process", security)
    manager.create_directory(f"{path}\\Threads")
    for tid, thread in sorted(process.threads.items()):
        _create(manager, manager.types.thread, thread, f"{path}\\Threads\\{tid}", security)


def _create(manager: ObjectManager, kind: ObjectType, body: object, path: str, security: SecurityDescriptor) -> None:
    manager.dereference(manager.create(kind, body, path, security=security, permanent=True))


def _remove(manager: ObjectManager, header: ObjectHeader) -> None:
    if isinstance(header.body, DirectoryObject):
        for child in list(header.body):
            _remove(manager, child)
    manager.make_temporary(header)
