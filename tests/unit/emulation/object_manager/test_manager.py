"""The object manager: names, handles, counts, and the three ways a handle can be wrong."""

from __future__ import annotations

import pytest

from pylibos.abi.ntstatus import NtStatus
from pylibos.emulation.object_manager.access import AccessMask, EventAccess
from pylibos.emulation.object_manager.dispatcher import Event
from pylibos.emulation.object_manager.errors import StatusError
from pylibos.emulation.object_manager.handle_table import HandleTable
from pylibos.emulation.object_manager.manager import ObjectManager, describe_tree
from pylibos.emulation.object_manager.object_type import ObjectHeader, ObjectType, Operations, SecurityDescriptor
from pylibos.emulation.security.credentials import Credentials


@pytest.fixture
def manager() -> ObjectManager:
    return ObjectManager()


def status(call: object, *arguments: object, **named: object) -> NtStatus:
    with pytest.raises(StatusError) as caught:
        call(*arguments, **named)  # type: ignore[operator]
    return caught.value.status


def test_names_are_case_insensitive_and_keep_their_case(manager: ObjectManager) -> None:
    header = manager.create(manager.types.event, Event(), "\\BaseNamedObjects\\Ready")
    assert manager.lookup("\\basenamedobjects\\READY") is header
    assert header.path() == "\\BaseNamedObjects\\Ready"
    assert status(manager.create, manager.types.event, Event(), "\\BaseNamedObjects\\ready") is NtStatus.OBJECT_NAME_COLLISION


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param("\\Nowhere\\x", NtStatus.OBJECT_PATH_NOT_FOUND, id="directory"),
        pytest.param("\\Device\\x", NtStatus.OBJECT_NAME_NOT_FOUND, id="name"),
        pytest.param("Device", NtStatus.OBJECT_PATH_SYNTAX_BAD, id="relative"),
        pytest.param("\\Device\\\\x", NtStatus.OBJECT_NAME_INVALID, id="empty-component"),
        pytest.param("\\Device\\..", NtStatus.OBJECT_NAME_INVALID, id="dot-dot"),
        pytest.param("\\" + "a" * 300, NtStatus.OBJECT_NAME_INVALID, id="long-name"),
        pytest.param("\\a" * 3000, NtStatus.NAME_TOO_LONG, id="long-path"),
        pytest.param("\\ObjectTypes\\Event\\x", NtStatus.OBJECT_PATH_NOT_FOUND, id="below-a-leaf"),
        pytest.param("\\GLOBAL??\\loop", NtStatus.OBJECT_PATH_INVALID, id="link-loop"),
    ],
)
def test_lookup_failures(manager: ObjectManager, path: str, expected: NtStatus) -> None:
    manager.create_link("\\GLOBAL??\\loop", "\\GLOBAL??\\loop")
    assert status(manager.lookup, path) is expected


def test_links_are_followed_also_in_the_middle(manager: ObjectManager) -> None:
    null = manager.create(manager.types.device, "null", "\\Device\\Null", permanent=True)
    manager.create_link("\\GLOBAL??\\NUL", "\\Device\\Null")
    manager.create_link("\\Dev", "\\device")
    assert manager.lookup("\\GLOBAL??\\nul") is null
    assert manager.lookup("\\Dev\\Null") is null
    assert manager.lookup("\\GLOBAL??\\NUL", follow_last=False).type.name == "SymbolicLink"


def test_a_parse_operation_gets_the_rest_of_the_path(manager: ObjectManager) -> None:
    seen: list[str] = []

    def parse(header: ObjectHeader, rest: str) -> ObjectHeader:
        seen.append(rest)
        return header

    kind = manager.register_type(ObjectType("Hive", Operations(parse=parse)))
    manager.create(kind, None, "\\Registry", permanent=True)
    manager.lookup("\\Registry\\Machine\\System")
    assert seen == ["Machine\\System"]


def test_handle_failures_are_three_and_distinct(manager: ObjectManager) -> None:
    table = HandleTable()
    manager.create(manager.types.event, Event(), "\\BaseNamedObjects\\e", permanent=True)
    handle = manager.open(table, "\\BaseNamedObjects\\e", EventAccess.QUERY_STATE, manager.types.event)
    modify = EventAccess.MODIFY_STATE
    assert status(manager.reference_by_handle, table, handle + 4, modify, manager.types.mutant) is NtStatus.INVALID_HANDLE
    assert status(manager.reference_by_handle, table, handle, modify, manager.types.mutant) is NtStatus.OBJECT_TYPE_MISMATCH
    assert status(manager.reference_by_handle, table, handle, modify, manager.types.event) is NtStatus.ACCESS_DENIED
    header = manager.reference_by_handle(table, handle, EventAccess.QUERY_STATE, manager.types.event)
    assert header.reference_count == 4


