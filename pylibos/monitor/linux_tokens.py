"""Tokens: real host descriptors that stand for emulated objects in a guest's table.

What it is: a maker of new, empty, already unlinked directories (token:dir) and of unreadable unique descriptors (token:path).
Owns a small pool of unlinked directories, refilled in batches. Nothing is left on the host between batches, even after kill -9: the
private directory a batch is made in lives for some hundred microseconds and is removed with it; what a kill in just that moment leaves
(empty directories) is swept by a later batch.
Invariants: every token has an inode number no other open object of its file system has.
Sources: mkdirat(2), memfd_create(2), open(2) "access mode".
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from typing import Final

_BATCH: Final = 16
"""Directories per refill: a shell's glob or a find holds a few at a time; each costs one descriptor of the supervisor."""

_PREFIX: Final = "pylibos-token-"
_STALE_SECONDS: Final = 60
_OPEN_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def bases() -> list[str]:
    """Where private directories may be made, best first: memory before disk."""
    named = ("/dev/shm", os.environ.get("XDG_RUNTIME_DIR", ""), os.environ.get("TMPDIR", ""), "/tmp")
    return [base for base in named if base and os.access(base, os.W_OK | os.X_OK)]


class TokenPool:
    """Unlinked directories ready for use."""

    def __init__(self, bases: list[str] | None = None) -> None:
        self._ready: list[int] = []
        self._bases = bases
        self._swept = False

    def directory(self) -> int:
        """A descriptor (O_RDONLY, offset 0) of a new, empty, unlinked directory. OSError when no base directory is writable."""
        if not self._ready:
            self._refill()
        return self._ready.pop()

    def close(self) -> None:
        """Give the unused directories up."""
        while self._ready:
            os.close(self._ready.pop())

    def _refill(self) -> None:
        failure: OSError = PermissionError(13, "no writable directory for tokens")
        for base in self._bases if self._bases is not None else bases():
            try:
                if not self._swept:
                    self._swept = True
                    _sweep(base)
                self._make_batch(base)
            except OSError as error:
                failure = error
            if self._ready:
                return
        raise failure

    def _make_batch(self, base: str) -> None:
        private_name = f"{base}/{_PREFIX}{os.urandom(8).hex()}"
        os.mkdir(private_name, 0o700)
        private = -1
        try:
            private = os.open(private_name, _OPEN_DIRECTORY)
            for index in range(_BATCH):
                name = str(index)
                os.mkdir(name, 0o700, dir_fd=private)
                try:
                    self._ready.append(os.open(name, _OPEN_DIRECTORY, dir_fd=private))
                finally:
                    os.rmdir(name, dir_fd=private)
        finally:
            if private >= 0:
                os.close(private)
            os.rmdir(private_name)


def _sweep(base: str) -> None:
    """Remove what a killed supervisor of ours left in the middle of a batch: directories of this user, empty, a minute old."""
    oldest = time.time() - _STALE_SECONDS
    with os.scandir(base) as entries:
        stale = [entry.path for entry in entries if entry.name.startswith(_PREFIX)]
    for path in stale:
        with contextlib.suppress(OSError):
            record = os.lstat(path)
            if record.st_uid != os.geteuid() or record.st_mtime > oldest or not stat.S_ISDIR(record.st_mode):
                continue
            for index in range(_BATCH):
                with contextlib.suppress(OSError):
                    os.rmdir(f"{path}/{index}")
            os.rmdir(path)


def path_token() -> int:
    """A new descriptor of a unique object that neither reads nor writes (EBADF), as an O_PATH one; fstat gives its own inode number.

    Access mode 3, not O_PATH itself: the kernel installs no O_PATH descriptor through a seccomp notification (it looks the source up with
    fget, which knows none). open(2), "access mode 3": permission of both, of which neither is granted.
    """
    memory = os.memfd_create("token", os.MFD_CLOEXEC)
    try:
        return os.open(f"/proc/self/fd/{memory}", os.O_ACCMODE | os.O_CLOEXEC)
    finally:
        os.close(memory)
