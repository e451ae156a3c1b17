"""The registry: names, types, bounds, notification, its place in the object name space, and the default hive."""

from __future__ import annotations

import pytest

from pylibos.abi.ntstatus import NtStatus
from pylibos.emulation.config_manager import defaults
from pylibos.emulation.config_manager.registry import DATA_MAX, Data, Registry, Row, ValueKind
from pylibos.emulation.object_manager.dispatcher import Event
from pylibos.emulation.object_manager.errors import StatusError
from pylibos.emulation.object_manager.manager import ObjectManager


@pytest.fixture
def registry() -> Registry:
    return Registry(iter(range(1, 10**6)).__next__)


def status(call: object, *arguments: object, **named: object) -> NtStatus:
    with pytest.raises(StatusError) as caught:
        call(*arguments, **named)  # type: ignore[operator]
    return caught.value.status


def test_names_fold_case_and_keep_it(registry: Registry) -> None:
    key = registry.create_key("\\REGISTRY\\machine\\Software\\Tool")
    assert registry.open_key("\\registry\\MACHINE\\software\\TOOL") is key
    assert key.path() == "\\Registry\\Machine\\Software\\Tool"
    registry.set_value(key, "Path", "/usr")
    registry.set_value(key, "PATH", "/bin")
    assert [value.name for value in key.all_values()] == ["PATH"]
    assert registry.open_key("HKLM\\software\\tool") is key


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        pytest.param("x", ValueKind.REG_SZ, id="text"),
        pytest.param(7, ValueKind.REG_DWORD, id="number"),
        pytest.param(1 << 32, ValueKind.REG_QWORD, id="big-number"),
        pytest.param(b"\0", ValueKind.REG_BINARY, id="binary"),
        pytest.param(("a", ""), ValueKind.REG_MULTI_SZ, id="strings"),
        pytest.param("\udcff", ValueKind.REG_SZ, id="not-utf-8"),
    ],
)
def test_natural_kinds(registry: Registry, data: Data, kind: ValueKind) -> None:
    registry.set_value("\\Registry\\User\\a", "v", data)
    assert registry.get_value("\\Registry\\User\\a", "V") == ("v", kind, data)


@pytest.mark.parametrize(
    ("data", "kind", "expected"),
    [
        pytest.param(1 << 32, ValueKind.REG_DWORD, NtStatus.INVALID_PARAMETER, id="too-wide"),
        pytest.param(-1, None, NtStatus.INVALID_PARAMETER, id="negative"),
        pytest.param("x", ValueKind.REG_BINARY, NtStatus.INVALID_PARAMETER, id="text-as-binary"),
        pytest.param("\ud800", None, NtStatus.INVALID_PARAMETER, id="lone-surrogate"),
        pytest.param(b"x" * (DATA_MAX + 1), None, NtStatus.QUOTA_EXCEEDED, id="too-big"),
    ],
)
def test_bad_data_changes_nothing(registry: Registry, data: Data, kind: ValueKind | None, expected: NtStatus) -> None:
    registry.set_value("\\Registry\\User\\a", "v", "old")
    assert status(registry.set_value, "\\Registry\\User\\a", "v", data, kind) is expected
    assert registry.text("\\Registry\\User\\a", "v") == "old"


@pytest.mark.parametrize("path", ["Registry\\x", "\\Other", "\\Registry\\\\x", "\\Registry\\" + "n" * 256, "\\Registry" + "\\d" * 65, ""])
def test_bad_paths(registry: Registry, path: str) -> None:
    assert status(registry.create_key, path) in {
        NtStatus.OBJECT_PATH_SYNTAX_BAD,
        NtStatus.OBJECT_NAME_INVALID,
        NtStatus.QUOTA_EXCEEDED,
    }


