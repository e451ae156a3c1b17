"""Random sequences of file operations on each kind of volume, against the same operations on a real directory.

The oracle is the kernel: results, errnos, what stat says and the final tree must agree. Both sides start from equal trees and work in a
directory PREFIX levels down, so that no number of ".." (a chain of links included) leads out of the test's own directory.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pylibos.abi.files import AT_FDCWD, RENAME_EXCHANGE, RENAME_NOREPLACE
from pylibos.emulation.security.credentials import Credentials
from pylibos.monitor.policy import Mode
from tests.support.vfs_guest import Buffer, Guest

USER = 1234
"""An unprivileged identity for the runs as root."""
PREFIX = b"/".join([b"p"] * 60)
NAMES = [b"a", b"b", b"c", b"d"]
_libc = ctypes.CDLL(None, use_errno=True)


def build(root: bytes) -> None:
    """The tree both sides start from, inside root/PREFIX."""
    top = root + b"/" + PREFIX
    os.makedirs(top)
    os.mkdir(top + b"/a")
    os.mkdir(top + b"/a/b")
    os.mkdir(top + b"/d", 0o700)
    for name, data in ((b"/a/c", b"first"), (b"/b", b"second file"), (b"/d/a", b"")):
        with open(top + name, "wb") as file:
            file.write(data)
    os.link(top + b"/b", top + b"/d/b")
    os.symlink(b"../b", top + b"/a/d")
    os.symlink(b"a", top + b"/c")


# -- paths and operations -------------------------------------------------------------------------------------------------------
component = st.sampled_from([*NAMES, *NAMES, *NAMES, b"..", b"."])
path = st.builds(
    lambda parts, slash, name: b"/".join([*parts, name]) + slash,
    st.lists(component, max_size=2),
    st.sampled_from([b"", b"", b"", b"", b"/"]),
    st.sampled_from([*NAMES, *NAMES, *NAMES, *NAMES, b"..", b"."]),
)
flags = st.sampled_from(
    [
        os.O_RDONLY,
        os.O_WRONLY,
        os.O_RDWR,
        os.O_WRONLY | os.O_CREAT,
        os.O_RDWR | os.O_CREAT | os.O_EXCL,
        os.O_WRONLY | os.O_TRUNC,
        os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
        os.O_WRONLY | os.O_APPEND,
        os.O_DIRECTORY,
        os.O_NOFOLLOW,
        os.O_PATH,
        os.O_PATH | os.O_NOFOLLOW,
        os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW,
    ]
)
mode = st.sampled_from([0o644, 0o600, 0o755, 0o4755, 0o2755, 0o1777, 0o000, 0o400])
operation = st.one_of(
    st.tuples(st.just("mkdir"), path, mode),
    st.tuples(st.just("rmdir"), path),
    st.tuples(st.just("unlink"), path),
    st.tuples(st.just("rename"), path, path, st.sampled_from([0, 0, 0, RENAME_NOREPLACE, RENAME_EXCHANGE])),
    st.tuples(st.just("link"), path, path, st.booleans()),
    st.tuples(st.just("symlink"), path, path),
    st.tuples(st.just("chmod"), path, mode),
    st.tuples(st.just("truncate"), path, st.integers(-1, 20)),
    st.tuples(st.just("open"), path, flags, st.binary(max_size=6)),
    st.tuples(st.just("stat"), path, st.booleans()),
    st.tuples(st.just("readlink"), path),
    st.tuples(st.just("access"), path, st.integers(0, 7)),
    st.tuples(st.just("list"), path),
    st.tuples(st.just("utime"), path, st.integers(0, 2_000_000_000)),
    st.tuples(st.just("mknod"), path, st.sampled_from([stat.S_IFIFO, stat.S_IFSOCK, stat.S_IFREG, stat.S_IFDIR])),
    st.tuples(st.just("chdir"), path),
    st.tuples(st.just("chown"), path, st.sampled_from([-1, 0, USER]), st.sampled_from([-1, 0, USER])),
)


def picture(record: os.stat_result | tuple[int, ...]) -> tuple[Any, ...]:
    """What both sides must agree on: type and mode, links, owner, and the size of what has one."""
    if isinstance(record, os.stat_result):
        record = (0, 0, record.st_nlink, record.st_mode, record.st_uid, record.st_gid, 0, 0, record.st_size)
    size = None if stat.S_ISDIR(record[3]) else record[8]
    return (oct(record[3]), record[2], record[4], record[5], size)


@contextlib.contextmanager
def identity(user: int | None) -> Iterator[None]:
    """Be user for a while (root only); None stays as it is."""
    if user is None:
        yield
        return
    groups = os.getgroups()
    os.setgroups([user])
    os.setresgid(user, user, 0)
    os.setresuid(user, user, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)
        os.setgroups(groups)


class Host:
    """The oracle: the kernel, in root/PREFIX."""

    def __init__(self, root: bytes, user: int | None = None) -> None:
        self.cwd = os.open(root + b"/" + PREFIX, os.O_RDONLY | os.O_DIRECTORY)
        self.home = self.cwd
        self.user = user

    def run(self, name: str, *arguments: Any) -> Any:
        try:
            method: Callable[..., Any] = getattr(self, name)
            with identity(self.user):
                return method(*arguments)
        except OSError as error:
            return -(error.errno or 0)

    def chown(self, where: bytes, uid: int, gid: int) -> None:
        os.chown(where, uid, gid, dir_fd=self.cwd)

    def mkdir(self, where: bytes, bits: int) -> None:
        os.mkdir(where, bits, dir_fd=self.cwd)

    def rmdir(self, where: bytes) -> None:
        os.rmdir(where, dir_fd=self.cwd)

    def unlink(self, where: bytes) -> None:
        os.unlink(where, dir_fd=self.cwd)

    def rename(self, source: bytes, target: bytes, how: int) -> None:
        if _libc.renameat2(self.cwd, source, self.cwd, target, how) != 0:
            raise OSError(ctypes.get_errno(), "renameat2")

    def link(self, source: bytes, target: bytes, follow: bool) -> None:
        if _libc.linkat(self.cwd, source, self.cwd, target, 0x400 if follow else 0) != 0:
            raise OSError(ctypes.get_errno(), "linkat")

    def symlink(self, target: bytes, where: bytes) -> None:
        os.symlink(target, where, dir_fd=self.cwd)

    def chmod(self, where: bytes, bits: int) -> None:
        os.chmod(where, bits, dir_fd=self.cwd)

    def truncate(self, where: bytes, size: int) -> None:
        os.fchdir(self.cwd)
        os.truncate(where, size)

    def open(self, where: bytes, how: int, data: bytes) -> Any:
        fd = os.open(where, how | os.O_NONBLOCK, 0o644, dir_fd=self.cwd)
        try:
            return use(fd, how, data)
        finally:
            os.close(fd)

    def stat(self, where: bytes, follow: bool) -> Any:
        return picture(os.stat(where, dir_fd=self.cwd, follow_symlinks=follow))

    def readlink(self, where: bytes) -> bytes:
        return os.readlink(where, dir_fd=self.cwd)

    def access(self, where: bytes, bits: int) -> None:
        if _libc.faccessat(self.cwd, where, bits, 0) != 0:
            raise OSError(ctypes.get_errno(), "faccessat")

    def list(self, where: bytes) -> Any:
        fd = os.open(where, os.O_RDONLY | os.O_DIRECTORY, dir_fd=self.cwd)
        try:
            return sorted(name.encode() for name in os.listdir(fd))
        finally:
            os.close(fd)

    def utime(self, where: bytes, seconds: int) -> Any:
        os.utime(where, ns=(seconds * 10**9 + 5, seconds * 10**9 + 7), dir_fd=self.cwd)
        record = os.stat(where, dir_fd=self.cwd)
        return (record.st_atime_ns, record.st_mtime_ns)

    def mknod(self, where: bytes, kind: int) -> None:
        os.mknod(where, kind | 0o644, dir_fd=self.cwd)

    def chdir(self, where: bytes) -> None:
        os.fchdir(self.cwd)
        os.chdir(where)
        fd = os.open(b".", os.O_PATH)
        self.leave()
        self.cwd = fd

    def leave(self) -> None:
        if self.cwd != self.home:
            os.close(self.cwd)
        self.cwd = self.home


def use(fd: int, how: int, data: bytes) -> Any:
    """Write or read through a new descriptor; what came of it."""
    if how & os.O_PATH or stat.S_ISDIR(os.fstat(fd).st_mode):
        return "opened"
    if how & 3:
        try:
            return os.write(fd, data)
        except OSError as error:
            return error.errno
    try:
        return os.read(fd, 100)
    except OSError as error:
        return error.errno


def locked(bits: int) -> bool:
    """Whether an ordinary user must open up what they have locked themselves out of, to compare it. On both sides, in the same order."""
    return os.getuid() != 0 and bits & 0o700 != 0o700


class View:
    """The same operations through the system call handlers."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest
        self.leave()

    def leave(self) -> None:
        self.guest.call("chdir", b"/" + PREFIX)

    def run(self, name: str, *arguments: Any) -> Any:
        method: Callable[..., Any] | None = getattr(self, "do_" + name, None)
        result = method(*arguments) if method is not None else self.guest.call(name, *arguments)
        return None if isinstance(result, int) and result == 0 and name != "open" else result

    def do_rename(self, source: bytes, target: bytes, how: int) -> Any:
        return self.guest.call("renameat2", AT_FDCWD, source, AT_FDCWD, target, how)

    def do_link(self, source: bytes, target: bytes, follow: bool) -> Any:
        return self.guest.call("linkat", AT_FDCWD, source, AT_FDCWD, target, 0x400 if follow else 0)

    def do_open(self, where: bytes, how: int, data: bytes) -> Any:
        fd = self.guest.open(where, how | os.O_NONBLOCK, 0o644)
        if fd < 0:
            return fd
        try:
            if self.guest.fstat(fd)[3] >> 12 == 4:
                return "opened"
            return use(fd, how, data)
        finally:
            self.guest.close(fd)

    def do_stat(self, where: bytes, follow: bool) -> Any:
        record = self.guest.stat(where, follow)
        return record[0] if len(record) == 1 else picture(record)

    def do_readlink(self, where: bytes) -> Any:
        buffer = Buffer(100)
        length = self.guest.call("readlink", where, buffer, 100)
        return buffer.data[:length] if length >= 0 else length

    def do_list(self, where: bytes) -> Any:
        names = self.guest.names(where, 100)
        return names if isinstance(names, int) else sorted(name for name, _, _ in names if name not in (b".", b".."))

    def do_utime(self, where: bytes, seconds: int) -> Any:
        times = seconds.to_bytes(8, "little") + (5).to_bytes(8, "little") + seconds.to_bytes(8, "little") + (7).to_bytes(8, "little")
        result = self.guest.call("utimensat", AT_FDCWD, where, times, 0)
        if result != 0:
            return result
        record = self.guest.stat(where)
        return (record[11] * 10**9 + record[12], record[13] * 10**9 + record[14])

    def do_mknod(self, where: bytes, kind: int) -> Any:
        return self.guest.call("mknod", where, kind | 0o644, 0)

    def tree(self, where: bytes) -> dict[bytes, Any]:
        """Every name below with its picture and content."""
        found: dict[bytes, Any] = {}
        for name in self.do_list(where):
            here = where + b"/" + name
            record = self.do_stat(here, False)
            content: Any = None
            if stat.S_ISREG(int(record[0], 8)):
                if locked(int(record[0], 8)):
                    self.guest.call("chmod", here, 0o600)
                content = self.guest.read_file(here)
            elif record[0].startswith("0o12"):
                content = self.do_readlink(here)
            found[here] = (record, content)
            if record[0].startswith("0o4"):
                if locked(int(record[0], 8)):
                    self.guest.call("chmod", here, 0o700)
                found.update(self.tree(here))
        return found


