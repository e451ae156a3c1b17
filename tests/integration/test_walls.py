"""The walls around a sandbox: its own network, and what is left where the host gives no name space at all.

The second is simulated: a seccomp filter around the whole supervisor answers EPERM to every clone and unshare that asks for a name
space, as some containers do. What contains the guest then is the system call filter alone, and programs must still run.
"""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

import pytest

from tests.harness.comparison import NOBODY, PYLIBOS, ROOT, WITHOUT_NAME_SPACES, Case, as_user, outer_environment
from tests.harness.plugin import GUESTS, Comparer
from tests.harness.processes import Completed, run
from tests.harness.programs import python

TIMEOUT = 60.0

TALK = """
import socket
for family, host in ((socket.AF_INET, '127.0.0.1'), (socket.AF_INET6, '::1')):
    server = socket.create_server((host, 0), family=family)
    client = socket.create_connection(server.getsockname()[:2])
    peer, address = server.accept()
    client.sendall(b'stream')
    print(peer.recv(9), address == client.getsockname(), address[0])
    one = socket.socket(family, socket.SOCK_DGRAM)
    one.bind((host, 0))
    print(one.sendto(b'datagram', one.getsockname()), one.recvfrom(9)[0])
"""


def without_name_spaces(user: int | None, engine: str, argv: list[str], flags: tuple[str, ...] = ()) -> Completed:
    """pylibos run, in a process that can make no name space."""
    command = [sys.executable, "-c", WITHOUT_NAME_SPACES, str(PYLIBOS), "run", "--engine", engine, *flags, "--", *argv]
    return run(as_user(user, command), cwd=ROOT, env=outer_environment(), timeout=TIMEOUT)


@pytest.mark.guest
@pytest.mark.parametrize("user", [None, NOBODY])
def test_loopback_talks(comparer: Comparer, inside: str, user: int | None) -> None:
    case = python(TALK, user=user, flags=("--net", "loopback"))
    outcome = comparer.inside(case, inside)
    one = "b'stream' True {}\n8 b'datagram'\n"
    assert outcome.stdout.decode() == one.format("127.0.0.1") + one.format("::1"), outcome.completed.describe()


@pytest.mark.guest
@pytest.mark.parametrize("user", [None, NOBODY])
def test_without_network_there_is_a_loopback_and_nothing_else(comparer: Comparer, inside: str, user: int | None) -> None:
    script = TALK + """
for address in ('192.0.2.1', '198.18.0.53', '10.0.0.1', '169.254.169.254'):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
        print(socket.socket(socket.AF_INET, kind).connect_ex((address, 53)), end=' ')
print(socket.socket(socket.AF_INET6).connect_ex(('2001:db8::1', 53)), socket.if_nameindex())
"""
    outcome = comparer.inside(python(script, user=user, flags=("--net", "none")), inside)
    one = "b'stream' True {}\n8 b'datagram'\n"
    expected = one.format("127.0.0.1") + one.format("::1") + "13 " * 9 + "[(1, 'lo')]\n"
    # The sandbox's own network (198.18.0.0/24) is not there: the kernel itself says so.
    expected = expected.replace("13 13 13 13 13", "13 13 101 101 13", 1)
    assert outcome.stdout.decode() == expected, outcome.completed.describe()


@pytest.mark.guest
@pytest.mark.parametrize("user", [None, NOBODY])
def test_loopback_is_refused_when_it_cannot_be_had(comparer: Comparer, inside: str, user: int | None) -> None:
    comparer.prepare(user)
    done = without_name_spaces(user, inside, ["/bin/true"], ("--net", "loopback"))
    assert done.status == 125, done.describe()
    assert "'loopback' needs a network" in done.stderr.decode()
    assert not done.leaked


