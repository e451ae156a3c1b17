"""Edges of the file calls that random sequences do not reach: flags, extended attributes, openat2, statx, faults."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from pylibos.abi.errno import Errno
from pylibos.abi.files import (
    AT_EMPTY_PATH,
    AT_FDCWD,
    AT_SYMLINK_NOFOLLOW,
    RESOLVE_BENEATH,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
    STATX,
)
from pylibos.monitor.policy import Mode
from tests.support.vfs_guest import Buffer, Guest


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Guest]:
    lower = tmp_path / "lower"
    (lower / "d" / "e").mkdir(parents=True)
    (lower / "d" / "file").write_bytes(b"content")
    (lower / "d" / "up").symlink_to("../d/file")
    (lower / "d" / "abs").symlink_to("/d/file")
    (lower / "d" / "loop").symlink_to("loop")
    made = Guest(
        [(b"/", "cow", bytes(lower)), (b"/tmp", "tmpfs", None)], [(bytes(lower), Mode.RO)], os.getuid(), os.getgid()
    )
    yield made
    made.close_all()


def how(flags: int = 0, mode: int = 0, resolve: int = 0) -> bytes:
    return struct.pack("<QQQ", flags, mode, resolve)


@pytest.mark.parametrize(
    ("path", "resolve", "expected"),
    [
        (b"file", RESOLVE_BENEATH, 0),
        (b"e/../file", RESOLVE_BENEATH, 0),
        (b"../d/file", RESOLVE_BENEATH, -Errno.EXDEV),
        (b"up", RESOLVE_BENEATH, -Errno.EXDEV),
        (b"/d/file", RESOLVE_BENEATH, -Errno.EXDEV),
        (b"up", RESOLVE_NO_SYMLINKS, -Errno.ELOOP),
        (b"../../file", RESOLVE_IN_ROOT, 0),
        (b"/file", RESOLVE_IN_ROOT, 0),
        (b"abs", RESOLVE_IN_ROOT, -Errno.ENOENT),
        (b"../tmp/x", RESOLVE_NO_XDEV, -Errno.EXDEV),
        (b"loop", 0, -Errno.ELOOP),
    ],
)
def test_openat2_rules(guest: Guest, path: bytes, resolve: int, expected: int) -> None:
    directory = guest.open(b"/d", os.O_DIRECTORY)
    result = guest.call("openat2", directory, path, how(0, 0, resolve), 24)
    assert min(result, 0) == expected


@pytest.mark.parametrize(
    ("argument", "size", "expected"),
    [
        (how(1 << 40), 24, -Errno.EINVAL),
        (how(0, 0o644), 24, -Errno.EINVAL),
        (how(0, 0, 64), 24, -Errno.EINVAL),
        (how(0, 0, RESOLVE_BENEATH | RESOLVE_IN_ROOT), 24, -Errno.EINVAL),
        (how(), 16, -Errno.EINVAL),
        (how() + b"\0" * 8, 32, 0),
        (how() + b"\1" + b"\0" * 7, 32, -Errno.E2BIG),
        (how(os.O_PATH | os.O_RDWR), 24, -Errno.EINVAL),
    ],
)
def test_openat2_is_strict(guest: Guest, argument: bytes, size: int, expected: int) -> None:
    assert min(guest.call("openat2", AT_FDCWD, b"/d/file", argument, size), 0) == expected


def test_statx_says_what_stat_says(guest: Guest) -> None:
    buffer = Buffer(256)
    assert guest.call("statx", AT_FDCWD, b"/d/file", 0, 0x7FF, buffer) == 0
    fields = STATX.unpack(buffer.data)
    record = guest.stat(b"/d/file")
    assert (fields[8], fields[6], fields[9], fields[3]) == (record[1], record[3], record[8], record[2])
    assert (fields[21], fields[22]) == (record[13], record[14])
    assert (fields[26] << 8 | fields[27]) == record[0]
    assert guest.call("statx", AT_FDCWD, b"/d/file", 0x6000, 0x7FF, buffer) == -Errno.EINVAL
    assert guest.call("statx", AT_FDCWD, b"/d/file", 0x10000, 0x7FF, buffer) == -Errno.EINVAL


def test_empty_paths(guest: Guest) -> None:
    fd = guest.open(b"/d/file")
    buffer = Buffer(144)
    assert guest.call("newfstatat", fd, b"", buffer, AT_EMPTY_PATH) == 0
    assert guest.call("newfstatat", fd, b"", buffer, 0) == -Errno.ENOENT
    assert guest.call("stat", b"", buffer) == -Errno.ENOENT
    assert guest.call("open", b"", 0, 0) == -Errno.ENOENT
    assert guest.call("mkdir", b"", 0o755) == -Errno.ENOENT
    assert guest.call("symlink", b"", b"/d/x") == -Errno.ENOENT


def test_faults(guest: Guest) -> None:
    assert guest.call("stat", 0, 0) == -Errno.EFAULT
    assert guest.call("stat", b"/d/file", 8) == -Errno.EFAULT
    assert guest.call("getcwd", 8, 4096) == -Errno.EFAULT
    assert guest.call("open", b"x" * 5000, 0, 0) == -Errno.ENAMETOOLONG
    assert guest.call("mkdir", b"/tmp/" + b"x" * 256, 0o755) == -Errno.ENAMETOOLONG
    assert guest.call("mkdir", b"/tmp/" + b"x" * 255, 0o755) == 0


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("unlinkat", (AT_FDCWD, b"/d/file", 1)),
        ("linkat", (AT_FDCWD, b"/d/file", AT_FDCWD, b"/d/x", 1)),
        ("renameat2", (AT_FDCWD, b"/d/file", AT_FDCWD, b"/d/x", 4)),
        ("renameat2", (AT_FDCWD, b"/d/file", AT_FDCWD, b"/d/x", 3)),
        ("faccessat2", (AT_FDCWD, b"/d/file", 0, 1)),
        ("access", (b"/d/file", 8)),
        ("readlink", (b"/d/file", 8, 10)),
        ("readlink", (b"/d/up", 8, 0)),
        ("utimensat", (AT_FDCWD, b"/d/file", struct.pack("<qqqq", 0, 10**9, 0, 0), 0)),
        ("setxattr", (b"/d/file", b"user.x", b"v", 1, 8)),
    ],
)
def test_invalid_arguments(guest: Guest, call: str, arguments: tuple[int | bytes, ...]) -> None:
    assert guest.call(call, *arguments) == -Errno.EINVAL


def test_extended_attributes(guest: Guest) -> None:
    path = b"/d/file"
    assert guest.call("setxattr", path, b"user.a", b"one", 3, 0) == 0
    assert guest.call("setxattr", path, b"user.a", b"two", 3, 1) == -Errno.EEXIST
    assert guest.call("setxattr", path, b"user.b", b"two", 3, 2) == -Errno.ENODATA
    buffer = Buffer(16)
    assert guest.call("getxattr", path, b"user.a", buffer, 16) == 3
    assert buffer.data[:3] == b"one"
    assert guest.call("getxattr", path, b"user.a", None, 0) == 3
    assert guest.call("getxattr", path, b"user.a", buffer, 2) == -Errno.ERANGE
    assert guest.call("listxattr", path, buffer, 16) == 7
    assert guest.call("removexattr", path, b"user.a") == 0
    assert guest.call("getxattr", path, b"user.a", buffer, 16) == -Errno.ENODATA
    assert guest.call("setxattr", path, b"bad", b"", 0, 0) == -Errno.EOPNOTSUPP
    assert guest.call("lsetxattr", b"/d/up", b"user.a", b"x", 1, 0) == -Errno.EPERM
    assert guest.call("fgetxattr", guest.open(path), b"user.a", buffer, 16) == -Errno.ENODATA


def test_times(guest: Guest) -> None:
    assert guest.call("utime", b"/d/file", struct.pack("<qq", 10, 20)) == 0
    assert guest.stat(b"/d/file")[11:15] == (10, 0, 20, 0)
    assert guest.call("utimes", b"/d/file", struct.pack("<qqqq", 1, 2, 3, 4)) == 0
    assert guest.stat(b"/d/file")[11:15] == (1, 2000, 3, 4000)
    omit, now = (1 << 30) - 2, (1 << 30) - 1
    assert guest.call("utimensat", AT_FDCWD, b"/d/file", struct.pack("<qqqq", 0, omit, 0, now), 0) == 0
    record = guest.stat(b"/d/file")
    assert record[11:13] == (1, 2000)
    assert record[13] > 1_000_000_000
    assert guest.call("utimensat", AT_FDCWD, b"/d/up", struct.pack("<qqqq", 5, 0, 6, 0), AT_SYMLINK_NOFOLLOW) == 0
    assert guest.stat(b"/d/up", follow=False)[13] == 6
    assert guest.call("utimensat", guest.open(b"/d/file"), None, struct.pack("<qqqq", 7, 0, 8, 0), 0) == 0
    assert guest.stat(b"/d/file")[13] == 8


def test_umask_and_setgid_directories(guest: Guest) -> None:
    assert guest.call("umask", 0o027) == 0o022
    guest.write_file(b"/tmp/a", b"", 0o666)
    assert guest.stat(b"/tmp/a")[3] & 0o7777 == 0o640
    guest.call("mkdir", b"/tmp/d", 0o777)
    assert guest.call("chmod", b"/tmp/d", 0o2775) == 0
    guest.call("mkdir", b"/tmp/d/sub", 0o777)
    assert guest.stat(b"/tmp/d/sub")[3] & 0o7777 == 0o2750


def test_nodes(guest: Guest) -> None:
    assert guest.call("mknod", b"/tmp/s", stat.S_IFSOCK | 0o600, 0) == 0
    assert guest.open(b"/tmp/s") == -Errno.ENXIO
    assert guest.call("mknod", b"/tmp/x", stat.S_IFLNK, 0) == -Errno.EINVAL
    if os.getuid() == 0:
        assert guest.call("mknod", b"/tmp/null", stat.S_IFCHR | 0o600, 0x103) == 0
        assert guest.stat(b"/tmp/null")[7] == 0x103
        assert guest.open(b"/tmp/null") == -Errno.ENXIO  # no driver for it in this sandbox


def test_statfs(guest: Guest) -> None:
    buffer = Buffer(120)
    assert guest.call("statfs", b"/tmp", buffer) == 0
    assert struct.unpack_from("<q", buffer.data)[0] == 0x01021994
    assert guest.call("fstatfs", guest.open(b"/d/file"), buffer) == 0
    assert struct.unpack_from("<qq", buffer.data)[0] == 0x794C7630
