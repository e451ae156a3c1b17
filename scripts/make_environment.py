#!/usr/bin/env python3
"""Make, or bring up to date, the private environment a checkout runs in. Called by scripts/environment.sh when no ready one is found.

Owns the whole slow path: choosing a directory the user may write, one maker at a time (flock), the virtual environment, the
dependencies named in pyproject.toml, the C parts (c_shim/build_shim.py), and the stamp that says "ready". Must not import anything
of pylibos: it runs before there is an environment. The only output on stdout is the directory; progress and errors go to stderr.

The stamp (pylibos-KIND.ready) has four lines: site-packages; further directories joined with ":"; a pycache prefix or nothing; the
directory of the compiled parts. Exit status 125 with one line saying what to install when something is missing.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
import time
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

IMPORT_NAMES = {"import-linter": "importlinter", "pytest-timeout": "pytest_timeout", "python-ptrace": "ptrace"}
NO_MODULE = frozenset({"ruff", "mypy", "import-linter", "types-cffi", "setuptools"})
"""Tools without which the tests still run (those that need them say so): not worth failing for where there is no package index."""

KEPT_BUILDS = 3
"""Compiled parts of older sources that stay: an instance that is still running may have them open by name."""


def say(message: str) -> None:
    """One progress line."""
    print(f"pylibos: {message}", file=sys.stderr, flush=True)


def fail(message: str) -> NoReturn:
    """One error line; the exit status that means "pylibos itself failed"."""
    say(message)
    sys.exit(125)


# ---------------------------------------------------------------------------------------------------- where it goes
def candidates(root: Path) -> Iterator[tuple[Path, Path | None]]:
    """(environment directory, directory that must be private or None), in order of preference. Same order as environment.sh."""
    yield root / ".venv", None
    home = os.environ.get("HOME")
    cache = os.environ.get("XDG_CACHE_HOME") or (f"{home}/.cache" if home else "")
    relative = str(root).lstrip("/")
    if cache:
        private = Path(cache, "pylibos")
        yield private / relative / "+environment", private
    private = Path(f"/tmp/pylibos-{os.geteuid()}")
    yield private / relative / "+environment", private


def make_private(directory: Path) -> bool:
    """Create a 0700 directory of our own, or accept one; False when it cannot be had or belongs to someone else."""
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.mkdir(mode=0o700, exist_ok=True)
        status = directory.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(status.st_mode) and status.st_uid == os.geteuid() and os.access(directory, os.W_OK)


def is_executable(path: Path) -> bool:
    """Whether this user can run it (the environments of other users may lead into a home directory we cannot enter)."""
    return os.access(path, os.X_OK)


def is_ours(directory: Path) -> bool:
    """Whether an existing .venv was made by this script for this interpreter's user (a developer's own .venv is left alone)."""
    python = directory / "bin" / "python"
    usable = is_executable(python) or not os.path.lexists(python)
    return (directory / "pylibos.lock").exists() and usable and os.access(directory, os.W_OK)


def choose_directory(root: Path) -> Path:
    """The first candidate this user can write."""
    for directory, private in candidates(root):
        if private is not None and not make_private(private):
            continue
        try:
            directory.mkdir(parents=True)
        except FileExistsError:
            if is_ours(directory) or not any(directory.iterdir()):
                return directory
        except OSError:
            continue
        else:
            return directory
    fail("no directory to make an environment in: the checkout, ~/.cache and /tmp are all read-only for you; set XDG_CACHE_HOME")


# ------------------------------------------------------------------------------------------------- what goes into it
def bare_name(requirement: str) -> str:
    """'cffi>=1.16' -> 'cffi'."""
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0]


def requirements(root: Path, kind: str) -> list[str]:
    """Requirement strings of pyproject.toml for one kind of use."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    wanted: list[str] = list(project["dependencies"])
    if kind == "test":
        wanted += project["optional-dependencies"]["dev"]
    return wanted


