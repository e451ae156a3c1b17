"""Every constant and layout of pylibos.abi that the system's C headers also know, compared by a small C program."""

from __future__ import annotations

import shutil
import struct
import subprocess
from types import ModuleType

import pytest

from pylibos.abi import elf, events, fcntl, files, ioctl, ipc, limits, memory, process, signals, sockets
from pylibos.abi.errno import Errno

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler")

HEADERS = """
#define _GNU_SOURCE
#include <stdio.h>
#include <stddef.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>
#include <dirent.h>
#include <elf.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/mman.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <sys/signalfd.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/time.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <sys/personality.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <linux/falloc.h>
#include <linux/netlink.h>
#include <linux/prctl.h>
#include <asm/prctl.h>
/* asm/termbits.h, which has it, does not go together with libc's headers; TCGETS2 holds its size. */
struct termios2 { unsigned flags[4]; unsigned char line, characters[19]; unsigned speeds[2]; };
"""

MODULES = (elf, events, fcntl, files, ioctl, ipc, limits, memory, process, signals, sockets)

LAYOUTS = {
    "struct stat": files.STAT,
    "struct statfs": files.STATFS,
    "struct statx": files.STATX,
    "struct flock": fcntl.FLOCK,
    "struct pollfd": events.POLLFD,
    "struct epoll_event": events.EPOLL_EVENT,
    "struct inotify_event": events.INOTIFY_EVENT,
    "struct winsize": ioctl.WINSIZE,
    "struct timespec": limits.TIMESPEC,
    "struct timeval": limits.TIMEVAL,
    "struct itimerspec": limits.ITIMERSPEC,
    "struct itimerval": limits.ITIMERVAL,
    "struct rlimit": limits.RLIMIT,
    "struct rusage": limits.RUSAGE,
    "struct utsname": limits.UTSNAME,
    "struct sysinfo": limits.SYSINFO,
    "struct iovec": limits.IOVEC,
    "siginfo_t": signals.SIGINFO_SENDER,
    "stack_t": signals.SIGALTSTACK,
    "struct ipc_perm": ipc.PERM,
    "struct sembuf": ipc.SEMBUF,
    "struct seminfo": ipc.SEMINFO,
    "struct msginfo": ipc.MSGINFO,
    "struct shminfo": ipc.SHMINFO,
    "struct shm_info": ipc.SHM_INFO_RECORD,
    "struct mq_attr": ipc.MQ_ATTR,
    "struct sigevent": ipc.SIGEVENT,
    "Elf64_Ehdr": elf.EHDR,
    "Elf64_Phdr": elf.PHDR,
}

OFFSETS = {
    # (type, member): (layout, index of the field in the layout)
    ("struct stat", "st_nlink"): (files.STAT, 2),
    ("struct stat", "st_mode"): (files.STAT, 3),
    ("struct stat", "st_rdev"): (files.STAT, 7),
    ("struct stat", "st_blocks"): (files.STAT, 10),
    ("struct stat", "st_ctim.tv_nsec"): (files.STAT, 16),
    ("struct statfs", "f_fsid"): (files.STATFS, 7),
    ("struct statfs", "f_flags"): (files.STATFS, 11),
    ("struct statx", "stx_ino"): (files.STATX, 8),
    ("struct statx", "stx_btime.tv_sec"): (files.STATX, 15),
    ("struct statx", "stx_rdev_major"): (files.STATX, 24),
    ("struct statx", "stx_mnt_id"): (files.STATX, 28),
    ("struct flock", "l_pid"): (fcntl.FLOCK, 4),
    ("struct sysinfo", "procs"): (limits.SYSINFO, 10),
    ("struct sysinfo", "totalhigh"): (limits.SYSINFO, 12),
    ("struct sysinfo", "mem_unit"): (limits.SYSINFO, 14),
    ("siginfo_t", "si_pid"): (signals.SIGINFO_SENDER, 3),
    ("siginfo_t", "si_uid"): (signals.SIGINFO_SENDER, 4),
    ("stack_t", "ss_size"): (signals.SIGALTSTACK, 2),
    ("struct epoll_event", "data"): (events.EPOLL_EVENT, 1),
    ("struct rusage", "ru_nivcsw"): (limits.RUSAGE, 17),
    ("struct ipc_perm", "cuid"): (ipc.PERM, 3),
    ("struct ipc_perm", "mode"): (ipc.PERM, 5),
    ("struct shm_info", "swap_successes"): (ipc.SHM_INFO_RECORD, 5),
    ("struct seminfo", "semvmx"): (ipc.SEMINFO, 8),
    ("struct msginfo", "msgseg"): (ipc.MSGINFO, 7),
    ("struct sigevent", "sigev_notify"): (ipc.SIGEVENT, 2),
    ("siginfo_t", "si_value"): (ipc.SIGINFO_QUEUED, 5),
    ("struct dirent64", "d_type"): (files.DIRENT64_HEADER, 3),
}


