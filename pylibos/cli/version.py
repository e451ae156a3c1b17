"""pylibos version: the version, the interpreter and the kernel, in the form a bug report needs."""

from __future__ import annotations

import os
import sys

from pylibos import __version__
from pylibos.cli.options import Option, Parser, UsageError

OPTIONS = (Option("--help -h", "this page"),)


def version_command(words: list[str]) -> int:
    """Print one line."""
    parsed = Parser("version", OPTIONS).parse(words)
    if parsed.rest:
        raise UsageError(f"version takes no argument, but got '{parsed.rest[0]}'", "write: pylibos version")
    system = os.uname()
    python = ".".join(str(number) for number in sys.version_info[:3])
    print(f"pylibos {__version__} (Python {python}, {system.sysname} {system.release} {system.machine})")
    return 0
