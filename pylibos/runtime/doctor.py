"""pylibos doctor's whole report: what must be there (probes) and what makes a run faster, safer or possible to build.

What it is: probes of single facilities, each tried in a child process, put behind the essential ones of runtime.probes. Owns the order of
the report. Changes nothing on the host: what is tried is tried on memory, on children, or on directories removed at once.
Sources: seccomp(2), seccomp_unotify(2), process_vm_readv(2), memfd_create(2), openat2(2), cgroups(7), Yama (admin-guide/LSM/Yama.rst).
"""

from __future__ import annotations

import ctypes
import errno
import importlib.util
import os
import shutil
import signal
import struct
import sysconfig
from pathlib import Path
from typing import Final

from pylibos.monitor.host_abi import HostError
from pylibos.monitor.linux_terminals import open_terminal
from pylibos.monitor.linux_tokens import TokenPool
from pylibos.monitor.native import AT_FDCWD, RESOLVE_NO_SYMLINKS
from pylibos.monitor.native_ctypes import CtypesNative
from pylibos.runtime.probes import (
    BPF_RETURN_ALLOW,
    CLONE_NEWUSER,
    FLAG_NEW_LISTENER,
    NR_SECCOMP,
    PR_SET_NO_NEW_PRIVS,
    SECCOMP_SET_MODE_FILTER,
    Finding,
    failed,
    findings,
    in_child,
    namespace_remedy,
    setting,
)

SECCOMP_GET_ACTION_AVAIL: Final = 2
NOTIF_SET_FLAGS: Final = 0x40082104
"""_IOW('!', 4, __u64)."""
SYNC_WAKE_UP: Final = 1
CLONE_NEWNS: Final = 0x00020000
CLONE_NEWIPC: Final = 0x08000000
_ACTIONS: Final = {"USER_NOTIF": 0x7FC00000, "TRACE": 0x7FF00000, "ERRNO": 0x00050000, "KILL_PROCESS": 0x80000000}
_YAMA: Final = "/proc/sys/kernel/yama/ptrace_scope"
_YAMA_WORDS: Final = {"": "absent", "0": "0: any process of the same user", "1": "1: descendants only, which is all PyLibOS needs"}


def report() -> list[Finding]:
    """Every finding: first what nothing runs without."""
    found = [
        *findings(),
        seccomp_actions(),
        memory_access(),
        descriptor_access(),
        token_directories(),
        memory_program(),
        yama(),
        sync_wake_up(),
        openat2(),
        pseudo_terminals(),
        name_spaces("mount name space", CLONE_NEWNS),
        name_spaces("IPC name space", CLONE_NEWIPC),
        libseccomp(),
        compiler(),
        cgroup_delegation(),
    ]
    by_name = {finding.name: finding for finding in found}  # a later probe that really tries replaces an earlier guess
    return sorted(by_name.values(), key=lambda finding: not finding.essential)


def seccomp_actions() -> Finding:
    """The filter actions the engines use."""
    libc = ctypes.CDLL(None, use_errno=True)
    missing = []
    for name, action in _ACTIONS.items():
        value = ctypes.c_uint32(action)
        if libc.syscall(NR_SECCOMP, SECCOMP_GET_ACTION_AVAIL, 0, ctypes.byref(value)) != 0:
            missing.append(name)
    detail = f"not available: {', '.join(missing)}" if missing else ", ".join(_ACTIONS)
    remedy = "the kernel needs CONFIG_SECCOMP_FILTER, and the container's profile must allow seccomp(2)"
    return Finding("seccomp actions", not missing, detail, True, remedy)


