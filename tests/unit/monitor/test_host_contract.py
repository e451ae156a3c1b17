"""The contract of the host ABI: every case runs on the Linux host (with and without openat2) and on the one in memory."""

from __future__ import annotations

import os
import stat

import pytest

from pylibos.abi.errno import Errno
from pylibos.monitor.host_abi import Access, AttributeChange, Create, HostError, HostStream, NodeKind
from tests.unit.monitor.hosts import Setup

RW = Access.READ_WRITE


class fails:  # noqa: N801 - reads as a statement
    """with fails(Errno.X): the block raises HostError(X)."""

    def __init__(self, errno: Errno) -> None:
        self.errno = errno

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _traceback: object) -> bool:
        assert isinstance(error, HostError), f"{self.errno!r} expected, got {error!r}"
        assert Errno(error.errno) is self.errno
        return True


def make(setup: Setup, name: bytes, content: bytes = b"content", mode: int = 0o644) -> HostStream:
    stream = setup.host.stream_open(setup.file(name), RW, Create.CREATE | Create.EXCLUSIVE, mode)
    setup.host.stream_write(stream, 0, content)
    return stream


# -- opening ------------------------------------------------------------------------------------------------------------


def test_create_write_read(setup: Setup) -> None:
    host = setup.host
    stream = host.stream_open(setup.file(b"a"), RW, Create.CREATE, 0o640)
    assert host.stream_write(stream, -1, b"hello") == 5
    assert host.stream_write(stream, 7, b"x") == 1
    assert host.stream_read(stream, 0, 100) == b"hello\0\0x"
    assert host.stream_position(stream) == 5
    host.stream_seek(stream, 1)
    assert host.stream_read(stream, -1, 3) == b"ell"
    assert host.stream_position(stream) == 4
    assert host.stream_query_open(stream).mode == stat.S_IFREG | 0o640
    assert host.stream_read(stream, 100, 5) == b""
    host.stream_flush(stream)
    host.stream_close(stream)


@pytest.mark.parametrize(
    ("name", "access", "create", "errno"),
    [
        pytest.param(b"missing", Access.READ, Create.OPEN, Errno.ENOENT, id="missing"),
        pytest.param(b"file", RW, Create.CREATE | Create.EXCLUSIVE, Errno.EEXIST, id="exclusive"),
        pytest.param(b"sub", Access.READ, Create.OPEN, Errno.EISDIR, id="directory-for-reading"),
        pytest.param(b"sub", RW, Create.OPEN, Errno.EISDIR, id="directory-for-writing"),
        pytest.param(b"file/below", Access.READ, Create.OPEN, Errno.ENOTDIR, id="file-as-directory"),
        pytest.param(b"link", Access.READ, Create.OPEN, Errno.ELOOP, id="link"),
        pytest.param(b"link", RW, Create.CREATE, Errno.ELOOP, id="create-through-link"),
        pytest.param(b"dirlink/file", Access.READ, Create.OPEN, Errno.ELOOP, id="link-on-the-way"),
        pytest.param(b"none/file", RW, Create.CREATE, Errno.ENOENT, id="no-directory"),
        pytest.param(b"x" * 256, RW, Create.CREATE, Errno.ENAMETOOLONG, id="long-name"),
        pytest.param(b"socket", RW, Create.OPEN, Errno.ENXIO, id="socket"),
    ],
)
def test_open_errors(setup: Setup, name: bytes, access: Access, create: Create, errno: Errno) -> None:
    host = setup.host
    make(setup, b"file")
    host.directory_create(setup.dir(b"sub"), 0o755)
    host.symlink_create(setup.file(b"link"), b"file")
    host.symlink_create(setup.file(b"dirlink"), b".")
    host.node_create(setup.file(b"socket"), stat.S_IFSOCK | 0o600)
    with fails(errno):
        host.stream_open(setup.file(name), access, create)


@pytest.mark.parametrize("uri", [b"", b"file:", b"file:relative", b"http://x", b"token:x", b"pip", b"unix:stream", b"/etc/passwd", b"\0"])
def test_bad_uris(setup: Setup, uri: bytes) -> None:
    with fails(Errno.EINVAL):
        setup.host.stream_open(uri, Access.READ)


@pytest.mark.parametrize("tail", [b"/../x", b"/./x", b"//x", b"/x/", b"/x/..", b"/x/.", b"/a\0b"])
def test_names_that_are_not_in_normal_form(setup: Setup, tail: bytes) -> None:
    with fails(Errno.EINVAL):
        setup.host.stream_open(b"file:" + setup.base + tail, RW, Create.CREATE)
    with fails(Errno.EINVAL):
        setup.host.stream_query(b"file:" + setup.base + tail)


