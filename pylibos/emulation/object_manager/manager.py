"""The object manager (NT Ob): creates, names, finds, counts and deletes the executive's objects.

Owns the root directory \\ and the registered types. Everything that has a name in the executive is found here: \\Device\\Null,
\\GLOBAL??\\Console (a link), \\Registry, \\Processes\\12, \\ObjectTypes\\Event. Must not know Linux, files or hosts; the bodies of objects
belong to their subsystems.

Invariants (tested against a model): a header is alive exactly while reference_count > 0; delete is called once; a handle count
never exceeds the reference count; a temporary object without handles has no name.

Source: WDK ObReferenceObjectByHandle, ObOpenObjectByName, ObInsertObject, NtMakeTemporaryObject; Wine server/object.c for shape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from pylibos.abi.ntstatus import NtStatus
from pylibos.emulation.object_manager import dispatcher
from pylibos.emulation.object_manager.access import AccessMask, DirectoryAccess
from pylibos.emulation.object_manager.errors import StatusError
from pylibos.emulation.object_manager.handle_table import HandleEntry, HandleTable
from pylibos.emulation.object_manager.namespace import LINK_DEPTH_MAX, PATH_MAX_LENGTH, DirectoryObject, SymbolicLinkObject, split_path
from pylibos.emulation.object_manager.object_type import Body, ObjectHeader, ObjectType, Operations, SecurityDescriptor

if TYPE_CHECKING:
    from pylibos.emulation.security.credentials import Credentials

ROOT_DIRECTORIES: Final = ("\\ObjectTypes", "\\Device", "\\Driver", "\\GLOBAL??", "\\Processes", "\\BaseNamedObjects", "\\FileSystem")

_EVERYONE_READS: Final = SecurityDescriptor(0, 0, 0o755)
_READING: Final = 0x1 | AccessMask.READ_CONTROL
_WRITING: Final = AccessMask.DELETE | AccessMask.WRITE_DAC | AccessMask.WRITE_OWNER | 0xFFFC | 0x2


class ObjectRow(NamedTuple):
    """One line of describe_tree."""

    path: str
    type: str
    handles: int
    references: int
    detail: str


class StandardTypes:
    """The types the executive's own objects have."""

    __slots__ = (
        "device",
        "directory",
        "driver",
        "event",
        "job",
        "key",
        "mutant",
        "process",
        "semaphore",
        "symbolic_link",
        "thread",
        "timer",
        "type",
    )

    def __init__(self) -> None:
        self.type = ObjectType("Type")
        self.directory = ObjectType("Directory", Operations(describe=lambda header: f"{len(header.body)} entries"))
        self.symbolic_link = ObjectType("SymbolicLink", Operations(describe=lambda header: f"-> {header.body.target}"))
        self.event = ObjectType("Event", Operations(describe=_signal_state))
        self.semaphore = ObjectType("Semaphore", Operations(describe=lambda header: f"count {header.body.count}"))
        self.mutant = ObjectType("Mutant", Operations(describe=_signal_state))
        self.timer = ObjectType("Timer", Operations(describe=_signal_state))
        self.process = ObjectType("Process", Operations(describe=_body_text))
        self.thread = ObjectType("Thread", Operations(describe=_body_text))
        self.job = ObjectType("Job", Operations(describe=_body_text))
        self.device = ObjectType("Device", Operations(describe=_body_text))
        self.driver = ObjectType("Driver", Operations(describe=_body_text))
        self.key = ObjectType("Key", Operations(describe=_body_text))