def host_tree(top: bytes, where: bytes) -> dict[bytes, Any]:
    """The same of a real directory."""
    found: dict[bytes, Any] = {}
    for name in sorted(os.listdir(top + b"/" + where)):
        here = where + b"/" + name
        record = picture(os.lstat(top + b"/" + here))
        content: Any = None
        if stat.S_ISREG(int(record[0], 8)):
            if locked(int(record[0], 8)):
                os.chmod(top + b"/" + here, 0o600)
            with open(top + b"/" + here, "rb") as file:
                content = file.read()
        elif record[0].startswith("0o12"):
            content = os.readlink(top + b"/" + here)
        found[here] = (record, content)
        if record[0].startswith("0o4"):
            if locked(int(record[0], 8)):
                os.chmod(top + b"/" + here, 0o700)
            found.update(host_tree(top, here))
    return found


@contextlib.contextmanager
def scratch() -> Iterator[bytes]:
    """A directory of our own, removed whatever modes its content has."""
    top = tempfile.mkdtemp(prefix="pylibos-test-").encode()
    umask = os.umask(0o022)
    try:
        yield top
    finally:
        os.umask(umask)
        for directory, _, _ in os.walk(top):
            os.chmod(directory, 0o700)
        shutil.rmtree(top)


def make_guest(kind: str, lower: bytes, user: int | None) -> Guest:
    uid, gid = (os.getuid(), os.getgid()) if user is None else (user, user)
    if kind == "tmpfs":
        guest = Guest([(b"/", "tmpfs", None)], [(lower, Mode.RO)], os.getuid(), os.getgid())
        copy_in(guest, lower, b"", {})
        guest.process.credentials = Credentials(uid, gid, (gid,))
        return guest
    if kind == "cow":
        return Guest([(b"/", "cow", lower)], [(lower, Mode.RO)], uid, gid)
    return Guest([(b"/", "rw", lower)], [(lower, Mode.RW)], os.getuid(), os.getgid())


