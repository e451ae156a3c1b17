"""The first line of a script, read exactly as Linux reads it.

Owns the ``#!`` syntax: a pure function from the file's first 256 bytes to (interpreter, argument). Must not know files or
processes. Source: Linux 6.18 fs/binfmt_script.c (load_script, next_non_spacetab, next_terminator), tried against a running kernel.
"""

from __future__ import annotations

from typing import Final

from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError

BUFFER_SIZE: Final = 256
"""BINPRM_BUF_SIZE: the kernel looks no further."""

REWRITES_MAX: Final = 5
"""A script may name a script as its interpreter, five deep; the sixth is ELOOP (fs/exec.c, exec_binprm)."""

_NEWLINE: Final = 0x0A
_BLANKS: Final = b" \t"


def parse_shebang(header: bytes) -> tuple[bytes, bytes | None]:
    """(interpreter, its one optional argument) of a file that starts with ``#!``. header: the first bytes of the file.

    The interpreter may come out empty (a line of blanks ended by the end of the file), which the kernel then fails to execute as
    it would a directory. Raises SyscallError(ENOEXEC): no interpreter on the line, or its name may be cut off at 256 bytes.
    """
    buffer = header[:BUFFER_SIZE].ljust(BUFFER_SIZE, b"\0")
    last = BUFFER_SIZE - 1
    text_end = buffer.find(0)
    end = buffer.find(_NEWLINE, 0, text_end if text_end >= 0 else BUFFER_SIZE)
    if end < 0:
        start = _next_text(buffer, 2, last)
        if start is None or _next_terminator(buffer, start, last) is None:
            raise SyscallError(Errno.ENOEXEC)
        end = last
    while buffer[end - 1] in _BLANKS:
        end -= 1
    name = _next_text(buffer, 2, end)
    if name is None or name == end:
        raise SyscallError(Errno.ENOEXEC)
    separator = _next_terminator(buffer, name, end)
    argument = None
    if separator is not None and buffer[separator]:
        argument = _next_text(buffer, separator, end)
    stop = end if separator is None else separator
    return buffer[name:stop], None if argument is None else _string(buffer, argument, end)


def _string(buffer: bytes, start: int, end: int) -> bytes:
    text = buffer[start:end]
    nul = text.find(0)
    return text if nul < 0 else text[:nul]


def _next_text(buffer: bytes, first: int, last: int) -> int | None:
    """Index of the first byte in first..last (both included) that is no blank."""
    for index in range(first, last + 1):
        if buffer[index] not in _BLANKS:
            return index
    return None


def _next_terminator(buffer: bytes, first: int, last: int) -> int | None:
    """Index of the first blank or NUL in first..last (both included)."""
    for index in range(first, last + 1):
        if not buffer[index] or buffer[index] in _BLANKS:
            return index
    return None
