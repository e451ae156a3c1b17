"""What a guest can reach by the rules of test_network.py; prints one line a check. Runs under the system's Python, inside."""

import ctypes
import errno
import select
import signal
import socket
import struct

OUTSIDE, OUTSIDE6 = "203.0.113.7", "2001:db8::7"


def name(number):
    return errno.errorcode.get(number, str(number))


def attempt(label, action):
    try:
        print(label, action())
    except socket.gaierror as error:
        print(label, "no such name" if error.errno in (socket.EAI_NONAME, socket.EAI_AGAIN) else error)
    except OSError as error:
        print(label, name(error.errno))


def talk(address):
    with socket.create_connection(address, timeout=10) as one:
        peer = one.getpeername()[:2]
        one.sendall(b"ping")
        one.shutdown(socket.SHUT_WR)
        got = b""
        while data := one.recv(999):
            got += data
        return got, peer


def without_waiting(address):
    with socket.socket() as one:
        one.setblocking(False)
        watching = select.epoll()
        watching.register(one, select.EPOLLOUT)  # before connect: the socket must stay the same one
        began = one.connect_ex(address)
        watching.poll(20)
        ended = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        result = one.recv(99) if not ended and address[1] != 8000 and not one.setblocking(True) else b""
        return name(began), name(ended) if ended else "connected", result


def datagram(address, how):
    with socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.settimeout(10)
        if how == "connect":
            one.connect(address)
            one.send(b"a")
        elif how == "sendmsg":
            one.sendmsg([b"a"], [], 0, address)
        else:
            one.sendto(b"a", address)
        return one.recvfrom(99)


def interrupted():
    """A connect to where nobody is, which a signal interrupts, and that goes on."""
    class Stop(Exception):
        pass

    def stop(_number, _frame):
        raise Stop

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, 0.3)
    with socket.socket() as one:
        try:
            one.connect(("203.0.113.9", 80))
        except Stop:
            try:
                one.connect(("203.0.113.9", 80))
            except OSError as error:
                return "interrupted", name(error.errno)


def own_loopback():
    with socket.create_server(("127.0.0.1", 9999)) as server, socket.create_connection(("127.0.0.1", 9999)) as one:
        server.accept()[0].sendall(b"own")
        return one.recv(9)


def shadowed():
    """A guest that listens on the port of its loopback that a rule gives to the host's has its own."""
    with socket.create_server(("127.0.0.1", 8080)) as server, socket.create_connection(("127.0.0.1", 8080)) as one:
        server.accept()[0].sendall(b"own")
        return one.recv(9)


def listening_everywhere():
    """A wildcard listener on the port of a destination is in nobody's way."""
    with socket.create_server(("", 8000)):
        return without_waiting((OUTSIDE, 8000))[1]


def reconnecting():
    """A socket that has been outside once gets nowhere else."""
    with socket.create_connection((OUTSIDE, 80)) as one:
        raw = struct.pack("H14x", socket.AF_UNSPEC)
        assert ctypes.CDLL(None).connect(one.fileno(), raw, len(raw)) == 0
        return name(one.connect_ex((OUTSIDE, 7777)))


attempt("address", lambda: talk((OUTSIDE, 80)))
attempt("name", lambda: talk(("site.example", 80)))
attempt("name in capitals", lambda: talk(("SITE.example.", 80)))
attempt("IPv6 name", lambda: talk(("six.example", 80)))
attempt("wildcard", lambda: talk(("a.wild.example", 80)))
attempt("mapped", lambda: talk(("::ffff:203.0.113.7", 80)))
attempt("closed", lambda: talk((OUTSIDE, 81)))
attempt("other name", lambda: talk(("www.site.example", 80)))
attempt("rebinding name", lambda: talk(("evil.example", 7777)))
attempt("rebinding wildcard", lambda: talk(("b.wild.example", 7777)))
attempt("metadata name", lambda: talk(("metadata.example", 80)))
attempt("private wildcard", lambda: talk(("c.wild.example", 80)))
for odd in ("127.1", "0x7f.1", "2130706433", "127.0.0.1", "::ffff:127.0.0.1", "0.0.0.0", "::"):
    attempt(f"loopback as {odd}", lambda odd=odd: talk((odd, 7777)))
attempt("other port", lambda: talk((OUTSIDE, 7777)))
attempt("other port by name", lambda: talk(("site.example", 7777)))
attempt("metadata", lambda: talk(("169.254.169.254", 80)))
attempt("broadcast", lambda: datagram(("255.255.255.255", 7777), "sendto"))
for way in ("sendto", "sendmsg", "connect"):
    attempt(f"datagram {way}", lambda way=way: datagram((OUTSIDE, 53530), way))
    attempt(f"datagram elsewhere {way}", lambda way=way: datagram((OUTSIDE, 7777), way))
attempt("not waiting", lambda: without_waiting((OUTSIDE, 80)))
attempt("not waiting, slow", lambda: without_waiting((OUTSIDE, 82)))
attempt("not waiting, closed", lambda: without_waiting((OUTSIDE, 81)))
attempt("interrupted", interrupted)
attempt("own loopback", own_loopback)
attempt("host's loopback", lambda: socket.create_connection(("127.0.0.1", 8080)).recv(9))
attempt("host's loopback, shadowed", shadowed)
attempt("listening everywhere", listening_everywhere)
attempt("reconnecting", reconnecting)
print("interfaces", [name for _index, name in socket.if_nameindex()])