def fingerprint(wanted: list[str]) -> str:
    """Hash of what the installed packages depend on: interpreter and requirements."""
    return hashlib.sha256(repr((sys.version, sys.base_prefix, wanted)).encode()).hexdigest()[:16]


def build_fingerprint(root: Path) -> str:
    """Hash of the C sources and the interpreter they are compiled for."""
    digest = hashlib.sha256(sys.version.encode())
    for path in sorted((root / "c_shim").rglob("*")):
        if path.is_file() and "__pycache__" not in path.parts:
            digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def run(command: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a tool quietly; its output is kept for the error message."""
    return subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        env={**os.environ, **environment},
    )  # fmt: skip


def telling_line(output: str) -> str:
    """The line of a failed tool's output that says most: the first error, or the last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower() and not line.startswith("WARNING")]
    return (errors or lines or ["no output"])[0 if errors else -1][:300]


def create_environment(directory: Path, system_packages: bool) -> bool:
    """Make the virtual environment with pip inside; False when this Python cannot (Debian without python3-venv)."""
    flags = ["--system-site-packages", "--without-pip"] if system_packages else []
    return run([sys.executable, "-I", "-m", "venv", *flags, str(directory)]).returncode == 0


def site_packages(directory: Path) -> Path:
    """The environment's own package directory."""
    return Path(sysconfig.get_path("purelib", "venv", vars={"base": str(directory), "platbase": str(directory)}))


def missing_modules(python: Path | str, wanted: list[str]) -> list[str]:
    """Requirements an interpreter cannot import, by name; version bounds are pip's business."""
    names = [bare_name(text) for text in wanted if bare_name(text) not in NO_MODULE]
    modules = {name: IMPORT_NAMES.get(name, name.replace("-", "_")) for name in names}
    probe = "import importlib.util, sys; print(*[m for m in sys.argv[1:] if importlib.util.find_spec(m) is None])"
    found = run([str(python), "-I", "-c", probe, *modules.values()])
    absent = set(found.stdout.split()) if found.returncode == 0 else set(modules.values())
    return [name for name, module in modules.items() if module in absent]


def install(directory: Path, wanted: list[str]) -> bool:
    """Put the requirements into the environment; True when the system's own packages had to be used instead."""
    python = directory / "bin" / "python"
    first = not python.exists()
    if first:
        say(f"creating an environment in {directory} (first use)")
    with_pip = create_environment(directory, system_packages=False) if first else True
    problem = "this Python cannot make environments (apt-get install python3-venv)"
    if with_pip and is_executable(python):
        say(f"installing {', '.join(bare_name(text) for text in wanted)}")
        pip = [str(python), "-I", "-m", "pip", "--disable-pip-version-check", "--no-input", "install", "--retries", "2", "--timeout", "20"]
        done = run([*pip, "--quiet", *wanted])
        if done.returncode == 0:
            return False
        problem = telling_line(done.stdout)
        if not missing_modules(python, wanted):
            say(f"keeping the installed packages: {problem}")
            return False
    absent = missing_modules(getattr(sys, "_base_executable", sys.executable), wanted)
    if absent:
        if first:
            discard(directory)
        fail(f"cannot install {', '.join(absent)}: {problem}. Check the network (or pip's configuration) and run the command again")
    say("no package index; using the system's own modules")
    if not create_environment(directory, system_packages=True):
        fail("cannot create an environment: apt-get install python3-venv")
    return True


def discard(directory: Path) -> None:
    """Take a failed first attempt away, but keep the lock that others may be waiting for."""
    for entry in directory.iterdir():
        if entry.name != "pylibos.lock":
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


# -------------------------------------------------------------------------------------------------------- the C parts
def check_toolchain() -> None:
    """Say what is missing before the compiler says it at length."""
    if shutil.which("gcc") is None and shutil.which(os.environ.get("CC", "cc")) is None:
        fail("no C compiler: apt-get install gcc libc6-dev (or your distribution's gcc), then run the command again")
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        fail(f"Python.h of {sys.executable} is missing: apt-get install python3-dev (or your distribution's equivalent)")
    try:
        ctypes.CDLL("libseccomp.so.2")
    except OSError:
        fail("libseccomp is missing: apt-get install libseccomp2 (or your distribution's libseccomp), then run the command again")


def compile_c_parts(root: Path, directory: Path) -> Path:
    """Compile c_shim into a directory named after its sources and give that directory; at once when it is there already."""
    script = root / "c_shim" / "build_shim.py"
    target = directory / f"pylibos-build-{build_fingerprint(root)}"
    if target.is_dir() or not script.exists():
        return target
    check_toolchain()
    say("compiling the C parts")
    work = directory / f"pylibos-build.new-{os.getpid()}"
    work.mkdir()
    # HOME: setuptools looks there for settings, and fails for a user who has neither the variable nor an account.
    done = run([str(directory / "bin" / "python"), "-I", str(script), "--out", str(work)], HOME=str(work))
    if done.returncode != 0:
        (directory / "pylibos-build.log").write_text(done.stdout)
        shutil.rmtree(work)
        fail(f"compiling the C parts failed: {telling_line(done.stdout)} (all of it: {directory}/pylibos-build.log)")
    work.rename(target)
    older = sorted((path for path in directory.glob("pylibos-build-*") if path.is_dir()), key=lambda path: path.stat().st_mtime)
    for path in older[:-KEPT_BUILDS]:
        shutil.rmtree(path, ignore_errors=True)
    return target


# ---------------------------------------------------------------------------------------------------------- the stamp
def write_stamp(directory: Path, kind: str, lines: list[str], started_ns: int) -> None:
    """Say "ready", dated when the work began: a source changed meanwhile makes it stale at once."""
    temporary = directory / f"pylibos-{kind}.new-{os.getpid()}"
    temporary.write_text("".join(f"{line}\n" for line in lines))
    os.utime(temporary, ns=(started_ns, started_ns))
    temporary.replace(directory / f"pylibos-{kind}.ready")


def make(root: Path, kind: str, directory: Path) -> None:
    """Everything, under the lock."""
    started_ns = time.time_ns()
    wanted = requirements(root, kind)
    mark = directory / f"pylibos-{kind}.packages"
    marked = mark.read_text().split() if mark.exists() else [""]
    system_packages = "system" in marked
    python = directory / "bin" / "python"
    if os.path.lexists(python) and not is_executable(python):
        discard(directory)  # the interpreter it was made from is gone
    if marked[0] != fingerprint(wanted) or not python.exists():
        system_packages = install(directory, wanted)
        mark.write_text(fingerprint(wanted) + (" system" if system_packages else ""))
    build = compile_c_parts(root, directory)
    extra = ":".join(system_paths()) if system_packages else ""
    prefix = "" if os.access(root, os.W_OK) else str(directory / "pycache")
    for each in ("run", "test") if kind == "test" else ("run",):
        write_stamp(directory, each, [str(site_packages(directory)), extra, prefix, str(build)], started_ns)


def system_paths() -> list[str]:
    """Package directories of the interpreter the environment is made from."""
    probe = run([getattr(sys, "_base_executable", sys.executable), "-I", "-c", "import site; print('\\n'.join(site.getsitepackages()))"])
    return [path for path in probe.stdout.split("\n") if path and Path(path).is_dir()]


def main() -> int:
    """Choose, lock, make, print the directory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--root", type=Path, required=True, help="the checkout")
    parser.add_argument("--kind", choices=("run", "test"), default="run", help="what the environment is for")
    options = parser.parse_args()
    directory = choose_directory(options.root)
    python = directory / "bin" / "python"
    if is_executable(python) and Path(sys.prefix).resolve() != directory.resolve():
        # Everything below depends on the version of the interpreter the environment has, so go on with that one.
        os.execv(python, [str(python), "-I", str(Path(__file__).resolve()), *sys.argv[1:]])
    with (directory / "pylibos.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        make(options.root, options.kind, directory)
    print(directory)
    return 0


if __name__ == "__main__":
    sys.exit(main())
