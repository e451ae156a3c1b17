"""Host paths: from a file: or dir: URI to a descriptor, policy first, symbolic links never.

What it is: the only place where the Linux host turns names into descriptors. Owns the policy gate of every name and the walk.
Invariants: no name is used before the policy has allowed it; no component of a name is ever followed through a symbolic link
(openat2 with RESOLVE_NO_SYMLINKS and RESOLVE_NO_MAGICLINKS, or, where a container denies that call, a walk of O_PATH|O_NOFOLLOW
opens); every descriptor is close-on-exec. Names with ``..``, ``.``, empty components or NUL are EINVAL: the library OS resolves those
itself, and the policy compares names literally.

An adversarial host user may exchange directories and links under a granted path while the walk runs: the result is then an error or an
object below the pinned grant's own directories, never the target of a link.
Sources: openat2(2), open(2), path_resolution(7).
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from typing import Final

from pylibos.monitor.host_abi import HostError
from pylibos.monitor.native import AT_FDCWD, RESOLVE_NO_MAGICLINKS, RESOLVE_NO_SYMLINKS, Native
from pylibos.monitor.policy import AnyOperation, Decision, Deny, Operation, Policy

ENOENT: Final = 2
EPERM: Final = 1
EINVAL: Final = 22
ENOTDIR: Final = 20
ENAMETOOLONG: Final = 36
ENOSYS: Final = 38
ELOOP: Final = 40

_PATH_LIMIT: Final = 1 << 18
"""Longest host path. Directories may lie deeper than one call's path reaches (PATH_MAX); a guest must not make us walk for ever."""
_CALL_LIMIT: Final = 4095
_RESOLVE: Final = RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS
_O_CLOEXEC: Final = os.O_CLOEXEC
_WALK: Final = os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC
_REFUSED_PARTS: Final = (b"/./", b"/../", b"//", b"\0")
_REFUSED_ENDS: Final = (b"/", b"/.", b"/..")

Recorder = Callable[[AnyOperation, bytes, Decision], None]
"""Told of host decisions: (operation, host path, decision)."""


def host_path(uri: bytes) -> bytes:
    """The host path in a file: or dir: URI. HostError(EINVAL) for another scheme or a name that is not in normal form."""
    if uri.startswith(b"file:/"):
        path = uri[5:]
    elif uri.startswith(b"dir:/"):
        path = uri[4:]
    else:
        raise HostError(EINVAL, "not a host path")
    if b"/." in path or b"//" in path or b"\0" in path or path[-1] == 47:
        _refuse_odd(path)
    if len(path) > _PATH_LIMIT:
        raise HostError(ENAMETOOLONG)
    return path


def _refuse_odd(path: bytes) -> None:
    """EINVAL unless a suspicious looking path is fine after all (hidden files, the root)."""
    if path != b"/" and (path.endswith(_REFUSED_ENDS) or any(part in path for part in _REFUSED_PARTS)):
        raise HostError(EINVAL, "path is not in normal form")