def test_hidden_files_are_in_normal_form(setup: Setup) -> None:
    for name in (b".x", b"..x", b"...", b"a..b"):
        setup.host.stream_close(make(setup, name))


def test_truncate_and_append(setup: Setup) -> None:
    host = setup.host
    make(setup, b"a", b"0123456789")
    stream = host.stream_open(setup.file(b"a"), Access.WRITE, Create.APPEND)
    host.stream_write(stream, -1, b"x")
    host.stream_seek(stream, 0)
    host.stream_write(stream, -1, b"y")
    assert host.stream_query(setup.file(b"a")).size == 12
    host.stream_open(setup.file(b"a"), Access.WRITE, Create.TRUNCATE)
    assert host.stream_query(setup.file(b"a")).size == 0


def test_access_is_kept(setup: Setup) -> None:
    host = setup.host
    make(setup, b"a")
    with fails(Errno.EBADF):
        host.stream_write(host.stream_open(setup.file(b"a"), Access.READ), -1, b"x")
    with fails(Errno.EBADF):
        host.stream_read(host.stream_open(setup.file(b"a"), Access.WRITE), -1, 1)


def test_reopen_has_its_own_position(setup: Setup) -> None:
    host = setup.host
    stream = host.stream_open(b"mem:label", RW)
    host.stream_write(stream, -1, b"abcdef")
    other = host.stream_reopen(stream, Access.READ)
    assert host.stream_position(other) == 0
    assert host.stream_read(other, -1, 3) == b"abc"
    assert host.stream_position(stream) == 6
    assert host.stream_query_open(stream).inode == host.stream_query_open(other).inode
    with fails(Errno.EBADF):
        host.stream_write(other, -1, b"x")
    appender = host.stream_reopen(stream, Access.WRITE, Create.APPEND)
    host.stream_write(appender, -1, b"g")
    assert host.stream_read(stream, 0, 10) == b"abcdefg"


def test_memory_files_are_distinct(setup: Setup) -> None:
    host = setup.host
    inodes = {host.stream_query_open(host.stream_open(b"mem:same", RW)).inode for _ in range(20)}
    assert len(inodes) == 20


def test_directory_token(setup: Setup) -> None:
    host = setup.host
    tokens = [host.stream_open(b"token:dir", Access.READ) for _ in range(40)]
    assert len({host.stream_query_open(token).inode for token in tokens}) == 40
    assert stat.S_ISDIR(host.stream_query_open(tokens[0]).mode)
    with fails(Errno.EISDIR):
        host.stream_read(tokens[0], -1, 10)
    assert host.stream_position(tokens[0]) == 0
    for offset in (1, 2, 3, 1000, 0x7FFFFFFF, 0):
        host.stream_seek(tokens[0], offset)
        assert host.stream_position(tokens[0]) == offset


def test_path_token(setup: Setup) -> None:
    host = setup.host
    first, second = (host.stream_open(b"token:path", Access.NONE) for _ in range(2))
    assert host.stream_query_open(first).inode != host.stream_query_open(second).inode
    for token in (first, second):
        with fails(Errno.EBADF):
            host.stream_read(token, -1, 1)
        with fails(Errno.EBADF):
            host.stream_write(token, -1, b"x")


def test_devices(setup: Setup) -> None:
    host = setup.host
    assert host.stream_read(host.stream_open(b"dev:zero", Access.READ), -1, 4) == b"\0\0\0\0"
    for name in (b"random", b"urandom"):
        assert len(host.stream_read(host.stream_open(b"dev:" + name, Access.READ), -1, 8)) == 8
    null = host.stream_open(b"dev:null", RW)
    assert host.stream_read(null, -1, 4) == b""
    assert host.stream_write(null, -1, b"abc") == 3
    with fails(Errno.ENOSPC):
        host.stream_write(host.stream_open(b"dev:full", Access.WRITE), -1, b"x")
    for name in (b"sda", b"../etc/passwd", b"tty", b"mem"):
        with fails(Errno.ENXIO):
            host.stream_open(b"dev:" + name, Access.READ)


def test_devices_cannot_be_changed(setup: Setup) -> None:
    host = setup.host
    null = host.stream_open(b"dev:null", Access.READ)
    with fails(Errno.EPERM):
        host.stream_change_open(null, AttributeChange(mode=0o777))
    with fails(Errno.EACCES):
        host.stream_reopen(null, RW)


def test_console(setup: Setup) -> None:
    stream = setup.host.stream_open(b"console:1", Access.WRITE)
    with fails(Errno.EPERM):
        setup.host.stream_change_open(stream, AttributeChange(mode=0o777))
    with fails(Errno.ENXIO):
        setup.host.stream_open(b"console:3", Access.WRITE)


