"""The errors the executive raises towards its system call boundary.

SyscallError carries the errno a guest gets. Interrupted is thrown into a waiting handler when its thread has a signal to
take; a handler that lets it pass gets Linux's usual answer for the call (restart or EINTR, by its ``restart`` row).
"""

from __future__ import annotations

from pylibos.abi.errno import Errno


class SyscallError(Exception):
    """A guest error: the call returns -errno."""

    def __init__(self, errno: Errno) -> None:
        super().__init__(errno)
        self.errno = errno


class Interrupted(Exception):  # noqa: N818 - it is an event, not an error
    """A signal is pending for the waiting thread."""
