"""pylibos run: from words to a RunConfig, and from an ExitStatus to an exit code and a status line.

Owns the option table of run and the guest's initial environment. What may be shared is the policy's business (pylibos.cli.policy merges
file and flags); how a program is run is the runtime's, which is imported last, when the command line is known to be right.
"""

from __future__ import annotations

import os
import sys

from pylibos.cli.options import Option, Parsed, Parser, UsageError, describe, nearest
from pylibos.cli.values import PASSED_ALWAYS, identifier, passed, variable

TYPE_CHECKING = False  # see main
if TYPE_CHECKING:
    from pylibos.monitor.manifest_resolve import ResolvedManifest
    from pylibos.runtime.config import RunConfig
    from pylibos.runtime.status import ExitStatus
    from pylibos.runtime.terminal import Terminal

def looks_like_volume(word: str) -> bool:
    """Whether the word after -v is SRC:DST: it has a colon followed by an absolute path, which no option and hardly a program has."""
    return ":/" in word and not word.startswith("-")


OPTIONS = (
    Option("--policy -p", "policy file (TOML) or the name of one that comes with PyLibOS", "FILE"),
    Option("--ro -r", "show a host path, read-only", "PATH", repeat=True),
    Option("--rw -w", "let the program change a host path", "PATH", repeat=True),
    Option(
        "--volume -v", "show a host path somewhere else (default: cow)", "SRC:DST[:ro|:cow|:rw]", repeat=True,
        claims=looks_like_volume,
    ),
    Option("--tmpfs", "an empty directory in memory", "PATH", repeat=True),
    Option("--env -e", "set a variable, or pass the host's", "NAME[=VALUE]", repeat=True),
    Option("--env-pass", "pass the host's variables that match (never loader settings or secrets)", "GLOB", repeat=True),
    Option("--cwd -C", "directory to start in", "PATH"),
    Option(
        "--net", "what may be reached outside: example.org:443,*.example.org:80,192.0.2.0/24:22; none (default); loopback: nothing,\n"
        f"{'':34}but a network of the sandbox's own or no run", "HOST:PORT,...|none|loopback", repeat=True,
    ),
    Option("--publish", "let connections to a port of the host (of 127.0.0.1) reach the sandbox", "[HOST:]PORT:GUESTPORT", repeat=True),
    Option("--tty -t", "a terminal of the program's own (job control, Ctrl-Z, window size), also when standard input is none"),
    Option("--interactive -i", "accepted for habit: standard input is always passed on"),
    Option("--timeout", "kill everything after this long: 30s, 5m, 200ms", "DURATION"),
    Option("--pids", "at most so many processes and threads (a thread too many ends its process)", "N"),
    Option(
        "--root", "the directory that is / inside; what is written stays in the sandbox (:rw: reaches it)", "DIR[:cow|:rw|:ro]",
        instead="; to be root inside: --as-root",
    ),
    Option("--memory -m", "memory of all guests together, files in memory included: 512M, 2G", "SIZE"),
    Option("--as-root", "be root inside (not outside)"),
    Option("--uid", "user id inside", "N"),
    Option("--gid", "group id inside", "N"),
    Option("--hostname", "host name inside (default: pylibos)", "NAME"),
    Option("--engine", "how calls are intercepted (default: notify; ptrace is slower and needs less)", "notify|ptrace"),
    Option("--audit", "append every decision to a file, one JSON object a line", "FILE"),
    Option("--trace", "write every call that reaches the supervisor to standard error, as strace does (all calls: with --engine ptrace)"),
    Option("--status-fd", "write one JSON line about the end to this descriptor", "N"),
    Option("--status-file", "write it to a file", "FILE"),
    Option("--verbose -v", "say what is denied (twice: every decision)"),
    Option("--quiet -q", "say nothing but errors"),
    Option("--help -h", "this page"),
    Option("--cpus", metavar="N", refused="no processor limit is enforced yet"),
    Option("--name", metavar="NAME", refused="sandboxes have no names yet"),
    Option("--on-deny", metavar="ACTION", refused="denied calls always fail with an error number"),
    Option("--preset", metavar="NAME", refused="name the preset with --policy"),
)

HOSTNAME_LIMIT = 64
"""Linux's __NEW_UTS_LEN."""


def help_page() -> str:
    """`pylibos run --help`."""
    from pylibos.cli.main import EXIT_CODES

    return (
        "usage: pylibos run [options] [--] PROGRAM [ARGUMENT...]\n\n"
        "Runs PROGRAM in a sandbox. It sees a copy-on-write view of the system's programs and libraries (or of DIR, with --root),\n"
        "an empty home and no network; whatever it changes is gone when it ends, except below paths given with --rw.\n\n"
        f"Options:\n{describe(OPTIONS)}\n\n{EXIT_CODES}"
    )


def guest_environment(parsed: Parsed, policy: ResolvedManifest, uid: int, host: dict[str, str]) -> dict[bytes, bytes]:
    """The variables the program starts with: a fixed few, then what the policy and the flags ask for, then our marks.

    Default deny: of the host's variables only TERM, LANG, LC_*, TZ and the user's name pass.
    """
    from pylibos.runtime.config import DEFAULT_PATH

    user = user_inside(policy, uid, host)
    chosen = {"PATH": DEFAULT_PATH.decode(), "HOME": os.fsdecode(policy.home), "USER": user}
    chosen |= {name: value for name, value in host.items() if name in PASSED_ALWAYS or name.startswith("LC_")}
    for pattern in policy.manifest.environment.passed:
        chosen |= passed(pattern, host)
    chosen |= dict(policy.manifest.environment.set)
    for key, value in parsed.order:
        if key == "env-pass":
            chosen |= passed(value, host)
        elif key == "env":
            name, text = variable(value, host)
            chosen[name] = text
    chosen |= {"PYLIBOS": "1", "PYLIBOS_NETWORK": policy.manifest.network.value}
    return {os.fsencode(name): os.fsencode(value) for name, value in chosen.items()}


