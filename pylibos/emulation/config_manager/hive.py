"""Hive files: a registry subtree as bytes, and its safe way to disk.

Format (all numbers little endian, text UTF-8 with surrogate escapes):

    header   8 bytes  b"PLHIVE\\r\\n"     (line-ending conversion destroys it visibly)
             u32      version, 1
             u32      size of the payload in bytes, at most HIVE_MAX
             32 bytes SHA-256 of the payload
    payload  one key record, the root of the saved subtree
    key      u16 name size, name, u64 last write (ns since the epoch), u32 count of values, the values, u32 count of subkeys, the subkeys
    value    u8 kind, u16 name size, name, u32 data size, data
    data     SZ text; DWORD u32; QWORD u64; BINARY bytes; MULTI_SZ u32 count, then u32 size and text of each

Names are unique without regard to case. A hive may come from anyone: parse() raises HiveError for every byte string that is not exactly
one valid hive, in time and memory proportional to its size, and nothing else (fuzzed). save() replaces a file atomically: a
complete new file, flushed, renamed over the old one.
"""

from __future__ import annotations

import hashlib
import struct
from typing import TYPE_CHECKING, Final

from pylibos.emulation.config_manager.registry import (
    DATA_MAX,
    DEPTH_MAX,
    KEYS_MAX,
    VALUES_MAX,
    Data,
    Key,
    Registry,
    Value,
    ValueKind,
    check_data,
    check_key_name,
    check_value_name,
    decode_text,
    encode_text,
)
from pylibos.emulation.object_manager.errors import StatusError
from pylibos.monitor.host_abi import Access, Create, HostError

if TYPE_CHECKING:
    from pylibos.monitor.host_abi import HostABI

MAGIC: Final = b"PLHIVE\r\n"
VERSION: Final = 1
HIVE_MAX: Final = 1 << 24
"""Bytes of a payload: far beyond any real configuration, small enough to read at once."""

_HEADER: Final = struct.Struct("<8sII32s")
_CHUNK: Final = 1 << 20


class HiveError(Exception):
    """The bytes are not a valid hive, or the registry does not fit one."""


# -- writing ---------------------------------------------------------------------------------------------------------
def dump(root: Key) -> bytes:
    """The hive of a subtree. Raises HiveError when it exceeds HIVE_MAX."""
    parts: list[bytes] = []
    for key in root.walk():  # pre-order: exactly the nesting of the format, since each record counts its subkeys
        name = encode_text(key.name)
        parts.append(struct.pack("<H", len(name)) + name + struct.pack("<QI", key.last_write_ns, len(key.values)))
        parts.extend(_dump_value(value) for value in key.all_values())
        parts.append(struct.pack("<I", len(key.keys)))
    payload = b"".join(parts)
    if len(payload) > HIVE_MAX:
        raise HiveError(f"hive of {len(payload)} bytes exceeds {HIVE_MAX}")
    return _HEADER.pack(MAGIC, VERSION, len(payload), hashlib.sha256(payload).digest()) + payload


def _dump_value(value: Value) -> bytes:
    name, data = encode_text(value.name), _encode(value)
    return struct.pack("<BH", value.kind, len(name)) + name + struct.pack("<I", len(data)) + data


def _encode(value: Value) -> bytes:
    data = value.data
    if isinstance(data, int):
        return data.to_bytes(4 if value.kind is ValueKind.REG_DWORD else 8, "little")
    if isinstance(data, tuple):
        texts = [encode_text(part) for part in data]
        return struct.pack("<I", len(texts)) + b"".join(struct.pack("<I", len(text)) + text for text in texts)
    return data if isinstance(data, bytes) else encode_text(data)


# -- reading ---------------------------------------------------------------------------------------------------------
class _Reader:
    """A cursor that fails with HiveError instead of reading past the end."""

    __slots__ = ("data", "position")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def take(self, size: int) -> bytes:
        end = self.position + size
        if end > len(self.data):
            raise HiveError(f"truncated at byte {self.position}")
        piece = self.data[self.position : end]
        self.position = end
        return piece

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")


def parse(data: bytes) -> Key:
    """The root key of a hive, parentless. Raises HiveError."""
    if len(data) < _HEADER.size:
        raise HiveError("shorter than its header")
    magic, version, size, digest = _HEADER.unpack_from(data)
    payload = data[_HEADER.size :]
    if magic != MAGIC:
        raise HiveError("not a hive")
    if version != VERSION:
        raise HiveError(f"version {version}, this program reads {VERSION}")
    if size > HIVE_MAX or size != len(payload):
        raise HiveError(f"payload of {len(payload)} bytes, header says {size}")
    if hashlib.sha256(payload).digest() != digest:
        raise HiveError("checksum does not match")
    try:
        return _parse_tree(_Reader(payload))
    except StatusError as error:  # a name or value no registry may hold
        raise HiveError(str(error)) from error


