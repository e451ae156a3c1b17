"""Signal numbers, what each does by default, signal sets, and the structures of signal calls. Pure data.

Source: Linux include/uapi/asm-generic/{signal,siginfo}.h, arch/x86/include/uapi/asm/signal.h, signal(7).
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Iterable
from typing import Final

NSIG: Final = 64
"""Highest signal number; 32 and 33 are used by libc, 34..64 are real-time."""
SIGSET_SIZE: Final = 8
"""sizeof(sigset_t) in the kernel, bytes: what a sigsetsize argument must be."""


class SignalNumber(enum.IntEnum):
    """Standard signals. SIGIOT is SIGABRT, SIGPOLL is SIGIO."""

    SIGHUP = 1
    SIGINT = 2
    SIGQUIT = 3
    SIGILL = 4
    SIGTRAP = 5
    SIGABRT = 6
    SIGBUS = 7
    SIGFPE = 8
    SIGKILL = 9
    SIGUSR1 = 10
    SIGSEGV = 11
    SIGUSR2 = 12
    SIGPIPE = 13
    SIGALRM = 14
    SIGTERM = 15
    SIGSTKFLT = 16
    SIGCHLD = 17
    SIGCONT = 18
    SIGSTOP = 19
    SIGTSTP = 20
    SIGTTIN = 21
    SIGTTOU = 22
    SIGURG = 23
    SIGXCPU = 24
    SIGXFSZ = 25
    SIGVTALRM = 26
    SIGPROF = 27
    SIGWINCH = 28
    SIGIO = 29
    SIGPWR = 30
    SIGSYS = 31


class DefaultAction(enum.Enum):
    """What a signal without handler does."""

    TERMINATE = "terminate"
    CORE = "core"
    IGNORE = "ignore"
    STOP = "stop"
    CONTINUE = "continue"


_BY_DEFAULT: Final = {
    **dict.fromkeys((3, 4, 5, 6, 7, 8, 11, 24, 25, 31), DefaultAction.CORE),
    **dict.fromkeys((17, 23, 28), DefaultAction.IGNORE),
    **dict.fromkeys((19, 20, 21, 22), DefaultAction.STOP),
    18: DefaultAction.CONTINUE,
}

SIG_DFL: Final = 0
SIG_IGN: Final = 1
SIG_BLOCK: Final = 0
SIG_UNBLOCK: Final = 1
SIG_SETMASK: Final = 2

SA_NOCLDSTOP: Final = 1
SA_NOCLDWAIT: Final = 2
SA_SIGINFO: Final = 4
SA_RESTORER: Final = 0x0400_0000
SA_ONSTACK: Final = 0x0800_0000
SA_RESTART: Final = 0x1000_0000
SA_NODEFER: Final = 0x4000_0000
SA_RESETHAND: Final = 0x8000_0000

SI_USER: Final = 0
SI_KERNEL: Final = 0x80
SI_QUEUE: Final = -1
SI_TIMER: Final = -2
SI_MESGQ: Final = -3
SI_ASYNCIO: Final = -4
SI_SIGIO: Final = -5
SI_TKILL: Final = -6

CLD_EXITED: Final = 1
CLD_KILLED: Final = 2
CLD_DUMPED: Final = 3
CLD_TRAPPED: Final = 4
CLD_STOPPED: Final = 5
CLD_CONTINUED: Final = 6

SIGACTION: Final = struct.Struct("<QQQQ")
"""The kernel's struct sigaction, 32 bytes: handler flags restorer mask."""
SIGINFO_SENDER: Final = struct.Struct("<iii4xiI104x")
"""siginfo_t of a sent signal, 128 bytes: signo errno code | pid uid."""
SIGALTSTACK: Final = struct.Struct("<Qi4xQ")
"""stack_t, 24 bytes: address flags size (bytes)."""


def default_action(number: int) -> DefaultAction:
    """What signal ``number`` (1..64) does without handler; real-time signals terminate."""
    return _BY_DEFAULT.get(number, DefaultAction.TERMINATE)


def signal_set(numbers: Iterable[int]) -> int:
    """The 64-bit mask with bit number - 1 set for each signal."""
    mask = 0
    for number in numbers:
        mask |= 1 << (number - 1)
    return mask


def signals_in(mask: int) -> list[int]:
    """The signal numbers of a mask, ascending."""
    return [number for number in range(1, NSIG + 1) if mask >> (number - 1) & 1]


def signal_name(number: int) -> str:
    """SIGTERM, or SIGRTMIN+n as glibc counts (from 34), or the number."""
    try:
        return SignalNumber(number).name
    except ValueError:
        return f"SIGRTMIN+{number - 34}" if 34 <= number <= NSIG else str(number)
