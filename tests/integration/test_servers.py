"""Servers, really started and really used: each with its clients in one sandbox with a loopback network, against its native run.

The drivers are in tests/servers: programs that start a server, use it and print what they saw. With `--servers all` every driver runs on
both engines and as both users; otherwise (in CI, where time is short) what takes long runs only once.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.harness.comparison import NATIVE, NOBODY, ROOT, Case
from tests.harness.plugin import Comparer

DRIVERS = ROOT / "tests" / "servers"
PACKAGES = {
    "redis": ("redis-server", "redis-cli", "redis-benchmark"),
    "nginx": ("nginx", "ab"),
    "postgres": ("psql", "pgbench"),
    "memcached": ("memcached",),
    "web node": ("node",),
    "web java": ("java",),
    "web gunicorn": ("gunicorn",),
    "web gunicorn threads": ("gunicorn",),
    "web go": ("go",),
}
"""Driver and arguments -> the programs it needs."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def place_drivers(work: Path) -> None:
    """The drivers as the package they are, in a working directory that every user may write to (not only who runs the tests)."""
    work.chmod(0o777)
    shutil.copytree(DRIVERS, work / "tests" / "servers", ignore=shutil.ignore_patterns("__pycache__"))


def server_case(name: str, *words: str, user: int | None = None, flags: tuple[str, ...] = ()) -> Case:
    """A driver's run. Skips the test when a program it needs is not installed."""
    missing = [program for program in PACKAGES[name] if shutil.which(program, path=PATH) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    module, *arguments = name.split()
    return Case(
        argv=("/usr/bin/python3", "-m", f"tests.servers.{module}", *arguments, *words),
        env={"PYTHONDONTWRITEBYTECODE": "1", "PATH": PATH},
        setup=place_drivers,
        user=user,
        flags=("--net", "loopback", *flags),
        timeout=120,
    )


def choose(request: pytest.FixtureRequest, *, often: bool) -> None:
    """Skip what is only run with `--servers all`."""
    if not often and request.config.getoption("--servers") != "all":
        pytest.skip("only with --servers all")


USERS = [pytest.param(None, id="caller"), pytest.param(NOBODY, id="nobody")]


def chosen_user(user: int | None) -> int | None:
    """The user of a case; skips what needs root to choose one."""
    if user is not None and os.getuid() != 0:
        pytest.skip("choosing a user needs root")
    return user


@pytest.mark.guest
@pytest.mark.slow
@pytest.mark.parametrize("user", USERS)
@pytest.mark.parametrize("name", ["redis", "nginx", "memcached"])
def test_server(comparer: Comparer, request: pytest.FixtureRequest, engine: str, name: str, user: int | None) -> None:
    choose(request, often=engine != "ptrace" and user is None)
    words = ("ab",) if name == "nginx" else ()
    case = server_case(name, *words, user=chosen_user(user))
    comparer.check(f"servers::{name}{user or ''}", case, engine)


@pytest.mark.guest
@pytest.mark.slow
def test_postgresql(comparer: Comparer, request: pytest.FixtureRequest, engine: str) -> None:
    """As an ordinary user: PostgreSQL refuses root."""
    choose(request, often=engine != "ptrace")
    case = server_case("postgres", "1", user=NOBODY if os.getuid() == 0 else None)
    comparer.check("servers::postgres", case, engine)


@pytest.mark.guest
@pytest.mark.slow
def test_postgresql_of_a_guest_user_below_root(comparer: Comparer, request: pytest.FixtureRequest, engine: str) -> None:
    """A root supervisor, and a guest that is an ordinary user inside."""
    choose(request, often=False)
    if os.getuid() != 0:
        pytest.skip("a root supervisor needs root")
    native = comparer.oracle("servers::postgres", server_case("postgres", "1", user=NOBODY))
    if engine != NATIVE:
        outcome = comparer.inside(server_case("postgres", "1", flags=("--uid", "1000", "--gid", "1000")), engine)
        assert (outcome.completed.status, outcome.stdout, outcome.stderr) == (0, native.stdout, b""), outcome.completed.describe()


def java_modules() -> str:
    """What this java has."""
    return subprocess.run(["java", "--list-modules"], capture_output=True, text=True, check=False, timeout=60).stdout


@pytest.mark.guest
@pytest.mark.slow
@pytest.mark.parametrize("name", ["web node", "web java", "web gunicorn", "web gunicorn threads"])
def test_web_server(comparer: Comparer, request: pytest.FixtureRequest, engine: str, name: str) -> None:
    choose(request, often=engine != "ptrace" and name != "web gunicorn threads")
    if name == "web java" and "jdk.compiler" not in java_modules():
        pytest.skip("this java compiles no sources")
    comparer.check(f"servers::{name.replace(' ', '-')}", server_case(name), engine)


@pytest.fixture(scope="module")
def go_server(scratch: Path) -> Path:
    """tests/servers/go_server.go, built natively."""
    if shutil.which("go") is None:
        pytest.skip("not installed: go")
    directory = scratch / "go-server"
    directory.mkdir(mode=0o755)
    shutil.copy(DRIVERS / "go_server.go", directory / "main.go")
    env = {"PATH": os.environ["PATH"], "HOME": str(directory), "GOCACHE": str(directory / "cache"), "GOFLAGS": "-mod=mod"}
    program = directory / "server"
    command = ["go", "build", "-o", str(program), "main.go"]
    done = subprocess.run(command, cwd=directory, env=env, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    shutil.rmtree(directory / "cache", ignore_errors=True)
    return program


@pytest.mark.guest
@pytest.mark.slow
def test_go_server(comparer: Comparer, request: pytest.FixtureRequest, engine: str, go_server: Path) -> None:
    choose(request, often=engine != "ptrace")
    comparer.check("servers::go", server_case("web go", str(go_server), flags=("--ro", str(go_server))), engine)
