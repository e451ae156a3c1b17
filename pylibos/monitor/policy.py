"""The security monitor's decision: may the sandbox do this to that host path?

What it is: a compiled, immutable policy and its one question, Policy.check. Owns the decision procedure and its cache. Must not touch
the host: it decides on names (linux_paths makes sure a name cannot mean something else), so it is a pure function of its rules.

How a path is decided, first match wins:
1. a ``hidden`` pattern matches the path or a directory above it: ENOENT for everything;
2. a ``deny`` pattern does: the name is visible, everything else is EACCES;
3. the longest rule that is the path or a directory above it: ro, rw or empty (the directory is there, its contents are not);
4. the path lies above a rule: it can be looked up and listed (only the way down is shown);
5. ENOENT.
A rule the person gave lifts a *default* hidden pattern that matches its path or a directory above, never a pattern of a policy file.

Invariants: nothing is allowed without a rule. A directory above a rule or above something a pattern protects cannot be renamed: that
would carry the protected thing out from under its rule. Answers are shared objects, so a check allocates nothing once its directory is
known (0.3 us).

An adversarial guest chooses the paths: the cache is bounded, work per check is linear in the path for a new directory and constant for a
known one, and recursion is not used (a path may have 2,000 components).
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

from pylibos.abi.record import record
from pylibos.monitor.globs import Pattern, States

if TYPE_CHECKING:
    from pylibos.monitor.manifest_resolve import ResolvedManifest

ENOENT: Final = 2
EACCES: Final = 13

_CACHE_LIMIT: Final = 8192
"""Directories remembered: a large build tree has some thousand; each entry is about 400 bytes."""

_NAMES_LIMIT: Final = 512


class Operation(enum.IntEnum):
    """What is asked for. Everything from WRITE on changes the host."""

    QUERY = 0
    LIST = 1
    READ = 2
    EXECUTE = 3
    WRITE = 4
    CREATE = 5
    DELETE = 6
    RENAME = 7
    LINK = 8
    CHANGE = 9


class NetworkOperation(enum.IntEnum):
    """What is asked of the network; decided by monitor/network/rules.py."""

    CONNECT = 10
    RESOLVE = 11


AnyOperation = Operation | NetworkOperation


@record
class Allow:
    """Yes. rule: which rule said so."""

    rule: str
    errno: int = 0
    hint: str = ""


@record
class Deny:
    """No. errno is what the caller gets; hint is the flag that would allow it ("" when none would)."""

    rule: str
    errno: int
    hint: str


Decision = Allow | Deny
Verdict = tuple[Decision, ...]
"""One decision per Operation."""


class Mode(enum.Enum):
    """What a rule allows below its path."""

    RO = "ro"
    RW = "rw"
    EMPTY = "empty"


@record
class Rule:
    """Everything at and below path (a pinned host path) has this mode. origin: where the rule comes from, for people."""

    path: bytes
    mode: Mode
    origin: str
    explicit: bool = True
    """Given by a person, not one of the defaults."""
    reveals: bool = False
    """Default hidden patterns do not hold below: what is there is the guest's own system, secrets included."""


@record
class Protection:
    """A pattern whose matches, and everything below them, are hidden (ENOENT) or denied (EACCES)."""

    pattern: Pattern
    hidden: bool
    origin: str
    default: bool = False


def _verdict(read: Decision, write: Decision, *, query: Decision | None = None, moves: Decision | None = None) -> Verdict:
    """A verdict from its parts: query covers QUERY and LIST, moves covers DELETE and RENAME."""
    names = query or read
    places = moves or write
    return (names, names, read, read, write, write, places, places, write, write)


_OUTSIDE: Final = Deny("default: not in the view", ENOENT, "--ro")
_OUTSIDE_WRITE: Final = Deny("default: not in the view", ENOENT, "--rw")
_HIDDEN: Final = _verdict(_OUTSIDE, _OUTSIDE_WRITE)
_ON_THE_WAY: Final = _verdict(
    Deny("default: not in the view", EACCES, "--ro"),
    Deny("default: not in the view", EACCES, "--rw"),
    query=Allow("on the way to a rule"),
)


class _Compiled:
    """A rule's verdicts: at its own path, and below it."""

    __slots__ = ("at", "below", "explicit", "reveals")

    def __init__(self, rule: Rule) -> None:
        self.explicit = rule.explicit
        self.reveals = rule.reveals
        allow = Allow(rule.origin)
        pinned = Deny(f"{rule.origin}: the granted path itself stays", EACCES, "")
        refuse = Deny(f"{rule.origin}: read-only", EACCES, "--rw")
        if rule.mode is Mode.RW:
            self.at = _verdict(allow, allow, moves=pinned)
            self.below = _verdict(allow, allow)
        elif rule.mode is Mode.RO:
            self.at = self.below = _verdict(allow, refuse)
        else:
            self.at = _verdict(allow, refuse)
            outside = f"{rule.origin}: contents hidden"
            self.below = _verdict(Deny(outside, ENOENT, "--ro"), Deny(outside, ENOENT, "--rw"))


