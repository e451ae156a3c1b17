"""What our modules need of ``typing`` at run time, without its price: typing takes 6 ms to import, with re, contextlib and functools.

Annotations are never evaluated (every module has the ``annotations`` future), so nearly all names are placeholders that can be subscribed
or called. bundle.py puts this module in typing's place for PyLibOS's own modules and no others; without the bundle they use typing itself,
and the tests run both ways. A name that is not here is typing's.
"""

from __future__ import annotations

from operator import itemgetter

from pylibos.abi.generated import run_source

TYPE_CHECKING = False


class _Placeholder(type):
    """A name that may be subscribed, called with anything (TypeVar, ParamSpec) and joined with |."""

    def __getitem__(cls, _item: object) -> _Placeholder:
        return cls

    def __or__(cls, _other: object) -> _Placeholder:
        return cls

    __ror__ = __or__


class Any(metaclass=_Placeholder):
    """typing.Any."""


class Final(metaclass=_Placeholder):
    """typing.Final."""


class Literal(metaclass=_Placeholder):
    """typing.Literal."""


class NoReturn(metaclass=_Placeholder):
    """typing.NoReturn."""


class Self(metaclass=_Placeholder):
    """typing.Self."""


class Protocol:
    """typing.Protocol: a base that says nothing at run time."""

    __slots__ = ()

    def __class_getitem__(cls, _item: object) -> type[Protocol]:
        return cls


class Generic:
    """typing.Generic: OutPtr[bytes] is OutPtr."""

    __slots__ = ()

    def __class_getitem__(cls, _item: object) -> type[Generic]:
        return cls


class TypeVar:
    """typing.TypeVar: a name."""

    def __init__(self, *_arguments: object, **_keywords: object) -> None:
        """Whatever it is bound to."""

    def __or__(self, _other: object) -> TypeVar:
        return self

    __ror__ = __or__


ParamSpec = TypeVar


class _Annotated:
    """typing.Annotated[type, metadata...]."""

    def __init__(self, origin: object, metadata: tuple[object, ...]) -> None:
        self.__origin__ = origin
        self.__metadata__ = metadata

    def __class_getitem__(cls, items: tuple[object, ...]) -> _Annotated:
        return cls(items[0], items[1:])


Annotated = _Annotated


def get_origin(kind: object) -> object:
    """typing.get_origin, as far as parameter types need it."""
    return getattr(kind, "__origin__", None)


def cast(_kind: object, value: object) -> object:
    """typing.cast."""
    return value


def dataclass_transform(**_what: object) -> object:
    """typing.dataclass_transform: for type checkers."""
    return lambda decorated: decorated


def NewType(_name: str, _kind: object) -> object:  # noqa: N802 - typing's name
    """typing.NewType: a function that gives its argument back."""
    return lambda value: value


class _NamedTupleMeta(type):
    """Turns the class statement into a tuple class, as collections.namedtuple does."""

    def __new__(cls, name: str, _bases: tuple[type, ...], space: dict[str, object]) -> type:
        annotations: dict[str, object] = space.get("__annotations__", {})  # type: ignore[assignment]
        fields = tuple(annotations)
        defaults = tuple(space.pop(field) for field in fields if field in space)
        names = ", ".join(fields)
        scope: dict[str, object] = {"make": tuple.__new__}
        run_source(f"def __new__(cls, {names}):\n return make(cls, ({names},))\n", scope)
        make: object = scope["__new__"]
        make.__defaults__ = defaults or None  # type: ignore[attr-defined]
        space.update(
            {
                "__slots__": (),
                "__new__": make,
                "__match_args__": fields,
                "_fields": fields,
                "__repr__": _represent,
                "__getnewargs__": _arguments,
                "_asdict": _as_dictionary,
                "_replace": _replaced,
            }
        )
        for index, field in enumerate(fields):
            space[field] = property(itemgetter(index))
        return type(name, (tuple,), space)


def _represent(self: tuple[object, ...]) -> str:
    fields: tuple[str, ...] = self._fields  # type: ignore[attr-defined]
    return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in zip(fields, self, strict=True))})"


def _arguments(self: tuple[object, ...]) -> tuple[object, ...]:
    return tuple(self)


def _as_dictionary(self: tuple[object, ...]) -> dict[str, object]:
    return dict(zip(self._fields, self, strict=True))  # type: ignore[attr-defined]


def _replaced(self: tuple[object, ...], **changes: object) -> object:
    return type(self)(**{**_as_dictionary(self), **changes})


class _NamedTuple:
    """typing.NamedTuple as a base class."""

    def __mro_entries__(self, _bases: tuple[object, ...]) -> tuple[type, ...]:
        return (_NAMED,)


_NAMED = type.__new__(_NamedTupleMeta, "NamedTuple", (), {})
NamedTuple = _NamedTuple()


def __getattr__(name: str) -> object:
    if name.startswith("__"):  # what the import machinery asks every module for
        raise AttributeError(name)
    import typing

    return getattr(typing, name)
