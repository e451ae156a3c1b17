"""Every expected value here was observed on Linux 6.18 by executing such a file."""

from __future__ import annotations

import pytest

from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.process.shebang import parse_shebang


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        pytest.param(b"#!/bin/sh\n", (b"/bin/sh", None), id="plain"),
        pytest.param(b"#!/bin/sh", (b"/bin/sh", None), id="end-of-file"),
        pytest.param(b"#!  \t /bin/echo   hello world \t \nrest", (b"/bin/echo", b"hello world"), id="blanks-and-one-argument"),
        pytest.param(b"#!/bin/echo z", (b"/bin/echo", b"z"), id="argument-end-of-file"),
        pytest.param(b"#!/bin/echo ", (b"/bin/echo", b""), id="empty-argument-end-of-file"),
        pytest.param(b"#!/bin/echo a\0b\n", (b"/bin/echo", b"a"), id="nul-ends-the-argument"),
        pytest.param(b"#!/bin/echo\0 x\n", (b"/bin/echo", None), id="nul-ends-the-line"),
        pytest.param(b"#!/bin/echo " + b"a" * 300, (b"/bin/echo", b"a" * 243), id="argument-cut-at-255"),
        pytest.param(b"#!/bin/echo " + b"a" * 243 + b"\n", (b"/bin/echo", b"a" * 243), id="newline-is-the-last-byte"),
        pytest.param(b"#!/bin/echo " + b"a" * 244 + b"\n", (b"/bin/echo", b"a" * 243), id="newline-just-outside"),
        pytest.param(b"#!   ", (b"", None), id="blanks-to-the-end-of-file"),
        pytest.param(b"#!\t/x\t\n", (b"/x", None), id="trailing-blank"),
    ],
)
def test_line(line: bytes, expected: tuple[bytes, bytes | None]) -> None:
    assert parse_shebang(line) == expected


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"#!\n", id="empty"),
        pytest.param(b"#! \t \n/bin/sh", id="only-blanks"),
        pytest.param(b"#!/bin/echo" + b"a" * 300, id="name-may-be-cut-off"),
        pytest.param(b"#!" + b" " * 300 + b"/bin/sh\n", id="only-blanks-in-256-bytes"),
    ],
)
def test_no_interpreter(line: bytes) -> None:
    with pytest.raises(SyscallError) as error:
        parse_shebang(line)
    assert error.value.errno is Errno.ENOEXEC
