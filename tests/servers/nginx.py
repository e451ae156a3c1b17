"""nginx: several workers serve a tree to 64 connections at once; reload, reopened logs, an orderly end."""

from __future__ import annotations

import gzip
import http.client
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.servers.tools import DriverError, Server, free_port, run, show, until, visit

WORKERS = 3
CONFIGURATION = """
{user}
daemon off;
worker_processes {workers};
pid {here}/nginx.pid;
error_log {here}/error.log notice;
events {{ worker_connections 512; }}
http {{
    types {{ text/html html; text/plain txt; }}
    default_type application/octet-stream;
    log_format plain '$request_method $uri $status $body_bytes_sent';
    access_log {here}/access.log plain;
    client_body_temp_path {here}/tmp-body; proxy_temp_path {here}/tmp-proxy; fastcgi_temp_path {here}/tmp-fastcgi;
    uwsgi_temp_path {here}/tmp-uwsgi; scgi_temp_path {here}/tmp-scgi;
    sendfile {sendfile};
    gzip on; gzip_types text/plain; gzip_min_length 100;
    server {{
        listen 127.0.0.1:{port};
        root {here}/tree;
        location /list/ {{ alias {here}/tree/deep/; autoindex on; }}
        location /backend/ {{ proxy_pass http://unix:{here}/backend.sock:/; }}
        location /secret/ {{ deny all; }}
        location /moved/ {{ return 301 /index.html; }}
    }}
    server {{ listen unix:{here}/backend.sock; location / {{ return 200 "from the backend: $uri\\n"; }} }}
}}
"""
TREE = {
    "index.html": b"<h1>index</h1>\n",
    "small.txt": b"small\n",
    "page.html": b"<p>page</p>\n" * 300,
    "large.bin": bytes(range(256)) * 4096,
    "deep/er/one.txt": b"deep\n" * 50,
    "empty.txt": b"",
    "secret/file.txt": b"not for you",
}
PATHS = ["/", "/small.txt", "/page.html", "/large.bin", "/deep/er/one.txt", "/empty.txt", "/nothing.txt", "/secret/file.txt", "/backend/x"]


def configure(here: Path, port: int, workers: int, *, sendfile: bool = True) -> None:
    """Write the configuration."""
    user = f"user {'www-data' if os.getuid() == 0 else ''};" if os.getuid() == 0 else ""
    text = CONFIGURATION.format(here=here, port=port, workers=workers, user=user, sendfile="on" if sendfile else "off")
    (here / "nginx.conf").write_text(text)


def lines(path: Path) -> list[str]:
    """The lines of a log."""
    return path.read_text().splitlines() if path.exists() else []


def details(port: int) -> None:
    """Ranges, conditions, compression, HEAD and errors on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)

    def fetch(method: str, path: str, **headers: str) -> http.client.HTTPResponse:
        connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        return connection.getresponse()

    answer = fetch("GET", "/large.bin", Range="bytes=100000-100009")
    show(answer.status, answer.getheader("Content-Range"), answer.read())
    tag = answer.getheader("ETag") or ""
    answer = fetch("GET", "/large.bin", If_None_Match=tag)
    show(answer.status, len(answer.read()))
    answer = fetch("GET", "/deep/er/one.txt", Accept_Encoding="gzip")
    show(answer.status, answer.getheader("Content-Encoding"), len(gzip.decompress(answer.read())))
    answer = fetch("HEAD", "/page.html")
    show(answer.status, answer.getheader("Content-Length"), answer.getheader("Content-Type"), len(answer.read()))
    answer = fetch("GET", "/list/")
    show(answer.status, sorted(set(re.findall(r'href="([^"]+)"', answer.read().decode()))))
    answer = fetch("DELETE", "/small.txt")
    show(answer.status, len(answer.read()) > 0)
    answer = fetch("GET", "/../etc/passwd")
    show(answer.status, len(answer.read()) > 0)
    answer = fetch("GET", "/moved/")
    show(answer.status, (answer.getheader("Location") or "").rpartition("/")[2], len(answer.read()) > 0)
    connection.close()


def serve(here: Path) -> None:
    """The server's life."""
    port = free_port()
    configure(here, port, WORKERS)
    # It prints to its own standard error before it has read where its log is.
    show("checked", subprocess.run(["nginx", "-t", "-q", "-p", here, "-c", here / "nginx.conf"], check=False, timeout=60).returncode)
    with Server(["nginx", "-p", str(here), "-c", str(here / "nginx.conf")], "nginx.out", port) as server:
        until(lambda: len(server.children()) == WORKERS, "the workers")
        workers = server.children()
        visit(port, PATHS * 2, 64)
        visit(port, ["/small.txt", "/page.html"], 64, keep=False)
        details(port)
        if "ab" in sys.argv:
            output = run("ab", "-q", "-n", "500", "-c", "64", f"http://127.0.0.1:{port}/page.html")
            show(*re.findall(r"(?:Complete|Failed) requests: +(\d+)", output))
        configure(here, port, WORKERS - 1, sendfile=False)
        server.send(signal.SIGHUP)
        until(lambda: not workers & server.children() and len(server.children()) == WORKERS - 1, "the reload")
        show("reloaded")
        visit(port, ["/large.bin"], 8)
        until(lambda: sum("/large.bin" in line for line in lines(here / "access.log")) > 64 * 2, "the log")
        (here / "access.log").rename(here / "access.old")
        server.send(signal.SIGUSR1)
        until((here / "access.log").exists, "the new log")
        visit(port, ["/small.txt"], 4)
        until(lambda: len(lines(here / "access.log")) == 4, "the new log's lines")
        victim = min(server.children())
        os.kill(victim, signal.SIGKILL)
        until(lambda: victim not in server.children() and len(server.children()) == WORKERS - 1, "a new worker")
        visit(port, ["/index.html"], 16)
        show("ended", server.end(signal.SIGQUIT))
    show("old log", len(lines(here / "access.old")), "new log", sorted(set(lines(here / "access.log"))))
    alarms = [line for line in lines(here / "error.log") if re.search(r"\[(alert|crit|emerg)\]", line)]
    show("alarms", [line for line in alarms if "exited on signal 9" not in line])
    show("pid file", (here / "nginx.pid").exists())


def main() -> int:
    """Make the tree and serve it."""
    here = Path.cwd()
    for name, contents in TREE.items():
        path = here / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents)
    serve(here)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except DriverError as failure:
        sys.exit(f"{type(failure).__name__}: {failure}")
