"""One program, run natively and under an engine, and the comparison of what it left.

What it is: a Case (what to run, with which files, as whom), its runs, and the difference between two runs as text.
What it owns: the working directory of each run: fresh, filled by the case's own set-up, and read back afterwards.
What it must not know: pytest. Errors are CaseError or a non-empty difference.
Invariants: the native run is the oracle; both runs get the same bytes on standard input, the same environment and a working directory
    with the same name, because programs print their paths.

Two ways to give a contained program its files: `rw` grants the working directory, `cow` lets it work in the copy-on-write view and has
tar, run inside after the program, carry what the view then contains out through a granted directory. After every contained run the
host is looked at: with `cow` the working directory, contents included, and always a directory beside it, which nobody grants.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.harness.host_trees import changes, scan
from tests.harness.processes import Completed, run

ROOT = Path(__file__).resolve().parents[2]
PYLIBOS = ROOT / "scripts" / "pylibos"
NATIVE = "native"
NOBODY = 65534
ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/nonexistent",
    "USER": "tester",
    "LOGNAME": "tester",
    "LANG": "C.UTF-8",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "TERM": "dumb",
    "PYTHONDONTWRITEBYTECODE": "1",  # native programs of root would write it beside the system's files (gdb has Python inside)
}
"""What every program gets, natively and inside; a case may add to it or replace entries."""

Tree = dict[str, tuple[str, int, str]]
"""Relative path -> (type letter, permission bits, contents: digest of a file, target of a link)."""


class CaseError(AssertionError):
    """The case itself is wrong: its native run, the oracle, did not do what the case says it does."""


@dataclass(frozen=True, slots=True)
class Case:
    """A program with everything that its run depends on."""

    argv: tuple[str, ...]
    stdin: bytes = b""
    env: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 60.0
    setup: Callable[[Path], None] | None = None
    """Fills the working directory before the run."""
    user: int | None = None
    """Run as this uid and gid with no other groups (the test process must be root), or as whoever runs the tests."""
    grant: str = "cow"
    """How a contained run sees its working directory: `rw` or `cow`."""
    files: bool = False
    """Compare what the working directory contains afterwards."""
    ignore: tuple[str, ...] = ()
    """Paths (relative, with everything below) left out of that comparison, because they contain times or random names."""
    normalise: Callable[[bytes], bytes] = lambda output: output
    """Applied to standard output of both runs, to remove what legitimately differs (process numbers, durations)."""
    normalise_stderr: Callable[[bytes], bytes] = lambda output: output
    status: int = 0
    """What the native run must exit with; guards against a case whose program is broken on both sides."""
    flags: tuple[str, ...] = ()
    """Further flags of `pylibos run`."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """A run and the files it left (empty unless the case compares files)."""

    completed: Completed
    stdout: bytes
    stderr: bytes
    tree: Tree
    touched: tuple[str, ...] = ()
    """What a contained run has changed on the host without a grant; must be empty."""


def as_user(user: int | None, argv: Sequence[str]) -> list[str]:
    """The argument list that runs `argv` as `user`, keeping the environment."""
    if user is None or user == os.getuid():
        return list(argv)
    return ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--pdeathsig=KILL", "--", *argv]


WITHOUT_NAME_SPACES = """
import os, sys
import pyseccomp as s
NAME_SPACES = (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)
filter = s.SyscallFilter(s.ALLOW)
for call in ("clone", "unshare"):
    for flag in NAME_SPACES:
        filter.add_rule(s.ERRNO(1), call, s.Arg(0, s.MASKED_EQ, flag, flag))
