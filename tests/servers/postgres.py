"""PostgreSQL: a new cluster, clients over a UNIX socket and TCP, pgbench, locks between sessions, a crash and what is there after it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.servers.tools import DriverError, Server, free_port, run, show, until

OPTIONS = ("fsync=on", "max_connections=20", "shared_buffers=16MB", "log_line_prefix=", "log_checkpoints=off", "autovacuum=off")
SCHEMA = """
create table kind(id int primary key, name text not null unique);
create table item(id serial primary key, kind int references kind, weight numeric(8,2), made date, extra jsonb, check (weight >= 0));
insert into kind select n, 'kind ' || n from generate_series(1, 20) n;
insert into item(kind, weight, made, extra)
  select 1 + n % 20, n * 1.25, date '2020-01-01' + n, jsonb_build_object('n', n, 'square', n * n) from generate_series(1, 2000) n;
create index on item(kind, weight);
create view heavy as select kind.name, count(*) as items, sum(weight) as total
  from item join kind on kind.id = item.kind group by 1 having sum(weight) > 100;
create function twice(x int) returns int language plpgsql as $$ begin return 2 * x; end $$;
"""
QUESTIONS = (
    "select version() ~ '^PostgreSQL', current_setting('server_encoding')",
    "select count(*), sum(weight), min(made), max(made) from item",
    "select name, items, total from heavy order by total desc limit 2",
    "select extra->>'square' from item where extra @> '{\"n\": 77}'",
    "select twice(21), pg_size_pretty(pg_relation_size('kind')) <> ''",
    "with recursive f(a, b) as (select 0, 1 union all select b, a + b from f where b < 1000) select string_agg(a::text, ',') from f",
    "select md5(string_agg(id::text || weight::text, ';' order by id)) from item",
)


def find(name: str) -> str:
    """A server program, which Debian keeps out of the search path."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    if not found:
        raise DriverError(f"no {name}")
    return str(found[-1])


class Cluster:
    """One data directory and its server."""

    def __init__(self, here: Path, port: int) -> None:
        self.here, self.port, self.data = here, port, here / "data"
        os.environ.update(PGHOST=str(here), PGPORT=str(port), PGUSER="owner", PGDATABASE="postgres", PGCONNECT_TIMEOUT="30")

    def start(self) -> Server:
        """A server that takes connections."""
        words = ["-D", str(self.data), "-k", str(self.here), "-p", str(self.port), "-c", "listen_addresses=127.0.0.1"]
        words += [word for option in OPTIONS for word in ("-c", option)]
        server = Server([find("postgres"), *words], "postgres.log", self.port)
        until(lambda: subprocess.run([find("pg_isready"), "-q"], check=False, timeout=60).returncode == 0, "the server to be ready")
        return server

    def ask(self, statement: str, **env: str) -> str:
        """What psql prints, unaligned."""
        return run("psql", "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", "-c", statement, env=env).strip()


def questions(cluster: Cluster) -> None:
    """The same questions as ever."""
    for question in QUESTIONS:
        show(question, "->", cluster.ask(question))