def _parse_tree(reader: _Reader) -> Key:
    root, remaining = _parse_key(reader, None)
    stack = [(root, remaining)]
    keys = 1
    while stack:
        parent, remaining = stack.pop()
        if remaining == 0:
            continue
        stack.append((parent, remaining - 1))
        keys += 1
        if len(stack) > DEPTH_MAX or keys > KEYS_MAX:
            raise HiveError("too many or too deep keys")
        child, grandchildren = _parse_key(reader, parent)
        if child.name.upper() in parent.keys:
            raise HiveError(f"key {child.name[:40]!r} twice")
        parent.keys[child.name.upper()] = child
        stack.append((child, grandchildren))
    if reader.position != len(reader.data):
        raise HiveError("bytes after the last key")
    return root


def _parse_key(reader: _Reader, parent: Key | None) -> tuple[Key, int]:
    name = decode_text(reader.take(reader.number(2)))
    check_key_name(name)
    key = Key(name, parent)
    key.last_write_ns = reader.number(8)
    count = reader.number(4)
    if count > VALUES_MAX:
        raise HiveError(f"{count} values in one key")
    for _ in range(count):
        value = _parse_value(reader)
        if value.name.upper() in key.values:
            raise HiveError(f"value {value.name[:40]!r} twice")
        key.values[value.name.upper()] = value
    return key, reader.number(4)


def _parse_value(reader: _Reader) -> Value:
    number = reader.number(1)
    try:
        kind = ValueKind(number)
    except ValueError as error:
        raise HiveError(f"value type {number}") from error
    name = decode_text(reader.take(reader.number(2)))
    check_value_name(name)
    size = reader.number(4)
    if size > DATA_MAX:
        raise HiveError(f"value of {size} bytes")
    value = Value(name, kind, _decode(kind, reader.take(size)))
    check_data(value)
    return value


def _decode(kind: ValueKind, data: bytes) -> Data:
    if kind is ValueKind.REG_SZ:
        return decode_text(data)
    if kind is ValueKind.REG_BINARY:
        return data
    if kind is ValueKind.REG_MULTI_SZ:
        reader = _Reader(data)
        count = reader.number(4)
        if count > len(data):
            raise HiveError("more strings than bytes")
        texts = tuple(decode_text(reader.take(reader.number(4))) for _ in range(count))
        if reader.position != len(data):
            raise HiveError("bytes after the last string")
        return texts
    if len(data) != (4 if kind is ValueKind.REG_DWORD else 8):
        raise HiveError(f"{kind.name} of {len(data)} bytes")
    return int.from_bytes(data, "little")


# -- to and from the host ---------------------------------------------------------------------------------------------
def graft(registry: Registry, path: str, root: Key) -> None:
    """Copy a parsed hive over the key at path: its values and subkeys are added, equal names replaced. Raises StatusError (quotas)."""
    prefix_size = len(root.path())
    for key in root.walk():
        target = registry.create_key(path + key.path()[prefix_size:])
        for value in key.all_values():
            registry.set_value(target, value.name, value.data, value.kind)
        target.last_write_ns = key.last_write_ns


def save(host: HostABI, path: bytes, root: Key) -> None:
    """Write the hive of root to host file ``path``, atomically. Raises HostError (the old file is intact then), HiveError."""
    data = dump(root)
    temporary = b"file:" + path + b".new"
    stream = host.stream_open(temporary, Access.WRITE, Create.CREATE | Create.TRUNCATE, 0o600)
    try:
        offset = 0
        while offset < len(data):
            offset += host.stream_write(stream, offset, data[offset : offset + _CHUNK])
        host.stream_flush(stream)
    except HostError:
        host.stream_delete(temporary)
        raise
    finally:
        host.stream_close(stream)
    host.stream_rename(temporary, b"file:" + path)


def load(host: HostABI, path: bytes) -> Key:
    """The root key of the hive in host file ``path``. Raises HostError, HiveError."""
    stream = host.stream_open(b"file:" + path, Access.READ)
    try:
        limit = HIVE_MAX + _HEADER.size
        parts: list[bytes] = []
        total = 0
        while total <= limit:
            piece = host.stream_read(stream, total, _CHUNK)
            if not piece:
                break
            parts.append(piece)
            total += len(piece)
        if total > limit:
            raise HiveError(f"file exceeds {limit} bytes")
        return parse(b"".join(parts))
    finally:
        host.stream_close(stream)