class _Protected:
    """A protection's verdicts: at the path that matches, and below it."""

    __slots__ = ("at", "below", "default", "hidden", "pattern")

    def __init__(self, protection: Protection) -> None:
        self.pattern = protection.pattern
        self.hidden = protection.hidden
        self.default = protection.default
        hint = "" if not protection.default else "--ro"
        write_hint = "" if not protection.default else "--rw"
        errno = ENOENT if protection.hidden else EACCES
        read, write = Deny(protection.origin, errno, hint), Deny(protection.origin, errno, write_hint)
        self.below = _verdict(read, write)
        self.at = self.below if protection.hidden else (Allow(protection.origin), *self.below[1:])


class _Node:
    """The tree of rules, one node per component."""

    __slots__ = ("below", "rule")

    def __init__(self) -> None:
        self.below: dict[bytes, _Node] = {}
        self.rule: _Compiled | None = None


_Live = tuple[tuple[_Protected, States], ...]


class _Shut:
    """The protections a path is under: the one of a policy file, which nothing lifts, and the default one."""

    __slots__ = ("default", "effective", "fixed")

    def __init__(self, fixed: _Protected | None, default: _Protected | None) -> None:
        self.fixed = fixed
        self.default = default
        # Hidden beats denied; the default ones are all of the hidden kind.
        self.effective = fixed if fixed is not None and fixed.hidden else default or fixed

    def below(self, matched: Iterable[_Protected], *, lifted: bool) -> _Shut:
        """The same one component further down, where these matched; lifted: a person's rule names that very path."""
        fixed = self.fixed
        default = None if lifted else self.default
        for protected in matched:
            if protected.default:
                if default is None and not lifted:
                    default = protected
            elif fixed is None or (protected.hidden and not fixed.hidden):
                fixed = protected
        return self if fixed is self.fixed and default is self.default else _Shut(fixed, default)


_OPEN: Final = _Shut(None, None)


class _Directory:
    """What is known of one directory: enough to decide any name in it.

    verdict: of a name nothing special is known about. names: verdicts of special names. globs: whether names must be matched, too.
    node: place in the tree of rules, or None. live: the protections that may still match below, with their states.
    cover: the rule whose subtree this is. shut: the protections it is under. ordinary: what is known of every directory in here whose
    name is not special; nearly all directories of a system share one.
    """

    __slots__ = ("cover", "globs", "live", "names", "node", "ordinary", "shut", "verdict")

    def __init__(self, cover: _Compiled | None, shut: _Shut, node: _Node | None, live: _Live) -> None:
        self.cover = cover
        self.shut = shut
        self.node = node
        self.live = live
        self.names: dict[bytes, Verdict] = {}
        self.globs = False
        self.ordinary: _Directory | None = None
        if shut.effective is not None:
            self.verdict = shut.effective.below
        else:
            self.verdict = _HIDDEN if cover is None else cover.below