def test_closed_handles_are_gone(setup: Setup) -> None:
    host = setup.host
    stream = host.stream_open(b"mem:x", RW)
    host.stream_close(stream)
    for call in (host.stream_close, host.stream_position, host.stream_query_open, host.stream_flush):
        with fails(Errno.EBADF):
            call(stream)
    with fails(Errno.EBADF):
        host.stream_read(stream, -1, 1)
    with fails(Errno.EBADF):
        host.descriptor_install(setup.tid, stream, False)
    with fails(Errno.EBADF):
        host.wait_register(stream, 1)


def test_numbers_no_kernel_takes(setup: Setup) -> None:
    host = setup.host
    stream = host.stream_open(b"mem:x", RW)
    with fails(Errno.EINVAL):
        host.stream_read(stream, -5, 1)
    with fails(Errno.EINVAL):
        host.stream_seek(stream, -1)
    with fails(Errno.EINVAL):
        host.stream_seek(stream, 1 << 64)


# -- pairs ---------------------------------------------------------------------------------------------------------------


def test_pipe(setup: Setup) -> None:
    host = setup.host
    reader, writer = host.stream_open_pair(b"pipe:", Create.NONBLOCK)
    with fails(Errno.EAGAIN):
        host.stream_read(reader, -1, 1)
    assert host.stream_write(writer, -1, b"hello") == 5
    assert host.stream_read(reader, -1, 3) == b"hel"
    host.stream_close(writer)
    assert host.stream_read(reader, -1, 10) == b"lo"
    assert host.stream_read(reader, -1, 10) == b""
    with fails(Errno.ESPIPE):
        host.stream_position(reader)


def test_pipe_without_reader(setup: Setup) -> None:
    reader, writer = setup.host.stream_open_pair(b"pipe:")
    setup.host.stream_close(reader)
    with fails(Errno.EPIPE):
        setup.host.stream_write(writer, -1, b"x")


@pytest.mark.parametrize(("uri", "boundaries"), [(b"unix:stream", False), (b"unix:dgram", True), (b"unix:seqpacket", True)])
def test_socket_pairs(setup: Setup, uri: bytes, boundaries: bool) -> None:
    host = setup.host
    first, second = host.stream_open_pair(uri, Create.NONBLOCK)
    host.stream_write(first, -1, b"one")
    host.stream_write(first, -1, b"two")
    assert host.stream_read(second, -1, 100) == (b"one" if boundaries else b"onetwo")
    with fails(Errno.EAGAIN):
        host.stream_read(first, -1, 1)
    with fails(Errno.EINVAL):
        host.stream_open_pair(b"unix:raw")


# -- copying -------------------------------------------------------------------------------------------------------------


def test_copy(setup: Setup) -> None:
    host = setup.host
    content = bytes(range(256)) * 300
    source = make(setup, b"a", content)
    target = host.stream_open(b"mem:copy", RW)
    host.stream_seek(source, 5)
    assert host.stream_copy(source, target, len(content) * 2) == len(content)
    assert host.stream_read(target, 0, len(content) + 1) == content
    assert (host.stream_position(source), host.stream_position(target)) == (5, 0)


def test_copy_keeps_length_of_holes(setup: Setup) -> None:
    host = setup.host
    source = host.stream_open(setup.file(b"sparse"), RW, Create.CREATE)
    host.stream_write(source, 1 << 20, b"middle")
    host.stream_change_open(source, AttributeChange(size=3 << 20))
    target = host.stream_open(b"mem:copy", RW)
    assert host.stream_copy(source, target, 1 << 40) == 3 << 20
    assert host.stream_query_open(target).size == 3 << 20
    assert host.stream_read(target, 1 << 20, 8) == b"middle\0\0"
    partial = host.stream_open(b"mem:partial", RW)
    assert host.stream_copy(source, partial, (1 << 20) + 3) == (1 << 20) + 3
    assert host.stream_read(partial, 1 << 20, 8) == b"mid"


def test_allocate(setup: Setup) -> None:
    host = setup.host
    stream = host.stream_open(b"mem:x", RW)
    host.stream_allocate(stream, 0, 0, 8192)
    assert host.stream_query_open(stream).size == 8192
    host.stream_write(stream, 0, b"x" * 8192)
    host.stream_allocate(stream, 3, 0, 4096)
    assert host.stream_read(stream, 4090, 10) == b"\0" * 6 + b"x" * 4
    for offset, size in ((-1, 5), (0, 0), (0, -5)):
        with fails(Errno.EINVAL):
            host.stream_allocate(stream, 0, offset, size)


# -- attributes ------------------------------------------------------------------------------------------------------------