def test_delete(registry: Registry) -> None:
    registry.create_key("\\Registry\\User\\a\\b")
    a = registry.open_key("\\Registry\\User\\a")
    assert status(registry.delete_key, "\\Registry\\User\\a") is NtStatus.CANNOT_DELETE
    registry.delete_key("\\Registry\\User\\a", subtree=True)
    assert status(registry.open_key, "\\Registry\\User\\a\\b") is NtStatus.OBJECT_NAME_NOT_FOUND
    assert status(registry.set_value, a, "v", 1) is NtStatus.KEY_DELETED
    assert status(registry.delete_key, "\\Registry\\Machine", subtree=True) is NtStatus.CANNOT_DELETE


def test_typed_readers_fall_back(registry: Registry) -> None:
    registry.set_value("\\Registry\\User\\a", "n", 5)
    key = registry.open_key("\\Registry\\User\\a")
    assert (key.number("n"), key.text("n", "none"), key.number("m", 9)) == (5, "none", 9)
    assert registry.text("\\Registry\\User\\missing", "x", "d") == "d"
    assert (key.strings("n"), key.binary("n", b"d")) == ((), b"d")


def fired(event: Event) -> bool:
    return event.clear()


def test_watch_of_one_key(registry: Registry) -> None:
    event = Event()
    registry.create_key("\\Registry\\User\\a\\b")
    watch = registry.watch("\\Registry\\User\\a", event)
    assert not fired(event)
    registry.set_value("\\Registry\\User\\a\\b", "v", 1)
    assert not fired(event)
    registry.set_value("\\Registry\\User\\a", "v", 1)
    assert fired(event)
    registry.create_key("\\Registry\\User\\a\\c")
    assert fired(event)
    registry.unwatch(watch)
    registry.delete_value("\\Registry\\User\\a", "v")
    assert not fired(event)


def test_watch_of_a_subtree_and_of_a_deleted_key(registry: Registry) -> None:
    tree, leaf = Event(), Event()
    registry.create_key("\\Registry\\User\\a\\b")
    registry.watch("\\Registry\\User", tree, subtree=True)
    watch = registry.watch("\\Registry\\User\\a\\b", leaf)
    registry.set_value("\\Registry\\User\\a\\b", "v", 1)
    assert (fired(tree), fired(leaf)) == (True, True)
    registry.delete_key("\\Registry\\User\\a", subtree=True)
    assert (fired(tree), fired(leaf)) == (True, True)
    registry.unwatch(watch)


def test_query_rows(registry: Registry) -> None:
    registry.set_value("\\Registry\\User\\a", "n", 10)
    registry.set_value("\\Registry\\User\\a\\b", "s", ("x", "y"))
    assert registry.query("HKU\\a") == [
        Row("\\Registry\\User\\a", "", "", ""),
        Row("\\Registry\\User\\a", "n", "REG_DWORD", "0xa (10)"),
        Row("\\Registry\\User\\a\\b", "", "", ""),
        Row("\\Registry\\User\\a\\b", "s", "REG_MULTI_SZ", "x; y"),
    ]


def test_keys_are_objects(registry: Registry) -> None:
    manager = ObjectManager()
    registry.attach(manager)
    key = registry.create_key("\\Registry\\User\\a")
    header = manager.lookup("\\registry\\user\\A")
    assert (header.body, header.type) == (key, manager.types.key)
    assert manager.lookup("\\Registry\\User\\a") is header
    assert manager.lookup("\\Registry").body is registry.root
    assert status(manager.lookup, "\\Registry\\User\\none") is NtStatus.OBJECT_NAME_NOT_FOUND


def test_default_hive(registry: Registry) -> None:
    defaults.load_defaults(registry, hostname="box")
    assert registry.text(defaults.COMPUTER_NAME, "hostname") == "box"
    assert registry.text(defaults.KERNEL, "Release") == defaults.RELEASE
    assert registry.number(defaults.LIMITS + "\\NOFILE", "Soft") == 1024
    assert registry.number(defaults.DEVICES + "\\null", "Minor") == 3
    assert registry.text(defaults.DEVICES + "\\stdin", "Target") == "/proc/self/fd/0"
    defaults.add_mount(registry, "overlay", "/", "overlay", "rw")
    defaults.add_mount(registry, "proc", "/proc", "proc", "rw")
    assert [key.text("Target") for key in registry.subkeys(defaults.MOUNTS)] == ["/", "/proc"]
