"""What only the Linux host has: races with links, descriptors that do not leak, /proc texts that lie."""

from __future__ import annotations

import fcntl
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pylibos.abi.ioctl import TIOCSPTLCK
from pylibos.monitor import native_ctypes
from pylibos.monitor.host_abi import Access, AttributeChange, Create, HostError, HostStream
from pylibos.monitor.linux_host import LinuxHost, attach, close_host, installable_descriptor
from pylibos.monitor.linux_tokens import TokenPool
from pylibos.monitor.native_ctypes import CtypesNative
from pylibos.monitor.policy import Mode, Policy, Rule
from tests.unit.monitor.hosts import OldNative


@pytest.fixture(params=[CtypesNative, OldNative])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[LinuxHost]:
    umask = os.umask(0o22)
    made = LinuxHost(Policy([Rule(os.fsencode(tmp_path.resolve()), Mode.RW, "rw")]), request.param())
    yield made
    close_host(made)
    os.umask(umask)


def uri(path: Path) -> bytes:
    return b"file:" + os.fsencode(path.resolve().parent / path.name)


def test_every_descriptor_is_close_on_exec(host: LinuxHost, tmp_path: Path) -> None:
    streams = [
        host.stream_open(uri(tmp_path / "a"), Access.READ_WRITE, Create.CREATE),
        host.stream_open(b"dir:" + os.fsencode(tmp_path.resolve()), Access.READ),
        host.stream_open(b"mem:x", Access.READ_WRITE),
        host.stream_open(b"token:dir", Access.READ),
        host.stream_open(b"token:path", Access.NONE),
        host.stream_open(b"token:event", Access.READ_WRITE),
        host.stream_open(b"dev:null", Access.READ),
        host.stream_open(b"console:1", Access.WRITE),
        *host.stream_open_pair(b"pipe:"),
        *host.stream_open_pair(b"unix:stream"),
    ]
    streams.append(host.stream_reopen(streams[2], Access.READ))
    assert [stream for stream in streams if os.get_inheritable(stream)] == []


def test_no_descriptor_is_lost(host: LinuxHost, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "l").symlink_to("d")
    host.stream_close(host.stream_open(b"token:dir", Access.READ))
    before = len(os.listdir("/proc/self/fd"))
    base = uri(tmp_path)
    for name in (b"/missing", b"/d", b"/l", b"/l/x", b"/d/x/y"):
        for call in (
            lambda: host.stream_open(base + name, Access.READ),  # noqa: B023 - called at once
            lambda: host.stream_open(base + name, Access.READ_WRITE),  # noqa: B023
            lambda: host.stream_query(base + name),  # noqa: B023
            lambda: host.symlink_read(base + name),  # noqa: B023
            lambda: host.directory_list(b"dir:" + base[5:] + name),  # noqa: B023
            lambda: host.stream_rename(base + name, base + b"/nowhere/x"),  # noqa: B023
            lambda: host.stream_change(base + name + b"/x", AttributeChange(mode=1)),  # noqa: B023
            lambda: host.attribute_list(base + name),  # noqa: B023
        ):
            try:
                result = call()
            except HostError:
                continue
            if isinstance(result, int) and result is not None:
                host.stream_close(HostStream(result))
    assert len(os.listdir("/proc/self/fd")) == before


def test_close_host_closes_everything(tmp_path: Path) -> None:
    umask = os.umask(0o22)
    before = len(os.listdir("/proc/self/fd"))
    host = LinuxHost(Policy([]))
    for _ in range(20):
        host.stream_open(b"token:dir", Access.READ)
        host.stream_open(b"mem:x", Access.READ)
    close_host(host)
    os.umask(umask)
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_link_exchanged_under_the_walk_never_leads_out(host: LinuxHost, tmp_path: Path) -> None:
    """Escape class 11: a directory and a link to elsewhere change places while the host opens below."""
    inside, outside, link = tmp_path / "inside", tmp_path / "outside", tmp_path / "name"
    for directory, content in ((inside, "inside"), (outside, "outside")):
        directory.mkdir()
        (directory / "file").write_text(content)
    inside.rename(link)
    (tmp_path / "trap").symlink_to(outside)
    stop = threading.Event()
    target = uri(tmp_path / "name") + b"/file"

    def exchange() -> None:
        directory = os.open(tmp_path, os.O_PATH)
        while not stop.is_set():
            native_ctypes.rename(directory, b"name", directory, b"trap", 2)
        os.close(directory)

    racer = threading.Thread(target=exchange)
    racer.start()
    answers = set()
    try:
        for _ in range(3000):
            try:
                stream = host.stream_open(target, Access.READ)
            except HostError as error:
                answers.add(str(error.errno))
            else:
                answers.add(host.stream_read(stream, 0, 10).decode())
                host.stream_close(stream)
    finally:
        stop.set()
        racer.join()
    assert "outside" not in answers
    assert "inside" in answers


