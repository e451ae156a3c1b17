"""pylibos run up to the runtime: the RunConfig a command line makes, and what becomes of the ExitStatus. No guest is started."""

from __future__ import annotations

import json
import os
import sys
import types
from pathlib import Path

import pytest

from pylibos.cli.main import main
from pylibos.monitor.manifest import MountMode, Network
from pylibos.runtime.config import RunConfig
from pylibos.runtime.status import ExitStatus, ProgramNotExecutable, ProgramNotFound, PylibosError


class Runtime:
    """Stands in for pylibos.runtime.run: keeps the configuration and answers what the test asked for."""

    def __init__(self) -> None:
        self.answer: ExitStatus | PylibosError = ExitStatus()
        self.seen: list[RunConfig] = []

    def run(self, config: RunConfig) -> ExitStatus:
        self.seen.append(config)
        if isinstance(self.answer, PylibosError):
            raise self.answer
        return self.answer

    @property
    def config(self) -> RunConfig:
        assert len(self.seen) == 1
        return self.seen[0]


@pytest.fixture
def runtime(monkeypatch: pytest.MonkeyPatch) -> Runtime:
    fake = Runtime()
    module = types.ModuleType("pylibos.runtime.run")
    vars(module)["run"] = fake.run
    monkeypatch.setitem(sys.modules, "pylibos.runtime.run", module)
    hook = sys.excepthook
    monkeypatch.setattr(sys, "excepthook", hook)
    return fake


def test_words_reach_the_program_untouched(runtime: Runtime) -> None:
    assert main(["run", "--", "ls", "--color", "-v", "a b", "\udcff"]) == 0
    assert runtime.config.argv == (b"ls", b"--color", b"-v", b"a b", b"\xff")


def test_options_after_the_program_are_its_own(runtime: Runtime) -> None:
    main(["run", "--net", "loopback", "ls", "--net", "none"])
    assert runtime.config.argv == (b"ls", b"--net", b"none")
    assert runtime.config.policy.manifest.network is Network.LOOPBACK