def sessions(cluster: Cluster) -> None:
    """Sessions that wait for each other, are told of things and are cancelled."""
    holder = subprocess.Popen(
        ["psql", "-X", "-q", "-At"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, bufsize=1
    )
    assert holder.stdin is not None
    assert holder.stdout is not None
    holder.stdin.write("begin; update kind set name = 'held' where id = 1 returning name;\n")
    show("held:", holder.stdout.readline().strip())
    change = "update kind set name = name || ' and more' where id = 1 returning name"
    waiter = subprocess.Popen(["psql", "-X", "-q", "-At", "-c", change], stdout=subprocess.PIPE, text=True)
    waiting = "select count(*) from pg_stat_activity where wait_event_type = 'Lock'"
    until(lambda: cluster.ask(waiting) == "1", "a session to wait for a lock")
    show("locks not granted:", cluster.ask("select count(*) from pg_locks where not granted"))
    holder.stdin.write("commit;\n")
    show("after the commit:", waiter.communicate(timeout=60)[0].strip())
    holder.stdin.write("listen news;\nselect pg_backend_pid();\n")
    holder.stdout.readline()
    cluster.ask("notify news, 'hello'")
    holder.stdin.write("select 'asked';\n")
    show(holder.stdout.readline().strip())
    show(re.sub(r"PID \d+", "PID", holder.stdout.readline().strip()))
    holder.stdin.write("select pg_sleep(600);\n")
    busy = "select pid from pg_stat_activity where query ~ '^select pg_sleep'"
    until(lambda: cluster.ask(busy) != "", "the sleeper")
    show("cancelled:", cluster.ask(f"select pg_cancel_backend(pid) from ({busy}) as sleeper"))
    show(holder.stdout.readline().strip())
    holder.stdin.close()
    show("psql", holder.wait(60))


def bench(cluster: Cluster, seconds: int) -> None:
    """pgbench, and whether its books balance."""
    run("pgbench", "-i", "-q", "-s", "1")
    output = run("pgbench", "-T", str(seconds), "-c", "4", "-j", "2", "-P", "1")
    done = re.search(r"actually processed: (\d+)", output)
    show("pgbench ran", done is not None and int(done[1]) > 0, re.findall(r"failed transactions: (\S+)", output))
    show("balanced", cluster.ask("select (select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history)"))
    show("balanced", cluster.ask("select (select sum(bbalance) from pgbench_branches) = (select sum(tbalance) from pgbench_tellers)"))


def crash(cluster: Cluster) -> None:
    """A backend is killed, then the whole server; committed work is there, the rest is not."""
    with cluster.start() as server:
        pipe = subprocess.PIPE
        backend = subprocess.Popen(
            ["psql", "-X", "-q", "-At"], stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, text=True, bufsize=1
        )
        assert backend.stdin is not None
        assert backend.stdout is not None
        backend.stdin.write("begin; insert into kind values (99, 'lost'); select pg_backend_pid();\n")
        os.kill(int(backend.stdout.readline()), signal.SIGKILL)
        until(lambda: "all server processes terminated; reinitializing" in server.log.read_text(), "the server to start again by itself")
        until(lambda: subprocess.run([find("pg_isready"), "-q"], check=False, timeout=60).returncode == 0, "the server to be back")
        backend.stdin.close()
        show("the killed session's psql", backend.wait(60))
        show("lost:", cluster.ask("select count(*) from kind where id = 99"))
        cluster.ask("insert into kind values (98, 'kept')")
        show("ended at once", server.end(signal.SIGQUIT))
    with cluster.start() as server:
        show("recovered", "automatic recovery in progress" in server.log.read_text())
        show("kept:", cluster.ask("select name from kind where id = 98"))
        questions(cluster)
        show("ended", server.end(signal.SIGINT))


def main() -> int:
    """A cluster's life in one directory."""
    here = Path.cwd()
    cluster = Cluster(here, free_port())
    run(find("initdb"), "-D", str(cluster.data), "-U", "owner", "-A", "trust", "--no-sync", "--locale=C.UTF-8", "-E", "UTF8")
    show("made", (cluster.data / "PG_VERSION").read_text().strip(), oct(cluster.data.stat().st_mode & 0o777))
    with cluster.start() as server:
        run("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", stdin=SCHEMA)
        questions(cluster)
        show("over TCP:", cluster.ask("select inet_server_addr(), inet_client_addr()", PGHOST="127.0.0.1"))
        sessions(cluster)
        bench(cluster, int(sys.argv[1]))
        cluster.ask("copy (select * from item order by id) to program 'sort -n > item.copy'")
        show("copied", len((cluster.data / "item.copy").read_text().splitlines()))
        show("dumped", "COPY public.item" in run("pg_dump"))
        show("ended", server.end(signal.SIGTERM))
    crash(cluster)
    log = (here / "postgres.log").read_text()
    show([line for line in log.splitlines() if re.match(r"(FATAL|PANIC)", line) and "the database system is" not in line])
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except DriverError as failure:
        sys.exit(f"{type(failure).__name__}: {failure}")
