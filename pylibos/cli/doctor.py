"""pylibos doctor: what this host offers, what is missing and how to get it. The finding out is pylibos.runtime.doctor."""

from __future__ import annotations

from pylibos.cli.options import Option, Parser, UsageError, describe
from pylibos.runtime.status import EXIT_INTERNAL

OPTIONS = (
    Option("--json", "one JSON object a finding"),
    Option("--help -h", "this page"),
)


def doctor_command(words: list[str]) -> int:
    """Print the findings. 0 when programs can be run here, 125 when something essential is missing."""
    parsed = Parser("doctor", OPTIONS).parse(words)
    if parsed.flag("help"):
        print(f"usage: pylibos doctor [--json]\n\nOptions:\n{describe(OPTIONS)}\n\nExit code 0: programs can be run here; 125: not.")
        return 0
    if parsed.rest:
        raise UsageError(f"doctor takes no argument, but got '{parsed.rest[0]}'", "write: pylibos doctor [--json]")
    from pylibos.runtime.doctor import report

    found = report()
    if parsed.flag("json"):
        import json

        for finding in found:
            print(json.dumps({name: getattr(finding, name) for name in ("name", "ok", "detail", "essential", "remedy")}))
    else:
        for finding in found:
            mark = "ok" if finding.ok else ("MISSING" if finding.essential else "without")
            print(f"{mark:<8} {finding.name:<24} {finding.detail}")
            if not finding.ok and finding.remedy:
                print(f"{'':8} {'':24} -> {finding.remedy}")
    return EXIT_INTERNAL if any(finding.essential and not finding.ok for finding in found) else 0
