"""pylibos reg query: the configuration manager's registry, in the shape of Windows' reg.exe."""

from __future__ import annotations

from pylibos.cli.options import Option, Parser, UsageError, describe

OPTIONS = (
    Option("--subtree -s", "everything below the key, too"),
    Option("--value", "only values of this name", "NAME"),
    Option("--help -h", "this page"),
)
HELP = r"""usage: pylibos reg query [options] [KEY]

KEY is a path such as HKLM\System\Limits or \Registry\Machine\System (quote it: the shell eats backslashes; / works too).
"""


def registry_command(words: list[str]) -> int:
    """`pylibos reg query KEY`: the key's values and the names of its subkeys."""
    parsed = Parser("reg", OPTIONS).parse(words)
    if parsed.flag("help"):
        print(f"{HELP}\nOptions:\n{describe(OPTIONS)}")
        return 0
    if not parsed.rest or parsed.rest[0] != "query" or len(parsed.rest) > 2:
        raise UsageError("reg knows one command: query", r"write: pylibos reg query 'HKLM\System'")
    from pylibos.cli.executive import idle_executive
    from pylibos.emulation.config_manager.registry import value_text
    from pylibos.emulation.object_manager.errors import StatusError

    path = (parsed.rest[1] if len(parsed.rest) > 1 else "HKLM").replace("/", "\\")
    _, registry = idle_executive()
    try:
        top = registry.open_key(path)
    except StatusError as error:
        raise UsageError(f"{path}: {error.status.name}", r"'pylibos reg query -s HKLM' lists everything there is") from None
    name = parsed.last("value")
    for key in top.walk() if parsed.flag("subtree") else (top,):
        values = [value for value in key.all_values() if name is None or value.name.lower() == name.lower()]
        if values or (name is None and key is top):
            print(key.path())
        for value in values:
            print(f"    {value.name:<20} {value.kind.name:<12} {value_text(value)}")
    if name is None and not parsed.flag("subtree"):
        for key in top.subkeys():
            print(key.path())
    return 0
