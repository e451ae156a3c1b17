"""sysfs: a minimal /sys: processors, memory nodes, the loopback device, transparent huge pages.

create_sysfs(executive) makes the volume; its tree is fixed when it is made (the number of processors does not change), contents are made
when opened. What is here is what lscpu, nproc, glibc, Go, node, the JVM and top read. No hardware of the host appears.
Source: Linux Documentation/ABI/{stable,testing}/sysfs-*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pylibos.abi.files import SYSFS_MAGIC
from pylibos.emulation.fs.proc_system import fact, processor_numbers
from pylibos.emulation.fs.proc_text import list_text, mask_text
from pylibos.emulation.fs.synthetic import StaticDirectory, StaticLink, SyntheticFile, SyntheticVolume

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylibos.emulation.executive import Executive
    from pylibos.emulation.process.thread import Thread


_EMPTY_DIRECTORIES: Final = (
    b"block",
    b"bus",
    b"class/block",
    b"class/drm",
    b"class/hwmon",
    b"class/power_supply",
    b"class/thermal",
    b"class/tty",
    b"dev/block",
    b"dev/char",
    b"devices/system/memory",
    b"firmware",
    b"fs/cgroup",
    b"fs/selinux",
    b"hypervisor",
    b"kernel/debug",
    b"kernel/mm/hugepages",
    b"kernel/security",
    b"module",
    b"power",
)

_LOOPBACK: Final = {
    b"address": b"00:00:00:00:00:00\n",
    b"addr_len": b"6\n",
    b"broadcast": b"00:00:00:00:00:00\n",
    b"carrier": b"1\n",
    b"flags": b"0x9\n",
    b"ifindex": b"1\n",
    b"iflink": b"1\n",
    b"link_mode": b"0\n",
    b"mtu": b"65536\n",
    b"operstate": b"unknown\n",
    b"tx_queue_len": b"1000\n",
    b"type": b"772\n",
    b"uevent": b"INTERFACE=lo\nIFINDEX=1\n",
}
_COUNTERS: Final = (b"rx_bytes", b"rx_packets", b"rx_errors", b"rx_dropped", b"tx_bytes", b"tx_packets", b"tx_errors", b"tx_dropped")

_HUGE_PAGES: Final = {
    b"enabled": b"always [madvise] never\n",
    b"defrag": b"always defer defer+madvise [madvise] never\n",
    b"shmem_enabled": b"always within_size advise [never] deny force\n",
    b"hpage_pmd_size": b"2097152\n",
    b"use_zero_page": b"1\n",
}


def create_sysfs(executive: Executive) -> SyntheticVolume:
    """The volume for /sys."""
    volume = SyntheticVolume(executive.host, executive.files.new_device(), b"sysfs", SYSFS_MAGIC)
    volume.registry = executive.files.registry
    volume.no_suid = volume.no_device = volume.no_exec = True
    volume.root = StaticDirectory(volume, 0o555, number=1)
    tree = _Tree(volume)
    for path in _EMPTY_DIRECTORIES:
        tree.directory(path)
    _processors(tree, executive)
    _loopback(tree)
    for name, text in _HUGE_PAGES.items():
        tree.file(b"kernel/mm/transparent_hugepage/" + name, text)
    return volume


class _Tree:
    """Adds files by path."""

    __slots__ = ("root", "volume")

    def __init__(self, volume: SyntheticVolume) -> None:
        self.volume = volume
        assert isinstance(volume.root, StaticDirectory)
        self.root = volume.root

    def directory(self, path: bytes) -> StaticDirectory:
        current = self.root
        for part in path.split(b"/"):
            found = current.entries.get(part)
            if not isinstance(found, StaticDirectory):
                found = StaticDirectory(self.volume, 0o755)
                current.add(part, found)
            current = found
        return current

    def file(self, path: bytes, content: bytes | Callable[[Thread], bytes]) -> None:
        parent, _, name = path.rpartition(b"/")

        def constant(_thread: Thread) -> bytes:
            assert isinstance(content, bytes)
            return content

        render = constant if isinstance(content, bytes) else content
        self.directory(parent).add(name, SyntheticFile(self.volume, render))

    def link(self, path: bytes, target: bytes) -> None:
        parent, _, name = path.rpartition(b"/")
        self.directory(parent).add(name, StaticLink(self.volume, target))


# -- processors and nodes ----------------------------------------------------------------------------------------------------
def _processors(tree: _Tree, executive: Executive) -> None:
    numbers = processor_numbers(executive.host)
    mask = sum(1 << number for number in numbers)
    ranges = list_text(mask).encode() + b"\n"
    base = b"devices/system/cpu/"
    for name in (b"online", b"possible", b"present"):
        tree.file(base + name, ranges)
    tree.file(base + b"offline", b"\n")
    tree.file(base + b"isolated", b"\n")
    tree.file(base + b"kernel_max", b"8191\n")
    tree.file(base + b"smt/active", b"0\n")
    tree.file(base + b"smt/control", b"notsupported\n")
    tree.directory(base + b"vulnerabilities")
    facts = _topology(fact(executive.host, "cpuinfo"))
    for number in numbers:
        package, core = facts.get(number, (0, number))
        _processor(tree, base + b"cpu%d/" % number, number, package, core, {n: facts.get(n, (0, n)) for n in numbers})
    node = b"devices/system/node/"
    for name in (b"online", b"possible", b"has_cpu", b"has_memory", b"has_normal_memory"):
        tree.file(node + name, b"0\n")
    tree.file(node + b"node0/cpulist", ranges)
    tree.file(node + b"node0/cpumap", mask_text(mask).encode() + b"\n")
    tree.file(node + b"node0/distance", b"10\n")
    tree.file(node + b"node0/meminfo", _node_memory)
    tree.file(node + b"node0/numastat", b"numa_hit 0\nnuma_miss 0\nnuma_foreign 0\ninterleave_hit 0\nlocal_node 0\nother_node 0\n")
    for number in numbers:
        tree.link(node + b"node0/cpu%d" % number, b"../../cpu/cpu%d" % number)
        tree.link(base + b"cpu%d/node0" % number, b"../../node/node0")


def _processor(tree: _Tree, base: bytes, number: int, package: int, core: int, all_processors: dict[int, tuple[int, int]]) -> None:
    siblings = sum(1 << other for other, place in all_processors.items() if place == (package, core))
    neighbours = sum(1 << other for other, place in all_processors.items() if place[0] == package)
    if number:
        tree.file(base + b"online", b"1\n")
    topology = base + b"topology/"
    tree.file(topology + b"core_id", b"%d\n" % core)
    tree.file(topology + b"physical_package_id", b"%d\n" % package)
    tree.file(topology + b"die_id", b"0\n")
    for name, mask in (
        (b"thread_siblings", siblings),
        (b"core_cpus", siblings),
        (b"core_siblings", neighbours),
        (b"package_cpus", neighbours),
        (b"die_cpus", neighbours),
    ):
        tree.file(topology + name, mask_text(mask).encode() + b"\n")
        tree.file(topology + name + b"_list", list_text(mask).encode() + b"\n")


def _topology(cpuinfo: bytes) -> dict[int, tuple[int, int]]:
    """(package, core) of each processor number, from the text of cpuinfo."""
    places: dict[int, tuple[int, int]] = {}
    for block in cpuinfo.split(b"\n\n"):
        fields = {}
        for line in block.splitlines():
            name, colon, value = line.partition(b":")
            if colon and value.strip().isdigit():
                fields[name.strip()] = int(value)
        number = fields.get(b"processor")
        if number is not None:
            places[number] = (fields.get(b"physical id", 0), fields.get(b"core id", number))
    return places


def _node_memory(thread: Thread) -> bytes:
    lines = fact(thread.executive.host, "meminfo").splitlines()
    wanted = (b"MemTotal:", b"MemFree:", b"Active:", b"Inactive:", b"Dirty:", b"Shmem:", b"AnonPages:", b"Mapped:")
    return b"".join(b"Node 0 %b\n" % line for line in lines if line.startswith(wanted))


# -- network ----------------------------------------------------------------------------------------------
def _loopback(tree: _Tree) -> None:
    base = b"devices/virtual/net/lo/"
    for name, text in _LOOPBACK.items():
        tree.file(base + name, text)
    for name in _COUNTERS:
        tree.file(base + b"statistics/" + name, b"0\n")
    tree.link(b"class/net/lo", b"../../devices/virtual/net/lo")
