"""Who the guest is by the account data-base of its own root directory (`--root DIR`): a user name and a home directory.

What it is: one bounded read of DIR/etc/passwd before the guest starts. The directory may come from anywhere, so no symbolic link in it is
followed (it would lead to the host's files), and what is not a plausible entry is passed over. Source: passwd(5).
"""

from __future__ import annotations

import os
import stat

_SIZE_LIMIT = 1 << 20
_NAME_LIMIT = 32
_HOME_LIMIT = 1024


class Account:
    """A user name, and a home directory: an absolute guest path."""

    __slots__ = ("home", "name")

    def __init__(self, name: str, home: bytes) -> None:
        self.name = name
        self.home = home


def account_inside(root: bytes, uid: int) -> Account:
    """The account of uid below root; a plausible one when its data-base does not tell."""
    for line in _read(root).split(b"\n"):
        fields = line.split(b":")
        if len(fields) == 7 and fields[2] == b"%d" % uid and 0 < len(fields[0]) <= _NAME_LIMIT:
            home = os.path.normpath(fields[5]) if fields[5].startswith(b"/") and len(fields[5]) <= _HOME_LIMIT else b"/"
            return Account(os.fsdecode(fields[0]), b"/" + home.lstrip(b"/"))
    return Account("root", b"/root") if uid == 0 else Account(str(uid), b"/")


def _read(root: bytes) -> bytes:
    """The text of root/etc/passwd, or nothing."""
    opened = []
    try:
        opened.append(os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC))
        opened.append(os.open("etc", os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=opened[0]))
        opened.append(os.open("passwd", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=opened[1]))
        if not stat.S_ISREG(os.fstat(opened[2]).st_mode):
            return b""
        return os.read(opened[2], _SIZE_LIMIT)
    except OSError:
        return b""
    finally:
        for descriptor in opened:
            os.close(descriptor)
