"""pylibos check: whether policy files are right, and what they would grant here, without running anything."""

from __future__ import annotations

import os

from pylibos.cli.options import Option, Parser, UsageError, describe

OPTIONS = (
    Option("--quiet -q", "only errors"),
    Option("--help -h", "this page"),
)


def check_command(words: list[str]) -> int:
    """Check each file; print the mounts it would make. The first wrong one ends the command with 125."""
    parsed = Parser("check", OPTIONS).parse(words)
    if parsed.flag("help"):
        print(f"usage: pylibos check [options] POLICY...\n\nOptions:\n{describe(OPTIONS)}\n\nExit code 0: all are right; 125: one is not.")
        return 0
    if not parsed.rest:
        raise UsageError("no policy file given", "write: pylibos check FILE")
    from pylibos.cli.policy import pin, read_policy, refuse_unenforced

    for text in parsed.rest:
        manifest = read_policy(text)
        refuse_unenforced(manifest)
        resolved = pin(manifest)
        if parsed.flag("quiet"):
            continue
        print(f"{text}: right; network {manifest.network.value}")
        for mount in resolved.mount_plan():
            source = os.fsdecode(mount.source) or "(memory)"
            print(f"  {mount.mode.value:<5} {os.fsdecode(mount.guest_path):<28} {source:<28} {mount.origin}".rstrip())
    return 0
