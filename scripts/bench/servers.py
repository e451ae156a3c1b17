"""Throughput of servers: the same server with the same client, natively and inside one sandbox, in turn in one run.

`scripts/bench/bench --servers` is the way in. Each workload is a shell script that starts a server in the work directory, lets the server's
own benchmark use it and prints `name rate` lines; the rates of all rounds are kept, medians and ratios computed from them. A workload
whose programs are not installed is left out. Run as root, servers and clients have an ordinary user's ids both natively and inside,
because PostgreSQL refuses root.

Where data lies: in memory both natively (a directory of /dev/shm) and inside (the copy-on-write view), so that the machine's disk is not
what is compared; pgbench_disk has its data on the disk both times (below --rw).
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import re
import resource
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

from scripts.bench.machine import describe, program_version
from scripts.bench.measure import MeasureError
from scripts.bench.ways import NATIVE, command_environment, default_launcher

ORDINARY = 65534
"""The user of servers and clients when root measures."""
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
INSIDE = "pylibos"
TRIES = 4
PATIENCE_S = 10.0
TREE_KB = (1, 4, 16, 64)
"""Sizes of the files that nginx serves; they are there before it starts, as a site is."""

_REDIS = """
redis-server --port $PORT --bind 127.0.0.1 --save '' --appendonly no >redis.log 2>&1 &
until redis-cli -p $PORT ping >/dev/null 2>&1; do sleep 0.05; done
rate() {
    redis-benchmark -p $PORT -c 50 --csv -t set,get "$@" |
        awk -F'"' -v suffix="$suffix" '$2 == "SET" || $2 == "GET" {print "redis_" tolower($2) suffix, $4}'
}
suffix= rate -n $((SECONDS_EACH * 25000))
suffix=_pipelined rate -n $((SECONDS_EACH * 200000)) -P 16
redis-cli -p $PORT shutdown nosave
"""
_NGINX = """
cat >nginx.conf <<EOF
daemon off; worker_processes 2; pid $PWD/nginx.pid; error_log $PWD/error.log;
events { worker_connections 512; }
http {
    access_log off; sendfile on; keepalive_requests 1000000;
    client_body_temp_path $PWD/t1; proxy_temp_path $PWD/t2; fastcgi_temp_path $PWD/t3; uwsgi_temp_path $PWD/t4; scgi_temp_path $PWD/t5;
    server { listen 127.0.0.1:$PORT; root $PWD/tree; }
}
EOF
cat >paths.lua <<EOF
local paths, turn = {"/1.html", "/4.html", "/16.html", "/64.html"}, 0
request = function() turn = turn % 4 + 1; return wrk.format("GET", paths[turn]) end
EOF
nginx -p $PWD -c $PWD/nginx.conf 2>/dev/null &
until ab -q -n 1 http://127.0.0.1:$PORT/1.html >/dev/null 2>&1; do sleep 0.05; done
wrk -t1 -c64 -d$SECONDS_EACH -s paths.lua http://127.0.0.1:$PORT/ |
    awk '/Requests.sec/ {print "nginx_keepalive", $2} /Non-2xx|Socket errors/ {print "failed", $0}'
ab -q -c 64 -t $SECONDS_EACH -n 1000000 http://127.0.0.1:$PORT/4.html 2>/dev/null |
    awk '/^Requests per/ {print "nginx_connections", $4} /^(Failed|Non-2xx)/ && $3 > 0 {print "failed", $0}'