class ObjectManager:
    """The name space and the life of objects."""

    __slots__ = ("_types", "root", "types")

    def __init__(self) -> None:
        self.types = StandardTypes()
        self._types: dict[str, ObjectType] = {}
        directory = DirectoryObject()
        self.root = ObjectHeader(self.types.directory, directory, _EVERYONE_READS, permanent=True)
        self.root.name = "\\"
        self.root.reference_count = 1
        directory.header = self.root
        for path in ROOT_DIRECTORIES:
            self.create_directory(path)
        for name in StandardTypes.__slots__:
            self.register_type(getattr(self.types, name))

    # -- types and creation ------------------------------------------------------------------------------------------
    def register_type(self, object_type: ObjectType) -> ObjectType:
        """Make a type known under \\ObjectTypes. Raises OBJECT_NAME_COLLISION."""
        self.dereference(self.create(self.types.type, object_type, f"\\ObjectTypes\\{object_type.name}", permanent=True))
        self._types[object_type.name] = object_type
        return object_type

    def create(
        self,
        object_type: ObjectType,
        body: Body,
        path: str = "",
        *,
        security: SecurityDescriptor = _EVERYONE_READS,
        permanent: bool = False,
        credentials: Credentials | None = None,
    ) -> ObjectHeader:
        """A new object with one reference held by the caller (and one more by its name, if permanent).

        Raises StatusError: OBJECT_PATH_NOT_FOUND, OBJECT_NAME_COLLISION, OBJECT_NAME_INVALID, ACCESS_DENIED (directory not writable
        by credentials), INVALID_PARAMETER (permanent without a name).
        """
        header = ObjectHeader(object_type, body, security, permanent)
        if path:
            self._insert(header, path, credentials)
        elif permanent:
            raise StatusError(NtStatus.INVALID_PARAMETER, "permanent without a name")
        header.reference_count = 1 + (1 if permanent else 0)
        return header

    def create_directory(self, path: str, *, credentials: Credentials | None = None) -> ObjectHeader:
        """A permanent directory; the reference is its name's. Raises as create."""
        directory = DirectoryObject()
        header = self.create(self.types.directory, directory, path, permanent=True, credentials=credentials)
        directory.header = header
        header.reference_count -= 1
        return header

    def create_link(self, path: str, target: str, *, credentials: Credentials | None = None) -> ObjectHeader:
        """A permanent symbolic link to an absolute path. Raises as create, and as split_path for target."""
        header = self.create(self.types.symbolic_link, SymbolicLinkObject(target), path, permanent=True, credentials=credentials)
        header.reference_count -= 1
        return header

    def _insert(self, header: ObjectHeader, path: str, credentials: Credentials | None) -> None:
        parts = split_path(path)
        if not parts:
            raise StatusError(NtStatus.OBJECT_NAME_COLLISION, path)
        parent = self._walk(parts[:-1], credentials, follow_last=True)
        if not isinstance(parent.body, DirectoryObject):
            raise StatusError(NtStatus.OBJECT_PATH_NOT_FOUND, path)
        if not parent.security.allows(credentials, False, True, True):
            raise StatusError(NtStatus.ACCESS_DENIED, path)
        parent.body.insert(parts[-1], header)

    # -- finding -----------------------------------------------------------------------------------------------------
    def lookup(self, path: str, credentials: Credentials | None = None, *, follow_last: bool = True) -> ObjectHeader:
        """The object of that name, no reference taken.

        Raises StatusError: OBJECT_PATH_SYNTAX_BAD, OBJECT_PATH_NOT_FOUND (a directory on the way), OBJECT_NAME_NOT_FOUND (the last
        name), OBJECT_PATH_INVALID (too many links), ACCESS_DENIED (a directory may not be traversed).
        """
        return self._walk(split_path(path), credentials, follow_last=follow_last)

    def _walk(self, parts: list[str], credentials: Credentials | None, *, follow_last: bool) -> ObjectHeader:
        pending = parts[::-1]
        current = self.root
        links = 0
        while pending:
            if isinstance(current.body, DirectoryObject):
                name = pending.pop()
                current = self._step(current, name, credentials, last=not pending)
            elif current.type.operations.parse is not None:
                return current.type.operations.parse(current, "\\".join(reversed(pending)))
            else:
                raise StatusError(NtStatus.OBJECT_PATH_NOT_FOUND, current.path())
            if isinstance(current.body, SymbolicLinkObject) and (pending or follow_last):
                links += 1
                if links > LINK_DEPTH_MAX or sum(map(len, pending)) > PATH_MAX_LENGTH:
                    raise StatusError(NtStatus.OBJECT_PATH_INVALID, current.path())
                pending.extend(reversed(split_path(current.body.target)))
                current = self.root
        return current

    @staticmethod
    def _step(directory: ObjectHeader, name: str, credentials: Credentials | None, *, last: bool) -> ObjectHeader:
        if not directory.security.allows(credentials, False, False, True):
            raise StatusError(NtStatus.ACCESS_DENIED, directory.path())
        body: DirectoryObject = directory.body
        found = body.find(name)
        if found is None:
            raise StatusError(NtStatus.OBJECT_NAME_NOT_FOUND if last else NtStatus.OBJECT_PATH_NOT_FOUND, name)
        return found

    # -- handles -----------------------------------------------------------------------------------------------------
    def open(
        self,
        table: HandleTable,
        path: str,
        desired: int,
        object_type: ObjectType | None = None,
        credentials: Credentials | None = None,
        *,
        inherit: bool = False,
    ) -> int:
        """A handle to the object of that name. Raises as lookup, OBJECT_TYPE_MISMATCH, ACCESS_DENIED."""
        header = self.lookup(path, credentials)
        if object_type is not None and header.type is not object_type:
            raise StatusError(NtStatus.OBJECT_TYPE_MISMATCH, path)
        return self.open_object(table, header, desired, credentials, inherit=inherit)

    def open_object(
        self, table: HandleTable, header: ObjectHeader, desired: int, credentials: Credentials | None = None, *, inherit: bool = False
    ) -> int:
        """A handle to an object already at hand. Raises ACCESS_DENIED, DELETE_PENDING, INSUFFICIENT_RESOURCES."""
        if header.reference_count <= 0:
            raise StatusError(NtStatus.DELETE_PENDING, header.name)
        granted = header.type.mapping.apply(desired)
        reads, writes = bool(granted & _READING), bool(granted & _WRITING)
        if granted & ~header.type.valid_access or not header.security.allows(credentials, reads, writes, False):
            raise StatusError(NtStatus.ACCESS_DENIED, header.path())
        if header.type.operations.open is not None:
            header.type.operations.open(header, granted)
        handle = table.add(HandleEntry(header, granted, inherit))
        header.reference_count += 1
        header.handle_count += 1
        return handle

    def reference_by_handle(self, table: HandleTable, handle: int, access: int = 0, object_type: ObjectType | None = None) -> ObjectHeader:
        """The object behind a handle, with one more reference (give it back by dereference).

        Raises StatusError, in this order: INVALID_HANDLE (no such handle), OBJECT_TYPE_MISMATCH (another type), ACCESS_DENIED (the handle
        was not granted all of ``access``).
        """
        entry = table.get(handle)
        header = entry.header
        if object_type is not None and header.type is not object_type:
            raise StatusError(NtStatus.OBJECT_TYPE_MISMATCH, header.type.name)
        if access & ~entry.granted_access:
            raise StatusError(NtStatus.ACCESS_DENIED, hex(handle))
        header.reference_count += 1
        return header

    def duplicate(
        self, source: HandleTable, handle: int, target: HandleTable, access: int | None = None, *, inherit: bool = False
    ) -> int:
        """A second handle to the same object, in any table, with the same or fewer rights. Raises INVALID_HANDLE, ACCESS_DENIED."""
        entry = source.get(handle)
        granted = entry.granted_access if access is None else entry.header.type.mapping.apply(access)
        if granted & ~entry.granted_access:
            raise StatusError(NtStatus.ACCESS_DENIED, hex(handle))
        new = target.add(HandleEntry(entry.header, granted, inherit))
        entry.header.reference_count += 1
        entry.header.handle_count += 1
        return new

    def close(self, table: HandleTable, handle: int) -> None:
        """Close a handle. Raises INVALID_HANDLE, HANDLE_NOT_CLOSABLE."""
        self._release(table.remove(handle))

    def close_all(self, table: HandleTable) -> None:
        """The process ended."""
        for entry in table.clear():
            self._release(entry)

    def inherit(self, parent: HandleTable) -> HandleTable:
        """The table of a new child: the inheritable handles under the same numbers."""
        child = HandleTable(parent.limit)
        for handle, entry in parent.inheritable():
            child.adopt(handle, entry)
            entry.header.reference_count += 1
            entry.header.handle_count += 1
        return child

    def _release(self, entry: HandleEntry) -> None:
        header = entry.header
        header.handle_count -= 1
        if header.handle_count == 0:
            if header.type.operations.close is not None:
                header.type.operations.close(header)
            if not header.permanent:
                self._unname(header)
        self.dereference(header)

    # -- references --------------------------------------------------------------------------------------------------
    def reference(self, header: ObjectHeader) -> None:
        """One more reason to exist. Raises DELETE_PENDING when it has none left."""
        if header.reference_count <= 0:
            raise StatusError(NtStatus.DELETE_PENDING, header.name)
        header.reference_count += 1

    def dereference(self, header: ObjectHeader) -> bool:
        """One reason less; True when that deleted it. Raises INVALID_PARAMETER when there is none to give back."""
        if header.reference_count <= header.handle_count:
            raise StatusError(NtStatus.INVALID_PARAMETER, f"reference count of {header.path() or header.type.name}")
        header.reference_count -= 1
        if header.reference_count:
            return False
        self._unname(header)
        if header.type.operations.delete is not None:
            header.type.operations.delete(header)
        return True

    def make_temporary(self, header: ObjectHeader) -> None:
        """Give up a permanent name: the object goes when its last user does. A directory must be empty (CANNOT_DELETE)."""
        if not header.permanent:
            return
        if header is self.root or (isinstance(header.body, DirectoryObject) and len(header.body)):
            raise StatusError(NtStatus.CANNOT_DELETE, header.path())
        header.permanent = False
        if header.handle_count == 0:
            self._unname(header)
        self.dereference(header)

    @staticmethod
    def _unname(header: ObjectHeader) -> None:
        if header.directory is not None:
            header.directory.remove(header)


def describe_tree(manager: ObjectManager, path: str = "\\") -> list[ObjectRow]:
    """Rows of everything below path, parents before children, by name: what `pylibos objects` prints. Raises as lookup."""
    rows: list[ObjectRow] = []
    pending = [manager.lookup(path, follow_last=False)]
    while pending:
        header = pending.pop()
        describe = header.type.operations.describe
        detail = "" if describe is None else describe(header)
        rows.append(ObjectRow(header.path(), header.type.name, header.handle_count, header.reference_count, detail))
        if isinstance(header.body, DirectoryObject):
            pending.extend(reversed(list(header.body)))
    return rows


def _signal_state(header: ObjectHeader) -> str:
    body: dispatcher.DispatcherObject = header.body
    return ("signaled" if body.signaled else "not signaled") + (f", {len(body.waiters)} waiting" if body.waiters else "")


def _body_text(header: ObjectHeader) -> str:
    return str(header.body)


DIRECTORY_ALL_ACCESS: Final = int(AccessMask.STANDARD_RIGHTS_REQUIRED) | sum(DirectoryAccess)
