"""Programs that talk over sockets of the AF_UNIX family: descriptors in messages, servers with path names, many threads at once."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.harness.comparison import NOBODY
from tests.harness.plugin import Comparer
from tests.harness.programs import node, python, tree

FORK = """
const cp = require('child_process'), net = require('net');
if (process.argv[2] === 'child') {
    process.on('message', (message, handle) => {
        process.send({got: message, handle: !!handle}, () => { if (handle) handle.end('from the child'); process.disconnect(); });
    });
} else {
    const child = cp.fork(process.argv[1], ['child']);
    child.on('message', message => console.log(message));
    child.on('exit', code => console.log('exit', code));
    if (process.argv[2] === 'net') {
        const server = net.createServer(socket => { child.send('take', socket); server.close(); }).listen('named', () => {
            net.connect('named').on('data', data => console.log(String(data)));
        });
    } else child.send('hello');
}
"""
MULTIPROCESSING = """
import multiprocessing as mp, os, socket
from multiprocessing import reduction
from multiprocessing.connection import Client, Listener
def child(pipe, queue, path):
    with os.fdopen(reduction.recv_handle(pipe), 'rb') as file:
        queue.put(file.readline())
    with Client(path) as client:
        client.send({'from': 'client'})
if __name__ == '__main__':
    context = mp.get_context('fork')
    queue, (ours, theirs) = context.Queue(), context.Pipe()
    with Listener(os.path.abspath('listener')) as listener:
        process = context.Process(target=child, args=(theirs, queue, listener.address))
        process.start()
        with open('file') as file:
            reduction.send_handle(ours, file.fileno(), process.pid)
        print(queue.get(), listener.accept().recv())
        process.join()
    print(process.exitcode, os.path.exists('listener'))
    one, other = socket.socketpair()
    file, directory = os.open('file', os.O_RDONLY), os.open('.', os.O_RDONLY)
    socket.send_fds(one, [b'm'], [file, directory])
    data, received, _flags, _address = socket.recv_fds(other, 9, 4)
    print(data, os.read(received[0], 5), os.listdir(received[1]))
    with context.Manager() as manager:
        shared = manager.list(range(3))
        shared.append(9)
        print(list(shared))
"""
NAMES = """
import os, socket, stat, struct, threading
for kind in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
    server = socket.socket(socket.AF_UNIX, kind)
    server.bind('server')
    server.listen()
    status = os.stat('server')
    print(server.getsockname(), oct(status.st_mode), stat.S_ISSOCK(status.st_mode))
    client = socket.socket(socket.AF_UNIX, kind)
    client.connect(os.path.abspath('server'))
    peer, address = server.accept()
    client.send(b'hi')
    print(repr(address), peer.recv(9), client.getpeername(), repr(client.getsockname()), peer.getsockname())
    pid, uid, gid = struct.unpack('3i', peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    print(pid == os.getpid(), uid == os.getuid(), gid == os.getgid())
    late = socket.socket(socket.AF_UNIX, kind)
    def refused(what, name):
        try:
            what(name)
            print('done')
        except OSError as error:
            print(error.errno)
    refused(late.bind, 'server')
    refused(server.bind, 'other')
    print(os.path.exists('other'))
    os.rename('server', 'moved')
    refused(late.connect, 'server')
    server.close()
    refused(late.connect, 'moved')
    os.unlink('moved')
    refused(late.connect, 'moved')
    refused(late.connect, 'x' * 108)
one, other = (socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2))
one.bind('one'), other.bind('other')
other.sendto(b'datagram', 'one')
data, address = one.recvfrom(99)
one.sendto(b'answer', address)
print(data, address, other.recvfrom(9))
one.connect('other')
one.send(b'connected')
print(other.recv(99), one.getpeername())
server = socket.socket(socket.AF_UNIX)
server.bind('many')
server.listen(1)
def serve():
    for _ in range(160):
        peer, _ = server.accept()
        peer.sendall(peer.recv(100))
        peer.close()
threads = [threading.Thread(target=serve)]
good = []
def ask(number):
    for _ in range(10):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect('many')
            client.sendall(b'%d' % number)
            good.append(client.recv(9) == b'%d' % number)
threads += [threading.Thread(target=ask, args=(number,)) for number in range(16)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(len(good), all(good))
"""


@pytest.mark.guest
@pytest.mark.parametrize("what", ["message", "net"])
def test_node_passes_messages_and_sockets(comparer: Comparer, engine: str, what: str) -> None:
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    script = f"process.argv[2] = {what!r}; " if what == "net" else ""
    case = node("require('fs').writeFileSync('main.js', process.env.MAIN); "
                f"{script}process.stdout.write(require('child_process').execFileSync(process.execPath, ['main.js', {what!r}]))",
                env={"MAIN": FORK})  # fmt: skip
    comparer.check(f"node_fork_{what}", case, engine)


@pytest.mark.guest
def test_multiprocessing_passes_handles(comparer: Comparer, engine: str) -> None:
    comparer.check("multiprocessing_handles", python(MULTIPROCESSING, setup=tree({"file": "a line\n"})), engine)


@pytest.mark.guest
@pytest.mark.parametrize("user", [None, NOBODY])
@pytest.mark.parametrize("grant", ["cow", "rw"])
def test_unix_names(comparer: Comparer, engine: str, user: int | None, grant: str) -> None:
    if user is not None and os.getuid() != 0:
        pytest.skip("needs root to become another user")
    comparer.check(f"unix_names_{user}_{grant}", python(NAMES, user=user, grant=grant), engine)
