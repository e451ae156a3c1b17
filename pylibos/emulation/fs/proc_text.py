"""Texts of /proc/PID/*: functions from a process to bytes, one per file.

Each takes (reader, process, thread): the guest thread that opened the file, the process it is about, and the thread it is about (None for
a zombie; the leader, or any live thread, for /proc/PID itself). Numbers come from the host ABI (process_usage and friends); identities,
credentials and names from the process manager. Host paths, host pids and the tracer never appear: every path is translated or hidden.

Not known and therefore 0: addresses of code, stack and arguments. Texts about memory and I/O are in proc_memory.py.
Sources: proc(5); Linux fs/proc/{array,base,task_mmu}.c, fs/proc_namespace.c for exact formats.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pylibos.abi.files import device_major, device_minor
from pylibos.emulation.fs.inode import Volume, path_of
from pylibos.emulation.fs.proc_memory import detailed_usage, status_sizes
from pylibos.monitor.host_abi import HostError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylibos.emulation.process.process import Process
    from pylibos.emulation.process.thread import Thread
    from pylibos.monitor.host_abi import ProcessUsage

    Render = Callable[[Thread, Process, Thread | None], bytes]

TICK_NS: Final = 10_000_000
"""One USER_HZ tick."""
PAGE: Final = 4096
SUPERVISED_STATES: Final = {"t": "S", "T": "T", "Z": "Z", "X": "X", "D": "D", "R": "R", "S": "S", "I": "S"}
"""Host states as the guest may see them: a tracing stop is our doing, to the guest it sleeps in its call."""

STATE_WORDS: Final = {"R": "running", "S": "sleeping", "D": "disk sleep", "T": "stopped", "Z": "zombie", "X": "dead"}

_ESCAPES: Final = {0x20: b"\\040", 0x09: b"\\011", 0x0A: b"\\012", 0x5C: b"\\134", 0x23: b"\\043"}


def escape(text: bytes) -> bytes:
    """text with blank, tab, newline, backslash and # as octal escapes, as mount tables have them."""
    return b"".join(_ESCAPES.get(byte) or bytes((byte,)) for byte in text)


def usage_of(process: Process) -> ProcessUsage:
    """The host's account of a process. Raises HostError(ESRCH) when it has gone."""
    return process.executive.host.process_usage(process.host_pid)


def state_of(reader: Thread, process: Process, usage: ProcessUsage, thread: Thread | None) -> str:
    """State letter: a zombie by our own table, running for the asker itself."""
    if process.is_zombie:
        return "Z"
    if thread is reader or process is reader.process:
        return "R"
    return SUPERVISED_STATES.get(usage.state, "S")


def comm_of(process: Process, thread: Thread | None) -> bytes:
    """Name of a thread, at most 15 bytes."""
    return (process.comm if thread is None else thread.comm)[:15]


# -- stat, statm, status --------------------------------------------------------------------------------------------------
def _parent_number(process: Process) -> int:
    """PPid, as getppid has it by now: the parent may have ended, and the supervisor not have heard of it yet."""
    parent = process.parent
    if parent is None:
        return process.parent_pid
    try:
        usage = process.executive.host.process_usage(parent.host_pid)
        ended = usage.state in "ZX" and usage.thread_count <= 1  # a leader that has left others behind is Z as well
    except HostError:
        ended = True
    if not ended:
        return parent.pid
    table = process.executive.processes
    heir = table.heir_of(parent)
    return table.above if heir is None else heir.pid


def stat(reader: Thread, process: Process, thread: Thread | None) -> bytes:
    """The 52 fields of stat."""
    usage = usage_of(process)
    terminal, foreground = _terminal(process, usage)
    identifier = process.pid if thread is None else thread.tid
    fields = (
        _parent_number(process),
        process.pgid,
        process.sid,
        terminal,
        foreground,
        0x400000,  # flags: PF_RANDOMIZE, which every program has
        usage.minor_faults,
        0,
        usage.major_faults,
        0,
        usage.user_ns // TICK_NS,
        usage.system_ns // TICK_NS,
        0,
        0,
        20 + usage.nice,
        usage.nice,
        max(1, len(process.threads)),
        0,
        usage.start_ns // TICK_NS,
        usage.virtual_size,
        usage.resident_size // PAGE,
        (1 << 64) - 1,  # RSS limit
        *(0,) * 12,  # code, stack, signals, wait channel, swap
        17,  # exit signal: SIGCHLD
        usage.processor,
        *(0,) * 12,  # real-time priority .. argument and environment addresses
        process.exit_status or 0,
    )
    head = b"%d (%b) %b " % (identifier, comm_of(process, thread), state_of(reader, process, usage, thread).encode())
    return head + b" ".join(b"%d" % field for field in fields) + b"\n"


