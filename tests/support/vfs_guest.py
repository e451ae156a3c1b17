"""A guest for file system tests: system calls by name against an executive with a real LinuxHost, no engine, no second process.

The "guest" is the test process itself: an Install outcome becomes a duplicate of the supervisor's descriptor, so read, write and lseek
of the tests are the native ones, as they are for real guests. Results are numbers, errors negative errno.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pylibos.emulation.syscalls.all  # noqa: F401 - fills the table
from pylibos.abi.files import AT_FDCWD, STAT
from pylibos.emulation.dispatch import advance, dispatch
from pylibos.emulation.fs.context import FsContext
from pylibos.emulation.fs.filesystem import FileSystem, Plan
from pylibos.emulation.guest import FlatMemory
from pylibos.emulation.io_manager.manager import IoManager
from pylibos.emulation.outcome import Forward, Install, Wait
from pylibos.emulation.security.credentials import Credentials
from pylibos.emulation.syscalls.table import TABLE
from pylibos.monitor.linux_host import LinuxHost
from pylibos.monitor.policy import Mode, Policy, Rule

NUMBERS = {row.name: row.number for row in TABLE.values()}
BASE = 0x10000
SIZE = 0x80000
MASK = (1 << 64) - 1


class Buffer:
    """An output argument of size bytes; ``data`` after the call."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.data = b""


class Guest:
    """One process of one sandbox."""

    def __init__(self, plan: Sequence[Plan], rules: Sequence[tuple[bytes, Mode]], uid: int = 0, gid: int = 0, host: Any = None) -> None:
        umask = os.umask(0o022)
        self.host = host or LinuxHost(Policy([Rule(path, mode, "test") for path, mode in rules]))
        os.umask(umask)
        self.io = IoManager(self.host, lambda: [os.getpid()])
        self.files = FileSystem(self.host, self.io.inodes)
        self.files.mount_all(plan)
        self.executive = SimpleNamespace(
            host=self.host, io=self.io, files=self.files, processes=None, observer=None, first_socket_path=lambda: None, local=None
        )
        self.memory = FlatMemory(BASE, SIZE)
        self.process = SimpleNamespace(
            executive=self.executive, credentials=Credentials(uid, gid, (gid,)), fs=FsContext(self.files.root), pid=1, host_pid=os.getpid()
        )
        self.thread: Any = self.new_thread()
        self.descriptors: list[int] = []

    def new_thread(self) -> Any:
        """One more thread of the process."""
        return SimpleNamespace(
            process=self.process,
            executive=self.executive,
            memory=self.memory,
            host_tid=os.getpid(),
            tid=1,
            prefetched_address=0,
            prefetched_path=None,
            credentials=self.process.credentials,
            fs=self.process.fs,
        )

    def call(self, name: str, *arguments: int | bytes | Buffer | None) -> Any:
        """One call. bytes arguments are put in memory NUL-terminated; None is NULL. An Install gives a descriptor number."""
        raw: list[int] = []
        where = BASE
        outputs: list[tuple[int, Buffer]] = []
        for argument in arguments:
            if isinstance(argument, Buffer):
                outputs.append((where, argument))
                raw.append(where)
                where += (argument.size + 15) & ~7
            elif isinstance(argument, bytes):
                self.memory.write(where, argument + b"\0")
                raw.append(where)
                where += (len(argument) + 16) & ~7
            else:
                raw.append((argument or 0) & MASK)
        raw += [0] * (6 - len(raw))
        number = NUMBERS[name]
        answer: Any = dispatch(self.thread, number, tuple(raw))
        if hasattr(answer, "send"):
            blocking = answer
            answer = advance(self.thread, number, blocking)
            if isinstance(answer, Wait):
                return blocking
        for address, buffer in outputs:
            buffer.data = self.memory.read(address, buffer.size)
        return self.finish(answer)

    def finish(self, answer: Any) -> Any:
        """Carry an outcome out as an engine would."""
        if isinstance(answer, Install):
            number = os.dup(answer.stream)
            os.set_inheritable(number, not answer.close_on_exec)
            if not answer.keep:
                self.host.stream_close(answer.stream)
            self.descriptors.append(number)
            return number
        if isinstance(answer, Forward):
            return "forward"
        return answer

    # -- conveniences ----------------------------------------------------------------------------------------------------
    def open(self, path: bytes, flags: int = 0, mode: int = 0o644) -> int:
        return int(self.call("openat", AT_FDCWD, path, flags, mode))

    def stat(self, path: bytes, follow: bool = True) -> tuple[int, ...]:
        """Fields of struct stat as STAT has them, or (-errno,)."""
        buffer = Buffer(144)
        result = self.call("stat" if follow else "lstat", path, buffer)
        return STAT.unpack(buffer.data) if result == 0 else (result,)

    def fstat(self, fd: int) -> tuple[int, ...]:
        buffer = Buffer(144)
        result = self.call("fstat", fd, buffer)
        return STAT.unpack(buffer.data) if result == 0 else (result,)

    def write_file(self, path: bytes, data: bytes, mode: int = 0o644) -> int:
        """Create or replace; 0 or -errno."""
        fd = self.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        if fd < 0:
            return fd
        os.write(fd, data)
        self.close(fd)
        return 0

    def read_file(self, path: bytes) -> bytes | int:
        fd = self.open(path)
        if fd < 0:
            return fd
        data = os.read(fd, 1 << 20)
        self.close(fd)
        return data

    def names(self, path: bytes, size: int = 4096) -> list[tuple[bytes, int, int]] | int:
        """(name, d_ino, d_type) of a directory, or -errno."""
        fd = self.open(path, os.O_DIRECTORY)
        if fd < 0:
            return fd
        found: list[tuple[bytes, int, int, int]] = []
        while chunk := self.getdents(fd, size):
            found += chunk
        self.close(fd)
        return [(name, number, kind) for name, number, kind, _ in found]

    def getdents(self, fd: int, size: int = 4096) -> list[tuple[bytes, int, int, int]]:
        """(name, d_ino, d_type, d_off) records of one call."""
        buffer = Buffer(size)
        length = self.call("getdents64", fd, buffer, size)
        assert length >= 0, length
        found = []
        offset = 0
        while offset < length:
            number, position, record_length, kind = struct.unpack_from("<QqHB", buffer.data, offset)
            name = buffer.data[offset + 19 : offset + record_length].split(b"\0", 1)[0]
            found.append((name, number, kind, position))
            offset += record_length
        return found

    def close(self, fd: int) -> None:
        self.descriptors.remove(fd)
        os.close(fd)

    def close_all(self) -> None:
        for fd in self.descriptors:
            os.close(fd)
        self.descriptors.clear()
        from pylibos.monitor.linux_host import close_host

        if isinstance(self.host, LinuxHost):
            close_host(self.host)
