"""Whether the host's visible trees are what they were: a digest of every entry, taken before guests run and again after.

What it is: a scan (path -> digest) and the difference of two scans.
What it must not know: pytest.
Invariants: an entry's digest covers type, permission bits, owner, links, size, device and inode, modification and change time, the
    target of a link and, with contents, the SHA-256 of a file. Access times are left out: reading is allowed. The kernel sets the
    change time whenever it changes an entry and nobody can set it back, so that a scan without contents already shows every write;
    contents are the same statement without having to believe the kernel.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pylibos.monitor.manifest_resolve import SYSTEM_VISIBLE

ROOTS = tuple(os.fsdecode(path) for path in SYSTEM_VISIBLE)
"""What a guest sees of the host by default."""

Scan = dict[str, bytes]
"""Path -> 16 bytes."""

PACKAGE_STATE = ("/var/lib/dpkg/status", "/var/lib/rpm", "/lib/apk/db/installed")
"""Changes whenever a package is installed: then the difference says nothing about guests."""


@dataclass
class HostBefore:
    """The host as it was before the first of some tests."""

    contents: bool
    entries: Scan
    packages: tuple[int, ...]
    tests: int = 0
    """How many tests have begun since."""


def scan(roots: Iterable[str], *, contents: bool) -> Scan:
    """Every entry at and below the roots that exist; mount points below are entered, symbolic links are not followed."""
    found: Scan = {}
    for root in roots:
        try:
            status = os.lstat(root)
        except OSError:
            continue
        found[root] = _digest(root, status, contents)
        if stat.S_ISDIR(status.st_mode):
            found.update(_below(root, contents))
    return found


def _below(directory: str, contents: bool) -> Iterator[tuple[str, bytes]]:
    pending = [directory]
    while pending:
        try:
            entries = list(os.scandir(pending.pop()))
        except OSError:
            continue  # not readable for who runs this: nor for what is run
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except OSError:
                continue
            yield entry.path, _digest(entry.path, status, contents)
            if stat.S_ISDIR(status.st_mode):
                pending.append(entry.path)


def _digest(path: str, status: os.stat_result, contents: bool) -> bytes:
    fields = (
        status.st_mode,
        status.st_uid,
        status.st_gid,
        status.st_nlink,
        status.st_size,
        status.st_dev,
        status.st_ino,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )
    digest = hashlib.blake2b(repr(fields).encode(), digest_size=16)
    try:
        if stat.S_ISLNK(status.st_mode):
            digest.update(os.fsencode(os.readlink(path)))
        elif contents and stat.S_ISREG(status.st_mode):
            with open(path, "rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    except OSError as error:
        digest.update(str(error.errno).encode())
    return digest.digest()


def changes(before: Scan, after: Scan) -> list[str]:
    """What differs, sorted by path: "+" appeared, "-" vanished, "~" changed."""
    if before == after:
        return []
    found = []
    for path in sorted(before.keys() | after.keys()):
        if before.get(path) != after.get(path):
            mark = "+" if path not in before else "-" if path not in after else "~"
            found.append(f"{mark} {path}")
    return found


def package_stamp() -> tuple[int, ...]:
    """Change times of the package databases; 0 for those that are not there."""
    stamps = []
    for path in PACKAGE_STATE:
        try:
            stamps.append(os.stat(path).st_ctime_ns)
        except OSError:
            stamps.append(0)
    return tuple(stamps)