filter.add_rule(s.ERRNO(38), "clone3")
filter.load()
os.execv(sys.argv[1], sys.argv[1:])
"""
"""A Python program that runs its arguments where no name space can be made."""


def pylibos_argv(engine: str, argv: Sequence[str], flags: Sequence[str] = (), env: Mapping[str, str] | None = None) -> list[str]:
    """The argument list that runs `argv` under PyLibOS with exactly the environment `env`."""
    settings = [word for key, value in (env or {}).items() for word in ("-e", f"{key}={value}")]
    return [str(PYLIBOS), "run", "--engine", engine, *settings, *flags, "--", *argv]


class Arena:
    """Working directories for runs: one path, used for every run in turn, so that programs see the same names natively and inside."""

    def __init__(self, base: Path) -> None:
        self._work = base / "work"
        self._out = base / "out"
        self._beside = base / "beside"
        self._beside.mkdir(exist_ok=True)
        (self._beside / "file").write_bytes(b"not granted")
        with suppress(FileExistsError):
            (self._beside / "link").symlink_to("../work")

    @property
    def work(self) -> Path:
        """The working directory of every run."""
        return self._work

    def fresh(self, case: Case) -> None:
        """Empty directories, filled by the case and owned by the user it runs as."""
        for directory in (self._work, self._out):
            remove_tree(directory)
            directory.mkdir(mode=0o755)
        if case.setup is not None:
            case.setup(self._work)
        if case.user is not None and os.getuid() == 0:
            for path in (self._out, self._work, *self._work.rglob("*")):
                os.lchown(path, case.user, case.user)

    def native(self, case: Case) -> Outcome:
        """The oracle. Raises CaseError when the program does not natively do what the case expects."""
        self.fresh(case)
        command, environment = as_user(case.user, case.argv), {**ENVIRONMENT, **case.env}
        completed = run(command, cwd=self._work, env=environment, stdin=case.stdin, timeout=case.timeout)
        if completed.timed_out or completed.status != case.status:
            raise CaseError(f"native run of {case.argv[0]} (expected status {case.status}): {completed.describe()}")
        return self._outcome(case, completed, self._work)

    def contained(self, case: Case, engine: str) -> Outcome:
        """The same under PyLibOS."""
        self.fresh(case)
        argv, flags, produced = list(case.argv), [*case.flags, "-C", str(self._work)], self._work
        flags += ["--rw", str(self._work)] if case.grant == "rw" else ["-v", f"{self._work}:{self._work}:cow"]
        if case.grant == "cow" and case.files:
            # The program's own status is what the run exits with; tar must not add to its output.
            script = '"$@"; status=$?; tar -cf "$OUT/tree.tar" . || exit 99; exit $status'
            argv = ["/bin/sh", "-c", script.replace("$OUT", str(self._out)), "sh", *argv]
            flags += ["--rw", str(self._out)]
        ungranted = [str(self._beside), *([str(self._work)] if case.grant == "cow" else [])]
        before = scan(ungranted, contents=True)
        command = pylibos_argv(engine, argv, flags, {**ENVIRONMENT, **case.env})
        completed = run(as_user(case.user, command), cwd=self._work, env=outer_environment(), stdin=case.stdin, timeout=case.timeout * 2)
        touched = changes(before, scan(ungranted, contents=True))
        if case.files and case.grant == "cow":
            produced = self._unpack()
        return replace(self._outcome(case, completed, produced), touched=tuple(touched))

    def _unpack(self) -> Path:
        target = self._out / "tree"
        target.mkdir()
        subprocess.run(["tar", "-xpf", str(self._out / "tree.tar"), "-C", str(target)], check=False, capture_output=True, timeout=60)
        return target

    @staticmethod
    def _outcome(case: Case, completed: Completed, produced: Path) -> Outcome:
        tree = read_tree(produced, case.ignore) if case.files else {}
        return Outcome(completed, case.normalise(completed.stdout), case.normalise_stderr(completed.stderr), tree)


def outer_environment() -> dict[str, str]:
    """The environment of the pylibos command itself: what it needs to find its interpreter and its cache, nothing of the test run."""
    keep = ("PATH", "HOME", "LANG", "PYTHON", "PYLIBOS_PYTHON", "PYLIBOS_VENV", "PYLIBOS_CACHE", "XDG_CACHE_HOME")
    return {key: value for key, value in os.environ.items() if key in keep}


def remove_tree(path: Path) -> None:
    """Remove a directory whatever its permissions (guests run as another user make some unreadable)."""
    if not path.is_dir() or path.is_symlink():
        return
    for directory, _names, _files in os.walk(path):
        os.chmod(directory, 0o700)
    shutil.rmtree(path)


def read_tree(root: Path, ignore: Sequence[str] = ()) -> Tree:
    """What a directory contains, in comparable form."""
    return dict(_entries(root, root, tuple(ignore)))


def _entries(root: Path, directory: Path, ignore: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, int, str]]]:
    for path in sorted(directory.iterdir()):
        name = str(path.relative_to(root))
        if any(name == left_out or name.startswith(f"{left_out}/") for left_out in ignore):
            continue
        status = path.lstat()
        mode = stat.S_IMODE(status.st_mode)
        if stat.S_ISLNK(status.st_mode):
            yield name, ("l", 0, os.readlink(path))
        elif stat.S_ISDIR(status.st_mode):
            yield name, ("d", mode, "")
            yield from _entries(root, path, ignore)
        elif stat.S_ISREG(status.st_mode):
            yield name, ("f", mode, hashlib.sha256(path.read_bytes()).hexdigest())
        else:
            yield name, (stat.filemode(status.st_mode)[0], mode, "")


def sections(output: bytes) -> dict[str, list[str]]:
    """A C guest's output by case: the lines after each `== name`; what precedes the first is under the empty name."""
    result: dict[str, list[str]] = {"": []}
    current = ""
    for line in output.decode("utf-8", "backslashreplace").splitlines():
        if line.startswith("== "):
            current = line[3:]
            result.setdefault(current, [])
        else:
            result[current].append(line)
    return result