def offset_of(layout: struct.Struct, index: int) -> int:
    """Where a field starts: fill everything before it with zeros and it with ones, and look."""
    fields = [b"" if isinstance(value, bytes) else 0 for value in layout.unpack(bytes(layout.size))]
    fields[index] = 1
    return layout.pack(*fields).index(1)


def constants(module: ModuleType) -> dict[str, int]:
    return {name: value for name, value in vars(module).items() if name.isupper() and type(value) is int}


def label(kind: str, member: str = "size") -> str:
    return f"{kind.replace(' ', '_')}.{member}"


@pytest.fixture(scope="module")
def c_values(tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    names = {name for module in MODULES for name in constants(module)} | set(Errno.__members__) | set(signals.SignalNumber.__members__)
    names |= {f"RLIMIT_{name}" for name in limits.RLIMIT_NAMES}
    lines = [f'#ifdef {name}\nprintf("{name} %lld\\n", (long long)({name}));\n#endif' for name in sorted(names)]
    lines += [f'printf("{label(kind)} %zu\\n", sizeof({kind}));' for kind in LAYOUTS]
    lines += [f'printf("{label(kind, member)} %zu\\n", offsetof({kind}, {member}));' for kind, member in OFFSETS]
    directory = tmp_path_factory.mktemp("c")
    source = directory / "values.c"
    source.write_text(HEADERS + "int main(void) {\n" + "\n".join(lines) + "\nreturn 0;\n}\n")
    program = directory / "values"
    subprocess.run(["gcc", "-w", "-O0", "-o", str(program), str(source)], check=True)
    output = subprocess.run([str(program)], check=True, capture_output=True, text=True).stdout
    return {name: int(value) for name, _, value in (line.partition(" ") for line in output.splitlines())}


LIBC_DIFFERS = {
    "O_LARGEFILE": "0 in a 64-bit libc, which has no small files",
    "NSIG": "libc counts from 0 and so says 65; ours, like the kernel's _NSIG, is the highest number",
}


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__.rpartition(".")[2])
def test_constants(module: ModuleType, c_values: dict[str, int]) -> None:
    ours = {name: value for name, value in constants(module).items() if name in c_values and name not in LIBC_DIFFERS}
    theirs = {name: c_values[name] for name in ours}
    wrong = {name: (value, theirs[name]) for name, value in ours.items() if (value - theirs[name]) % (1 << 32)}
    assert wrong == {}


def test_most_constants_are_compared(c_values: dict[str, int]) -> None:
    ours = {name for module in MODULES for name in constants(module)}
    assert len(ours & set(c_values)) > 0.8 * len(ours)


def test_errno(c_values: dict[str, int]) -> None:
    assert {name: c_values[name] for name in Errno.__members__} == {error.name: error.value for error in Errno}


def test_signal_numbers(c_values: dict[str, int]) -> None:
    assert {number.name: c_values[number.name] for number in signals.SignalNumber} == {n.name: n.value for n in signals.SignalNumber}


def test_resource_numbers(c_values: dict[str, int]) -> None:
    known = {name: c_values[f"RLIMIT_{name}"] for name in limits.RLIMIT_NAMES if f"RLIMIT_{name}" in c_values}
    assert len(known) > 10
    assert known == {name: limits.RLIMIT_NAMES.index(name) for name in known}


@pytest.mark.parametrize("kind", LAYOUTS)
def test_sizes(kind: str, c_values: dict[str, int]) -> None:
    assert LAYOUTS[kind].size == c_values[label(kind)]


@pytest.mark.parametrize(("kind", "member"), OFFSETS)
def test_offsets(kind: str, member: str, c_values: dict[str, int]) -> None:
    layout, index = OFFSETS[kind, member]
    assert offset_of(layout, index) == c_values[label(kind, member)]


def test_kernel_layouts_libc_hides() -> None:
    assert signals.SIGACTION.size == 32
    assert ioctl.TERMIOS.size == 36
    assert files.DIRENT64_HEADER.size == 19
    assert files.DIRENT_HEADER.size == 18
