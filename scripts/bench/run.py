"""The driver: every row, every way in turn, for a number of rounds; then the table and a JSON file.

Within a row the ways alternate (A B C A B C ...), so that a drift of the machine's speed meets all of them alike. The exit
status is 0 when every measurement could be taken, 1 when one failed, 2 for unusable arguments; missing a target is not a
failure here, it is what the table shows.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from scripts.bench import measure, report, servers
from scripts.bench.machine import describe
from scripts.bench.ways import ALL_WAYS, Way, default_launcher, make_way
from scripts.bench.workloads import OPERATIONS, PROGRAMS, compile_micro

EVERYTHING = ("micro", "programs", "memory")
FIRST_USE_SECONDS = 600.0
"""Time for the first run of a way, in which a checkout of PyLibOS makes its environment."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="scripts/bench/bench", description="Native, PyLibOS and PRoot, measured in turn.")
    parser.add_argument("--servers", action="store_true", help="the throughput of servers instead (--servers --help)")
    parser.add_argument("--ways", default=",".join(ALL_WAYS), help="comma-separated (default: %(default)s)")
    parser.add_argument("--sections", default=",".join(EVERYTHING), help="comma-separated (default: %(default)s)")
    parser.add_argument("--only", default="", help="comma-separated row names; all when empty")
    parser.add_argument("--rounds", type=int, default=5, help="figures per row and way (default: %(default)s)")
    parser.add_argument("--batches", type=int, default=5, help="batches per figure of an operation (default: %(default)s)")
    parser.add_argument("--batch-ms", type=float, default=5.0, help="least length of a batch (default: %(default)s)")
    parser.add_argument("--timeout", type=float, default=120.0, help="seconds for one run (default: %(default)s)")
    parser.add_argument(
        "--pylibos", default=shlex.join(default_launcher()), help="the pylibos command (default: $PYLIBOS or scripts/pylibos)"
    )
    parser.add_argument("--cpu", type=int, help="keep everything on this processor (default: the scheduler places)")
    parser.add_argument("--flags", default="--net loopback", help="more flags for `pylibos run`")
    parser.add_argument("--json", type=Path, help="save everything here")
    parser.add_argument("--markdown", action="store_true", help="print the table as markdown")
    return parser


def _measure_row(row: report.Row, ways: Sequence[Way], rounds: int, take: Callable[[Way], float]) -> None:
    """Fill a row: one figure per way and round, in turn; a way that fails once is not tried again."""
    for _ in range(rounds):
        for way in ways:
            if way.name in row.errors:
                continue
            try:
                row.figures.setdefault(way.name, []).append(take(way))
            except measure.MeasureError as error:
                row.errors[way.name] = str(error)
    shown = ", ".join(f"{way.name} {report.show_time(row.value(way.name), row.unit)}" for way in ways)
    print(f"  {row.name}: {shown}", file=sys.stderr)
    for name, text in row.errors.items():
        print(f"    {name} failed: {text}", file=sys.stderr)


def _run_micro(options: argparse.Namespace, ways: Sequence[Way], work: Path, limits: measure.Limits) -> list[report.Row]:
    rows = []
    micro = compile_micro(work)
    for operation in OPERATIONS:
        if options.only and operation.name not in options.only.split(","):
            continue
        row = report.Row(operation.name, "ns", operation.target)
        take = partial(measure.operation_ns, operation=operation, micro=micro, limits=limits)
        _measure_row(row, ways, options.rounds, take)
        rows.append(row)
    return rows


def _run_programs(options: argparse.Namespace, ways: Sequence[Way], work: Path, limits: measure.Limits) -> list[report.Row]:
    rows = []
    for program in PROGRAMS:
        if options.only and program.name not in options.only.split(","):
            continue
        if not program.is_available():
            print(f"  {program.name}: {program.argv[0]} is not installed, left out", file=sys.stderr)
            continue
        program.prepare(work)
        row = report.Row(program.name, "s", program.target)
        take = partial(measure.program_seconds, program=program, work=work, limits=limits)
        _measure_row(row, ways, options.rounds + 1, take)
        for figures in row.figures.values():
            del figures[:1]  # the first run of each way warms the page cache
        rows.append(row)
    return rows


def _run_memory(options: argparse.Namespace, ways: Sequence[Way], work: Path) -> dict[str, dict[str, object]]:
    """Supervisor PSS of each way that has a supervisor: {"kib": [..]} or {"error": text}."""
    results: dict[str, dict[str, object]] = {}
    for way in ways:
        if not way.prefix:
            continue
        try:
            figures = [measure.supervisor_pss_kib(way, work, options.timeout) for _ in range(min(options.rounds, 3))]
            results[way.name] = {"kib": figures}
            print(f"  supervisor of {way.name}: {sorted(figures)[len(figures) // 2] / 1024:.1f} MiB PSS", file=sys.stderr)
        except measure.MeasureError as error:
            results[way.name] = {"error": str(error)}
            print(f"  supervisor of {way.name}: failed: {error}", file=sys.stderr)
    return results


def _ways(options: argparse.Namespace, work: Path) -> list[Way]:
    found = []
    for name in options.ways.split(","):
        if name not in ALL_WAYS:
            raise SystemExit(f"bench: no way called {name!r}; there are {', '.join(ALL_WAYS)}")
        way = make_way(name, shlex.split(options.pylibos), shlex.split(options.flags), work)
        if way is None:
            print(f"  {name}: not on this machine, left out", file=sys.stderr)
            continue
        try:
            measure.prepare(way, work, FIRST_USE_SECONDS)
        except measure.MeasureError as error:
            print(f"  {name}: does not run here, left out: {error}", file=sys.stderr)
            continue
        found.append(way)
    return found


def _measure_all(options: argparse.Namespace, work: Path) -> int:
    limits = measure.Limits(options.batches, options.batch_ms, options.timeout)
    machine = describe()
    ways = _ways(options, work)
    sections = options.sections.split(",")
    rows: list[report.Row] = []
    if "micro" in sections:
        rows += _run_micro(options, ways, work, limits)
    if "programs" in sections:
        rows += _run_programs(options, ways, work, limits)
    memory = _run_memory(options, ways, work) if "memory" in sections else {}
    names = [way.name for way in ways]
    print(f"{machine['kernel']}, {machine['processor']}, {machine['cores']} cores, {machine['memory_mib']} MiB, Python {machine['python']}")
    print(report.table(rows, names, markdown=options.markdown))
    for name, result in memory.items():
        print(f"supervisor PSS, {name}: {result}")
    if options.json:
        saved: dict[str, object] = {"machine": machine, "ways": names, "rounds": options.rounds, "cpu": options.cpu}
        saved |= {"rows": [row.to_json() for row in rows], "memory": memory}
        options.json.write_text(json.dumps(saved, indent=1) + "\n", encoding="utf-8")
    return 1 if any(row.errors for row in rows) or any("error" in result for result in memory.values()) else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry. Returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if "--servers" in words:
        words.remove("--servers")
        return servers.main(words)
    options = _parser().parse_args(words)
    if options.rounds < 1:
        print("bench: --rounds must be at least 1", file=sys.stderr)
        return 2
    if options.cpu is not None:
        os.sched_setaffinity(0, {options.cpu})
    work = Path(tempfile.mkdtemp(prefix="pylibos-bench-"))
    work.chmod(0o755)
    try:
        return _measure_all(options, work)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(work, ignore_errors=True)
