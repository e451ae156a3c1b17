"""A guest over a small host tree, for the tests of this directory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from pylibos.monitor.policy import Mode
from tests.support.vfs_guest import Guest


@pytest.fixture
def lower(tmp_path: Path) -> Path:
    """The host tree under the guest's root: never changed by a guest."""
    root = tmp_path / "lower"
    (root / "etc").mkdir(parents=True)
    (root / "etc" / "motd").write_bytes(b"welcome")
    (root / "etc" / "link").symlink_to("motd")
    (root / "dir" / "sub").mkdir(parents=True)
    (root / "dir" / "sub" / "deep").write_bytes(b"deep")
    (root / "dir" / "file").write_bytes(b"content")
    return root


@pytest.fixture
def writable(tmp_path: Path) -> Path:
    """A host directory the guest may write, mounted on /work."""
    path = tmp_path / "work"
    path.mkdir()
    return path


@pytest.fixture
def guest(lower: Path, writable: Path) -> Iterator[Guest]:
    """Root cow, /tmp tmpfs, /work rw, /frozen ro (the lower tree again)."""
    umask = os.umask(0o022)
    made = Guest(
        [
            (b"/", "cow", bytes(lower)),
            (b"/tmp", "tmpfs", None),
            (b"/work", "rw", bytes(writable)),
            (b"/frozen", "ro", bytes(lower)),
        ],
        [(bytes(lower), Mode.RO), (bytes(writable), Mode.RW)],
        os.getuid(),
        os.getgid(),
    )
    yield made
    made.close_all()
    os.umask(umask)
