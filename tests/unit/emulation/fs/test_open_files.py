"""Open files that outlive their names, new files without one, limits met at open and truncate."""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
import struct
from pathlib import Path

import pytest

from pylibos.abi.errno import Errno
from pylibos.abi.files import AT_FDCWD, AT_SYMLINK_FOLLOW, UTIME_OMIT
from pylibos.emulation.dispatch import dispatch
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.outcome import Install
from pylibos.monitor.host_abi import HostError
from tests.support.vfs_guest import NUMBERS, Buffer, Guest

MODE = 3



def test_an_open_host_file_is_changed_itself_whoever_has_its_name_now(guest: Guest, writable: Path) -> None:
    fd = guest.open(b"/work/f", os.O_RDWR | os.O_CREAT)
    (writable / "f").rename(writable / "moved")
    (writable / "f").write_bytes(b"another")
    assert guest.call("fchmod", fd, 0o600) == 0
    assert stat.S_IMODE((writable / "moved").stat().st_mode) == 0o600
    assert stat.S_IMODE((writable / "f").stat().st_mode) == 0o644
    assert guest.call("utimensat", fd, None, b"\5" + bytes(15) + b"\7" + bytes(15), 0) == 0
    assert (writable / "moved").stat().st_mtime == 7
    (writable / "moved").unlink()
    assert guest.call("fchmod", fd, 0o640) == 0
    assert guest.fstat(fd)[2:4] == (0, stat.S_IFREG | 0o640)


def test_a_host_file_without_a_name_is_opened_again_through_its_descriptor(guest: Guest, writable: Path) -> None:
    fd = guest.open(b"/work/f", os.O_RDWR | os.O_CREAT)
    os.write(fd, b"kept")
    assert guest.call("unlink", b"/work/f") == 0
    (writable / "f").write_bytes(b"another")
    inode = guest.io.inode_of(guest.thread, fd)
    assert inode is not None
    inode.opened_by(os.getpid(), fd)  # type: ignore[attr-defined]  # as a /proc/PID/fd link does
    again = guest.finish(guest.io.open(guest.thread, inode, os.O_RDONLY, b""))
    assert os.read(again, 10) == b"kept"
    os.dup2(guest.open(b"/work/f"), fd)
    with pytest.raises((SyscallError, HostError)) as refused:
        guest.finish(guest.io.open(guest.thread, inode, os.O_RDONLY, b""))
    assert getattr(refused.value, "errno", 0) in (errno.ENOENT, errno.EACCES)


def test_a_file_without_a_name_on_the_host_gets_one(guest: Guest, writable: Path) -> None:
    fd = guest.open(b"/work", os.O_TMPFILE | os.O_RDWR, 0o640)
    os.write(fd, b"secret")
    assert list(writable.iterdir()) == []
    inode = guest.io.inode_of(guest.thread, fd)
    assert inode is not None
    inode.opened_by(os.getpid(), fd)  # type: ignore[attr-defined]
    directory = guest.files.find(guest.thread, None, b"/work")
    directory.link(b"linked", inode)  # type: ignore[attr-defined]
    assert (writable / "linked").read_bytes() == b"secret"
    assert stat.S_IMODE((writable / "linked").stat().st_mode) == 0o640
    assert guest.fstat(fd)[2] == 1


def test_an_exclusive_file_without_a_name_never_gets_one(guest: Guest) -> None:
    fd = guest.open(b"/tmp", os.O_TMPFILE | os.O_RDWR | os.O_EXCL)
    assert guest.call("linkat", fd, b"", AT_FDCWD, b"/tmp/never", 0x1000) == -Errno.ENOENT
    other = guest.open(b"/tmp", os.O_TMPFILE | os.O_RDWR)
    assert guest.call("linkat", other, b"", AT_FDCWD, b"/tmp/some", 0x1000 | AT_SYMLINK_FOLLOW) == 0


def test_a_new_file_is_taken_back_when_its_creator_has_no_room(guest: Guest, writable: Path) -> None:
    for path in (b"/work/new", b"/tmp/new"):
        guest.memory.write(0x10000, path + b"\0")
        answer = dispatch(guest.thread, NUMBERS["open"], (0x10000, os.O_CREAT | os.O_WRONLY, 0o600, 0, 0, 0))
        assert isinstance(answer, Install)
        assert guest.stat(path)[0] >= 0
        assert answer.failed is not None
        answer.failed(errno.EMFILE)
        guest.host.stream_close(answer.stream)
        assert guest.stat(path) == (-Errno.ENOENT,)
    assert list(writable.iterdir()) == []


def test_access_mode_three_neither_reads_nor_writes(guest: Guest) -> None:
    fd = guest.open(b"/etc/motd", MODE)
    for attempt in (lambda: os.read(fd, 1), lambda: os.write(fd, b"x")):
        with pytest.raises(OSError, match=r"Errno 9\b"):
            attempt()
    assert guest.fstat(fd) == guest.stat(b"/etc/motd")


