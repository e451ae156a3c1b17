"""memcached: four threads, 64 clients at once over TCP, one over a UNIX socket, the text protocol's commands, eviction and expiry."""

from __future__ import annotations

import os
import socket
import sys
import threading
from pathlib import Path

from tests.servers.tools import DriverError, Server, free_port, show

CLIENTS = 64


class Client:
    """The text protocol over one connection."""

    def __init__(self, address: int | str) -> None:
        family, target = (socket.AF_INET, ("127.0.0.1", address)) if isinstance(address, int) else (socket.AF_UNIX, address)
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(60)
        self.socket.connect(target)
        self.stream = self.socket.makefile("rb")

    def say(self, text: bytes) -> None:
        """Send a command."""
        self.socket.sendall(text + b"\r\n")

    def ask(self, text: bytes) -> bytes:
        """The one line that answers a command."""
        self.say(text)
        return self.stream.readline().strip()

    def get(self, command: bytes) -> dict[bytes, bytes]:
        """The values that a get gives."""
        self.say(command)
        found: dict[bytes, bytes] = {}
        while (line := self.stream.readline().split()) != [b"END"]:
            if not line or line[0] != b"VALUE":
                raise DriverError(f"{command!r}: {line!r}")
            found[line[1]] = self.stream.read(int(line[3]) + 2)[:-2]
        return found

    def put(self, verb: bytes, key: bytes, value: bytes, flags: int = 0, expiry: int = 0, rest: bytes = b"") -> bytes:
        """set, add, replace, append, prepend, cas."""
        return self.ask(b"%s %s %d %d %d%s\r\n%s" % (verb, key, flags, expiry, len(value), rest, value))

    def close(self) -> None:
        """End the connection."""
        self.stream.close()
        self.socket.close()


def commands(address: int | str) -> None:
    """One of each."""
    client = Client(address)
    show(client.put(b"set", b"a", b"1"), client.put(b"add", b"a", b"2"))
    show(client.put(b"add", b"b", b"x" * 5000), client.put(b"replace", b"none", b"3"))
    show(client.put(b"append", b"a", b"2"), client.put(b"prepend", b"a", b"0"), client.get(b"get a"))
    show(client.ask(b"incr a 30"), client.ask(b"decr a 2"))
    client.say(b"gets a")
    unique = client.stream.readline().split()[-1]
    client.stream.readline()
    client.stream.readline()
    show(client.put(b"cas", b"a", b"new", rest=b" " + unique), client.put(b"cas", b"a", b"old", rest=b" " + unique))
    show(client.get(b"get a b none").keys(), client.ask(b"delete a"), client.ask(b"delete a"), client.get(b"get a"))
    show(client.put(b"set", b"gone", b"soon", expiry=-1), client.get(b"get gone"), client.ask(b"nonsense"))
    show(client.put(b"set", b"huge", b"x" * 900_000), len(client.get(b"get huge")[b"huge"]), client.put(b"set", b"toolong" * 50, b"x")[:12])
    client.close()


def one_of_many(port: int, number: int, failures: list[str]) -> None:
    """A client that writes, reads back and counts."""
    try:
        client = Client(port)
        for turn in range(20):
            key = b"client:%d:%d" % (number, turn)
            value = bytes([33 + (number + turn) % 90]) * (turn * 97 + 1)
            if client.put(b"set", key, value, flags=number) != b"STORED" or client.get(b"get " + key) != {key: value}:
                failures.append(f"{number}/{turn}")
            client.ask(b"incr total 1")
        client.close()
    except (OSError, DriverError, ValueError) as error:
        failures.append(repr(error))


def many(port: int) -> None:
    """All clients at once."""
    counter = Client(port)
    counter.put(b"set", b"total", b"0")
    failures: list[str] = []
    threads = [threading.Thread(target=one_of_many, args=(port, number, failures)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    show("clients", CLIENTS, "failures", sorted(failures), counter.get(b"get total"))
    show(len(counter.get(b"get " + b" ".join(b"client:%d:19" % number for number in range(CLIENTS)))))
    counter.close()


def evictions(port: int) -> None:
    """More than fits: the oldest go."""
    client = Client(port)
    for number in range(200):
        client.put(b"set", b"fill:%d" % number, b"f" * 200_000)
    client.say(b"stats")
    stats = dict(line.split()[1:3] for line in iter(lambda: client.stream.readline().strip(), b"END"))
    show("threads", stats[b"threads"], "evicted", int(stats[b"evictions"]) > 0)
    show("first gone", client.get(b"get fill:0") == {}, "last kept", len(client.get(b"get fill:199")))
    client.close()


def main() -> int:
    """Over TCP, then over a UNIX socket."""
    user = ["-u", "root"] if os.getuid() == 0 else []
    port = free_port()
    words = ["memcached", *user, "-l", "127.0.0.1", "-p", str(port), "-U", "0", "-t", "4", "-m", "16"]
    with Server(words, "memcached.log", port) as server:
        commands(port)
        many(port)
        evictions(port)
        show("ended", server.end())
    with Server(["memcached", *user, "-s", "memcached.sock", "-a", "700"], "memcached.log", "memcached.sock") as server:
        show(oct(Path("memcached.sock").stat().st_mode))
        commands("memcached.sock")
        show("ended", server.end())
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except DriverError as failure:
        sys.exit(f"{type(failure).__name__}: {failure}")
