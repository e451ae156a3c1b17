"""pylibos syscalls: the support table, straight from the rows the handlers registered (docs/syscalls.md is made from the same rows)."""

from __future__ import annotations

from pylibos.cli.options import Option, Parser, UsageError, describe, nearest

SUPPORT = ("forwarded", "emulated", "partial", "refused", "missing")
OPTIONS = (
    Option("--support", f"only rows of this kind: {', '.join(SUPPORT)}", "KIND", repeat=True),
    Option("--json", "one JSON object a row"),
    Option("--summary", "only the counts"),
    Option("--help -h", "this page"),
)


def syscalls_command(words: list[str]) -> int:
    """Print the rows asked for (by name as arguments, by kind with --support) and the counts of each kind."""
    parsed = Parser("syscalls", OPTIONS).parse(words)
    if parsed.flag("help"):
        print(f"usage: pylibos syscalls [options] [NAME...]\n\nOptions:\n{describe(OPTIONS)}")
        return 0
    for kind in parsed.all("support"):
        if kind not in SUPPORT:
            raise UsageError(f"--support {kind}: no such kind", nearest(kind, list(SUPPORT)) or f"choose one of: {', '.join(SUPPORT)}")
    from pylibos.emulation.syscalls.all import TABLE

    rows = [TABLE[number] for number in sorted(TABLE)]
    names = {row.name for row in rows}
    for name in parsed.rest:
        if name not in names:
            raise UsageError(f"no system call '{name}'", nearest(name, list(names)) or "'pylibos syscalls' lists all")
    chosen = [
        row
        for row in rows
        if (not parsed.rest or row.name in parsed.rest) and (not parsed.all("support") or row.support.value in parsed.all("support"))
    ]
    if parsed.flag("json"):
        import json

        for row in chosen:
            fields = {"number": row.number, "name": row.name, "support": row.support.value, "route": row.route.value, "note": row.note}
            print(json.dumps(fields))
        return 0
    if not parsed.flag("summary"):
        for row in chosen:
            print(f"{row.number:>4}  {row.name:<26} {row.support.value:<10} {row.route.value:<8} {row.note}".rstrip())
    if not parsed.rest:
        counts = ((kind, sum(row.support.value == kind for row in rows)) for kind in SUPPORT)
        print(f"{len(rows)} calls: " + ", ".join(f"{count} {kind}" for kind, count in counts if count))
    return 0