def test_change(setup: Setup) -> None:
    host = setup.host
    make(setup, b"a", b"0123456789")
    uri = setup.file(b"a")
    host.stream_change(uri, AttributeChange(mode=0o4711, atime_ns=5, mtime_ns=1_000_000_007, size=4))
    found = host.stream_query(uri)
    assert (found.mode & 0o7777, found.atime_ns, found.mtime_ns, found.size) == (0o4711, 5, 1_000_000_007, 4)
    host.stream_change(uri, AttributeChange(mtime_ns=9))
    found = host.stream_query(uri)
    assert (found.atime_ns, found.mtime_ns) == (5, 9)
    stream = host.stream_open(uri, Access.READ)
    host.stream_change_open(stream, AttributeChange(mode=0o600, atime_ns=77))
    found = host.stream_query(uri)
    assert (found.mode & 0o7777, found.atime_ns, found.mtime_ns) == (0o600, 77, 9)


def test_links_are_described_not_followed(setup: Setup) -> None:
    host = setup.host
    make(setup, b"a")
    uri = setup.file(b"l")
    host.symlink_create(uri, b"a")
    assert host.stream_query(uri).mode >> 12 == NodeKind.SYMLINK
    assert host.stream_query(uri).size == 1
    host.stream_change(uri, AttributeChange(mtime_ns=11))
    assert host.stream_query(uri).mtime_ns == 11
    assert host.stream_query(setup.file(b"a")).mtime_ns != 11
    with fails(Errno.EOPNOTSUPP):
        host.stream_change(uri, AttributeChange(mode=0o600))
    with fails(Errno.EINVAL):
        host.stream_change(uri, AttributeChange(size=0))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_change_owner(setup: Setup) -> None:
    make(setup, b"a")
    setup.host.stream_change(setup.file(b"a"), AttributeChange(uid=12, mode=0o4755))
    found = setup.host.stream_query(setup.file(b"a"))
    assert (found.uid, found.gid, found.mode & 0o7777) == (12, 0, 0o4755)


def test_extended_attributes(setup: Setup) -> None:
    host = setup.host
    make(setup, b"a")
    uri = setup.file(b"a")
    assert list(host.attribute_list(uri)) == []
    try:
        host.attribute_write(uri, b"user.x", b"1")
    except HostError as error:
        if error.errno == Errno.EOPNOTSUPP:
            pytest.skip("this file system has no user attributes")
        raise
    host.attribute_write(uri, b"user.x", b"2", 2)
    assert host.attribute_read(uri, b"user.x") == b"2"
    assert list(host.attribute_list(uri)) == [b"user.x"]
    with fails(Errno.EEXIST):
        host.attribute_write(uri, b"user.x", b"3", 1)
    with fails(Errno.ENODATA):
        host.attribute_write(uri, b"user.y", b"3", 2)
    with fails(Errno.EINVAL):
        host.attribute_write(uri, b"user.y", b"3", 8)
    host.attribute_write(uri, b"user.x", None)
    with fails(Errno.ENODATA):
        host.attribute_read(uri, b"user.x")
    with fails(Errno.ENODATA):
        host.attribute_write(uri, b"user.x", None)


def test_volume(setup: Setup) -> None:
    volume = setup.host.volume_query(setup.dir())
    assert volume.block_size >= 512
    assert volume.blocks >= volume.blocks_free >= volume.blocks_available > 0
    assert volume.name_max == 255
    with fails(Errno.ENOENT):
        setup.host.volume_query(setup.file(b"missing"))


# -- names -----------------------------------------------------------------------------------------------------------------


def test_directories(setup: Setup) -> None:
    host = setup.host
    host.directory_create(setup.dir(b"d"), 0o750)
    assert host.stream_query(setup.dir(b"d")).mode == stat.S_IFDIR | 0o750
    with fails(Errno.EEXIST):
        host.directory_create(setup.dir(b"d"), 0o750)
    make(setup, b"d/f")
    host.symlink_create(setup.file(b"d/l"), b"/nowhere")
    host.directory_create(setup.dir(b"d/s"), 0o700)
    host.node_create(setup.file(b"d/p"), stat.S_IFIFO | 0o600)
    kinds = {entry.name: entry.kind for entry in host.directory_list(setup.dir(b"d"))}
    assert kinds == {b"f": NodeKind.REGULAR, b"l": NodeKind.SYMLINK, b"s": NodeKind.DIRECTORY, b"p": NodeKind.FIFO}
    inodes = {entry.name: entry.inode for entry in host.directory_list(setup.dir(b"d"))}
    assert inodes[b"f"] == host.stream_query(setup.file(b"d/f")).inode
    with fails(Errno.ENOTEMPTY):
        host.stream_delete(setup.dir(b"d"))
    with fails(Errno.ENOTDIR):
        host.stream_delete(setup.dir(b"d/f"))
    with fails(Errno.EISDIR):
        host.stream_delete(setup.file(b"d/s"))
    with fails(Errno.ENOTDIR):
        host.directory_list(setup.dir(b"d/f"))
    host.stream_delete(setup.dir(b"d/s"))
    host.stream_delete(setup.file(b"d/l"))
    assert {entry.name for entry in host.directory_list(setup.dir(b"d"))} == {b"f", b"p"}


