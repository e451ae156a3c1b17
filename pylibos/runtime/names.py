"""The engine's table of published names (c_shim/names.c): what the executive publishes goes in, and the receive loop answers from it.

Owns which calls may be answered there and what their arguments are; what may stand in the table is emulation/fs/published.py's. A run
that must see every call (--trace, a complete audit) does not publish, nor does the ptrace engine, which is the reference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pylibos.abi.files import (
    AT_EACCESS,
    AT_EMPTY_PATH,
    AT_NO_AUTOMOUNT,
    AT_SYMLINK_NOFOLLOW,
    O_CREAT,
    O_NOFOLLOW,
    O_TMPFILE_BIT,
)
from pylibos.emulation.changes import CONTEXT_CHANGES
from pylibos.emulation.fs.opening import PLAIN_READ
from pylibos.tracer.native import ffi, lib

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylibos.monitor.host_abi import HostStream
    from pylibos.tracer.tracer import Tracer

_ALL: Final = 0xFFFFFFFF
_AT: Final = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH
_NOT_MODE: Final = _ALL & ~7
_OPEN: Final = _ALL & ~(O_CREAT | O_TMPFILE_BIT)
"""Flags under which an open of a missing name is ENOENT and nothing else; with no other than PLAIN_READ it can be done here, too."""


def answered_calls() -> dict[int, dict[str, int]]:
    """Call number -> the fields of its struct shim_names_call."""
    stat, statx, access, link, opens = lib.NAMES_STAT, lib.NAMES_STATX, lib.NAMES_ACCESS, lib.NAMES_LINK, lib.NAMES_OPEN
    at = {"has_directory": 1, "directory": 0}
    no_follow = {"has_flags": 1, "no_follow": AT_SYMLINK_NOFOLLOW}
    empty = {"empty_path": AT_EMPTY_PATH}
    mode = {"must_be_zero": _NOT_MODE}
    opening = {"kind": opens, "follow": 1, "has_flags": 1, "flags_allowed": _OPEN, "no_follow": O_NOFOLLOW, "plain": PLAIN_READ}
    return {
        4: {"kind": stat, "follow": 1, "output": 1},
        5: {"kind": stat, "output": 1, "by_descriptor": 1},
        6: {"kind": stat, "output": 1},
        262: {"kind": stat, "follow": 1, "output": 2, "flags": 3, "flags_allowed": _AT, **at, **no_follow, **empty},
        332: {
            "kind": statx, "follow": 1, "output": 4, "flags": 2, "flags_allowed": _AT | 0x4000, "checked": 3, "must_be_zero": 1 << 31,
            **at, **no_follow, **empty,
        },
        21: {"kind": access, "follow": 1, "output": 1, "checked": 1, **mode},
        269: {"kind": access, "follow": 1, "output": 2, "checked": 2, **at, **mode},
        439: {
            "kind": access, "follow": 1, "output": 2, "checked": 2, "flags": 3, "flags_allowed": _AT & ~AT_NO_AUTOMOUNT | AT_EACCESS,
            "effective": AT_EACCESS, **at, **no_follow, **mode,
        },
        89: {"kind": link, "output": 1, "size": 2},
        267: {"kind": link, "output": 2, "size": 3, **at},
        2: {"flags": 1, **opening},
        257: {"flags": 2, **at, **opening},
    }  # fmt: skip


class ShimNames:
    """NameTable over the shim. One at a time: the table is the loop's."""

    def __init__(self, tracer: Tracer, descriptor: Callable[[HostStream], int]) -> None:
        self._descriptor = descriptor
        self._changes = ffi.from_buffer("uint64_t[1]", CONTEXT_CHANGES)
        lib.shim_names_open(self._changes)
        for number, fields in answered_calls().items():
            tracer.answer_names(number, fields)

    def clear(self) -> None:
        lib.shim_names_clear()

    def task(self, tid: int, not_following: int, following: int, directory: int, identity: int) -> None:
        lib.shim_names_task(tid, not_following, following, directory, identity)

    def publish(self, table: int, directory: int, path: bytes, record: int) -> None:
        lib.shim_names_publish(table, directory, path, len(path), record)

    def forget(self, table: int, directory: int, path: bytes) -> None:
        lib.shim_names_forget(table, directory, path, len(path))

    def stat(self, record: int, data: bytes) -> None:
        lib.shim_names_stat(record, data)

    def statx(self, record: int, data: bytes) -> None:
        lib.shim_names_statx(record, data)

    def verdict(self, record: int, identity: int, index: int, verdict: int) -> None:
        lib.shim_names_verdict(record, identity, index, verdict)

    def link(self, record: int, text: bytes, error: int) -> None:
        lib.shim_names_link(record, text, -error if error else len(text))

    def source(self, record: int, stream: HostStream) -> None:
        lib.shim_names_source(record, self._descriptor(stream))

    def content(self, key: tuple[int, int], record: int) -> None:
        lib.shim_names_content(key[0], key[1], record)

    def withdraw(self, record: int) -> None:
        lib.shim_names_withdraw(record)