def test_the_environment_is_closed_by_default(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        monkeypatch.delenv(name)
    host = {"HOME": "/home/x", "USER": "ada", "TERM": "xterm", "LANG": "C", "LC_ALL": "C", "TZ": "UTC", "PATH": "/evil"}
    for name, value in (host | {"LD_PRELOAD": "/e", "AWS_KEY": "1", "FOO": "1"}).items():
        monkeypatch.setenv(name, value)
    main(["run", "--uid", "1000", "--", "env"])
    environment = runtime.config.environment
    assert set(environment) == {b"PATH", b"HOME", b"USER", b"TERM", b"LANG", b"LC_ALL", b"TZ", b"PYLIBOS", b"PYLIBOS_NETWORK"}
    assert environment[b"USER"] == b"ada"
    assert b"/evil" not in environment[b"PATH"]
    assert environment[b"PYLIBOS_NETWORK"] == b"none"


def test_later_variables_win_and_marks_cannot_be_faked(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDITOR", "vi")
    main(["run", "-e", "A=1", "-e", "A=2", "-e", "EDITOR", "-e", "PYLIBOS=0", "-e", "PYLIBOS_NETWORK=all", "--", "env"])
    environment = runtime.config.environment
    assert (environment[b"A"], environment[b"EDITOR"]) == (b"2", b"vi")
    assert (environment[b"PYLIBOS"], environment[b"PYLIBOS_NETWORK"]) == (b"1", b"none")


def test_policy_file_then_flags(runtime: Runtime, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    policy = tmp_path / "p.toml"
    policy.write_text(
        'version = 1\nnetwork = "loopback"\ncwd = "/usr"\n[limits]\ntimeout = "5s"\n[environment.set]\nA = "file"\nB = "file"\n'
    )
    main(["run", "-p", str(policy), "-e", "A=flag", "--timeout", "200ms", "-w", str(tmp_path / "data"), "--tmpfs", "/scratch", "--", "x"])
    config = runtime.config
    assert config.timeout_ns == 200_000_000
    assert config.cwd == b"/usr"
    assert (config.environment[b"A"], config.environment[b"B"]) == (b"flag", b"file")
    assert config.environment[b"PYLIBOS_NETWORK"] == b"loopback"
    mounts = {mount.guest_path: mount for mount in config.policy.mounts}
    assert mounts[os.fsencode(tmp_path.resolve() / "data")].mode is MountMode.RW
    assert mounts[b"/scratch"].mode is MountMode.TMPFS


def test_root_inside(runtime: Runtime) -> None:
    main(["run", "--as-root", "--", "id"])
    assert (runtime.config.uid, runtime.config.gid) == (0, 0)
    assert runtime.config.environment[b"USER"] == b"root"


def test_a_memory_limit(runtime: Runtime) -> None:
    main(["run", "-m", "512M", "--", "x"])
    assert runtime.config.policy.manifest.limits.memory == 512 << 20


def test_a_root_directory(runtime: Runtime, tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/passwd").write_text("ada:x:7:7::/home/ada:/bin/sh\n")
    main(["run", "--root", str(tmp_path), "--uid", "7", "--", "x"])
    config = runtime.config
    assert config.policy.mount_plan()[0].source == os.fsencode(tmp_path.resolve())
    assert (config.environment[b"HOME"], config.environment[b"USER"], config.cwd) == (b"/home/ada", b"ada", b"/")


def test_verbosity(runtime: Runtime) -> None:
    main(["run", "-vv", "--", "x"])
    assert runtime.config.verbose == 2


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        pytest.param(ExitStatus(code=0), 0, {"reason": "exit", "signal": None}, id="success"),
        pytest.param(ExitStatus(code=3), 3, {"reason": "exit"}, id="its-own-code"),
        pytest.param(ExitStatus(code=125), 125, {"reason": "exit"}, id="its-own-125"),
        pytest.param(ExitStatus(signal=9, reason="signal"), 137, {"reason": "signal", "signal": 9}, id="killed"),
        pytest.param(ExitStatus(signal=11, reason="signal"), 139, {"signal": 11}, id="crashed"),
        pytest.param(ExitStatus(signal=9, reason="timeout"), 124, {"reason": "timeout"}, id="timeout"),
        pytest.param(ExitStatus(reason="internal"), 125, {"reason": "internal"}, id="our-fault"),
        pytest.param(ExitStatus(signal=9, reason="limit:memory"), 137, {"reason": "limit:memory"}, id="limit"),
        pytest.param(ExitStatus(denied=["open(read) /etc/shadow"], usage={"user_ns": 5}), 0, {"usage": {"user_ns": 5}}, id="details"),
    ],
)
def test_exit_codes_and_status_file(runtime: Runtime, tmp_path: Path, status: ExitStatus, code: int, expected: dict[str, object]) -> None:
    runtime.answer = status
    assert main(["run", "--status-file", str(tmp_path / "status"), "--", "x"]) == code
    line = json.loads((tmp_path / "status").read_text())
    assert set(line) == {"event", "code", "signal", "reason", "denied", "usage"}
    assert line["code"] == code
    assert line["denied"] == list(status.denied)
    assert line.items() >= expected.items()


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        pytest.param(ProgramNotFound("zzz: not found"), 127, "not-found", id="127"),
        pytest.param(ProgramNotExecutable("zzz: not executable"), 126, "not-executable", id="126"),
        pytest.param(PylibosError("ptrace is not permitted", "pylibos doctor says more"), 125, "internal", id="125"),
    ],
)
def test_failures_to_start(
    runtime: Runtime, capsys: pytest.CaptureFixture[str], error: PylibosError, code: int, reason: str
) -> None:
    runtime.answer = error
    reader, writer = os.pipe()
    assert main(["run", "--status-fd", str(writer), "--", "zzz"]) == code
    os.close(writer)
    with os.fdopen(reader) as pipe:
        assert json.loads(pipe.read())["reason"] == reason
    captured = capsys.readouterr().err
    assert captured.startswith(f"pylibos: {error.message}")
    assert captured.count("\n") == 1