def line_difference(expected: Sequence[str], actual: Sequence[str], limit: int = 40) -> list[str]:
    """The lines that differ, as `-native` and `+inside`, without context: guests' lines speak for themselves."""
    import difflib

    lines = [line for line in difflib.ndiff(list(expected), list(actual)) if line[:1] in "-+"]
    return lines if len(lines) <= limit else [*lines[:limit], f"[{len(lines) - limit} more]"]


def difference(native: Outcome, inside: Outcome) -> dict[str, str]:
    """What differs, by part: a section of standard output (its name), `stderr`, `status`, `files`. Empty when the runs are equal."""
    found: dict[str, str] = {}
    if native.stdout != inside.stdout:
        wanted, got = sections(native.stdout), sections(inside.stdout)
        for name in dict.fromkeys([*wanted, *got]):
            lines = line_difference(wanted.get(name, []), got.get(name, []))
            if lines:
                found[name or "stdout"] = "\n".join(lines)
        if not found:
            found["stdout"] = "the same lines in another order, or other line ends"
    if native.stderr != inside.stderr:
        found["stderr"] = "\n".join(line_difference(_lines(native.stderr), _lines(inside.stderr)))
    if inside.completed.timed_out or native.completed.status != inside.completed.status:
        state = "timed out" if inside.completed.timed_out else str(inside.completed.status)
        found["status"] = f"-{native.completed.status}\n+{state}"
    if native.tree != inside.tree:
        names = sorted(set(native.tree) | set(inside.tree))
        changed = [name for name in names if native.tree.get(name) != inside.tree.get(name)]
        found["files"] = "\n".join(f"{name}: -{native.tree.get(name)} +{inside.tree.get(name)}" for name in changed[:40])
    if inside.touched:
        found["host"] = "\n".join(inside.touched[:40])
    if inside.completed.leaked:
        found["leaked"] = ", ".join(inside.completed.leaked)
    return found


def _lines(data: bytes) -> list[str]:
    return data.decode("utf-8", "backslashreplace").splitlines()


def scratch_directory(prefix: str) -> Path:
    """A new directory that every user can search; the caller removes it."""
    path = Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    path.chmod(0o755)
    return path
