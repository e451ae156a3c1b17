"""Classic BPF and seccomp: instruction layout, opcodes a seccomp filter may use, actions. Pure data.

Source: Linux 6.18 include/uapi/linux/{filter,bpf_common,seccomp,audit}.h, kernel/seccomp.c (seccomp_check_filter).
"""

from __future__ import annotations

import struct
from typing import Final

INSTRUCTION: Final = struct.Struct("<HBBI")
"""struct sock_filter: code, jt, jf, k."""
PROGRAM: Final = struct.Struct("<H6xQ")
"""struct sock_fprog: count of instructions, their address."""
DATA: Final = struct.Struct("<iIQ6Q")
"""struct seccomp_data: number, architecture, instruction pointer, arguments."""

BPF_MAXINSNS: Final = 4096
MEMORY_WORDS: Final = 16
MAX_INSNS_PER_PATH: Final = 32768
FILTER_PENALTY: Final = 4
AUDIT_ARCH_X86_64: Final = 0xC000003E

LD_W_ABS: Final = 0x20
LD_W_LEN: Final = 0x80
LDX_W_LEN: Final = 0x81
LD_IMM: Final = 0x00
LDX_IMM: Final = 0x01
LD_MEM: Final = 0x60
LDX_MEM: Final = 0x61
ST: Final = 0x02
STX: Final = 0x03
ALU: Final = 0x04
"""Class of arithmetic; the operation in bits 4..7, source X in bit 3."""
JMP: Final = 0x05
RET_K: Final = 0x06
RET_A: Final = 0x16
TAX: Final = 0x07
TXA: Final = 0x87

ALU_OPERATIONS: Final = ("add", "sub", "mul", "div", "or", "and", "lsh", "rsh", "neg", "mod", "xor")
NEG: Final = 0x84
JA: Final = 0x05
CONDITIONS: Final = (0x15, 0x1D, 0x25, 0x2D, 0x35, 0x3D, 0x45, 0x4D)
"""JEQ, JGT, JGE, JSET, each with K and X."""

# Not in this list, though BPF_MOD is an operation: seccomp_check_filter refuses it.
SECCOMP_ALU: Final = frozenset(operation << 4 | ALU | source for operation in (0, 1, 2, 3, 4, 5, 6, 7, 10) for source in (0, 8)) | {NEG}
SECCOMP_OTHER: Final = frozenset(
    (LD_W_ABS, LD_W_LEN, LDX_W_LEN, LD_IMM, LDX_IMM, LD_MEM, LDX_MEM, ST, STX, RET_K, RET_A, TAX, TXA, JA, *CONDITIONS)
)

SECCOMP_RET_KILL_PROCESS: Final = 0x80000000
SECCOMP_RET_KILL_THREAD: Final = 0x00000000
SECCOMP_RET_TRAP: Final = 0x00030000
SECCOMP_RET_ERRNO: Final = 0x00050000
SECCOMP_RET_USER_NOTIF: Final = 0x7FC00000
SECCOMP_RET_TRACE: Final = 0x7FF00000
SECCOMP_RET_LOG: Final = 0x7FFC0000
SECCOMP_RET_ALLOW: Final = 0x7FFF0000
ACTION_MASK: Final = 0xFFFF0000
DATA_MASK: Final = 0x0000FFFF

MODE_DISABLED: Final = 0
MODE_STRICT: Final = 1
MODE_FILTER: Final = 2
STRICT_CALLS: Final = frozenset((0, 1, 60, 15))
"""read, write, exit, rt_sigreturn."""

SET_MODE_STRICT: Final = 0
SET_MODE_FILTER: Final = 1
GET_ACTION_AVAIL: Final = 2
GET_NOTIF_SIZES: Final = 3
FLAG_TSYNC: Final = 1
FLAG_LOG: Final = 2
FLAG_SPEC_ALLOW: Final = 4
FLAG_NEW_LISTENER: Final = 8
FLAG_TSYNC_ESRCH: Final = 16
FLAG_WAIT_KILLABLE_RECV: Final = 32
