"""The ``#!`` parser against a transcription of the documented rules for lines that end within the buffer, and against noise."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.process.shebang import parse_shebang

PATTERN = re.compile(rb"#![ \t]*([^ \t\n]+)(?:[ \t]+([^\n]*?))?[ \t]*\n")


def parse(line: bytes) -> tuple[bytes, bytes | None] | None:
    """The parsed line; None for ENOEXEC, the only error there may be."""
    try:
        return parse_shebang(line)
    except SyscallError as error:
        if error.errno is not Errno.ENOEXEC:
            raise
        return None


@given(st.binary(max_size=400))
def test_any_bytes_give_a_pair_or_enoexec(tail: bytes) -> None:
    parsed = parse(b"#!" + tail)
    if parsed is None:
        return
    name, argument = parsed
    assert not set(name) & set(b"\0 \t\n")
    assert len(name) < 256
    if argument is not None:
        # Empty when blanks run into the end of the file: Linux passes that empty argument, too.
        assert not set(argument) & set(b"\0\n")
        assert argument[:1] not in (b" ", b"\t")


@given(st.text("ab/ \t-", min_size=1, max_size=200))
def test_short_lines_follow_the_rule(text: str) -> None:
    line = b"#!" + text.encode() + b"\n"
    match = PATTERN.fullmatch(line)
    assert parse(line + b"echo\n") == (None if match is None else (match[1], match[2] or None))
