"""pylibos objects: browse the object manager's name space, as WinObj does on Windows."""

from __future__ import annotations

from pylibos.cli.options import Option, Parser, UsageError, describe

OPTIONS = (
    Option("--types", "only objects of this type", "TYPE", repeat=True),
    Option("--json", "one JSON object a row"),
    Option("--help -h", "this page"),
)


def objects_command(words: list[str]) -> int:
    r"""Print the tree below a path (default \): path, type, handles, references, what it is."""
    parsed = Parser("objects", OPTIONS).parse(words)
    if parsed.flag("help"):
        print(
            "usage: pylibos objects [options] [PATH]\n\n"
            "PATH is a name such as \\Device\\Null (quote it: the shell eats backslashes; / works too).\n\n"
            f"Options:\n{describe(OPTIONS)}"
        )
        return 0
    if len(parsed.rest) > 1:
        raise UsageError("more than one path given", r"write: pylibos objects '\Device'")
    from pylibos.cli.executive import idle_executive
    from pylibos.emulation.object_manager.errors import StatusError
    from pylibos.emulation.object_manager.manager import describe_tree

    path = (parsed.rest[0] if parsed.rest else "\\").replace("/", "\\")
    objects, _ = idle_executive()
    try:
        rows = describe_tree(objects, path)
    except StatusError as error:
        raise UsageError(f"{path}: {error.status.name}", "'pylibos objects' lists everything there is") from None
    wanted = [row for row in rows if not parsed.all("types") or row.type in parsed.all("types")]
    if parsed.flag("json"):
        import json

        for row in wanted:
            print(json.dumps(row._asdict()))
        return 0
    width = max((len(row.path) for row in wanted), default=4)
    for row in wanted:
        print(f"{row.path:<{width}}  {row.type:<14} {row.handles:>3} {row.references:>4}  {row.detail}".rstrip())
    return 0
