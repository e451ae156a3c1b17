"""Guests seen from the Linux host: their memory, descriptors, accounts and signals.

What it is: the part of the host ABI that takes a host process or thread identifier. Owns no state but the caller-supplied functions.
Must not know how calls are intercepted: installing a descriptor is delegated to the engine's installer.

Adversary: a guest may close, replace or race every descriptor named here, and exit between any two calls; answers then describe the
instant of the call, or are EBADF or ESRCH. Nothing read from /proc is trusted to be complete (a line may be missing).
Sources: process_vm_readv(2), proc_pid_fd(5), proc_pid_fdinfo(5), proc_pid_stat(5), proc_pid_status(5), prlimit(2), tgkill(2).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from resource import prlimit
from typing import Final

from pylibos.monitor.errors import host_call
from pylibos.monitor.host_abi import DescriptorIdentity, HostError, HostStream, ProcessUsage, StreamAttributes
from pylibos.monitor.native import Native

ENOENT: Final = 2
ESRCH: Final = 3
EBADF: Final = 9
EFAULT: Final = 14
EINVAL: Final = 22
ENAMETOOLONG: Final = 36
ENOSYS: Final = 38

_FIRST_READ: Final = 256
"""Bytes of a string fetched at first: nearly every path fits, and a short copy costs no more than a byte."""

_PROC_LIMIT: Final = 1 << 24
_TICK_NS: Final = 1_000_000_000 // os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_STAT_FIELDS: Final = 37
_AFFINITY_BYTES: Final = 128
_INT_MAX: Final = 0x7FFFFFFF
_ACCOUNTS: Final = (
    "VmPeak", "VmSize", "VmLck", "VmPin", "VmHWM", "VmRSS", "RssAnon", "RssFile", "RssShmem", "VmData", "VmStk", "VmExe", "VmLib", "VmPTE",
    "VmSwap", "HugetlbPages", "voluntary_ctxt_switches", "nonvoluntary_ctxt_switches",
    "rchar", "wchar", "syscr", "syscw", "read_bytes", "write_bytes", "cancelled_write_bytes",
)  # fmt: skip
"""Lines of status and io that are told."""

_TABLES: Final = (
    "dev", "tcp", "tcp6", "udp", "udp6", "udplite", "udplite6", "raw", "raw6", "icmp", "icmp6", "unix", "route", "ipv6_route", "if_inet6",
    "arp", "igmp", "igmp6", "sockstat", "sockstat6", "snmp", "snmp6", "netstat", "fib_trie",
)  # fmt: skip
_TEXTS: Final = frozenset(("cmdline", "environ", *(f"net/{name}" for name in _TABLES)))
"""What process_text tells."""

Installer = Callable[[int, int, bool], int]
"""(host tid, supervisor descriptor, close on exec) -> descriptor number in the guest; raises HostError."""

_new_identity = tuple.__new__


def _read_proc(name: bytes) -> bytes:
    """All of a /proc/PID file. ESRCH when the process is gone."""
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            chunks = []
            size = 0
            while size < _PROC_LIMIT and (chunk := os.read(descriptor, 65536)):
                chunks.append(chunk)
                size += len(chunk)
        finally:
            os.close(descriptor)
    except (FileNotFoundError, ProcessLookupError):
        raise HostError(ESRCH) from None
    return b"".join(chunks)


def _accounts(host_pid: int) -> dict[str, int]:
    """The numbers of status that are sizes or counts, and io. The guest's name has no line end (the kernel escapes it)."""
    found: dict[str, int] = {}
    lines = _read_proc(b"/proc/%d/status" % host_pid).splitlines()
    with contextlib.suppress(HostError, PermissionError):  # io is told to fewer
        lines += _read_proc(b"/proc/%d/io" % host_pid).splitlines()
    for line in lines:
        name, _, rest = line.partition(b":")
        words = rest.split()
        if words and words[0].isdigit() and name.decode("ascii", "replace") in _ACCOUNTS:
            found[name.decode()] = int(words[0])
    return found


def _process(host_pid: int) -> int:
    """Refuse numbers that mean more than one process to kill(2) or prlimit(2)."""
    if not 1 < host_pid <= _INT_MAX:
        raise HostError(ESRCH)
    return host_pid


