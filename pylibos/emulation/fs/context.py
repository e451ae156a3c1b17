"""FsContext: what the kernel calls fs_struct: root, current directory and umask of a process (shared with CLONE_FS).

Owns nothing but the three values. root and cwd are directories of the view; a removed current directory stays valid here and has
nlink 0. Every change is counted (changes.py). Source: Linux include/linux/fs_struct.h.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylibos.emulation.changes import context_changed

if TYPE_CHECKING:
    from pylibos.emulation.fs.inode import Inode


class FsContext:
    """Root, current directory, umask."""

    __slots__ = ("cwd", "root", "umask")

    def __init__(self, root: Inode, cwd: Inode | None = None, umask: int = 0o022) -> None:
        self.root = root
        self.cwd = root if cwd is None else cwd
        self.umask = umask

    def __setattr__(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)
        context_changed()

    def copy(self) -> FsContext:
        """An independent copy (fork without CLONE_FS, unshare(CLONE_FS))."""
        return FsContext(self.root, self.cwd, self.umask)
