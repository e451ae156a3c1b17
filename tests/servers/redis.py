"""redis: clients over TCP and a UNIX socket, the benchmark's commands, and what is still there after an end, a save and a kill."""

from __future__ import annotations

import signal
import socket
import sys
from pathlib import Path

from tests.servers.tools import DriverError, Server, free_port, run, show, until

SOCKET = "redis.sock"
QUESTIONS = (
    "dbsize", "get key:17", "lrange list 45 -1", "scard set", "zrangebyscore sorted 10 13",
    "hgetall hash", "get counter", "strlen text", "ttl key:0",
)  # fmt: skip


def start(port: int, *options: str) -> Server:
    """A redis server of this directory; it has read its files when it answers."""
    argv = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--unixsocket", SOCKET, "--dir", str(Path.cwd()), *options]
    server = Server(argv, "redis.log", port)
    until(lambda: ask(port, "ping") == "PONG\n", "redis to load its data")
    return server


def ask(port: int, *words: str) -> str:
    """What redis-cli prints."""
    return run("redis-cli", "-p", str(port), *words)


def fill(port: int) -> None:
    """Something of every type."""
    script = "".join(f"set key:{number} value-{number * number}\n" for number in range(300))
    script += "".join(f"rpush list item-{number}\nsadd set {number % 7}\nzadd sorted {number} m{number}\n" for number in range(50))
    script += "hset hash a 1 b 2\nincr counter\nincrby counter 41\nappend text abc\nsetrange text 5 xyz\n"
    script += "expire key:0 10000\npersist key:0\n"
    answers = run("redis-cli", "-p", str(port), stdin=script).split()
    show("filled", len(answers), answers.count("OK"))


def contents(port: int) -> None:
    """All that fill made, as the server gives it."""
    for words in QUESTIONS:
        show(words, "->", ask(port, *words.split()).replace("\n", " "))


def published(port: int) -> None:
    """A subscriber on its own connection gets what another publishes."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as subscriber:
        subscriber.sendall(b"SUBSCRIBE news\r\n")
        stream = subscriber.makefile("rb")
        for _line in range(6):
            stream.readline()
        show("subscribers", ask(port, "publish", "news", "hello").strip())
        show([stream.readline() for _line in range(7)][-1])


def benchmark(port: int, requests: int) -> None:
    """Which commands redis-benchmark ran; the rates are nobody's business here."""
    words = ["-p", str(port), "-n", str(requests), "-c", "50", "-P", "4", "--csv", "-t", "ping,set,get,incr,lpush,sadd,mset"]
    output = run("redis-benchmark", *words)
    names = [line.split(",")[0] for line in output.splitlines()]
    rates = [float(line.split(",")[1].strip('"')) for line in output.splitlines()[1:]]
    show("benchmark", *names, "all ran" if rates and min(rates) > 0 else rates)


def saved_and_restarted(port: int) -> None:
    """A snapshot by a child process, an orderly end, and a start from the snapshot."""
    with start(port, "--save", "3600 1", "--appendonly", "no") as server:
        fill(port)
        benchmark(port, 2000)
        published(port)
        show("over a UNIX socket", run("redis-cli", "-s", SOCKET, "get", "key:3").strip())
        show(ask(port, "bgsave").strip())
        until(lambda: "rdb_bgsave_in_progress:0" in ask(port, "info", "persistence"), "the snapshot")
        show("last snapshot", "rdb_last_bgsave_status:ok" in ask(port, "info", "persistence"))
        ask(port, "set", "after", "snapshot")
        ask(port, "shutdown", "save")
        show("ended", server.wait())
    with start(port, "--save", "3600 1", "--appendonly", "no") as server:
        contents(port)
        show("after the snapshot:", ask(port, "get", "after").strip())
        show("ended", server.end(signal.SIGTERM))


def logged_and_killed(port: int) -> None:
    """Every change in the append-only file: nothing is lost when the server is killed, and a rewrite keeps it all."""
    options = ("--save", "", "--appendonly", "yes", "--appendfsync", "always", "--dbfilename", "other.rdb")
    with start(port, *options) as server:
        ask(port, "flushall")
        fill(port)
        ask(port, "bgrewriteaof")
        until(lambda: "aof_rewrite_in_progress:0" in ask(port, "info", "persistence"), "the rewrite")
        ask(port, "set", "last", "words")
        show("killed", server.end(signal.SIGKILL))
    with start(port, *options) as server:
        contents(port)
        show("last", ask(port, "get", "last").strip())
        show("rewritten", "aof_last_bgrewrite_status:ok" in ask(port, "info", "persistence"))
        show("ended", server.end())


def main() -> int:
    """Everything, in one directory."""
    port = free_port()
    saved_and_restarted(port)
    logged_and_killed(port)
    show(sorted(path.name for path in Path().iterdir() if path.suffix in {".rdb", ".sock"}))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except DriverError as failure:
        sys.exit(f"{type(failure).__name__}: {failure}")
