"""The configuration manager (NT Cm): a registry of keys and typed values, with change notification.

Owns the tree below \\Registry. Host name, kernel version strings, limits, mounts and the device list of the sandbox live here, so every
subsystem reads one place and tools can show it (`pylibos reg query`). Must not know files (hive.py saves it), guests or Linux.

Names compare case-insensitively and keep their case. Text is str; bytes that are not UTF-8 come in as surrogate escapes, so any
Linux name survives. Bounds (every hive that can be built can be saved and loaded again): the *_MAX constants.

Invariants (tested against a model): a key is reachable from the root or deleted, never both; operations on a deleted key raise
KEY_DELETED; a watch's event is set by every change it covers, after the change.

Source: WDK ZwCreateKey, ZwSetValueKey, ZwNotifyChangeKey, ZwDeleteKey.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final, NamedTuple

from pylibos.abi.ntstatus import NtStatus
from pylibos.emulation.object_manager.dispatcher import Event
from pylibos.emulation.object_manager.errors import StatusError
from pylibos.emulation.object_manager.object_type import ObjectHeader, ObjectType, Operations, SecurityDescriptor

if TYPE_CHECKING:
    from pylibos.emulation.object_manager.manager import ObjectManager

KEY_NAME_MAX: Final = 255
"""Characters of a key name."""
VALUE_NAME_MAX: Final = 1024
"""Characters of a value name (NT allows 16383; nothing here needs them)."""
DATA_MAX: Final = 1 << 20
"""Bytes of one value when encoded."""
DEPTH_MAX: Final = 64
KEYS_MAX: Final = 1 << 16
VALUES_MAX: Final = 1 << 12
"""Values of one key."""

_ALIASES: Final = {"HKLM": "\\Registry\\Machine", "HKEY_LOCAL_MACHINE": "\\Registry\\Machine", "HKU": "\\Registry\\User"}

Data = str | int | bytes | tuple[str, ...]


class ValueKind(enum.IntEnum):
    """Types of values, numbered as on NT."""

    REG_SZ = 1
    REG_BINARY = 3
    REG_DWORD = 4
    REG_MULTI_SZ = 7
    REG_QWORD = 11


class Value(NamedTuple):
    """A value. data: str (SZ), int (DWORD, QWORD: unsigned), bytes (BINARY), tuple of str (MULTI_SZ)."""

    name: str
    kind: ValueKind
    data: Data


class Row(NamedTuple):
    """One line of query(): the key's path and, unless the line is for the key itself, a value's name, type and text."""

    path: str
    name: str
    kind: str
    text: str


class Watch:
    """A standing request to set an event when a key (with ``subtree``: anything below it) changes."""

    __slots__ = ("event", "key", "subtree")

    def __init__(self, key: Key, event: Event, subtree: bool) -> None:
        self.key = key
        self.event = event
        self.subtree = subtree


class Key:
    """One key. Change it through the Registry."""

    __slots__ = ("_header", "deleted", "keys", "last_write_ns", "name", "parent", "values", "watches")

    def __init__(self, name: str, parent: Key | None) -> None:
        self.name = name
        self.parent = parent
        self.keys: dict[str, Key] = {}
        self.values: dict[str, Value] = {}
        self.last_write_ns = 0
        self.deleted = False
        self.watches: list[Watch] = []
        self._header: ObjectHeader | None = None

    def path(self) -> str:
        """Full path, \\Registry first."""
        parts: list[str] = []
        key: Key | None = self
        while key is not None:
            parts.append(key.name)
            key = key.parent
        return "\\" + "\\".join(reversed(parts))

    def subkeys(self) -> list[Key]:
        """Direct subkeys by name."""
        return [self.keys[name] for name in sorted(self.keys)]

    def all_values(self) -> list[Value]:
        """Values by name."""
        return [self.values[name] for name in sorted(self.values)]

    def walk(self) -> Iterator[Key]:
        """This key and everything below it, parents first, by name."""
        pending = [self]
        while pending:
            key = pending.pop()
            yield key
            pending.extend(reversed(key.subkeys()))

    def text(self, name: str, default: str = "") -> str:
        """A REG_SZ value; default when there is none of that type."""
        value = self.values.get(name.upper())
        return value.data if value is not None and isinstance(value.data, str) else default

    def number(self, name: str, default: int = 0) -> int:
        """A REG_DWORD or REG_QWORD value; default when there is none of those types."""
        value = self.values.get(name.upper())
        return value.data if value is not None and isinstance(value.data, int) else default

    def strings(self, name: str) -> tuple[str, ...]:
        """A REG_MULTI_SZ value; empty when there is none of that type."""
        value = self.values.get(name.upper())
        return value.data if value is not None and isinstance(value.data, tuple) else ()

    def binary(self, name: str, default: bytes = b"") -> bytes:
        """A REG_BINARY value; default when there is none of that type."""
        value = self.values.get(name.upper())
        return value.data if value is not None and isinstance(value.data, bytes) else default

    def __str__(self) -> str:
        return f"{len(self.keys)} keys, {len(self.values)} values"


class Registry:
    """The tree of keys. ``clock`` stamps last_write_ns (ns since the epoch)."""

    __slots__ = ("_clock", "_count", "_key_type", "generation", "root")

    def __init__(self, clock: Callable[[], int] = lambda: 0) -> None:
        self._clock = clock
        self.root = Key("Registry", None)
        self._count = 1
        self.generation = 0
        """Rises with every change: caches of registry facts compare it."""
        self._key_type: ObjectType | None = None
        for path in ("\\Registry\\Machine\\System", "\\Registry\\User"):
            self.create_key(path)

    # -- keys --------------------------------------------------------------------------------------------------------
    def create_key(self, path: str) -> Key:
        """The key of that path, made (with all on the way) when missing.

        Raises StatusError: OBJECT_PATH_SYNTAX_BAD, OBJECT_NAME_INVALID, NAME_TOO_LONG, QUOTA_EXCEEDED (KEYS_MAX, DEPTH_MAX).
        """
        parts = self._split(path)
        if len(parts) > DEPTH_MAX:
            raise StatusError(NtStatus.QUOTA_EXCEEDED, "depth")
        key = self.root
        for part in parts:
            found = key.keys.get(part.upper())
            key = self._add(key, part) if found is None else found
        return key

    def open_key(self, path: str) -> Key:
        """The key of that path. Raises StatusError: OBJECT_NAME_NOT_FOUND and the syntax errors of create_key."""
        key = self.find_key(path)
        if key is None:
            raise StatusError(NtStatus.OBJECT_NAME_NOT_FOUND, path)
        return key

    def find_key(self, path: str) -> Key | None:
        """The key of that path or None. Raises the syntax errors of create_key."""
        key: Key | None = self.root
        for part in self._split(path):
            if key is None:
                return None
            key = key.keys.get(part.upper())
        return key

    def delete_key(self, path: str, *, subtree: bool = False) -> None:
        """Remove a key. Raises OBJECT_NAME_NOT_FOUND; CANNOT_DELETE for one with subkeys (unless subtree) and the two top levels."""
        key = self.open_key(path)
        parent = key.parent
        if parent is None or parent is self.root or (key.keys and not subtree):
            raise StatusError(NtStatus.CANNOT_DELETE, path)
        del parent.keys[key.name.upper()]
        gone = list(key.walk())
        self._count -= len(gone)
        for each in gone:
            each.deleted = True
        self._changed(parent)
        for each in gone:
            for watch in each.watches:
                watch.event.set()
            each.watches.clear()

    def _add(self, parent: Key, name: str) -> Key:
        if self._count >= KEYS_MAX:
            raise StatusError(NtStatus.QUOTA_EXCEEDED, "keys")
        key = Key(name, parent)
        parent.keys[name.upper()] = key
        self._count += 1
        key.last_write_ns = self._clock()
        self._changed(parent)
        return key

    def _split(self, path: str) -> list[str]:
        if not path.startswith("\\"):
            alias, _, rest = path.partition("\\")
            if alias.upper() not in _ALIASES:
                raise StatusError(NtStatus.OBJECT_PATH_SYNTAX_BAD, path[:40])
            path = _ALIASES[alias.upper()] + ("\\" + rest if rest else "")
        parts = path[1:].split("\\")
        if parts[0].upper() != "REGISTRY":
            raise StatusError(NtStatus.OBJECT_PATH_SYNTAX_BAD, path[:40])
        for part in parts:
            check_key_name(part)
        return parts[1:]

    # -- values ------------------------------------------------------------------------------------------------------
    def set_value(self, key: Key | str, name: str, data: Data, kind: ValueKind | None = None) -> None:
        """Set a value; kind None takes the natural one (str SZ, int DWORD or QWORD by size, bytes BINARY, tuple MULTI_SZ).

        key: a Key, or a path (created when missing). Raises StatusError: INVALID_PARAMETER (data does not fit the kind), NAME_TOO_LONG,
        OBJECT_NAME_INVALID, QUOTA_EXCEEDED, KEY_DELETED.
        """
        target = self._target(key, create=True)
        check_value_name(name)
        value = Value(name, _natural_kind(data) if kind is None else kind, data)
        check_data(value)
        folded = name.upper()
        if folded not in target.values and len(target.values) >= VALUES_MAX:
            raise StatusError(NtStatus.QUOTA_EXCEEDED, "values")
        target.values[folded] = value
        self._changed(target)

    def get_value(self, key: Key | str, name: str) -> Value:
        """A value. Raises OBJECT_NAME_NOT_FOUND, KEY_DELETED."""
        value = self._target(key).values.get(name.upper())
        if value is None:
            raise StatusError(NtStatus.OBJECT_NAME_NOT_FOUND, name)
        return value

    def delete_value(self, key: Key | str, name: str) -> None:
        """Remove a value. Raises OBJECT_NAME_NOT_FOUND, KEY_DELETED."""
        target = self._target(key)
        if target.values.pop(name.upper(), None) is None:
            raise StatusError(NtStatus.OBJECT_NAME_NOT_FOUND, name)
        self._changed(target)

    def text(self, path: str, name: str, default: str = "") -> str:
        """A REG_SZ value by path; default when key or value is missing."""
        key = self.find_key(path)
        return default if key is None else key.text(name, default)

    def number(self, path: str, name: str, default: int = 0) -> int:
        """A number by path; default when key or value is missing."""
        key = self.find_key(path)
        return default if key is None else key.number(name, default)

    def subkeys(self, path: str) -> list[Key]:
        """Subkeys by name; none when the key is missing."""
        key = self.find_key(path)
        return [] if key is None else key.subkeys()

    def _target(self, key: Key | str, *, create: bool = False) -> Key:
        if isinstance(key, str):
            return self.create_key(key) if create else self.open_key(key)
        if key.deleted:
            raise StatusError(NtStatus.KEY_DELETED, key.name)
        return key

    # -- notification ------------------------------------------------------------------------------------------------
    def watch(self, key: Key | str, event: Event, *, subtree: bool = False) -> Watch:
        """Set event at every change of the key's values or subkeys, with subtree also of everything below; until unwatch().

        Deleting the key sets it a last time. Raises OBJECT_NAME_NOT_FOUND, KEY_DELETED.
        """
        target = self._target(key)
        watch = Watch(target, event, subtree)
        target.watches.append(watch)
        return watch

    @staticmethod
    def unwatch(watch: Watch) -> None:
        """End a watch; harmless when its key is gone."""
        if watch in watch.key.watches:
            watch.key.watches.remove(watch)

    def _changed(self, key: Key) -> None:
        key.last_write_ns = self._clock()
        self.generation += 1
        current: Key | None = key
        while current is not None:
            for watch in tuple(current.watches):
                if watch.subtree or current is key:
                    watch.event.set()
            current = current.parent

    # -- showing and naming ------------------------------------------------------------------------------------------
    def query(self, path: str = "\\Registry") -> list[Row]:
        """Rows of a key and everything below it: what `pylibos reg query` prints. Raises as open_key."""
        rows: list[Row] = []
        for key in self.open_key(path).walk():
            where = key.path()
            rows.append(Row(where, "", "", ""))
            rows.extend(Row(where, value.name, value.kind.name, value_text(value)) for value in key.all_values())
        return rows

    def attach(self, manager: ObjectManager) -> None:
        """Make the tree the object \\Registry; paths below it resolve to Key objects. Raises OBJECT_NAME_COLLISION."""
        self._key_type = manager.types.key
        top = ObjectType("RegistryRoot", Operations(parse=self._parse, describe=lambda header: str(header.body)))
        manager.register_type(top)
        manager.dereference(manager.create(top, self.root, "\\Registry", permanent=True))

    def _parse(self, header: ObjectHeader, rest: str) -> ObjectHeader:
        key = self.open_key("\\Registry\\" + rest)
        if key._header is None:
            assert self._key_type is not None
            key._header = ObjectHeader(self._key_type, key, SecurityDescriptor(), permanent=True)
            key._header.reference_count = 1  # the tree's own
        return key._header


def check_key_name(name: str) -> None:
    """Raise StatusError(OBJECT_NAME_INVALID) for a name no key may have."""
    if not name or len(name) > KEY_NAME_MAX or "\\" in name or "\0" in name or not _encodable(name):
        raise StatusError(NtStatus.OBJECT_NAME_INVALID, name[:40])


def check_value_name(name: str) -> None:
    """Raise StatusError(NAME_TOO_LONG or OBJECT_NAME_INVALID); the empty name is the key's default value."""
    if len(name) > VALUE_NAME_MAX:
        raise StatusError(NtStatus.NAME_TOO_LONG)
    if "\0" in name or not _encodable(name):
        raise StatusError(NtStatus.OBJECT_NAME_INVALID, name[:40])


