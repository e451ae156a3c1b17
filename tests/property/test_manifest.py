"""Whatever the bytes, the manifest parser gives a manifest or a ManifestError; whatever the rules, the policy agrees with a naive model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

from pylibos.monitor.globs import Pattern, PatternError
from pylibos.monitor.manifest import Manifest, ManifestError, parse_manifest
from pylibos.monitor.manifest_resolve import Invocation, resolve
from pylibos.monitor.policy import EACCES, ENOENT, Mode, Operation, Policy, Protection, Rule

SECTIONS = ["version", "files", "environment", "limits", "network", "tmpfs", "cwd", "on_deny", "system", "typo"]
KEYS = [*SECTIONS, "ro", "rw", "cow", "deny", "hidden", "mount", "set", "pass", "memory", "timeout", "source", "target", "mode"]
TABLES = ["[files]", "[environment]", "[limits]", "[[files.mount]]", "[environment.set]", "[x]", "[[limits]]"]
VALUES = '''"/a" "~/x" "./." "none" "**/x"
"512M" 1 0 -1 true [] {} ["/a","/b*"] [[]] 1979-05-27 1e400 nan "\\u0000" {A="b"} ["LC_*"] 0x10'''
WORDS = st.sampled_from([*VALUES.split(), '"""\n"""', "9" * 5000])


Value = TypeVar("Value")


def attempt(action: Callable[[], Value]) -> tuple[Value | None, str]:
    """(value, "") or (None, message of the ManifestError)."""
    try:
        return action(), ""
    except ManifestError as error:
        return None, str(error)


@st.composite
def documents(draw: st.DrawFn) -> str:
    lines = ["version = 1"] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(0, 8))):
        if draw(st.integers(0, 3)) == 0:
            lines.append(draw(st.sampled_from(TABLES)))
        else:
            lines.append(f"{draw(st.sampled_from(KEYS))} = {draw(WORDS)}")
    return "\n".join(lines)


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    manifest, message = attempt(lambda: parse_manifest(data))
    assert isinstance(manifest, Manifest) != bool(message)
    assert "\n" not in message


@given(documents())
@settings(max_examples=400)
def test_any_document(text: str) -> None:
    manifest, message = attempt(lambda: parse_manifest(text.encode()))
    if manifest is None:
        assert message
        return
    resolved, message = attempt(lambda: resolve(manifest, Invocation(b"/", b"/nonexistent")))
    if resolved is None:
        assert message
        return
    Policy.from_manifest(resolved)
    assert resolved.mount_plan()[0].guest_path == b"/"


@given(st.binary(max_size=40))
def test_any_pattern(text: bytes) -> None:
    try:
        pattern = Pattern.parse(text)
    except PatternError:
        return
    pattern.matches(b"/a/b")


# -- the policy against a model that walks the path each time ------------------------------------------------------------

NAMES = [b"a", b"b", b"c"]
PATHS = st.lists(st.sampled_from(NAMES), max_size=5).map(lambda names: b"/" + b"/".join(names))
RULES = st.lists(st.tuples(PATHS, st.sampled_from(list(Mode)), st.booleans()), max_size=5)
PATTERNS = st.lists(
    st.tuples(st.sampled_from([b"/a", b"/a/b", b"**/c", b"/a/**/c", b"/b/*", b"**/b/c", b"/?/a", b"/a/**"]), st.booleans(), st.booleans()),
    max_size=3,
)


def ancestors(path: bytes) -> list[bytes]:
    """The path and everything above it, nearest first."""
    names = [name for name in path.split(b"/") if name]
    return [b"/" + b"/".join(names[:count]) for count in range(len(names), -1, -1)]


def model(rules: dict[bytes, tuple[Mode, bool]], protections: list[tuple[bytes, bool, bool]], path: bytes) -> tuple[int, int]:
    """(errno of READ, errno of WRITE), straight from the words of the policy module."""

    lifted = next((node for node in ancestors(path) if node in rules and rules[node][1]), None)
    best: tuple[int, int] | None = None
    for text, hidden, default in protections:
        for node in ancestors(path):
            if node == b"/" or not Pattern.parse(text).matches(node):
                continue
            inside_lifted = lifted is not None and default and len(node) <= len(lifted)
            if inside_lifted:
                continue
            errno = ENOENT if hidden else EACCES
            if best is None or errno == ENOENT:
                best = (errno, errno)
    if best is not None:
        return best
    for node in ancestors(path):
        if node in rules:
            mode = rules[node][0]
            if mode is Mode.EMPTY and node != path:
                break
            return 0, 0 if mode is Mode.RW else EACCES
    return ENOENT, ENOENT


@given(RULES, PATTERNS, PATHS)
@settings(max_examples=1500)
def test_policy_never_allows_more_than_the_model(
    rule_list: list[tuple[bytes, Mode, bool]], protections: list[tuple[bytes, bool, bool]], path: bytes
) -> None:
    rules = {place: (mode, explicit) for place, mode, explicit in rule_list}
    policy = Policy(
        [Rule(place, mode, "r", explicit) for place, (mode, explicit) in rules.items()],
        [Protection(Pattern.parse(text), hidden, "p", default) for text, hidden, default in protections],
    )
    for _ in range(2):
        read, write = policy.check(Operation.READ, path).errno, policy.check(Operation.WRITE, path).errno
        expected = model(rules, protections, path)
        assert (read == 0, write == 0) == (expected[0] == 0, expected[1] == 0)


@given(PATHS)
def test_listing_and_lookup_agree(path: bytes) -> None:
    protection = Protection(Pattern.parse(b"**/c"), hidden=True, origin="p")
    policy = Policy([Rule(b"/a/b", Mode.RW, "r"), Rule(b"/b", Mode.EMPTY, "e")], [protection])
    hidden = policy.hidden_names(path)
    for name in NAMES:
        below = policy.check(Operation.QUERY, (b"" if path == b"/" else path) + b"/" + name)
        assert (below.errno == ENOENT) == (hidden is not None and hidden(name))


def test_presets_parse() -> None:
    for preset in Path("pylibos/monitor/presets").glob("*.toml"):
        parse_manifest(preset.read_bytes(), preset.name)
