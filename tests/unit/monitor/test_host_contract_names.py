"""The contract of the host ABI, names and policy: every case runs on the four hosts of hosts.py."""

from __future__ import annotations

import os
import stat

import pytest

from pylibos.abi.errno import Errno
from pylibos.monitor.host_abi import Access, AttributeChange, Create, HostError, NodeKind
from tests.unit.monitor.hosts import Setup, fails, make

RW = Access.READ_WRITE


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
