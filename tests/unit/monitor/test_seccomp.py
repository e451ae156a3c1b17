"""The compiled filter, run by an independent classic-BPF interpreter over every number and architecture."""

from __future__ import annotations

import operator
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylibos.abi.filter_rules import WORD_MASK, ArgumentCheck, FilterAction, FilterRule, all_of
from pylibos.abi.syscall_numbers import AUDIT_ARCH_I386, AUDIT_ARCH_X86_64, NAMES, NUMBERS, X32_BIT
from pylibos.emulation.syscalls.all import TABLE, filter_rules
from pylibos.emulation.syscalls.rows import CLONE_DECIDED
from pylibos.emulation.syscalls.table import Route
from pylibos.monitor import seccomp
from pylibos.monitor.seccomp import Engine, SeccompError, compile_filter, filter_program

ALLOW = 0x7FFF0000
NOTIFY = 0x7FC00000
ENOSYS = 38
JUMPS: dict[int, Callable[[int, int], bool]] = {
    0x15: operator.eq,
    0x25: operator.gt,
    0x35: operator.ge,
    0x45: lambda accumulator, constant: accumulator & constant != 0,
}
DATA = struct.Struct("<iIQ6Q")
SKIPPED_BY_TRACER = -1

RULES = filter_rules()
NOTIFY_PROGRAM = compile_filter(RULES, Engine.NOTIFY)
PTRACE_PROGRAM = compile_filter(RULES, Engine.PTRACE)


def errno(value: int) -> int:
    return 0x00050000 | value


def trace(value: int) -> int:
    return 0x7FF00000 | value


def run(program: bytes, number: int, args: tuple[int, ...] = (0,) * 6, arch: int = AUDIT_ARCH_X86_64) -> int:
    """What seccomp does with one call: the accumulator machine of Documentation/networking/filter.rst, the codes seccomp permits."""
    data = DATA.pack(number, arch, 0x400000, *args)
    code = [struct.unpack_from("<HBBI", program, at) for at in range(0, len(program), 8)]
    accumulator, at = 0, 0
    while True:
        operation, true, false, constant = code[at]
        at += 1
        if operation == 0x20:  # ld [k]
            assert constant % 4 == 0
            (accumulator,) = struct.unpack_from("<I", data, constant)
        elif operation == 0x54:  # and k
            accumulator &= constant
        elif operation == 0x05:  # ja
            at += constant
        elif operation in JUMPS:
            at += true if JUMPS[operation](accumulator, constant) else false
        elif operation == 0x06:  # ret k
            return int(constant)
        else:
            raise AssertionError(f"instruction {operation:#x} is not one this filter should have")


def expected(number: int, args: tuple[int, ...]) -> int:
    row = TABLE.get(number)
    if row is None or row.route is Route.NOTIFY:
        return NOTIFY
    if row.route is Route.TRACE:
        return trace(number or 1)
    if row.route is Route.REFUSED:
        assert row.errno is not None
        return errno(row.errno)
    if not row.alternatives or any(all(check.holds(args) for check in checks) for checks in row.alternatives):
        return ALLOW
    if row.fallback is None and len(row.alternatives) == 1:
        return errno(row.errno or 0)
    return trace(number) if row.otherwise is Route.TRACE else NOTIFY


@pytest.mark.parametrize("args", [(0,) * 6, (WORD_MASK,) * 6, (1, 2, 3, 4, 5, 6)])
def test_every_number_gets_its_route(args: tuple[int, ...]) -> None:
    for number in range(601):
        assert run(NOTIFY_PROGRAM, number, args) == expected(number, args), NAMES.get(number, number)


def test_the_ptrace_engine_stops_every_call() -> None:
    for number in [*range(601), SKIPPED_BY_TRACER]:
        assert run(PTRACE_PROGRAM, number) == trace(1)


