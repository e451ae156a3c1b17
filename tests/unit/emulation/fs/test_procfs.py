"""/proc, /sys and /dev over the in-memory host: contents as the tools parse them, links, permissions, and nothing of the host's."""

from __future__ import annotations

import re
from dataclasses import dataclass

import pytest

from pylibos.abi.errno import Errno
from pylibos.abi.files import O_RDONLY, O_RDWR
from pylibos.abi.record import replace
from pylibos.emulation.config_manager.defaults import COMPUTER_NAME, LIMITS, MOUNTS, load_defaults
from pylibos.emulation.config_manager.registry import Registry
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.executive import Executive
from pylibos.emulation.fs.context import FsContext
from pylibos.emulation.fs.filesystem import FileSystem
from pylibos.emulation.fs.inode import Directory, Inode
from pylibos.emulation.fs.proc_text import escape, list_text, mask_text
from pylibos.emulation.fs.standard import publish, standard_mounts
from pylibos.emulation.fs.synthetic import DeviceNode, SyntheticVolume
from pylibos.emulation.guest import FlatMemory
from pylibos.emulation.io_manager.manager import IoManager
from pylibos.emulation.memory.quota import Quota
from pylibos.emulation.net.unix import UnixNames
from pylibos.emulation.object_manager.manager import ObjectManager, describe_tree
from pylibos.emulation.outcome import Remote
from pylibos.emulation.process.machine import memory_information
from pylibos.emulation.process.object_names import sync_processes
from pylibos.emulation.process.table import ProcessTable
from pylibos.emulation.process.thread import Thread
from pylibos.emulation.security.credentials import Credentials
from pylibos.monitor.fake_guests import FakeGuest
from pylibos.monitor.fake_host import FakeHost
from pylibos.monitor.host_abi import Access, Create, ProcessUsage

HOST_PID = 7001
CHILD_HOST_PID = 7002


@dataclass
class Sandbox:
    """An executive with the standard mounts and two processes, pids 5 and 6, known to the host as 7001 and 7002."""

    host: FakeHost
    executive: Executive
    thread: Thread

    def find(self, path: str, follow: bool = True) -> Inode:
        return self.executive.files.find(self.thread, None, path.encode(), follow)

    def read(self, path: str) -> bytes:
        stream = self.find(path).open_stream(self.thread, Access.READ, Create.OPEN)
        content = self.host.stream_read(stream, 0, 1 << 20)
        self.host.stream_close(stream)
        return content

    def write(self, path: str, data: bytes) -> None:
        stream = self.find(path).open_stream(self.thread, Access.WRITE, Create.OPEN)
        self.host.stream_write(stream, 0, data)
        for volume in self.executive.files.mounts:
            if isinstance(volume, SyntheticVolume):
                volume.drain()

    def link(self, path: str) -> bytes:
        return self.find(path, follow=False).read_link(self.thread)

    def names(self, path: str) -> set[bytes]:
        directory = self.find(path)
        assert isinstance(directory, Directory)
        return {entry.name for entry in directory.read_entries(self.thread)}


@pytest.fixture
def box() -> Sandbox:
    host = FakeHost()
    io = IoManager(host)
    files = FileSystem(host, io.inodes)
    processes = ProcessTable(lambda _: FlatMemory())
    registry = Registry()
    load_defaults(registry, hostname="box")
    executive = Executive(host, ObjectManager(), io, files, processes, registry)
    io.live_guests = lambda: [process.host_pid for process in processes.live()]
    files.mount_all([(b"/", "tmpfs", None), *standard_mounts(executive)])
    publish(executive)
    usage = ProcessUsage("t", 50_000_000, 20_000_000, 8 << 20, 2 << 20, 11, 3, 1, 990_000_000, 5, 1)
    host.guests[HOST_PID] = FakeGuest(command_line=b"loader\0-x\0", environment=b"A=1\0B=2\0", usage=usage)
    host.guests[CHILD_HOST_PID] = FakeGuest(usage=usage)
    thread = processes.create_root(executive, HOST_PID, 5, Credentials(1000, 100, (4, 24)), FsContext(files.root))
    thread.comm = thread.process.comm = b"my prog) R 1"
    thread.process.executable_path = b"/usr/bin/prog"
    processes.fork(thread, CHILD_HOST_PID, 6, 0)
    return Sandbox(host, executive, thread)


