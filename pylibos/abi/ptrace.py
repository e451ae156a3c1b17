"""ptrace(2): requests, options, events. Pure data.

Source: Linux 6.18 include/uapi/linux/ptrace.h, arch/x86/include/uapi/asm/ptrace-abi.h.
"""

from __future__ import annotations

from typing import Final

TRACEME: Final = 0
PEEKTEXT: Final = 1
PEEKDATA: Final = 2
PEEKUSER: Final = 3
POKETEXT: Final = 4
POKEDATA: Final = 5
POKEUSER: Final = 6
CONT: Final = 7
KILL: Final = 8
SINGLESTEP: Final = 9
GETREGS: Final = 12
SETREGS: Final = 13
GETFPREGS: Final = 14
SETFPREGS: Final = 15
ATTACH: Final = 16
DETACH: Final = 17
SYSCALL: Final = 24
ARCH_PRCTL: Final = 30
SETOPTIONS: Final = 0x4200
GETEVENTMSG: Final = 0x4201
GETSIGINFO: Final = 0x4202
SETSIGINFO: Final = 0x4203
GETREGSET: Final = 0x4204
SETREGSET: Final = 0x4205
SEIZE: Final = 0x4206
INTERRUPT: Final = 0x4207
LISTEN: Final = 0x4208
GETSIGMASK: Final = 0x420A
SETSIGMASK: Final = 0x420B
GET_SYSCALL_INFO: Final = 0x420E

RESUMPTIONS: Final = frozenset((CONT, SYSCALL, SINGLESTEP))

EVENT_FORK: Final = 1
EVENT_VFORK: Final = 2
EVENT_CLONE: Final = 3
EVENT_EXEC: Final = 4
EVENT_VFORK_DONE: Final = 5
EVENT_EXIT: Final = 6
EVENT_SECCOMP: Final = 7
EVENT_STOP: Final = 128

O_TRACESYSGOOD: Final = 1
O_EXITKILL: Final = 1 << 20
O_SUSPEND_SECCOMP: Final = 1 << 21
OPTIONS: Final = 0xFF | O_EXITKILL | O_SUSPEND_SECCOMP

SIGINFO_SIZE: Final = 128
REGISTERS_SIZE: Final = 27 * 8
FLOATING_POINT_SIZE: Final = 512
"""struct user_i387_struct, what GETFPREGS transfers."""
REGISTER_SET_MAX: Final = 16384
SYSCALL_INFO_SIZE: Final = 88


def option_of(event: int) -> int:
    """The option that asks for an event."""
    return 1 << event
