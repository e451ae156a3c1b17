"""The system call table: one row per x86-64 call number, filled by decorators and row functions at import.

Owns SyscallRow, TABLE (number -> row) and ENTRIES (number -> the callable dispatch runs). A signature is read once, here; per
call only the decoders run. A handler without decoder for a parameter, with a wrong name or number, or PARTIAL without a note is a
TypeError at import. Must not know engines, errors' numbers on the wire (dispatch.py) or any subsystem.
Source: docs/contracts.md; gVisor's idea that the table is the compatibility document.
"""

# ruff: noqa: ARG001 - every entry has the signature Entry, used or not

from __future__ import annotations

import enum
import sys
from collections.abc import Callable, Iterable
from types import FunctionType, SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from pylibos.abi.errno import Errno
from pylibos.abi.filter_rules import ARGUMENT_COUNT, Alternatives
from pylibos.abi.record import mutable_record
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.outcome import FORWARD
from pylibos.emulation.syscalls.params import Decode, decoder_of

if TYPE_CHECKING:
    from pylibos.emulation.process.thread import Thread

Handler = TypeVar("Handler", bound=Callable[..., Any])
Entry = Callable[["Thread", tuple[int, ...]], Any]
"""What dispatch runs: decodes the raw registers (unsigned 64-bit) and calls the handler; may raise, may return None."""


class Route(enum.Enum):
    """How a call reaches us, see docs/contracts.md."""

    DIRECT = "direct"
    NOTIFY = "notify"
    TRACE = "trace"
    REFUSED = "refused"


class Support(enum.Enum):
    """How well a call is supported."""

    FORWARDED = "forwarded"
    FULL = "emulated"
    PARTIAL = "partial"
    REFUSED = "refused"
    MISSING = "missing"


class Restart(enum.IntEnum):
    """What an interrupted wait answers when the handler lets Interrupted pass: the kernel's internal restart numbers.

    The runtime turns them into EINTR or a re-issued call by the signal's action, as arch/x86/kernel/signal.c does.
    """

    NEVER = 4
    """EINTR always (poll, epoll_wait, nanosleep with a remaining time, ...)."""
    SYS = 512
    """ERESTARTSYS: re-issued when the handler of the signal has SA_RESTART or there is no handler."""
    NO_INTERRUPT = 513
    """ERESTARTNOINTR: always re-issued."""
    NO_HANDLER = 514
    """ERESTARTNOHAND: re-issued only when no handler ran."""


@mutable_record
class SyscallRow:
    """One call. ``note`` says what is missing (PARTIAL) or why (forwarded, refused); ``errno`` is what a refusal answers.

    ``alternatives``: a DIRECT (or forwarded) row is native only when one of them holds; else ``otherwise`` is the route, and
    the answer that of ``fallback`` or, without one, ``errno``.

    ``passes``: (index of an int argument, at most PASS_MAX values). With one of these values the handler answers FORWARD, whatever else
    there is: the engine need not ask it.
    """

    number: int
    name: str
    route: Route
    support: Support
    note: str = ""
    errno: Errno | None = None
    alternatives: Alternatives = ()
    otherwise: Route = Route.REFUSED
    handler: Callable[..., Any] | None = None
    fallback: Callable[..., Any] | None = None
    restart: Restart = Restart.SYS
    module: str = ""
    passes: tuple[int, tuple[int, ...]] | None = None


PASS_MAX: Final = 14


class Entries(dict[int, Entry]):
    """Number -> what dispatch runs. ``homes`` names the modules of numbers known but not imported yet: their first call does that."""

    __slots__ = ("homes",)

    def __init__(self) -> None:
        super().__init__()
        self.homes: dict[int, tuple[str, ...]] = {}

    def bring_home(self, number: int) -> None:
        """Import what a number's row and fallback are written in."""
        for module in self.homes.pop(number, ()):
            __import__(module)

    def __missing__(self, number: int) -> Entry:
        self.bring_home(number)
        entry = self.get(number)
        if entry is None:
            raise KeyError(number)
        return entry


TABLE: Final[dict[int, SyscallRow]] = {}
ENTRIES: Final = Entries()
_FALLBACKS: Final[dict[int, tuple[str, Callable[..., Any], Entry]]] = {}


def _add(row: SyscallRow, entry: Entry) -> None:
    earlier = TABLE.get(row.number)
    if earlier is not None:
        raise TypeError(f"system call {row.number} ({row.name}) already has a row ({earlier.name}, from {earlier.module or '?'})")
    if not row.name or row.number < 0:
        raise TypeError(f"bad system call row {row.number} {row.name!r}")
    TABLE[row.number] = row
    ENTRIES[row.number] = entry


