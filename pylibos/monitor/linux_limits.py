"""Control-group limits that hold for the supervisor, and so for everything its guests do: memory, processor time, processes.

What it is: three facts for system_query, read when asked for. The least number on the way from the supervisor's group to the root counts.
Both versions of control groups are read; in a container the group's path may name nothing visible, and what is mounted is its own.
Sources: cgroups(7), Linux Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/{memory,cpu,pids}.
"""

from __future__ import annotations

import os
from typing import Final

MOUNT: Final = "/sys/fs/cgroup"
NO_LIMIT: Final = b"max"
_V1_INFINITE: Final = 1 << 60
"""Version 1 has no word for "none": it tells a number near 2**63."""
_DEPTH_LIMIT: Final = 64


def _groups() -> dict[str, str]:
    """Path of the supervisor's group by controller; "" is version 2's single tree."""
    found: dict[str, str] = {}
    try:
        with open("/proc/self/cgroup", encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                _, controllers, path = line.rstrip("\n").split(":", 2)
                for controller in controllers.split(","):
                    found[controller] = path
    except (OSError, ValueError):
        return {}
    return found


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(4096).strip()
    except OSError:
        return b""


def _on_the_way(base: str, path: str) -> list[str]:
    """Directories from the group up to base; base alone when the group is not visible."""
    parts = [part for part in path.split("/") if part and part != ".."][:_DEPTH_LIMIT]
    directories = ["/".join([base, *parts[:depth]]) for depth in range(len(parts), -1, -1)]
    return directories if os.path.isdir(directories[0]) else [base]


def _directories(controller: str) -> tuple[list[str], bool]:
    """(where a controller's files may be, whether they are version 2's)."""
    groups = _groups()
    if controller in groups:
        return _on_the_way(f"{MOUNT}/{controller}", groups[controller]), False
    base = MOUNT if os.path.exists(f"{MOUNT}/cgroup.controllers") else f"{MOUNT}/unified"
    return _on_the_way(base, groups.get("", "/")), True


def _least(controller: str, new: str, old: str) -> bytes:
    """The smallest number in the files of this name; b"max" for none."""
    directories, unified = _directories(controller)
    texts = [_read(f"{directory}/{new if unified else old}") for directory in directories]
    numbers = [int(text) for text in texts if text.isdigit() and int(text) < _V1_INFINITE]
    return b"%d" % min(numbers) if numbers else NO_LIMIT


def memory() -> bytes:
    """Bytes, or b"max"."""
    return _least("memory", "memory.max", "memory.limit_in_bytes")


def processes() -> bytes:
    """Processes and threads, or b"max"."""
    return _least("pids", "pids.max", "pids.max")


def processors() -> bytes:
    """b"QUOTA PERIOD" in microseconds, as cpu.max has it; b"max" for none."""
    directories, unified = _directories("cpu")
    pairs = []
    for directory in directories:
        if unified:
            words = _read(f"{directory}/cpu.max").split()
        else:
            words = [_read(f"{directory}/cpu.cfs_quota_us"), _read(f"{directory}/cpu.cfs_period_us")]
        if len(words) == 2 and all(word.isdigit() and int(word) for word in words):
            pairs.append((int(words[0]), int(words[1])))
    if not pairs:
        return NO_LIMIT
    quota, period = min(pairs, key=lambda pair: pair[0] / pair[1])
    return b"%d %d" % (quota, period)
