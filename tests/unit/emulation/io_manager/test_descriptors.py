"""Descriptors: directory tokens, O_PATH, FIFOs, unlinked files, sweeping, inotify."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pylibos.abi.errno import Errno
from pylibos.abi.files import AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_FOLLOW
from pylibos.emulation.io_manager import manager
from pylibos.emulation.io_manager.file_object import FileKind
from pylibos.emulation.security.credentials import Credentials
from pylibos.monitor.policy import Mode
from tests.support.vfs_guest import Buffer, Guest


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Guest]:
    (tmp_path / "lower").mkdir()
    (tmp_path / "lower" / "file").write_bytes(b"content")
    made = Guest([(b"/", "cow", bytes(tmp_path / "lower"))], [(bytes(tmp_path), Mode.RO)], os.getuid(), os.getgid())
    yield made
    made.close_all()


def fill(guest: Guest, count: int = 9) -> int:
    guest.call("mkdir", b"/d", 0o755)
    for index in range(count):
        guest.write_file(b"/d/%d" % index, b"")
    return guest.open(b"/d", os.O_DIRECTORY)


def test_directory_descriptor_behaves_like_one(guest: Guest) -> None:
    fd = fill(guest)
    with pytest.raises(IsADirectoryError):
        os.read(fd, 1)
    assert stat.S_ISDIR(guest.fstat(fd)[3])
    assert guest.fstat(fd)[:2] == guest.stat(b"/d")[:2]
    assert guest.stat(b"/d")[2] == 2


def test_positions_survive_dup_and_seek(guest: Guest) -> None:
    fd = fill(guest)
    first = guest.getdents(fd, 80)
    other = os.dup(fd)
    second = guest.getdents(other, 80)
    rest = guest.getdents(fd)
    names = [name for name, *_ in first + second + rest]
    assert sorted(names) == sorted([b".", b"..", *(b"%d" % index for index in range(9))])
    assert guest.getdents(fd) == []
    os.lseek(fd, first[0][3], os.SEEK_SET)  # telldir of the second entry
    assert [name for name, *_ in guest.getdents(other)] == names[1:]
    guest.call("unlink", b"/d/3")
    os.lseek(fd, 2, os.SEEK_SET)
    assert b"3" in [name for name, *_ in guest.getdents(fd)]  # the same listing until it is rewound
    os.lseek(fd, 0, os.SEEK_SET)
    assert b"3" not in [name for name, *_ in guest.getdents(fd)]
    os.close(other)


def test_two_opens_have_two_positions(guest: Guest) -> None:
    one = fill(guest)
    two = guest.open(b"/d", os.O_DIRECTORY)
    guest.getdents(one)
    assert len(guest.getdents(two)) == 11


def test_small_buffer_and_old_records(guest: Guest) -> None:
    fd = fill(guest, 1)
    assert guest.call("getdents64", fd, Buffer(20), 20) == -Errno.EINVAL
    buffer = Buffer(200)
    length = guest.call("getdents", fd, buffer, 200)
    number, offset, size = struct.unpack_from("<QqH", buffer.data)
    assert (number, offset, size, buffer.data[18:20], buffer.data[size - 1]) == (guest.stat(b"/d")[1], 1, 24, b".\0", 4)
    assert length == 3 * 24
    assert guest.call("getdents64", guest.open(b"/file"), Buffer(64), 64) == -Errno.ENOTDIR


def test_removed_directory_reads_as_gone(guest: Guest) -> None:
    fd = fill(guest, 0)
    assert guest.call("rmdir", b"/d") == 0
    assert guest.call("getdents64", fd, Buffer(64), 64) == -Errno.ENOENT
    assert guest.fstat(fd)[2] == 0


def test_path_descriptors(guest: Guest) -> None:
    guest.call("symlink", b"file", b"/link")
    fd = guest.open(b"/link", os.O_PATH | os.O_NOFOLLOW)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.read(fd, 1)
    assert stat.S_ISLNK(guest.fstat(fd)[3])
    buffer = Buffer(10)
    assert guest.call("readlinkat", fd, b"", buffer, 10) == 4
    assert guest.call("fchmod", fd, 0o600) == -Errno.EBADF
    directory = guest.open(b"/", os.O_PATH)
    assert guest.call("openat", directory, b"file", 0, 0) > 0
    assert guest.call("openat", directory, b"missing", 0, 0) == -Errno.ENOENT
    assert guest.call("openat", guest.open(b"/file"), b"x", 0, 0) == -Errno.ENOTDIR
    assert guest.call("openat", 999, b"x", 0, 0) == -Errno.EBADF
    assert guest.call("openat", 999, b"/file", 0, 0) > 0


def test_unlinked_file_lives_while_open_and_is_swept_after(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    live: list[int] = []
    fd = guest.open(b"/new", os.O_RDWR | os.O_CREAT)
    os.write(fd, b"data")
    key = guest.io.describe(guest.thread, fd).key
    assert guest.call("unlink", b"/new") == 0
    assert guest.fstat(fd)[2:9:6] == (0, 4)
    monkeypatch.setattr(guest.io, "live_keys", lambda: {key})
    guest.io.sweep()
    assert key in guest.io.orphans
    monkeypatch.setattr(guest.io, "live_keys", lambda: set(live))
    guest.close(fd)
    handles = len(guest.host._streams)
    guest.io.sweep()
    assert key not in guest.io.inodes
    assert len(guest.host._streams) == handles - 1


def test_large_nameless_content_is_looked_after_early(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest.io, "live_keys", set)
    for _ in range(3):
        fd = guest.open(b"/big", os.O_RDWR | os.O_CREAT)
        os.ftruncate(fd, manager.ORPHAN_BYTES // 2 + 1)
        guest.close(fd)
        guest.call("unlink", b"/big")
    assert len(guest.io.orphans) == 1


def test_nameless_content_goes_with_its_process(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    fd = guest.open(b"/tmpfile", os.O_RDWR | os.O_CREAT)
    guest.call("unlink", b"/tmpfile")
    directory = guest.open(b"/", os.O_DIRECTORY)
    guest.io.process_exited()
    assert len(guest.io.orphans) == 1  # still open
    guest.close(fd)
    guest.close(directory)
    monkeypatch.setattr(guest.io, "live_keys", set)
    monkeypatch.setattr(guest.io, "_swept_ns", 0)
    guest.io.process_exited()
    assert not guest.io.orphans
    assert len(guest.io.files) == 1  # a token may be on its way in a message: only two full sweeps give it up


def test_tokens_are_given_up_by_sweeping(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manager, "SWEEP_MINIMUM", 8)
    monkeypatch.setattr(guest.io, "_sweep_files_at", 8)
    monkeypatch.setattr(guest.io, "live_keys", set)
    for _ in range(50):
        guest.close(guest.open(b"/", os.O_DIRECTORY))
    assert len(guest.io.files) <= 24


def test_what_once_was_held_is_not_kept_for_ever(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manager, "SWEEP_MINIMUM", 8)
    monkeypatch.setattr(guest.io, "_sweep_files_at", 8)
    held: set[tuple[int, int]] = set()
    monkeypatch.setattr(guest.io, "live_keys", lambda: held)
    descriptors = []
    for _ in range(100):
        descriptors.append(guest.open(b"/", os.O_DIRECTORY))
        held |= set(guest.io.files)
    for descriptor in descriptors:
        guest.close(descriptor)
    held.clear()
    for _ in range(400):
        guest.call("inotify_init1", 0)
    assert len(guest.io.files) <= 24


def test_anonymous_file_gets_a_name(guest: Guest) -> None:
    fd = guest.open(b"/", os.O_TMPFILE | os.O_RDWR, 0o640)
    os.write(fd, b"made")
    assert guest.fstat(fd)[2] == 0
    assert guest.call("linkat", fd, b"", AT_FDCWD, b"/named", AT_EMPTY_PATH) == 0
    assert guest.read_file(b"/named") == b"made"
    assert (guest.stat(b"/named")[2], guest.stat(b"/named")[3] & 0o777) == (1, 0o640)
    assert guest.open(b"/", os.O_TMPFILE) == -Errno.EINVAL
    guest.write_file(b"/gone", b"")
    fd = guest.open(b"/gone")
    guest.call("unlink", b"/gone")
    assert guest.call("linkat", fd, b"", AT_FDCWD, b"/again", AT_EMPTY_PATH | AT_SYMLINK_FOLLOW) == -Errno.ENOENT


def wait_done(guest: Guest, blocking: Any) -> int:
    try:
        blocking.send(None)
    except StopIteration as stop:
        return int(guest.finish(stop.value))
    raise AssertionError("still waiting")


def test_fifo_opening_rules(guest: Guest) -> None:
    assert guest.call("mknod", b"/f", stat.S_IFIFO | 0o600, 0) == 0
    assert guest.open(b"/f", os.O_WRONLY | os.O_NONBLOCK) == -Errno.ENXIO
    blocking = guest.call("openat", AT_FDCWD, b"/f", os.O_RDONLY, 0)
    assert not isinstance(blocking, int)
    writer = guest.open(b"/f", os.O_WRONLY)
    reader = wait_done(guest, blocking)
    os.write(writer, b"through")
    guest.close(writer)
    assert (os.read(reader, 100), os.read(reader, 100)) == (b"through", b"")
    assert stat.S_ISFIFO(guest.fstat(reader)[3])
    assert guest.fstat(reader)[:2] == guest.stat(b"/f")[:2]
    guest.close(reader)
    both = guest.open(b"/f", os.O_RDWR)
    os.write(both, b"loop")
    assert os.read(both, 4) == b"loop"


def test_interrupted_fifo_open_takes_its_end_away(guest: Guest) -> None:
    guest.call("mknod", b"/f", stat.S_IFIFO | 0o600, 0)
    blocking = guest.call("openat", AT_FDCWD, b"/f", os.O_WRONLY, 0)
    blocking.close()
    assert not isinstance(guest.call("openat", AT_FDCWD, b"/f", os.O_RDONLY, 0), int)


def test_foreign_descriptors_are_described(guest: Guest) -> None:
    reader, writer = os.pipe()
    try:
        record = guest.fstat(reader)
        assert (record[1], stat.S_ISFIFO(record[3])) == (os.fstat(reader).st_ino, True)
        assert guest.io.describe(guest.thread, reader).kind is FileKind.FOREIGN
        assert guest.call("ioctl", reader, 0x541B, 0) == "forward"
    finally:
        os.close(reader)
        os.close(writer)
    assert guest.fstat(reader) == (-Errno.EBADF,)


def test_native_writes_are_seen_by_stat(guest: Guest) -> None:
    fd = guest.open(b"/file", os.O_RDWR)
    guest.call("utimensat", AT_FDCWD, b"/file", struct.pack("<qqqq", 1, 0, 2, 0), 0)
    assert guest.stat(b"/file")[13] == 2
    os.pwrite(fd, b"longer than before", 0)
    record = guest.stat(b"/file")
    assert record[8] == 18
    assert record[13] > 2
    os.ftruncate(fd, 3)
    assert guest.fstat(fd)[8] == 3
    assert guest.read_file(b"/file") == b"lon"


def events(fd: int) -> list[tuple[int, int, bytes]]:
    data = os.read(fd, 4096)
    found = []
    while data:
        number, mask, _, length = struct.unpack_from("<iIII", data)
        found.append((number, mask, data[16 : 16 + length].rstrip(b"\0")))
        data = data[16 + length :]
    return found


def test_inotify_tells_names_and_attributes(guest: Guest) -> None:
    fd = guest.call("inotify_init1", os.O_NONBLOCK)
    guest.call("mkdir", b"/d", 0o755)
    watch = guest.call("inotify_add_watch", fd, b"/d", 0xFFF)
    assert watch == 1
    guest.write_file(b"/d/a", b"")
    guest.call("chmod", b"/d/a", 0o600)
    guest.call("rename", b"/d/a", b"/d/b")
    guest.call("unlink", b"/d/b")
    masks = [(mask, name) for _, mask, name in events(fd)]
    assert masks == [(0x100, b"a"), (0x20, b"a"), (0x8, b"a"), (0x4, b"a"), (0x40, b"a"), (0x80, b"b"), (0x200, b"b")]
    assert guest.call("inotify_rm_watch", fd, watch) == 0
    assert guest.call("inotify_rm_watch", fd, watch) == -Errno.EINVAL


def test_signals_of_a_directory_end_with_the_right_to_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And with the process, of which nothing is kept."""
    sent: list[int] = []
    (tmp_path / "lower").mkdir()
    guest = Guest([(b"/", "cow", bytes(tmp_path / "lower"))], [(bytes(tmp_path), Mode.RO)], 1000, 1000)
    guest.files.root.change(mode=0o777)
    monkeypatch.setattr(guest.host, "process_signal", lambda _pid, _tid, number: sent.append(number))
    guest.executive.processes = SimpleNamespace(on_process_exit=[])
    process = guest.thread.process
    process.threads = {1: guest.thread}
    guest.call("mkdir", b"/d", 0o777)
    guest.call("chmod", b"/d", 0o777)
    fd = guest.open(b"/d")
    multishot = -0x80000000
    assert guest.call("fcntl", fd, 1026, multishot | 4) == 0
    guest.write_file(b"/d/a", b"")
    assert sent == [29]
    mine, process.credentials = process.credentials, Credentials(65533, 65533)
    assert guest.write_file(b"/d/b", b"") == 0
    process.credentials = mine
    guest.write_file(b"/d/c", b"")
    assert sent == [29]
    assert guest.call("fcntl", fd, 1026, multishot | 4) == 0
    inode = guest.executive.io.inode_of(guest.thread, fd)
    assert len(inode.watches) == 1
    for exited in guest.executive.processes.on_process_exit:
        exited(process)
    assert inode.watches is None
    guest.close_all()