def _terminal(process: Process, usage: ProcessUsage) -> tuple[int, int]:
    """(tty_nr, tpgid): the controlling terminal and its foreground process group, 0 and -1 without one."""
    if usage.terminal:
        foreground = process.executive.processes.guest_pid(usage.foreground_group)
        return usage.terminal, -1 if foreground is None else foreground
    terminals = process.executive.terminals
    if terminals is not None:
        console = terminals.terminal_of(process, usage)
        return console, process.pgid if console else -1
    return 0, -1


def _tracer_of(process: Process, thread: Thread | None) -> int:
    """Number of the process that traces a thread (of the leader, without one), 0 for nobody."""
    observer = process.executive.observer
    task = process.threads.get(process.pid) if thread is None else thread
    return 0 if observer is None or task is None else observer.tracer_pid(task)


def status(reader: Thread, process: Process, thread: Thread | None) -> bytes:
    """status in the kernel's order of lines."""
    usage = detailed_usage(process)
    state = state_of(reader, process, usage, thread)
    who = process.credentials
    tid = process.pid if thread is None else thread.tid
    lines = [
        b"Name:\t" + comm_of(process, thread).replace(b"\\", b"\\\\").replace(b"\n", b"\\n"),
        b"Umask:\t%04o" % process.fs.umask,
        f"State:\t{state} ({STATE_WORDS[state]})".encode(),
        b"Tgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t%d\nTracerPid:\t%d"
        % (process.pid, tid, _parent_number(process), _tracer_of(process, thread)),
        b"Uid:\t%d\t%d\t%d\t%d" % (who.ruid, who.euid, who.suid, who.fsuid),
        b"Gid:\t%d\t%d\t%d\t%d" % (who.rgid, who.egid, who.sgid, who.fsgid),
        b"FDSize:\t64",
        b"Groups:\t" + b"".join(b"%d " % gid for gid in who.groups),
        b"NStgid:\t%d\nNSpid:\t%d\nNSpgid:\t%d\nNSsid:\t%d\nKthread:\t0" % (process.pid, tid, process.pgid, process.sid),
    ]
    if not process.is_zombie:
        lines.append(status_sizes(usage))
        lines.append(b"CoreDumping:\t0\nTHP_enabled:\t1\nuntag_mask:\t0xffffffffffffffff")
    lines.append(b"Threads:\t%d" % max(1, len(process.threads)))
    lines.append(b"SigQ:\t0/15000")
    pending, blocked, ignored, caught = usage.signals
    signals = ((b"SigPnd", pending), (b"ShdPnd", 0), (b"SigBlk", blocked), (b"SigIgn", ignored), (b"SigCgt", caught))
    lines.extend(b"%b:\t%016x" % each for each in signals)
    capabilities = (
        (b"CapInh", who.inheritable), (b"CapPrm", who.permitted), (b"CapEff", who.effective), (b"CapBnd", who.bounding),
        (b"CapAmb", who.ambient),
    )  # fmt: skip
    lines.extend(b"%b:\t%016x" % each for each in capabilities)
    task = process.threads.get(process.pid) if thread is None else thread
    seccomp = None if task is None else task.seccomp
    mode, filters = (0, 0) if seccomp is None else (seccomp.mode, seccomp.count)
    lines.append(b"NoNewPrivs:\t%d\nSeccomp:\t%d\nSeccomp_filters:\t%d" % (who.no_new_privs, mode, filters))
    lines.append(b"Speculation_Store_Bypass:\tthread vulnerable\nSpeculationIndirectBranch:\tconditional enabled")
    lines.append(_processors_allowed(process))
    lines.append(b"Mems_allowed:\t1\nMems_allowed_list:\t0")
    lines.extend(f"{name}:\t{usage.accounts.get(name, 0)}".encode() for name in ("voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"))
    lines.append(b"")
    return b"\n".join(lines)


def _processors_allowed(process: Process) -> bytes:
    try:
        mask = int.from_bytes(process.executive.host.thread_affinity(process.host_pid, None), "little")
    except HostError:
        mask = 1
    return f"Cpus_allowed:\t{mask_text(mask)}\nCpus_allowed_list:\t{list_text(mask)}".encode()


def mask_text(mask: int) -> str:
    """A processor mask as the kernel prints it: 32-bit groups in hex, the highest first."""
    groups = []
    while True:
        groups.append(mask & 0xFFFFFFFF)
        mask >>= 32
        if not mask:
            break
    return ",".join([f"{groups[-1]:x}", *(f"{group:08x}" for group in reversed(groups[:-1]))])


def list_text(mask: int) -> str:
    """A processor mask as ranges: "0-3,8"."""
    ranges = []
    number = 0
    while mask >> number:
        if mask >> number & 1:
            last = number
            while mask >> (last + 1) & 1:
                last += 1
            ranges.append(str(number) if last == number else f"{number}-{last}")
            number = last
        number += 1
    return ",".join(ranges)


