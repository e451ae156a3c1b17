"""Hives and the registry against models: round trip, only HiveError from any bytes, notification never missed."""

from __future__ import annotations

import hashlib
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pylibos.emulation.config_manager import hive
from pylibos.emulation.config_manager.registry import Data, Key, Registry, ValueKind, decode_text
from pylibos.emulation.object_manager.dispatcher import Event
from pylibos.emulation.object_manager.errors import StatusError

texts = st.binary(max_size=20).map(decode_text)
names = st.binary(min_size=1, max_size=6).map(decode_text).filter(lambda name: "\\" not in name and "\0" not in name)
data = st.one_of(texts, st.integers(0, (1 << 64) - 1), st.binary(max_size=20), st.lists(texts, max_size=4).map(tuple))
paths = st.lists(names, min_size=1, max_size=4)


def shape(key: Key) -> object:
    return [(k.path(), k.last_write_ns, k.all_values()) for k in key.walk()]


@given(st.lists(st.tuples(paths, names, data), max_size=12))
def test_round_trip(entries: list[tuple[list[str], str, Data]]) -> None:
    registry = Registry()
    for path, name, value in entries:
        registry.set_value("\\Registry\\User\\" + "\\".join(path), name, value)
    parsed = hive.parse(hive.dump(registry.root))
    assert shape(parsed) == shape(registry.root)
    other = Registry()
    hive.graft(other, "\\Registry", parsed)
    assert shape(other.root) == shape(registry.root)


def sealed(payload: bytes) -> bytes:
    return struct.pack("<8sII32s", hive.MAGIC, hive.VERSION, len(payload), hashlib.sha256(payload).digest()) + payload


@given(st.binary(max_size=300))
def test_any_payload_gives_a_key_or_hive_error(payload: bytes) -> None:
    for candidate in (payload, sealed(payload), sealed(b"\x01\0r" + bytes(8) + payload)):
        try:
            key = hive.parse(candidate)
        except hive.HiveError:
            continue
        assert hive.parse(hive.dump(key)).name == key.name


@given(st.data())
def test_mutated_hives(draw: st.DataObject) -> None:
    registry = Registry()
    registry.set_value("\\Registry\\User\\a", "v", ("x", "yy"))
    registry.set_value("\\Registry\\User\\a\\b", "n", 5)
    payload = bytearray(hive.dump(registry.root)[48:])
    for _ in range(draw.draw(st.integers(1, 4))):
        payload[draw.draw(st.integers(0, len(payload) - 1))] = draw.draw(st.integers(0, 255))
    try:
        key = hive.parse(sealed(bytes(payload)))
    except hive.HiveError:
        return
    assert shape(hive.parse(hive.dump(key))) == shape(key)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda b: b[:-1], id="truncated"),
        pytest.param(lambda b: b + b"\0", id="longer"),
        pytest.param(lambda b: b[:60] + bytes([b[60] ^ 1]) + b[61:], id="flipped"),
        pytest.param(lambda b: b.replace(b"\r\n", b"\n", 1), id="line-ends"),
        pytest.param(lambda b: b[:8] + b"\x02" + b[9:], id="version"),
        pytest.param(lambda _: b"", id="empty"),
    ],
)
def test_damage_is_found(damage: object) -> None:
    good = hive.dump(Registry().root)
    with pytest.raises(hive.HiveError):
        hive.parse(damage(good))  # type: ignore[operator]


def test_depth_and_duplicates_are_refused() -> None:
    nested = b"\x01\0k" + bytes(12) + b"\x01\0\0\0"
    with pytest.raises(hive.HiveError):
        hive.parse(sealed(nested * 1000))
    leaf = b"\x01\0%c" + bytes(12) + bytes(4)
    twice = b"\x01\0r" + bytes(12) + b"\x02\0\0\0" + leaf.replace(b"%c", b"a") + leaf.replace(b"%c", b"A")
    with pytest.raises(hive.HiveError, match="twice"):
        hive.parse(sealed(twice))


class Tree(RuleBasedStateMachine):
    """The registry against a dict of folded paths; watches against the set of paths they cover."""

    def __init__(self) -> None:
        super().__init__()
        self.registry = Registry()
        self.model: dict[tuple[str, ...], dict[str, Data]] = {("USER",): {}, ("MACHINE",): {}, ("MACHINE", "SYSTEM"): {}}
        self.watches: list[tuple[tuple[str, ...], bool, Event]] = []

    def expect(self, touched: tuple[str, ...], removed: list[tuple[str, ...]] = []) -> None:  # noqa: B006
        for path, subtree, event in self.watches:
            covered = path == touched or (subtree and touched[: len(path)] == path) or path in removed
            assert event.clear() == covered
        self.watches = [watch for watch in self.watches if watch[0] not in removed]

    keys = st.lists(st.sampled_from(["a", "A", "b", "c"]), min_size=1, max_size=3)

    @rule(path=keys, name=st.sampled_from(["v", "V", "w"]), value=data)
    def set_value(self, path: list[str], name: str, value: Data) -> None:
        full = ("USER", *(part.upper() for part in path))
        self.create(path)
        self.registry.set_value("\\Registry\\User\\" + "\\".join(path), name, value)
        self.model[full][name.upper()] = value
        self.expect(full)

    @rule(path=keys)
    def create(self, path: list[str]) -> None:
        full = ("USER", *(part.upper() for part in path))
        missing = [full[:size] for size in range(2, len(full) + 1) if full[:size] not in self.model]
        self.registry.create_key("\\Registry\\User\\" + "\\".join(path))
        covered = {watch[2] for parent in missing for watch in self.watches if self.covers(watch, parent[:-1])}
        for watch in self.watches:
            assert watch[2].clear() == (watch[2] in covered)
        for each in missing:
            self.model[each] = {}

    @staticmethod
    def covers(watch: tuple[tuple[str, ...], bool, Event], touched: tuple[str, ...]) -> bool:
        return watch[0] == touched or (watch[1] and touched[: len(watch[0])] == watch[0])

    @rule(path=keys)
    def delete(self, path: list[str]) -> None:
        full = ("USER", *(part.upper() for part in path))
        where = "\\Registry\\User\\" + "\\".join(path)
        if full not in self.model:
            with pytest.raises(StatusError):
                self.registry.delete_key(where)
            return
        gone = [each for each in self.model if each[: len(full)] == full]
        self.registry.delete_key(where, subtree=True)
        for each in gone:
            del self.model[each]
        self.expect(full[:-1], gone)

    @rule(path=keys, subtree=st.booleans())
    def watch(self, path: list[str], subtree: bool) -> None:
        full = ("USER", *(part.upper() for part in path))
        if full in self.model:
            event = Event()
            self.registry.watch("\\Registry\\User\\" + "\\".join(path), event, subtree=subtree)
            self.watches.append((full, subtree, event))

    @invariant()
    def trees_agree(self) -> None:
        real = {
            tuple(key.path().upper().split("\\")[2:]): {name: value.data for name, value in key.values.items()}
            for key in self.registry.root.walk()
            if key.parent is not None
        }
        assert real == self.model


TestTree = Tree.TestCase
TestTree.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)


def test_kind_numbers_are_nt() -> None:
    assert {kind.name: int(kind) for kind in ValueKind} == {
        "REG_SZ": 1,
        "REG_BINARY": 3,
        "REG_DWORD": 4,
        "REG_MULTI_SZ": 7,
        "REG_QWORD": 11,
    }
