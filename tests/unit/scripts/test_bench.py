"""The benchmark's own arithmetic: a wrong verdict would be quoted for years."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from scripts.bench import measure, report
from scripts.bench.ways import NATIVE, PROOT, Way, make_way
from scripts.bench.workloads import OPERATIONS, Operation, Target, compile_micro

LIMITS = measure.Limits(batches=3, batch_ms=0.1, timeout_s=60)


def row(target: Target, unit: str = "ns", **figures: float) -> report.Row:
    return report.Row("thing", unit, target, {way: [figure] for way, figure in figures.items()})


@pytest.mark.parametrize(
    ("target", "ours", "native", "proot", "verdict"),
    [
        pytest.param(Target.FORWARDED, 130, 100, 50, "met", id="forwarded-at-the-limit"),
        pytest.param(Target.FORWARDED, 131, 100, 9000, "missed", id="forwarded-over-it"),
        pytest.param(Target.EMULATED, 500, 1, 500, "met", id="emulated-like-proot"),
        pytest.param(Target.EMULATED, 501, 500, 500, "missed", id="emulated-slower-than-proot"),
        pytest.param(Target.EXEC, 251, 100, 1000, "missed", id="exec-over-its-limit"),
        pytest.param(Target.NONE, 1e9, 1, 1, "", id="nothing-asked"),
    ],
)
def test_verdict(target: Target, ours: float, native: float, proot: float, verdict: str) -> None:
    assert row(target, pylibos=ours, native=native, proot=proot).verdict("pylibos") == verdict


@pytest.mark.parametrize(("seconds", "verdict"), [(0.150, "met"), (0.151, "missed")])
def test_start_up_is_judged_absolutely(seconds: float, verdict: str) -> None:
    assert row(Target.STARTUP, "s", pylibos=seconds).verdict("pylibos") == verdict


def test_a_failed_way_has_no_figure_and_has_missed() -> None:
    failed = row(Target.FORWARDED, pylibos=1, native=100)
    failed.errors["pylibos"] = "status 1"
    assert failed.value("pylibos") is None
    assert failed.verdict("pylibos") == "missed"
    assert "failed" in report.table([failed], [NATIVE, "pylibos"], markdown=False)


def test_medians_not_means() -> None:
    noisy = report.Row("thing", "ns", Target.NONE, {NATIVE: [1.0, 2.0, 900.0]})
    assert noisy.value(NATIVE) == 2.0


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (None, "ns", "-"),
        (150.4, "ns", "150 ns"),
        (1922.4, "ns", "1.92 us"),
        (0.0123, "s", "12.3 ms"),
        (1.5, "s", "1.5 s"),
        (1e6, "ns", "1 ms"),
    ],
)
def test_show_time(value: float | None, unit: str, shown: str) -> None:
    assert report.show_time(value, unit) == shown


def test_every_column_of_the_markdown_table_has_a_head() -> None:
    text = report.table([row(Target.EMULATED, native=1, pylibos=2, proot=3)], [NATIVE, "pylibos", PROOT], markdown=True)
    assert len({line.count("|") for line in text.splitlines()}) == 1


def test_a_way_that_is_not_installed_is_none(tmp_path: Path) -> None:
    assert make_way("pylibos", ["/nonexistent/pylibos"], [], tmp_path) is None


def test_the_command_comes_last(tmp_path: Path) -> None:
    way = make_way("pylibos-ptrace", ["/bin/true"], ["--net", "loopback"], tmp_path)
    assert way is not None
    assert way.wrap(["ls", "-l"])[-3:] == ["--", "ls", "-l"]
    assert "ptrace" in way.prefix


@pytest.fixture(scope="module")
def micro(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    return compile_micro(tmp_path_factory.mktemp("bench"))


def test_the_table_and_the_program_name_the_same_operations(micro: Path) -> None:
    listed = subprocess.run([micro, "list"], capture_output=True, text=True, check=True).stdout.split()
    assert listed == [operation.name for operation in OPERATIONS]


@pytest.mark.slow
def test_every_operation_gives_a_figure(micro: Path) -> None:
    shown = subprocess.run([micro, "-k", "1", "-t", "0.01", "all"], capture_output=True, text=True, check=True, cwd=micro.parent).stdout
    records = [json.loads(line) for line in shown.splitlines()]
    assert [record["name"] for record in records] == [operation.name for operation in OPERATIONS]
    assert [record for record in records if "error" in record or record["ns"] <= 0] == []
    assert sorted(path.name for path in micro.parent.iterdir()) == ["micro"]


def test_a_command_that_fails_is_an_error_not_a_figure(micro: Path) -> None:
    with pytest.raises(measure.MeasureError, match="status 2"):
        measure.operation_ns(Way(NATIVE, ()), Operation("no_such_operation", Target.NONE), micro, LIMITS)