def test_magic_links_are_refused(host: LinuxHost) -> None:
    wide = LinuxHost(Policy([Rule(b"/proc", Mode.RW, "test")]))
    descriptor = os.open("/etc/hostname", os.O_RDONLY) if os.path.exists("/etc/hostname") else os.open("/etc/passwd", os.O_RDONLY)
    for name in (b"/proc/self/fd/%d" % descriptor, b"/proc/%d/root/etc/passwd" % os.getpid(), b"/proc/%d/cwd" % os.getpid()):
        with pytest.raises(HostError) as caught:
            wide.stream_open(b"file:" + name, Access.READ)
        assert caught.value.errno == 40
    os.close(descriptor)
    close_host(wide)


def test_devices_on_disk_are_refused(host: LinuxHost, tmp_path: Path) -> None:
    try:
        os.mknod(tmp_path / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.close(os.open(tmp_path / "null", os.O_RDONLY))
    except PermissionError:
        pytest.skip("no device nodes here")
    with pytest.raises(HostError) as caught:
        host.stream_open(uri(tmp_path / "null"), Access.READ)
    assert caught.value.errno == 13


def test_a_file_grant_is_one_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    umask = os.umask(0o22)
    host = LinuxHost(Policy([Rule(os.fsencode(tmp_path.resolve() / "a"), Mode.RW, "rw")]))
    host.stream_write(host.stream_open(uri(tmp_path / "a"), Access.WRITE), 0, b"x")
    with pytest.raises(HostError):
        host.stream_open(uri(tmp_path / "b"), Access.READ)
    with pytest.raises(HostError):
        host.stream_delete(uri(tmp_path / "a"))
    close_host(host)
    os.umask(umask)


def test_modes_ignore_the_umask(host: LinuxHost, tmp_path: Path) -> None:
    host.stream_open(uri(tmp_path / "a"), Access.WRITE, Create.CREATE, 0o666)
    host.directory_create(uri(tmp_path / "d"), 0o777)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o666
    assert (tmp_path / "d").stat().st_mode & 0o777 == 0o777


def test_opened_files_are_blocking(host: LinuxHost, tmp_path: Path) -> None:
    plain = host.stream_open(uri(tmp_path / "a"), Access.READ_WRITE, Create.CREATE | Create.APPEND)
    assert os.get_blocking(plain)
    import fcntl

    assert fcntl.fcntl(plain, fcntl.F_GETFL) & (os.O_APPEND | os.O_ACCMODE) == os.O_APPEND | os.O_RDWR
    assert not os.get_blocking(host.stream_open(uri(tmp_path / "a"), Access.READ, Create.NONBLOCK))


def test_memory_files_can_be_executed(host: LinuxHost) -> None:
    stream = host.stream_open(b"mem:program", Access.READ_WRITE)
    host.stream_write(stream, 0, Path("/bin/true").read_bytes())
    assert subprocess.run([f"/proc/self/fd/{stream}"], check=False, pass_fds=[stream]).returncode == 0


def test_watching_an_open_file(host: LinuxHost, tmp_path: Path) -> None:
    file = host.stream_open(uri(tmp_path / "f"), Access.READ_WRITE, Create.CREATE)
    watch = host.stream_open(b"watch:%d/2" % file, Access.READ)
    with pytest.raises(HostError, match="11"):
        host.stream_read(watch, -1, 64)
    host.stream_write(file, 0, b"x")
    assert host.stream_read(watch, -1, 64)[4:8] == b"\2\0\0\0"
    with pytest.raises(HostError):
        installable_descriptor(host, watch)
    for name in (b"", b"999/2", b"%d/256" % file, b"%d" % file, b"-1/2"):
        with pytest.raises(HostError):
            host.stream_open(b"watch:" + name, Access.READ)


@pytest.mark.parametrize(("name", "sealable"), [(b"mem:x", False), (b"mem:seal:x", True)])
def test_sealing_only_where_asked(host: LinuxHost, name: bytes, sealable: bool) -> None:
    import fcntl

    stream = host.stream_open(name, Access.READ_WRITE)
    assert (fcntl.fcntl(stream, fcntl.F_GET_SEALS) & fcntl.F_SEAL_SEAL == 0) is sealable


def test_process_names_that_look_like_fields(host: LinuxHost, tmp_path: Path) -> None:
    program = tmp_path / ") R 1 (x"
    program.write_bytes(Path("/bin/cat").read_bytes())
    program.chmod(0o755)
    with subprocess.Popen([str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(b"ready\n")
        assert child.stdout.readline() == b"ready\n"
        usage = host.process_usage(child.pid)
        child.kill()
    assert usage.thread_count == 1
    assert usage.virtual_size > 100_000


def test_memory_of_another_process(host: LinuxHost) -> None:
    script = "import ctypes, sys; b = ctypes.create_string_buffer(b'secret', 99); print(ctypes.addressof(b), flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        address = int(child.stdout.readline())
        assert host.memory_read_string(child.pid, address, 100) == b"secret"
        host.memory_write(child.pid, address, b"public")
        assert host.memory_read(child.pid, address, 6) == b"public"
        assert host.process_text(child.pid, "cmdline").split(b"\0")[1] == b"-c"
        host.process_signal(child.pid, child.pid, 9)
        assert child.wait() == -9


def test_partial_reads_stop_at_the_hole(host: LinuxHost) -> None:
    import mmap

    block = mmap.mmap(-1, 3 * 4096)
    import ctypes

    address = ctypes.addressof(ctypes.c_char.from_buffer(block))
    libc = ctypes.CDLL(None)
    assert libc.mprotect(ctypes.c_void_p(address + 4096), ctypes.c_size_t(4096), 0) == 0
    block[4096 - 8 : 4096] = b"12345678"
    assert host.memory_read(os.getpid(), address + 4096 - 8, 100) == b"12345678"
    with pytest.raises(HostError) as caught:
        host.memory_read_string(os.getpid(), address + 4096 - 8, 100)
    assert caught.value.errno == 14
    with pytest.raises(HostError) as caught:
        host.memory_write(os.getpid(), address + 4096 - 4, b"x" * 8)
    assert caught.value.errno == 14
    assert libc.mprotect(ctypes.c_void_p(address + 4096), ctypes.c_size_t(4096), 3) == 0


def test_installation_needs_an_engine(host: LinuxHost) -> None:
    stream = host.stream_open(b"mem:x", Access.READ)
    with pytest.raises(HostError) as caught:
        host.descriptor_install(os.getpid(), stream, False)
    assert caught.value.errno == 38
    given: list[tuple[int, int, bool]] = []

    def install(tid: int, descriptor: int, close_on_exec: bool) -> int:
        given.append((tid, descriptor, close_on_exec))
        return 42

    attach(host, installer=install)
    assert host.descriptor_install(5, stream, True) == 42
    assert given == [(5, installable_descriptor(host, stream), True)]


def test_tokens_leave_nothing_behind(tmp_path: Path) -> None:
    pool = TokenPool([str(tmp_path)])
    tokens = [pool.directory() for _ in range(50)]
    assert list(tmp_path.iterdir()) == []
    assert all(os.listdir(token) == [] for token in tokens)
    pool.close()
    for token in tokens:
        os.close(token)


def test_tokens_need_a_place() -> None:
    with pytest.raises(OSError, match="token"):
        TokenPool([]).directory()


def test_tokens_of_a_killed_run_are_swept(tmp_path: Path) -> None:
    stale = tmp_path / "pylibos-token-0123"
    (stale / "3").mkdir(parents=True)
    os.utime(stale, (1, 1))
    fresh = tmp_path / "pylibos-token-4567"
    fresh.mkdir()
    (tmp_path / "pylibos-token-file").touch()
    pool = TokenPool([str(tmp_path)])
    os.close(pool.directory())
    pool.close()
    assert {path.name for path in tmp_path.iterdir()} == {"pylibos-token-4567", "pylibos-token-file"}


@pytest.mark.skipif(not os.path.exists("/dev/ptmx"), reason="no pseudo terminals here")
def test_a_pseudo_terminal_is_pinned_until_its_master_closes(host: LinuxHost) -> None:
    master, slave = host.stream_open_pair(b"pty:", Create.NONBLOCK)
    assert not os.get_inheritable(master)
    assert not os.get_inheritable(slave)
    assert os.get_blocking(master) is False
    assert stat.S_ISCHR(host.stream_query_open(slave).mode)
    assert host.stream_query_open(slave).link_count == 1
    with pytest.raises(HostError) as caught:
        installable_descriptor(host, slave)
    assert caught.value.errno == 1
    assert installable_descriptor(host, master) == master
    with pytest.raises(HostError) as caught:
        host.stream_reopen(slave, Access.READ_WRITE)
    assert caught.value.errno == 5, "locked, as a new terminal is"
    fcntl.ioctl(master, TIOCSPTLCK, bytes(4))
    opened = host.stream_reopen(slave, Access.READ_WRITE)
    assert os.fstat(opened).st_rdev == host.stream_query_open(slave).rdev
    assert installable_descriptor(host, opened) == opened
    host.stream_write(opened, -1, b"words")
    assert host.stream_read(master, -1, 10) == b"words"
    host.stream_close(master)
    assert host.stream_query_open(slave).link_count == 0
    with pytest.raises(HostError) as caught:
        host.stream_reopen(slave, Access.READ_WRITE)
    assert caught.value.errno == 5