def syscall(
    name: str,
    *,
    number: int,
    route: Route = Route.NOTIFY,
    support: Support = Support.FULL,
    note: str = "",
    restart: Restart = Restart.SYS,
    passes: tuple[int, Iterable[int]] | None = None,
) -> Callable[[Handler], Handler]:
    """Register the decorated ``sys_<name>(thread, ...)`` as the answer to call ``number``. Returns the function unchanged."""
    if support is Support.PARTIAL and not note:
        raise TypeError(f"{name}: a partial row says in note what is missing")
    if support not in (Support.FULL, Support.PARTIAL):
        raise TypeError(f"{name}: a handler is FULL or PARTIAL; use forwarded() or refused()")
    if route not in (Route.NOTIFY, Route.TRACE):
        raise TypeError(f"{name}: a handler is reached by NOTIFY or TRACE; see fallback() for DIRECT rows")

    def register(function: Handler) -> Handler:
        entry = build_entry(name, function)
        row = SyscallRow(number, name, route, support, note, handler=function, restart=restart, module=function.__module__)
        if passes is not None:
            row.passes = (passes[0], tuple(sorted(passes[1])))
            if len(row.passes[1]) > PASS_MAX:
                raise TypeError(f"{name}: more values than the engine has room for")
        _add(row, entry)
        return function

    return register


def fallback(name: str, *, number: int) -> Callable[[Handler], Handler]:
    """Register ``sys_<name>`` for the argument combinations a DIRECT row's checks do not allow (its ``otherwise`` route)."""

    def register(function: Handler) -> Handler:
        if number in _FALLBACKS:
            raise TypeError(f"system call {number} ({name}) already has a fallback")
        _FALLBACKS[number] = (name, function, build_entry(name, function))
        row = TABLE.get(number)
        if row is not None:
            _attach_fallback(row)
        return function

    return register


def _attach_fallback(row: SyscallRow) -> None:
    name, function, _ = _FALLBACKS[row.number]
    if name != row.name:
        raise TypeError(f"fallback {name} does not fit row {row.name} of {row.number}")
    if row.otherwise not in (Route.NOTIFY, Route.TRACE):
        raise TypeError(f"{name}: its row never reaches a fallback (otherwise={row.otherwise.value})")
    row.fallback = function


def forwarded(
    name: str,
    number: int,
    *,
    route: Route,
    why: str,
    alternatives: Alternatives = (),
    otherwise: Route = Route.REFUSED,
    errno: Errno = Errno.EPERM,
) -> None:
    """A row the host kernel executes: always, or when one of ``alternatives`` holds; else ``otherwise`` (see SyscallRow)."""
    if route is Route.REFUSED or not why:
        raise TypeError(f"{name}: a forwarded row needs a route and a reason")
    refusal = errno if alternatives else None
    home: str = sys._getframe(1).f_globals["__name__"]
    row = SyscallRow(number, name, route, Support.FORWARDED, why, refusal, alternatives, otherwise, module=home)
    _add(row, _checked_entry(number, alternatives, errno) if alternatives else _forward)
    if number in _FALLBACKS:
        _attach_fallback(row)


def refused(name: str, number: int, errno: Errno, *, why: str) -> None:
    """A row the filter answers with ``errno`` at once."""
    if not why:
        raise TypeError(f"{name}: a refused row needs a reason")
    home: str = sys._getframe(1).f_globals["__name__"]
    _add(SyscallRow(number, name, Route.REFUSED, Support.REFUSED, why, errno, module=home), _refusal(errno))


def homes() -> dict[int, tuple[str, ...]]:
    """For Entries.homes: where each row and its fallback is written. Rows nobody has written have no home: their number is unknown."""
    return {
        number: (row.module, row.fallback.__module__) if row.fallback is not None else (row.module,)
        for number, row in TABLE.items()
        if row.module
    }


def missing(name: str, number: int) -> None:
    """A row nobody has written yet: ENOSYS, and said so in docs/syscalls.md. Only rows_missing.py may call this."""
    row = SyscallRow(number, name, Route.REFUSED, Support.MISSING, "not implemented", Errno.ENOSYS)
    _add(row, _refusal(Errno.ENOSYS))


def _forward(thread: Thread, args: tuple[int, ...]) -> Any:
    return FORWARD


def _refusal(errno: Errno) -> Entry:
    value = -int(errno)

    def entry(thread: Thread, args: tuple[int, ...]) -> int:
        return value

    return entry


def _checked_entry(number: int, alternatives: Alternatives, errno: Errno) -> Entry:
    """Apply the same checks the filter applied: under the ptrace engine every call comes here first."""
    first = alternatives[0][0]
    if all(len(checks) == 1 and checks[0][::2] == first[::2] for checks in alternatives):
        return _listed_entry(number, first.argument, first.mask, frozenset(checks[0].value for checks in alternatives), errno)

    def entry(thread: Thread, args: tuple[int, ...]) -> Any:
        for checks in alternatives:
            if all(check.holds(args) for check in checks):
                return FORWARD
        return _fall_back(number, errno, thread, args)

    return entry


