"""The path walk: from text to a Location, with Linux's rules for links, "..", mounts, roots and search permission.

One function, walk(), does one walk; FileSystem (filesystem.py) puts the whole-path cache before it. Limits: a name NAME_MAX bytes, 40 links
in one walk. Text longer than PATH_MAX is refused where it is copied from the guest. An adversarial guest can send any bytes here: they are
only split and compared, never decoded.

Errors: ENOENT a name is missing (or the text is empty), ENOTDIR something on the way is no directory, EACCES a directory may not be
searched, ELOOP too many links (or one where none is allowed), ENAMETOOLONG, EXDEV a RESOLVE_ rule would be broken.

Sources: Linux fs/namei.c (link_path_walk, handle_dots, step_into), path_resolution(7), openat2(2).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylibos.abi.errno import Errno
from pylibos.abi.files import (
    NAME_MAX,
    RESOLVE_BENEATH,
    RESOLVE_IN_ROOT,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    RESOLVE_NO_XDEV,
    SYMLINK_LIMIT,
)
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.fs.inode import Directory, Inode, Location
from pylibos.emulation.fs.permission import permitted

if TYPE_CHECKING:
    from pylibos.emulation.process.thread import Thread


class Walk:
    """What a walk met on its way; says whether its result may be kept."""

    __slots__ = ("pure", "through_links", "through_parents")

    def __init__(self) -> None:
        self.pure = True
        self.through_links = False
        self.through_parents = False


def parent_of(directory: Inode, root: Inode) -> Inode:
    """What ".." means: the directory above, across mounts, never above root."""
    current = directory
    while current is not root:
        parent = current.parent
        if parent is not None:
            return parent
        covered = current.volume.covered
        if covered is None:
            break
        current = covered
    return current


def mounted_on(inode: Inode) -> Inode:
    """The root of what is mounted here last, or the inode itself."""
    while inode.mounted is not None:
        inode = inode.mounted.root
    return inode


def split(path: bytes) -> list[bytes]:
    """Components in reverse order (a stack). A trailing slash is a final b"/": a directory is asked for, but not to be searched."""
    parts = [part for part in path.split(b"/") if part]
    if path.endswith(b"/") and parts:
        parts.append(b"/")
    parts.reverse()
    return parts


def _origin(start: Inode, root: Inode, path: bytes, rules: int) -> Inode:
    """Where the first component is looked up."""
    if path[:1] != b"/":
        return start
    if rules & RESOLVE_BENEATH or (rules & RESOLVE_NO_XDEV and root.volume is not start.volume):
        raise SyscallError(Errno.EXDEV)
    return root


def _up(current: Inode, root: Inode, rules: int, report: Walk) -> Inode:
    """The component ".."."""
    report.through_parents = True
    if current is root and rules & RESOLVE_BENEATH:
        raise SyscallError(Errno.EXDEV)
    return parent_of(current, root)


def _target(link: Inode, thread: Thread, links: int, rules: int, report: Walk) -> Location | bytes:
    """What a symbolic link, the links-th of this walk, holds: text, or the place itself for a magic link."""
    if links > SYMLINK_LIMIT or rules & RESOLVE_NO_SYMLINKS:
        raise SyscallError(Errno.ELOOP)
    report.through_links = True
    target = link.follow(thread)
    if not link.cacheable or isinstance(target, Location):
        report.pure = False
    if not target:
        raise SyscallError(Errno.ENOENT)
    return target


def walk(  # noqa: C901, PLR0912 - one loop with all rules in sight; cutting it would cost a call per component
    thread: Thread, start: Inode, root: Inode, path: bytes, follow: bool, rules: int, report: Walk
) -> Location:
    """Walk path from start (or root, when it is absolute). Location.inode is None when only the last name is missing."""
    credentials = thread.process.credentials
    if rules & (RESOLVE_BENEATH | RESOLVE_IN_ROOT):
        root = start
    current = _origin(start, root, path, rules)
    if current.volatile:
        current.refresh()  # further down a look-up has just asked the host
    volume = current.volume
    parts = split(path)
    links = 0
    while parts:
        name = parts.pop()
        if not isinstance(current, Directory):
            raise SyscallError(Errno.ENOTDIR)
        if current.mode & 0o111 != 0o111 and name != b"/" and not permitted(current, credentials, 1):
            raise SyscallError(Errno.EACCES)
        if name in {b".", b"/"}:
            continue
        if not current.cacheable:
            report.pure = False
        if name == b"..":
            current = _up(current, root, rules, report)
            if rules & RESOLVE_NO_XDEV and current.volume is not volume:
                raise SyscallError(Errno.EXDEV)
            continue
        child = current.entries.get(name)
        if child is None:
            if len(name) > NAME_MAX:
                raise SyscallError(Errno.ENAMETOOLONG)
            child = current.lookup(name, thread)
            if child is None:
                if parts:
                    raise SyscallError(Errno.ENOENT)
                return Location(None, current, name)
        if child.mounted is not None:
            child = mounted_on(child)
            if rules & RESOLVE_NO_XDEV:
                raise SyscallError(Errno.EXDEV)
        if child.is_symlink and (parts or follow):
            links += 1
            target = _target(child, thread, links, rules, report)
            if isinstance(target, Location):
                current = _jump(target, rules)
                if not parts:
                    return target
                continue
            if target[:1] == b"/":
                if rules & RESOLVE_BENEATH or (rules & RESOLVE_NO_XDEV and root.volume is not volume):
                    raise SyscallError(Errno.EXDEV)
                current = root
            parts.extend(split(target))
            continue
        if not parts:
            return Location(child, current, name)
        current = child
    return Location(current, current.parent or current, current.name)


def _jump(target: Location, rules: int) -> Inode:
    """Check the RESOLVE_ rules for a magic link; where it leads."""
    if rules & RESOLVE_NO_MAGICLINKS:
        raise SyscallError(Errno.ELOOP)
    if rules & (RESOLVE_BENEATH | RESOLVE_IN_ROOT | RESOLVE_NO_XDEV):
        raise SyscallError(Errno.EXDEV)
    if target.inode is None:
        raise SyscallError(Errno.ENOENT)
    return target.inode
