"""Sizes of the packed structures, and device numbers against the host's own."""

from __future__ import annotations

import os

import pytest

from pylibos.abi import files


@pytest.mark.parametrize(
    ("layout", "size"),
    [(files.STAT, 144), (files.STATFS, 120), (files.STATX, 256), (files.DIRENT64_HEADER, 19), (files.DIRENT_HEADER, 18)],
)
def test_sizes(layout: object, size: int) -> None:
    assert layout.size == size  # type: ignore[attr-defined]


@pytest.mark.parametrize(("major", "minor"), [(0, 41), (1, 3), (136, 7), (8, 300), (0, 0xFFFFF)])
def test_device_numbers(major: int, minor: int) -> None:
    device = files.make_device(major, minor)
    assert device == os.makedev(major, minor)
    assert (files.device_major(device), files.device_minor(device)) == (major, minor)


@pytest.mark.parametrize("name", [name for name in dir(files) if name.startswith(("O_", "S_IF")) and hasattr(os, name)])
def test_open_flags_are_the_hosts(name: str) -> None:
    if name != "O_LARGEFILE":  # the C library of a 64-bit program calls it 0
        assert getattr(files, name) == getattr(os, name)
