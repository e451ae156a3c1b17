"""Policy manifests: what a person wrote (TOML, flags), checked and made into values.

What it is: the closed schema of a policy file, version 1. Owns the parser, its error texts and the flags' syntax. Pure: touches no file
and no environment (manifest_resolve pins what is named here to host paths).
Invariants: an unknown key, a wrong type or an unknown value is a ManifestError that names the line and, where there is one, the word that
was probably meant; a manifest that parses is complete (every field has a value); parsing never raises anything but ManifestError.

Adversary: a policy file may come from a downloaded project. Its size and nesting are bounded; it is data, nothing in it is executed.
Source: TOML 1.0; docs/policy.md describes the keys.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from pylibos.abi.late import Late
from pylibos.abi.record import field, record, replace
from pylibos.monitor.globs import Pattern, PatternError

if TYPE_CHECKING:
    import bisect
    import re

    from pylibos.monitor.network.rules import NetRule
else:
    bisect, re = Late("bisect"), Late("re")

VERSION: Final = 1
_SIZE_LIMIT: Final = 1 << 18
_DOTS_LIMIT: Final = 256
"""Dots in one line: tomllib needs quadratic time for a dotted key (40 s for one of 100 KB)."""
# Patterns as text: compiling them costs 2 ms at every start, and most runs read no policy file (re caches what it compiles).
_CONTROL: Final = r"[\x00-\x1f\x7f]"
_VARIABLE: Final = r"[A-Za-z_][A-Za-z0-9_]*\Z"
_VARIABLE_GLOB: Final = r"[A-Za-z_*?][A-Za-z0-9_*?]*\Z"
_SIZE: Final = r"(\d{1,18})([KMGT]?)(i?B)?\Z"
_DURATION: Final = r"(\d{1,12})(?:\.(\d{1,9}))?(ms|s|m|h|d)?\Z"
_UNITS: Final = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_NS: Final = 1_000_000_000
_DURATIONS_NS: Final = {"ms": _NS // 1000, "s": _NS, "": _NS, "m": 60 * _NS, "h": 3600 * _NS, "d": 86_400 * _NS}
_HEADER: Final = r"\s*\[\[?([^\[\]=]*)\]\]?\s*(?:#.*)?$"
_ASSIGNMENT: Final = r"\s*((?:[\w-]|[\"'. \t])+?)\s*="
_STRING: Final = r"\"([^\"]*)\"|'([^']*)'"
_DECLARATION_LIMIT: Final = 256
"""Letters of a line looked at for a key: the assignment's pattern is quadratic in spaces."""

_BARE: Final = r"[\s\"']"
_INT_LIMIT: Final = 1 << 62
_Enumeration = TypeVar("_Enumeration", bound=enum.Enum)


class ManifestError(Exception):
    """The manifest, or a flag, is wrong.

    str() is one line for a person: 'policy.toml:3: unknown key "ros" in [files]; did you mean "ro"?'.
    """

    def __init__(self, message: str, *, name: str = "", line: int | None = None) -> None:
        where = f"{name}:{line}: " if name and line else f"{name}: " if name else ""
        super().__init__(re.sub(_CONTROL, "?", where + message))
        self.line = line


class MountMode(enum.Enum):
    """How a mount behaves: read-only, writes go through, writes stay in the sandbox, empty and in memory."""

    RO = "ro"
    RW = "rw"
    COW = "cow"
    TMPFS = "tmpfs"


class Network(enum.Enum):
    """What the guest's network is."""

    NONE = "none"
    """Nothing outside; a loopback of the sandbox's own where the host has name spaces."""
    LOOPBACK = "loopback"
    """The same, and no run without it."""
    RULES = "rules"
    """Also what the rules grant."""


class OnDeny(enum.Enum):
    """What follows a denial: an error number, the death of the guest, or an error number and a line in the log."""

    ERRNO = "errno"
    KILL = "kill"
    LOG = "log"


@record
class Grant:
    """A host path the guest may have. target: its place in the guest, None for the same place. origin: for messages."""

    source: str
    mode: MountMode
    origin: str
    target: str | None = None


