"""Random changes to a file system, and after each what the engine's own table says against what an uncached look at the files says.

The table is the compiled one (c_shim/names.c) with the calling process as its guest, so that what is checked includes the arguments it
takes a call apart by and the bytes it writes. The oracle walks the path anew, builds every record anew and never looks into a cache.
"""

from __future__ import annotations

import fcntl
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pylibos.tracer
from pylibos.abi.errno import Errno
from pylibos.abi.files import AT_EACCESS, AT_FDCWD, AT_SYMLINK_NOFOLLOW, O_NOFOLLOW, O_PATH, O_TMPFILE_BIT
from pylibos.emulation.changes import CONTEXT_CHANGES
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.fs.context import FsContext
from pylibos.emulation.fs.inode import Inode
from pylibos.emulation.fs.permission import permitted, permitted_real
from pylibos.emulation.fs.published import PublishedNames
from pylibos.emulation.fs.walk import Walk, walk
from pylibos.emulation.security.credentials import Credentials
from pylibos.emulation.syscalls.sys_stat import _statx
from pylibos.monitor.policy import Mode
from tests.support.vfs_guest import NUMBERS, Buffer, Guest

_named = sys._xoptions.get("pylibos_build")
if not any((Path(place) / "_shim.abi3.so").exists() for place in (str(_named), *pylibos.tracer.__path__)):
    pytest.skip("the C parts are not compiled", allow_module_level=True)

from pylibos.runtime.names import ShimNames  # noqa: E402
from pylibos.tracer.native import ffi, lib  # noqa: E402

USER = 1234
ROOM = 300
UNTOUCHED = b"\xa5" * ROOM


class Loop:
    """The part of the tracer that ShimNames fills."""

    def __init__(self) -> None:
        self.loop = ffi.new("struct shim_loop *")

    def answer_names(self, number: int, fields: dict[str, int]) -> None:
        for name, value in fields.items():
            setattr(self.loop.names[number], name, value)