PROCESSES = r"""
import os, signal, socket, subprocess, sys, time
assert os.getpid() == int(os.readlink('/proc/self')), 'self'
child = os.fork()
if child == 0:
    signal.pause()
assert os.getppid() != os.getpid() and str(child) in os.listdir('/proc')
assert f'PPid:\t{os.getpid()}\n' in open(f'/proc/{child}/status').read()
os.kill(child, signal.SIGTERM)
assert os.waitpid(child, 0)[1] == signal.SIGTERM
assert subprocess.check_output(['/bin/sh', '-c', 'echo $PPID; /bin/true | cat']) == b'%d\n' % os.getpid()
for number in (0, signal.SIGKILL):  # as PID 1 of a name space: it may be asked about, and hears nothing
    os.kill(os.getppid(), number)
for target in (1, os.getppid() - 1):
    try:
        os.kill(target, 0)
        print('reached', target)
    except (ProcessLookupError, PermissionError):
        pass
for make in (lambda: socket.socket(), lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)):
    try:
        make()
        print('made')
    except PermissionError:
        pass
one, other = socket.socketpair()
one.send(b'x')
assert other.recv(1) == b'x'
print('done')
"""


@pytest.mark.guest
@pytest.mark.parametrize("user", [None, NOBODY])
def test_programs_run_without_any_name_space(comparer: Comparer, inside: str, user: int | None) -> None:
    comparer.prepare(user)
    done = without_name_spaces(user, inside, ["/usr/bin/python3", "-I", "-c", PROCESSES])
    assert (done.stdout, done.status) == (b"done\n", 0), done.describe()
    assert not done.leaked


@pytest.mark.guest
@pytest.mark.parametrize("name", ["system_v_memory", "posix_queues"])
def test_ipc_needs_no_name_space(comparer: Comparer, inside: str, name: str) -> None:
    """The same as natively: keys and names are the executive's."""
    comparer.prepare(None)
    source = GUESTS / f"{name}.c"
    program = comparer.builder.build(source, "pie", ("-pthread", "-lrt"))
    case = Case(argv=(str(program),))
    native = comparer.oracle(f"{name}-without-name-spaces", case)
    flags = ("--ro", str(program.parent), "--tmpfs", "/scratch", "-C", "/scratch")
    done = without_name_spaces(None, inside, [str(program)], flags)
    assert done.stdout.decode().splitlines() == native.stdout.decode().splitlines(), done.describe()
    assert not done.leaked


NAMED_SOCKETS = r"""
import errno, os, select, socket, struct, sys
kinds = {'stream': socket.SOCK_STREAM, 'seqpacket': socket.SOCK_SEQPACKET}
for name, kind in kinds.items():
    path = f'/tmp/{name}'
    server = socket.socket(socket.AF_UNIX, kind)
    server.bind(path)
    print(name, server.getsockname() == path, oct(os.stat(path).st_mode), os.get_inheritable(server.fileno()))
    other = socket.socket(socket.AF_UNIX, kind)
    refused = []
    for action in (other.bind, server.bind), (other.connect, other.connect):
        for attempt, where in zip(action, (path, '/tmp/none')):
            try:
                refused.append(attempt(where))
            except OSError as error:
                refused.append(errno.errorcode[error.errno])
    print(*refused, flush=True)
    server.listen(4)
    waiting = select.epoll()
    waiting.register(server, select.EPOLLIN)
    if os.fork() == 0:
        client = socket.socket(socket.AF_UNIX, kind)
        client.connect(path)
        pid, uid, gid = struct.unpack('iii', client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        good = (client.getpeername() == path, (pid, uid, gid) == (os.getppid(), os.getuid(), os.getgid()))
        client.sendall(b'request')
        got = client.recv(99), good
        try:
            client.connect(path)
        except OSError as error:
            got += (errno.errorcode[error.errno],)
        print(got)
        sys.stdout.flush()
        os._exit(0)
    waiting.poll(10)
    peer, _address = server.accept()
    print(peer.recv(99), peer.getsockname() == path)
    reader, writer = os.pipe()
    socket.send_fds(peer, [b'reply'], [writer]) if kind == socket.SOCK_STREAM else peer.send(b'reply')
    os.wait()
    other.setblocking(False)
    other.connect(path)
    print(other.getblocking(), other.send(b'x'), server.accept()[0].recv(9))
    server.close()
    late = socket.socket(socket.AF_UNIX, kind)
    print(late.connect_ex(path) == errno.ECONNREFUSED, late.connect_ex('/tmp/' + ('seqpacket' if name == 'stream' else 'stream')) != 0)
    os.unlink(path)
    print(late.connect_ex(path) == errno.ENOENT, late.connect_ex(b'\0abstract') == errno.ECONNREFUSED)
"""
ONE_KIND = """\
{0} True 0o140755 False
EADDRINUSE EINVAL ECONNREFUSED ENOENT
(b'reply', (True, True), 'EISCONN')
b'request' True
False 1 b'x'
True True
True True
"""


