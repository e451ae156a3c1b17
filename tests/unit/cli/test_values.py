from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylibos.cli.options import UsageError
from pylibos.cli.values import guest_path, identifier, is_secret, passed, variable

HOST = {"LC_ALL": "C", "LC_TIME": "de", "LD_PRELOAD": "/evil.so", "PYTHONPATH": "/x", "MY_API_KEY": "k", "GITHUB_TOKEN": "t"}
HOST["EDITOR"] = "vi"


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        pytest.param("LC_*", {"LC_ALL", "LC_TIME"}, id="glob"),
        pytest.param("*", {"LC_ALL", "LC_TIME", "EDITOR"}, id="everything-but-loaders-and-secrets"),
        pytest.param("LD_*", set(), id="loader-settings"),
        pytest.param("EDITOR", {"EDITOR"}, id="name"),
        pytest.param("GITHUB_TOKEN", {"GITHUB_TOKEN"}, id="a-secret-named-in-full-is-meant"),
        pytest.param("ABSENT", set(), id="absent"),
    ],
)
def test_passed(pattern: str, names: set[str]) -> None:
    assert set(passed(pattern, HOST)) == names


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "npm_token", "DB_PASSWORD", "SESSION_COOKIE"])
def test_secret_names(name: str) -> None:
    assert is_secret(name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("A=b", ("A", "b")), ("A=", ("A", "")), ("A=b=c", ("A", "b=c")), ("EDITOR", ("EDITOR", "vi")), ("MY_API_KEY", ("MY_API_KEY", "k"))],
)
def test_variable(text: str, expected: tuple[str, str]) -> None:
    assert variable(text, HOST) == expected


@pytest.mark.parametrize("text", ["=b", "", "ABSENT"])
def test_variable_refused(text: str) -> None:
    with pytest.raises(UsageError):
        variable(text, HOST)


@pytest.mark.parametrize(("text", "expected"), [("/", "/"), ("/a/../b", "/b"), ("//a", "/a"), ("/a/", "/a")])
def test_guest_path(text: str, expected: str) -> None:
    assert guest_path(text, "--cwd") == expected


@pytest.mark.parametrize("text", ["", "a", "./a", "/a\0b"])
def test_guest_path_refused(text: str) -> None:
    with pytest.raises(UsageError):
        guest_path(text, "--cwd")


@pytest.mark.parametrize("text", ["-1", "4294967295", "x", "", "1.0", "\u0661"])
def test_identifier_refused(text: str) -> None:
    with pytest.raises(UsageError):
        identifier(text, "--uid")


@given(st.integers(0, 2**32 - 2))
def test_identifier(number: int) -> None:
    assert identifier(str(number), "--uid") == number
