"""HTTP servers of other languages (node, Java, Go) and gunicorn: many clients at once, several processes or threads, an orderly end."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

from tests.servers.tools import DriverError, Server, free_port, show, until, visit

PATHS = ["/hello", "/sum?n=1000", "/file", "/echo/some/path", "/missing"]

NODE = """
const cluster = require('cluster'), http = require('http'), fs = require('fs');
if (cluster.isPrimary) {
  let ready = 0;
  for (let i = 0; i < 2; i++) cluster.fork();
  process.on('SIGTERM', () => { for (const id in cluster.workers) cluster.workers[id].process.kill('SIGTERM'); });
  let left = 2;
  cluster.on('exit', (worker, status) => { console.log('worker ended', status); if (--left === 0) process.exit(0); });
} else {
  const server = http.createServer((question, answer) => {
    const url = new URL(question.url, 'http://here');
    if (url.pathname === '/hello') return answer.end('hello\\n');
    if (url.pathname === '/sum') { let s = 0; for (let i = 0; i <= +url.searchParams.get('n'); i++) s += i; return answer.end(String(s)); }
    if (url.pathname === '/file') return fs.createReadStream('data.txt').pipe(answer);
    if (url.pathname.startsWith('/echo/')) return answer.end(url.pathname.slice(6));
    answer.statusCode = 404; answer.end('nothing');
  });
  server.listen(+process.argv[2], '127.0.0.1');
  process.on('SIGTERM', () => { server.close(); setTimeout(() => process.exit(7), 50); });
}
"""
JAVA = """
import com.sun.net.httpserver.*;
import java.io.*;
import java.net.*;
import java.nio.file.*;
import java.util.concurrent.*;

public class Web {
    static void answer(HttpExchange exchange, int status, byte[] body) throws IOException {
        exchange.sendResponseHeaders(status, body.length == 0 ? -1 : body.length);
        try (OutputStream out = exchange.getResponseBody()) { out.write(body); }
    }
    public static void main(String[] words) throws Exception {
        HttpServer server = HttpServer.create(new InetSocketAddress("127.0.0.1", Integer.parseInt(words[0])), 64);
        server.setExecutor(Executors.newFixedThreadPool(8));
        server.createContext("/hello", e -> answer(e, 200, "hello\\n".getBytes()));
        server.createContext("/sum", e -> {
            long sum = 0, n = Long.parseLong(e.getRequestURI().getQuery().substring(2));
            for (long i = 0; i <= n; i++) sum += i;
            answer(e, 200, Long.toString(sum).getBytes());
        });
        server.createContext("/file", e -> answer(e, 200, Files.readAllBytes(Path.of("data.txt"))));
        server.createContext("/echo/", e -> answer(e, 200, e.getRequestURI().getPath().substring(6).getBytes()));
        server.createContext("/", e -> answer(e, 404, "nothing".getBytes()));
        Runtime.getRuntime().addShutdownHook(new Thread(() -> { server.stop(0); System.out.println("stopped"); System.out.flush(); }));
        server.start();
    }
}
"""
APPLICATION = """
import os, urllib.parse
open(f'ready-{os.getpid()}', 'w').close()
def application(environment, start):
    path = environment['PATH_INFO']
    if path == '/hello': body = b'hello\\n'
    elif path == '/sum': body = str(sum(range(int(urllib.parse.parse_qs(environment['QUERY_STRING'])['n'][0]) + 1))).encode()
    elif path == '/file': body = open('data.txt', 'rb').read()
    elif path.startswith('/echo/'): body = path[6:].encode()
    else: start('404 Not Found', [('Content-Length', '7')]); return [b'nothing']
    start('200 OK', [('Content-Length', str(len(body)))])
    return [body]
"""


def node(port: int) -> None:
    """A cluster of two."""
    Path("web.js").write_text(NODE)
    with Server(["node", "web.js", str(port)], "web.log", port) as server:
        until(lambda: len(server.children()) == 2, "two workers")
        visit(port, PATHS, 16)
        visit(port, PATHS, 8, keep=False)
        show("ended", server.end())
    show(Path("web.log").read_text())


def java(port: int) -> None:
    """A pool of eight threads."""
    Path("Web.java").write_text(JAVA)
    with Server(["java", "-XX:-UsePerfData", "-Xshare:auto", "-XX:TieredStopAtLevel=1", "Web.java", str(port)], "web.log", port) as server:
        visit(port, PATHS, 16)
        show("ended", server.end())
    show(Path("web.log").read_text())


def go(port: int) -> None:
    """net/http, built before by whoever runs the driver: its path is the argument."""
    with Server([sys.argv[2], str(port)], "web.log", port) as server:
        visit(port, PATHS, 64)
        visit(port, PATHS, 16, keep=False)
        show("ended", server.end())
    show(Path("web.log").read_text())


def serving(server: Server, count: int) -> set[int]:
    """Wait for so many gunicorn workers that have loaded the application; a signal before that would end one with a traceback."""

    def ready() -> bool:
        workers = server.children()
        return len(workers) == count and all(Path(f"ready-{pid}").exists() for pid in workers)

    until(ready, f"{count} workers")
    return server.children()


def gunicorn(port: int) -> None:
    """Processes, or processes with threads; workers come and go by signals."""
    Path("application.py").write_text(APPLICATION)
    count, kind = (2, ["--threads", "4"]) if "threads" in sys.argv else (3, [])
    words = ["gunicorn", "-w", str(count), *kind, "-b", f"127.0.0.1:{port}", "--graceful-timeout", "5", "application"]
    with Server(words, "web.log", port) as server:
        workers = serving(server, count)
        visit(port, PATHS, 16)
        visit(port, PATHS, 8, keep=False)
        server.send(signal.SIGTTIN)
        workers |= serving(server, count + 1)
        server.send(signal.SIGHUP)
        until(lambda: not workers & server.children(), "the old workers to go")
        victim = min(serving(server, count))  # a reload takes the number it was started with
        visit(port, PATHS, 8)
        os.kill(victim, signal.SIGKILL)
        until(lambda: victim not in server.children(), "a worker to be missed")
        visit(port, PATHS, 4)
        serving(server, count)
        show("ended", server.end())
    log = re.sub(r"\[[-+0-9: ]+\] \[\d+\] ", "", Path("web.log").read_text())
    show(sorted({line for line in log.splitlines() if re.match(r"\[(ERROR|CRITICAL)\]|Traceback", line)}))


def main() -> int:
    """One of the servers, by name."""
    Path("data.txt").write_text("a line of data\n" * 2000)
    {"node": node, "java": java, "go": go, "gunicorn": gunicorn}[sys.argv[1]](free_port())
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except DriverError as failure:
        sys.exit(f"{type(failure).__name__}: {failure}")
