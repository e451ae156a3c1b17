"""The rest of the Linux host: waits, the timer, clocks, random bytes and facts about the machine.

What it is: the last section of the host ABI. Waits and the timer are the event loop's: this class hands them on. Owns no state.
Sources: clock_gettime(2), getrandom(2), proc(5).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final, Protocol

from pylibos.monitor.errors import host_call, host_error
from pylibos.monitor.host_abi import HostError, HostStream

ENOENT: Final = 2
EINVAL: Final = 22
ENOSYS: Final = 38

_CLOCKS: Final = frozenset({0, 1, 4, 5, 6, 7, 8, 9, 11})
"""The machine's clocks. 2, 3 and negative ones are some process's processor time: the supervisor's own would be a wrong answer."""

_RANDOM_LIMIT: Final = 1 << 25
"""What one getrandom(2) gives at most (33554431 bytes, rounded)."""

_FILES: Final = {
    "cpuinfo": "/proc/cpuinfo",
    "meminfo": "/proc/meminfo",
    "loadavg": "/proc/loadavg",
    "uptime": "/proc/uptime",
    "stat": "/proc/stat",
}


class Loop(Protocol):
    """What the event loop offers the host."""

    def wait_register(self, stream: int, events: int) -> None:
        """Report poll(2) events of a descriptor once; 0 withdraws."""
        ...

    def timer_set(self, deadline_ns: int) -> None:
        """Report when CLOCK_MONOTONIC reaches deadline_ns; 0 withdraws."""
        ...


def _boot_time() -> bytes:
    with open("/proc/stat", "rb") as file:
        for line in file:
            if line.startswith(b"btime "):
                return line[6:].strip()
    raise HostError(ENOENT)


def _kernel_release() -> bytes:
    return os.uname().release.encode()


def _limit(name: str) -> bytes:
    from pylibos.monitor import linux_limits  # few programs ask

    limits: dict[str, Callable[[], bytes]] = {
        "memory-limit": linux_limits.memory,
        "process-limit": linux_limits.processes,
        "processor-limit": linux_limits.processors,
    }
    return limits[name]()


_FACTS: Final[dict[str, Callable[[], bytes]]] = {
    "memory-limit": lambda: _limit("memory-limit"),
    "process-limit": lambda: _limit("process-limit"),
    "processor-limit": lambda: _limit("processor-limit"),
    "kernel-release": _kernel_release,
    "processors": lambda: b"%d" % len(os.sched_getaffinity(0)),
    "boot-time": _boot_time,
    "page-size": lambda: b"%d" % os.sysconf("SC_PAGE_SIZE"),
}


class LinuxSystem:
    """Calls that need neither a name nor a guest."""

    def __init__(self, loop: Loop | None, valid: Callable[[int], object]) -> None:
        self._loop = loop
        self._valid = valid

    @host_call
    def wait_register(self, stream: HostStream, events: int) -> None:
        self._valid(stream)
        if self._loop is None:
            raise HostError(ENOSYS, "no loop is attached")
        self._loop.wait_register(stream, events)

    @host_call
    def timer_set(self, deadline_ns: int) -> None:
        if self._loop is None:
            raise HostError(ENOSYS, "no loop is attached")
        self._loop.timer_set(deadline_ns)

    def clock_read(self, clock: int) -> int:
        if clock not in _CLOCKS:
            raise HostError(EINVAL)
        try:
            return time.clock_gettime_ns(clock)
        except OSError as error:
            raise host_error(error) from None

    @host_call
    def random_bytes(self, size: int) -> bytes:
        if not 0 <= size <= _RANDOM_LIMIT:
            raise HostError(EINVAL)
        return os.urandom(size)

    @host_call
    def system_query(self, name: str) -> bytes:
        if (path := _FILES.get(name)) is not None:
            with open(path, "rb") as file:
                return file.read()
        fact = _FACTS.get(name)
        if fact is None:
            raise HostError(ENOENT)
        return fact()