# -- processes ------------------------------------------------------------------------------------------------------------
def test_listing_and_self(box: Sandbox) -> None:
    assert {b"5", b"6", b"self", b"thread-self", b"sys", b"meminfo"} <= box.names("/proc")
    assert b"7001" not in box.names("/proc")
    assert box.link("/proc/self") == b"5"
    assert box.link("/proc/thread-self") == b"5/task/5"
    assert box.names("/proc/6/task") == {b"6"}
    for path in ("/proc/7001", "/proc/05", "/proc/x", "/proc/5/nothing", "/proc/5/task/6"):
        with pytest.raises(SyscallError) as caught:
            box.find(path)
        assert caught.value.errno is Errno.ENOENT


def test_every_listed_name_can_be_looked_up_under_a_stable_number(box: Sandbox) -> None:
    directory = box.find("/proc/5")
    assert isinstance(directory, Directory)
    entries = directory.read_entries(box.thread)
    assert len({entry.number for entry in entries if entry.name != b"net"}) == len(entries) - 1
    for entry in entries:
        inode = box.find(f"/proc/5/{entry.name.decode()}", follow=False)
        assert (inode.number, inode.mode >> 12) == (entry.number, entry.kind)


def test_stat_has_52_fields_whatever_the_name(box: Sandbox) -> None:
    text = box.read("/proc/6/stat")
    head, _, rest = text.rpartition(b") ")
    fields = rest.split()
    assert head == b"6 (my prog) R 1"
    assert len(fields) == 50
    assert (fields[0], fields[1]) == (b"S", b"5")
    assert (fields[11], fields[12], fields[15], fields[16]) == (b"5", b"2", b"25", b"5")
    assert (fields[19], fields[20], fields[21]) == (b"99", b"8388608", b"512")
    assert box.read("/proc/self/stat").rpartition(b") ")[2][:1] == b"R"


def test_status(box: Sandbox) -> None:
    rows = dict(line.split(b":\t", 1) for line in box.read("/proc/6/status").splitlines())
    assert rows[b"State"] == b"S (sleeping)"
    assert (rows[b"Pid"], rows[b"PPid"], rows[b"TracerPid"]) == (b"6", b"5", b"0")
    assert rows[b"Uid"] == b"1000\t1000\t1000\t1000"
    assert rows[b"Groups"] == b"4 24 "
    assert rows[b"VmRSS"] == b"    2048 kB"
    assert rows[b"CapEff"] == b"0000000000000000"
    assert rows[b"Seccomp"] == b"0"


def test_command_line_shows_a_scripts_interpreter(box: Sandbox) -> None:
    assert box.read("/proc/self/cmdline") == b"loader\0-x\0"
    box.thread.process.argument_prefix = [b"/bin/sh", b"/script"]
    assert box.read("/proc/self/cmdline") == b"/bin/sh\0/script\0-x\0"
    assert box.read("/proc/self/environ") == b"A=1\0B=2\0"
    assert box.find("/proc/self/environ").mode & 0o777 == 0o400


def test_comm_can_be_set(box: Sandbox) -> None:
    box.write("/proc/self/comm", b"a-name-longer-than-fifteen\n")
    assert box.read("/proc/self/comm") == b"a-name-longer-t\n"
    assert box.thread.process.comm == b"a-name-longer-t"


def test_oom_score_adj_is_kept_and_inherited(box: Sandbox) -> None:
    box.write("/proc/5/oom_score_adj", b"300\n")
    assert box.read("/proc/6/oom_score_adj") == b"300\n"
    box.write("/proc/6/oom_score_adj", b"-7")
    box.write("/proc/6/oom_score_adj", b"2000")
    assert box.read("/proc/6/oom_score_adj") == b"-7\n"
    assert box.read("/proc/5/oom_score_adj") == b"300\n"


