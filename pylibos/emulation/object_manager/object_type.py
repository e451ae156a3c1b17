"""Object types and headers (NT Ob): what the object manager knows of an object without knowing what it is.

An ObjectType is data: a name, a generic mapping and an operation table (functions called at fixed moments; absent ones are None).
An ObjectHeader carries one object's type, name, counts and security descriptor. The body is any Python value.

Counts, as on NT: ``reference_count`` is all reasons to exist (handles, the permanent name, pointers kept by subsystems),
``handle_count`` those through handles. The last handle going away calls close; the last reference going away calls delete.
A temporary object loses its name with its last handle; a permanent one keeps it until make_temporary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pylibos.abi.record import record
from pylibos.emulation.object_manager.access import AccessMask, GenericMapping

if TYPE_CHECKING:
    from pylibos.emulation.object_manager.namespace import DirectoryObject
    from pylibos.emulation.security.credentials import Credentials

Body = Any
"""Any Python value: the object manager never looks inside (the type's operations do)."""

DEFAULT_MAPPING = GenericMapping(
    read=AccessMask.READ_CONTROL | AccessMask.SYNCHRONIZE | 0x1,
    write=AccessMask.READ_CONTROL | AccessMask.SYNCHRONIZE | 0x2,
    execute=AccessMask.READ_CONTROL | AccessMask.SYNCHRONIZE,
    all=AccessMask.STANDARD_RIGHTS_REQUIRED | AccessMask.SYNCHRONIZE | 0xFFFF,
)


@record
class Operations:
    """The operation table of a type."""

    open: Callable[[ObjectHeader, int], None] | None = None
    """(header, granted access) when a handle is made; raises StatusError to refuse."""
    close: Callable[[ObjectHeader], None] | None = None
    """The last handle has been closed."""
    delete: Callable[[ObjectHeader], None] | None = None
    """The last reference has gone."""
    parse: Callable[[ObjectHeader, str], ObjectHeader] | None = None
    """(header, rest of the path) for types with a name space of their own below them (registry keys, devices)."""
    describe: Callable[[ObjectHeader], str] | None = None
    """One line about the body for `pylibos objects`."""


@record
class ObjectType:
    """A kind of object. ``valid_access``: rights that may be granted at all."""

    name: str
    operations: Operations = Operations()
    mapping: GenericMapping = DEFAULT_MAPPING
    valid_access: int = AccessMask.STANDARD_RIGHTS_REQUIRED | AccessMask.SYNCHRONIZE | 0xFFFF


@record
class SecurityDescriptor:
    """Owner, group and a Unix-style mode: who may do what, in the guest's own ids.

    mode: nine permission bits, each triple read (4) write (2) execute/traverse (1), as for files.
    """

    owner: int = 0
    group: int = 0
    mode: int = 0o755

    def allows(self, credentials: Credentials | None, read: bool, write: bool, execute: bool) -> bool:
        """Whether credentials (None: the executive itself) may read, write or traverse. Root may do everything."""
        if credentials is None or credentials.euid == 0:
            return True
        if credentials.euid == self.owner:
            bits = self.mode >> 6
        elif credentials.in_effective_group(self.group):
            bits = self.mode >> 3
        else:
            bits = self.mode
        wanted = (4 if read else 0) | (2 if write else 0) | (1 if execute else 0)
        return not wanted & ~bits


class ObjectHeader:
    """The manager's record of one object."""

    __slots__ = ("body", "directory", "handle_count", "name", "permanent", "reference_count", "security", "type")

    def __init__(self, object_type: ObjectType, body: Body, security: SecurityDescriptor, permanent: bool = False) -> None:
        self.type = object_type
        self.body = body
        self.name = ""
        self.directory: DirectoryObject | None = None
        """Where it is named; None for an unnamed object."""
        self.security = security
        self.permanent = permanent
        self.reference_count = 0
        self.handle_count = 0

    def path(self) -> str:
        """The full name, or '' when it has none."""
        parts: list[str] = []
        header: ObjectHeader | None = self
        while header is not None and header.directory is not None:
            parts.append(header.name)
            header = header.directory.header
        if header is self:
            return "\\" if self.name == "\\" else ""
        return "\\" + "\\".join(reversed(parts))
