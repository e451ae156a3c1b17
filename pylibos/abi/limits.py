"""Clocks, resource limits and the structures that carry times, limits and system facts. Pure data.

Times are (seconds, nanoseconds or microseconds), sizes bytes. Source: Linux include/uapi/linux/{time,time_types,resource,utsname,
sysinfo,uio}.h, include/uapi/asm-generic/resource.h (6.18).
"""

from __future__ import annotations

import struct
from typing import Final

CLOCK_REALTIME: Final = 0
CLOCK_MONOTONIC: Final = 1
CLOCK_PROCESS_CPUTIME_ID: Final = 2
CLOCK_THREAD_CPUTIME_ID: Final = 3
CLOCK_MONOTONIC_RAW: Final = 4
CLOCK_REALTIME_COARSE: Final = 5
CLOCK_MONOTONIC_COARSE: Final = 6
CLOCK_BOOTTIME: Final = 7
CLOCK_REALTIME_ALARM: Final = 8
CLOCK_BOOTTIME_ALARM: Final = 9
CLOCK_TAI: Final = 11

RLIMIT_NAMES: Final = (
    "CPU",
    "FSIZE",
    "DATA",
    "STACK",
    "CORE",
    "RSS",
    "NPROC",
    "NOFILE",
    "MEMLOCK",
    "AS",
    "LOCKS",
    "SIGPENDING",
    "MSGQUEUE",
    "NICE",
    "RTPRIO",
    "RTTIME",
)
"""RLIMIT_<name> by number."""

IOV_MAX: Final = 1024
"""UIO_MAXIOV: vectors longer than this are EINVAL."""
ARG_STRING_MAX: Final = 131072
"""MAX_ARG_STRLEN: one argument or environment string, its NUL included."""
HOST_NAME_MAX: Final = 64
COMM_SIZE: Final = 16
"""TASK_COMM_LEN: a thread's name with its NUL."""

TIMESPEC: Final = struct.Struct("<qq")
"""struct timespec, 16 bytes: seconds, nanoseconds."""
TIMEVAL: Final = struct.Struct("<qq")
"""struct timeval, 16 bytes: seconds, microseconds."""
ITIMERSPEC: Final = struct.Struct("<qqqq")
"""struct itimerspec, 32 bytes: interval, value."""
ITIMERVAL: Final = struct.Struct("<qqqq")
"""struct itimerval, 32 bytes: interval, value."""
RLIMIT: Final = struct.Struct("<QQ")
"""struct rlimit, 16 bytes: soft, hard; all ones is infinity."""
RUSAGE: Final = struct.Struct("<qqqq14q")
"""struct rusage, 144 bytes: user and system time (timeval) | maxrss (KiB) ... nivcsw."""
UTSNAME: Final = struct.Struct("<65s65s65s65s65s65s")
"""struct new_utsname, 390 bytes: sysname nodename release version machine domainname."""
SYSINFO: Final = struct.Struct("<qQQQQQQQQQHH4xQQI4x")
"""struct sysinfo, 112 bytes: uptime (s) loads[3] (<< 16) | total, free, shared, buffer memory, total, free swap (mem_unit) |
procs pad | totalhigh freehigh mem_unit (bytes)."""
IOVEC: Final = struct.Struct("<QQ")
"""struct iovec, 16 bytes: address, size (bytes)."""


def parse_iovec(data: bytes) -> list[tuple[int, int]]:
    """(address, size in bytes) of each vector; data is a multiple of 16 bytes."""
    return list(IOVEC.iter_unpack(data))