class World:
    """One sandbox with the engine's table beside it; the guest task is this process."""

    def __init__(self, root: bytes, *, sources: int = 100, writable: bytes = b"") -> None:
        os.makedirs(root + b"/a/b")
        os.mkdir(root + b"/d", 0o711)
        for name, data in ((b"/a/c", b"first"), (b"/b", b"second file"), (b"/d/a", b"")):
            with open(root + name, "wb") as file:
                file.write(data)
        os.link(root + b"/b", root + b"/d/b")
        os.symlink(b"../b", root + b"/a/d")
        os.symlink(b"a", root + b"/c")
        plan: list[Any] = [(b"/", "cow", root), (b"/d/t", "tmpfs", None)]
        if writable:
            plan.append((writable, "rw", root))
        self.guest = Guest(plan, [(root, Mode.RW if writable else Mode.RO)], uid=0, gid=0)
        self.engine = Loop()
        tracer: Any = self.engine
        self.guest.files.cache.published = PublishedNames(ShimNames(tracer, int), sources)
        self.other: Any = None
        self.answered = self.descriptors_answered = 0
        self.held: list[int] = []

    def close(self) -> None:
        lib.shim_names_open(ffi.NULL)
        self.guest.close_all()

    # -- asking -------------------------------------------------------------------------------------------------------------
    def ask(self, name: str, *arguments: int | bytes | None) -> None:
        """One query of the engine's table, checked against the oracle; then of Python, which publishes. None: the result's buffer."""
        text = next(argument for argument in arguments if isinstance(argument, bytes))
        path = ffi.new("char[]", text)
        out = ffi.new("char[]", UNTOUCHED)
        raw = ffi.new("uint64_t[6]")
        lib.shim_descriptor_keep(0, 0, ffi.NULL)
        for index, argument in enumerate(arguments):
            where = path if isinstance(argument, bytes) else out
            raw[index] = argument & ((1 << 64) - 1) if isinstance(argument, int) else int(ffi.cast("uint64_t", where))
        value = ffi.new("int64_t *")
        if lib.shim_names_answer(self.engine.loop, 0, os.getpid(), NUMBERS[name], raw, path, len(text), value):
            self.answered += 1
            numbers = [argument if isinstance(argument, int) else 0 for argument in arguments]
            if name in {"open", "openat"} and value[0] >= 0:
                self.opened(text, value[0])
                return
            expected, written = self.truth(name, text, numbers)
            assert (name, text, value[0]) == (name, text, expected)
            assert bytes(ffi.buffer(out, len(written))) == written
            assert bytes(ffi.buffer(out, ROOM))[len(written) :] == UNTOUCHED[len(written) :]
        answer = self.guest.call(name, *(Buffer(ROOM) if argument is None else argument for argument in arguments))
        if name in {"open", "openat"} and answer >= 0:
            self.ask_descriptor(answer)
            self.guest.close(answer)

    def opened(self, path: bytes, fd: int) -> None:
        """The table has opened a file: it is the right one, and the caller may read it. Then Python opens it, too."""
        inode = self.find(path)
        assert inode is not None
        assert inode.is_regular
        assert permitted(inode, self.guest.process.credentials, 4)
        assert self.guest.io.inodes[os.fstat(fd).st_dev, os.fstat(fd).st_ino] is inode
        again = self.guest.open(path)
        assert os.read(fd, 100) == os.read(again, 100)
        assert os.path.samestat(os.fstat(fd), os.fstat(again))
        self.guest.close(again)
        self.ask_descriptor(fd)
        os.close(fd)

    def ask_descriptor(self, fd: int) -> None:
        """fstat of a descriptor, by the table and by Python."""
        out = ffi.new("char[]", UNTOUCHED)
        raw = ffi.new("uint64_t[6]", [fd, int(ffi.cast("uint64_t", out)), 0, 0, 0, 0])
        value = ffi.new("int64_t *")
        for _ in range(2):
            lib.shim_descriptor_keep(0, 0, ffi.NULL)
            if lib.shim_names_answer(self.engine.loop, 0, os.getpid(), NUMBERS["fstat"], raw, b"", 2**64 - 1, value):
                self.descriptors_answered += 1
                attributes = self.guest.host.descriptor_attributes(os.getpid(), fd)
                inode = self.guest.io.inodes[attributes[:2]]
                inode.refresh()
                assert value[0] == 0
                assert bytes(ffi.buffer(out, 144)) == inode.pack_record()
            self.guest.fstat(fd)

    def find(self, path: bytes) -> Inode | None:
        context = self.guest.process.fs
        return walk(self.guest.thread, context.cwd, context.root, path, True, 0, Walk()).inode

    def truth(self, name: str, path: bytes, numbers: list[int]) -> tuple[int, bytes]:
        """The answer to a call, and the bytes it writes."""
        follow = name not in {"lstat", "readlink", "readlinkat"}
        if name in {"newfstatat", "faccessat2"}:
            follow = not numbers[3] & AT_SYMLINK_NOFOLLOW
        elif name == "statx":
            follow = not numbers[2] & AT_SYMLINK_NOFOLLOW
        elif name == "openat":
            follow = not numbers[2] & O_NOFOLLOW
        context = self.guest.process.fs
        own = self.guest.process.credentials
        if "access" in name and not (name == "faccessat2" and numbers[3] & AT_EACCESS):
            self.guest.process.credentials = own.by_real_ids()
        try:
            inode = walk(self.guest.thread, context.cwd, context.root, path, follow, 0, Walk()).inode
        except SyscallError as error:
            return -int(error.errno), b""
        finally:
            self.guest.process.credentials = own
        if inode is None:
            return -Errno.ENOENT, b""
        inode.refresh()
        if "access" in name:
            flags = numbers[3] if name == "faccessat2" else 0
            return self.access(inode, numbers[1] if name == "access" else numbers[2], flags), b""
        if "readlink" in name:
            size = numbers[-1]
            text = inode.read_link(self.guest.thread)[:size] if inode.is_symlink else b""
            return len(text) or -Errno.EINVAL, text
        assert "stat" in name, "an open of what is there is the table's only when it succeeds"
        record = inode.pack_record()
        return 0, _statx(record, inode) if name == "statx" else record

    def access(self, inode: Inode, mode: int, flags: int) -> int:
        check = permitted if flags & AT_EACCESS else permitted_real
        return 0 if not mode or check(inode, self.guest.process.credentials, mode) else -int(Errno.EACCES)

    def ask_all(self, path: bytes) -> None:
        """Everything the table may know about a path."""
        self.ask("stat", path, None)
        self.ask("lstat", path, None)
        self.ask("newfstatat", AT_FDCWD, path, None, AT_SYMLINK_NOFOLLOW)
        self.ask("statx", AT_FDCWD, path, 0, 0x7FF, None)
        self.ask("access", path, 2)
        self.ask("faccessat2", AT_FDCWD, path, 5, AT_EACCESS)
        self.ask("readlink", path, None, 3)
        self.ask("readlinkat", AT_FDCWD, path, None, 100)
        self.ask("openat", AT_FDCWD, path, O_PATH)
        self.ask("openat", AT_FDCWD, path, os.O_RDONLY | os.O_NONBLOCK)

    # -- changing -----------------------------------------------------------------------------------------------------------
    def change(self, name: str, *arguments: Any) -> None:
        """One operation; whether it succeeds does not matter."""
        method = getattr(self, "do_" + name, None)
        if method is None:
            self.guest.call(name, *arguments)
        else:
            method(*arguments)

    def do_write(self, path: bytes, flags: int, data: bytes) -> None:
        """Open for writing and write natively, as a guest does, now and once more after everybody has asked."""
        fd = self.guest.open(path, flags | os.O_NONBLOCK)
        if fd >= 0:
            self.ask_all(path)
            os.write(fd, data)
            self.ask_all(path)
            self.ask_descriptor(fd)
            self.guest.close(fd)

    def do_hold(self, path: bytes) -> None:
        """Keep a descriptor while other things change, and ask about all that are kept."""
        fd = self.guest.open(path, os.O_RDONLY | os.O_NONBLOCK)
        if fd >= 0:
            self.held.append(fd)
        for held in self.held:
            self.ask_descriptor(held)

    def do_other_process(self) -> None:
        """The same task number belongs to another process, with a current directory and credentials of its own."""
        process = self.guest.process
        if self.other is None:
            self.other = (FsContext(self.guest.files.root), Credentials(USER, USER, (USER,)))
        (process.fs, process.credentials), self.other = self.other, (process.fs, process.credentials)
        lib.shim_names_task_new(os.getpid())


