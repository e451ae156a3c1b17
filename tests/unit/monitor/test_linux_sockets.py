"""AF_UNIX sockets the Linux host binds and connects."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from pylibos.monitor import linux_sockets
from pylibos.monitor.host_abi import Access, Create, HostError, HostStream
from pylibos.monitor.linux_host import LinuxHost, installable_descriptor
from pylibos.monitor.policy import Policy


def refused(host: LinuxHost, uri: bytes) -> int:
    with pytest.raises(HostError) as caught:
        host.stream_open(uri, Access.READ_WRITE)
    return caught.value.errno


@pytest.mark.parametrize(("kind", "number"), [(b"stream", socket.SOCK_STREAM), (b"seqpacket", socket.SOCK_SEQPACKET)])
def test_a_bound_socket_is_connected_to_by_its_handle_alone(kind: bytes, number: int) -> None:
    host = LinuxHost(Policy([]))
    bound, handle = host.stream_open_pair(b"unix.srv:%s/label9" % kind)
    server = socket.socket(fileno=os.dup(bound))
    name = Path(server.getsockname())
    assert (server.type, name.name) == (number, "label9")
    assert not name.parent.exists(), "nothing is left to be found"
    assert refused(host, b"unix.to:%s/%d" % (kind, handle)) == 111
    server.listen(1)
    client = socket.socket(fileno=os.dup(host.stream_open(b"unix.to:%s/%d" % (kind, handle), Access.READ_WRITE, Create.NONBLOCK)))
    assert not os.get_blocking(client.fileno())
    client.settimeout(10)
    with server.accept()[0] as peer, client:
        peer.send(b"x")
        assert client.recv(1) == b"x"
    with pytest.raises(HostError):
        installable_descriptor(host, handle)
    other = b"stream" if kind == b"seqpacket" else b"seqpacket"
    assert refused(host, b"unix.to:%s/%d" % (other, handle)) == 91
    server.close()
    for stream in list(host._streams):
        host.stream_close(HostStream(stream))


@pytest.mark.parametrize("uri", [b"unix.to:stream/0", b"unix.to:stream/x", b"unix.to:dgram2/1", b"unix.new:raw"])
def test_only_handles_of_names_are_names(uri: bytes) -> None:
    assert refused(LinuxHost(Policy([])), uri) in {9, 22}


@pytest.mark.parametrize("label", [b"", b"../x", b"a/b", b"a" * 33, b"a\0b"])
def test_a_label_is_a_plain_word(label: bytes) -> None:
    with pytest.raises(HostError) as caught:
        LinuxHost(Policy([])).stream_open_pair(b"unix.srv:stream/" + label)
    assert caught.value.errno == 22


def test_a_failure_after_the_bind_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linux_sockets, "bases", lambda: [str(tmp_path)])

    def no_room(*_arguments: object) -> int:
        raise OSError(errno.EMFILE, "no descriptors")

    monkeypatch.setattr(os, "open", no_room)
    with pytest.raises(OSError, match="no descriptors"):
        linux_sockets.bind(socket.SOCK_STREAM, b"name", blocking=True)
    assert list(tmp_path.iterdir()) == []