@record
class Root:
    """A host directory that is the guest's "/". mode: COW (writes stay in the sandbox), RW (they reach the directory) or RO."""

    source: str
    mode: MountMode
    origin: str


@record
class Restriction:
    """A pattern of files.deny (EACCES) or files.hidden (ENOENT)."""

    pattern: str
    hidden: bool
    origin: str


@record
class Published:
    """A port of the host (host: an address) whose connections reach a port of the sandbox's loopback. origin: for messages."""

    host: str
    port: int
    guest_port: int
    origin: str


@record
class Environment:
    """The guest's variables: set to a value, or passed on from outside by name or glob."""

    set: tuple[tuple[str, str], ...] = ()
    passed: tuple[str, ...] = ()


@record
class Limits:
    """Bounds of a run; None is none. memory, file_size in bytes; cpu_ns, timeout_ns in nanoseconds; the others are counts."""

    memory: int | None = None
    processes: int | None = None
    descriptors: int | None = None
    file_size: int | None = None
    cpu_ns: int | None = None
    timeout_ns: int | None = None


@record
class Manifest:
    """A whole policy, as written."""

    name: str = "default"
    grants: tuple[Grant, ...] = ()
    restrictions: tuple[Restriction, ...] = ()
    tmpfs: tuple[str, ...] = ()
    environment: Environment = field(default_factory=Environment)
    limits: Limits = field(default_factory=Limits)
    network: Network = Network.NONE
    network_rules: tuple[NetRule, ...] = ()
    """What may be reached outside; only with Network.RULES."""
    publish: tuple[Published, ...] = ()
    cwd: str | None = None
    on_deny: OnDeny = OnDeny.ERRNO
    system: bool = True
    """Whether the host's system directories are visible below the copy-on-write root. Without meaning when there is a root."""
    root: Root | None = None
    """The guest's "/", instead of a view of the host."""

    def with_network(self, values: Sequence[str], ports: Sequence[str]) -> Manifest:
        """This manifest and the flags --net and --publish: none and loopback replace what a file says, rules are added to it."""
        changed = self
        for value in (part for text in values for part in text.removeprefix("allow:").split(",")):
            if value in (Network.NONE.value, Network.LOOPBACK.value):
                changed = replace(changed, network=Network(value), network_rules=())
            else:
                rules = network_rule(value, f"--net {value}")
                changed = replace(changed, network=Network.RULES, network_rules=(*changed.network_rules, *rules))
        published = (*changed.publish, *(publish_flag(text, f"--publish {text}") for text in ports))
        if published and changed.network is Network.NONE:
            changed = replace(changed, network=Network.LOOPBACK)
        return replace(changed, publish=published)

    def with_grants(self, grants: Sequence[Grant], tmpfs: Sequence[str] = ()) -> Manifest:
        """This manifest and the flags of a command line."""
        return replace(self, grants=(*self.grants, *grants), tmpfs=(*self.tmpfs, *tmpfs))


def grant_flag(flag: str, value: str) -> Grant:
    """The grant of ``--ro PATH``, ``--rw PATH`` or ``-v SRC:DST[:ro|:rw|:cow]`` (-v alone is copy-on-write). Raises ManifestError."""
    if flag in ("--ro", "--rw"):
        return Grant(_flag_path(flag, value), MountMode(flag[2:]), f"{flag} {value}")
    head, separator, last = value.rpartition(":")
    mode = MountMode.COW
    if separator and "/" not in last:
        if last not in ("ro", "rw", "cow"):
            raise ManifestError(f'{flag} {value}: unknown mode "{last}"{_meant(last, ("ro", "rw", "cow"))}')
        value, mode = head, MountMode(last)
    source, separator, target = value.rpartition(":")
    if not separator or not source or not target.startswith("/"):
        raise ManifestError(f"{flag} {value}: expected SRC:DST[:ro|:rw|:cow] with an absolute DST")
    return Grant(_flag_path(flag, source), mode, f"{flag} {value}", _flag_path(flag, target))


def root_flag(value: str) -> Root:
    """The root of ``--root DIR[:cow|:rw|:ro]``. Raises ManifestError."""
    source, separator, last = value.rpartition(":")
    if separator and last in ("ro", "rw", "cow"):
        return Root(_flag_path("--root", source), MountMode(last), f"--root {value}")
    return Root(_flag_path("--root", value), MountMode.COW, f"--root {value}")