def test_names_of_any_bytes(setup: Setup) -> None:
    name = bytes(sorted(set(range(1, 256)) - {47}))
    make(setup, name)
    assert name in [entry.name for entry in setup.host.directory_list(setup.dir())]


def test_symlinks(setup: Setup) -> None:
    host = setup.host
    host.symlink_create(setup.file(b"l"), b"../any\xff text")
    assert host.symlink_read(setup.file(b"l")) == b"../any\xff text"
    with fails(Errno.EEXIST):
        host.symlink_create(setup.file(b"l"), b"x")
    make(setup, b"a")
    with fails(Errno.EINVAL):
        host.symlink_read(setup.file(b"a"))
    with fails(Errno.EINVAL):
        host.symlink_read(setup.dir())
    with fails(Errno.ENOENT):
        host.symlink_read(setup.file(b"missing"))


def test_nodes(setup: Setup) -> None:
    host = setup.host
    host.node_create(setup.file(b"p"), stat.S_IFIFO | 0o620)
    assert host.stream_query(setup.file(b"p")).mode == stat.S_IFIFO | 0o620
    for kind in (stat.S_IFCHR, stat.S_IFBLK):
        with fails(Errno.EPERM):
            host.node_create(setup.file(b"dev"), kind | 0o600)
    with fails(Errno.ENOENT):
        host.stream_query(setup.file(b"dev"))


def test_open_of_a_fifo_does_not_wait(setup: Setup) -> None:
    host = setup.host
    host.node_create(setup.file(b"p"), stat.S_IFIFO | 0o600)
    stream = host.stream_open(setup.file(b"p"), Access.READ)
    assert host.stream_read(stream, -1, 1) == b""


def test_hard_links(setup: Setup) -> None:
    host = setup.host
    make(setup, b"a")
    host.stream_link(setup.file(b"a"), setup.file(b"b"))
    assert host.stream_query(setup.file(b"a")).inode == host.stream_query(setup.file(b"b")).inode
    assert host.stream_query(setup.file(b"a")).link_count == 2
    with fails(Errno.EEXIST):
        host.stream_link(setup.file(b"a"), setup.file(b"b"))
    host.directory_create(setup.dir(b"d"), 0o755)
    with fails(Errno.EPERM):
        host.stream_link(setup.dir(b"d"), setup.dir(b"e"))


def test_rename(setup: Setup) -> None:
    host = setup.host
    make(setup, b"a", b"A")
    make(setup, b"b", b"B")
    with fails(Errno.EEXIST):
        host.stream_rename(setup.file(b"a"), setup.file(b"b"), 1)
    host.stream_rename(setup.file(b"a"), setup.file(b"b"), 2)
    assert host.stream_read(host.stream_open(setup.file(b"a"), Access.READ), 0, 1) == b"B"
    host.stream_rename(setup.file(b"a"), setup.file(b"b"))
    assert host.stream_read(host.stream_open(setup.file(b"b"), Access.READ), 0, 1) == b"B"
    with fails(Errno.ENOENT):
        host.stream_rename(setup.file(b"a"), setup.file(b"b"))
    with fails(Errno.EINVAL):
        host.stream_rename(setup.file(b"b"), setup.file(b"a"), 3)
    host.directory_create(setup.dir(b"d"), 0o755)
    host.directory_create(setup.dir(b"d/e"), 0o755)
    with fails(Errno.EINVAL):
        host.stream_rename(setup.dir(b"d"), setup.dir(b"d/e/f"))
    with fails(Errno.EISDIR):
        host.stream_rename(setup.file(b"b"), setup.dir(b"d/e"))
    with fails(Errno.ENOTDIR):
        host.stream_rename(setup.dir(b"d"), setup.file(b"b"))
    host.directory_create(setup.dir(b"full"), 0o755)
    with fails(Errno.ENOTEMPTY):
        host.stream_rename(setup.dir(b"full"), setup.dir(b"d"))
    host.stream_rename(setup.dir(b"full"), setup.dir(b"d/e"))