def test_truncate_obeys_the_size_limit(guest: Guest) -> None:
    assert guest.write_file(b"/tmp/f", b"12345") == 0
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    came: list[int] = []
    before = signal.signal(signal.SIGXFSZ, lambda number, _frame: came.append(number))
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        assert guest.call("truncate", b"/tmp/f", 101) == -Errno.EFBIG
        assert guest.call("truncate", b"/tmp/f", 100) == 0
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)
    assert came == [signal.SIGXFSZ]
    assert guest.stat(b"/tmp/f")[8] == 100


def test_times_left_alone_need_no_file(guest: Guest) -> None:
    omit = (UTIME_OMIT).to_bytes(8, "little")
    assert guest.call("utimensat", AT_FDCWD, b"/missing", bytes(8) + omit + bytes(8) + omit, 0) == 0


def test_a_listing_that_faults_is_read_again(guest: Guest) -> None:
    fd = guest.open(b"/etc", os.O_DIRECTORY)
    assert guest.call("getdents64", fd, 1, 4096) == -Errno.EFAULT
    assert {name for name, *_ in guest.getdents(fd)} == {b".", b"..", b"motd", b"link"}


def test_a_fifo_of_the_host_reaches_host_processes(guest: Guest, writable: Path) -> None:
    assert guest.call("mknod", b"/work/p", stat.S_IFIFO | 0o600, 0) == 0
    assert guest.call("open", b"/work/p", os.O_WRONLY | os.O_NONBLOCK, 0) == -Errno.ENXIO
    reader = os.open(writable / "p", os.O_RDONLY | os.O_NONBLOCK)
    both = guest.open(b"/work/p", os.O_RDWR)
    os.write(both, b"out")
    assert os.read(reader, 8) == b"out"
    os.close(both)
    guest.descriptors.remove(both)
    writer = guest.open(b"/work/p", os.O_WRONLY | os.O_NONBLOCK)
    os.write(writer, b"more")
    assert os.read(reader, 8) == b"more"
    os.close(reader)


def events(fd: int) -> list[tuple[int, bytes]]:
    """(mask, name) of what an inotify descriptor gives now."""
    try:
        data = os.read(fd, 4096)
    except BlockingIOError:
        return []
    found = []
    while data:
        _, mask, _, length = struct.unpack_from("<iIII", data)
        found.append((mask, data[16 : 16 + length].rstrip(b"\0")))
        data = data[16 + length :]
    return found


@pytest.mark.parametrize("directory", [b"/work", b"/tmp"])
def test_native_writes_and_closes_are_told_in_order(guest: Guest, directory: bytes) -> None:
    watch = guest.call("inotify_init1", os.O_NONBLOCK)
    assert guest.call("inotify_add_watch", watch, directory, 0x10E) == 1  # CREATE, CLOSE_WRITE, ATTRIB, MODIFY
    fd = guest.open(directory + b"/f", os.O_RDWR | os.O_CREAT)
    os.write(fd, b"x")
    assert guest.call("fchmod", fd, 0o600) == 0
    guest.close(fd)
    assert guest.call("chmod", directory + b"/f", 0o640) == 0
    assert events(watch) == [(0x100, b"f"), (2, b"f"), (4, b"f"), (8, b"f"), (4, b"f")]
    assert guest.call("inotify_rm_watch", watch, 1) == 0


def test_a_file_open_before_it_is_watched_is_followed_until_the_watch_goes(guest: Guest) -> None:
    fd = guest.open(b"/tmp/f", os.O_RDWR | os.O_CREAT)
    watch = guest.call("inotify_init1", os.O_NONBLOCK)
    before = len(os.listdir("/proc/self/fd"))
    assert guest.call("inotify_add_watch", watch, b"/tmp/f", 2) == 1
    os.write(fd, b"x")
    guest.files.native_changes.relay_all()
    assert events(watch) == [(2, b"")]
    assert guest.call("inotify_rm_watch", watch, 1) == 0
    guest.files.native_changes.relay_all()
    assert len(os.listdir("/proc/self/fd")) == before


def test_read_only_host_files_are_not_spied_on(guest: Guest, lower: Path) -> None:
    watch = guest.call("inotify_init1", os.O_NONBLOCK)
    assert guest.call("inotify_add_watch", watch, b"/etc/motd", 1) == 1
    fd = guest.open(b"/etc/motd")
    (lower / "etc" / "motd").read_bytes()
    guest.files.native_changes.relay_all()
    assert events(watch) == []
    guest.close(fd)


def test_paths_deeper_than_one_call_reaches(guest: Guest, writable: Path) -> None:
    name = b"d" * 200
    here = os.open(writable, os.O_RDONLY)
    for _ in range(25):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    guest.process.fs.cwd = guest.files.find(guest.thread, None, b"/work")
    for _ in range(25):
        assert guest.call("chdir", name) == 0
    assert guest.write_file(b"f", b"deep") == 0
    assert guest.read_file(b"f") == b"deep"
    assert guest.call("getcwd", Buffer(8192), 8192) == -Errno.ENAMETOOLONG
    assert os.listdir(here) == ["f"]
    os.close(here)