def copy_in(guest: Guest, lower: bytes, where: bytes, seen: dict[int, bytes]) -> None:
    """Build the starting tree through system calls. seen: inode number -> path of the files made already."""
    for name in sorted(os.listdir(lower + where + b"/")):
        here = where + b"/" + name
        record = os.lstat(lower + here)
        if record.st_ino in seen:
            result = guest.call("link", seen[record.st_ino], here)
        elif stat.S_ISDIR(record.st_mode):
            result = guest.call("mkdir", here, 0o755) or guest.call("chmod", here, record.st_mode & 0o7777)
            copy_in(guest, lower, here, seen)
        elif stat.S_ISLNK(record.st_mode):
            result = guest.call("symlink", os.readlink(lower + here), here)
        else:
            with open(lower + here, "rb") as file:
                result = guest.write_file(here, file.read()) or guest.call("chmod", here, record.st_mode & 0o7777)
            seen[record.st_ino] = here
        result = result or guest.call("lchown", here, record.st_uid, record.st_gid)
        assert result == 0, (here, result)


def give(root: bytes) -> None:
    """Mixed ownership for the runs of an unprivileged user."""
    top = root + b"/" + PREFIX
    for name, uid, bits in (
        (b"", USER, 0o755), (b"/a", USER, 0o755), (b"/a/b", 0, 0o1777), (b"/d", USER, 0o2775), (b"/b", USER, 0o644), (b"/a/c", 0, 0o644),
    ):  # fmt: skip
        os.chown(top + name, uid, 0 if name == b"/d" else uid)
        os.chmod(top + name, bits)
    os.mkdir(top + b"/a/b/a", 0o711)
    with open(top + b"/a/b/a/b", "wb") as file:
        file.write(b"root's")