def network_rule(text: str, origin: str) -> tuple[NetRule, ...]:
    """The rules one text means. Raises ManifestError, which says the word that was probably meant."""
    from pylibos.monitor.network.rules import RuleError, parse_rule  # a run without rules need not wait for it

    try:
        return parse_rule(text, origin)
    except RuleError as error:
        plain = ":" not in text
        hint = _meant(text, ("none", "loopback")) if plain and re.fullmatch("[a-z]{2,}", text) else ""
        raise ManifestError(f"{origin}: {error}{hint}") from None


def publish_flag(text: str, origin: str) -> Published:
    """``[HOST:]PORT:GUESTPORT``; HOST is an address, 127.0.0.1 when not given. Raises ManifestError."""
    import ipaddress

    head, _, guest_port = text.rpartition(":")
    host, _, port = head.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if host else "127.0.0.1"
    try:
        address = str(ipaddress.ip_address(host))
    except ValueError:
        raise ManifestError(f'{origin}: "{host}" is not an address of this host') from None
    outer, inner = (int(part) if re.fullmatch("[0-9]{1,5}", part) else 0 for part in (port, guest_port))
    if not (0 < outer < 65536 and 0 < inner < 65536):
        raise ManifestError(f"{origin}: expected [HOST:]PORT:GUESTPORT with ports from 1 to 65535")
    return Published(address, outer, inner, origin)


def _flag_path(flag: str, value: str) -> str:
    if not value or "\0" in value:
        raise ManifestError(f"{flag}: expected a path")
    return value


def parse_size(text: str) -> int:
    """Bytes of '512M', '2GiB' or '4096' (units of 1024). Raises ManifestError."""
    match = re.match(_SIZE, text, re.IGNORECASE)
    if match is None:
        raise ManifestError(f'"{text}" is not a size (examples: 512M, 2G, 4096)')
    return int(match[1]) * _UNITS[match[2].upper()]


