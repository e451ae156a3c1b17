from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from typing import ClassVar

import pytest

from pylibos.abi.record import field, field_names, mutable_record, record, replace


@record
class Point:
    """A place."""

    x: int
    y: int = 2
    unit: ClassVar[str] = "mm"

    @property
    def sum(self) -> int:
        return self.x + self.y


@record
class Named(Point):
    name: str = "here"


@mutable_record
class Bag:
    items: list[int] = field(default_factory=list)
    count: int = 0

    def __post_init__(self) -> None:
        self.count += len(self.items)


@record
class Empty:
    pass


def test_positions_names_and_defaults() -> None:
    assert (Point(1).x, Point(1).y, Point(x=3, y=4).sum, Point.unit) == (1, 2, 7, "mm")
    assert Point.__doc__ == "A place."


@pytest.mark.parametrize("arguments", [{}, {"x": 1, "z": 2}], ids=["missing", "unknown"])
def test_wrong_arguments(arguments: dict[str, int]) -> None:
    with pytest.raises(TypeError):
        Point(**arguments)


def test_a_field_without_default_may_not_follow_one_with() -> None:
    with pytest.raises(TypeError, match="second has no default"):

        @record
        class Wrong:
            first: int = 1
            second: int  # type: ignore[misc] # what is tested


def test_immutable() -> None:
    point = Point(1)
    with pytest.raises(AttributeError, match="'x'"):
        point.x = 5  # type: ignore[misc]
    with pytest.raises(AttributeError):
        del point.y
    with pytest.raises(AttributeError):
        point.other = 1  # type: ignore[attr-defined]
    assert point == Point(1)


def test_equality_is_of_class_and_fields() -> None:
    assert Point(1) == Point(1, 2)
    assert Point(1) != Point(2)
    assert Named(1) != Point(1)
    other: object = (1, 2)
    assert Point(1) != other
    assert {Point(1): "a"}[Point(1)] == "a"
    assert Empty() == Empty()


def test_inherited_fields_come_first() -> None:
    assert field_names(Named) == ("x", "y", "name")
    assert Named(1, 2, "there").name == "there"
    assert not hasattr(Named(1), "__dict__")


def test_a_factory_makes_a_value_for_each() -> None:
    first, second = Bag(), Bag()
    first.items.append(1)
    assert (second.items, Bag([1, 2]).count) == ([], 2)
    with pytest.raises(TypeError):
        hash(first)
    with pytest.raises(AttributeError):
        first.other = 1  # type: ignore[attr-defined]


def test_replace() -> None:
    assert replace(Named(1), y=5) == Named(1, 5)
    with pytest.raises(TypeError):
        replace(Point(1), z=1)


def test_repr_and_matching() -> None:
    assert repr(Named(1)) == "Named(x=1, y=2, name='here')"
    match Point(7, 8):
        case Point(x, y):
            assert (x, y) == (7, 8)


def test_copies() -> None:
    assert copy.copy(Point(1)) == Point(1)
    assert copy.deepcopy(Bag([1])).items == [1]
    assert pickle.loads(pickle.dumps(Named(1))) == Named(1)


def test_a_class_may_bring_its_own_equality() -> None:
    @record
    class Odd:  # noqa: PLW1641 - the record brings the hash
        value: int

        def __eq__(self, other: object) -> bool:
            return isinstance(other, Odd) and self.value % 2 == other.value % 2

    assert Odd(1) == Odd(3)
    assert hash(Odd(1)) == hash(Odd(1))


def test_it_does_not_cost_what_dataclasses_cost() -> None:
    program = "import sys; import pylibos.abi.record; print(sorted({'dataclasses', 'inspect', 'ast'} & sys.modules.keys()))"
    shown = subprocess.run([sys.executable, "-S", "-c", program], capture_output=True, text=True, check=True).stdout
    assert shown.strip() == "[]"
