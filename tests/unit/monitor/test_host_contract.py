"""The contract of the host ABI, streams: every case runs on the four hosts of hosts.py."""

from __future__ import annotations

import stat

import pytest

from pylibos.abi.errno import Errno
from pylibos.monitor.host_abi import Access, AttributeChange, Create
from tests.unit.monitor.hosts import Setup, fails, make

RW = Access.READ_WRITE


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