# -- command line, names ------------------------------------------------------------------------------------------------------
def cmdline(_reader: Thread, process: Process, _thread: Thread | None) -> bytes:
    """NUL-terminated arguments as they stand in memory; a script's show its interpreter, as Linux has it."""
    if process.is_zombie:
        return b""
    text = process.executive.host.process_text(process.host_pid, "cmdline")
    prefix = process.argument_prefix
    if prefix is None:
        return text
    _, _, rest = text.partition(b"\0")
    return b"\0".join(prefix) + b"\0" + rest


def environ(_reader: Thread, process: Process, _thread: Thread | None) -> bytes:
    """NUL-terminated environment at the start of the program."""
    return b"" if process.is_zombie else process.executive.host.process_text(process.host_pid, "environ")


def comm(_reader: Thread, process: Process, thread: Thread | None) -> bytes:
    """The thread's name and a newline."""
    return comm_of(process, thread) + b"\n"


# -- limits, accounts --------------------------------------------------------------------------------------------------------
LIMIT_ROWS: Final = (
    ("Max cpu time", "seconds"),
    ("Max file size", "bytes"),
    ("Max data size", "bytes"),
    ("Max stack size", "bytes"),
    ("Max core file size", "bytes"),
    ("Max resident set", "bytes"),
    ("Max processes", "processes"),
    ("Max open files", "files"),
    ("Max locked memory", "bytes"),
    ("Max address space", "bytes"),
    ("Max file locks", "locks"),
    ("Max pending signals", "signals"),
    ("Max msgqueue size", "bytes"),
    ("Max nice priority", ""),
    ("Max realtime priority", ""),
    ("Max realtime timeout", "us"),
)
"""Name and unit of each RLIMIT_*, by number."""


def limits(_reader: Thread, process: Process, _thread: Thread | None) -> bytes:
    """The table of resource limits."""
    lines = [f"{'Limit':<25} {'Soft Limit':<20} {'Hard Limit':<20} {'Units':<10}"]
    for number, (name, unit) in enumerate(LIMIT_ROWS):
        soft, hard = process.executive.host.process_limits(process.host_pid, number, None)
        lines.append(f"{name:<25} {_limit(soft):<20} {_limit(hard):<20} {unit:<10}")
    return "\n".join(lines).encode() + b"\n"


def _limit(value: int) -> str:
    return "unlimited" if value in (-1, (1 << 64) - 1) else str(value)


def schedstat(_reader: Thread, process: Process, _thread: Thread | None) -> bytes:
    """Time on a processor (ns), time waiting, time slices."""
    usage = usage_of(process)
    return b"%d 0 0\n" % (usage.user_ns + usage.system_ns)


def children(_reader: Thread, process: Process, _thread: Thread | None) -> bytes:
    """Pids of the children."""
    return b"".join(b"%d " % pid for pid in sorted(process.children))


# -- mounts ------------------------------------------------------------------------------------------------------------------------
def _flags(volume: Volume) -> bytes:
    words = [b"ro" if volume.read_only else b"rw"]
    words += [word for word, on in ((b"nosuid", volume.no_suid), (b"nodev", volume.no_device), (b"noexec", volume.no_exec)) if on]
    return b",".join([*words, b"relatime"])


def mounts(reader: Thread, process: Process, _thread: Thread | None) -> bytes:
    """mounts: source, place, type, options of each mounted volume (fstab(5) format)."""
    root = process.fs.root
    return b"".join(
        b"%b %b %b %b 0 0\n" % (escape(volume.source), escape(path_of(volume.root, root)), volume.kind, _flags(volume))
        for volume in reader.executive.files.mounts
    )


def mountinfo(reader: Thread, process: Process, _thread: Thread | None) -> bytes:
    """mountinfo: id, parent, device, root, place, options - type, source, super block options."""
    root = process.fs.root
    lines = []
    for volume in reader.executive.files.mounts:
        parent = volume.mount_id if volume.covered is None else volume.covered.volume.mount_id
        lines.append(
            b"%d %d %d:%d / %b %b - %b %b %b\n"
            % (
                volume.mount_id,
                parent,
                device_major(volume.device),
                device_minor(volume.device),
                escape(path_of(volume.root, root)),
                _flags(volume),
                volume.kind,
                escape(volume.source),
                b"ro" if volume.read_only else b"rw",
            )
        )
    return b"".join(lines)


def mountstats(reader: Thread, process: Process, _thread: Thread | None) -> bytes:
    """mountstats: one line per mount."""
    root = process.fs.root
    return b"".join(
        b"device %b mounted on %b with fstype %b\n" % (escape(volume.source), escape(path_of(volume.root, root)), volume.kind)
        for volume in reader.executive.files.mounts
    )
