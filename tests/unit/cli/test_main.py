from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pylibos.cli import main as cli
from pylibos.runtime.status import ExitStatus


@pytest.fixture(autouse=True)
def _hook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)


def command(checkout: Path, *words: str, preamble: str = "") -> subprocess.CompletedProcess[str]:
    """pylibos in a process of its own, as the starter runs it but for the environment."""
    code = f"import sys; sys.path.insert(0, {str(checkout)!r}); {preamble}\nfrom pylibos.cli.main import main; sys.exit(main())"
    return subprocess.run([sys.executable, "-I", "-S", "-c", code, *words], capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param([], "no command given", id="nothing"),
        pytest.param(["rn"], "did you mean run?", id="did-you-mean"),
        pytest.param(["version", "x"], "version takes no argument", id="too-much"),
        pytest.param(["reg"], "reg knows one command: query", id="reg"),
        pytest.param(["reg", "query", "HKLM\\Nowhere"], "OBJECT_NAME_NOT_FOUND", id="no-such-key"),
        pytest.param(["objects", "\\Nowhere"], "OBJECT_NAME_NOT_FOUND", id="no-such-object"),
        pytest.param(["check"], "no policy file given", id="check"),
        pytest.param(["profile", "shwo"], "profile knows two commands", id="profile"),
        pytest.param(["doctor", "x"], "doctor takes no argument", id="doctor"),
        pytest.param(["syscalls", "--support", "emulatd"], "did you mean emulated?", id="kind"),
    ],
)
def test_errors_are_one_line_and_125(capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    assert cli.main(words) == 125
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.mark.parametrize("name", sorted(cli.SUMMARIES))
def test_every_command_has_a_help_page_or_prints(capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert cli.main([name, "--help"]) == 0
    assert capsys.readouterr().out


def test_an_unexpected_exception_ends_with_125(checkout: Path) -> None:
    preamble = "import pylibos.cli.version as v; v.os = None"
    ended = command(checkout, "version", preamble=preamble)
    assert ended.returncode == 125
    assert "AttributeError" in ended.stderr
    assert "this is a bug in PyLibOS" in ended.stderr


def test_the_command_line_loads_no_more_than_it_needs(checkout: Path) -> None:
    ended = command(checkout, "version", preamble="import atexit; atexit.register(lambda: print(*sys.modules))")
    loaded = set(ended.stdout.split())
    assert "pylibos.cli.options" in loaded
    assert not loaded & {"argparse", "typing", "dataclasses", "json", "tomllib", "rich", "re", "difflib", "pylibos.cli.run"}


def test_run_imports_the_runtime_only_when_the_command_line_is_right(checkout: Path) -> None:
    ended = command(checkout, "run", "--ro", preamble="import atexit; atexit.register(lambda: print(*sys.modules))")
    assert ended.returncode == 125
    assert not {name for name in ended.stdout.split() if name.startswith(("pylibos.tracer", "pylibos.emulation"))}


def test_doctor_says_what_this_host_has(capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.main(["doctor", "--json"])
    findings = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == (125 if any(row["essential"] and not row["ok"] for row in findings) else 0)
    assert {"kernel", "ptrace", "seccomp listener", "Landlock"} <= {row["name"] for row in findings}
    assert all(row["ok"] or row["remedy"] for row in findings)


def test_objects_and_registry_show_the_executive(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["objects", "/ObjectTypes"]) == 0
    assert "\\ObjectTypes\\Event" in capsys.readouterr().out
    assert cli.main(["objects", "--types", "Device"]) == 0
    assert "\\Device\\Null" in capsys.readouterr().out
    assert cli.main(["reg", "query", "-s", "hklm/system/computername"]) == 0
    assert "Hostname" in capsys.readouterr().out


def test_the_table_is_printed_and_counted(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["syscalls", "read", "openat"]) == 0
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["read", "openat"]
    assert cli.main(["syscalls", "--json"]) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert cli.main(["syscalls", "--summary"]) == 0
    summary = capsys.readouterr().out
    assert summary.startswith(f"{len(rows)} calls: ")
    assert len(rows) > 370
    for kind in ("forwarded", "emulated", "partial", "refused"):
        assert f"{sum(row['support'] == kind for row in rows)} {kind}" in summary
        assert cli.main(["syscalls", "--support", kind]) == 0
        assert all(line.split()[2] == kind for line in capsys.readouterr().out.splitlines()[:-1])


def test_presets_are_right_and_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["profile", "list"]) == 0
    names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ["default", "strict", "workspace"]
    for name in names:
        assert cli.main(["profile", "show", name]) == 0
        assert capsys.readouterr().out.startswith("# ")
        assert cli.main(["check", name]) == 0
        assert f"{name}: right" in capsys.readouterr().out


def test_a_closed_reader_is_no_traceback(checkout: Path) -> None:
    code = f"import sys; sys.path.insert(0, {str(checkout)!r}); from pylibos.cli.main import main; sys.exit(main(['syscalls']))"
    reader, writer = os.pipe()
    os.close(reader)
    python = [sys.executable, "-I", "-S", "-c", code]
    ended = subprocess.run(python, stdout=writer, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, "")


@pytest.mark.parametrize("reason", ["", "exited", "Exit"])
def test_a_status_has_a_known_reason(reason: str) -> None:
    with pytest.raises(ValueError, match=reason or "^$"):
        ExitStatus(reason=reason)