def check_sequence(kind: str, operations: list[tuple[Any, ...]], user: int | None = None) -> None:
    with scratch() as top:
        build(top + b"/real")
        build(top + b"/lower")
        if user is not None:
            give(top + b"/real")
            give(top + b"/lower")
        guest = make_guest(kind, top + b"/lower", user)
        host = Host(top + b"/real", user)
        view = View(guest)
        try:
            for step, (name, *arguments) in enumerate(operations):
                expected = host.run(name, *arguments)
                result = view.run(name, *arguments)
                assert result == expected, (step, name, arguments)
            view.leave()
            host.leave()
            guest.process.credentials = Credentials(os.getuid(), os.getgid(), ())
            os.fchdir(host.home)
            assert view.tree(b".") == host_tree(b".", b".")
            untouched = top + b"/lower"
            if kind == "cow" and user is None:
                build(top + b"/again")
                assert host_tree(untouched + b"/" + PREFIX, b".") == host_tree(top + b"/again/" + PREFIX, b".")
        finally:
            os.chdir("/")
            os.close(host.home)
            guest.close_all()


def links_are_protected() -> bool:
    """Whether the oracle has the rule the view always has (a system without systemd may not)."""
    with open("/proc/sys/fs/protected_hardlinks", encoding="ascii") as file:
        return file.read().strip() == "1"


def run_examples(kind: str, user: int | None) -> None:
    @settings(max_examples=int(os.environ.get("PYLIBOS_EXAMPLES", "40")), suppress_health_check=list(HealthCheck))
    @given(st.lists(operation, min_size=1, max_size=25))
    def run(operations: list[tuple[Any, ...]]) -> None:
        check_sequence(kind, operations, user)

    here = os.getcwd()
    try:
        run()
    finally:
        os.chdir(here)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["cow", "tmpfs", "rw"])
def test_sequences_agree_with_the_kernel(kind: str) -> None:
    run_examples(kind, None)


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="needs root to be somebody else for a while")
@pytest.mark.skipif(not links_are_protected(), reason="the oracle would allow hard links to anything")
@pytest.mark.parametrize("kind", ["cow", "tmpfs"])
def test_unprivileged_sequences_agree_with_the_kernel(kind: str) -> None:
    run_examples(kind, USER)