def _with_child(attempt_name: str, remedy: str, attempt: ctypes.Array[ctypes.c_char], *, memory: bool) -> Finding:
    """Look at the memory (or the descriptors) of a child that does nothing but wait."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    try:
        if memory:
            content = CtypesNative().memory_read(child, ctypes.addressof(attempt), len(attempt))
            ok = content == attempt.raw
        else:
            known, seen = os.fstat(reader), os.stat(f"/proc/{child}/fd/{reader}")
            ok = (known.st_dev, known.st_ino) == (seen.st_dev, seen.st_ino)
        detail = "works" if ok else "gives wrong answers"
    except (HostError, OSError) as error:
        ok, detail = False, failed(error.errno or errno.EIO)
    finally:
        os.kill(child, signal.SIGKILL)
        os.close(reader)
        os.close(writer)
        os.waitpid(child, 0)
    return Finding(attempt_name, ok, detail, True, remedy)


def memory_access() -> Finding:
    """process_vm_readv of a child."""
    remedy = "the container's profile denies process_vm_readv: docker run --cap-add SYS_PTRACE, or a newer runtime's default profile"
    return _with_child("guest memory", remedy, ctypes.create_string_buffer(b"doctor", 64), memory=True)


def descriptor_access() -> Finding:
    """/proc/PID/fd of a child."""
    remedy = "mount /proc without hidepid=2 for this user"
    return _with_child("guest descriptors", remedy, ctypes.create_string_buffer(1), memory=False)


def token_directories() -> Finding:
    """A directory that can be made and removed while it is open."""
    pool = TokenPool()
    try:
        os.close(pool.directory())
    except OSError as error:
        remedy = "make /dev/shm, $XDG_RUNTIME_DIR or $TMPDIR writable"
        return Finding("token directories", False, failed(error.errno or errno.EIO), True, remedy)
    finally:
        pool.close()
    return Finding("token directories", True, "can be made", True)


def pseudo_terminals() -> Finding:
    """What run -t and guests' own terminals are made of."""
    try:
        for descriptor in open_terminal(nonblock=False):
            os.close(descriptor)
    except OSError as error:
        return Finding("pseudo terminals", False, failed(error.errno or errno.EIO), remedy="mount devpts on /dev/pts (run -t needs it)")
    except HostError as error:
        return Finding("pseudo terminals", False, error.detail, remedy="mount devpts on /dev/pts, with /dev/ptmx (run -t needs it)")
    return Finding("pseudo terminals", True, "can be made")


def memory_program() -> Finding:
    """Execution of a file in memory: our loader is started that way."""

    def attempt() -> int:
        descriptor = os.memfd_create("doctor", 0)
        os.write(descriptor, Path("/bin/true").read_bytes())
        grandchild = os.fork()
        if grandchild == 0:
            try:
                os.execv(f"/proc/self/fd/{descriptor}", ["true"])  # noqa: S606 - our own copy of true
            except OSError as error:
                os._exit(error.errno or errno.EIO)
        _, status = os.waitpid(grandchild, 0)
        ctypes.set_errno(os.waitstatus_to_exitcode(status))
        return 0 if status == 0 else -1

    answer = in_child(attempt)
    noexec = setting("/proc/sys/vm/memfd_noexec")
    remedy = f"sysctl vm.memfd_noexec is {noexec}: set it to 0 or 1" if noexec == "2" else "an LSM forbids it: see the kernel's log"
    return Finding("programs in memory", answer == 0, failed(answer) if answer else "can be executed", True, remedy)


def yama() -> Finding:
    """The Yama setting, for people who compare; what counts is whether ptrace worked."""
    scope = setting(_YAMA)
    ok = scope in _YAMA_WORDS or (scope == "2" and os.geteuid() == 0)
    detail = _YAMA_WORDS.get(scope, f"{scope}: needs CAP_SYS_PTRACE" if scope == "2" else f"{scope}: no process may trace")
    return Finding("Yama ptrace scope", ok, detail, remedy="sysctl kernel.yama.ptrace_scope=1")


