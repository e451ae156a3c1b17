"""plan_execution against a real LinuxHost and a view in memory; the numbers of rewrites and the errors are those of Linux 6.18."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from pylibos.abi.elf import EHDR, PHDR, PT_INTERP, PT_LOAD
from pylibos.abi.errno import Errno
from pylibos.emulation.outcome import Exec, ExecPlan
from pylibos.emulation.process.process import Process
from pylibos.emulation.security.credentials import Credentials
from tests.support.vfs_guest import BASE, Guest

FDCWD = -100
EMPTY, NOFOLLOW = 0x1000, 0x100


def program(interpreter: bytes = b"", kind: int = 3) -> bytes:
    """A minimal ELF file of 4096 bytes."""
    headers = [(PT_LOAD, 5, 0, 0, 0, 4096, 4096, 4096)]
    if interpreter:
        headers.append((PT_INTERP, 4, 512, 512, 512, len(interpreter) + 1, len(interpreter) + 1, 1))
    data = bytearray(4096)
    EHDR.pack_into(data, 0, b"\x7fELF\x02\x01\x01".ljust(16, b"\0"), kind, 62, 1, 64, 64, 0, 0, 64, 56, len(headers), 0, 0, 0)
    for index, fields in enumerate(headers):
        PHDR.pack_into(data, 64 + 56 * index, *fields)
    data[512 : 512 + len(interpreter)] = interpreter
    return bytes(data)


@pytest.fixture
def guest() -> Iterator[Guest]:
    made = Guest([(b"/", "tmpfs", None)], [])
    made.executive.io.live_guests = list  # this process plays both parts, and the host's own descriptors are no guest's
    made.call("mkdir", b"/bin", 0o755)
    put(made, b"/bin/static", program())
    put(made, b"/bin/ld.so", program())
    put(made, b"/bin/dynamic", program(b"/bin/ld.so"))
    put(made, b"/bin/script", b"#!/bin/dynamic -x y\n")
    yield made
    made.close_all()


def put(guest: Guest, path: bytes, data: bytes, mode: int = 0o755) -> None:
    assert guest.write_file(path, data) == 0
    assert guest.call("chmod", path, mode) == 0


def execute(guest: Guest, path: bytes) -> Any:
    """The plan of execve(path), or the error."""
    return plan_of(guest, guest.call("execve", path, 0x111, 0x222))


def plan_of(guest: Guest, answer: Any) -> Any:
    if not isinstance(answer, Exec):
        return answer
    assert (answer.argv_address, answer.envp_address) == (0x111, 0x222)
    assert guest.memory.read(answer.empty_string_address, 1) == b"\0"
    release(guest, answer.plan)
    return answer.plan


def release(guest: Guest, plan: ExecPlan) -> None:
    guest.host.stream_close(plan.program.stream)
    if plan.interpreter is not None:
        guest.host.stream_close(plan.interpreter.stream)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [(0o4755, (1000, 7, 1000, 1000)), (0o2755, (1000, 1000, 1000, 8)), (0o6755, (1000, 7, 1000, 8)), (0o2745, (1000, 1000, 1000, 1000))],
)
def test_set_id_programs(guest: Guest, mode: int, expected: tuple[int, int, int, int]) -> None:
    """Other ids inside, where the volume is not nosuid; the last is set-group-id without group execution, a mark for locks."""
    for path in (b"/bin/static", b"/bin/script"):
        assert guest.call("chown", path, 7, 8) == 0
        assert guest.call("chmod", path, mode) == 0
    guest.thread.process.credentials = Credentials(1000, 1000)
    who = execute(guest, b"/bin/static").credentials
    assert (who.ruid, who.euid, who.rgid, who.egid) == expected
    assert who.elevated == (expected != (1000, 1000, 1000, 1000))
    script = execute(guest, b"/bin/script").credentials
    assert not script.elevated, "the interpreter's bits count, not the script's"
    guest.thread.process.credentials.no_new_privs = True
    assert not execute(guest, b"/bin/static").credentials.elevated
    guest.thread.process.credentials.no_new_privs = False
    guest.executive.files.root.volume.no_suid = True
    assert not execute(guest, b"/bin/static").credentials.elevated


def test_static_program(guest: Guest) -> None:
    plan = execute(guest, b"/bin/static")
    assert (plan.path, plan.executable_path, plan.comm) == (b"/bin/static", b"/bin/static", b"")
    assert plan.interpreter is None
    assert plan.argument_prefix is None
    assert plan.program.position_independent


def test_dynamic_program_by_relative_path_and_link(guest: Guest) -> None:
    guest.call("symlink", b"bin/dynamic", b"/alias")
    guest.call("chdir", b"/bin")
    plan = execute(guest, b"../alias")
    assert (plan.path, plan.executable_path) == (b"../alias", b"/bin/dynamic")
    assert plan.interpreter is not None
    assert plan.interpreter.stream != plan.program.stream


def test_script(guest: Guest) -> None:
    plan = execute(guest, b"/bin/script")
    assert plan.argument_prefix == [b"/bin/dynamic", b"-x y", b"/bin/script"]
    assert (plan.path, plan.executable_path) == (b"/bin/script", b"/bin/dynamic")


def test_scripts_of_scripts(guest: Guest) -> None:
    previous = b"/bin/static"
    for index in range(1, 7):
        path = b"/s%d" % index
        put(guest, path, b"#!%s a%d\n" % (previous, index))
        previous = path
    assert execute(guest, b"/s2").argument_prefix == [b"/bin/static", b"a1", b"/s1", b"a2", b"/s2"]
    assert execute(guest, b"/s5").argument_prefix[-2:] == [b"a5", b"/s5"]
    assert execute(guest, b"/s6") == -Errno.ELOOP


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        pytest.param(b"", Errno.ENOENT, id="empty"),
        pytest.param(b"/nothing", Errno.ENOENT, id="missing"),
        pytest.param(b"/bin", Errno.EACCES, id="directory"),
        pytest.param(b"/bin/static/x", Errno.ENOTDIR, id="below-a-file"),
        pytest.param(b"/unreadable-by-x", Errno.EACCES, id="no-x-bit-even-for-root"),
        pytest.param(b"/text", Errno.ENOEXEC, id="text"),
        pytest.param(b"/empty", Errno.ENOEXEC, id="empty-file"),
        pytest.param(b"/to-nothing", Errno.ENOENT, id="script-without-interpreter"),
        pytest.param(b"/to-directory", Errno.EACCES, id="script-to-directory"),
        pytest.param(b"/to-blank", Errno.EACCES, id="script-of-blanks"),
        pytest.param(b"/to-text", Errno.ENOEXEC, id="script-to-text"),
        pytest.param(b"/no-loader", Errno.ENOENT, id="missing-loader"),
        pytest.param(b"/bad-loader", Errno.ELIBBAD, id="loader-is-no-elf"),
        pytest.param(b"/private-loader", Errno.EACCES, id="loader-not-executable"),
        pytest.param(b"/object", Errno.ENOEXEC, id="relocatable"),
        pytest.param(b"/cut", Errno.ENOEXEC, id="truncated"),
        pytest.param(b"/loop", Errno.ELOOP, id="link-loop"),
        pytest.param(b"/script-loop", Errno.ELOOP, id="script-loop"),
    ],
)
def test_errors_leave_no_stream_behind(guest: Guest, path: bytes, expected: Errno) -> None:
    put(guest, b"/unreadable-by-x", program(), 0o644)
    put(guest, b"/text", b"echo hello\n")
    put(guest, b"/empty", b"")
    put(guest, b"/to-nothing", b"#!/nothing\n")
    put(guest, b"/to-directory", b"#!/bin\n")
    put(guest, b"/to-blank", b"#!   ")
    put(guest, b"/to-text", b"#!/text\n")
    put(guest, b"/no-loader", program(b"/lib/none"))
    put(guest, b"/bad-loader", program(b"/text"))
    put(guest, b"/private-loader", program(b"/unreadable-by-x"))
    put(guest, b"/object", program(kind=1))
    put(guest, b"/cut", program()[:4000])
    put(guest, b"/script-loop", b"#!/script-loop\n")
    guest.call("symlink", b"/loop", b"/loop")
    before = sorted(os.listdir("/proc/self/fd"))
    assert execute(guest, path) == -expected
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_permission_is_the_guests() -> None:
    guest = Guest([(b"/", "tmpfs", None)], [])
    guest.executive.io.live_guests = list
    put(guest, b"/mine", program(), 0o700)
    put(guest, b"/any", program(), 0o711)
    guest.process.credentials.setresgid(5, 5, 5)
    guest.process.credentials.setresuid(5, 5, 5)
    assert execute(guest, b"/mine") == -Errno.EACCES
    plan = execute(guest, b"/any")
    assert plan.credentials.euid == 5
    guest.close_all()



def test_no_exec_mounts(guest: Guest) -> None:
    guest.files.root.volume.no_exec = True
    assert execute(guest, b"/bin/static") == -Errno.EACCES


def test_execveat(guest: Guest) -> None:
    directory = guest.open(b"/bin", os.O_DIRECTORY | os.O_RDONLY)
    file = guest.open(b"/bin/static")
    guest.call("symlink", b"/bin/static", b"/bin/link")

    def at(fd: int, path: bytes, flags: int = 0) -> Any:
        return plan_of(guest, guest.call("execveat", fd, path, 0x111, 0x222, flags))

    plan = at(directory, b"script")
    assert plan.path == b"/dev/fd/%d/script" % directory
    assert plan.argument_prefix[-1] == plan.path
    plan = at(file, b"", EMPTY)
    assert (plan.path, plan.comm, plan.executable_path) == (b"/dev/fd/%d" % file, b"static", b"/bin/static")
    assert at(FDCWD, b"/bin/link").executable_path == b"/bin/static"
    assert at(directory, b"/bin/static").path == b"/bin/static"
    assert at(FDCWD, b"/bin/link", NOFOLLOW) == -Errno.ELOOP
    assert at(file, b"") == -Errno.ENOENT
    assert at(file, b"x") == -Errno.ENOTDIR
    assert at(directory, b"", EMPTY) == -Errno.EACCES
    assert at(999, b"x") == -Errno.EBADF
    assert at(FDCWD, b"/bin/static", 1) == -Errno.EINVAL


def test_a_memfd_of_the_guest(guest: Guest) -> None:
    memfd = os.memfd_create("prog")
    os.write(memfd, program())
    reader, writer = os.pipe()
    try:
        plan = plan_of(guest, guest.call("execveat", memfd, b"", 0x111, 0x222, EMPTY))
        assert plan.path == b"/dev/fd/%d" % memfd
        assert plan.executable_path == b"/memfd:prog (deleted)"
        assert plan.comm == b"%d" % memfd
        os.fchmod(memfd, 0o600)
        assert guest.call("execveat", memfd, b"", 0x111, 0x222, EMPTY) == -Errno.EACCES
        assert guest.call("execveat", reader, b"", 0x111, 0x222, EMPTY) == -Errno.EACCES
    finally:
        for fd in (memfd, reader, writer):
            os.close(fd)


def test_a_hostile_path_pointer(guest: Guest) -> None:
    assert guest.call("execve", 8, 0, 0) == -Errno.EFAULT
    guest.memory.write(BASE, b"a" * 5000)
    assert guest.call("execve", BASE, 0, 0) == -Errno.ENAMETOOLONG


def test_a_file_somebody_writes_to_is_not_executed(guest: Guest) -> None:
    guest.executive.io.live_guests = lambda: [os.getpid()]
    assert execute(guest, b"/bin/static") == -Errno.ETXTBSY
    guest.executive.io.live_guests = list
    assert isinstance(execute(guest, b"/bin/static"), ExecPlan)


def test_a_running_program_is_not_written_to(guest: Guest) -> None:
    plan = execute(guest, b"/bin/static")
    executive: Any = guest.executive
    process = Process(executive, 1, 1, None, guest.process.credentials, guest.process.fs)
    process.run(plan.executable)
    assert guest.open(b"/bin/static", os.O_WRONLY) == -Errno.ETXTBSY
    assert guest.open(b"/bin/static", os.O_RDONLY | os.O_TRUNC) == -Errno.ETXTBSY
    assert guest.call("truncate", b"/bin/static", 0) == -Errno.ETXTBSY
    process.run(None)
    assert guest.open(b"/bin/static", os.O_WRONLY) >= 0