def _listed_entry(number: int, argument: int, mask: int, values: frozenset[int], errno: Errno) -> Entry:
    """The common case, one argument with a list of values (fcntl has 16), as one look-up."""

    def entry(thread: Thread, args: tuple[int, ...]) -> Any:
        if args[argument] & mask in values:
            return FORWARD
        return _fall_back(number, errno, thread, args)

    return entry


def _fall_back(number: int, errno: Errno, thread: Thread, args: tuple[int, ...]) -> Any:
    other = fallback_of(number)
    if other is None:
        raise SyscallError(errno)
    return other(thread, args)


def fallback_of(number: int) -> Entry | None:
    """What answers when the checks of a row do not hold. It may live in another module than the row, which came with a neighbour."""
    if number not in _FALLBACKS:
        ENTRIES.bring_home(number)
    other = _FALLBACKS.get(number)
    return None if other is None else other[2]


def build_entry(name: str, function: Callable[..., Any]) -> Entry:
    """The specialised decoder-and-call closure of a handler. Raises TypeError for a signature that cannot be decoded."""
    if not isinstance(function, FunctionType) or function.__name__ != "sys_" + name:
        raise TypeError(f"the handler of {name} must be a function called sys_{name}, not {function!r}")
    code = function.__code__
    parameters = code.co_varnames[: code.co_argcount]
    if not parameters or parameters[0] != "thread" or code.co_kwonlyargcount or code.co_flags & 0x0C:
        raise TypeError(f"{name}: parameters are (thread, ...) by position only, no keyword-only or starred ones")
    if len(parameters) - 1 > ARGUMENT_COUNT:
        raise TypeError(f"{name}: more than {ARGUMENT_COUNT} arguments")
    decoders = []
    for parameter in parameters[1:]:
        decode = decoder_of(_annotation(function, parameter))
        if decode is None:
            raise TypeError(f"{name}: parameter {parameter} has no decoder")
        decoders.append(decode)
    return _compose(function, decoders)


def _annotation(function: FunctionType, parameter: str) -> object:
    annotation = function.__annotations__.get(parameter)
    if not isinstance(annotation, str):
        return annotation
    # Nearly all are a name or Name[...] whose argument is documentation: a dict look-up instead of compiling hundreds of strings.
    known = function.__globals__.get(annotation.partition("[")[0])
    if known is not None:
        return known
    import typing  # here: names in annotations that say more than their decoder are the exception

    holder = SimpleNamespace(__annotations__={parameter: annotation})
    try:
        return typing.get_type_hints(holder, globalns=function.__globals__, include_extras=True)[parameter]
    except NameError as error:
        raise TypeError(f"{function.__name__}: the type of {parameter} is not importable at run time: {error}") from error


def _compose(function: Callable[..., Any], decoders: list[Decode]) -> Entry:
    """One closure per arity: no loop, no argument list and no signature work per call."""
    builders = (_compose0, _compose1, _compose2, _compose3, _compose4, _compose5, _compose6)
    return builders[len(decoders)](function, *decoders)


def _compose0(function: Callable[..., Any]) -> Entry:
    def entry(thread: Thread, args: tuple[int, ...]) -> Any:
        return function(thread)

    return entry


def _compose1(function: Callable[..., Any], a: Decode) -> Entry:
    def entry(thread: Thread, args: tuple[int, ...]) -> Any:
        return function(thread, a(args[0], thread))

    return entry


def _compose2(function: Callable[..., Any], a: Decode, b: Decode) -> Entry:
    def entry(thread: Thread, args: tuple[int, ...]) -> Any:
        return function(thread, a(args[0], thread), b(args[1], thread))

    return entry


def _compose3(function: Callable[..., Any], a: Decode, b: Decode, c: Decode) -> Entry:
    def entry(thread: Thread, args: tuple[int, ...]) -> Any:
        return function(thread, a(args[0], thread), b(args[1], thread), c(args[2], thread))

    return entry


def _compose4(function: Callable[..., Any], a: Decode, b: Decode, c: Decode, d: Decode) -> Entry:
    def entry(thread: Thread, args: tuple[int, ...]) -> Any:
        return function(thread, a(args[0], thread), b(args[1], thread), c(args[2], thread), d(args[3], thread))

    return entry


def _compose5(function: Callable[..., Any], a: Decode, b: Decode, c: Decode, d: Decode, e: Decode) -> Entry:
    def entry(thread: Thread, args: tuple[int, ...]) -> Any:
        return function(thread, a(args[0], thread), b(args[1], thread), c(args[2], thread), d(args[3], thread), e(args[4], thread))

    return entry


def _compose6(function: Callable[..., Any], a: Decode, b: Decode, c: Decode, d: Decode, e: Decode, f: Decode) -> Entry:
    def entry(thread: Thread, args: tuple[int, ...]) -> Any:
        return function(
            thread,
            a(args[0], thread),
            b(args[1], thread),
            c(args[2], thread),
            d(args[3], thread),
            e(args[4], thread),
            f(args[5], thread),
        )

    return entry
