"""A guest's filters: what is taken, what they answer, and which of several wins. tests/guest/seccomp.c compares with the kernel."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylibos.abi import bpf
from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.security.seccomp import Program, Seccomp

ALLOW, KILL = bpf.SECCOMP_RET_ALLOW, bpf.SECCOMP_RET_KILL_PROCESS
X86 = bpf.AUDIT_ARCH_X86_64
NO_ARGUMENTS = (0,) * 6
ADD, DIVIDE, SHIFT_LEFT = 0x04, 0x34, 0x64


def program(*instructions: tuple[int, int, int, int]) -> Program:
    return Program(b"".join(struct.pack("<HBBI", *each) for each in instructions))


def answer(verdict: int) -> Program:
    return program((bpf.RET_K, 0, 0, verdict))


def on(number: int, verdict: int) -> Program:
    return program((bpf.LD_W_ABS, 0, 0, 0), (0x15, 0, 1, number), (bpf.RET_K, 0, 0, verdict), (bpf.RET_K, 0, 0, ALLOW))


def stack(*programs: Program) -> Seccomp:
    """The last is the newest."""
    made: Seccomp | None = None
    for each in programs:
        made = Seccomp(bpf.MODE_FILTER, each, made)
    assert made is not None
    return made


def test_one_number() -> None:
    seccomp = stack(on(39, bpf.SECCOMP_RET_ERRNO | 1))
    assert seccomp.verdict(39, X86, 0, NO_ARGUMENTS) == bpf.SECCOMP_RET_ERRNO | 1
    assert seccomp.verdict(40, X86, 0, NO_ARGUMENTS) == ALLOW


def test_what_depends_on_an_argument_is_asked_each_time() -> None:
    seccomp = stack(program((bpf.LD_W_ABS, 0, 0, 16), (0x15, 0, 1, 7), (bpf.RET_K, 0, 0, KILL), (bpf.RET_K, 0, 0, ALLOW)))
    assert [seccomp.verdict(1, X86, 0, (value, 0, 0, 0, 0, 0)) for value in (6, 7, 6, 7 | 1 << 32)] == [ALLOW, KILL, ALLOW, KILL]


def test_the_architecture_is_part_of_what_is_remembered() -> None:
    seccomp = stack(program((bpf.LD_W_ABS, 0, 0, 4), (0x15, 0, 1, X86), (bpf.RET_K, 0, 0, ALLOW), (bpf.RET_K, 0, 0, KILL)))
    assert [seccomp.verdict(1, arch, 0, NO_ARGUMENTS) for arch in (X86, 0x40000003, X86)] == [ALLOW, KILL, ALLOW]


@given(st.lists(st.sampled_from([KILL, 0, bpf.SECCOMP_RET_TRAP, bpf.SECCOMP_RET_ERRNO | 5, bpf.SECCOMP_RET_TRACE, ALLOW]), min_size=1))
def test_the_strictest_wins(verdicts: list[int]) -> None:
    order = [KILL, 0, bpf.SECCOMP_RET_TRAP, bpf.SECCOMP_RET_ERRNO | 5, bpf.SECCOMP_RET_TRACE, ALLOW]
    assert stack(*map(answer, verdicts)).verdict(1, X86, 0, NO_ARGUMENTS) == min(verdicts, key=order.index)


def test_of_equals_the_newest_wins() -> None:
    assert stack(answer(bpf.SECCOMP_RET_ERRNO | 1), answer(bpf.SECCOMP_RET_ERRNO | 2)).verdict(1, X86, 0, NO_ARGUMENTS) & 0xFFFF == 2


@pytest.mark.parametrize(
    "instructions",
    [
        pytest.param([], id="nothing"),
        pytest.param([(bpf.LD_W_ABS, 0, 0, 0)], id="no-return"),
        pytest.param([(bpf.LD_W_ABS, 0, 0, 64), (bpf.RET_K, 0, 0, 0)], id="beyond-the-data"),
        pytest.param([(bpf.LD_W_ABS, 0, 0, 0xFFFFFFFC), (bpf.RET_K, 0, 0, 0)], id="ancillary"),
        pytest.param([(bpf.LD_W_ABS, 0, 0, 1), (bpf.RET_K, 0, 0, 0)], id="unaligned"),
        pytest.param([(bpf.JA, 0, 0, 1), (bpf.RET_K, 0, 0, 0)], id="jump-out"),
        pytest.param([(bpf.JA, 0, 0, 0xFFFFFFFF), (bpf.RET_K, 0, 0, 0)], id="jump-back"),
        pytest.param([(0x15, 0, 1, 0), (bpf.RET_K, 0, 0, 0)], id="branch-out"),
        pytest.param([(DIVIDE, 0, 0, 0), (bpf.RET_K, 0, 0, 0)], id="division-by-nothing"),
        pytest.param([(SHIFT_LEFT, 0, 0, 32), (bpf.RET_K, 0, 0, 0)], id="shift"),
        pytest.param([(bpf.LD_MEM, 0, 0, 0), (bpf.RET_K, 0, 0, 0)], id="unwritten"),
        pytest.param([(bpf.ST, 0, 0, 16), (bpf.RET_K, 0, 0, 0)], id="no-such-word"),
        pytest.param([(0x40, 0, 0, 0), (bpf.RET_K, 0, 0, 0)], id="indirect"),
        pytest.param([(bpf.RET_K, 0, 0, 0)] * 4097, id="too-long"),
    ],
)
def test_refused(instructions: list[tuple[int, int, int, int]]) -> None:
    with pytest.raises(SyscallError) as error:
        program(*instructions)
    assert error.value.errno == Errno.EINVAL


CODES = st.sampled_from(sorted(bpf.SECCOMP_ALU | bpf.SECCOMP_OTHER))


@given(st.lists(st.tuples(CODES, st.integers(0, 3), st.integers(0, 3), st.integers(0, 63))))
def test_whatever_is_taken_ends_with_a_32_bit_answer(instructions: list[tuple[int, int, int, int]]) -> None:
    try:
        made = program(*instructions, (bpf.RET_A, 0, 0, 0))
    except SyscallError:
        return
    verdict, _general = made.run(bytes(range(64)))
    assert 0 <= verdict <= 0xFFFFFFFF


def test_arithmetic_wraps() -> None:
    made = program((bpf.LD_IMM, 0, 0, 0xFFFFFFFF), (ADD, 0, 0, 2), (bpf.RET_A, 0, 0, 0))
    assert made.run(bytes(64)) == (1, True)


def test_division_by_a_register_that_is_nothing_kills() -> None:
    assert program((bpf.LD_IMM, 0, 0, 5), (DIVIDE | 8, 0, 0, 0), (bpf.RET_K, 0, 0, ALLOW)).run(bytes(64))[0] == 0


def test_a_path_of_filters_is_bounded() -> None:
    long = program(*[(bpf.LD_IMM, 0, 0, 0)] * 4095, (bpf.RET_K, 0, 0, ALLOW))
    with pytest.raises(SyscallError) as error:
        stack(*[long] * 9)
    assert stack(*[long] * 7).count == 7
    assert error.value.errno == Errno.ENOMEM


def test_ancestry() -> None:
    first = stack(answer(ALLOW))
    second = Seccomp(bpf.MODE_FILTER, answer(ALLOW), first)
    assert second.descends_from(first)
    assert second.descends_from(None)
    assert not first.descends_from(second)
    assert (first.count, second.count) == (1, 2)


def test_strict_mode() -> None:
    strict = Seccomp(bpf.MODE_STRICT)
    assert [strict.verdict(number, X86, 0, NO_ARGUMENTS) for number in (0, 1, 15, 60, 231)] == [ALLOW] * 4 + [0]
    assert strict.verdict(1, 0x40000003, 0, NO_ARGUMENTS) == 0
