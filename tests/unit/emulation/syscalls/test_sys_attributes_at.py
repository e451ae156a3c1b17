"""setxattrat and its relatives against the older calls on the same files."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pylibos.monitor.policy import Mode
from tests.support.vfs_guest import BASE, Buffer, Guest

AT_FDCWD = -100
NOFOLLOW = 0x100
EMPTY_PATH = 0x1000
VALUE_AT = BASE + 0x1000
NAME = b"user.colour"


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Guest]:
    world = Guest([(b"/", "tmpfs", None)], [(bytes(tmp_path), Mode.RO)], os.getuid(), os.getgid())
    fd = world.open(b"/file", os.O_CREAT | os.O_RDWR)
    assert fd >= 0
    yield world
    world.close_all()


def arguments(value: int, size: int, flags: int = 0, extra: bytes = b"") -> bytes:
    return struct.pack("<QII", value, size, flags) + extra


def set_at(guest: Guest, path: bytes, value: bytes, *, at: int = 0, flags: int = 0, fd: int = AT_FDCWD) -> Any:
    guest.memory.write(VALUE_AT, value)
    return guest.call("setxattrat", fd, path, at, NAME, arguments(VALUE_AT, len(value), flags), 16)


def get_at(guest: Guest, path: bytes | None, *, at: int = 0, size: int = 64, fd: int = AT_FDCWD) -> Any:
    result = guest.call("getxattrat", fd, path, at, NAME, arguments(VALUE_AT, size), 16)
    return guest.memory.read(VALUE_AT, result) if result >= 0 and size else result


def test_set_get_list_remove(guest: Guest) -> None:
    assert set_at(guest, b"/file", b"blue") == 0
    assert get_at(guest, b"/file") == b"blue"
    buffer = Buffer(64)
    assert guest.call("getxattr", b"/file", NAME, buffer, 64) == 4
    assert buffer.data[:4] == b"blue"
    names = Buffer(64)
    count = guest.call("listxattrat", AT_FDCWD, b"/file", 0, names, 64)
    assert NAME + b"\0" in names.data[:count]
    assert guest.call("removexattrat", AT_FDCWD, b"/file", 0, NAME) == 0
    assert get_at(guest, b"/file") == -61  # ENODATA


def test_create_and_replace(guest: Guest) -> None:
    assert set_at(guest, b"/file", b"1", flags=2) == -61
    assert set_at(guest, b"/file", b"1", flags=1) == 0
    assert set_at(guest, b"/file", b"2", flags=1) == -17
    assert set_at(guest, b"/file", b"3", flags=2) == 0
    assert set_at(guest, b"/file", b"3", flags=4) == -22


def test_by_descriptor(guest: Guest) -> None:
    fd = guest.open(b"/file", os.O_RDWR)
    assert set_at(guest, b"", b"blue", at=EMPTY_PATH, fd=fd) == 0
    assert get_at(guest, b"", at=EMPTY_PATH, fd=fd) == b"blue"
    assert get_at(guest, None, at=EMPTY_PATH, fd=fd) == b"blue"
    assert get_at(guest, b"", fd=fd) == -2


def test_links_are_followed_unless_told(guest: Guest) -> None:
    assert guest.call("symlink", b"file", b"/link") == 0
    assert set_at(guest, b"/link", b"blue") == 0
    assert get_at(guest, b"/file") == b"blue"
    assert get_at(guest, b"/link", at=NOFOLLOW) == -61


def test_size_of_the_structure(guest: Guest) -> None:
    call = ("getxattrat", AT_FDCWD, b"/file", 0, NAME)
    assert guest.call(*call, arguments(VALUE_AT, 64), 15) == -22
    assert guest.call(*call, arguments(VALUE_AT, 64, extra=b"\0" * 8), 24) == -61
    assert guest.call(*call, arguments(VALUE_AT, 64, extra=b"\0" * 7 + b"\1"), 24) == -7
    assert guest.call(*call, arguments(VALUE_AT, 64), 4097) == -7
    assert guest.call(*call, arguments(VALUE_AT, 64, flags=1), 16) == -22
    assert guest.call("getxattrat", AT_FDCWD, b"/file", 1, NAME, arguments(VALUE_AT, 64), 16) == -22


def test_buffer_too_small(guest: Guest) -> None:
    assert set_at(guest, b"/file", b"blue") == 0
    assert get_at(guest, b"/file", size=3) == -34
    assert get_at(guest, b"/file", size=0) == 4