def check_data(value: Value) -> None:
    """Raise StatusError(INVALID_PARAMETER) when data does not fit its kind, QUOTA_EXCEEDED when it is too big."""
    kind, data = value.kind, value.data
    if kind is ValueKind.REG_SZ:
        fits = isinstance(data, str) and _encodable(data)
    elif kind is ValueKind.REG_MULTI_SZ:
        fits = isinstance(data, tuple) and all(map(_encodable, data))
    elif kind is ValueKind.REG_BINARY:
        fits = isinstance(data, bytes)
    else:
        bits = 32 if kind is ValueKind.REG_DWORD else 64
        fits = isinstance(data, int) and not isinstance(data, bool) and 0 <= data < 1 << bits
    if not fits:
        raise StatusError(NtStatus.INVALID_PARAMETER, f"{value.name} as {kind.name}")
    if _size(data) > DATA_MAX:
        raise StatusError(NtStatus.QUOTA_EXCEEDED, value.name)


def value_text(value: Value) -> str:
    """A value's data as one line of text: numbers as 0xHEX (DECIMAL), binary as hex, several strings joined by '; '."""
    data = value.data
    if isinstance(data, int):
        return f"{data:#x} ({data})"
    if isinstance(data, bytes):
        return data.hex()
    return data if isinstance(data, str) else "; ".join(data)


def encode_text(text: str) -> bytes:
    """The stored form of a text."""
    return text.encode("utf-8", "surrogateescape")


def decode_text(data: bytes) -> str:
    """The text of a stored form; any bytes have one."""
    return data.decode("utf-8", "surrogateescape")


def _encodable(text: object) -> bool:
    if not isinstance(text, str):
        return False
    try:
        return text.isascii() or decode_text(encode_text(text)) == text
    except UnicodeEncodeError:
        return False


def _natural_kind(data: Data) -> ValueKind:
    if isinstance(data, str):
        return ValueKind.REG_SZ
    if isinstance(data, int):
        return ValueKind.REG_DWORD if 0 <= data < 1 << 32 else ValueKind.REG_QWORD
    return ValueKind.REG_BINARY if isinstance(data, bytes) else ValueKind.REG_MULTI_SZ


def _size(data: Data) -> int:
    if isinstance(data, int):
        return 8
    if isinstance(data, tuple):
        return sum(len(encode_text(part)) + 4 for part in data) + 4
    return len(data) if isinstance(data, bytes) else len(encode_text(data))
