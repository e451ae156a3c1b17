"""Policy.check: who wins, what shows, what cannot be carried away."""

from __future__ import annotations

import pytest

from pylibos.monitor.globs import Pattern
from pylibos.monitor.policy import EACCES, ENOENT, Allow, Deny, Mode, Operation, Policy, Protection, Rule

WRITES = [operation for operation in Operation if operation >= Operation.WRITE]
READS = [operation for operation in Operation if operation < Operation.WRITE]


def protection(text: bytes, *, hidden: bool = True, default: bool = False) -> Protection:
    return Protection(Pattern.parse(text), hidden, f"pattern {text.decode()}", default)


def answer(policy: Policy, operation: Operation, path: bytes) -> int:
    decision = policy.check(operation, path)
    assert isinstance(decision, Deny) == (decision.errno != 0)
    assert decision.rule
    return decision.errno


@pytest.mark.parametrize("operation", list(Operation))
@pytest.mark.parametrize("path", [b"/", b"/x", b"/usr", b"/usr/bin/ls", b"/../etc", b"/etc//passwd"])
def test_nothing_is_allowed_without_a_rule(operation: Operation, path: bytes) -> None:
    decision = Policy([]).check(operation, path)
    if path == b"/" and operation in (Operation.QUERY, Operation.LIST):
        return
    assert isinstance(decision, Deny)


@pytest.mark.parametrize(
    ("path", "read", "write"),
    [
        (b"/ro", 0, EACCES),
        (b"/ro/x/y", 0, EACCES),
        (b"/rw/x", 0, 0),
        (b"/rw/fixed", 0, EACCES),
        (b"/rw/fixed/x", 0, EACCES),
        (b"/rw/fixed/open/x", 0, 0),
        (b"/empty/x", ENOENT, ENOENT),
        (b"/empty/shown/x", 0, EACCES),
        (b"/rox", ENOENT, ENOENT),
        (b"/other", ENOENT, ENOENT),
    ],
)
def test_the_longest_rule_wins(path: bytes, read: int, write: int) -> None:
    policy = Policy(
        [
            Rule(b"/rw", Mode.RW, "rw"),
            Rule(b"/rw/fixed/open", Mode.RW, "open"),
            Rule(b"/rw/fixed", Mode.RO, "fixed"),
            Rule(b"/ro", Mode.RO, "ro"),
            Rule(b"/empty", Mode.EMPTY, "empty"),
            Rule(b"/empty/shown", Mode.RO, "shown"),
        ]
    )
    for _ in range(2):  # the second time from the cache
        assert answer(policy, Operation.READ, path) == read
        assert answer(policy, Operation.WRITE, path) == write


def test_an_empty_directory_is_there() -> None:
    policy = Policy([Rule(b"/home", Mode.EMPTY, "empty")])
    assert answer(policy, Operation.QUERY, b"/home") == 0
    assert answer(policy, Operation.LIST, b"/home") == 0
    assert answer(policy, Operation.QUERY, b"/home/u") == ENOENT
    hidden = policy.hidden_names(b"/home")
    assert hidden is not None
    assert hidden(b"u")


def test_the_way_down_to_a_rule() -> None:
    policy = Policy([Rule(b"/home", Mode.EMPTY, "empty"), Rule(b"/home/u/a/b", Mode.RW, "grant")])
    for path in (b"/home/u", b"/home/u/a"):
        assert answer(policy, Operation.LIST, path) == 0
        assert answer(policy, Operation.READ, path) == EACCES
        for operation in WRITES:
            assert answer(policy, operation, path) == EACCES
    hidden = policy.hidden_names(b"/home/u")
    assert hidden is not None
    assert not hidden(b"a")
    assert hidden(b"z")
    assert policy.hidden_names(b"/home/u/a/b") is None


@pytest.mark.parametrize("operation", list(Operation))
@pytest.mark.parametrize("path", [b"/rw/secret", b"/rw/secret/deep/x", b"/rw/a/b/token", b"/rw/a/b/token/x"])
def test_hidden_beats_every_rule(operation: Operation, path: bytes) -> None:
    rules = [Rule(b"/rw", Mode.RW, "rw"), Rule(b"/rw/secret", Mode.RW, "explicit"), Rule(b"/rw/secret/deep", Mode.RW, "explicit")]
    policy = Policy(rules, [protection(b"/rw/secret"), protection(b"**/token")])
    assert answer(policy, operation, path) == ENOENT


def test_denied_shows_its_name_only() -> None:
    policy = Policy([Rule(b"/rw", Mode.RW, "rw")], [protection(b"/rw/*.key", hidden=False)])
    assert answer(policy, Operation.QUERY, b"/rw/x.key") == 0
    for operation in Operation:
        if operation is not Operation.QUERY:
            assert answer(policy, operation, b"/rw/x.key") == EACCES
        assert answer(policy, operation, b"/rw/x.key/below") == EACCES
        assert answer(policy, operation, b"/rw/x.txt") == 0


def test_hidden_beats_denied() -> None:
    policy = Policy([Rule(b"/rw", Mode.RW, "rw")], [protection(b"/rw/x*", hidden=False), protection(b"/rw/xy")])
    assert answer(policy, Operation.QUERY, b"/rw/xz") == 0
    assert answer(policy, Operation.QUERY, b"/rw/xy") == ENOENT