def test_links_of_a_process(box: Sandbox) -> None:
    box.thread.process.fs.cwd = box.find("/dev")
    assert box.link("/proc/5/cwd") == b"/dev"
    assert box.find("/proc/5/cwd") is box.find("/dev")
    assert box.find("/proc/5/root") is box.executive.files.root
    assert box.link("/proc/5/exe") == b"/usr/bin/prog"
    assert box.link("/proc/5/ns/uts") == box.link("/proc/6/ns/uts")


def test_descriptors_never_tell_host_paths(box: Sandbox) -> None:
    host = box.host
    null = box.find("/dev/null")
    assert isinstance(null, DeviceNode)
    opened = null.open_device(box.thread, O_RDWR)
    assert not isinstance(opened, Remote)
    streams = [opened, *host.stream_open_pair(b"pipe:")]
    host.stream_close(host.stream_open(b"file:/secret-of-the-host", Access.READ_WRITE, Create.CREATE))
    streams.append(host.stream_open(b"file:/secret-of-the-host", Access.READ))
    numbers = [host.descriptor_install(HOST_PID, stream, False) for stream in streams]
    assert box.names("/proc/self/fd") == {b"%d" % number for number in numbers}
    assert box.link("/proc/self/fd/0") == b"/dev/null"
    assert re.fullmatch(rb"pipe:\[\d+\]", box.link("/proc/self/fd/1"))
    assert b"secret" not in box.link("/proc/self/fd/3")
    assert box.find("/proc/self/fd/0") is null
    assert b"flags:\t02\n" in box.read("/proc/self/fdinfo/0")
    assert box.find("/proc/self/fd/1", follow=False).mode & 0o777 == 0o500
    with pytest.raises(SyscallError):
        box.find("/proc/self/fd/9")


def test_a_pipe_is_opened_again_through_its_link(box: Sandbox) -> None:
    reader, writer = box.host.stream_open_pair(b"pipe:")
    number = box.host.descriptor_install(HOST_PID, reader, False)
    inode = box.find(f"/proc/self/fd/{number}")
    assert inode.mode >> 12 == 1
    install = box.executive.io.open(box.thread, inode, O_RDONLY, b"")
    box.host.stream_write(writer, -1, b"through")
    assert box.host.stream_read(install.stream, -1, 100) == b"through"


def test_zombie(box: Sandbox) -> None:
    box.host.guests[CHILD_HOST_PID].usage = ProcessUsage("Z", 0, 0, 0, 0, 0, 0, 1, 0, 0, 0)
    box.executive.processes.thread_exited(CHILD_HOST_PID, 256)
    assert b"State:\tZ (zombie)" in box.read("/proc/6/status")
    assert box.read("/proc/6/cmdline") == b""
    with pytest.raises(SyscallError) as caught:
        box.link("/proc/6/cwd")
    assert caught.value.errno is Errno.ENOENT