@pytest.mark.guest
@pytest.mark.parametrize("user", [None, NOBODY])
def test_named_sockets_without_any_name_space(comparer: Comparer, inside: str, user: int | None) -> None:
    comparer.prepare(user)
    before = sorted(os.listdir("/dev/shm"))
    done = without_name_spaces(user, inside, ["/usr/bin/python3", "-I", "-c", NAMED_SOCKETS])
    expected = ONE_KIND.format("stream") + ONE_KIND.format("seqpacket")
    assert sorted(done.stdout.decode().splitlines()) == sorted(expected.splitlines()), done.describe()
    assert done.status == 0, done.describe()
    assert not done.leaked
    left = [name for name in sorted(os.listdir("/dev/shm")) if name.startswith("pylibos-socket-") and name not in before]
    assert not left


@pytest.mark.guest
@pytest.mark.parametrize("name", ["ptrace", "seccomp"])
def test_tracing_and_filters_need_no_name_space(comparer: Comparer, inside: str, name: str) -> None:
    """Numbers of processes are the host's then; what guests see of each other stays the same."""
    comparer.prepare(None)
    program = comparer.builder.build(GUESTS / f"{name}.c", "pie", ("-pthread",))
    native = comparer.oracle(f"{name}-without-name-spaces", Case(argv=(str(program),)))
    flags = ("--ro", str(program.parent), "--tmpfs", "/scratch", "-C", "/scratch")
    done = without_name_spaces(None, inside, [str(program)], flags)
    assert done.stdout.decode().splitlines() == native.stdout.decode().splitlines(), done.describe()
    assert not done.leaked


@pytest.mark.guest
@pytest.mark.parametrize("soft", [1024, 512, 64])
def test_the_guest_has_the_invokers_descriptor_limit(comparer: Comparer, inside: str, soft: int) -> None:
    comparer.prepare(None)
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    command = ["prlimit", f"--nofile={soft}:{hard}", "--", str(PYLIBOS), "run", "--engine", inside, "--"]
    script = "ulimit -Sn; ulimit -Hn; /bin/echo ran; ulimit -n 12; /bin/echo still; cat /proc/self/comm"
    done = run([*command, "/bin/bash", "-c", script], cwd=ROOT, env=outer_environment(), timeout=TIMEOUT)
    assert done.stdout.decode() == f"{soft}\n{hard}\nran\nstill\ncat\n", done.describe()


@pytest.mark.guest
def test_the_sandbox_has_a_name_on_its_loopback(comparer: Comparer, inside: str) -> None:
    script = "import socket; print(socket.gethostbyname(socket.gethostname()), socket.gethostbyname('localhost'))"
    outcome = comparer.inside(python(script, flags=("--net", "loopback", "--hostname", "somewhere")), inside)
    assert outcome.stdout == b"127.0.1.1 127.0.0.1\n", outcome.completed.describe()


@pytest.mark.guest
@pytest.mark.parametrize("network", ["loopback", "127.0.0.1:9"])
def test_a_granted_etc_is_not_ours_to_write(comparer: Comparer, inside: str, network: str, tmp_path: Path) -> None:
    """--rw lets the program change /etc of the host; what the sandbox itself keeps there goes nowhere then."""
    comparer.prepare(None)
    for name in ("hosts", "resolv.conf"):
        (tmp_path / name).write_text("the host's\n")
    command = [str(PYLIBOS), "run", "--engine", inside, "-v", f"{tmp_path}:/etc:rw", "--net", network, "--", "/bin/true"]
    done = run(command, cwd=ROOT, env=outer_environment(), timeout=TIMEOUT)
    assert done.status == 0, done.describe()
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == dict.fromkeys(("hosts", "resolv.conf"), "the host's\n")