class Paths:
    """Opens host names. One per host."""

    __slots__ = ("_check", "_native", "_record_all", "_recorder", "_use_openat2", "policy", "record_all", "recorder")

    def __init__(self, policy: Policy, native: Native, recorder: Recorder | None, *, record_all: bool = False) -> None:
        self.policy = policy
        self._check = policy.check
        self._native = native
        self.recorder = self._recorder = recorder
        self.record_all = self._record_all = record_all and recorder is not None
        self._use_openat2 = self._probe()

    def _probe(self) -> bool:
        """Whether openat2 may be used here (kernels before 5.6 and old container profiles say ENOSYS or EPERM)."""
        try:
            os.close(self._native.openat2(AT_FDCWD, b"/", os.O_PATH | _O_CLOEXEC, 0, _RESOLVE))
        except HostError as error:
            if error.errno in (ENOSYS, EPERM):
                return False
            raise
        return True

    def allow(self, operation: Operation, path: bytes) -> None:
        """Pass if the policy allows the operation on the path, else raise its HostError and tell the recorder."""
        decision = self._check(operation, path)
        if decision.__class__ is Deny:
            if self._recorder is not None:
                self._recorder(operation, path, decision)
            raise HostError(decision.errno, decision.rule)
        if self._record_all and self._recorder is not None:
            self._recorder(operation, path, decision)

    def open(self, path: bytes, flags: int, mode: int = 0) -> int:
        """A descriptor of the path. The last component is opened O_NOFOLLOW: with O_PATH a symbolic link itself, else ELOOP.

        The policy has been asked already (allow). May raise OSError as well as HostError.
        """
        flags |= os.O_NOFOLLOW | _O_CLOEXEC
        if flags & os.O_DIRECTORY:
            return self._open_directory(path, flags, mode)
        return self._open(path, flags, mode)

    def _open(self, path: bytes, flags: int, mode: int = 0) -> int:
        if self._use_openat2:
            if len(path) > _CALL_LIMIT:
                return self._open_deep(path, flags, mode)
            if not flags & os.O_PATH:
                flags &= ~os.O_NOFOLLOW  # RESOLVE_NO_SYMLINKS says it, and F_GETFL of the guest must not show it
            return self._native.openat2(AT_FDCWD, path, flags, mode, _RESOLVE)
        if path == b"/":
            return os.open(b"/", flags)
        directory, name = self._walk(path)
        try:
            return os.open(name, flags, mode, dir_fd=directory)
        finally:
            os.close(directory)

    def _open_deep(self, path: bytes, flags: int, mode: int) -> int:
        """A path longer than one call takes, in pieces; each starts at the directory the last one ended at."""
        here = AT_FDCWD
        try:
            while len(path) > _CALL_LIMIT:
                cut = path.rindex(b"/", 0, _CALL_LIMIT)
                below = self._native.openat2(here, path[:cut], _WALK, 0, _RESOLVE)
                if here != AT_FDCWD:
                    os.close(here)
                here, path = below, path[cut + 1 :]
            return self._native.openat2(here, path, flags, mode, _RESOLVE)
        finally:
            if here != AT_FDCWD:
                os.close(here)

    def _open_directory(self, path: bytes, flags: int, mode: int) -> int:
        """Linux says ENOTDIR of a link that stands for a directory; the host ABI always says ELOOP of a link. mode: O_TMPFILE's."""
        try:
            return self._open(path, flags, mode)
        except (HostError, NotADirectoryError) as error:
            if error.errno != ENOTDIR:
                raise
        link = self._open(path, os.O_PATH | os.O_NOFOLLOW | _O_CLOEXEC)
        try:
            raise HostError(ELOOP if stat.S_ISLNK(os.fstat(link).st_mode) else ENOTDIR)
        finally:
            os.close(link)

    def parent(self, path: bytes) -> tuple[int, bytes]:
        """(O_PATH descriptor of the directory that holds path, last component). HostError(EINVAL) for the root."""
        if not self._use_openat2:
            return self._walk(path)
        directory, _, name = path.rpartition(b"/")
        if not name:
            raise HostError(EINVAL, "the root has no parent")
        return self.open(directory or b"/", os.O_PATH | os.O_DIRECTORY), name

    def _walk(self, path: bytes) -> tuple[int, bytes]:
        """parent() without openat2: one O_NOFOLLOW open per component."""
        *directories, name = path.split(b"/")[1:]
        if not name:
            raise HostError(EINVAL, "the root has no parent")
        here = os.open(b"/", _WALK)
        for component in directories:
            try:
                below = os.open(component, _WALK, dir_fd=here)
            except NotADirectoryError:
                raise HostError(self._why_not_directory(here, component)) from None
            finally:
                os.close(here)
            here = below
        return here, name

    @staticmethod
    def _why_not_directory(directory: int, name: bytes) -> int:
        """ELOOP for a symbolic link, as openat2 has it; ENOTDIR for anything else. directory is still open."""
        mode = os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode
        return ELOOP if stat.S_ISLNK(mode) else ENOTDIR
