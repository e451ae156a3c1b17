"""What this host offers, found by trying: each probe does the thing in a child process and reports the kernel's answer.

Reading settings (Yama, sysctls, container profiles) guesses what the kernel would say; a probe asks it. Settings are read only to name the
remedy. Nothing here changes the host: every attempt happens in a child that exits at once.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import signal
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pylibos.abi.record import record

NR_LANDLOCK_CREATE_RULESET: Final = 444
NR_SECCOMP: Final = 317
PR_SET_NO_NEW_PRIVS: Final = 38
PTRACE_SEIZE: Final = 0x4206
PTRACE_O_EXITKILL: Final = 0x100000
SECCOMP_SET_MODE_FILTER: Final = 1
FLAG_NEW_LISTENER: Final = 1 << 3
FLAG_WAIT_KILLABLE_RECV: Final = 1 << 5
BPF_RETURN_ALLOW: Final = struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000)
CLONE_NEWUSER: Final = 0x10000000
CLONE_NEWPID: Final = 0x20000000
CLONE_NEWNET: Final = 0x40000000
MINIMUM_KERNEL: Final = (5, 19)
SYNC_WAKE_UP_KERNEL: Final = (6, 6)


@record
class Finding:
    """One line of the report. essential: without it nothing runs. remedy: what to do when ok is false, or nothing."""

    name: str
    ok: bool
    detail: str
    essential: bool = False
    remedy: str = ""


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def in_child(attempt: Callable[[], int]) -> int:
    """Run attempt in a child process: 0 when it returned 0 or more, else the errno it left. The child never returns from here."""
    child = os.fork()
    if child == 0:
        code = errno.EIO
        try:
            code = 0 if attempt() >= 0 else ctypes.get_errno()
        finally:
            os._exit(code & 0xFF)
    _, status = os.waitpid(child, 0)
    return os.WEXITSTATUS(status) if os.WIFEXITED(status) else errno.EINTR


def listener_errno(flags: int) -> int:
    """0 when a seccomp user-notification listener can be had with these filter flags."""

    def attempt() -> int:
        libc = _libc()
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        program = ctypes.create_string_buffer(BPF_RETURN_ALLOW, len(BPF_RETURN_ALLOW))
        header = ctypes.create_string_buffer(struct.pack("=HxxxxxxQ", 1, ctypes.addressof(program)), 16)
        return int(libc.syscall(NR_SECCOMP, SECCOMP_SET_MODE_FILTER, flags, header))

    return in_child(attempt)


def ptrace_errno() -> int:
    """0 when a child that did not ask for it can be seized, the way the engine does it."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    os.close(reader)
    libc = _libc()
    libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
    libc.ptrace.restype = ctypes.c_long
    answer = 0 if libc.ptrace(PTRACE_SEIZE, child, None, PTRACE_O_EXITKILL) == 0 else ctypes.get_errno()
    os.kill(child, signal.SIGKILL)
    os.close(writer)
    os.waitpid(child, 0)
    return answer


def namespace_errno(flags: int) -> int:
    """0 when a user name space with these others can be had."""
    return in_child(lambda: int(_libc().unshare(CLONE_NEWUSER | flags)))


def landlock_abi() -> int:
    """The Landlock ABI version, 0 when there is none."""
    return max(0, int(_libc().syscall(NR_LANDLOCK_CREATE_RULESET, None, ctypes.c_size_t(0), 1)))


def kernel_version() -> tuple[int, int]:
    """(major, minor) of the running kernel."""
    numbers = os.uname().release.split("-")[0].split(".")
    return int(numbers[0]), int(numbers[1])


def setting(path: str) -> str:
    """A /proc/sys value, or nothing."""
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def ptrace_remedy() -> str:
    """What to change so that a process may trace its own children."""
    if setting("/proc/sys/kernel/yama/ptrace_scope") == "3":
        return "the administrator has forbidden ptrace until the next boot: set kernel.yama.ptrace_scope to 0, 1 or 2 and reboot"
    return "the container's seccomp profile denies ptrace: docker run --security-opt seccomp=... or --cap-add SYS_PTRACE"


def namespace_remedy() -> str:
    """What to change so that an ordinary user may make name spaces."""
    if setting("/proc/sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
        return "an AppArmor setting forbids it: sysctl kernel.apparmor_restrict_unprivileged_userns=0 (optional; it is a second wall)"
    if setting("/proc/sys/kernel/unprivileged_userns_clone") == "0":
        return "sysctl kernel.unprivileged_userns_clone=1 (optional; it is a second wall)"
    if setting("/proc/sys/user/max_user_namespaces") == "0":
        return "sysctl user.max_user_namespaces=10000 (optional; it is a second wall)"
    return "default containers deny it (optional; it is a second wall)"


def shim_finding() -> Finding:
    """Whether the compiled part is there and loads."""
    try:
        from pylibos.tracer import native  # noqa: F401
    except ImportError as error:
        return Finding("C shim", False, str(error), True, "run ./scripts/pylibos once (it compiles), or install with pip install .")
    return Finding("C shim", True, "compiled", True)


def failed(number: int) -> str:
    """An errno as text."""
    return f"{errno.errorcode.get(number, number)} ({os.strerror(number)})"


def findings() -> list[Finding]:
    """Every probe, essential ones first."""
    version = kernel_version()
    listener = listener_errno(FLAG_NEW_LISTENER)
    killable = listener_errno(FLAG_NEW_LISTENER | FLAG_WAIT_KILLABLE_RECV)
    trace = ptrace_errno()
    users, pids, net = namespace_errno(0), namespace_errno(CLONE_NEWPID), namespace_errno(CLONE_NEWNET)
    landlock = landlock_abi()
    python = ".".join(str(number) for number in sys.version_info[:3])
    architecture = platform.machine()

    def answer(number: int, yes: str) -> str:
        return failed(number) if number else yes

    return [
        Finding("architecture", architecture == "x86_64", architecture, True, "only x86-64 is supported"),
        Finding("kernel", version >= MINIMUM_KERNEL, os.uname().release, True, "Linux 5.19 or newer is needed"),
        Finding("Python", sys.version_info >= (3, 11), python, True, "Python 3.11 or newer is needed"),
        shim_finding(),
        Finding("ptrace", trace == 0, answer(trace, "children can be traced"), True, ptrace_remedy()),
        Finding(
            "seccomp listener", listener == 0, answer(listener, "available"), True,
            "the kernel or the container's profile denies seccomp user notification; --engine ptrace does without",
        ),
        Finding(
            "killable notifications", killable == 0, answer(killable, "available"), True, "needs Linux 5.19; --engine ptrace does without",
        ),
        Finding(
            "synchronous wake-up", version >= SYNC_WAKE_UP_KERNEL, "Linux 6.6 or newer" if version >= SYNC_WAKE_UP_KERNEL else "older",
            remedy="from Linux 6.6 an intercepted call is up to ten times faster when guest and supervisor are on different cores",
        ),
        Finding("user name space", users == 0, answer(users, "available"), remedy=namespace_remedy()),
        Finding("pid name space", pids == 0, answer(pids, "available"), remedy=namespace_remedy()),
        Finding("network name space", net == 0, answer(net, "available"), remedy=namespace_remedy()),
        Finding(
            "Landlock", landlock > 0, f"ABI {landlock}" if landlock else "absent",
            remedy="enable CONFIG_SECURITY_LANDLOCK and lsm=landlock,... (optional; it is a second wall)",
        ),
    ]  # fmt: skip
