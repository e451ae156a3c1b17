"""A small command-line parser: option tables in, values and remaining words out.

Not argparse, for three reasons: its errors exit with 2 where ours must be 125 with a remedy; it has no "did you mean"; and flags after the
program name belong to the guest, which it only does with REMAINDER's exceptions. Parsing stops at ``--`` or at the first word that is no
option. Long options take ``--name=value`` or ``--name value``; short ones ``-x value``, ``-xvalue`` and bundles of flags (``-qv``). Nothing
here knows a particular command. Imports nothing heavy: it is on the start-up path of every run.
"""

from __future__ import annotations

from pylibos.runtime.status import PylibosError

TYPE_CHECKING = False  # typing costs 10 ms to import and is not needed here
if TYPE_CHECKING:
    from collections.abc import Callable


class UsageError(PylibosError):
    """The command line, or something it names, is wrong. remedy says what to type instead."""


class Option:
    """One row of an option table.

    names: spellings, the first is the key values are stored under (without its dashes). metavar: name of the value, empty for a flag.
    refused: why the option, though known from other tools, is not accepted here; such options are not listed. claims: for a short name that
    two options share, whether this one takes it, judged by the word that follows. instead: what else may have been meant by an option
    without the value it needs.
    """

    __slots__ = ("claims", "help", "instead", "key", "metavar", "names", "refused", "repeat")

    def __init__(
        self,
        names: str,
        text: str = "",
        metavar: str = "",
        repeat: bool = False,
        refused: str = "",
        claims: Callable[[str], bool] | None = None,
        instead: str = "",
    ) -> None:
        self.names = names.split()
        self.key = next(name for name in self.names if name.startswith("--")).lstrip("-")
        self.help = text
        self.metavar = metavar
        self.repeat = repeat
        self.refused = refused
        self.claims = claims
        self.instead = instead


class Parsed:
    """What a command line said: the values of each option in order of appearance (a flag's are empty strings) and the other words."""

    __slots__ = ("order", "rest", "separated", "values")

    def __init__(self) -> None:
        self.values: dict[str, list[str]] = {}
        self.order: list[tuple[str, str]] = []
        self.rest: list[str] = []
        self.separated = False

    def flag(self, key: str) -> bool:
        """Whether the option was given."""
        return key in self.values

    def last(self, key: str) -> str | None:
        """The value that counts for an option that may be given once."""
        given = self.values.get(key)
        return given[-1] if given else None

    def all(self, key: str) -> list[str]:
        """Every value, in order."""
        return self.values.get(key, [])

    def count(self, key: str) -> int:
        """How often a flag was given."""
        return len(self.values.get(key, ()))


def nearest(word: str, known: list[str]) -> str:
    """' (did you mean X?)' for the closest known word, or nothing."""
    import difflib

    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else ""


class Parser:
    """Parses the words of one command by its option table."""

    def __init__(self, command: str, options: tuple[Option, ...], interspersed: bool = True) -> None:
        self.command = command
        self.options = options
        self.interspersed = interspersed
        self.by_name: dict[str, Option] = {}
        self.claimants: dict[str, Option] = {}
        for option in options:
            for name in option.names:
                shared = option.claims is not None and not name.startswith("--")
                (self.claimants if shared else self.by_name)[name] = option

    def parse(self, words: list[str]) -> Parsed:
        """Split words into option values and the rest. Raises UsageError."""
        parsed = Parsed()
        index = 0
        while index < len(words):
            word = words[index]
            index += 1
            if word == "--":
                parsed.separated = True
                parsed.rest += words[index:]
                break
            if word.startswith("--"):
                index = self._long(parsed, word, words, index)
            elif word.startswith("-") and word != "-":
                index = self._short(parsed, word, words, index)
            else:
                parsed.rest.append(word)
                if not self.interspersed:
                    parsed.rest += words[index:]
                    break
        return parsed

    def _option(self, name: str, following: str = "") -> Option:
        claimant = self.claimants.get(name)
        if claimant is not None and claimant.claims is not None and claimant.claims(following):
            return claimant
        option = self.by_name.get(name)
        if option is None:
            listed = [known for known in self.by_name if not self.by_name[known].refused]
            remedy = nearest(name, listed) or f"'pylibos {self.command} --help' lists the options"
            raise UsageError(f"unknown option {name}", remedy)
        if option.refused:
            raise UsageError(f"{name} is not available: {option.refused}", "leave it out; what cannot be done is refused, not ignored")
        return option

    def _long(self, parsed: Parsed, word: str, words: list[str], index: int) -> int:
        name, equals, value = word.partition("=")
        option = self._option(name)
        if not option.metavar:
            if equals:
                raise UsageError(f"{name} takes no value", f"write {name} alone")
            return self._store(parsed, option, name, "", index)
        if not equals:
            value, index = self._next(option, name, words, index)
        return self._store(parsed, option, name, value, index)

    def _short(self, parsed: Parsed, word: str, words: list[str], index: int) -> int:
        position = 1
        while position < len(word):
            name = f"-{word[position]}"
            position += 1
            option = self._option(name, word[position:] or (words[index] if index < len(words) else ""))
            if not option.metavar:
                index = self._store(parsed, option, name, "", index)
                continue
            value = word[position:]
            if not value:
                value, index = self._next(option, name, words, index)
            return self._store(parsed, option, name, value, index)
        return index

    def _next(self, option: Option, name: str, words: list[str], index: int) -> tuple[str, int]:
        if index >= len(words) or words[index] == "--":
            raise UsageError(f"{name} needs a value", f"write {name} {option.metavar}{option.instead}")
        return words[index], index + 1

    def _store(self, parsed: Parsed, option: Option, name: str, value: str, index: int) -> int:
        given = parsed.values.setdefault(option.key, [])
        if given and option.metavar and not option.repeat:
            raise UsageError(f"{name} was given twice", "give it once")
        given.append(value)
        parsed.order.append((option.key, value))
        return index


def describe(options: tuple[Option, ...]) -> str:
    """The option list of a help page, one or two lines an option."""
    lines = []
    for option in options:
        if option.refused:
            continue
        left = ", ".join(option.names) + (f" {option.metavar}" if option.metavar else "")
        left = f"  {left}"
        lines.append(f"{left:<33} {option.help}" if len(left) < 33 else f"{left}\n{'':33} {option.help}")
    return "\n".join(lines)
