"""pylibos profile: the policies that come with PyLibOS, as files one can read, copy and change."""

from __future__ import annotations

import os

from pylibos.cli.options import Option, Parser, UsageError, describe

OPTIONS = (Option("--help -h", "this page"),)


def first_comment(text: str) -> str:
    """The first line of a policy file, without its comment mark: what it is for."""
    return text.partition("\n")[0].lstrip("# ")


def profile_command(words: list[str]) -> int:
    """`pylibos profile list` and `pylibos profile show NAME`."""
    parsed = Parser("profile", OPTIONS).parse(words)
    if parsed.flag("help"):
        print(f"usage: pylibos profile list | show NAME\n\nOptions:\n{describe(OPTIONS)}")
        return 0
    from pylibos.cli.policy import PRESET_DIRECTORY, policy_path, preset_names

    match parsed.rest:
        case ["list"]:
            for name in preset_names():
                with open(os.path.join(PRESET_DIRECTORY, f"{name}.toml"), encoding="utf-8") as file:
                    print(f"{name:<12} {first_comment(file.read())}")
        case ["show", name]:
            with open(policy_path(name), encoding="utf-8", errors="replace") as file:
                print(file.read(), end="")
        case _:
            raise UsageError("profile knows two commands: list and show NAME", "write: pylibos profile list")
    return 0
