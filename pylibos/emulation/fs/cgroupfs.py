"""cgroupfs: /sys/fs/cgroup, one control group (version 2) of all guests: its limits and accounts, for programs that size themselves.

create_cgroupfs(executive) makes the volume. It is read-only and has no groups below, as in a container without delegation. Limits are the
sandbox's (memory/quota.py); accounts are sums over the guests that are there now. What the sandbox does not account is not listed.
Source: Linux Documentation/admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pylibos.emulation.fs.proc_system import processor_numbers
from pylibos.emulation.fs.proc_text import list_text
from pylibos.emulation.fs.synthetic import StaticDirectory, SyntheticFile, SyntheticVolume
from pylibos.emulation.memory.quota import DEFAULT_PERIOD_US, quota, usage
from pylibos.monitor.host_abi import HostError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pylibos.emulation.executive import Executive
    from pylibos.emulation.process.thread import Thread

CGROUP2_MAGIC: Final = 0x63677270
CONTROLLERS: Final = (b"cpuset", b"cpu", b"memory", b"pids")
_NO_LIMIT: Final = b"max\n"


def create_cgroupfs(executive: Executive) -> SyntheticVolume:
    """The volume for /sys/fs/cgroup."""
    volume = SyntheticVolume(executive.host, executive.files.new_device(), b"cgroup2", CGROUP2_MAGIC)
    volume.registry = executive.files.registry
    volume.no_suid = volume.no_device = volume.no_exec = volume.read_only = True
    volume.options = b"ro"
    root = StaticDirectory(volume, 0o555, number=1)
    volume.root = root
    for name, content in _CONSTANTS.items():
        root.add(name, SyntheticFile(volume, _constant(content)))
    for name, render in _RENDERED.items():
        root.add(name, SyntheticFile(volume, render))
    return volume


def _constant(content: bytes) -> Callable[[Thread], bytes]:
    return lambda _thread: content


# -- processes -----------------------------------------------------------------------------------------------------------
def _processes(thread: Thread) -> bytes:
    return b"".join(b"%d\n" % process.pid for process in thread.executive.processes.processes())


def _threads(thread: Thread) -> bytes:
    return b"".join(b"%d\n" % tid for process in thread.executive.processes.processes() for tid in sorted(process.threads))


def _process_limit(thread: Thread) -> bytes:
    return _number(quota(thread.executive).processes)


def _process_count(thread: Thread) -> bytes:
    return b"%d\n" % thread.executive.processes.thread_count()


# -- processors ----------------------------------------------------------------------------------------------------------
def _processors(thread: Thread) -> bytes:
    return list_text(sum(1 << number for number in processor_numbers(thread.executive.host))).encode() + b"\n"


def _processor_limit(thread: Thread) -> bytes:
    limit = quota(thread.executive).processors
    return b"max %d\n" % DEFAULT_PERIOD_US if limit is None else b"%d %d\n" % limit


def _processor_time(thread: Thread) -> bytes:
    user = system = 0
    for process in thread.executive.processes.live():
        try:
            used = thread.executive.host.process_usage(process.host_pid)
        except HostError:
            continue
        user += used.user_ns // 1000
        system += used.system_ns // 1000
    return b"usage_usec %d\nuser_usec %d\nsystem_usec %d\nnr_periods 0\nnr_throttled 0\nthrottled_usec 0\n" % (user + system, user, system)


# -- memory --------------------------------------------------------------------------------------------------------------
def _memory_limit(thread: Thread) -> bytes:
    return _number(quota(thread.executive).memory)


def _memory_used(thread: Thread) -> bytes:
    return b"%d\n" % usage(thread.executive).total


def _memory_account(thread: Thread) -> bytes:
    used = usage(thread.executive)
    rows = {b"anon": used.resident, b"file": used.files, b"shmem": used.files, b"active_anon": used.resident, b"unevictable": 0}
    return b"".join(b"%b %d\n" % row for row in rows.items())


def _memory_events(thread: Thread) -> bytes:
    kills = thread.executive.memory_kills
    return b"low 0\nhigh 0\nmax %d\noom %d\noom_kill %d\noom_group_kill 0\n" % (kills, kills, kills)


def _number(limit: int | None) -> bytes:
    return _NO_LIMIT if limit is None else b"%d\n" % limit


_LISTED: Final = b" ".join(CONTROLLERS) + b"\n"
_CONSTANTS: Final = {
    b"cgroup.controllers": _LISTED,
    b"cgroup.subtree_control": b"\n",
    b"cgroup.type": b"domain\n",
    b"cgroup.events": b"populated 1\nfrozen 0\n",
    b"cgroup.freeze": b"0\n",
    b"cgroup.max.depth": _NO_LIMIT,
    b"cgroup.max.descendants": _NO_LIMIT,
    b"cgroup.stat": b"nr_descendants 0\nnr_dying_descendants 0\n",
    b"cpu.weight": b"100\n",
    b"cpuset.mems": b"\n",
    b"cpuset.mems.effective": b"0\n",
    b"cpuset.cpus": b"\n",
    b"memory.min": b"0\n",
    b"memory.low": b"0\n",
    b"memory.high": _NO_LIMIT,
    b"memory.swap.current": b"0\n",
    b"memory.swap.max": b"0\n",
}
_RENDERED: Final = {
    b"cgroup.procs": _processes,
    b"cgroup.threads": _threads,
    b"cpu.max": _processor_limit,
    b"cpu.stat": _processor_time,
    b"cpuset.cpus.effective": _processors,
    b"memory.current": _memory_used,
    b"memory.events": _memory_events,
    b"memory.max": _memory_limit,
    b"memory.stat": _memory_account,
    b"pids.current": _process_count,
    b"pids.max": _process_limit,
}