@pytest.mark.parametrize("program", [NOTIFY_PROGRAM, PTRACE_PROGRAM])
def test_foreign_abis_are_refused(program: bytes) -> None:
    for number in range(601):
        assert run(program, number, arch=AUDIT_ARCH_I386) == errno(ENOSYS)
        assert run(program, number | X32_BIT) == errno(ENOSYS)
    assert run(program, NUMBERS["read"], arch=0) == errno(ENOSYS)
    assert run(program, NUMBERS["read"], arch=0xC00000B7) == errno(ENOSYS)  # AArch64
    assert run(program, -0x80000000) == errno(ENOSYS)
    assert run(program, 0x7FFFFFFF) == errno(ENOSYS)


def test_a_skipped_call_is_not_allowed() -> None:
    assert run(NOTIFY_PROGRAM, SKIPPED_BY_TRACER) == NOTIFY


def test_plain_threads_and_forks_are_native() -> None:
    clone = NUMBERS["clone"]
    thread = 0x3D0F00
    assert run(NOTIFY_PROGRAM, clone, (17, 0, 0, 0, 0, 0)) == ALLOW
    assert run(NOTIFY_PROGRAM, clone, (thread, 1, 2, 3, 4, 5)) == ALLOW
    for bit in range(64):
        answer = run(NOTIFY_PROGRAM, clone, (thread | 1 << bit, 0, 0, 0, 0, 0))
        assert answer == (trace(clone) if CLONE_DECIDED >> bit & 1 else ALLOW), bit


@given(command=st.integers(0, WORD_MASK))
def test_fcntl_looks_at_the_low_half_of_the_command_as_the_kernel_does(command: int) -> None:
    args = (0, command, 0, 0, 0, 0)
    assert run(NOTIFY_PROGRAM, NUMBERS["fcntl"], args) == expected(NUMBERS["fcntl"], args)


def test_fcntl_commands() -> None:
    for command in range(1100):
        assert run(NOTIFY_PROGRAM, NUMBERS["fcntl"], (0, command | 5 << 32, 0, 0, 0, 0)) == (
            ALLOW if command in {*range(8), 9, 11, 16, 36, 37, 38, 1030, 1031, 1032, 1033, 1034} else NOTIFY
        )


@given(address=st.integers(1, WORD_MASK))
def test_sendto_with_an_address_is_never_allowed(address: int) -> None:
    assert run(NOTIFY_PROGRAM, NUMBERS["sendto"], (0, 0, 0, 0, address, 0)) != ALLOW


def test_complement_of_several_checks() -> None:
    rule = FilterRule(9, FilterAction.ALLOW, 13, all_of(ArgumentCheck(0, 2, 3), ArgumentCheck(2, 1)), FilterAction.ERRNO)
    program = compile_filter([rule], Engine.NOTIFY)
    for first in range(8):
        for third in (0, 1, 2, 1 << 63, 1 | 1 << 32):
            wanted = ALLOW if first & 3 == 2 and third == 1 else errno(13)
            assert run(program, 9, (first, 0, third, 0, 0, 0)) == wanted


def test_what_libseccomp_cannot_express_is_an_error() -> None:
    either = ((ArgumentCheck(0, 1),), (ArgumentCheck(0, 2),))
    with pytest.raises(SeccompError):
        compile_filter([FilterRule(9, FilterAction.ALLOW, 1, either, FilterAction.ERRNO)], Engine.NOTIFY)
    with pytest.raises(SeccompError):
        compile_filter([FilterRule(9, FilterAction.ALLOW, 1, all_of(ArgumentCheck(0, 4, 3)), FilterAction.ERRNO)], Engine.NOTIFY)


# -- the cache --------------------------------------------------------------------------------------------------------


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "filters"