def sync_wake_up() -> Finding:
    """SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP, really set on a listener."""

    def attempt() -> int:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        program = ctypes.create_string_buffer(BPF_RETURN_ALLOW, len(BPF_RETURN_ALLOW))
        header = ctypes.create_string_buffer(struct.pack("=HxxxxxxQ", 1, ctypes.addressof(program)), 16)
        listener = int(libc.syscall(NR_SECCOMP, SECCOMP_SET_MODE_FILTER, FLAG_NEW_LISTENER, header))
        if listener < 0:
            return listener
        return int(libc.ioctl(listener, ctypes.c_ulong(NOTIF_SET_FLAGS), ctypes.c_ulong(SYNC_WAKE_UP)))

    answer = in_child(attempt)
    remedy = "from Linux 6.6 an intercepted call is up to ten times faster when guest and supervisor are on different cores"
    return Finding("synchronous wake-up", answer == 0, failed(answer) if answer else "available", remedy=remedy)


def openat2() -> Finding:
    """openat2, which replaces a walk of one open per component."""
    try:
        os.close(CtypesNative().openat2(AT_FDCWD, b"/", os.O_PATH, 0, RESOLVE_NO_SYMLINKS))
    except HostError as error:
        remedy = "opening host files costs more without; needs Linux 5.6 and a container profile that knows it"
        return Finding("openat2", False, failed(error.errno), remedy=remedy)
    return Finding("openat2", True, "available")


def name_spaces(name: str, flags: int) -> Finding:
    """A further name space below a user name space."""
    answer = in_child(lambda: int(ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWUSER | flags)))
    return Finding(name, answer == 0, failed(answer) if answer else "available", remedy=namespace_remedy())


def libseccomp() -> Finding:
    """libseccomp and its Python module, which build the filter (a built filter is cached)."""
    remedy = "apt install libseccomp2, then pip install pyseccomp"
    try:
        import pyseccomp
    except (ImportError, OSError, RuntimeError) as error:
        return Finding("libseccomp", False, str(error), True, remedy)
    number = pyseccomp.resolve_syscall(pyseccomp.Arch.X86_64, "openat2")
    return Finding("libseccomp", number == 437, "loads" if number == 437 else "too old: it does not know openat2", True, remedy)


def compiler() -> Finding:
    """What compiles the C parts on first use."""
    cc = shutil.which(os.environ.get("CC", "cc")) or shutil.which("gcc")
    headers = Path(sysconfig.get_path("include"), "Python.h")
    missing = [
        name
        for name, there in (
            ("a C compiler (apt install gcc)", cc is not None),
            (f"{headers} (apt install python3-dev)", headers.exists()),
            ("cffi (pip install cffi)", importlib.util.find_spec("cffi") is not None),
        )
        if not there
    ]
    detail = f"missing: {', '.join(missing)}" if missing else str(cc)
    return Finding("compiler", not missing, detail, remedy="only needed until the C parts are compiled")


def cgroup_delegation() -> Finding:
    """Whether this process may make control groups below its own, for limits on whole guests."""
    remedy = "systemd-run --user --scope -p Delegate=yes pylibos ... (optional: limits of a whole sandbox)"
    own = next((line[3:] for line in setting("/proc/self/cgroup").splitlines() if line.startswith("0::")), None)
    mounts = (line.split() for line in setting("/proc/self/mountinfo").splitlines() if " - cgroup2 " in line)
    place = next((fields[4] for fields in mounts), None)
    if own is None or place is None:
        return Finding("cgroup delegation", False, "no cgroup v2 here", remedy=remedy)
    group = Path(place + own.rstrip("/") + "/")
    controllers = setting(str(group / "cgroup.controllers"))
    ok = os.access(group, os.W_OK) and os.access(group / "cgroup.procs", os.W_OK) and "memory" in controllers
    detail = f"{group}: {controllers or 'no controllers'}" + ("" if os.access(group, os.W_OK) else ", not writable")
    return Finding("cgroup delegation", ok, detail, remedy=remedy)