def parse_duration(text: str) -> int:
    """Nanoseconds of '30s', '1.5h', '200ms' or '10' (seconds). Raises ManifestError."""
    match = re.match(_DURATION, text)
    if match is None:
        raise ManifestError(f'"{text}" is not a duration (examples: 30s, 5m, 1.5h, 200ms)')
    unit = _DURATIONS_NS[match[3] or ""]
    fraction = match[2] or ""
    return int(match[1]) * unit + (int(fraction) * unit // 10 ** len(fraction) if fraction else 0)


def parse_manifest(data: bytes, name: str = "policy") -> Manifest:
    """Parse and check a policy file. name is used in messages. Raises ManifestError, and nothing else, on any bytes."""
    if len(data) > _SIZE_LIMIT:
        raise ManifestError("larger than 256 KiB", name=name)
    import tomllib  # a run without policy file need not wait for it

    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ManifestError(f"not UTF-8 at byte {error.start}", name=name, line=data.count(b"\n", 0, error.start) + 1) from None
    for number, line in enumerate(data.split(b"\n"), 1):
        if line.count(b".") > _DOTS_LIMIT:
            raise ManifestError(f"more than {_DOTS_LIMIT} dots in a line", name=name, line=number)
    try:
        document = tomllib.loads(text)
    except RecursionError:
        raise ManifestError("nested too deeply", name=name) from None
    except ValueError as error:  # TOMLDecodeError, and int() of ten thousand digits
        found = re.search(r"at line (\d+)", str(error))
        at_end = max(1, text.rstrip().count("\n") + 1) if "end of document" in str(error) else None
        raise ManifestError(f"not TOML: {error}", name=name, line=int(found[1]) if found else at_end) from None
    return _Reader(name, text).manifest(document)


def _meant(word: str, known: Sequence[str]) -> str:
    """'; did you mean ...?' or the choices."""
    import difflib  # only for a mistake: not worth its time at every start

    close = difflib.get_close_matches(word[:64], known, n=1, cutoff=0.5)
    return f'; did you mean "{close[0]}"?' if close else f"; known: {', '.join(known)}"


class _Reader:
    """Checks one parsed document. Keeps the text to find the line a key stands in (tomllib does not tell)."""

    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._lines = text.splitlines()
        self._declared: dict[tuple[str, str], int | None] = {}
        self._strings_at: dict[str, list[int]] | None = None

    def manifest(self, document: Mapping[str, object]) -> Manifest:
        keys = ("version", "files", "environment", "limits", "network", "publish", "tmpfs", "cwd", "on_deny", "system", "root")
        self._known("", document, keys)
        version = document.get("version")
        if version is None:
            raise ManifestError(f"version = {VERSION} is missing", name=self._name)
        if type(version) is not int or version != VERSION:
            raise self._error("", "version", f"version {version!r} is not supported; this pylibos reads version {VERSION}")
        grants, restrictions = self._files(self._table("", document, "files"))
        cwd = self._optional("", document, "cwd", self._absolute)
        network, rules = self._network(document)
        published = tuple(self._published(text) for text in self._strings("", document, "publish"))
        if published and network is Network.NONE:
            network = Network.LOOPBACK
        return Manifest(
            name=self._name,
            grants=grants,
            restrictions=restrictions,
            tmpfs=tuple(self._absolute("", "tmpfs", path) for path in self._strings("", document, "tmpfs")),
            environment=self._environment(self._table("", document, "environment")),
            limits=self._limits(self._table("", document, "limits")),
            network=network,
            network_rules=rules,
            publish=published,
            cwd=cwd,
            on_deny=self._choice(document, "on_deny", OnDeny, OnDeny.ERRNO),
            system=self._boolean(document, "system", default=True),
            root=self._root(document["root"]) if "root" in document else None,
        )

    # -- sections ----------------------------------------------------------------------------------------------------

    def _files(self, table: Mapping[str, object]) -> tuple[tuple[Grant, ...], tuple[Restriction, ...]]:
        self._known("files", table, ("ro", "rw", "cow", "deny", "hidden", "mount"))
        grants: list[Grant] = []
        for key in ("ro", "rw", "cow"):
            for path in self._strings("files", table, key):
                if not path.startswith(("/", "~/", "./")) and path not in ("~", "."):
                    raise self._error("files", key, f'"{path}" must start with /, ~/ or ./')
                grants.append(Grant(path, MountMode(key), self._origin("files", key, path)))
        mounts = table.get("mount", [])
        if not isinstance(mounts, list):
            raise self._error("files", "mount", "files.mount must be an array of tables")
        grants.extend(self._mount(entry) for entry in mounts)
        restrictions: list[Restriction] = []
        for key in ("hidden", "deny"):
            for pattern in self._strings("files", table, key):
                if not pattern.startswith("~/"):
                    self._pattern(key, pattern)
                restrictions.append(Restriction(pattern, key == "hidden", self._origin("files", key, pattern)))
        return tuple(grants), tuple(restrictions)

    def _network(self, document: Mapping[str, object]) -> tuple[Network, tuple[NetRule, ...]]:
        """network = "none", "loopback" or an array of rules."""
        value = document.get("network", Network.NONE.value)
        if isinstance(value, str):
            known = [Network.NONE.value, Network.LOOPBACK.value]
            if value not in known:
                rule = '; rules stand in an array: network = ["HOST:PORT"]' if ":" in value else _meant(value, known)
                raise self._error("", "network", f'unknown network "{value[:64]}"{rule}')
            return Network(value), ()
        rules: list[NetRule] = []
        for text in self._strings("", document, "network"):
            try:
                rules.extend(network_rule(text, self._origin("", "network", text)))
            except ManifestError as error:
                raise self._error("", "network", str(error)) from None
        return Network.RULES if rules else Network.NONE, tuple(rules)

    def _published(self, text: str) -> Published:
        try:
            return publish_flag(text, self._origin("", "publish", text))
        except ManifestError as error:
            raise self._error("", "publish", str(error)) from None

    def _mount(self, entry: object) -> Grant:
        if not isinstance(entry, dict):
            raise self._error("files", "mount", "files.mount must be an array of tables")
        section = "files.mount"
        self._known(section, entry, ("source", "target", "mode"))
        for key in ("source", "target"):
            if key not in entry:
                raise self._error("files", "mount", f"a mount needs {key}")
        source = self._string(section, "source", entry["source"])
        target = self._absolute(section, "target", entry["target"])
        if not source.startswith(("/", "~/", "./")):
            raise self._error(section, "source", f'"{source}" must start with /, ~/ or ./')
        mode = self._string(section, "mode", entry.get("mode", "cow"))
        if mode not in ("ro", "rw", "cow"):
            raise self._error(section, "mode", f'unknown mode "{mode}"{_meant(mode, ("ro", "rw", "cow"))}')
        return Grant(source, MountMode(mode), self._origin(section, "source", source), target)

    def _root(self, value: object) -> Root:
        """The root: a path, or a table of source and mode."""
        if isinstance(value, bool):
            raise self._error("", "root", 'root is the directory that is "/" inside; being root inside is --as-root')
        table = value if isinstance(value, dict) else {"source": value}
        self._known("root", table, ("source", "mode"))
        if "source" not in table:
            raise self._error("", "root", "root needs source")
        source = self._string("root", "source", table["source"])
        if not source.startswith(("/", "~/", "./", "../")):
            raise self._error("", "root", f'"{source}" must start with /, ~/ or ./')
        mode = self._string("root", "mode", table.get("mode", "cow"))
        if mode not in ("ro", "rw", "cow"):
            raise self._error("root", "mode", f'unknown mode "{mode}"{_meant(mode, ("ro", "rw", "cow"))}')
        return Root(source, MountMode(mode), self._origin("", "root", source))

    def _environment(self, table: Mapping[str, object]) -> Environment:
        self._known("environment", table, ("set", "pass"))
        values = self._table("environment", table, "set")
        pairs = []
        for variable, value in values.items():
            if not re.match(_VARIABLE, variable):
                raise self._error("environment.set", variable, f'"{variable}" is not a variable name')
            pairs.append((variable, self._string("environment.set", variable, value, printable=False)))
        passed = self._strings("environment", table, "pass")
        for variable in passed:
            if not re.match(_VARIABLE_GLOB, variable):
                raise self._error("environment", "pass", f'"{variable}" is not a variable name')
        return Environment(tuple(pairs), tuple(passed))

    def _limits(self, table: Mapping[str, object]) -> Limits:
        keys = ("memory", "processes", "descriptors", "file_size", "cpu", "timeout")
        self._known("limits", table, keys)
        return Limits(
            memory=self._amount(table, "memory", parse_size),
            processes=self._amount(table, "processes", None),
            descriptors=self._amount(table, "descriptors", None),
            file_size=self._amount(table, "file_size", parse_size),
            cpu_ns=self._amount(table, "cpu", parse_duration, scale=_NS),
            timeout_ns=self._amount(table, "timeout", parse_duration, scale=_NS),
        )

    # -- values ------------------------------------------------------------------------------------------------------

    def _known(self, section: str, table: Mapping[str, object], known: Sequence[str]) -> None:
        for key in table:
            if key not in known:
                where = f" in [{section}]" if section else ""
                raise self._error(section, key, f'unknown key "{key[:64]}"{where}{_meant(key, known)}')

    def _table(self, section: str, table: Mapping[str, object], key: str) -> Mapping[str, object]:
        value = table.get(key, {})
        if not isinstance(value, dict):
            raise self._error(section, key, f"{key} must be a table")
        return value

    def _strings(self, section: str, table: Mapping[str, object], key: str) -> list[str]:
        value = table.get(key, [])
        if not isinstance(value, list):
            raise self._error(section, key, f"{key} must be an array of strings")
        return [self._string(section, key, entry) for entry in value]

    def _string(self, section: str, key: str, value: object, *, printable: bool = True) -> str:
        if not isinstance(value, str):
            raise self._error(section, key, f"{key} must be a string")
        plain = value.isascii() and value.isprintable()
        if "\0" in value or (printable and (not value or (not plain and re.search(_CONTROL, value)))):
            raise self._error(section, key, f"{key} is empty or has control characters")
        return value

    def _absolute(self, section: str, key: str, value: object) -> str:
        path = self._string(section, key, value)
        if not path.startswith("/") or ".." in path.split("/"):
            raise self._error(section, key, f'{key}: "{path}" must be an absolute path without ".."')
        return path

    def _pattern(self, key: str, pattern: str) -> None:
        try:
            Pattern.parse(pattern.encode("utf-8", "surrogateescape"))
        except (PatternError, UnicodeEncodeError) as error:
            raise self._error("files", key, f'"{pattern}": {error}') from None

    def _optional(self, section: str, table: Mapping[str, object], key: str, read: Callable[[str, str, object], str]) -> str | None:
        return read(section, key, table[key]) if key in table else None

    def _choice(self, table: Mapping[str, object], key: str, kind: type[_Enumeration], default: _Enumeration) -> _Enumeration:
        if key not in table:
            return default
        value = self._string("", key, table[key])
        known = [str(member.value) for member in kind]
        if value not in known:
            raise self._error("", key, f'unknown {key} "{value[:64]}"{_meant(value, known)}')
        return kind(value)

    def _boolean(self, table: Mapping[str, object], key: str, *, default: bool) -> bool:
        value = table.get(key, default)
        if not isinstance(value, bool):
            raise self._error("", key, f"{key} must be true or false")
        return value

    def _amount(self, table: Mapping[str, object], key: str, parse: Callable[[str], int] | None, *, scale: int = 1) -> int | None:
        """A positive number, or text with a unit where parse is given. scale: what a bare number counts in."""
        if key not in table:
            return None
        value = table[key]
        try:
            if isinstance(value, str) and parse is not None:
                amount = parse(value)
            elif type(value) is int:
                amount = value * scale
            else:
                raise ManifestError(f"{key} must be a number" + (" or text with a unit" if parse else ""))
        except ManifestError as error:
            raise self._error("limits", key, f"{key}: {error}") from None
        if not 0 < amount < _INT_LIMIT:
            raise self._error("limits", key, f"{key} is out of range")
        return amount

    # -- where ---------------------------------------------------------------------------------------------------------

    def _origin(self, section: str, key: str, value: str) -> str:
        line = self._line(section, key, value)
        named = f"{section}.{key}" if section else key
        return f"{self._name}:{line} {named}" if line else f"{self._name} {named}"

    def _error(self, section: str, key: str, message: str) -> ManifestError:
        return ManifestError(message, name=self._name, line=self._line(section, key))

    def _line(self, section: str, key: str, value: str | None = None) -> int | None:
        """The line a key (or, from there on, a string in its array) stands in, found by reading the text; None when it is written oddly."""
        declared = self._declared.get((section, key), 0)
        if declared == 0:
            declared = self._declared[section, key] = self._declaration(section, key)
        if declared is None or value is None:
            return declared
        if self._strings_at is None:
            self._strings_at = {}
            for number, line in enumerate(self._lines, 1):
                for double, single in re.findall(_STRING, line):
                    self._strings_at.setdefault(double or single, []).append(number)
        numbers = self._strings_at.get(value, [])
        index = bisect.bisect_left(numbers, declared)
        return numbers[index] if index < len(numbers) else declared

    def _declaration(self, section: str, key: str) -> int | None:
        wanted = f"{section}.{key}" if section else key
        here = ""
        for number, whole in enumerate(self._lines, 1):
            line = whole[:_DECLARATION_LIMIT]
            if self._declares(line, here, wanted, section):
                return number
            if header := re.match(_HEADER, line):
                here = re.sub(_BARE, "", header[1])
        return None

    @staticmethod
    def _declares(line: str, here: str, wanted: str, section: str) -> bool:
        """Whether a line of table ``here`` begins the thing with the dotted name wanted (or an inline table of its section has it)."""
        if header := re.match(_HEADER, line):
            name = re.sub(_BARE, "", header[1])
        elif assignment := re.match(_ASSIGNMENT, line):
            name = re.sub(_BARE, "", assignment[1])
            name = f"{here}.{name}" if here else name
            if section and (section == name or section.startswith(name + ".")):
                return wanted[len(section) + 1 :] in line
        else:
            return False
        return name == wanted or name.startswith(wanted + ".")
