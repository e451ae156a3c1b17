"""No register value makes the decoding of any handler raise anything but a guest error."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pylibos.emulation.errors import SyscallError
from pylibos.emulation.syscalls.all import TABLE
from pylibos.emulation.syscalls.table import build_entry
from tests.unit.emulation.syscalls.helpers import make_thread

HANDLERS = {row.name: row.handler or row.fallback for row in TABLE.values() if row.handler or row.fallback}
words = st.integers(0, 2**64 - 1) | st.sampled_from([0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1, 0x10000, 0x1FFFF])


def probe(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A function with the handler's signature that only returns what it was given."""
    count = function.__code__.co_argcount
    scope: dict[str, Any] = {**function.__globals__}
    parameters = function.__code__.co_varnames[:count]
    exec(f"def sys_{name}({', '.join(parameters)}):\n    return ({', '.join(parameters)},)", scope)
    replacement: Callable[..., Any] = scope[f"sys_{name}"]
    replacement.__annotations__ = dict(function.__annotations__)
    return replacement


@pytest.mark.parametrize("name", HANDLERS)
def test_decoding_never_fails_otherwise(name: str) -> None:
    function = HANDLERS[name]
    assert function is not None
    entry = build_entry(name, probe(name, function))

    @settings(max_examples=25)
    @given(args=st.tuples(words, words, words, words, words, words))
    def check(args: tuple[int, ...]) -> None:
        try:
            decoded = entry(make_thread(), args)
        except SyscallError:
            return
        assert len(decoded) == function.__code__.co_argcount

    check()
