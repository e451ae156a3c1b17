"""A host of its own for the network tests: run as root below ``unshare -n -m``, it makes addresses and servers, then runs a command.

203.0.113.7 and 2001:db8::7 are "outside" (addresses of this name space's lo): TCP 80 answers a line with the address the client dialled
and echoes, TCP 8000 is a web server, TCP 81 is closed, TCP 82 accepts after a second, UDP 53530 echoes. 203.0.113.9 answers nothing.
127.0.0.1 and 203.0.113.7 have a canary at TCP and UDP 7777, and 127.0.0.1 a server at 8080 that says "host". Names are in /etc/hosts.
After the command a line says what reached the canary.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable

from pyroute2 import IPRoute

OUTSIDE, OUTSIDE6 = "203.0.113.7", "2001:db8::7"
HOSTS = f"""127.0.0.1 localhost
{OUTSIDE} site.example www.site.example a.wild.example
{OUTSIDE6} six.example
127.0.0.1 evil.example b.wild.example
169.254.169.254 metadata.example
10.0.0.9 c.wild.example
"""
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
reached: list[str] = []


def replace(path: str, text: str) -> None:
    """Show other contents of a file of /etc, in this mount name space."""
    libc = ctypes.CDLL(None, use_errno=True)
    with tempfile.NamedTemporaryFile("w", delete=False) as file:
        file.write(text)
    os.chmod(file.name, 0o644)
    if libc.mount(file.name.encode(), path.encode(), None, MS_BIND, None):
        raise OSError(ctypes.get_errno(), path)
    os.unlink(file.name)


def serve(address: str, port: int, handle: Callable[[socket.socket], None]) -> None:
    server = socket.create_server((address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET)

    def accept() -> None:
        while True:
            connection = server.accept()[0]
            threading.Thread(target=handle, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def echo(connection: socket.socket) -> None:
    with connection, contextlib.suppress(ConnectionResetError):
        if connection.getsockname()[1] == 80:
            connection.sendall(b"site %s\n" % connection.getsockname()[0].encode())
        while data := connection.recv(65536):
            if data.startswith(b"GET "):
                connection.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\npage\n")
                return
            connection.sendall(data)


def host(connection: socket.socket) -> None:
    connection.sendall(b"host\n")
    connection.close()


def canary(connection: socket.socket) -> None:
    reached.append(f"tcp {connection.getsockname()[:2]}")
    connection.close()


def datagrams(address: str, port: int, *, trap: bool) -> None:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, port))

    def run() -> None:
        while True:
            data, client = sock.recvfrom(65536)
            if trap:
                reached.append(f"udp {address}")
            else:
                sock.sendto(b"echo " + data, client)

    threading.Thread(target=run, daemon=True).start()


def slow() -> None:
    """Refuses to take a SYN for a second."""
    server = socket.socket()
    server.bind((OUTSIDE, 82))
    server.listen(0)
    filler = socket.create_connection((OUTSIDE, 82))

    def run() -> None:
        time.sleep(1)
        server.listen(8)
        server.accept()[0].close()
        filler.close()
        while True:
            with server.accept()[0] as connection:
                connection.sendall(b"slow\n")

    threading.Thread(target=run, daemon=True).start()


def main() -> int:
    if ctypes.CDLL(None).mount(None, b"/", None, MS_REC | MS_PRIVATE, None):
        return 99
    with IPRoute() as route:
        route.link("set", index=1, state="up")
        route.addr("add", index=1, address=OUTSIDE, prefixlen=32)
        route.addr("add", index=1, family=socket.AF_INET6, address=OUTSIDE6, prefixlen=128, flags=2)
        route.link("add", ifname="silent", kind="veth", peer={"ifname": "nobody"})
        for name in ("silent", "nobody"):
            route.link("set", ifname=name, state="up")
        with open("/proc/sys/net/ipv4/neigh/silent/mcast_solicit", "w") as file:
            file.write("1")  # a second is long enough to find nobody
        route.route("add", dst="203.0.113.9/32", oif=route.link_lookup(ifname="silent")[0])
    replace("/etc/hosts", HOSTS)
    replace("/etc/resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
    serve(OUTSIDE, 80, echo)
    serve(OUTSIDE6, 80, echo)
    serve(OUTSIDE, 8000, echo)
    serve("127.0.0.1", 8080, host)
    for address in ("127.0.0.1", OUTSIDE):
        serve(address, 7777, canary)
        datagrams(address, 7777, trap=True)
    datagrams(OUTSIDE, 53530, trap=False)
    slow()
    status = subprocess.run(sys.argv[1:], check=False).returncode
    sys.stdout.write(f"canary: {sorted(set(reached))}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
