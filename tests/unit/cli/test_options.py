from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pylibos.cli.options import Option, Parser, UsageError, describe

OPTIONS = (
    Option("--quiet -q", "flag"),
    Option("--size -s", "value", "N"),
    Option("--ro -r", "repeated", "PATH", repeat=True),
    Option("--verbose -v", "flag"),
    Option("--volume -v", "shares a name", "A:B", repeat=True, claims=lambda word: ":/" in word),
    Option("--later -l", metavar="X", refused="nobody wrote it"),
)


def parser(*, interspersed: bool = False) -> Parser:
    return Parser("demo", OPTIONS, interspersed)


@pytest.mark.parametrize(
    ("words", "key", "expected"),
    [
        pytest.param(["--size=3"], "size", ["3"], id="equals"),
        pytest.param(["--size", "3"], "size", ["3"], id="next-word"),
        pytest.param(["-s", "3"], "size", ["3"], id="short"),
        pytest.param(["-s3"], "size", ["3"], id="attached"),
        pytest.param(["-qs3"], "size", ["3"], id="bundle-ends-with-value"),
        pytest.param(["--size="], "size", [""], id="empty-value"),
        pytest.param(["--size", "-3"], "size", ["-3"], id="value-with-dash"),
        pytest.param(["-r", "/a", "--ro=/b"], "ro", ["/a", "/b"], id="repeated"),
        pytest.param(["-v", "/a:/b"], "volume", ["/a:/b"], id="shared-name-with-value"),
        pytest.param(["-v/a:/b"], "volume", ["/a:/b"], id="shared-name-attached"),
        pytest.param(["-v", "ls"], "verbose", [""], id="shared-name-as-flag"),
        pytest.param(["-vv"], "verbose", ["", ""], id="bundle-of-flags"),
    ],
)
def test_values(words: list[str], key: str, expected: list[str]) -> None:
    assert parser().parse(words).values[key] == expected


@pytest.mark.parametrize(
    ("words", "rest"),
    [
        pytest.param(["ls", "-q"], ["ls", "-q"], id="stops-at-the-program"),
        pytest.param(["-q", "--", "-s", "--"], ["-s", "--"], id="stops-at-separator"),
        pytest.param(["-"], ["-"], id="a-dash-is-a-word"),
        pytest.param(["--", ""], [""], id="empty-word"),
        pytest.param([], [], id="nothing"),
    ],
)
def test_rest(words: list[str], rest: list[str]) -> None:
    assert parser().parse(words).rest == rest


def test_interspersed_options_are_found_after_words() -> None:
    parsed = parser(interspersed=True).parse(["a", "-q", "b"])
    assert (parsed.rest, parsed.flag("quiet")) == (["a", "b"], True)


@pytest.mark.parametrize(
    ("words", "message", "remedy"),
    [
        pytest.param(["--sise", "3"], "unknown option --sise", "did you mean --size?", id="did-you-mean"),
        pytest.param(["--zzzzzz"], "unknown option --zzzzzz", "'pylibos demo --help' lists the options", id="nothing-near"),
        pytest.param(["-z"], "unknown option -z", "", id="short"),
        pytest.param(["-qz"], "unknown option -z", "", id="in-a-bundle"),
        pytest.param(["--size"], "--size needs a value", "write --size N", id="value-missing"),
        pytest.param(["--size", "--", "ls"], "--size needs a value", "write --size N", id="separator-is-no-value"),
        pytest.param(["--quiet=1"], "--quiet takes no value", "write --quiet alone", id="flag-with-value"),
        pytest.param(["-s1", "-s2"], "-s was given twice", "give it once", id="twice"),
        pytest.param(["--later", "1"], "--later is not available: nobody wrote it", "leave it out", id="refused"),
        pytest.param(["--late"], "unknown option --late", "lists the options", id="refused-is-not-suggested"),
    ],
)
def test_errors_say_what_and_what_next(words: list[str], message: str, remedy: str) -> None:
    with pytest.raises(UsageError) as caught:
        parser().parse(words)
    assert caught.value.message == message
    assert remedy in caught.value.remedy
    assert caught.value.exit_code == 125


def test_help_lists_what_can_be_used_and_nothing_else() -> None:
    page = describe(OPTIONS)
    assert "--size, -s N" in page
    assert "--later" not in page


@given(st.lists(st.text(alphabet="-=qsrvl:/a", max_size=6), max_size=6), st.lists(st.text(max_size=5), max_size=4))
def test_words_after_the_separator_are_never_touched(before: list[str], after: list[str]) -> None:
    before = [word for word in before if word != "--"]
    try:
        parsed = parser(interspersed=True).parse([*before, "--", *after])
    except UsageError:
        return
    assert parsed.rest[len(parsed.rest) - len(after) :] == after
