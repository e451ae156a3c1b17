"""The pylibos command: picks the sub-command, and turns every way of failing into one line and an exit code.

Owns the table of commands and nothing of what they do; each is imported only when it is the one asked for. Errors a user can cause are
PylibosError (message, remedy, exit code); anything else is our bug and ends with 125 and a traceback, never with Python's 1, which would
look like the guest's.
"""

from __future__ import annotations

import sys

from pylibos.cli.options import UsageError, nearest
from pylibos.runtime.status import EXIT_INTERNAL, PylibosError

TYPE_CHECKING = False  # typing costs 10 ms to import and is not needed here
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    Command = Callable[[list[str]], int]

EXIT_CODES = """\
Exit codes:
  0..255  the program's own
  124     --timeout expired
  125     PyLibOS itself failed: bad option, bad policy, interception not available
  126     the program exists but cannot be executed
  127     the program was not found in the guest's view
  128+n   the program was killed by signal n
--status-fd and --status-file tell a program's own 125 from PyLibOS's."""

SUMMARIES = {
    "run": "run a program in a sandbox: pylibos run [options] -- PROGRAM ARGS",
    "check": "check a policy file",
    "profile": "list or show the policies that come with PyLibOS",
    "doctor": "say what this host offers, and how to get what is missing",
    "syscalls": "print how well each system call is supported",
    "objects": "browse the executive's object name space",
    "reg": "query the registry: pylibos reg query KEY",
    "version": "print the version",
}

USAGE = """usage: pylibos COMMAND [options]

Runs unmodified Linux programs under a library OS; nothing is shared with the host unless said so.

"""


def command_named(name: str) -> Command:
    """The function of a sub-command. Raises UsageError for an unknown one."""
    if name == "run":
        from pylibos.cli.run import run_command as command
    elif name == "check":
        from pylibos.cli.check import check_command as command
    elif name == "profile":
        from pylibos.cli.profile import profile_command as command
    elif name == "doctor":
        from pylibos.cli.doctor import doctor_command as command
    elif name == "syscalls":
        from pylibos.cli.syscalls import syscalls_command as command
    elif name == "objects":
        from pylibos.cli.objects import objects_command as command
    elif name == "reg":
        from pylibos.cli.registry import registry_command as command
    elif name == "version":
        from pylibos.cli.version import version_command as command
    else:
        raise UsageError(f"unknown command '{name}'", nearest(name, list(SUMMARIES)) or "'pylibos --help' lists the commands")
    return command


def usage() -> str:
    """The top-level help page."""
    commands = "\n".join(f"  {name:<10} {summary}" for name, summary in SUMMARIES.items())
    return f"{USAGE}Commands:\n{commands}\n\n{EXIT_CODES}\n\n'pylibos COMMAND --help' says more."


def report(error: PylibosError) -> None:
    """One line on standard error: what is wrong; what to do next."""
    line = f"pylibos: {error.message}"
    if error.remedy:
        line += f"; {error.remedy}"
    # Names in messages come from command lines, policies and guests: none may steer the terminal.
    sys.stderr.write("".join(character if character.isprintable() else repr(character)[1:-1] for character in line) + "\n")


def report_bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """sys.excepthook: an exception nobody expected ends pylibos with 125, whatever its type."""
    sys.__excepthook__(kind, error, trace)
    sys.stderr.write("pylibos: this is a bug in PyLibOS; please report it with the lines above\n")
    sys.stderr.flush()
    sys.exit(EXIT_INTERNAL)


def open_standard_streams() -> None:
    """Put /dev/null where the caller closed a standard descriptor: the next thing opened would take its number and go to the guest."""
    import os

    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDWR), number)  # the open takes the lowest free number, which is this one
    if sys.stdout is None:
        sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115 - lives as long as the process
    if sys.stderr is None:
        sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115


def main(arguments: list[str] | None = None) -> int:
    """Run one command line; the exit code. Arguments default to the process's own."""
    sys.excepthook = report_bug
    open_standard_streams()
    words = sys.argv[1:] if arguments is None else arguments
    try:
        if not words:
            raise UsageError("no command given", "'pylibos --help' lists the commands; to run a program: pylibos run -- PROGRAM ARGS")
        if words[0] in ("--help", "-h", "help"):
            print(usage())
            return 0
        if words[0] == "--version":
            words = ["version"]
        code = command_named(words[0])(words[1:])
        sys.stdout.flush()
        return code
    except PylibosError as error:
        report(error)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has gone (pylibos syscalls | head): nothing to say, and nothing to flush at exit.
        import os

        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141


if __name__ == "__main__":
    sys.exit(main())
