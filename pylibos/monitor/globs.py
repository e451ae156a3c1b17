"""Path patterns of a policy: parsed into components and matched one component at a time.

What it is: the glob dialect of policy files. ``*`` ``?`` ``[abc]`` ``[!a-z]`` match within one component, ``**`` as a whole component
matches any number of components. A pattern starts with ``/`` or ``**/``. Must not know files: matching is on names alone.
Invariants: a path is matched by a non-deterministic automaton whose state is a set of component indexes, so a directory's state is
computed once and each name below costs one step; no pattern can make matching take more than (components x components) steps.
Source: gitignore(5) for ``**``, glob(7) for the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pylibos.abi.late import Late
from pylibos.abi.record import record

if TYPE_CHECKING:
    import re
    from typing import TypeAlias

    Component: TypeAlias = "bytes | re.Pattern[bytes] | _OneStar | None"
else:
    re = Late("re")

ANY_DEPTH: Final = None
"""The component ``**``."""

States = tuple[int, ...]
_ANYWHERE: Final = (0, 1)
"""Where a pattern that begins with ``**`` is before its first name."""


class PatternError(ValueError):
    """The pattern is not one."""


def is_glob(text: bytes) -> bool:
    """Whether a path has wildcards."""
    return b"*" in text or b"?" in text or b"[" in text


class _OneStar:
    """A component like ``name*`` or ``*.key``: what most patterns are, without loading ``re`` for it."""

    __slots__ = ("_head", "_least", "_tail")

    def __init__(self, head: bytes, tail: bytes) -> None:
        self._head, self._tail = head, tail
        self._least = len(head) + len(tail)

    def fullmatch(self, name: bytes) -> bool:
        """Whether the whole name matches."""
        return len(name) >= self._least and name.startswith(self._head) and name.endswith(self._tail)


def _translate(component: bytes) -> re.Pattern[bytes] | _OneStar:
    """One component with wildcards as something that can match."""
    head, star, tail = component.partition(b"*")
    if star and not is_glob(head) and not is_glob(tail):
        return _OneStar(head, tail)
    out: list[bytes] = []
    index = 0
    while index < len(component):
        char = component[index : index + 1]
        index += 1
        if char == b"*":
            out.append(b".*")
        elif char == b"?":
            out.append(b".")
        elif char == b"[" and (end := component.find(b"]", index + 2 if component[index : index + 1] in (b"!", b"^") else index + 1)) > 0:
            inside = component[index:end].replace(b"\\", b"\\\\").replace(b"[", b"\\[").replace(b"&&", b"&\\&").replace(b"~~", b"~\\~")
            inside = inside.replace(b"||", b"|\\|").replace(b"--", b"-\\-")
            negated = inside[:1] in (b"!", b"^")
            out.append(b"[" + (b"^" + inside[1:] if negated else inside) + b"]")
            index = end + 1
        else:
            out.append(re.escape(char))
    try:
        return re.compile(b"".join(out), re.DOTALL)
    except re.error as error:
        raise PatternError(str(error)) from None


@record
class Pattern:
    """A compiled pattern. components: literal names, expressions for one name, or ANY_DEPTH."""

    text: bytes
    components: tuple[Component, ...]

    @classmethod
    def parse(cls, text: bytes) -> Pattern:
        """Compile. PatternError for relative patterns and unbalanced brackets."""
        relative = text.startswith(b"**/")
        if not (text.startswith(b"/") or relative) or b"\0" in text:
            raise PatternError("a pattern starts with / or **/")
        parts = [part for part in text.split(b"/") if part]
        if any(part in (b".", b"..") for part in parts):
            raise PatternError("a pattern has no . or .. components")
        components: list[Component] = []
        for part in parts:
            if part == b"**":
                if not components or components[-1] is not ANY_DEPTH:
                    components.append(ANY_DEPTH)
            else:
                while b"**" in part:
                    part = part.replace(b"**", b"*")  # noqa: PLW2901 - equal, and shorter
                components.append(_translate(part) if is_glob(part) else part)
        if components and components[-1] is ANY_DEPTH:
            components.append(_translate(b"*"))
        if not components:
            raise PatternError("a pattern names something")
        return cls(text, tuple(components))

    def start(self) -> States:
        """The state before any component."""
        return self._close({0})

    def _close(self, states: set[int]) -> States:
        """ANY_DEPTH may match nothing."""
        components = self.components
        return tuple(sorted(states | {state + 1 for state in states if state < len(components) and components[state] is ANY_DEPTH}))

    def step(self, states: States, name: bytes) -> States:
        """The state after one more component. Holds len(components) when the whole path matched."""
        components = self.components
        after: set[int] = set()
        for state in states:
            if state >= len(components):
                continue
            component = components[state]
            if component is ANY_DEPTH:
                after.add(state)
            elif component == name or (not isinstance(component, bytes) and component.fullmatch(name)):
                after.add(state + 1)
        if not after:
            return ()
        if len(after) == 1 and len(states) == 2 and after == {states[0]} and components[states[0]] is ANY_DEPTH:
            return states  # **/name, and this was another name: by far the most frequent step
        return self._close(after)

    def ignores(self, states: States, name: bytes) -> bool:
        """Whether name is nothing to this pattern, which waits for another literal one: step() would match and enter nothing. May be
        False all the same."""
        components = self.components
        if len(states) == 1:
            state = states[0]
        elif states == _ANYWHERE and components[0] is ANY_DEPTH:
            state = 1
        else:
            return False
        literal = components[state] if state < len(components) else None
        return isinstance(literal, bytes) and literal != name

    def accepts(self, states: States) -> bool:
        """Whether these states mean a whole match."""
        return len(self.components) in states

    def entered(self, states: States) -> bool:
        """Whether a named component (not only **) has been matched on the way here, and more must follow."""
        end = len(self.components)
        return any(0 < state < end and self.components[state - 1] is not ANY_DEPTH for state in states)

    def matches(self, path: bytes) -> bool:
        """Whether the absolute path matches."""
        states = self.start()
        for name in path.split(b"/")[1:]:
            states = self.step(states, name)
        return self.accepts(states)
