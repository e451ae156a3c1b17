from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pylibos.abi import sockets as c
from pylibos.abi.errno import Errno
from pylibos.abi.syscall_numbers import NUMBERS
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.net.local import HANDLES_MAX, SOCKETS_MAX, LocalSockets
from pylibos.emulation.outcome import DESCRIPTOR, Install, Remote
from tests.guest_world import BASE, World, call

PATH = b"\x01\0/run/new\0"


class Files:
    """A view in which one name can be made."""

    def __init__(self) -> None:
        self.made: Any = None

    def parent(self, thread: Any, base: object, path: bytes) -> Any:
        directory = SimpleNamespace(mode=0o40777, uid=0, gid=0, device=1, number=1, is_directory=True, nlink=2)
        directory.volume = SimpleNamespace(read_only=False)
        return directory, path.rpartition(b"/")[2], False

    def child(self, thread: Any, directory: object, name: bytes) -> Any:
        return self.made


def world() -> World:
    made = World(files=Files())
    made.executive.local = LocalSockets(made.host)
    return made


def new_socket(made: World, kind: int = c.SOCK_STREAM) -> int:
    outcome = call(made.root, "socket", c.AF_UNIX, kind, 0)
    assert isinstance(outcome, Install)
    return made.host.descriptor_install(1001, outcome.stream, outcome.close_on_exec)


def test_a_socket_is_the_hosts_and_has_its_flags() -> None:
    made = world()
    fd = new_socket(made, c.SOCK_SEQPACKET | c.SOCK_CLOEXEC | c.SOCK_NONBLOCK)
    flags = made.host.descriptor_state(1001, fd)[0]
    assert flags & 0o2000000
    assert isinstance(call(made.root, "socket", c.AF_UNIX, c.SOCK_STREAM, c.AF_UNIX), Install)
    assert call(made.root, "socket", c.AF_UNIX, c.SOCK_DGRAM, 0) == -Errno.EACCES


def test_bind_gives_the_number_to_another_socket() -> None:
    made = world()
    fd = new_socket(made, c.SOCK_STREAM | c.SOCK_CLOEXEC)
    made.root.memory.write(BASE, PATH)
    outcome = call(made.root, "bind", fd, BASE, len(PATH))
    assert isinstance(outcome, Remote)
    assert [number for number, _arguments in outcome.calls] == [NUMBERS["dup2"], NUMBERS["fcntl"], NUMBERS["close"]]
    assert outcome.calls[0][1] == (DESCRIPTOR, fd)
    assert outcome.stream is not None
    before = len(made.host._opens)
    assert outcome.finish((-int(Errno.EMFILE),)) == -Errno.EMFILE
    assert len(made.host._opens) == before - 1, "the name is given up"


def test_a_socket_with_a_peer_or_a_name_is_left_alone() -> None:
    made = world()
    for stream in made.host.stream_open_pair(b"unix:stream"):
        made.host.descriptor_install(1001, stream, False)
    made.root.memory.write(BASE, PATH)
    assert call(made.root, "bind", 0, BASE, len(PATH)) == -Errno.EINVAL
    identity = made.host.descriptor_identity(1001, 0)
    local = made.executive.local
    assert local is not None
    with pytest.raises(SyscallError) as caught:
        local.connect(made.root, 0, identity, b"label")
    assert caught.value.errno == Errno.EISCONN


def test_connect_needs_a_name_that_is_known() -> None:
    made = world()
    fd = new_socket(made)
    local = made.executive.local
    assert local is not None
    identity = made.host.descriptor_identity(1001, fd)
    with pytest.raises(SyscallError) as caught:
        local.connect(made.root, fd, identity, b"label")
    assert caught.value.errno == Errno.ECONNREFUSED
    done: list[int] = []
    assert local.bind(made.root, fd, identity, b"label", lambda: done.append(1)).finish((fd, 0)) == 0
    assert done == [1]
    outcome = local.connect(made.root, fd, identity, b"label")
    assert [number for number, _arguments in outcome.calls] == [NUMBERS["dup2"], NUMBERS["close"]]
    assert outcome.finish((fd, 0)) == 0
    assert outcome.finish(()) == -Errno.EMFILE


def test_what_is_kept_is_bounded() -> None:
    made = world()
    local = made.executive.local
    assert local is not None
    fd = new_socket(made)
    identity = made.host.descriptor_identity(1001, fd)
    before = len(made.host._opens)
    for number in range(HANDLES_MAX + 10):
        remote = local.bind(made.root, fd, identity, b"%d" % number, lambda: None)
        remote.finish((fd, 0))
        assert remote.stream is not None
        made.host.stream_close(remote.stream)
    assert len(local._handles) == HANDLES_MAX
    assert len(made.host._opens) == before + HANDLES_MAX
    for _number in range(SOCKETS_MAX + 10):
        made.host.stream_close(local.make(c.SOCK_STREAM).stream)
    assert len(local._fresh) == SOCKETS_MAX
