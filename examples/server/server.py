"""Serves one page on the sandbox's loopback, fetches it, and shows that there is no other network."""

import http.server
import socket
import threading
import urllib.request


class Page(http.server.BaseHTTPRequestHandler):
    """One line of text, whatever is asked for."""

    def do_GET(self):
        body = f"you asked for {self.path}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Quiet: the output is compared."""


server = http.server.ThreadingHTTPServer(("127.0.0.1", 8080), Page)
threading.Thread(target=server.serve_forever, daemon=True).start()
for path in ("/", "/hello?x=1"):
    with urllib.request.urlopen(f"http://127.0.0.1:8080{path}", timeout=10) as answer:
        print(answer.status, answer.read().decode(), end="")
server.shutdown()

try:
    socket.create_connection(("192.0.2.1", 80), timeout=2)
except OSError:
    print("outside: nobody can be reached")
