"""From the system call table to what the engine needs: the seccomp program, and the receive loop's tables.

Owns the derivation only: rows are the emulation's, compiling is the monitor's, the loop is the tracer's. What is derived depends on nothing
but our sources, so it is kept with the modules of a run (bundle.py); a run that finds it there imports a family of calls when the first of
them is made.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final

from pylibos import bundle
from pylibos.emulation.syscalls.table import ENTRIES, Route, homes
from pylibos.monitor.seccomp import Engine, SeccompError, filter_program
from pylibos.runtime.status import PylibosError

if TYPE_CHECKING:
    from pylibos.emulation.syscalls.table import SyscallRow
    from pylibos.tracer.tracer import Tracer

_MAY_BE_INTERRUPTED: Final = frozenset((73, 72, 219))
"""flock, fcntl, restart_syscall: forwarded calls that wait natively, so EINTR may be a true answer."""
NR_PAUSE: Final = 34
"""Never continued unseen: a waiting task sleeps in it, and its stop there is how blocking.py learns that it does."""
_DESCRIPTOR_FIRST: Final = ("fd", "dirfd", "dfd", "olddirfd", "newdirfd")


def _cache_directory() -> str | None:
    """Where compiled filters are kept: a private directory inside the build's; compiling costs 20 ms and imports ctypes."""
    named = sys._xoptions.get("pylibos_build")
    return os.path.join(named, "filters") if isinstance(named, str) and os.access(named, os.W_OK) else None


def load_filter(engine: str) -> bytes:
    """struct sock_filter[] for an engine. Raises PylibosError when libseccomp is missing."""
    kept = bundle.note("filter " + engine)
    if isinstance(kept, bytes):
        return kept
    from pylibos.emulation.syscalls.all import filter_rules

    try:
        program = filter_program(filter_rules(), Engine(engine), _cache_directory())
        bundle.remember("filter " + engine, program)
        return program
    except SeccompError as error:
        raise PylibosError(f"cannot build the seccomp filter: {error}", "install libseccomp2 and the pyseccomp package") from error


def _argument(row: SyscallRow, wanted: tuple[str, ...]) -> int | None:
    """Index of the first argument whose annotation (as written) or name is one of ``wanted``."""
    function = row.handler or row.fallback
    if function is None:
        return None
    names = function.__code__.co_varnames[1 : function.__code__.co_argcount]
    for index, name in enumerate(names):
        if str(function.__annotations__.get(name, "")) in wanted:
            return index
    return None


def configure_tracer(tracer: Tracer, *, traced: bool, report_all: bool = False) -> None:
    """Fill the receive loop's tables from the rows. report_all: let pass nothing unseen that reaches the loop."""
    name = f"loop {traced} {report_all}"
    kept: Any = bundle.note(name)
    if kept is not None and not report_all:  # who shows every call needs the whole table
        *lists, passing, ENTRIES.homes = kept
        tracer.configure(*lists)
        for number, index, values in passing:
            tracer.let_pass(number, index, values)
        return
    from pylibos.emulation.syscalls.all import TABLE
    from pylibos.emulation.syscalls.sys_sockets import SHOWING_PATHS

    passing = []
    notified: list[int] = []
    continued: list[int] = []
    paths: dict[int, int] = {}
    for number, row in TABLE.items():
        if number >= 1024:
            continue
        plain = row.handler is None and not row.alternatives and row.errno is None and number != NR_PAUSE
        if plain and not report_all and (row.route in (Route.TRACE, Route.NOTIFY) or traced):
            continued.append(number)
        if row.passes is not None and not report_all:
            tracer.let_pass(number, *row.passes)
            passing.append((number, *row.passes))
        waits_in_listener = row.route is Route.NOTIFY or (row.route is Route.DIRECT and row.otherwise is Route.NOTIFY)
        if waits_in_listener and number not in _MAY_BE_INTERRUPTED:
            notified.append(number)
        path = _argument(row, ("UserPath", "OptionalUserPath"))
        if path is not None:
            paths[number] = path
    if not report_all:
        continued += SHOWING_PATHS
    tracer.configure(notified, continued, paths)
    bundle.remember(name, (notified, continued, paths, passing, homes()))