kill -QUIT $(cat nginx.pid)
"""
_POSTGRES = """
set -e
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -n 1)
export PGHOST=$PWD PGPORT=$PORT PGUSER=owner PGDATABASE=postgres
$bin/initdb -D data -U owner -A trust --no-sync --locale=C.UTF-8 -E UTF8 >initdb.log 2>&1
$bin/pg_ctl -D data -w -l postgres.log -o "-k $PWD -p $PORT -c listen_addresses= -c autovacuum=off -c shared_buffers=64MB" start >/dev/null
$bin/pgbench -i -q -s 4 >/dev/null 2>&1
rate() { name=$1; shift; $bin/pgbench -n -T $SECONDS_EACH -c 4 -j 1 "$@" 2>/dev/null | awk -v name=$name '/^tps/ {print name, $3}'; }
rate pgbench$SUFFIX
[ -n "$SUFFIX" ] || rate pgbench_select -S
$bin/pg_ctl -D data -m fast stop >/dev/null
"""


@dataclass(frozen=True, slots=True)
class Workload:
    """A script, the programs it needs, and the least share of the native rate its rows are to reach."""

    name: str
    script: str
    needs: tuple[str, ...]
    target: float
    on_disk: bool = False

    def missing(self) -> list[str]:
        """Programs that are not installed."""
        return [program for program in self.needs if shutil.which(program, path=PATH) is None]


WORKLOADS = (
    Workload("redis", _REDIS, ("redis-server", "redis-benchmark"), 0.8),
    Workload("nginx", _NGINX, ("nginx", "wrk", "ab"), 0.5),
    Workload("postgresql", _POSTGRES, ("psql",), 0.6),
    Workload("postgresql_disk", _POSTGRES, ("psql",), 0.6, on_disk=True),
)


@dataclass(slots=True)
class Row:
    """One rate (per second): figures[way] is one figure per round."""

    name: str
    target: float
    figures: dict[str, list[float]] = field(default_factory=dict)
    others: dict[str, list[float]] = field(default_factory=dict)
    """Share of the processors that others used meanwhile, for each figure."""

    def value(self, way: str) -> float | None:
        """The median, or None without figures."""
        taken = self.figures.get(way)
        return median(taken) if taken else None

    def share(self) -> float | None:
        """The rate inside over the native one."""
        inside, native = self.value(INSIDE), self.value(NATIVE)
        return inside / native if inside is not None and native else None

    def verdict(self) -> str:
        """ "met", "missed", or "" when there is nothing to judge."""
        share = self.share()
        return "" if share is None else "met" if share >= self.target else "missed"

    def to_json(self) -> dict[str, object]:
        """The row as it is saved."""
        told = {"name": self.name, "unit": "1/s", "target": self.target, "share": self.share()}
        return {**told, "figures": self.figures, "others": self.others}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command(way: str, workload: Workload, work: Path, seconds: int, launcher: Sequence[str], flags: Sequence[str]) -> list[str]:
    """The argument list of one run of a workload in its (fresh, writable) work directory."""
    variables = {"PATH": PATH, "PORT": str(_free_port()), "SECONDS_EACH": str(seconds), "SUFFIX": "_disk" if workload.on_disk else ""}
    variables |= {"HOME": str(work), "LC_ALL": "C.UTF-8"}
    root = os.getuid() == 0
    if way == NATIVE:
        ids = ["setpriv", f"--reuid={ORDINARY}", f"--regid={ORDINARY}", "--clear-groups", "--"] if root else []
        return [*ids, "env", "-i", *(f"{name}={value}" for name, value in variables.items()), "/bin/bash", "workload.sh"]
    view = ["--rw", str(work)] if workload.on_disk else ["-v", f"{work}:{work}:cow"]
    ids = ["--uid", str(ORDINARY), "--gid", str(ORDINARY)] if root else []
    named = [word for name, value in variables.items() for word in ("-e", f"{name}={value}")]
    return [*launcher, "run", *view, "-C", str(work), "--net", "loopback", *ids, *named, *flags, "--", "/bin/bash", "workload.sh"]


def rates(output: str) -> dict[str, float]:
    """`name rate` lines. Raises MeasureError when the workload says that something failed, or nothing."""
    found: dict[str, float] = {}
    for line in output.splitlines():
        name, _, value = line.partition(" ")
        if name == "failed":
            raise MeasureError(line)
        if re.fullmatch(r"\d+(\.\d+)?", value):
            found[name] = float(value)
    if not found or min(found.values()) <= 0:
        raise MeasureError(f"no rates in {output[-300:]!r}")
    return found


def take(way: str, workload: Workload, seconds: int, launcher: Sequence[str], flags: Sequence[str]) -> dict[str, float]:
    """The rates of one run. Raises MeasureError."""
    memory = "/dev/shm" if way == NATIVE and not workload.on_disk and os.access("/dev/shm", os.W_OK) else None
    work = Path(tempfile.mkdtemp(prefix="pylibos-bench-", dir=memory))
    try:
        work.chmod(0o755)
        (work / "workload.sh").write_text(workload.script)
        (work / "tree").mkdir()
        for size in TREE_KB:
            (work / "tree" / f"{size}.html").write_bytes(b"x" * (1000 * size))
        if os.getuid() == 0:
            os.chown(work, ORDINARY, ORDINARY)
        argv = command(way, workload, work, seconds, launcher, flags)
        ended = subprocess.run(
            argv, cwd=work, env=command_environment(work), capture_output=True, text=True, timeout=60 + 20 * seconds, check=False
        )
        if ended.returncode:
            raise MeasureError(f"status {ended.returncode}: {ended.stderr[-300:]}")
        return rates(ended.stdout)
    except subprocess.TimeoutExpired:
        raise MeasureError("no end") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _busy() -> tuple[float, float]:
    """Processor seconds that have gone by on all processors: (busy, all). Steal is busy: somebody else's."""
    with open("/proc/stat", encoding="ascii") as file:
        fields = [int(word) for word in file.readline().split()[1:9]]
    tick = os.sysconf("SC_CLK_TCK")
    return (sum(fields) - fields[3] - fields[4]) / tick, sum(fields) / tick


def _adopt_orphans() -> None:
    """What a daemon used is ours to count: become the parent of those that lose theirs (prctl(2), PR_SET_CHILD_SUBREAPER)."""
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)


