"""Root inside stands for the invoker outside, in both directions, and nobody else is exchanged."""

from __future__ import annotations

from pylibos.emulation.fs.owners import AS_THEY_ARE, Owners


def test_the_invokers_files_are_roots() -> None:
    owners = Owners(1000, 100)
    assert owners.inside(1000, 100) == (0, 0)
    assert owners.inside(100, 1000) == (100, 1000)
    assert owners.outside(0, 0) == (1000, 100)
    assert owners.outside(None, 5) == (None, 5)


def test_otherwise_ids_are_as_they_are() -> None:
    assert AS_THEY_ARE.inside(0, 5) == (0, 5)
    assert AS_THEY_ARE.outside(0, None) == (0, None)
