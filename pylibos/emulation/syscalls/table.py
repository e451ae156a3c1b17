"""The system call table: one row per call number, written where the call is.

``@syscall`` reads a handler's annotations once, at import, and leaves the function unchanged, so tests call it directly. The row
says how a call reaches us (route), how well it is supported, and what is missing; docs/syscalls.md and the seccomp filter are
made from the rows. A duplicate number, a wrong name, a parameter without decoder or a partial row without note is a TypeError
at import. Must not know engines, registers or seccomp.
"""

# ruff: noqa: ARG001 - every entry has the signature Entry, used or not

from __future__ import annotations

import enum
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pylibos.emulation.syscalls.params import Decode, decoder_for

if TYPE_CHECKING:
    from pylibos.abi.errno import Errno
    from pylibos.emulation.process.thread import Thread


class Route(enum.Enum):
    """How a call reaches its answer."""

    DIRECT = "direct"
    """The filter lets it pass (argument-checked): the host ABI's hot part, at most 48 numbers."""
    NOTIFY = "notify"
    """Seccomp user notification: answered by the executive."""
    TRACE = "trace"
    """RET_TRACE: answered, or let pass, at a ptrace stop. For native blocking or memory-local calls."""
    REFUSED = "refused"
    """The filter answers an errno at once."""


class Support(enum.Enum):
    """How well a call is supported."""

    FORWARDED = "forwarded"
    FULL = "emulated"
    PARTIAL = "partial"
    REFUSED = "refused"


class Compare(enum.Enum):
    """How an argument is checked in the filter."""

    EQUAL = "=="
    MASKED_EQUAL = "&=="


@dataclass(frozen=True, slots=True)
class ArgumentCheck:
    """A condition on one argument register (0..5). MASKED_EQUAL: (argument & mask) == value."""

    index: int
    compare: Compare
    value: int
    mask: int = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class SyscallRow:
    """Everything known of one call number.

    ``checks``: alternatives, each a conjunction; a DIRECT call passes when one holds, otherwise ``otherwise`` applies (a Route, or
    an Errno the filter answers).
    """

    number: int
    name: str
    route: Route
    support: Support
    note: str = ""
    handler: Callable[..., Any] | None = None
    invoke: Callable[[Thread, Sequence[int]], Any] | None = None
    errno: Errno | None = None
    checks: tuple[tuple[ArgumentCheck, ...], ...] = ()
    otherwise: Route | Errno | None = None
    path_argument: int | None = None
    """Index of the first path argument: the receive loop fetches it with the call."""
    descriptor_argument: int | None = None
    """Index of the first descriptor argument: the receive loop identifies it with the call."""


TABLE: dict[int, SyscallRow] = {}
Handler = TypeVar("Handler", bound=Callable[..., Any])


def _add(row: SyscallRow) -> None:
    if row.number in TABLE:
        raise TypeError(f"call {row.number} ({row.name}) has a row already: {TABLE[row.number].name}")
    if row.support in (Support.PARTIAL, Support.REFUSED) and not row.note:
        raise TypeError(f"{row.name}: say what is missing, or why it is refused")
    TABLE[row.number] = row


def _invoker(function: Callable[..., Any], decoders: Sequence[Decode | None]) -> Callable[[Thread, Sequence[int]], Any]:
    """function behind its decoders, specialised by arity: this runs on every call."""
    d = [decoder if decoder is not None else _raw for decoder in decoders]
    match len(d):
        case 0:
            return lambda t, a: function(t)
        case 1:
            (d0,) = d
            return lambda t, a: function(t, d0(a[0], t))
        case 2:
            d0, d1 = d
            return lambda t, a: function(t, d0(a[0], t), d1(a[1], t))
        case 3:
            d0, d1, d2 = d
            return lambda t, a: function(t, d0(a[0], t), d1(a[1], t), d2(a[2], t))
        case 4:
            d0, d1, d2, d3 = d
            return lambda t, a: function(t, d0(a[0], t), d1(a[1], t), d2(a[2], t), d3(a[3], t))
        case 5:
            d0, d1, d2, d3, d4 = d
            return lambda t, a: function(t, d0(a[0], t), d1(a[1], t), d2(a[2], t), d3(a[3], t), d4(a[4], t))
        case 6:
            d0, d1, d2, d3, d4, d5 = d
            return lambda t, a: function(t, d0(a[0], t), d1(a[1], t), d2(a[2], t), d3(a[3], t), d4(a[4], t), d5(a[5], t))
    raise TypeError(f"{function.__name__}: more than six parameters")


def _raw(raw: int, _thread: Thread) -> int:
    return raw


def _is_path(hint: object) -> bool:
    return bool(set(typing.get_args(hint)) & set(_path_marks()))


def _path_marks() -> tuple[object, ...]:
    from pylibos.emulation.syscalls import params

    return (typing.get_args(params.UserPath)[1], typing.get_args(params.OptionalUserPath)[1])


def syscall(
    name: str,
    *,
    number: int,
    route: Route = Route.NOTIFY,
    support: Support = Support.FULL,
    note: str = "",
    checks: tuple[tuple[ArgumentCheck, ...], ...] = (),
    otherwise: Route | Errno | None = None,
) -> Callable[[Handler], Handler]:
    """Enter a handler ``sys_<name>(thread, ...)`` into the table."""

    def enter(function: Handler) -> Handler:
        if function.__name__ != f"sys_{name}":
            raise TypeError(f"{function.__name__} should be named sys_{name}")
        hints = typing.get_type_hints(function, include_extras=True, localns=_Anything())
        parameters = function.__code__.co_varnames[1 : function.__code__.co_argcount]
        decoders = [decoder_for(hints[parameter]) for parameter in parameters]
        path = next((index for index, parameter in enumerate(parameters) if _is_path(hints[parameter])), None)
        first_int = parameters[0] if parameters else ""
        descriptor = 0 if first_int in ("fd", "dirfd", "dfd") else None
        _add(
            SyscallRow(
                number,
                name,
                route,
                support,
                note,
                function,
                _invoker(function, decoders),
                None,
                checks,
                otherwise,
                path,
                descriptor,
            )
        )
        return function

    return enter


class _Anything(dict[str, Any]):
    """Names that exist for type checkers only (Thread, Outcome...) resolve to object: they have no decoder to find."""

    def __contains__(self, key: object) -> bool:
        return key in ("Thread", "Outcome", "Blocking", "Executive", "Install", "Forward", "Exec", "Wait")

    def __getitem__(self, key: str) -> Any:
        if key in self:
            return object
        raise KeyError(key)


def forwarded(
    name: str,
    number: int,
    *,
    route: Route = Route.DIRECT,
    why: str,
    checks: tuple[tuple[ArgumentCheck, ...], ...] = (),
    otherwise: Route | Errno | None = None,
) -> None:
    """A row without handler: the host kernel executes the call. why: what makes that safe."""
    _add(SyscallRow(number, name, route, Support.FORWARDED, why, None, None, None, checks, otherwise))


def refused(name: str, number: int, errno: Errno, *, why: str) -> None:
    """A row answered with errno by the filter itself."""
    _add(SyscallRow(number, name, Route.REFUSED, Support.REFUSED, why, errno=errno))