@pytest.fixture
def no_compiler(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Path:
    """A cache that holds the filter, and no libseccomp to make another."""
    filter_program(RULES, Engine.NOTIFY, cache)

    def refuse(rules: object, engine: object) -> bytes:
        raise SeccompError("compiled")

    monkeypatch.setattr(seccomp, "compile_filter", refuse)
    return cache


def test_a_valid_cache_is_used(no_compiler: Path) -> None:
    assert filter_program(RULES, Engine.NOTIFY, no_compiler) == NOTIFY_PROGRAM
    assert no_compiler.stat().st_mode & 0o777 == 0o700
    (file,) = no_compiler.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600


def test_other_rules_or_another_engine_do_not_hit(no_compiler: Path) -> None:
    with pytest.raises(SeccompError, match="compiled"):
        filter_program(RULES[1:], Engine.NOTIFY, no_compiler)
    with pytest.raises(SeccompError, match="compiled"):
        filter_program(RULES, Engine.PTRACE, no_compiler)


def test_a_directory_others_may_read_is_ignored(no_compiler: Path) -> None:
    no_compiler.chmod(0o755)
    with pytest.raises(SeccompError, match="compiled"):
        filter_program(RULES, Engine.NOTIFY, no_compiler)


def test_a_linked_directory_is_ignored(no_compiler: Path) -> None:
    link = no_compiler.with_name("link")
    link.symlink_to(no_compiler)
    with pytest.raises(SeccompError, match="compiled"):
        filter_program(RULES, Engine.NOTIFY, link)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to give a file away")
def test_a_strangers_file_is_ignored(no_compiler: Path) -> None:
    (file,) = no_compiler.iterdir()
    os.chown(file, 65534, 65534)
    with pytest.raises(SeccompError, match="compiled"):
        filter_program(RULES, Engine.NOTIFY, no_compiler)


def test_a_linked_file_is_ignored(no_compiler: Path) -> None:
    (file,) = no_compiler.iterdir()
    file.rename(no_compiler / "elsewhere")
    file.symlink_to(no_compiler / "elsewhere")
    with pytest.raises(SeccompError, match="compiled"):
        filter_program(RULES, Engine.NOTIFY, no_compiler)


@pytest.mark.parametrize("keep", [0, 10, 20, 30, 1000, -8, -1])
def test_a_truncated_file_is_ignored(no_compiler: Path, keep: int) -> None:
    (file,) = no_compiler.iterdir()
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(SeccompError, match="compiled"):
        filter_program(RULES, Engine.NOTIFY, no_compiler)


def test_a_name_collision_is_ignored(no_compiler: Path) -> None:
    (file,) = no_compiler.iterdir()
    content = bytearray(file.read_bytes())
    content[len(seccomp.CACHE_MAGIC) + 8 + 100] ^= 1  # the rules' text, not the program
    file.write_bytes(content)
    with pytest.raises(SeccompError, match="compiled"):
        filter_program(RULES, Engine.NOTIFY, no_compiler)


def test_an_unwritable_cache_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert filter_program(RULES, Engine.PTRACE, tmp_path / "file" / "cache") == PTRACE_PROGRAM


# -- the kernel -------------------------------------------------------------------------------------------------------

UNDER_FILTER = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]
code = open(sys.argv[1], "rb").read()
program = Program(len(code) // 8, code)
assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
def call(*arguments):
    ctypes.set_errno(0)
    result = libc.syscall(*(ctypes.c_long(argument) for argument in arguments))
    return -ctypes.get_errno() if result == -1 else result
assert libc.syscall(317, 1, 0, ctypes.byref(program)) == 0  # SECCOMP_SET_MODE_FILTER
answers = [call(39) == os.getpid(), call(425, 1, 0), call(165, 0, 0, 0, 0, 0), call(56, 0x10000011, 0, 0, 0, 0), call(0x40000027),
           call(4, 0, 0), call(72, 1, 3, 0) >= 0]
os.write(1, repr(answers).encode())
os._exit(0)
"""


def test_the_kernel_takes_the_program_and_does_as_the_interpreter_says(tmp_path: Path) -> None:
    (tmp_path / "program").write_bytes(NOTIFY_PROGRAM)
    command = [sys.executable, "-I", "-S", "-c", UNDER_FILTER, str(tmp_path / "program")]
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stderr
    # getpid natively; io_uring_setup; mount; clone(CLONE_NEWUSER): traced, by nobody; x32 getpid; stat: notified, to nobody; fcntl(F_GETFL)
    assert result.stdout == repr([True, -ENOSYS, -1, -ENOSYS, -ENOSYS, -ENOSYS, True])
