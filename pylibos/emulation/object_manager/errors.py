"""The error of the NT side of the executive: an NTSTATUS, raised.

dispatch.py turns one that reaches the system call boundary into an errno (abi/ntstatus.py); it never reaches a guest as such.
"""

from __future__ import annotations

from pylibos.abi.ntstatus import NtStatus


class StatusError(Exception):
    """An executive service failed. ``status`` says how, ``detail`` names the object for a log line."""

    def __init__(self, status: NtStatus, detail: str = "") -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail

    def __str__(self) -> str:
        return f"{self.status.name} {self.detail}".rstrip()