def test_maps_are_translated(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    known = box.find("/dev/null")
    box.executive.files.registry[0x801, 77] = known
    text = (
        b"00400000-00401000 r-xp 00000000 08:01 77                         /host/secret/lib.so\n"
        b"00500000-00501000 r--p 00000000 08:01 78                         /host/secret/other\n"
        b"7ffff000-80000000 rw-p 00000000 00:00 0                          [stack]\n"
        b"80000000-80001000 rw-p 00000000 00:00 0 \n"
    )
    monkeypatch.setattr(box.host, "memory_map_text", lambda _: text)
    lines = box.read("/proc/self/maps").splitlines()
    assert lines[0].endswith(b" /dev/null")
    assert lines[0].index(b"/dev/null") == 73
    assert b"secret" not in b"".join(lines)
    assert lines[2].endswith(b" [stack]")
    assert lines[3].split() == [b"80000000-80001000", b"rw-p", b"00000000", b"00:00", b"0"]


def test_limits_table(box: Sandbox) -> None:
    box.host.guests[HOST_PID].limits[7] = (1024, 4096)
    lines = box.read("/proc/self/limits").decode().splitlines()
    assert len(lines) == 17
    assert re.search(r"^Max open files +1024 +4096 +files", lines[8])
    assert "unlimited" in lines[1]


# -- system ------------------------------------------------------------------------------------------------------------------
def test_mount_tables(box: Sandbox) -> None:
    rows = [line.split() for line in box.read("/proc/mounts").decode().splitlines()]
    assert [(row[1], row[2]) for row in rows] == [
        ("/", "tmpfs"), ("/dev", "devtmpfs"), ("/dev/shm", "tmpfs"), ("/proc", "proc"), ("/sys", "sysfs"), ("/sys/fs/cgroup", "cgroup2"),
    ]  # fmt: skip
    for line in box.read("/proc/self/mountinfo").decode().splitlines():
        left, _, right = line.partition(" - ")
        assert len(left.split()) == 6
        assert len(right.split()) == 3
    assert [key.text("Target") for key in box.executive.registry.subkeys(MOUNTS)] == [row[1] for row in rows]


def test_what_free_and_nproc_read(box: Sandbox) -> None:
    rows = {line.split(b":")[0] for line in box.read("/proc/meminfo").splitlines()}
    assert {b"MemTotal", b"MemFree"} <= rows
    assert re.fullmatch(rb"\d+(-\d+)?\n", box.read("/sys/devices/system/cpu/online"))
    assert box.read("/proc/stat").startswith(b"cpu ")
    assert re.fullmatch(rb"\S+ \S+ \S+ 1/2 6\n", box.read("/proc/loadavg"))


def test_version_comes_from_the_registry(box: Sandbox) -> None:
    assert box.read("/proc/version").startswith(b"Linux version 6.1")
    assert box.read("/proc/sys/kernel/ostype") == b"Linux\n"
    assert box.read("/proc/sys/kernel/hostname") == b"box\n"
    assert box.read("/proc/sys/fs/nr_open") == b"1048576\n"


def test_only_guest_root_writes_settings(box: Sandbox) -> None:
    box.write("/proc/sys/kernel/hostname", b"other\n")
    assert box.executive.registry.text(COMPUTER_NAME, "Hostname") == "box"
    box.thread.process.credentials = Credentials(0, 0)
    box.write("/proc/sys/kernel/hostname", b"other\n")
    assert box.executive.registry.text(COMPUTER_NAME, "Hostname") == "other"
    box.write("/proc/sys/net/core/somaxconn", b"99\n")
    box.write("/proc/sys/vm/max_map_count", b"many\n")
    assert box.executive.registry.number(LIMITS, "SomaxConn") == 99
    assert box.read("/proc/sys/vm/max_map_count") == b"65530\n"


def test_uuid_differs_and_boot_id_stays(box: Sandbox) -> None:
    uuid = re.compile(rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\n")
    first, second = (box.read("/proc/sys/kernel/random/uuid") for _ in range(2))
    assert first != second
    assert uuid.fullmatch(first)
    assert box.read("/proc/sys/kernel/random/boot_id") == box.read("/proc/sys/kernel/random/boot_id")
    assert uuid.fullmatch(box.read("/proc/sys/kernel/random/boot_id"))


def test_every_file_renders(box: Sandbox) -> None:
    """The whole of /proc and /sys, and no name of the host's processes in any of it."""
    pending, seen = ["/proc", "/sys"], 0
    while pending:
        path = pending.pop()
        for name in sorted(box.names(path)):
            where = f"{path}/{name.decode()}"
            inode = box.find(where, follow=False)
            inode.stat_record()
            if inode.is_directory:
                if inode.parent is not None and where.count("/") < 8:
                    pending.append(where)
            elif inode.is_symlink:
                inode.read_link(box.thread)
            elif inode.mode & 0o444 and name != b"mem":  # which is the host's own file
                seen += 1
                assert b"7001" not in box.read(where), where
    assert seen > 300


# -- network -----------------------------------------------------------------------------------------------------------------
TCP = (
    b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"
    b"   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 65534        0 42 1 ffff8881deadbeef 100 0 0 10 0\n"
)
UNIX = (
    b"Num       RefCount Protocol Flags    Type St Inode Path\n"
    b"ffff8881deadbeef: 00000002 00000000 00010000 0001 01 43 @0123456789abc\nffff8881deadbeef: 00000002 00000000 00000000 0001 03 44\n"
)


def test_network_tables_are_the_guests_own(box: Sandbox) -> None:
    box.host.guests[HOST_PID].network = {"net/tcp": TCP, "net/unix": UNIX}
    assert box.read("/proc/net/tcp").count(b"\n") == 1, "without a name space of their own the guests see no socket of the host"
    box.executive.private_network = True
    names = box.executive.unix_names = UnixNames()
    names.enter(box.find("/dev/null"), b"\x000123456789abc", b"/tmp/a\nb\0")
    line = box.read("/proc/net/tcp").splitlines()[1]
    assert line.endswith(b" 00000000  1000        0 42 1 0000000000000000 100 0 0 10 0")
    rows = box.read("/proc/self/net/unix").splitlines()
    assert rows[1] == b"0000000000000000: 00000002 00000000 00010000 0001 01 43 /tmp/a\\nb"
    assert rows[2] == b"0000000000000000: 00000002 00000000 00000000 0001 03 44"
    assert box.read("/proc/net/udp").count(b"\n") == 1, "what the host does not tell is an empty table"


# -- what the sandbox may use ---------------------------------------------------------------------------------------------------
def test_no_limit_is_told_as_none(box: Sandbox) -> None:
    assert box.read("/sys/fs/cgroup/memory.max") == box.read("/sys/fs/cgroup/pids.max") == b"max\n"
    assert box.read("/sys/fs/cgroup/cpu.max") == b"max 100000\n"
    assert box.read("/proc/meminfo") == box.host.system_query("meminfo")
    assert box.read("/sys/fs/cgroup/memory.current") == b"%d\n" % (4 << 20)  # two guests of 2 MiB
    assert box.read("/sys/fs/cgroup/pids.current") == b"2\n"
    assert box.read("/sys/fs/cgroup/cpu.stat").startswith(b"usage_usec 140000\nuser_usec 100000\nsystem_usec 40000\n")


def test_a_limit_shows_everywhere(box: Sandbox) -> None:
    box.executive.policy_quota = Quota(memory=64 << 20, processes=9)
    assert box.read("/sys/fs/cgroup/memory.max") == b"%d\n" % (64 << 20)
    assert box.read("/sys/fs/cgroup/pids.max") == b"9\n"
    assert box.read("/proc/meminfo").splitlines()[:2] == [b"MemTotal:          65536 kB", b"MemFree:           61440 kB"]
    assert memory_information(box.executive)[b"MemTotal"] == 64 << 20


@pytest.mark.parametrize(("host", "told"), [(b"32000000", b"32000000\n"), (b"99000000", b"67108864\n"), (b"max", b"67108864\n")])
def test_the_smaller_of_policy_and_host_counts(box: Sandbox, monkeypatch: pytest.MonkeyPatch, host: bytes, told: bytes) -> None:
    ask = box.host.system_query
    facts = {"memory-limit": host, "processor-limit": b"150000 100000"}
    monkeypatch.setattr(box.host, "system_query", lambda name: facts.get(name) or ask(name))
    box.executive.policy_quota = Quota(memory=64 << 20)
    assert box.read("/sys/fs/cgroup/memory.max") == told
    assert box.read("/sys/fs/cgroup/cpu.max") == b"150000 100000\n"


def test_sizes_are_the_hosts_by_their_kinds(box: Sandbox) -> None:
    usage = box.host.guests[HOST_PID].usage
    accounts = {"RssAnon": 900, "RssFile": 600, "RssShmem": 4, "VmData": 1000, "VmStk": 132, "VmExe": 40, "syscr": 7}
    accounts["voluntary_ctxt_switches"] = 3
    box.host.guests[HOST_PID].usage = replace(usage, accounts=accounts)
    assert box.read("/proc/5/statm") == b"2048 512 151 10 0 283 0\n"
    status = box.read("/proc/5/status")
    for line in (b"RssFile:\t     600 kB", b"VmRSS:\t    2048 kB", b"voluntary_ctxt_switches:\t3", b"nonvoluntary_ctxt_switches:\t0"):
        assert line in status.splitlines()
    assert b"syscr: 7\n" in box.read("/proc/5/io")


def test_smaps_is_maps_with_sizes(box: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        b"00400000-00401000 r-xp 00000000 08:01 78                         /host/secret/lib.so\n"
        b"Size:                  4 kB\nRss:                3 kB\nPss:                   2 kB\nAnonymous:             1 kB\nVmFlags: rd \n"
        b"7ffff000-80000000 rw-p 00000000 00:00 0                          [stack]\n"
        b"Rss:                   8 kB\nPss:                   8 kB\nAnonymous:             8 kB\n"
    )
    monkeypatch.setattr(box.host, "memory_map_text", lambda _tid, detailed: text if detailed else b"")
    lines = box.read("/proc/5/smaps").splitlines()
    assert b"secret" not in b"".join(lines)
    assert (len(lines), lines[0].split()[0], lines[6].split()[-1]) == (10, b"00400000-00401000", b"[stack]")
    assert lines[1] == b"Size:                  4 kB"
    rollup = dict(line.split(b":", 1) for line in box.read("/proc/5/smaps_rollup").splitlines()[1:])
    assert [int(rollup[name].split()[0]) for name in (b"Rss", b"Pss", b"Pss_Anon", b"Pss_File")] == [11, 10, 9, 1]
    assert box.read("/proc/5/smaps_rollup").startswith(b"00400000-80000000 ---p")


# -- devices ------------------------------------------------------------------------------------------------------------------
def test_devices(box: Sandbox) -> None:
    assert {b"null", b"zero", b"full", b"random", b"urandom", b"tty", b"ptmx", b"pts", b"fd", b"stdin", b"shm"} <= box.names("/dev")
    null = box.find("/dev/null")
    assert (null.rdev, null.mode) == (0x103, 0o020666)
    assert box.link("/dev/stdin") == b"/proc/self/fd/0"
    assert box.find("/dev/ptmx").rdev == 0x502
    assert box.find("/dev/shm").volume.kind == b"tmpfs"


def test_tty_without_terminal_is_enxio(box: Sandbox) -> None:
    node = box.find("/dev/tty")
    assert isinstance(node, DeviceNode)
    with pytest.raises(SyscallError) as caught:
        node.open_device(box.thread, O_RDWR)
    assert caught.value.errno is Errno.ENXIO


def test_devices_and_processes_in_the_object_name_space(box: Sandbox) -> None:
    sync_processes(box.executive.objects, box.executive.processes)
    sync_processes(box.executive.objects, box.executive.processes)
    rows = {row.path: row for row in describe_tree(box.executive.objects)}
    assert rows["\\Device\\Null"].detail == "char 1:3"
    assert rows["\\GLOBAL??\\Null"].detail == "-> \\Device\\Null"
    assert rows["\\Processes\\6\\Threads\\6"].type == "Thread"
    assert box.executive.objects.lookup("\\Registry\\Machine\\System\\Devices\\null").body.number("Minor") == 3


# -- formats ------------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("mask", "ranges", "text"),
    [(0b1, "0", "1"), (0b1011, "0-1,3", "b"), ((1 << 40) - 1, "0-39", "ff,ffffffff"), (1 << 64, "64", "1,00000000,00000000")],
)
def test_processor_masks(mask: int, ranges: str, text: str) -> None:
    assert (list_text(mask), mask_text(mask)) == (ranges, text)


def test_escape() -> None:
    assert escape(b"/a b\t\\#\n") == b"/a\\040b\\011\\134\\043\\012"
