"""Decoders of option values: guest paths, environment variables, ids. Pure functions; each raises UsageError with a remedy.

What a policy file can say too (grants, durations) is decoded by pylibos.monitor.manifest, so that both mean the same.
"""

from __future__ import annotations

import os

from pylibos.cli.options import UsageError

PASSED_ALWAYS = ("TERM", "LANG", "TZ")
NEVER_PASSED_PREFIXES = ("LD_", "PYTHON", "GCONV_PATH", "BASH_FUNC_")
SECRET_WORDS = ("KEY", "SECRET", "TOKEN", "PASSWORD", "PASSWD", "CREDENTIAL", "COOKIE")


def guest_path(text: str, option: str) -> str:
    """An absolute guest path, normalised."""
    if not text.startswith("/") or "\0" in text:
        raise UsageError(f"{option} {text}: a path inside the guest starts with /", f"write {option} /{text}")
    return os.path.normpath(text).replace("//", "/")


def is_secret(name: str) -> bool:
    """Whether a variable's name says that its value is nobody else's business."""
    upper = name.upper()
    return any(word in upper for word in SECRET_WORDS)


def passed(pattern: str, environment: dict[str, str]) -> dict[str, str]:
    """Host variables a name or glob lets through. A glob never lets through what steers loaders and interpreters or names a secret."""
    if not any(character in pattern for character in "*?["):
        return {pattern: environment[pattern]} if pattern in environment else {}
    import fnmatch

    return {
        name: value
        for name, value in environment.items()
        if fnmatch.fnmatchcase(name, pattern) and not name.startswith(NEVER_PASSED_PREFIXES) and not is_secret(name)
    }


def variable(text: str, environment: dict[str, str]) -> tuple[str, str]:
    """'K=V' as (K, V); 'K' with the host's value."""
    name, equals, value = text.partition("=")
    if not name:
        raise UsageError(f"-e {text}: the variable has no name", "write -e NAME=VALUE or -e NAME")
    if equals:
        return name, value
    if name not in environment:
        raise UsageError(f"-e {name}: the variable is not set here", f"write -e {name}=VALUE")
    return name, environment[name]


def identifier(text: str | None, option: str) -> int | None:
    """A uid or gid: 0..2**32-2."""
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or int(text) >= 2**32 - 1:
        raise UsageError(f"{option} {text}: not a number from 0 to 4294967294", f"write {option} 1000")
    return int(text)