def _reap() -> None:
    """Wait for every process that is left, for a bounded time."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        try:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                time.sleep(0.02)
        except ChildProcessError:
            return


def take_calmly(calm: float, measure: Callable[[], dict[str, float]]) -> tuple[dict[str, float], float]:
    """measure(), again (TRIES times at most) while processes that are not ours use more than the share ``calm`` of the processors.

    The rates of the calmest attempt, and the others' share during it. Raises MeasureError.
    """
    attempts = []
    for _attempt in range(TRIES):
        before, own = _busy(), resource.getrusage(resource.RUSAGE_CHILDREN)
        taken = measure()
        _reap()
        after, ours = _busy(), resource.getrusage(resource.RUSAGE_CHILDREN)
        used = ours.ru_utime + ours.ru_stime - own.ru_utime - own.ru_stime
        share = max(0.0, after[0] - before[0] - used) / max(after[1] - before[1], 0.01)
        attempts.append((share, taken))
        if share <= calm:
            break
    share, taken = min(attempts, key=lambda attempt: attempt[0])
    return taken, share


def table(rows: Sequence[Row], *, markdown: bool) -> str:
    """The rows as text."""
    lines = [["row", "native, 1/s", "PyLibOS, 1/s", "PyLibOS / native", "target", ""]]
    for row in rows:
        cells = [f"{value:,.0f}" if value is not None else "-" for value in (row.value(NATIVE), row.value(INSIDE))]
        share = row.share()
        lines.append([row.name, *cells, f"{share:.2f}" if share is not None else "-", f"at least {row.target:.2f}", row.verdict()])
    if markdown:
        lines.insert(1, ["---", "---:", "---:", "---:", "---", "---"])
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines)


def versions() -> dict[str, str | None]:
    """What was measured."""
    return {
        "redis": program_version(["redis-server", "--version"], r"v=(\S+)"),
        "nginx": program_version(["/usr/sbin/nginx", "-v"], r"nginx/(\S+)"),
        "postgresql": program_version(["psql", "--version"], r"\) (\S+)"),
    }


def main(arguments: Sequence[str]) -> int:
    """Entry of `bench --servers`. Returns the exit status: 0, 1 when a run failed, 2 for unusable arguments."""
    parser = argparse.ArgumentParser(prog="scripts/bench/bench --servers", description="Servers' throughput, natively and inside.")
    parser.add_argument("--rounds", type=int, default=3, help="figures per row and way (default: %(default)s)")
    parser.add_argument("--seconds", type=int, default=3, help="about how long each client runs (default: %(default)s)")
    parser.add_argument("--only", default="", help=f"comma-separated: {', '.join(workload.name for workload in WORKLOADS)}")
    parser.add_argument("--pylibos", default=shlex.join(default_launcher()), help="the pylibos command (default: as without --servers)")
    parser.add_argument("--flags", default="", help="more flags for `pylibos run`")
    parser.add_argument("--calm", type=float, default=1.0, help="measure again while others use more than this share of the machine")
    parser.add_argument("--json", type=Path, help="save everything here")
    parser.add_argument("--markdown", action="store_true", help="print the table as markdown")
    options = parser.parse_args(arguments)
    machine, launcher = describe(), shlex.split(options.pylibos)
    subprocess.run([*launcher, "version"], check=True, stdout=subprocess.DEVNULL)  # a checkout's first use makes its environment
    _adopt_orphans()
    rows: dict[str, Row] = {}
    failed = False
    for workload in WORKLOADS:
        if options.only and workload.name not in options.only.split(","):
            continue
        if missing := workload.missing():
            print(f"  {workload.name}: {', '.join(missing)} not installed, left out", file=sys.stderr)
            continue
        for _round in range(options.rounds):
            for way in (NATIVE, INSIDE):
                try:
                    measure = partial(take, way, workload, options.seconds, launcher, shlex.split(options.flags))
                    taken, others = take_calmly(options.calm, measure)
                except MeasureError as error:
                    print(f"  {workload.name}, {way}: failed: {error}", file=sys.stderr)
                    failed = True
                    continue
                shown = ", ".join(f"{name} {rate:,.0f}" for name, rate in taken.items())
                print(f"  {way}: {shown} (others used {others:.0%} of the processors)", file=sys.stderr)
                for name, rate in taken.items():
                    row = rows.setdefault(name, Row(name, workload.target))
                    row.figures.setdefault(way, []).append(rate)
                    row.others.setdefault(way, []).append(round(others, 3))
    print(table(list(rows.values()), markdown=options.markdown))
    if options.json:
        saved = {"machine": machine, "versions": versions(), "rounds": options.rounds, "rows": [row.to_json() for row in rows.values()]}
        options.json.write_text(json.dumps(saved, indent=1) + "\n", encoding="utf-8")
    return 1 if failed else 0
