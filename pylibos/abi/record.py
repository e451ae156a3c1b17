"""Records: classes that are nothing but named, typed fields. What dataclasses are, without their price at start-up.

What it is: ``@record`` (immutable, hashable) and ``@mutable_record``, both with slots. Why not dataclasses: importing them pulls inspect,
ast and dis (11 ms), and each frozen one with slots takes 0.4 to 0.6 ms to make, several generated functions and a signature; forty of
them cost every ``pylibos run`` 25 ms. A record generates one function, its constructor. Type checkers treat both as dataclasses
(PEP 681). Must not know anything of PyLibOS.

Invariants: fields are the annotated names in order, inherited ones first; the constructor takes them by position or name; equality is
of class and fields; no ``__dict__``. ``__post_init__`` runs last. Class decorators make a new class, so ``super()`` without arguments
does not work in a record's methods.
Source: PEP 557, PEP 681, Lib/dataclasses.py (for the behaviour, not the code).
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, Final, NoReturn, TypeVar, cast, dataclass_transform

from pylibos.abi.generated import run_source

T = TypeVar("T")

_NOTHING: Final = object()


class _Factory:
    """A default that is made anew for each record."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[[], object]) -> None:
        self.make = make


def field(*, default_factory: Callable[[], T]) -> T:
    """The default of a field whose value must not be shared: ``names: list[str] = field(default_factory=list)``."""
    return cast("T", _Factory(default_factory))


def _refuse_set(self: object, name: str, _value: object) -> NoReturn:
    raise AttributeError(f"cannot assign to field {name!r} of a {type(self).__name__}")


def _refuse_delete(self: object, name: str) -> NoReturn:
    raise AttributeError(f"cannot delete field {name!r} of a {type(self).__name__}")


def _represent(self: Any) -> str:
    shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__record_fields__)
    return f"{type(self).__qualname__}({shown})"


def _reduce(self: Any) -> tuple[type[Any], tuple[object, ...]]:
    return type(self), tuple(getattr(self, name) for name in self.__record_fields__)


def _comparison(names: tuple[str, ...]) -> tuple[Callable[[Any, object], Any], Callable[[Any], int]]:
    """__eq__ and __hash__ over these fields."""
    values: Callable[[Any], object] = attrgetter(*names) if names else lambda _record: ()

    def equal(self: Any, other: object) -> Any:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return values(self) == values(other)

    def hashed(self: Any) -> int:
        return hash(values(self))

    return equal, hashed


def _constructor(made: type[Any], names: tuple[str, ...], defaults: dict[str, object], frozen: bool) -> Callable[..., None]:
    """__init__. Generated, so that calling it costs what a hand-written one does."""
    scope: dict[str, object] = {"_nothing": _NOTHING}
    parameters, body = [], []
    for name in names:
        default = defaults.get(name, _NOTHING)
        if isinstance(default, _Factory):
            scope["_make_" + name] = default.make
            parameters.append(f"{name}=_nothing")
            body.append(f" if {name} is _nothing: {name} = _make_{name}()")
        elif default is not _NOTHING:
            scope["_default_" + name] = default
            parameters.append(f"{name}=_default_{name}")
        else:
            if parameters and "=" in parameters[-1]:
                raise TypeError(f"{made.__name__}.{name} has no default but follows a field that has one")
            parameters.append(name)
        if frozen:
            scope["_set_" + name] = getattr(made, name).__set__  # past __setattr__, which refuses
            body.append(f" _set_{name}(self, {name})")
        else:
            body.append(f" self.{name} = {name}")
    if hasattr(made, "__post_init__"):
        body.append(" self.__post_init__()")
    text = f"def __init__(self, {', '.join(parameters)}):\n" + "\n".join(body or [" pass"])
    run_source(text, scope)
    return cast("Callable[..., None]", scope["__init__"])


def _make(cls: type[Any], frozen: bool) -> type[Any]:
    inherited: tuple[str, ...] = getattr(cls, "__record_fields__", ())
    own = tuple(name for name, kind in cls.__annotations__.items() if name not in inherited and not str(kind).startswith("ClassVar"))
    names = inherited + own
    defaults: dict[str, object] = dict(getattr(cls, "__record_defaults__", {}))
    defaults |= {name: cls.__dict__[name] for name in names if name in cls.__dict__}
    dropped = {"__dict__", "__weakref__", *names}
    content = {key: value for key, value in cls.__dict__.items() if key not in dropped}
    equal, hashed = _comparison(names)
    common: dict[str, object] = {
        "__slots__": own,
        "__match_args__": names,
        "__record_fields__": names,
        "__record_defaults__": defaults,
    }
    offered: dict[str, object] = {"__repr__": _represent, "__eq__": equal, "__hash__": hashed if frozen else None, "__reduce__": _reduce}
    if frozen:
        offered |= {"__setattr__": _refuse_set, "__delattr__": _refuse_delete}
    if "__eq__" in content and content.get("__hash__", _NOTHING) is None:
        del content["__hash__"]  # put there by the class statement because of __eq__, not by the author
    metaclass: Callable[..., type[Any]] = type(cls)
    made = metaclass(cls.__name__, cls.__bases__, {**offered, **content, **common})
    made.__qualname__ = cls.__qualname__
    made.__init__ = _constructor(made, names, defaults, frozen)
    return made


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def record(cls: type[T]) -> type[T]:
    """Make an immutable record of an annotated class."""
    return _make(cls, True)


@dataclass_transform(field_specifiers=(field,))
def mutable_record(cls: type[T]) -> type[T]:
    """Make a record whose fields can be assigned; it is not hashable."""
    return _make(cls, False)


def field_names(cls: type[Any]) -> tuple[str, ...]:
    """The fields of a record class, in order."""
    names: tuple[str, ...] = cls.__record_fields__
    return names


def replace(value: T, /, **changes: object) -> T:
    """A copy of a record with some fields changed. TypeError for a name that is no field."""
    kind = type(value)
    current = {name: getattr(value, name) for name in field_names(kind)}
    return kind(**{**current, **changes})