def user_inside(policy: ResolvedManifest, uid: int, host: dict[str, str]) -> str:
    """What the guest's user is called: by the accounts of its own root, or as outside."""
    if policy.manifest.root is not None:
        from pylibos.cli.accounts import account_inside

        return account_inside(policy.mount_plan()[0].source, uid).name
    return "root" if uid == 0 else host.get("USER") or host.get("LOGNAME") or user_name()


def user_name() -> str:
    """The invoker's name, or their number where nobody named them."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def one_of(parsed: Parsed, key: str, choices: tuple[str, ...], default: str) -> str:
    """The value of an option with a closed set of values. Raises UsageError."""
    value = parsed.last(key)
    if value is None:
        return default
    if value not in choices:
        raise UsageError(f"--{key} {value}: no such choice", nearest(value, list(choices)) or f"choose one of: {', '.join(choices)}")
    return value


def status_descriptor(parsed: Parsed) -> int | None:
    """--status-fd as an open descriptor that the guest will not inherit."""
    text = parsed.last("status-fd")
    if text is None:
        return None
    try:
        descriptor = int(text)
        os.set_inheritable(descriptor, False)
    except (ValueError, OverflowError, OSError):
        raise UsageError(f"--status-fd {text}: not an open descriptor", "open it in the shell: --status-fd 3 ... 3>status") from None
    return descriptor


def hostname_of(parsed: Parsed) -> bytes:
    """--hostname, within what Linux takes."""
    name = os.fsencode(parsed.last("hostname") or "pylibos")
    if len(name) > HOSTNAME_LIMIT or b"\0" in name or b"\n" in name:
        raise UsageError(f"--hostname: longer than {HOSTNAME_LIMIT} bytes or not one line", "choose a shorter name")
    return name


def output_path(parsed: Parsed, key: str) -> bytes | None:
    """A host file to write: its directory must exist."""
    text = parsed.last(key)
    if text is None:
        return None
    path = os.path.abspath(text)
    if not text or not os.path.isdir(os.path.dirname(path)):
        raise UsageError(f"--{key} {text}: there is no such directory", "create it first")
    return os.fsencode(path)


def build_config(parsed: Parsed) -> RunConfig:
    """The whole description of the run. Raises PylibosError for whatever is wrong with it."""
    from pylibos.cli.policy import merged_policy
    from pylibos.runtime.config import ENGINES, RunConfig

    if not parsed.rest or not parsed.rest[0]:
        raise UsageError("no program given", "write: pylibos run -- PROGRAM ARGS")
    engine = one_of(parsed, "engine", ENGINES, ENGINES[0])
    uid, gid = identifier(parsed.last("uid"), "--uid"), identifier(parsed.last("gid"), "--gid")
    if parsed.flag("as-root"):
        if uid or gid:
            raise UsageError("--as-root contradicts --uid and --gid", "leave one of them out")
        uid = gid = 0
    inside = os.getuid() if uid is None else uid
    policy = merged_policy(parsed, inside)
    return RunConfig(
        argv=tuple(os.fsencode(word) for word in parsed.rest),
        environment=guest_environment(parsed, policy, inside, dict(os.environ)),
        policy=policy,
        cwd=policy.cwd,
        engine=engine,
        timeout_ns=policy.manifest.limits.timeout_ns or None,
        audit_path=output_path(parsed, "audit"),
        status_fd=status_descriptor(parsed),
        status_path=output_path(parsed, "status-file"),
        verbose=parsed.count("verbose") - parsed.count("quiet"),
        uid=uid,
        gid=gid,
        hostname=hostname_of(parsed),
        trace=parsed.flag("trace"),
    )


def write_status(status: ExitStatus, descriptor: int | None, path: bytes | None) -> None:
    """The one JSON line, to both places that may have been asked for. A reader that has gone is no error."""
    if descriptor is None and path is None:
        return
    line = status.to_json().encode() + b"\n"
    targets = [descriptor] if descriptor is not None else []
    try:
        if path is not None:
            targets.append(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644))
        for target in targets:
            os.write(target, line)
    except OSError as error:
        sys.stderr.write(f"pylibos: cannot write the status line: {os.strerror(error.errno or 0)}\n")


def run_on(terminal: Terminal, config: RunConfig) -> ExitStatus:
    """The run, on a terminal of its own."""
    from pylibos.runtime.run import run

    try:
        return run(config, terminal)
    finally:
        terminal.close()


def run_command(words: list[str]) -> int:
    """`pylibos run`: the exit code."""
    import gc

    gc.disable()  # until the program runs (runtime.run): starting makes objects to keep, and looking for garbage costs 5 ms
    from pylibos.runtime.status import ExitStatus, PylibosError

    parsed = Parser("run", OPTIONS, interspersed=False).parse(words)
    if parsed.flag("help"):
        print(help_page())
        return 0
    descriptor, path = status_descriptor(parsed), output_path(parsed, "status-file")
    status = ExitStatus(reason="internal")
    try:
        config = build_config(parsed)
        from pylibos.bundle import keep

        if parsed.flag("tty"):
            from pylibos.runtime.terminal import Terminal, attach

            side = attach()
            if not isinstance(side, Terminal):  # this is the relay: its child has made the run and written the status
                descriptor = path = None
                return side
            status = run_on(side, config)
        else:
            from pylibos.runtime.run import run

            status = run(config)
        keep()
    except PylibosError as error:
        status = ExitStatus.failed(error)
        raise
    finally:
        write_status(status, descriptor, path)
    return status.to_exit_code()