def test_life_of_a_temporary_object(manager: ObjectManager) -> None:
    log: list[str] = []
    kind = ObjectType("Probe", Operations(close=lambda _: log.append("close"), delete=lambda _: log.append("delete")))
    table = HandleTable()
    header = manager.create(kind, None, "\\BaseNamedObjects\\p")
    handle = manager.open_object(table, header, AccessMask.GENERIC_ALL)
    second = manager.duplicate(table, handle, table, AccessMask.GENERIC_READ)
    assert (handle, second, header.handle_count) == (4, 8, 2)
    assert status(manager.duplicate, table, second, table, AccessMask.GENERIC_ALL) is NtStatus.ACCESS_DENIED
    manager.close(table, handle)
    assert log == []
    manager.close(table, second)
    assert log == ["close"]
    assert status(manager.lookup, "\\BaseNamedObjects\\p") is NtStatus.OBJECT_NAME_NOT_FOUND
    assert manager.dereference(header)
    assert log == ["close", "delete"]
    assert status(manager.open_object, table, header, 0) is NtStatus.DELETE_PENDING


def test_make_temporary(manager: ObjectManager) -> None:
    directory = manager.create_directory("\\Mine")
    header = manager.create(manager.types.event, Event(), "\\Mine\\e", permanent=True)
    assert status(manager.make_temporary, directory) is NtStatus.CANNOT_DELETE
    assert status(manager.make_temporary, manager.root) is NtStatus.CANNOT_DELETE
    manager.make_temporary(header)
    assert len(directory.body) == 0
    manager.make_temporary(directory)
    assert status(manager.lookup, "\\Mine") is NtStatus.OBJECT_NAME_NOT_FOUND


def test_references_cannot_be_given_back_twice(manager: ObjectManager) -> None:
    table = HandleTable()
    header = manager.create(manager.types.event, Event())
    manager.open_object(table, header, 0)
    manager.dereference(header)
    assert status(manager.dereference, header) is NtStatus.INVALID_PARAMETER


def test_security_descriptor_decides(manager: ObjectManager) -> None:
    table, user, root = HandleTable(), Credentials(5, 5), Credentials(0, 0)
    closed = SecurityDescriptor(owner=0, group=0, mode=0o750)
    manager.create(manager.types.event, Event(), "\\Device\\e", security=closed, permanent=True)
    assert status(manager.open, table, "\\Device\\e", AccessMask.GENERIC_READ, None, user) is NtStatus.ACCESS_DENIED
    assert manager.open(table, "\\Device\\e", AccessMask.GENERIC_READ, None, root) == 4
    assert status(manager.create, manager.types.event, Event(), "\\Device\\f", credentials=user) is NtStatus.ACCESS_DENIED


def test_inheritance_keeps_numbers(manager: ObjectManager) -> None:
    table = HandleTable()
    header = manager.create(manager.types.event, Event())
    handles = [manager.open_object(table, header, 0, inherit=inherit) for inherit in (False, True, False, True)]
    child = manager.inherit(table)
    assert [handle for handle, _ in child] == [handles[1], handles[3]]
    assert manager.open_object(child, header, 0) == 4
    manager.close_all(table)
    manager.close_all(child)
    assert (header.reference_count, header.handle_count) == (1, 0)


def test_protected_handle(manager: ObjectManager) -> None:
    table = HandleTable()
    handle = manager.open_object(table, manager.create(manager.types.event, Event()), 0)
    table.set_flags(handle, protected=True)
    assert status(manager.close, table, handle) is NtStatus.HANDLE_NOT_CLOSABLE
    assert handle in table


def test_handle_limit(manager: ObjectManager) -> None:
    table = HandleTable(limit=1)
    header = manager.create(manager.types.event, Event())
    manager.open_object(table, header, 0)
    assert status(manager.open_object, table, header, 0) is NtStatus.INSUFFICIENT_RESOURCES
    assert header.handle_count == 1


def test_describe_tree(manager: ObjectManager) -> None:
    manager.create(manager.types.event, Event(signaled=True), "\\BaseNamedObjects\\Ready", permanent=True)
    rows = {row.path: row for row in describe_tree(manager)}
    assert rows["\\BaseNamedObjects\\Ready"].detail == "signaled"
    assert rows["\\ObjectTypes\\Mutant"].type == "Type"
    assert next(iter(rows)) == "\\"
    assert [row.path for row in describe_tree(manager, "\\BaseNamedObjects")] == ["\\BaseNamedObjects", "\\BaseNamedObjects\\Ready"]
