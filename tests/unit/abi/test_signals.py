"""Signal sets and names."""

from __future__ import annotations

import signal

from hypothesis import given
from hypothesis import strategies as st

from pylibos.abi.limits import IOVEC, parse_iovec
from pylibos.abi.signals import DefaultAction, SignalNumber, default_action, signal_name, signal_set, signals_in


@given(st.sets(st.integers(1, 64)))
def test_sets_round_trip(numbers: set[int]) -> None:
    mask = signal_set(numbers)
    assert signals_in(mask) == sorted(numbers)
    assert mask < 1 << 64


def test_names_agree_with_python() -> None:
    for number in SignalNumber:
        assert signal.Signals(number).name in {number.name, "SIGPOLL"}
    assert signal_name(15) == "SIGTERM"
    assert signal_name(34) == "SIGRTMIN+0"
    assert signal_name(33) == "33"


def test_default_actions() -> None:
    assert default_action(SignalNumber.SIGTERM) is DefaultAction.TERMINATE
    assert default_action(SignalNumber.SIGSEGV) is DefaultAction.CORE
    assert default_action(SignalNumber.SIGCHLD) is DefaultAction.IGNORE
    assert default_action(SignalNumber.SIGTSTP) is DefaultAction.STOP
    assert default_action(SignalNumber.SIGCONT) is DefaultAction.CONTINUE
    assert default_action(64) is DefaultAction.TERMINATE


@given(st.lists(st.tuples(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1)), max_size=20))
def test_iovec(vectors: list[tuple[int, int]]) -> None:
    assert parse_iovec(b"".join(IOVEC.pack(*vector) for vector in vectors)) == vectors