def test_a_grant_lifts_default_patterns_from_itself_only() -> None:
    patterns = [protection(b"**/.ssh", default=True)]
    policy = Policy([Rule(b"/home/u", Mode.RW, "home"), Rule(b"/home/u/.ssh/config", Mode.RO, "config")], patterns)
    assert answer(policy, Operation.READ, b"/home/u/.ssh/config") == 0
    assert answer(policy, Operation.WRITE, b"/home/u/.ssh/config") == EACCES
    assert answer(policy, Operation.READ, b"/home/u/.ssh/id_rsa") == ENOENT
    assert answer(policy, Operation.LIST, b"/home/u/.ssh") == 0
    assert answer(policy, Operation.CREATE, b"/home/u/.ssh/new") == ENOENT
    hidden = policy.hidden_names(b"/home/u/.ssh")
    assert hidden is not None
    assert [name for name in (b"config", b"id_rsa") if not hidden(name)] == [b"config"]
    whole = Policy([Rule(b"/home/u/.ssh", Mode.RO, "ssh")], patterns)
    assert answer(whole, Operation.READ, b"/home/u/.ssh/id_rsa") == 0


def test_a_grant_lifts_no_pattern_of_a_policy_file_that_matches_as_well() -> None:
    patterns = [protection(b"/a", default=True), protection(b"/a", hidden=False)]
    policy = Policy([Rule(b"/a", Mode.RW, "a"), Rule(b"/a/b", Mode.RW, "b")], patterns)
    for path in (b"/a", b"/a/x", b"/a/b", b"/a/b/x"):
        assert answer(policy, Operation.READ, path) == EACCES


def test_default_rules_do_not_lift_patterns() -> None:
    policy = Policy([Rule(b"/etc/ssl/private", Mode.RO, "default", explicit=False)], [protection(b"/etc/ssl/private", default=True)])
    assert answer(policy, Operation.READ, b"/etc/ssl/private/key") == ENOENT


@pytest.mark.parametrize("path", [b"/rw/a", b"/rw/a/.git", b"/rw/a/b"])
def test_what_protects_something_below_cannot_be_renamed(path: bytes) -> None:
    rules = [Rule(b"/rw", Mode.RW, "rw"), Rule(b"/rw/a/b/fixed", Mode.RO, "fixed")]
    policy = Policy(rules, [protection(b"**/.git/hooks", hidden=False)])
    assert answer(policy, Operation.RENAME, path) == EACCES
    assert answer(policy, Operation.CREATE, path + b"/new") == 0
    assert answer(policy, Operation.RENAME, b"/rw/other") == 0


def test_the_grant_itself_stays() -> None:
    policy = Policy([Rule(b"/rw", Mode.RW, "rw")])
    assert answer(policy, Operation.RENAME, b"/rw") == EACCES
    assert answer(policy, Operation.DELETE, b"/rw") == EACCES
    assert answer(policy, Operation.CHANGE, b"/rw") == 0


def test_hints_say_which_flag() -> None:
    policy = Policy([Rule(b"/ro", Mode.RO, "--ro /ro")], [protection(b"/ro/no")])
    assert policy.check(Operation.READ, b"/x").hint == "--ro"
    assert policy.check(Operation.WRITE, b"/x").hint == "--rw"
    assert policy.check(Operation.WRITE, b"/ro/x").hint == "--rw"
    assert policy.check(Operation.READ, b"/ro/no").hint == ""
    assert policy.check(Operation.READ, b"/ro/x") == Allow("--ro /ro")


def test_later_rules_replace_earlier_ones() -> None:
    policy = Policy([Rule(b"/x", Mode.RO, "first"), Rule(b"/x", Mode.RW, "second")])
    assert answer(policy, Operation.WRITE, b"/x/y") == 0


def test_deep_paths_need_no_recursion() -> None:
    policy = Policy([Rule(b"/rw", Mode.RW, "rw")], [protection(b"/rw/**/z")])
    deep = b"/rw" + b"/a" * 2000
    assert answer(policy, Operation.READ, deep) == 0
    assert answer(policy, Operation.READ, deep + b"/z") == ENOENT


def test_the_cache_is_bounded() -> None:
    policy = Policy([Rule(b"/rw", Mode.RW, "rw")], [protection(b"**/x?")])
    for number in range(20_000):
        assert answer(policy, Operation.READ, b"/rw/%d/f" % number) == 0
        answer(policy, Operation.READ, b"/rw/one/%d" % number)
    assert len(policy._directories) <= 8192
    assert len(policy._directories[b"/rw/one"].names) <= 512
    assert answer(policy, Operation.READ, b"/rw/one/xy") == ENOENT


@pytest.mark.parametrize("mode", list(Mode))
def test_a_rule_for_the_root(mode: Mode) -> None:
    policy = Policy([Rule(b"/", mode, "root")])
    assert answer(policy, Operation.QUERY, b"/") == 0
    assert (answer(policy, Operation.READ, b"/x/y") == 0) == (mode is not Mode.EMPTY)
    assert (answer(policy, Operation.WRITE, b"/x/y") == 0) == (mode is Mode.RW)
