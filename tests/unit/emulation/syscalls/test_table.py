"""Every mistake in a handler's declaration is a TypeError at import, and a good one decodes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pylibos.abi.errno import Errno
from pylibos.abi.filter_rules import ArgumentCheck, all_of, int_argument_in
from pylibos.emulation.dispatch import dispatch
from pylibos.emulation.outcome import FORWARD
from pylibos.emulation.process.thread import Thread
from pylibos.emulation.syscalls import table
from pylibos.emulation.syscalls.params import Fd, Int, OutPtr, UserPath
from pylibos.emulation.syscalls.table import Route, Support, fallback, forwarded, refused, syscall
from tests.unit.emulation.syscalls.helpers import make_thread

NUMBER = 9000


@pytest.fixture(autouse=True)
def clean_table() -> Iterator[None]:
    yield
    for number in (NUMBER, NUMBER + 1):
        table.TABLE.pop(number, None)
        table.ENTRIES.pop(number, None)
        table._FALLBACKS.pop(number, None)


def test_the_function_is_returned_unchanged() -> None:
    def sys_probe(thread: Thread, fd: Fd) -> int:
        return fd + 1

    assert syscall("probe", number=NUMBER)(sys_probe) is sys_probe
    row = table.TABLE[NUMBER]
    assert (row.name, row.route, row.support, row.handler) == ("probe", Route.NOTIFY, Support.FULL, sys_probe)
    assert dispatch(make_thread(), NUMBER, (41, 0, 0, 0, 0, 0)) == 42


@pytest.mark.parametrize("count", range(7))
def test_every_arity(count: int) -> None:
    parameters = ["a", "b", "c", "d", "e", "f"][:count]
    scope: dict[str, Any] = {"Int": Int}
    declaration = ", ".join(["thread", *(f"{name}: 'Int'" for name in parameters)])
    exec(f"def sys_many({declaration}):\n    return [{', '.join(parameters)}]", scope)
    syscall("many", number=NUMBER)(scope["sys_many"])
    assert table.ENTRIES[NUMBER](make_thread(), (2**64 - 1, 2, 3, 4, 5, 6)) == [-1, 2, 3, 4, 5, 6][:count]


def good(thread: Thread, fd: Fd) -> None:
    pass


def sys_no_type(thread, fd):  # type: ignore[no-untyped-def]  # the mistake under test
    pass


def sys_plain_int(thread: Thread, fd: int) -> None:
    pass


def sys_no_thread(fd: Fd) -> None:
    pass


def sys_keyword(thread: Thread, *, fd: Fd) -> None:
    pass


def sys_starred(thread: Thread, *fds: Fd) -> None:
    pass


def sys_seven(thread: Thread, a: Int, b: Int, c: Int, d: Int, e: Int, f: Int, g: Int) -> None:
    pass


def sys_unknown(thread: Thread, path: "Nowhere") -> None:  # type: ignore[name-defined]  # noqa: F821, UP037 - the mistake under test
    pass


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("good", good),
        ("other", sys_plain_int),
        ("no_type", sys_no_type),
        ("plain_int", sys_plain_int),
        ("no_thread", sys_no_thread),
        ("keyword", sys_keyword),
        ("starred", sys_starred),
        ("seven", sys_seven),
        ("unknown", sys_unknown),
        ("len", len),
    ],
)
def test_bad_handlers(name: str, function: Callable[..., Any]) -> None:
    with pytest.raises(TypeError):
        syscall(name, number=NUMBER)(function)
    assert NUMBER not in table.TABLE
    assert NUMBER not in table.ENTRIES


def test_bad_rows() -> None:
    with pytest.raises(TypeError, match="note"):
        syscall("probe", number=NUMBER, support=Support.PARTIAL)
    with pytest.raises(TypeError, match="FULL or PARTIAL"):
        syscall("probe", number=NUMBER, support=Support.REFUSED)
    with pytest.raises(TypeError, match="fallback"):
        syscall("probe", number=NUMBER, route=Route.DIRECT)
    with pytest.raises(TypeError, match="reason"):
        refused("probe", NUMBER, Errno.EPERM, why="")
    with pytest.raises(TypeError, match="reason"):
        forwarded("probe", NUMBER, route=Route.NOTIFY, why="")


def test_duplicate_number() -> None:
    refused("probe", NUMBER, Errno.EPERM, why="first")
    with pytest.raises(TypeError, match="already has a row"):
        forwarded("probe", NUMBER, route=Route.TRACE, why="second")


def test_generic_and_optional_annotations() -> None:
    @syscall("probe", number=NUMBER, support=Support.PARTIAL, note="it is a test")
    def sys_probe(thread: Thread, path: UserPath, out: OutPtr[bytes]) -> None:
        out.write(path)

    thread = make_thread()
    thread.memory.write(0x10000, b"abc\0")
    assert dispatch(thread, NUMBER, (0x10000, 0x10100, 0, 0, 0, 0)) == 0
    assert thread.memory.read(0x10100, 3) == b"abc"


def test_rows_without_handler() -> None:
    refused("no", NUMBER, Errno.EPERM, why="test")
    forwarded("yes", NUMBER + 1, route=Route.NOTIFY, why="test")
    args = (0,) * 6
    assert dispatch(make_thread(), NUMBER, args) == -1
    assert dispatch(make_thread(), NUMBER + 1, args) is FORWARD


def sys_checked(thread: Thread, first: Int) -> int:
    return 1000 + first


@pytest.mark.parametrize("fallback_first", [True, False])
def test_checks_apply_when_the_call_stops_anyway(fallback_first: bool) -> None:
    checks = all_of(ArgumentCheck(0, 0), ArgumentCheck(1, 0, 1))
    if fallback_first:
        fallback("checked", number=NUMBER)(sys_checked)
    forwarded("checked", NUMBER, route=Route.DIRECT, why="test", alternatives=checks, otherwise=Route.NOTIFY)
    if not fallback_first:
        fallback("checked", number=NUMBER)(sys_checked)
    assert table.TABLE[NUMBER].fallback is sys_checked
    assert dispatch(make_thread(), NUMBER, (0, 2, 9, 9, 9, 9)) is FORWARD
    assert dispatch(make_thread(), NUMBER, (5, 2, 0, 0, 0, 0)) == 1005
    assert dispatch(make_thread(), NUMBER, (0, 3, 0, 0, 0, 0)) == 1000


def test_a_list_of_values() -> None:
    forwarded("checked", NUMBER, route=Route.DIRECT, why="test", alternatives=int_argument_in(1, (3, -1)), errno=Errno.EINVAL)
    answers = {value: dispatch(make_thread(), NUMBER, (0, value, 0, 0, 0, 0)) for value in (3, 7 << 32 | 3, 2**32 - 1, 2**64 - 1, 0, 4)}
    assert [value for value, answer in answers.items() if answer is FORWARD] == [3, 7 << 32 | 3, 2**32 - 1, 2**64 - 1]
    assert answers[0] == answers[4] == -22


def test_checks_without_fallback_refuse() -> None:
    forwarded("checked", NUMBER, route=Route.DIRECT, why="test", alternatives=all_of(ArgumentCheck(0, 0)), errno=Errno.EACCES)
    assert dispatch(make_thread(), NUMBER, (1, 0, 0, 0, 0, 0)) == -13
    with pytest.raises(TypeError, match="never reaches"):
        fallback("checked", number=NUMBER)(sys_checked)