def test_name_calls_through_a_link(setup: Setup) -> None:
    host = setup.host
    make(setup, b"a")
    host.symlink_create(setup.file(b"l"), b".")
    through = setup.file(b"l/a")
    for call in (
        lambda: host.stream_query(through),
        lambda: host.stream_delete(through),
        lambda: host.stream_rename(through, setup.file(b"z")),
        lambda: host.stream_rename(setup.file(b"a"), setup.file(b"l/z")),
        lambda: host.stream_link(through, setup.file(b"z")),
        lambda: host.directory_create(setup.dir(b"l/d"), 0o755),
        lambda: host.symlink_create(setup.file(b"l/s"), b"x"),
        lambda: host.stream_change(through, AttributeChange(mode=0o600)),
        lambda: host.attribute_list(through),
        lambda: host.volume_query(through),
        lambda: host.symlink_read(through),
        lambda: host.node_create(setup.file(b"l/p"), stat.S_IFIFO | 0o600),
        lambda: host.directory_list(setup.dir(b"l/a")),
        lambda: host.directory_list(setup.dir(b"l")),
        lambda: host.stream_open(setup.dir(b"l"), Access.READ),
        lambda: host.stream_open(setup.dir(b"l"), Access.NONE),
    ):
        with fails(Errno.ELOOP):
            call()


# -- policy ----------------------------------------------------------------------------------------------------------------


def test_read_only_paths(setup: Setup) -> None:
    host = setup.host
    uri = b"file:" + setup.fixed + b"/file"
    new = b"file:" + setup.fixed + b"/new"
    stream = host.stream_open(uri, Access.READ)
    assert host.stream_read(stream, 0, 10) == b"content"
    make(setup, b"mine")
    for call in (
        lambda: host.stream_open(uri, RW),
        lambda: host.stream_open(uri, Access.READ, Create.TRUNCATE),
        lambda: host.stream_open(uri, Access.READ, Create.APPEND),
        lambda: host.stream_open(new, RW, Create.CREATE),
        lambda: host.stream_reopen(stream, RW),
        lambda: host.stream_change_open(stream, AttributeChange(mode=0o777)),
        lambda: host.stream_change(uri, AttributeChange(mode=0o777)),
        lambda: host.stream_delete(uri),
        lambda: host.stream_rename(uri, setup.file(b"stolen")),
        lambda: host.stream_rename(setup.file(b"mine"), uri),
        lambda: host.stream_link(uri, setup.file(b"stolen")),
        lambda: host.directory_create(new, 0o755),
        lambda: host.symlink_create(new, b"x"),
        lambda: host.node_create(new, stat.S_IFIFO | 0o600),
        lambda: host.attribute_write(uri, b"user.x", b"1"),
    ):
        with fails(Errno.EACCES):
            call()
    assert host.stream_read(stream, 0, 10) == b"content"


def test_paths_outside(setup: Setup) -> None:
    host = setup.host
    outside = setup.base.rpartition(b"/")[0] + b"/outside"
    uri = b"file:" + outside + b"/file"
    make(setup, b"mine")
    for call in (
        lambda: host.stream_open(uri, Access.READ),
        lambda: host.stream_open(uri, RW, Create.CREATE),
        lambda: host.stream_open(uri, Access.NONE),
        lambda: host.stream_open(b"dir:" + outside, Access.READ),
        lambda: host.stream_query(uri),
        lambda: host.directory_list(b"dir:" + outside),
        lambda: host.stream_delete(uri),
        lambda: host.stream_rename(uri, setup.file(b"x")),
        lambda: host.stream_rename(setup.file(b"mine"), uri),
        lambda: host.stream_link(uri, setup.file(b"x")),
        lambda: host.symlink_read(uri),
        lambda: host.volume_query(uri),
        lambda: host.attribute_read(uri, b"user.x"),
    ):
        with fails(Errno.ENOENT):
            call()


def test_hidden_names_do_not_show(setup: Setup) -> None:
    host = setup.host
    names = {entry.name for entry in host.directory_list(setup.dir())}
    assert names == {b"denied"}
    with fails(Errno.ENOENT):
        host.stream_query(setup.file(b"hidden"))
    with fails(Errno.ENOENT):
        host.stream_open(setup.file(b"hidden-new"), RW, Create.CREATE)
    assert host.stream_query(setup.file(b"denied")).size == 7
    with fails(Errno.EACCES):
        host.stream_open(setup.file(b"denied"), Access.READ)
    with fails(Errno.EACCES):
        host.stream_delete(setup.file(b"denied"))


def test_the_way_to_a_grant_shows_only_the_grant(setup: Setup) -> None:
    above = setup.base.rpartition(b"/")[0]
    names = {entry.name for entry in setup.host.directory_list(b"dir:" + (above or b"/"))}
    assert names == {b"base", b"fixed"}


# -- guests ----------------------------------------------------------------------------------------------------------------


