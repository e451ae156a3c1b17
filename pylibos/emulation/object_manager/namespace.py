"""The object name space: directories and symbolic links (NT Ob).

A DirectoryObject maps names to headers; names compare case-insensitively and keep the case they were created with. A
SymbolicLinkObject holds the path that replaces it. Names may be anything but empty, a backslash, NUL, '.' and '..'.

Bounds against hostile names: NAME_MAX_LENGTH characters a component, PATH_MAX_LENGTH a path, LINK_DEPTH_MAX links a walk.
Must not know handles or access checks; manager.py does those.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pylibos.abi.ntstatus import NtStatus
from pylibos.emulation.object_manager.errors import StatusError
from pylibos.emulation.object_manager.object_type import ObjectHeader

NAME_MAX_LENGTH: Final = 255
PATH_MAX_LENGTH: Final = 4096
LINK_DEPTH_MAX: Final = 32
"""Links followed in one walk; NT stops at 32 reparses too."""


def fold(name: str) -> str:
    """The form in which names are compared."""
    return name.upper()


def check_name(name: str) -> None:
    """Raise StatusError(OBJECT_NAME_INVALID) for a name no object may have."""
    if not name or name in (".", "..") or "\\" in name or "\0" in name or len(name) > NAME_MAX_LENGTH:
        raise StatusError(NtStatus.OBJECT_NAME_INVALID, name[:40])


def split_path(path: str) -> list[str]:
    """Components of an absolute path ('\\' gives none). Raises OBJECT_PATH_SYNTAX_BAD, NAME_TOO_LONG, OBJECT_NAME_INVALID."""
    if len(path) > PATH_MAX_LENGTH:
        raise StatusError(NtStatus.NAME_TOO_LONG)
    if not path.startswith("\\"):
        raise StatusError(NtStatus.OBJECT_PATH_SYNTAX_BAD, path[:40])
    if path == "\\":
        return []
    parts = path[1:].split("\\")
    for part in parts:
        check_name(part)
    return parts


class DirectoryObject:
    """Body of a Directory object. ``header`` is set by the manager when the directory becomes an object."""

    __slots__ = ("entries", "header")

    def __init__(self) -> None:
        self.header: ObjectHeader | None = None
        self.entries: dict[str, ObjectHeader] = {}

    def find(self, name: str) -> ObjectHeader | None:
        """The object of that name."""
        return self.entries.get(fold(name))

    def insert(self, name: str, header: ObjectHeader) -> None:
        """Name an object. Raises OBJECT_NAME_COLLISION, OBJECT_NAME_INVALID; INVALID_PARAMETER when it has a name already."""
        check_name(name)
        key = fold(name)
        if key in self.entries:
            raise StatusError(NtStatus.OBJECT_NAME_COLLISION, name)
        if header.directory is not None:
            raise StatusError(NtStatus.INVALID_PARAMETER, name)
        self.entries[key] = header
        header.name, header.directory = name, self

    def remove(self, header: ObjectHeader) -> None:
        """Take an object's name away."""
        del self.entries[fold(header.name)]
        header.directory = None
        header.name = ""

    def __iter__(self) -> Iterator[ObjectHeader]:
        """Entries by name."""
        return iter([self.entries[key] for key in sorted(self.entries)])

    def __len__(self) -> int:
        return len(self.entries)


class SymbolicLinkObject:
    """Body of a SymbolicLink object: a walk that meets it goes on at ``target`` (an absolute path)."""

    __slots__ = ("target",)

    def __init__(self, target: str) -> None:
        split_path(target)
        self.target = target
