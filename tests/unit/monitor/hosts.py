"""The hosts the contract is tested on: Linux with openat2, where a container denies it, with the compiled shim, and the one in memory."""

from __future__ import annotations

import ctypes
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from pylibos.abi.errno import Errno
from pylibos.monitor.fake_guests import FakeGuest
from pylibos.monitor.fake_host import FakeHost
from pylibos.monitor.globs import Pattern
from pylibos.monitor.host_abi import Access, Create, HostABI, HostError, HostStream
from pylibos.monitor.linux_host import LinuxHost, close_host
from pylibos.monitor.native import Native
from pylibos.monitor.native_ctypes import CtypesNative
from pylibos.monitor.policy import Mode, Policy, Protection, Rule

KINDS = ("linux", "linux-without-openat2", "linux-with-shim", "memory")


class OldNative(CtypesNative):
    """A kernel (or container profile) without openat2."""

    def openat2(self, directory: int, path: bytes, flags: int, mode: int, resolve: int) -> int:
        raise HostError(38)


def native_of(kind: str) -> Native:
    """The kernel calls of one kind of Linux host; skips the test when they are not compiled."""
    if kind == "linux-with-shim":
        return cast("Native", pytest.importorskip("pylibos.runtime.native", exc_type=ImportError).ShimNative())
    return OldNative() if kind == "linux-without-openat2" else CtypesNative()


class LoopRecorder:
    """An event loop that only remembers."""

    def __init__(self) -> None:
        self.waits: dict[int, int] = {}
        self.deadline_ns = 0

    def wait_register(self, stream: int, events: int) -> None:
        self.waits[stream] = events
        if not events:
            del self.waits[stream]

    def timer_set(self, deadline_ns: int) -> None:
        self.deadline_ns = deadline_ns


@dataclass
class Setup:
    """A host, a writable directory b"/..." of it, a read-only one, and a guest: its tid and some of its memory."""

    host: HostABI
    base: bytes
    fixed: bytes
    tid: int
    memory: int
    memory_size: int
    loop: LoopRecorder | FakeHost

    def file(self, name: bytes) -> bytes:
        return b"file:" + self.base + b"/" + name

    def dir(self, name: bytes = b"") -> bytes:
        return b"dir:" + self.base + (b"/" + name if name else b"")


def policy_for(base: bytes, fixed: bytes) -> Policy:
    hidden = Protection(Pattern.parse(b"**/hidden*"), hidden=True, origin="test hidden")
    denied = Protection(Pattern.parse(b"**/denied"), hidden=False, origin="test deny")
    return Policy([Rule(base, Mode.RW, "test rw"), Rule(fixed, Mode.RO, "test ro")], [hidden, denied])


@contextmanager
def make_host(kind: str, directory: Path) -> Iterator[Setup]:
    if kind == "memory":
        policy = policy_for(b"/base", b"/fixed")
        fake = FakeHost()
        for name in (b"/base", b"/fixed", b"/outside"):
            fake.directory_create(b"dir:" + name, 0o755)
        for name in (b"/fixed/file", b"/outside/file", b"/base/denied", b"/base/hidden"):
            fake.stream_close(_filled(fake, b"file:" + name))
        fake.policy = policy
        guest = FakeGuest()
        guest.memory[:] = b"\xaa" * len(guest.memory)
        fake.guests[4242] = guest
        yield Setup(fake, b"/base", b"/fixed", 4242, guest.base, len(guest.memory), fake)
        return
    root = os.fsencode(directory.resolve())
    base, fixed, outside = root + b"/base", root + b"/fixed", root + b"/outside"
    for path in (base, fixed, outside):
        os.mkdir(path, 0o755)
    for path in (fixed + b"/file", outside + b"/file", base + b"/denied", base + b"/hidden"):
        Path(os.fsdecode(path)).write_bytes(b"content")
    loop = LoopRecorder()
    native = native_of(kind)
    installed: list[int] = []

    def install(_tid: int, descriptor: int, close_on_exec: bool) -> int:
        command = fcntl.F_DUPFD_CLOEXEC if close_on_exec else fcntl.F_DUPFD
        installed.append(fcntl.fcntl(descriptor, command, 3))
        return installed[-1]

    umask = os.umask(0o22)
    block = ctypes.create_string_buffer(b"\xaa" * 0x2000, 0x2000)
    host = LinuxHost(policy_for(base, fixed), native, installer=install, loop=loop)
    try:
        yield Setup(host, base, fixed, os.getpid(), ctypes.addressof(block), 0x2000, loop)
    finally:
        close_host(host)
        os.umask(umask)
        for descriptor in installed:
            os.close(descriptor)


def _filled(host: HostABI, uri: bytes) -> HostStream:

    stream = host.stream_open(uri, Access.READ_WRITE, Create.CREATE, 0o644)
    host.stream_write(stream, 0, b"content")
    return stream


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
    stream = setup.host.stream_open(setup.file(name), Access.READ_WRITE, Create.CREATE | Create.EXCLUSIVE, mode)
    setup.host.stream_write(stream, 0, content)
    return stream