def test_memory(setup: Setup) -> None:
    host, tid, address = setup.host, setup.tid, setup.memory
    host.memory_write(tid, address + 3, b"hello\0world")
    assert host.memory_read(tid, address + 2, 6) == b"\xaahello"
    assert host.memory_read_string(tid, address + 3, 4096) == b"hello"
    assert host.memory_read_string(tid, address + 3, 6) == b"hello"
    with fails(Errno.ENAMETOOLONG):
        host.memory_read_string(tid, address + 3, 5)
    assert host.memory_read(tid, address, 0) == b""
    for bad in (0, 8, 1 << 47, (1 << 64) - 1, 1 << 64, -1):
        with fails(Errno.EFAULT):
            host.memory_read(tid, bad, 1)
        with fails(Errno.EFAULT):
            host.memory_write(tid, bad, b"x")
        with fails(Errno.EFAULT):
            host.memory_read_string(tid, bad, 10)
    assert host.memory_map_text(tid)


def test_long_strings(setup: Setup) -> None:
    host, tid, address = setup.host, setup.tid, setup.memory
    host.memory_write(tid, address, b"y" * 4095 + b"\0")
    assert host.memory_read_string(tid, address, 4096) == b"y" * 4095
    with fails(Errno.ENAMETOOLONG):
        host.memory_read_string(tid, address, 4095)
    for length in (255, 256, 257):
        host.memory_write(tid, address, b"z" * length + b"\0")
        assert host.memory_read_string(tid, address, 4096) == b"z" * length


def test_processes_that_are_not_there(setup: Setup) -> None:
    host = setup.host
    gone = 0x3FFFFFF
    for call in (
        lambda: host.memory_read(gone, setup.memory, 1),
        lambda: host.memory_write(gone, setup.memory, b"x"),
        lambda: host.memory_map_text(gone),
        lambda: host.descriptor_list(gone),
        lambda: host.process_signal(gone, 0, 0),
        lambda: host.process_signal(gone, gone, 0),
        lambda: host.process_usage(gone),
        lambda: host.process_limits(gone, 7, None),
        lambda: host.process_command_line(gone),
        lambda: host.thread_affinity(gone, None),
        lambda: host.thread_priority(gone, None),
    ):
        with fails(Errno.ESRCH):
            call()


@pytest.mark.parametrize("pid", [0, -1, 1 << 40])
def test_numbers_that_mean_many_processes(setup: Setup, pid: int) -> None:
    with fails(Errno.ESRCH):
        setup.host.process_signal(pid, 0, 0)
    with fails(Errno.ESRCH):
        setup.host.process_limits(pid, 7, None)


def test_descriptors(setup: Setup) -> None:
    host, tid = setup.host, setup.tid
    stream = host.stream_open(b"mem:label", RW)
    host.stream_write(stream, -1, b"12345")
    number = host.descriptor_install(tid, stream, True)
    identity = host.descriptor_identity(tid, number)
    known = host.stream_query_open(stream)
    assert identity == (known.device, known.inode, known.mode)
    flags, position = host.descriptor_state(tid, number)
    assert flags & os.O_CLOEXEC
    assert flags & os.O_ACCMODE == os.O_RDWR
    assert position == 5
    host.stream_seek(stream, 2)
    assert host.descriptor_state(tid, number)[1] == 2
    assert number in host.descriptor_list(tid)
    assert host.descriptor_name(tid, number) == b"/memfd:label (deleted)"
    other = host.descriptor_install(tid, stream, False)
    assert other != number
    assert not host.descriptor_state(tid, other)[0] & os.O_CLOEXEC
    for bad in (999_999, -1, 1 << 40):
        for call in (host.descriptor_identity, host.descriptor_state, host.descriptor_name):
            with fails(Errno.EBADF):
                call(tid, bad)


def test_attributes_of_a_descriptor(setup: Setup) -> None:
    host = setup.host
    stream = make(setup, b"a", b"12345")
    number = host.descriptor_install(setup.tid, stream, False)
    assert host.descriptor_attributes(setup.tid, number)._replace(atime_ns=0) == host.stream_query(setup.file(b"a"))._replace(atime_ns=0)
    with fails(Errno.EBADF):
        host.descriptor_attributes(setup.tid, 999_999)


