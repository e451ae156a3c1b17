"""A guest's own seccomp filters: verified, interpreted and stacked here, never given to the host kernel.

A filter of the guest's in the kernel would run beside ours, and an errno of its would hide calls from the library OS. So the programs are
copied, checked by Linux's rules and run for each call of the thread before the call takes its route. A value is immutable; a thread shares
its filters with whom it creates, as the kernel's tree of filters does.

Invariants: a verified program ends (jumps go forward only), reads only inside struct seccomp_data and words it has written; running it
cannot fail. What a verdict depends on is seen while it runs: one that looked at number and architecture alone is remembered by these.

Source: Linux 6.18 kernel/seccomp.c, net/core/filter.c (bpf_check_classic, check_load_and_stores, ___bpf_prog_run).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from pylibos.abi import bpf
from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError

_WORD: Final = 0xFFFFFFFF
_DATA_SIZE: Final = bpf.DATA.size
_SHARED_OFFSETS: Final = (0, 4)
"""nr and arch: the words of seccomp_data that a remembered verdict may depend on."""
_VERDICTS_MAX: Final = 1024
_SHIFT_MAX: Final = 31


class Instruction(NamedTuple):
    """One struct sock_filter."""

    code: int
    jt: int
    jf: int
    k: int


class Program:
    """One verified filter."""

    __slots__ = ("instructions", "logged")

    def __init__(self, raw: bytes, logged: bool = False) -> None:
        """raw: struct sock_filter[]. Raises EINVAL for what the kernel would not take."""
        self.instructions = [Instruction(*fields) for fields in bpf.INSTRUCTION.iter_unpack(raw)]
        self.logged = logged
        _verify(self.instructions)

    def run(self, data: bytes) -> tuple[int, bool]:
        """(the 32-bit verdict, whether it depends on number and architecture alone) for one struct seccomp_data."""
        a = x = at = 0
        general = True
        memory = [0] * bpf.MEMORY_WORDS
        instructions = self.instructions
        while True:
            code, jt, jf, k = instructions[at]
            at += 1
            if code == bpf.LD_W_ABS:
                a = int.from_bytes(data[k : k + 4], "little")
                general = general and k in _SHARED_OFFSETS
            elif code & 7 == bpf.JMP:
                at += k if code == bpf.JA else jt if _holds(code, a, x if code & 8 else k) else jf
            elif code == bpf.RET_K:
                return k, general
            elif code == bpf.RET_A:
                return a, general
            elif code & 7 == bpf.ALU:
                operand = x if code & 8 else k
                if code >> 4 == _DIVIDE and operand == 0:
                    return 0, general  # the kernel's program ends so: kill the thread
                a = _calculate(code >> 4, a, operand)
            else:
                a, x = _move(code, k, a, x, memory)


def _move(code: int, k: int, a: int, x: int, memory: list[int]) -> tuple[int, int]:
    """Loads of constants and memory, stores, and copies between the two registers."""
    if code in (bpf.LD_IMM, bpf.LD_W_LEN, bpf.LD_MEM):
        return k if code == bpf.LD_IMM else _DATA_SIZE if code == bpf.LD_W_LEN else memory[k], x
    if code in (bpf.LDX_IMM, bpf.LDX_W_LEN, bpf.LDX_MEM):
        return a, k if code == bpf.LDX_IMM else _DATA_SIZE if code == bpf.LDX_W_LEN else memory[k]
    if code in (bpf.ST, bpf.STX):
        memory[k] = a if code == bpf.ST else x
        return a, x
    return (a, a) if code == bpf.TAX else (x, x)


_DIVIDE: Final = 3


def _holds(code: int, a: int, operand: int) -> bool:
    kind = code & 0xF0
    if kind == 0x10:
        return a == operand
    if kind == 0x20:
        return a > operand
    if kind == 0x30:
        return a >= operand
    return bool(a & operand)


def _calculate(operation: int, a: int, operand: int) -> int:
    name = bpf.ALU_OPERATIONS[operation]
    if name == "add":
        return (a + operand) & _WORD
    if name == "sub":
        return (a - operand) & _WORD
    if name == "mul":
        return (a * operand) & _WORD
    if name == "div":
        return a // operand
    if name == "or":
        return a | operand
    if name == "and":
        return a & operand
    if name == "lsh":
        return (a << (operand & _SHIFT_MAX)) & _WORD
    if name == "rsh":
        return a >> (operand & _SHIFT_MAX)
    if name == "neg":
        return -a & _WORD
    return a ^ operand


def _refuse(condition: bool) -> None:
    if condition:
        raise SyscallError(Errno.EINVAL)


def _verify(instructions: list[Instruction]) -> None:
    """bpf_check_classic and seccomp_check_filter. Raises EINVAL."""
    count = len(instructions)
    _refuse(not 0 < count <= bpf.BPF_MAXINSNS)
    for at, (code, jt, jf, k) in enumerate(instructions):
        _refuse(code not in bpf.SECCOMP_ALU and code not in bpf.SECCOMP_OTHER)
        if code == bpf.LD_W_ABS:
            _refuse(k >= _DATA_SIZE or k & 3 != 0)
        elif code & 7 == bpf.ALU and not code & 8:
            _refuse(code >> 4 == _DIVIDE and k == 0)
            _refuse(bpf.ALU_OPERATIONS[code >> 4] in ("lsh", "rsh") and k > _SHIFT_MAX)
        elif code in (bpf.LD_MEM, bpf.LDX_MEM, bpf.ST, bpf.STX):
            _refuse(k >= bpf.MEMORY_WORDS)
        elif code == bpf.JA:
            _refuse(k >= count - at - 1)
        elif code & 7 == bpf.JMP:
            _refuse(at + jt + 1 >= count or at + jf + 1 >= count)
    _refuse(instructions[-1].code not in (bpf.RET_K, bpf.RET_A))
    _check_memory(instructions)


def _check_memory(instructions: list[Instruction]) -> None:
    """No word of memory is read that was not written on every way there. Raises EINVAL."""
    everything = (1 << bpf.MEMORY_WORDS) - 1
    known = [everything] * len(instructions)
    written = 0
    for at, (code, jt, jf, k) in enumerate(instructions):
        written &= known[at]
        if code in (bpf.ST, bpf.STX):
            written |= 1 << k
        elif code in (bpf.LD_MEM, bpf.LDX_MEM):
            _refuse(not written >> k & 1)
        elif code == bpf.JA:
            known[at + 1 + k] &= written
            written = everything
        elif code & 7 == bpf.JMP:
            known[at + 1 + jt] &= written
            known[at + 1 + jf] &= written
            written = everything


def _rank(verdict: int) -> int:
    """The kernel compares actions as signed numbers: the smallest wins."""
    action = verdict & bpf.ACTION_MASK
    return action - (1 << 32) if action >> 31 else action


class Seccomp:
    """What a thread's calls are subject to: strict mode, or a stack of filters (the newest first)."""

    __slots__ = ("_verdicts", "mode", "parent", "program", "total")

    def __init__(self, mode: int, program: Program | None = None, parent: Seccomp | None = None) -> None:
        """Raises ENOMEM when the filters on the way are longer than the kernel allows."""
        self.mode = mode
        self.program = program
        self.parent = parent
        self.total = 0
        """Instructions of all filters, with the kernel's penalty for each."""
        if program is not None:
            self.total = len(program.instructions) + (0 if parent is None else parent.total + bpf.FILTER_PENALTY)
            if self.total > bpf.MAX_INSNS_PER_PATH:
                raise SyscallError(Errno.ENOMEM)
        self._verdicts: dict[tuple[int, int], int] = {}

    @property
    def count(self) -> int:
        """How many filters there are (Seccomp_filters in /proc/PID/status)."""
        return (self.program is not None) + (0 if self.parent is None else self.parent.count)

    def descends_from(self, other: Seccomp | None) -> bool:
        """Whether other's filters are the oldest of these (or other is nothing): what TSYNC asks."""
        at: Seccomp | None = self
        while at is not None:
            if at is other:
                return True
            at = at.parent
        return other is None

    def verdict(self, number: int, architecture: int, instruction: int, arguments: tuple[int, ...]) -> int:
        """The 32-bit result for one call: action and data."""
        if self.mode == bpf.MODE_STRICT:
            allowed = architecture == bpf.AUDIT_ARCH_X86_64 and number in bpf.STRICT_CALLS
            return bpf.SECCOMP_RET_ALLOW if allowed else bpf.SECCOMP_RET_KILL_THREAD
        known = self._verdicts.get((number, architecture))
        if known is not None:
            return known
        signed = number - (1 << 32) if number >> 31 & 1 else number
        data = bpf.DATA.pack(signed, architecture, instruction, *arguments)
        best, general = bpf.SECCOMP_RET_ALLOW, True
        at: Seccomp | None = self
        while at is not None and at.program is not None:
            result, constant = at.program.run(data)
            general = general and constant
            if _rank(result) < _rank(best):
                best = result
            at = at.parent
        if general:
            if len(self._verdicts) >= _VERDICTS_MAX:
                self._verdicts.clear()
            self._verdicts[number, architecture] = best
        return best