UNIVERSE = [b"/a", b"a", b"a/c", b"/a/d", b"b", b"/b", b"c", b"c/n", b"/a/n", b"n", b"n/c", b"d/b", b"d/n", b"..", b"a/../b", b"d/t/n"]
"""Few enough that changes meet what is known; n is what is missing at first."""
path = st.sampled_from(UNIVERSE)
bits = st.sampled_from([0o644, 0o600, 0o755, 0o000, 0o4755, 0o400])
writing = st.sampled_from([os.O_WRONLY, os.O_RDWR | os.O_CREAT, os.O_WRONLY | os.O_TRUNC])
ids = st.sampled_from([-1, 0, USER])
change = st.one_of(
    st.tuples(st.just("mkdir"), path, bits),
    st.tuples(st.just("rmdir"), path),
    st.tuples(st.just("unlink"), path),
    st.tuples(st.just("renameat2"), st.just(AT_FDCWD), path, st.just(AT_FDCWD), path, st.sampled_from([0, 0, 2])),
    st.tuples(st.just("link"), path, path),
    st.tuples(st.just("symlink"), path, path),
    st.tuples(st.just("chmod"), path, bits),
    st.tuples(st.just("lchown"), path, ids, ids),
    st.tuples(st.just("truncate"), path, st.integers(0, 20)),
    st.tuples(st.just("write"), path, writing, st.binary(max_size=6)),
    st.tuples(st.just("utimensat"), st.just(AT_FDCWD), path, st.just(0), st.just(0)),
    st.tuples(st.just("mknod"), path, st.just(0o010644), st.just(0)),
    st.tuples(st.just("chdir"), path),
    st.tuples(st.just("chroot"), path),
    st.tuples(st.just("setresuid"), ids, ids, ids),
    st.tuples(st.just("setfsuid"), ids),
    st.tuples(st.just("setresgid"), ids, ids, ids),
    st.tuples(st.just("other_process")),
    st.tuples(st.just("hold"), path),
)
_seen = {"answered": 0, "descriptors": 0}


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(change, min_size=1, max_size=8))
def test_the_table_says_what_the_files_say(changes: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        world = World(os.fsencode(scratch) + b"/root")
        try:
            for step in changes:
                for text in [*UNIVERSE, *UNIVERSE]:
                    world.ask_all(text)
                world.change(*step)
            for text in UNIVERSE:
                world.ask_all(text)
            _seen["answered"] += world.answered
            _seen["descriptors"] += world.descriptors_answered
        finally:
            world.close()


def test_most_repeated_questions_were_answered() -> None:
    """The property above says nothing about a table that is always empty."""
    assert _seen["answered"] > 1000
    assert _seen["descriptors"] > 1000


@pytest.fixture
def world(tmp_path: Path) -> Any:
    made = World(os.fsencode(tmp_path) + b"/root")
    yield made
    made.close()


def answers(world: World, name: str, *arguments: int | bytes | None) -> bool:
    """Whether the table answers a call when it is made for the third time."""
    for _ in range(2):
        world.ask(name, *arguments)
    before = world.answered
    world.ask(name, *arguments)
    return world.answered > before


@pytest.mark.parametrize("path", [b"/a/c", b"a/c", b"/a/d", b"/nowhere", b"a/nowhere", b"/a//./c", b"/a"])
def test_what_is_asked_again_is_answered(world: World, path: bytes) -> None:
    assert answers(world, "stat", path, None)
    assert answers(world, "access", path, 4)
    assert answers(world, "statx", AT_FDCWD, path, 0, 0x7FF, None)
    assert answers(world, "readlink", path, None, 100)


def test_a_missing_name_is_missing_to_open_but_not_when_it_would_be_made(world: World) -> None:
    assert answers(world, "openat", AT_FDCWD, b"/nowhere", os.O_RDONLY)
    assert not answers(world, "openat", AT_FDCWD, b"/nowhere", os.O_RDWR | O_TMPFILE_BIT | os.O_DIRECTORY)
    assert not answers(world, "openat", AT_FDCWD, b"/a/new", os.O_WRONLY | os.O_CREAT)


def test_unusual_arguments_are_pythons(world: World) -> None:
    assert answers(world, "newfstatat", AT_FDCWD, b"/b", None, 0)
    assert not answers(world, "newfstatat", AT_FDCWD, b"/b", None, 0x40000)
    assert not answers(world, "newfstatat", 5, b"b", None, 0)
    assert answers(world, "newfstatat", 5, b"/b", None, 0)
    assert not answers(world, "access", b"/b", 8)
    assert not answers(world, "readlink", b"/a/d", None, 0)
    assert not answers(world, "statx", AT_FDCWD, b"/b", 0x6000, 0x7FF, None)
    assert not answers(world, "statx", AT_FDCWD, b"/b", 0, 1 << 31, None)


def test_long_paths_and_files_that_may_be_written_natively_are_not_published(world: World) -> None:
    assert not answers(world, "stat", b"/" + b"./" * 200 + b"b", None)
    fd = world.guest.open(b"/b", os.O_WRONLY)
    assert not answers(world, "stat", b"/b", None)
    world.guest.close(fd)


def test_a_file_in_memory_is_not_published_from_when_it_may_be_written(world: World) -> None:
    world.guest.call("mknod", b"/n", 0o100644, 0)
    world.guest.close(world.guest.open(b"/n"))
    assert answers(world, "stat", b"/n", None)
    fd = world.guest.open(b"/n", os.O_WRONLY)
    os.write(fd, b"text")
    assert not answers(world, "stat", b"/n", None)
    world.guest.close(fd)


def test_a_bad_address_is_efault(world: World) -> None:
    assert answers(world, "stat", b"/b", None)
    path = ffi.new("char[]", b"/b")
    value = ffi.new("int64_t *")
    raw = ffi.new("uint64_t[6]", [0, 1, 0, 0, 0, 0])
    assert lib.shim_names_answer(world.engine.loop, 0, os.getpid(), NUMBERS["stat"], raw, path, 2, value)
    assert value[0] == -Errno.EFAULT


def test_more_files_than_there_is_room_for(world: World) -> None:
    for index in range(5000):
        world.guest.call("mknod", b"/a/%d" % index, 0o100644, 0)
        for _ in range(3):
            world.ask("stat", b"/a/%d" % index, None)
    world.guest.call("chmod", b"/a/17", 0o600)
    world.guest.call("chmod", b"/a/4999", 0o600)
    for index in (17, 4999, 4998, 904):
        assert answers(world, "stat", b"/a/%d" % index, None)


def test_a_change_of_anybody_s_directory_is_a_change(world: World) -> None:
    before = CONTEXT_CHANGES[0]
    world.guest.process.fs.cwd = world.guest.files.root
    world.guest.process.credentials.setuid(USER)
    assert CONTEXT_CHANGES[0] >= before + 2


def test_repeated_opens_that_only_read_are_answered(world: World) -> None:
    assert answers(world, "openat", AT_FDCWD, b"/a/c", os.O_RDONLY)
    assert answers(world, "openat", AT_FDCWD, b"a/c", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    assert answers(world, "open", b"/a/d", os.O_RDONLY)
    others = (os.O_RDWR, os.O_WRONLY, os.O_DIRECTORY, os.O_NOFOLLOW, os.O_NOATIME, os.O_TRUNC, os.O_APPEND, O_PATH, os.O_CREAT)
    for flags in others:
        assert not answers(world, "openat", AT_FDCWD, b"/d/b", flags), hex(flags)
    assert not answers(world, "openat", AT_FDCWD, b"/a", os.O_RDONLY)


def test_an_open_that_is_answered_has_the_flags_that_were_asked(world: World) -> None:
    path = ffi.new("char[]", b"/b")
    value = ffi.new("int64_t *")
    for flags in (os.O_RDONLY, os.O_RDONLY | os.O_NONBLOCK):
        assert answers(world, "openat", AT_FDCWD, b"/b", flags)
        raw = ffi.new("uint64_t[6]", [AT_FDCWD & (2**64 - 1), int(ffi.cast("uint64_t", path)), flags, 0, 0, 0])
        assert lib.shim_names_answer(world.engine.loop, 0, os.getpid(), NUMBERS["openat"], raw, path, 2, value)
        assert fcntl.fcntl(value[0], fcntl.F_GETFL) & ~0o100000 == flags
        os.close(value[0])


def test_who_may_open_is_asked_for_each_identity(world: World) -> None:
    world.guest.call("chmod", b"/b", 0o600)
    assert answers(world, "openat", AT_FDCWD, b"/b", os.O_RDONLY)
    world.guest.process.credentials.setuid(USER)
    assert answers(world, "stat", b"/b", None), "the name and the file are known to the user, too"
    assert not answers(world, "openat", AT_FDCWD, b"/b", os.O_RDONLY)
    assert world.guest.open(b"/b") == -Errno.EACCES
    assert answers(world, "access", b"/b", 0)
    assert not answers(world, "openat", AT_FDCWD, b"/b", os.O_RDONLY), "something is known of what the user may do, but not this"


def test_a_file_that_was_copied_up_is_opened_in_memory(world: World) -> None:
    assert answers(world, "openat", AT_FDCWD, b"/b", os.O_RDONLY)
    world.guest.call("truncate", b"/b", 3)
    assert answers(world, "openat", AT_FDCWD, b"/b", os.O_RDONLY)
    assert world.guest.read_file(b"/b") == b"sec"


def open_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


def test_no_more_descriptors_are_held_than_allowed(tmp_path: Path) -> None:
    world = World(os.fsencode(tmp_path) + b"/root", sources=2)
    before = open_descriptors()
    assert all(answers(world, "openat", AT_FDCWD, path, os.O_RDONLY) for path in (b"/a/c", b"/b"))
    assert open_descriptors() == before + 2
    assert answers(world, "openat", AT_FDCWD, b"/d/a", os.O_RDONLY)
    assert open_descriptors() == before + 2
    count = world.answered
    world.ask("openat", AT_FDCWD, b"/a/c", os.O_RDONLY)
    assert world.answered == count, "the oldest has given its place"
    world.close()


def test_opens_are_python_s_once_somebody_watches(world: World) -> None:
    before = open_descriptors()
    assert answers(world, "openat", AT_FDCWD, b"/b", os.O_RDONLY)
    assert open_descriptors() == before + 1
    queue = world.guest.call("inotify_init1", os.O_NONBLOCK)
    assert world.guest.call("inotify_add_watch", queue, b"/a", 0x20) == 1
    assert not answers(world, "openat", AT_FDCWD, b"/b", os.O_RDONLY)
    assert not answers(world, "openat", AT_FDCWD, b"/a/c", os.O_RDONLY)
    assert len(os.read(queue, 4096)) == 3 * 32, "each open of a/c is told"


def test_files_that_may_be_opened_are_not_pruned(world: World) -> None:
    assert answers(world, "openat", AT_FDCWD, b"/b", os.O_RDONLY)
    world.guest.io.live_guests = list
    world.guest.io.prune()
    count = world.answered
    world.ask("openat", AT_FDCWD, b"/b", os.O_RDONLY)
    assert world.answered > count


def test_content_that_two_files_show_is_the_last_opened_one_s(tmp_path: Path) -> None:
    """The same host file in a copy-on-write view and in a writable one: what is said of one must not be said of the other."""
    root = os.fsencode(tmp_path) + b"/root"
    world = World(root, writable=b"/m")
    assert answers(world, "openat", AT_FDCWD, b"/b", os.O_RDONLY)
    fd = world.guest.open(b"/m/b", os.O_RDWR)
    os.write(fd, b"longer than it was before")
    world.descriptors_answered = 0
    world.ask_descriptor(fd)
    assert world.descriptors_answered == 0
    assert world.guest.fstat(fd)[8] == 25
    world.guest.close(fd)
    world.close()
