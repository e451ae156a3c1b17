"""The contract of the host ABI, guests and the rest: every case runs on the four hosts of hosts.py."""

from __future__ import annotations

import os
import re
import stat

import pytest

from pylibos.abi.errno import Errno
from pylibos.monitor.host_abi import Access, Create, HostStream
from tests.unit.monitor.hosts import Setup, fails, make

RW = Access.READ_WRITE


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
        lambda: host.process_text(gone, "cmdline"),
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
    held = make(setup, b"gone")
    number = host.descriptor_install(setup.tid, held, False)
    host.stream_delete(setup.file(b"gone"))
    reopened = host.stream_open(b"guest:%d/%d" % (setup.tid, number), Access.READ)
    assert host.stream_read(reopened, -1, 20) == b"content"
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
    assert b"\0" in host.process_text(pid, "cmdline")
    host.process_text(pid, "environ")
    for name in ("stat", "../1/environ", "net/../environ", "net/nf_conntrack", ""):
        with fails(Errno.ENOENT):
            host.process_text(pid, name)
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
    for name in ("memory-limit", "process-limit", "processor-limit"):
        assert re.fullmatch(rb"max|\d+( \d+)?", setup.host.system_query(name))
    for name in ("", "version", "../etc/passwd"):
        with fails(Errno.ENOENT):
            setup.host.system_query(name)
