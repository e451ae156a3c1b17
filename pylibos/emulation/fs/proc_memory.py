"""Texts of /proc/PID/* about memory and I/O: maps, smaps, smaps_rollup, statm, io, and the sizes in status.

Functions like those of proc_text.py: (reader, process, thread) to bytes. Regions and figures are the host's for that very process; names of
files are the view's, or none: no host path passes. What the supervisor wrote into a guest's memory is the guest's by then.
Sources: proc(5); Linux fs/proc/task_mmu.c, task_io_accounting.h.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pylibos.abi.files import device_major, device_minor
from pylibos.abi.plan import AUXILIARY_ADDRESS
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.fs.inode import Inode, path_of

if TYPE_CHECKING:
    from pylibos.emulation.process.process import Process
    from pylibos.emulation.process.thread import Thread
    from pylibos.monitor.host_abi import ProcessUsage

_AUXILIARY_MAX: Final = 64
PAGE_KB: Final = 4
_OWN_NAMES: Final = (b"/memfd:", b"/SYSV", b"/dev/zero")
"""What the guest made itself, natively. The loader is a memfd too, but ours."""


def detailed_usage(process: Process) -> ProcessUsage:
    """The host's account of a process with all it tells. Raises HostError(ESRCH) when it has gone."""
    return process.executive.host.process_usage(process.host_pid, True)


def auxiliary_vector(_reader: Thread, process: Process, _thread: Thread | None) -> bytes:
    """The vector the program was started with, as it stands on its stack: the kernel's own copy describes our loader."""
    if process.is_zombie or not process.threads:
        return b""
    memory = next(iter(process.threads.values())).memory
    try:
        address = int.from_bytes(memory.read(AUXILIARY_ADDRESS, 8), "little")
        raw = memory.read_partial(address, 16 * _AUXILIARY_MAX)
    except SyscallError:
        return b""
    for at in range(0, len(raw) - 15, 16):
        if not any(raw[at : at + 8]):
            return raw[: at + 16]
    return b""


# -- regions -------------------------------------------------------------------------------------------------------------
def _host_tid(process: Process, thread: Thread | None) -> int:
    return process.host_pid if thread is None else thread.host_tid


def maps(reader: Thread, process: Process, thread: Thread | None) -> bytes:
    """Regions of the address space, host files translated to guest paths (or to no path at all)."""
    if process.is_zombie:
        return b""
    text = process.executive.host.memory_map_text(_host_tid(process, thread))
    lines = [_region(line, process, reader.process.fs.root) for line in text.splitlines()]
    return b"\n".join(line for line in lines if line) + b"\n"


def smaps(reader: Thread, process: Process, thread: Thread | None) -> bytes:
    """The same with what each region occupies."""
    if process.is_zombie:
        return b""
    lines = []
    for line in process.executive.host.memory_map_text(_host_tid(process, thread), True).splitlines():
        head = line.split(None, 1)[:1]
        if not head:
            continue
        # A line of figures begins with a name and a colon, a region with addresses.
        lines.append(line if head[0].endswith(b":") else _region(line, process, reader.process.fs.root))
    return b"\n".join(lines) + b"\n"


def _region(line: bytes, process: Process, root: Inode) -> bytes:
    """One line of maps for guests; empty for what is none."""
    fields = line.split(None, 5)
    if len(fields) < 5:
        return b""
    name = fields[5] if len(fields) == 6 else b""
    if name[:1] == b"/":
        inode = process.executive.files.registry.get((_device(fields[3]), int(fields[4])))
        fields[3], fields[4], name = _mapped_file(inode, name, root)
    prefix = b"%b %b %b %b %b " % tuple(fields[:5])
    return prefix.ljust(73) + name if name else prefix


def _device(text: bytes) -> int:
    major, _, minor = text.partition(b":")
    high, low = int(major, 16), int(minor, 16)
    return (low & 0xFF) | ((high & 0xFFF) << 8) | ((low & ~0xFF) << 12) | ((high & ~0xFFF) << 32)


def _mapped_file(inode: Inode | None, host_name: bytes, root: Inode) -> tuple[bytes, bytes, bytes]:
    """(device, inode number, path) of a mapping of a host file that stands for inode (None: nothing the view knows)."""
    if inode is None:
        if host_name.startswith(_OWN_NAMES) and not host_name.startswith(b"/memfd:pylibos"):
            return b"00:01", b"1", host_name.replace(b"/memfd:SYSV", b"/SYSV")
        return b"00:00", b"0", b""
    device = b"%02x:%02x" % (device_major(inode.device), device_minor(inode.device))
    return device, b"%d" % inode.number, path_text(inode, root).replace(b"\n", b"\\012")


