"""Texts of /proc that belong to the whole sandbox: processors, memory, load, kernel version, device tables (network: proc_net.py).

Functions from the calling thread to bytes. Facts of the machine come from the host ABI's closed list (system_query), all else from the
registry and the process table. Host processes are not counted.
Sources: proc(5), Linux fs/proc/*.c for formats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pylibos.emulation.config_manager.defaults import KERNEL
from pylibos.emulation.memory.quota import memory_text
from pylibos.monitor.host_abi import HostError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylibos.emulation.process.thread import Thread
    from pylibos.monitor.host_abi import HostABI


_FALLBACK: Final = {
    "meminfo": b"MemTotal:        1048576 kB\nMemFree:          524288 kB\nMemAvailable:     786432 kB\nBuffers:               0 kB\n"
    b"Cached:           262144 kB\nSwapCached:            0 kB\nSwapTotal:             0 kB\nSwapFree:              0 kB\n"
    b"Shmem:                 0 kB\nSReclaimable:          0 kB\n",
    "cpuinfo": b"processor\t: 0\nvendor_id\t: unknown\ncpu family\t: 6\nmodel\t\t: 0\nmodel name\t: unknown\ncpu MHz\t\t: 1000.000\n"
    b"physical id\t: 0\nsiblings\t: 1\ncore id\t\t: 0\ncpu cores\t: 1\nflags\t\t: fpu\n\n",
    "loadavg": b"0.00 0.00 0.00 1/1 1\n",
    "uptime": b"1.00 1.00\n",
    "stat": b"cpu  0 0 0 0 0 0 0 0 0 0\ncpu0 0 0 0 0 0 0 0 0 0 0\nintr 0\nctxt 0\nbtime 0\nprocesses 1\nprocs_running 1\nprocs_blocked 0\n",
}
"""What is told where the host does not say (the in-memory host, a hidden /proc)."""


def fact(host: HostABI, name: str) -> bytes:
    """A fact of the machine, or a plausible constant where the host has none."""
    try:
        return host.system_query(name)
    except HostError:
        return _FALLBACK.get(name, b"")


def meminfo(thread: Thread) -> bytes:
    """Memory of the machine, or of what the sandbox may have of it."""
    try:
        return memory_text(thread.executive)
    except HostError:
        return _FALLBACK["meminfo"]


def cpuinfo(thread: Thread) -> bytes:
    """Processors of the machine."""
    return fact(thread.executive.host, "cpuinfo")


def uptime(thread: Thread) -> bytes:
    """Seconds since boot and of idleness."""
    return fact(thread.executive.host, "uptime")


def loadavg(thread: Thread) -> bytes:
    """Load of the machine; the process counts are the sandbox's."""
    averages = fact(thread.executive.host, "loadavg").split()[:3]
    table = thread.executive.processes
    newest = max((process.pid for process in table.processes()), default=1)
    return b"%b 1/%d %d\n" % (b" ".join(averages), max(1, table.thread_count()), newest)


def stat(thread: Thread) -> bytes:
    """Processor times of the machine; interrupts only as a sum, processes those of the sandbox."""
    lines = []
    for line in fact(thread.executive.host, "stat").splitlines():
        name, _, rest = line.partition(b" ")
        if name in (b"intr", b"softirq"):
            line = name + b" " + rest.split(b" ", 1)[0]  # noqa: PLW2901 - the loop is about lines
        elif name == b"processes":
            line = b"processes %d" % max(1, len(thread.executive.processes))  # noqa: PLW2901
        elif name == b"procs_running":
            line = b"procs_running 1"  # noqa: PLW2901
        elif name == b"procs_blocked":
            line = b"procs_blocked 0"  # noqa: PLW2901
        lines.append(line)
    return b"\n".join(lines) + b"\n"


def processor_numbers(host: HostABI) -> list[int]:
    """Numbers of the machine's processors, from the lines of stat; at least one."""
    numbers = [
        int(line[3 : line.index(b" ")])
        for line in fact(host, "stat").splitlines()
        if line.startswith(b"cpu") and line[3:4].isdigit() and b" " in line
    ]
    return numbers or [0]


def version(thread: Thread) -> bytes:
    """The banner of the kernel the guest sees."""
    return thread.executive.registry.text(KERNEL, "Banner", "Linux version").encode() + b"\n"


def command_line(thread: Thread) -> bytes:
    """Boot arguments."""
    return thread.executive.registry.text(KERNEL, "CommandLine").encode() + b"\n"


def filesystems(_thread: Thread) -> bytes:
    """File system types that exist here."""
    return b"".join(b"nodev\t%b\n" % name for name in (b"sysfs", b"tmpfs", b"proc", b"devtmpfs", b"devpts", b"overlay", b"cgroup2"))


def _constant(text: bytes) -> Callable[[Thread], bytes]:
    def render(_thread: Thread) -> bytes:
        return text

    return render


_DEVICES: Final = (
    b"Character devices:\n  1 mem\n  4 tty\n  5 /dev/tty\n  5 /dev/console\n  5 /dev/ptmx\n 10 misc\n136 pts\n\nBlock devices:\n"
)
_VMSTAT: Final = b"nr_free_pages 0\npgpgin 0\npgpgout 0\npswpin 0\npswpout 0\npgfault 0\npgmajfault 0\n"

FILES: Final[dict[bytes, Callable[[Thread], bytes]]] = {
    b"meminfo": meminfo,
    b"cpuinfo": cpuinfo,
    b"uptime": uptime,
    b"loadavg": loadavg,
    b"stat": stat,
    b"version": version,
    b"cmdline": command_line,
    b"filesystems": filesystems,
    b"devices": _constant(_DEVICES),
    b"partitions": _constant(b"major minor  #blocks  name\n\n"),
    b"diskstats": _constant(b""),
    b"swaps": _constant(b"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n"),
    b"modules": _constant(b""),
    b"interrupts": _constant(b"           CPU0       \n"),
    b"softirqs": _constant(b"                    CPU0       \n"),
    b"vmstat": _constant(_VMSTAT),
    b"zoneinfo": _constant(b""),
    b"misc": _constant(b""),
    b"locks": _constant(b""),
    b"crypto": _constant(b""),
    b"cgroups": _constant(
        b"#subsys_name\thierarchy\tnum_cgroups\tenabled\n"
        + b"".join(name + b"\t0\t1\t1\n" for name in (b"cpuset", b"cpu", b"memory", b"pids"))
    ),
    b"consoles": _constant(b""),
    b"buddyinfo": _constant(b""),
    b"execdomains": _constant(b"0-0\tLinux           \t[kernel]\n"),
}
"""Files of /proc itself."""