def test_reopening_what_a_guest_holds(setup: Setup) -> None:
    host = setup.host

    def again(stream: HostStream, access: Access = RW) -> HostStream:
        return host.stream_open(b"guest:%d/%d" % (setup.tid, host.descriptor_install(setup.tid, stream, False)), access)

    memory = host.stream_open(b"mem:x", RW)
    host.stream_write(memory, -1, b"abc")
    other = again(memory)
    assert host.stream_position(other) == 0
    assert host.stream_read(other, -1, 10) == b"abc"
    reader, _writer = host.stream_open_pair(b"pipe:", Create.NONBLOCK)
    host.stream_write(again(reader, Access.WRITE), -1, b"x")
    assert host.stream_read(reader, -1, 1) == b"x"
    with fails(Errno.ENXIO):
        again(host.stream_open_pair(b"unix:stream")[0])
    # Named files are opened by name, where policy can see it.
    make(setup, b"a")
    with fails(Errno.EACCES):
        again(host.stream_open(setup.file(b"a"), Access.READ), Access.READ)
    with fails(Errno.EACCES):
        again(host.stream_open(b"file:" + setup.fixed + b"/file", Access.READ))
    with fails(Errno.EACCES):
        again(host.stream_open(b"token:dir", Access.READ), Access.READ)
    for name in (b"", b"1/0", b"x/1", b"-5/1", b"%d" % setup.tid, b"%d/../mem" % setup.tid, b"9" * 30 + b"/1"):
        with fails(Errno.EINVAL):
            host.stream_open(b"guest:" + name, Access.READ)
    with fails(Errno.EBADF):
        host.stream_open(b"guest:%d/999999" % setup.tid, Access.READ)


def test_pipes_keep_their_kind(setup: Setup) -> None:
    host = setup.host
    reader, _writer = host.stream_open_pair(b"pipe:")
    number = host.descriptor_install(setup.tid, reader, False)
    assert stat.S_ISFIFO(host.descriptor_identity(setup.tid, number).mode)
    assert host.descriptor_name(setup.tid, number).startswith(b"pipe:[")


def test_host_directories_are_never_installed(setup: Setup) -> None:
    host = setup.host
    for stream in (
        host.stream_open(setup.dir(), Access.READ),
        host.stream_open(setup.dir(), Access.NONE),
        host.stream_open(setup.file(b"denied"), Access.NONE),
    ):
        with fails(Errno.EPERM):
            host.descriptor_install(setup.tid, stream, False)
        with fails(Errno.EPERM):
            host.descriptor_install(setup.tid, host.stream_reopen(stream, Access.NONE), False)


def test_processes(setup: Setup) -> None:
    host, pid = setup.host, setup.tid
    usage = host.process_usage(pid)
    assert usage.state == "R"
    assert usage.thread_count >= 1
    assert usage.resident_size > 0
    soft, hard = host.process_limits(pid, 7, None)
    assert hard == -1 or soft <= hard
    assert host.process_limits(pid, 7, (soft, hard)) == (soft, hard)
    with fails(Errno.EINVAL):
        host.process_limits(pid, 99, None)
    assert b"\0" in host.process_command_line(pid)
    host.process_command_line(pid, environment=True)
    host.process_signal(pid, 0, 0)
    host.process_signal(pid, pid, 0)
    with fails(Errno.EINVAL):
        host.process_signal(pid, 0, 65)
    with fails(Errno.EINVAL):
        host.process_signal(pid, pid, 65)


def test_threads(setup: Setup) -> None:
    host, tid = setup.host, setup.tid
    mask = host.thread_affinity(tid, None)
    assert any(mask)
    assert len(mask) % 8 == 0
    assert host.thread_affinity(tid, mask) == mask
    with fails(Errno.EINVAL):
        host.thread_affinity(tid, b"\0" * 8)
    nice = host.thread_priority(tid, None)
    assert host.thread_priority(tid, nice) == nice


# -- waits, time, random -------------------------------------------------------------------------------------------------------


def test_waits_and_timer(setup: Setup) -> None:
    host = setup.host
    reader, _writer = host.stream_open_pair(b"pipe:")
    host.wait_register(reader, 1)
    assert setup.loop.waits == {reader: 1}
    host.wait_register(reader, 0)
    assert setup.loop.waits == {}
    host.timer_set(12345)
    assert setup.loop.deadline_ns == 12345


def test_clocks(setup: Setup) -> None:
    host = setup.host
    first = host.clock_read(1)
    assert host.clock_read(1) >= first > 0
    assert host.clock_read(0) > 1_500_000_000_000_000_000
    for clock in (2, 3, -6, 100):
        with fails(Errno.EINVAL):
            host.clock_read(clock)


def test_random(setup: Setup) -> None:
    assert len(setup.host.random_bytes(100)) == 100
    assert setup.host.random_bytes(32) != setup.host.random_bytes(32)
    for size in (-1, 1 << 40):
        with fails(Errno.EINVAL):
            setup.host.random_bytes(size)


def test_facts(setup: Setup) -> None:
    for name in ("cpuinfo", "meminfo", "loadavg", "uptime", "stat", "kernel-release", "processors", "boot-time", "page-size"):
        assert setup.host.system_query(name)
    assert int(setup.host.system_query("page-size")) == 4096
    for name in ("", "version", "../etc/passwd"):
        with fails(Errno.ENOENT):
            setup.host.system_query(name)
