"""That what stands in for typing behaves like it, as far as our modules use it."""

from __future__ import annotations

import ast
import copy
import pickle
import typing
from pathlib import Path
from typing import Any

import pytest

from pylibos import light_typing

SOURCES = Path(light_typing.__file__).parent


def test_no_module_needs_a_name_it_does_not_have() -> None:
    wanted = {
        alias.name
        for path in SOURCES.rglob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ImportFrom) and node.module == "typing"
        for alias in node.names
    }
    assert "Final" in wanted
    assert wanted - set(vars(light_typing)) == set()


def test_other_names_are_typings() -> None:
    assert light_typing.get_type_hints is typing.get_type_hints
    with pytest.raises(AttributeError):
        light_typing.no_such_name  # noqa: B018
    assert not hasattr(light_typing, "__path__")


class Real(typing.NamedTuple):
    """A point."""

    x: int
    y: int = 5

    def total(self) -> int:
        return self.x + self.y


_light: Any = light_typing.NamedTuple


class Light(_light):  # type: ignore[misc]  # a variable
    """A point."""

    x: int
    y: int = 5

    def total(self) -> int:
        return self.x + self.y


@pytest.mark.parametrize("kind", [Real, Light])
def test_named_tuples(kind: Any) -> None:
    point = kind(1)
    assert point == (1, 5)
    assert hash(point) == hash((1, 5))
    assert (point.x, point.y, point.total(), point[1:]) == (1, 5, 6, (5,))
    assert repr(point) == f"{kind.__name__}(x=1, y=5)"
    assert kind(y=2, x=1)._replace(x=7) == (7, 2)
    assert kind(1, 2)._asdict() == {"x": 1, "y": 2}
    assert kind._fields == ("x", "y") == kind.__match_args__
    assert kind.__doc__ == "A point."
    assert copy.copy(point) == point
    assert type(pickle.loads(pickle.dumps(point))) is kind
    match point:
        case kind(x, y):
            assert (x, y) == (1, 5)
    for arguments in ((), (1, 2, 3)):
        with pytest.raises(TypeError):
            kind(*arguments)
    with pytest.raises(AttributeError):
        point.x = 3
    with pytest.raises(AttributeError):
        point.z = 3


def test_placeholders() -> None:
    light: Any = light_typing
    assert light.Final[int] is light.Final
    assert light.Any | None is light.Any
    assert light.Annotated[int, 1, 2].__metadata__ == (1, 2)
    assert light.get_origin(int) is None
    assert light.cast("int", 3) == 3
    assert light.NewType("Name", int)(4) == 4
    variable = light.TypeVar("T", bound=int)
    assert (variable | None) is variable

    class Box(light.Generic[variable]):  # type: ignore[misc]
        pass

    box: Any = Box
    assert box[int] is Box

    class Shape(light.Protocol):  # type: ignore[misc]
        pass

    assert Shape() is not None