class LinuxGuests:
    """Calls about guest processes and threads."""

    def __init__(self, native: Native, installer: Installer | None, installable: Callable[[int], int]) -> None:
        self._memory = native
        self._installer = installer
        self._hidden = -1
        """A descriptor of guests that is the engine's (the passage of ptrace, ADR 8): EBADF, and in no list."""
        self._may_install = installable

    # -- memory ------------------------------------------------------------------------------------------------------

    def memory_read(self, host_tid: int, address: int, size: int) -> bytes:
        return self._memory.memory_read(host_tid, address, size)

    def memory_read_string(self, host_tid: int, address: int, limit: int) -> bytes:
        read = self._memory.memory_read
        data = read(host_tid, address, min(limit, _FIRST_READ))
        end = data.find(0)
        if end >= 0:
            return data[:end]
        if len(data) == _FIRST_READ < limit:
            try:
                more = read(host_tid, address + _FIRST_READ, limit - _FIRST_READ)
            except HostError as error:
                if error.errno == EFAULT:
                    raise HostError(EFAULT) from None
                raise
            end = more.find(0)
            if end >= 0:
                return data + more[:end]
            data += more
        raise HostError(ENAMETOOLONG if len(data) >= limit else EFAULT)

    def memory_write(self, host_tid: int, address: int, data: bytes) -> None:
        if self._memory.memory_write(host_tid, address, data) != len(data):
            raise HostError(EFAULT)

    @host_call
    def memory_map_text(self, host_tid: int, detailed: bool = False) -> bytes:
        return _read_proc(b"/proc/%d/%b" % (_process(host_tid), b"smaps" if detailed else b"maps"))

    # -- descriptors -------------------------------------------------------------------------------------------------

    def descriptor_identity(self, host_tid: int, descriptor: int) -> DescriptorIdentity:
        if descriptor == self._hidden:
            raise HostError(EBADF)
        record = self._memory.descriptor_attributes(host_tid, descriptor)
        return _new_identity(DescriptorIdentity, record[:3])

    def descriptor_attributes(self, host_tid: int, descriptor: int) -> StreamAttributes:
        if descriptor == self._hidden:
            raise HostError(EBADF)
        return self._memory.descriptor_attributes(host_tid, descriptor)

    @host_call
    def descriptor_state(self, host_tid: int, descriptor: int) -> tuple[int, int]:
        if descriptor == self._hidden:
            raise HostError(EBADF)
        try:
            text = _read_proc(b"/proc/%d/fdinfo/%d" % (host_tid, descriptor))
        except HostError as error:
            raise HostError(EBADF if error.errno == ESRCH else error.errno) from None
        flags = position = 0
        for line in text.splitlines():
            if line.startswith((b"pos:", b"Pid:")):
                position = int(line[4:])
            elif line.startswith(b"flags:"):
                flags = int(line[6:], 8)
        return flags, position

    @host_call
    def descriptor_list(self, host_tid: int) -> Sequence[int]:
        try:
            found = sorted(int(name) for name in os.listdir(b"/proc/%d/fd" % host_tid))
        except FileNotFoundError:
            raise HostError(ESRCH) from None
        return [number for number in found if number != self._hidden]

    @host_call
    def descriptor_name(self, host_tid: int, descriptor: int) -> bytes:
        if descriptor == self._hidden:
            raise HostError(EBADF)
        try:
            return os.readlink(b"/proc/%d/fd/%d" % (host_tid, descriptor))
        except FileNotFoundError:
            raise HostError(EBADF) from None

    def descriptor_install(self, host_tid: int, stream: HostStream, close_on_exec: bool) -> int:
        if self._installer is None:
            raise HostError(ENOSYS, "no engine is attached")
        return self._installer(host_tid, self._may_install(stream), close_on_exec)

    # -- processes and threads ------------------------------------------------------------------------------------------

    @host_call
    def process_signal(self, host_pid: int, host_tid: int, signal: int) -> None:
        if host_tid:
            self._memory.tgkill(_process(host_pid), _process(host_tid), signal)
        else:
            os.kill(_process(host_pid), signal)

    @host_call
    def process_usage(self, host_pid: int, detailed: bool = False) -> ProcessUsage:
        text = _read_proc(b"/proc/%d/stat" % _process(host_pid))
        # The name in parentheses is the guest's choice and may contain anything, ") R 1" included: look from the end.
        fields = text[text.rfind(b")") + 2 :].split()
        if len(fields) < _STAT_FIELDS:
            raise HostError(ESRCH)
        return ProcessUsage(
            state=fields[0].decode("ascii"),
            minor_faults=int(fields[7]),
            major_faults=int(fields[9]),
            user_ns=int(fields[11]) * _TICK_NS,
            system_ns=int(fields[12]) * _TICK_NS,
            nice=int(fields[16]),
            thread_count=int(fields[17]),
            start_ns=int(fields[19]) * _TICK_NS,
            virtual_size=int(fields[20]),
            resident_size=int(fields[21]) * _PAGE,
            processor=int(fields[36]),
            terminal=int(fields[4]) & 0xFFFFFFFF,
            foreground_group=int(fields[5]),
            signals=(int(fields[28]), int(fields[29]), int(fields[30]), int(fields[31])),
            accounts=_accounts(host_pid) if detailed else {},
        )

    @host_call
    def process_limits(self, host_pid: int, resource: int, limits: tuple[int, int] | None) -> tuple[int, int]:
        pid = _process(host_pid)
        if limits is None:
            return prlimit(pid, resource)
        # Python's prlimit takes rlim_t as a signed number: what is above the half comes as its complement.
        soft, hard = (limit - (1 << 64) if limit >> 63 == 1 else limit for limit in limits)
        return prlimit(pid, resource, (soft, hard))

    @host_call
    def process_text(self, host_pid: int, name: str) -> bytes:
        if name not in _TEXTS:
            raise HostError(ENOENT)
        return _read_proc(b"/proc/%d/%b" % (_process(host_pid), name.encode()))

    @host_call
    def thread_affinity(self, host_tid: int, mask: bytes | None) -> bytes:
        tid = _process(host_tid)
        if mask is not None:
            bits = int.from_bytes(mask[:_AFFINITY_BYTES], "little")
            os.sched_setaffinity(tid, [number for number in range(bits.bit_length()) if bits >> number & 1])
        bits = 0
        for number in os.sched_getaffinity(tid):
            bits |= 1 << number
        return bits.to_bytes((bits.bit_length() + 63) // 64 * 8, "little")

    @host_call
    def thread_priority(self, host_tid: int, nice: int | None) -> int:
        tid = _process(host_tid)
        if nice is not None:
            os.setpriority(os.PRIO_PROCESS, tid, max(-20, min(19, nice)))
        return os.getpriority(os.PRIO_PROCESS, tid)