class Policy:
    """A compiled policy. Immutable apart from its cache."""

    __slots__ = ("_directories", "_protected", "_root")

    def __init__(self, rules: Iterable[Rule], protections: Sequence[Protection] = ()) -> None:
        """rules: later ones replace earlier ones of the same path. Paths are absolute and in normal form."""
        self._root = _Node()
        for rule in rules:
            node = self._root
            for name in rule.path.split(b"/")[1:]:
                if name:
                    node = node.below.setdefault(name, _Node())
            node.rule = _Compiled(rule)
        # Hidden before denied: both may match, and what is hidden must not show.
        ordered = sorted(protections, key=lambda protection: (not protection.hidden, protection.default))
        self._protected = [_Protected(protection) for protection in ordered]
        self._directories: dict[bytes, _Directory] = {}

    @classmethod
    def from_manifest(cls, manifest: ResolvedManifest) -> Policy:
        """The policy of a resolved manifest."""
        return cls(manifest.rules, manifest.protections)

    def check(self, operation: int, path: bytes) -> Decision:
        """Allow or Deny. path: absolute and in normal form (linux_paths.host_path has checked that); it is compared literally."""
        head, _, name = path.rpartition(b"/")
        directory = self._directories.get(head)
        if directory is None:
            directory = self._load(head)
        verdict = directory.names.get(name)
        if verdict is None:
            verdict = self._decide(directory, name) if directory.globs else directory.verdict
        return verdict[operation]

    def hidden_names(self, directory: bytes) -> Callable[[bytes], bool] | None:
        """A predicate for the names a listing of directory must leave out; None when there are none."""
        prefix = b"" if directory == b"/" else directory
        known = self._directories.get(prefix) or self._load(prefix)
        plain = known.verdict[0].__class__ is Allow
        if plain and not known.globs and all(verdict[0].__class__ is Allow for verdict in known.names.values()):
            return None
        check = self.check
        return lambda name: check(Operation.QUERY, prefix + b"/" + name).errno == ENOENT

    # -- building the cache ------------------------------------------------------------------------------------------

    def _load(self, path: bytes) -> _Directory:
        """The entry of a directory (b"" is the root), made from its parents' without recursion."""
        directories = self._directories
        missing = []
        while path and path not in directories:
            missing.append(path)
            path = path.rpartition(b"/")[0]
        directory = directories.get(path)
        if directory is None:
            directory = self._make_root()
            directories[b""] = directory
        while missing:
            if len(directories) >= _CACHE_LIMIT:
                directories.clear()
            path = missing.pop()
            directory = self._below(directory, path.rpartition(b"/")[2])
            directories[path] = directory
        return directory

    def _make_root(self) -> _Directory:
        live = tuple((protected, protected.pattern.start()) for protected in self._protected)
        root = _Directory(self._root.rule, _OPEN, self._root, live)
        self._fill(root)
        root.names[b""] = _ON_THE_WAY if self._root.rule is None else self._root.rule.at
        return root

    def _below(self, above: _Directory, name: bytes) -> _Directory:
        """The entry of the directory called name in above."""
        if above.globs or name in above.names:
            return self._make_below(above, name)
        if above.ordinary is None:
            above.ordinary = self._make_below(above, name)
        return above.ordinary

    def _make_below(self, above: _Directory, name: bytes) -> _Directory:
        node = above.node.below.get(name) if above.node is not None else None
        rule = node.rule if node is not None else None
        stepped = [(protected, protected.pattern.step(states, name)) for protected, states in above.live]
        matched = [protected for protected, states in stepped if protected.pattern.accepts(states)]
        shut = above.shut.below(matched, lifted=rule is not None and rule.explicit)
        # What matched up to here may be lifted; the same patterns may match again further down.
        live = tuple((protected, states) for protected, states in stepped if states)
        if rule is not None and rule.reveals:
            live = tuple((protected, states) for protected, states in live if not protected.default)
        cover = rule or above.cover
        if node is None and above.node is None and shut is above.shut and cover is above.cover and live == above.live:
            return above  # every name in it is decided alike, at any depth
        made = _Directory(cover, shut, node, live)
        self._fill(made)
        return made

    def _fill(self, directory: _Directory) -> None:
        """Put the verdicts of all names that are special for themselves into directory.names."""
        names = set(directory.node.below) if directory.node is not None else set()
        for protected, states in directory.live:
            components = protected.pattern.components
            for state in states:
                component = components[state] if state < len(components) else None
                if isinstance(component, bytes):
                    names.add(component)
                elif component is not None:
                    directory.globs = True
        for name in names:
            directory.names[name] = self._decide(directory, name)

    def _decide(self, directory: _Directory, name: bytes) -> Verdict:
        """The verdict of one name: the procedure of the module's docstring."""
        node = directory.node.below.get(name) if directory.node is not None else None
        rule = node.rule if node is not None else None
        guarded = bool(node is not None and node.below)
        matched = []
        for protected, states in directory.live:
            if protected.pattern.ignores(states, name):
                continue
            after = protected.pattern.step(states, name)
            if protected.pattern.accepts(after):
                matched.append(protected)
            guarded = guarded or protected.pattern.entered(after)
        shut = directory.shut.below(matched, lifted=rule is not None and rule.explicit)
        closed = shut.effective
        if closed is not None:
            from_above = closed is directory.shut.fixed or closed is directory.shut.default
            verdict = closed.below if from_above else closed.at
        else:
            verdict = rule.at if rule is not None else directory.verdict
        if node is not None and node.below and verdict[Operation.QUERY].__class__ is Deny and _way_down(node, shut):
            verdict = _ON_THE_WAY
        if guarded and verdict[Operation.RENAME].__class__ is Allow:
            pinned = Deny("a rule protects something below", EACCES, "")
            verdict = (*verdict[: Operation.RENAME], pinned, *verdict[Operation.RENAME + 1 :])
        if directory.globs and name not in directory.names and len(directory.names) < _NAMES_LIMIT:
            directory.names[name] = verdict
        return verdict


def _way_down(node: _Node, shut: _Shut) -> bool:
    """Whether a rule below makes a hidden directory passable: yes, unless a pattern of a policy file hides it."""
    if shut.fixed is not None:
        return False
    stack = list(node.below.values())
    while stack:
        below = stack.pop()
        if below.rule is not None and (below.rule.explicit or shut.default is None):
            return True
        stack.extend(below.below.values())
    return False
