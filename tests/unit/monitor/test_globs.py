"""Patterns of a policy."""

from __future__ import annotations

import time

import pytest

from pylibos.monitor.globs import Pattern, PatternError, is_glob


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        (b"/a/b", [b"/a/b"], [b"/a", b"/a/b/c", b"/a/bc", b"/x/a/b"]),
        (b"/a/*", [b"/a/b", b"/a/.x"], [b"/a", b"/a/b/c", b"/b/b"]),
        (b"/a/**", [b"/a/b", b"/a/b/c/d"], [b"/a", b"/b"]),
        (b"/a/**/z", [b"/a/z", b"/a/b/z", b"/a/b/c/z"], [b"/a", b"/z", b"/a/b", b"/a/z/y"]),
        (b"**/x", [b"/x", b"/a/x", b"/a/b/x"], [b"/xx", b"/a/xy"]),
        (b"**/.git/hooks", [b"/r/.git/hooks", b"/.git/hooks"], [b"/r/.git", b"/r/hooks", b"/.git/a/hooks"]),
        (b"/a/?.txt", [b"/a/b.txt"], [b"/a/.txt", b"/a/bb.txt", b"/a/bxtxt"]),
        (b"/[a-c]/[!x]", [b"/a/y", b"/c/z"], [b"/d/y", b"/a/x"]),
        (b"/a/[]x]", [b"/a/]", b"/a/x"], [b"/a/y"]),
        (b"/a/[", [b"/a/["], [b"/a/b"]),
        (b"/a/b*c*d", [b"/a/bcd", b"/a/bxxcyyd"], [b"/a/bdc"]),
        (b"/a\n*", [b"/a\nb"], [b"/a"]),
        (b"/\xff*", [b"/\xff\xfe"], [b"/a"]),
    ],
)
def test_matching(pattern: bytes, yes: list[bytes], no: list[bytes]) -> None:
    compiled = Pattern.parse(pattern)
    assert [path for path in yes if not compiled.matches(path)] == []
    assert [path for path in no if compiled.matches(path)] == []


@pytest.mark.parametrize("text", [b"", b"a", b"*", b"./a", b"/", b"/a/../b", b"/./a", b"/a\0b", b"~/x", b"/[z-a]"])
def test_what_is_not_a_pattern(text: bytes) -> None:
    with pytest.raises(PatternError):
        Pattern.parse(text)


def test_hostile_patterns_stay_cheap() -> None:
    started = time.process_time()
    pattern = Pattern.parse(b"/" + b"**/a*/" * 50 + b"z")
    assert not pattern.matches(b"/a" * 1000)
    stars = Pattern.parse(b"/" + b"*" * 200 + b"b")
    assert not stars.matches(b"/" + b"a" * 255)
    assert time.process_time() - started < 10  # exponential would be years


def test_is_glob() -> None:
    assert is_glob(b"/a*")
    assert is_glob(b"/[a]")
    assert not is_glob(b"/a{b}")


@pytest.mark.parametrize("text", [b"**/.ssh", b"**/.docker/config.json", b"**/a*", b"/a/**", b"/a/b", b"/a", b"**/a/**/b", b"**/x/**"])
@pytest.mark.parametrize("path", [b"", b"/a", b"/a/b", b"/.docker", b"/x/y", b"/.ssh"])
def test_what_is_ignored_matches_and_enters_nothing(text: bytes, path: bytes) -> None:
    pattern = Pattern.parse(text)
    states = pattern.start()
    for name in path.split(b"/")[1:]:
        states = pattern.step(states, name)
    for name in (b"a", b"b", b".ssh", b"config.json", b"x", b".docker", b"other"):
        after = pattern.step(states, name)
        if pattern.ignores(states, name):
            assert not pattern.accepts(after)
            assert not pattern.entered(after)
        elif text == b"**/.ssh" and not path.endswith(b".ssh"):
            assert name == b".ssh"
