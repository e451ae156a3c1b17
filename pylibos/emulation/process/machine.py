"""Facts of the machine in the form uname(2) and sysinfo(2) want them.

Owns nothing: names come from the registry (keys ComputerName and Kernel), figures from the host's own text files. Must not know calls.
Source: Linux 6.18 fs/proc/{meminfo,loadavg,uptime}.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pylibos.emulation.config_manager.defaults import COMPUTER_NAME, KERNEL
from pylibos.emulation.memory.quota import memory_text

if TYPE_CHECKING:
    from pylibos.emulation.executive import Executive


class Names(NamedTuple):
    """The variable fields of struct new_utsname, without NULs."""

    host: bytes
    domain: bytes
    release: bytes
    version: bytes


def names(executive: Executive) -> Names:
    """What uname says now."""
    registry = executive.registry
    computer, kernel = registry.open_key(COMPUTER_NAME), registry.open_key(KERNEL)
    return Names(
        _bytes(computer.text("Hostname", "localhost")),
        _bytes(computer.text("DomainName", "(none)")),
        _bytes(kernel.text("Release", "6.1.0")),
        _bytes(kernel.text("Version", "#1")),
    )


def set_host_name(executive: Executive, name: bytes) -> None:
    """sethostname for every guest of the sandbox."""
    executive.registry.set_value(COMPUTER_NAME, "Hostname", name.decode("utf-8", "surrogateescape"))


def set_domain_name(executive: Executive, name: bytes) -> None:
    """setdomainname for every guest of the sandbox."""
    executive.registry.set_value(COMPUTER_NAME, "DomainName", name.decode("utf-8", "surrogateescape"))


def memory_information(executive: Executive) -> dict[bytes, int]:
    """/proc/meminfo as name -> bytes."""
    result: dict[bytes, int] = {}
    for line in memory_text(executive).splitlines():
        name, _, rest = line.partition(b":")
        words = rest.split()
        if words and words[0].isdigit():
            result[name] = int(words[0]) << 10 if words[-1] == b"kB" else int(words[0])
    return result


def uptime_seconds(executive: Executive) -> int:
    """Whole seconds since the host started."""
    return executive.host.clock_read(7) // 1_000_000_000


def load_averages(executive: Executive) -> tuple[int, int, int]:
    """The three load averages in 1/65536."""
    words = executive.host.system_query("loadavg").split()[:3]
    one, five, fifteen = (int(float(word) * 65536) for word in words)
    return one, five, fifteen


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
