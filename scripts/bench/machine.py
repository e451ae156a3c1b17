"""What the figures were measured on: kernel, processor, cores, memory, versions. Never a host name, a user or a path.

Sources: uname(2), proc_cpuinfo(5), proc_meminfo(5).
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path
from typing import TypedDict


class Machine(TypedDict):
    """The description saved with every result."""

    kernel: str
    processor: str
    cores: int
    hypervisor: bool
    memory_mib: int
    python: str
    libc: str
    proot: str | None
    load_at_start: float


def _first_match(path: str, pattern: str) -> str | None:
    found = re.search(pattern, Path(path).read_text(encoding="utf-8", errors="replace"), re.MULTILINE)
    return found.group(1).strip() if found else None


def program_version(argv: list[str], pattern: str) -> str | None:
    """The first group of pattern in what the command prints, or None when it is not there."""
    try:
        shown = subprocess.run(argv, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(pattern, shown.stdout + shown.stderr)
    return found.group(1) if found else None


def describe() -> Machine:
    """Describe this machine."""
    uname = os.uname()
    flags = _first_match("/proc/cpuinfo", r"^flags\s*:(.*)$") or ""
    memory_kib = int(_first_match("/proc/meminfo", r"^MemTotal:\s*(\d+)") or 0)
    return Machine(
        kernel=f"{uname.sysname} {uname.release} {uname.machine}",
        processor=_first_match("/proc/cpuinfo", r"^model name\s*:(.*)$") or "unknown",
        cores=os.cpu_count() or 1,
        hypervisor="hypervisor" in flags.split(),
        memory_mib=memory_kib // 1024,
        python=platform.python_version(),
        libc=" ".join(platform.libc_ver()),
        proot=program_version(["proot", "--version"], r"(\d+\.\d+\.\d+)"),
        load_at_start=round(os.getloadavg()[0], 2),
    )
