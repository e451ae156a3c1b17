"""clone3 and clone as the executive decides them; that they do what Linux does is tests/guest/clone3.c."""

from __future__ import annotations

import struct
from types import SimpleNamespace
from typing import Any

import pytest

from pylibos.abi import process as c
from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.guest import FlatMemory
from pylibos.emulation.outcome import Clone
from pylibos.emulation.syscalls.sys_clone import sys_clone, sys_clone3

ADDRESS = 0x10000


def thread(**fields: int) -> Any:
    names = ("flags", "pidfd", "child_tid", "parent_tid", "exit_signal", "stack", "stack_size", "tls", "set_tid", "set_tid_size", "cgroup")
    memory = FlatMemory(ADDRESS)
    memory.write(ADDRESS, struct.pack("<11Q", *(fields.get(name, 0) for name in names)))
    return SimpleNamespace(memory=memory)


def clone3(size: int = 88, **fields: int) -> Clone:
    return sys_clone3(thread(**fields), ADDRESS, size)


def test_a_fork() -> None:
    assert clone3(64, exit_signal=17) == Clone(17)


def test_a_thread_gets_the_end_of_its_stack() -> None:
    flags = c.CLONE_VM | c.CLONE_SIGHAND | c.CLONE_THREAD | c.CLONE_PARENT_SETTID
    made = clone3(flags=flags, stack=0x1000, stack_size=0x800, parent_tid=0x20, child_tid=0x30, tls=0x40)
    assert made == Clone(flags, 0x1800, 0x20, 0x30, 0x40)


def test_a_pidfd_and_the_parents_word_have_one_register() -> None:
    both = c.CLONE_PIDFD | c.CLONE_PARENT_SETTID
    assert clone3(flags=both, pidfd=0x50, parent_tid=0x60, exit_signal=17) == Clone(
        c.CLONE_PIDFD | 17, parent_tid=0x50, parent_tid_address=0x60
    )


def test_no_task_is_ever_untraced() -> None:
    assert clone3(flags=c.CLONE_UNTRACED | c.CLONE_PTRACE, exit_signal=17) == Clone(17)
    assert sys_clone(thread(), c.CLONE_UNTRACED | c.CLONE_PTRACE | 17, 1, 2, 3, 4) == Clone(17, 1, 2, 3, 4)


def test_clear_sighand_is_ours_to_do() -> None:
    assert clone3(flags=c.CLONE_CLEAR_SIGHAND, exit_signal=17) == Clone(17, clear_handlers=True)


@pytest.mark.parametrize("flag", [1 << bit for bit in range(64) if c.NAMESPACE_FLAGS >> bit & 1])
def test_name_spaces_are_refused(flag: int) -> None:
    with pytest.raises(SyscallError) as error:
        clone3(flags=flag)
    assert error.value.errno == Errno.EPERM


def test_a_number_of_ones_own_is_refused() -> None:
    with pytest.raises(SyscallError) as error:
        clone3(set_tid=ADDRESS, set_tid_size=1)
    assert error.value.errno == Errno.EPERM


@pytest.mark.parametrize("flag", [c.CLONE_NEWUSER, c.CLONE_NEWPID, c.CLONE_NEWNS | c.CLONE_PIDFD])
def test_clone_refuses_name_spaces(flag: int) -> None:
    with pytest.raises(SyscallError) as error:
        sys_clone(thread(), flag | 17, 0, 0, 0, 0)
    assert error.value.errno == Errno.EPERM


def test_the_exit_signal_of_clone_is_no_name_space() -> None:
    assert sys_clone(thread(), c.CLONE_NEWTIME | c.CLONE_PIDFD, 0, 0, 0, 0) == Clone(c.CLONE_NEWTIME | c.CLONE_PIDFD)
