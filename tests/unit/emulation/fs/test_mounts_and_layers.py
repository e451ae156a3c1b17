"""What the kernel-oracle sequences cannot show: several mounts, layers, identity, the path cache."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from pylibos.abi.errno import Errno
from pylibos.abi.files import AT_FDCWD, RENAME_EXCHANGE
from pylibos.emulation.fs import walk_cache
from pylibos.emulation.fs.context import FsContext
from pylibos.emulation.fs.overlay import CowVolume
from tests.support.vfs_guest import Buffer, Guest


def snapshot(root: Path) -> dict[str, tuple[int, bytes]]:
    found = {}
    for path in sorted(root.rglob("*")):
        content = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[str(path)] = (path.lstat().st_mode, content)
    return found


def test_copy_on_write_leaves_the_host_alone(guest: Guest, lower: Path) -> None:
    before = snapshot(lower)
    assert guest.write_file(b"/etc/motd", b"changed") == 0
    assert guest.call("chmod", b"/dir", 0o700) == 0
    assert guest.call("unlink", b"/dir/file") == 0
    assert guest.call("rename", b"/dir", b"/moved") == 0
    assert guest.call("symlink", b"x", b"/etc/new") == 0
    assert snapshot(lower) == before
    assert guest.read_file(b"/etc/motd") == b"changed"
    assert guest.read_file(b"/moved/sub/deep") == b"deep"
    assert guest.read_file(b"/dir/sub/deep") == -Errno.ENOENT


def test_identity_survives_copy_up(guest: Guest) -> None:
    before = guest.stat(b"/etc/motd")
    fd = guest.open(b"/etc/motd")
    assert guest.write_file(b"/etc/motd", b"changed and longer") == 0
    after = guest.stat(b"/etc/motd")
    assert after[:2] == before[:2]
    assert after[8] == 18
    assert guest.fstat(fd) == after  # the old descriptor still names the same inode
    assert os.read(fd, 100) == b"welcome"  # and reads what it was opened on


def test_hard_links_of_the_lower_tree_stay_together(guest: Guest, lower: Path) -> None:
    os.link(lower / "dir" / "file", lower / "dir" / "other")
    assert guest.write_file(b"/dir/file", b"both") == 0
    assert guest.read_file(b"/dir/other") == b"both"
    assert guest.call("unlink", b"/dir/file") == 0
    assert guest.stat(b"/dir/other")[2] == 1
    assert guest.read_file(b"/dir/other") == b"both"


def test_whiteout_and_opaque_directory(guest: Guest) -> None:
    assert guest.call("unlink", b"/dir/sub/deep") == 0
    assert guest.call("rmdir", b"/dir/sub") == 0
    assert guest.call("mkdir", b"/dir/sub", 0o755) == 0
    assert [name for name, _, _ in guest.names(b"/dir/sub")] == [b".", b".."]  # type: ignore[union-attr]
    assert guest.stat(b"/dir/sub/deep") == (-Errno.ENOENT,)


def test_listing_keeps_the_host_order_and_shows_changes_once(guest: Guest, lower: Path) -> None:
    for index in range(50):
        (lower / "dir" / f"n{index}").touch()
    host_order = [entry.encode() for entry in os.listdir(lower / "dir")]
    guest.stat(b"/dir/n7")
    assert [name for name, _, _ in guest.names(b"/dir")][2:] == host_order  # type: ignore[union-attr]
    guest.call("unlink", b"/dir/n7")
    guest.write_file(b"/dir/n8", b"changed")
    guest.write_file(b"/dir/fresh", b"")
    names = [name for name, _, _ in guest.names(b"/dir", 100)]  # type: ignore[union-attr]
    assert sorted(names) == sorted({b".", b"..", b"fresh", *host_order} - {b"n7"})


def test_crossing_mounts(guest: Guest, writable: Path) -> None:
    assert guest.write_file(b"/work/out", b"to the host") == 0
    assert (writable / "out").read_bytes() == b"to the host"
    assert guest.call("rename", b"/work/out", b"/tmp/out") == -Errno.EXDEV
    assert guest.call("link", b"/work/out", b"/out") == -Errno.EXDEV
    assert guest.call("rmdir", b"/work") == -Errno.EBUSY
    assert guest.call("rename", b"/tmp", b"/x") == -Errno.EBUSY
    assert guest.stat(b"/work/..")[:2] == guest.stat(b"/")[:2]
    devices = {guest.stat(path)[0] for path in (b"/", b"/tmp", b"/work", b"/frozen")}
    assert len(devices) == 4


def test_rw_mount_sees_the_hosts_own_changes(guest: Guest, writable: Path) -> None:
    assert guest.stat(b"/work/late") == (-Errno.ENOENT,)
    (writable / "late").write_bytes(b"1")
    assert guest.stat(b"/work/late")[8] == 1
    fd = guest.open(b"/work/late")
    (writable / "late").write_bytes(b"123")
    assert guest.fstat(fd)[8] == 3
    (writable / "late").unlink()
    assert guest.stat(b"/work/late") == (-Errno.ENOENT,)
    assert guest.fstat(fd)[2] == 0


@pytest.mark.parametrize(
    ("call", "arguments"),
    [
        ("unlink", (b"/frozen/etc/motd",)),
        ("mkdir", (b"/frozen/new", 0o755)),
        ("chmod", (b"/frozen/etc", 0o700)),
        ("truncate", (b"/frozen/etc/motd", 0)),
        ("rename", (b"/frozen/etc", b"/frozen/x")),
        ("symlink", (b"x", b"/frozen/x")),
        ("setxattr", (b"/frozen/etc/motd", b"user.a", b"1", 1, 0)),
        ("access", (b"/frozen/etc/motd", 2)),
        ("utimensat", (AT_FDCWD, b"/frozen/etc/motd", None, 0)),
    ],
)
def test_read_only_mount(guest: Guest, call: str, arguments: tuple[int | bytes | None, ...]) -> None:
    assert guest.call(call, *arguments) == -Errno.EROFS
    assert guest.open(b"/frozen/etc/motd", os.O_RDWR) == -Errno.EROFS
    assert guest.open(b"/frozen/new", os.O_WRONLY | os.O_CREAT) == -Errno.EROFS
    assert guest.open(b"/frozen/etc/motd", os.O_RDONLY | os.O_CREAT) > 0


def test_missing_mount_points_are_made_in_memory(guest: Guest, lower: Path) -> None:
    assert stat.S_ISDIR(guest.stat(b"/work")[3])
    assert not (lower / "work").exists()


def test_repeated_look_ups_stay_right(guest: Guest) -> None:
    """Every way a name can change its meaning, with the path cached before and asked after."""
    ask = guest.stat
    assert ask(b"/tmp/a") == (-Errno.ENOENT,)
    guest.write_file(b"/tmp/a", b"1")
    assert ask(b"/tmp/a")[8] == 1
    guest.call("rename", b"/tmp/a", b"/tmp/b")
    assert ask(b"/tmp/a") == (-Errno.ENOENT,)
    assert ask(b"/tmp/b")[8] == 1
    guest.call("symlink", b"b", b"/tmp/l")
    assert ask(b"/tmp/l")[8] == 1
    guest.call("unlink", b"/tmp/l")
    guest.write_file(b"/tmp/c", b"123")
    guest.call("symlink", b"c", b"/tmp/l")
    assert ask(b"/tmp/l")[8] == 3
    guest.call("mkdir", b"/tmp/d", 0o755)
    guest.call("mkdir", b"/tmp/d/e", 0o755)
    assert ask(b"/tmp/d/e/../../c")[8] == 3
    guest.call("rename", b"/tmp/d/e", b"/tmp/e")
    assert ask(b"/tmp/d/e/../../c") == (-Errno.ENOENT,)
    assert ask(b"/tmp/d/x") == (-Errno.ENOENT,)
    guest.call("rmdir", b"/tmp/d")
    guest.call("rename", b"/tmp/e", b"/tmp/d")
    guest.write_file(b"/tmp/d/x", b"12")
    assert ask(b"/tmp/d/x")[8] == 2
    guest.call("renameat2", AT_FDCWD, b"/tmp/b", AT_FDCWD, b"/tmp/c", RENAME_EXCHANGE)
    assert (ask(b"/tmp/b")[8], ask(b"/tmp/c")[8]) == (3, 1)


def test_cache_is_bounded(guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk_cache, "CAPACITY", 10)
    for index in range(35):
        assert guest.stat(b"/tmp/none%d" % index) == (-Errno.ENOENT,)
    assert guest.files.cache.count <= 10
    assert sum(len(table) for tables in guest.files.cache.domains.values() for table in tables) <= 10


def test_forgotten_lower_names_come_back_the_same(guest: Guest) -> None:
    root = guest.files.root.volume
    assert isinstance(root, CowVolume)
    before = guest.stat(b"/dir/sub/deep"), guest.stat(b"/etc/motd")
    guest.write_file(b"/dir/sub/new", b"kept")
    guest.call("chmod", b"/etc/motd", 0o600)
    guest.files.cache.clear()
    root.trim()
    assert guest.stat(b"/dir/sub/deep") == before[0]
    assert guest.stat(b"/etc/motd")[:2] == before[1][:2]
    assert guest.stat(b"/etc/motd")[3] & 0o777 == 0o600
    assert guest.read_file(b"/dir/sub/new") == b"kept"
    assert guest.stat(b"/work/..")[:2] == guest.stat(b"/")[:2]


def test_chroot_and_getcwd(guest: Guest) -> None:
    if os.getuid() != 0:
        pytest.skip("the guest has the invoker's uid")
    assert guest.call("chdir", b"/dir/sub") == 0
    buffer = Buffer(64)
    assert guest.call("getcwd", buffer, 64) == 9
    assert buffer.data.startswith(b"/dir/sub\0")
    assert guest.call("getcwd", buffer, 8) == -Errno.ERANGE
    assert guest.call("chroot", b"/dir") == 0
    assert guest.call("getcwd", buffer, 64) == 5
    assert guest.stat(b"/../../sub/deep")[8] == 4
    assert guest.stat(b"/etc/motd") == (-Errno.ENOENT,)
    assert guest.call("mkdir", b"/gone", 0o755) == 0
    assert guest.call("chdir", b"/gone") == 0
    assert guest.call("rmdir", b"/gone") == 0
    assert guest.call("getcwd", buffer, 64) == -Errno.ENOENT
    assert guest.write_file(b"x", b"") == -Errno.ENOENT


def test_context_copy_is_independent(guest: Guest) -> None:
    context = FsContext(guest.files.root, umask=0o77)
    other = context.copy()
    other.umask = 0
    other.cwd = guest.files.find(guest.thread, None, b"/tmp")
    assert (context.umask, context.cwd) == (0o77, guest.files.root)