def test_status_descriptor_is_not_inherited(runtime: Runtime) -> None:
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)
    main(["run", "--status-fd", str(writer), "--", "x"])
    assert runtime.config.status_fd == writer
    assert not os.get_inheritable(writer)
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param([], "no program given", id="no-program"),
        pytest.param(["--"], "no program given", id="only-separator"),
        pytest.param(["--", ""], "no program given", id="empty-program"),
        pytest.param(["--rox", "/usr", "--", "x"], "unknown option --rox; did you mean --ro?", id="did-you-mean"),
        pytest.param(["--ro", "/no/such", "--", "x"], "/no/such", id="grant-of-nothing"),
        pytest.param(["-v", "/usr:/x:wr", "--", "x"], 'unknown mode "wr"', id="mount-mode"),
        pytest.param(["--timeout", "soon", "--", "x"], '"soon" is not a duration', id="duration"),
        pytest.param(["--net", "lopback", "--", "x"], 'did you mean "loopback"?', id="network"),
        pytest.param(["--net", "example.org", "--", "x"], "expected HOST:PORT", id="network-no-port"),
        pytest.param(["--net", "none,127.1:80", "--", "x"], '"127.1" is not an address', id="network-odd-address"),
        pytest.param(["--publish", "80", "--", "x"], "expected [HOST:]PORT:GUESTPORT", id="publish"),
        pytest.param(["--publish", "host:80:80", "--", "x"], '"host" is not an address', id="publish-name"),
        pytest.param(["--engine", "kvm", "--", "x"], "choose one of: notify, ptrace", id="engine"),
        pytest.param(["--cpus", "2", "--", "x"], "no processor limit is enforced yet", id="limits-not-yet"),
        pytest.param(["-m", "much", "--", "x"], '"much" is not a size', id="memory"),
        pytest.param(["--status-fd", "999", "--", "x"], "not an open descriptor", id="closed-descriptor"),
        pytest.param(["--status-fd", "x", "--", "x"], "not an open descriptor", id="no-number"),
        pytest.param(["--audit", "/no/such/dir/a", "--", "x"], "no such directory", id="audit-directory"),
        pytest.param(["--cwd", "usr", "--", "x"], "a path inside the guest starts with /", id="relative-cwd"),
        pytest.param(["--as-root", "--uid", "5", "--", "x"], "--as-root contradicts --uid", id="root-and-uid"),
        pytest.param(["--root", "--", "id"], "to be root inside: --as-root", id="root-without-directory"),
        pytest.param(["--root", "id", "-u"], "unknown option -u", id="root-as-it-was"),
        pytest.param(["--root", "/no/such", "--", "x"], "to be root inside write --as-root", id="no-such-root"),
        pytest.param(["--root", "/etc/passwd", "--", "x"], "not a directory", id="root-is-a-file"),
        pytest.param(["--hostname", "a" * 65, "--", "x"], "longer than 64 bytes", id="host-name"),
        pytest.param(["-e", "NOT_SET_ANYWHERE", "--", "x"], "the variable is not set here", id="unset-variable"),
        pytest.param(["-p", "workspac", "--", "x"], "did you mean workspace?", id="preset"),
        pytest.param(["-p", "/no/such.toml", "--", "x"], "there is no such file", id="policy-file"),
    ],
)
def test_wrong_command_lines_end_with_125_and_one_line(
    runtime: Runtime, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["run", *words]) == 125
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert not runtime.seen


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("version = 2", "version 2 is not supported", id="version"),
        pytest.param("", "version = 1 is missing", id="empty"),
        pytest.param('version = 1\n[files]\nros = ["/usr"]', 'did you mean "ro"?', id="unknown-key"),
        pytest.param('version = 1\n[limits]\nmemory = "lots"', '"lots" is not a size', id="memory"),
        pytest.param('version = 1\non_deny = "kill"', "not enforced yet", id="unenforced-kill"),
        pytest.param("version = = 1", "not TOML", id="not-toml"),
        pytest.param("version = 1\n[files]\nro = ['/no/such']", "/no/such", id="grant-of-nothing"),
    ],
)
def test_wrong_policies(runtime: Runtime, capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, message: str) -> None:
    policy = tmp_path / "p.toml"
    policy.write_text(text)
    for words in (["check", str(policy)], ["run", "-p", str(policy), "--", "x"]):
        assert main(words) == 125
        captured = capsys.readouterr().err
        assert message in captured
        assert captured.count("\n") == 1
    assert not runtime.seen


def test_messages_cannot_steer_the_terminal(runtime: Runtime, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--\x1b[2Jro", "--", "x"]) == 125
    captured = capsys.readouterr().err
    assert "\x1b" not in captured
    assert "\\x1b" in captured


def test_help_has_the_exit_codes(runtime: Runtime, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--help"]) == 0
    page = capsys.readouterr().out
    for code in ("124", "125", "126", "127", "128+n"):
        assert code in page