def path_text(inode: Inode, root: Inode) -> bytes:
    """Path of an inode as readlink of a /proc link tells it."""
    path = path_of(inode, root)
    return path + b" (deleted)" if inode.nlink == 0 else path


ROLLUP: Final = (
    "Rss", "Pss", "Pss_Dirty", "Pss_Anon", "Pss_File", "Pss_Shmem", "Shared_Clean", "Shared_Dirty", "Private_Clean", "Private_Dirty",
    "Referenced", "Anonymous", "KSM", "LazyFree", "AnonHugePages", "ShmemPmdMapped", "FilePmdMapped", "Shared_Hugetlb", "Private_Hugetlb",
    "Swap", "SwapPss", "Locked",
)  # fmt: skip


def smaps_rollup(_reader: Thread, process: Process, thread: Thread | None) -> bytes:
    """Sums over all regions, in kB. A proportional size by kind is known to the kernel only: it is counted as if nothing were shared."""
    if process.is_zombie:
        return b""
    sums = dict.fromkeys(ROLLUP, 0)
    first = last = b""
    for line in process.executive.host.memory_map_text(_host_tid(process, thread), True).splitlines():
        name, colon, rest = line.partition(b":")
        words = rest.split()
        if colon and len(words) == 2 and words[1] == b"kB":
            key = name.decode("ascii", "replace")
            if key in sums:
                sums[key] += int(words[0])
        elif b"-" in line.split(None, 1)[0] and not line.endswith(b"[vsyscall]"):
            start, _, end = line.split(None, 1)[0].partition(b"-")
            first, last = first or start, end
    sums["Pss_Anon"] = min(sums["Pss"], sums["Anonymous"])
    sums["Pss_File"] = sums["Pss"] - sums["Pss_Anon"]
    head = (b"%b-%b ---p 00000000 00:00 0 " % (first or b"00000000", last or b"00000000")).ljust(73) + b"[rollup]\n"
    return head + "".join(f"{name + ':':<16}{number:8d} kB\n" for name, number in sums.items()).encode()


# -- sizes ---------------------------------------------------------------------------------------------------------------
STATUS_SIZES: Final = (
    "VmPeak", "VmSize", "VmLck", "VmPin", "VmHWM", "VmRSS", "RssAnon", "RssFile", "RssShmem", "VmData", "VmStk", "VmExe", "VmLib", "VmPTE",
    "VmSwap", "HugetlbPages",
)  # fmt: skip


def status_sizes(usage: ProcessUsage) -> bytes:
    """The lines of status in kB, in the kernel's order."""
    size, resident = usage.virtual_size >> 10, usage.resident_size >> 10
    known = {"VmPeak": size, "VmSize": size, "VmHWM": resident, "VmRSS": resident, "RssAnon": resident, "VmData": size, **usage.accounts}
    return "\n".join(f"{name}:\t{known.get(name, 0):8d} kB" for name in STATUS_SIZES).encode()


def statm(_reader: Thread, process: Process, _thread: Thread | None) -> bytes:
    """Sizes in pages: total resident shared text lib data dirty."""
    usage = detailed_usage(process)
    kb = usage.accounts
    total, resident = usage.virtual_size >> 12, usage.resident_size >> 12
    shared = (kb.get("RssFile", 0) + kb.get("RssShmem", 0)) // PAGE_KB
    data = (kb["VmData"] + kb.get("VmStk", 0)) // PAGE_KB if "VmData" in kb else total
    return b"%d %d %d %d 0 %d 0\n" % (total, resident, min(shared, resident), kb.get("VmExe", 0) // PAGE_KB, data)


# -- I/O -----------------------------------------------------------------------------------------------------------------
IO_ROWS: Final = ("rchar", "wchar", "syscr", "syscw", "read_bytes", "write_bytes", "cancelled_write_bytes")


def io(_reader: Thread, process: Process, _thread: Thread | None) -> bytes:
    """Bytes and calls of native reads and writes; calls the library OS answers are not in them."""
    known = detailed_usage(process).accounts
    return "".join(f"{name}: {known.get(name, 0)}\n" for name in IO_ROWS).encode()
