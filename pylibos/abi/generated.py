"""Small generated functions (constructors of records and named tuples), whose compiled code may be known already.

Compiling a line of source takes 50 us, and a run makes fifty such functions before its program starts. ``known`` maps a source text to its
compiled code: bundle.py fills it with what an earlier run has compiled, and keeps what this one compiles. Must not know what the text is.
"""

from __future__ import annotations

from types import CodeType

known: dict[str, CodeType] = {}


def run_source(text: str, scope: dict[str, object]) -> None:
    """exec(text, scope). text: ours, made of identifiers of a class statement."""
    code = known.get(text)
    if code is None:
        code = known[text] = compile(text, "<generated>", "exec")
    exec(code, scope)  # noqa: S102 - see above: nothing from outside
