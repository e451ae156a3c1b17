"""guest: streams of the Linux host: what a guest descriptor may be opened for again, tried on this process's own child."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pylibos.monitor.host_abi import HostError
from pylibos.monitor.linux_reopen import reopen_guest


def hold(*descriptors: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-I", "-S", "-c", "input()"], stdin=subprocess.PIPE, pass_fds=descriptors)


def refused(pid: int, descriptor: int, flags: int, console: tuple[int, ...] = ()) -> int:
    with pytest.raises(HostError) as caught:
        os.close(reopen_guest(b"%d/%d" % (pid, descriptor), flags, console))
    return caught.value.errno


def test_a_pipe_opens_at_either_end_and_blocks_afterwards() -> None:
    reader, writer = os.pipe()
    with hold(reader) as child:
        other = reopen_guest(b"%d/%d" % (child.pid, reader), os.O_WRONLY, ())
        os.write(other, b"x")
        assert os.read(reader, 1) == b"x"
        assert os.get_blocking(other)
        child.kill()
    for descriptor in (reader, writer, other):
        os.close(descriptor)


def test_a_regular_file_is_refused_even_for_reading(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "f", os.O_RDWR | os.O_CREAT)
    with hold(descriptor) as child:
        assert refused(child.pid, descriptor, os.O_RDONLY) == errno.EACCES
        assert refused(child.pid, descriptor, os.O_WRONLY) == errno.EACCES
        assert refused(child.pid, descriptor + 50, os.O_RDONLY) == errno.EBADF
        child.kill()
    os.close(descriptor)


def test_the_consoles_file_opens_in_its_own_mode(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "out", os.O_WRONLY | os.O_CREAT)
    with hold(descriptor) as child:
        opened = reopen_guest(b"%d/%d" % (child.pid, descriptor), os.O_WRONLY, (descriptor,))
        os.write(opened, b"x")
        assert refused(child.pid, descriptor, os.O_RDONLY, (descriptor,)) == errno.EACCES
        assert refused(child.pid, descriptor, os.O_WRONLY | os.O_TRUNC, (descriptor,)) == errno.EACCES
        child.kill()
    os.close(descriptor)
    os.close(opened)
    assert (tmp_path / "out").read_bytes() == b"x"


def test_directories_and_sockets_are_refused(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_RDONLY)
    left, right = socket.socketpair()
    with left, right, hold(directory, left.fileno()) as child:
        assert refused(child.pid, directory, os.O_RDONLY) == errno.EACCES
        assert refused(child.pid, left.fileno(), os.O_RDONLY) == errno.ENXIO
        child.kill()
    os.close(directory)


def test_memory_files_open() -> None:
    descriptor = os.memfd_create("mine")
    os.write(descriptor, b"content")
    with hold(descriptor) as child:
        opened = reopen_guest(b"%d/%d" % (child.pid, descriptor), os.O_RDONLY, ())
        assert os.read(opened, 10) == b"content"
        child.kill()
    os.close(descriptor)
    os.close(opened)


@pytest.mark.skipif(not os.path.exists("/dev/ptmx"), reason="no pseudo terminals here")
def test_a_slave_is_opened_again_but_a_master_is_not() -> None:
    master, slave = os.openpty()
    with hold(slave) as child:
        opened = reopen_guest(b"%d/%d" % (child.pid, slave), os.O_RDWR, ())
        assert os.ttyname(opened) == os.ttyname(slave)
        os.close(opened)
        child.kill()
    with hold(master) as child:
        with pytest.raises(HostError) as caught:
            reopen_guest(b"%d/%d" % (child.pid, master), os.O_RDWR, ())
        assert caught.value.errno == errno.EACCES
        child.kill()
    for descriptor in (master, slave):
        os.close(descriptor)


@pytest.mark.parametrize("name", [b"", b"1/0", b"x/0", b"5", b"5/-1", b"5/0/0", b"0/0"])
def test_bad_names(name: bytes) -> None:
    with pytest.raises(HostError) as caught:
        reopen_guest(name, os.O_RDONLY, ())
    assert caught.value.errno == errno.EINVAL
