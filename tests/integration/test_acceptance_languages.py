"""The acceptance list, languages: CPython in breadth, node's processes and watchers, Go's signals, Rust and Java, each against its native run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.harness.comparison import Case
from tests.harness.plugin import Comparer
from tests.harness.programs import SAMPLE, node, perl, python, shell, tree

STDLIB = """
import importlib, pkgutil, sys, warnings
warnings.simplefilter('ignore')
skip = {'antigravity', 'this', 'idlelib', 'turtledemo', 'lib2to3', 'test', 'tkinter', 'turtle', 'site', '__main__'}
for name in sorted(sys.stdlib_module_names - skip):
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        print(name, type(error).__name__, error)
    else:
        if hasattr(module, '__path__'):
            for entry in pkgutil.iter_modules(module.__path__, name + '.'):
                if entry.name.split('.')[-1] in ('__main__', 'tests') or 'test' in entry.name:
                    continue
                try:
                    importlib.import_module(entry.name)
                except ImportError as error:
                    print(entry.name, type(error).__name__, error)
print(len(sys.modules))
"""
SPAWN = tree(
    {
        "spawn.py": "import multiprocessing as m, os, sys\n"
        "def square(x): return x * x\n"
        "def child(q, e): e.wait(); q.put('child')\n"
        "if __name__ == '__main__':\n"
        "    for method in ('spawn', 'forkserver', 'fork'):\n"
        "        c = m.get_context(method)\n"
        "        with c.Pool(2) as p: print(method, p.map(square, range(6)))\n"
        "        q, e = c.Queue(), c.Event()\n"
        "        p = c.Process(target=child, args=(q, e)); p.start(); e.set(); print(q.get()); p.join(); print(p.exitcode)\n"
        "        a, b = c.Pipe(); a.send([1, 'x']); print(b.recv())\n"
        "    from multiprocessing import shared_memory, managers\n"
        "    s = shared_memory.SharedMemory(create=True, size=100); s.buf[:3] = b'abc'\n"
        "    t = shared_memory.SharedMemory(s.name); print(bytes(t.buf[:3])); t.close(); s.close(); s.unlink()\n"
        "    with m.Manager() as g: d = g.dict(a=1); d['b'] = 2; print(dict(d))\n"
    }
)
PYTHON: dict[str, Case] = {
    "stdlib": python(STDLIB, timeout=120),
    "spawn": Case(argv=("/usr/bin/python3", "-B", "spawn.py"), setup=SPAWN, timeout=120),
    "venv-with-pip": shell("/usr/bin/python3 -m venv v >/dev/null && v/bin/python -m pip --version | cut -d' ' -f1,2; v/bin/pip list --format=freeze --disable-pip-version-check | cut -d= -f1; v/bin/python -c 'import pip; print(pip.__file__.split(\"/v/\")[1])'; find v -type f | grep -c py; ls v/bin | sort", env={"PIP_NO_CACHE_DIR": "1"}, timeout=240),
    "asyncio-breadth": python("import asyncio, signal, os, tempfile\nasync def main():\n    loop = asyncio.get_running_loop(); done = asyncio.Event(); loop.add_signal_handler(signal.SIGUSR1, done.set); os.kill(os.getpid(), signal.SIGUSR1); await done.wait(); print('signal')\n    d = tempfile.mkdtemp(); path = d + '/s'\n    async def serve(r, w): w.write((await r.readline()).upper()); await w.drain(); w.close()\n    s = await asyncio.start_unix_server(serve, path)\n    r, w = await asyncio.open_unix_connection(path); w.write(b'hello\\n'); print(await r.read()); w.close(); s.close()\n    print(await asyncio.to_thread(sum, range(10)))\n    try: await asyncio.wait_for(asyncio.sleep(10), 0.05)\n    except asyncio.TimeoutError: print('timeout')\n    p = await asyncio.create_subprocess_shell('echo $0; exit 3', stdout=-1); print(await p.communicate(), p.returncode)\n    os.unlink(path); os.rmdir(d)\nasyncio.run(main())"),
    "sqlite-wal-processes": python("import sqlite3, os, sys\nd = sqlite3.connect('w.db', timeout=30); print(d.execute('pragma journal_mode=wal').fetchone()); d.execute('create table t(a)'); d.commit(); d.close()\npids = []\nfor k in range(2):\n    pid = os.fork()\n    if pid == 0:\n        c = sqlite3.connect('w.db', timeout=30, isolation_level=None)\n        for i in range(100): c.execute('begin immediate'); c.execute('insert into t values (?)', (k * 1000 + i,)); c.execute('commit')\n        c.close(); os._exit(0)\n    pids.append(pid)\nprint([os.waitpid(p, 0)[1] for p in pids])\nd = sqlite3.connect('w.db'); print(d.execute('select count(*), sum(a) from t').fetchall(), d.execute('pragma integrity_check').fetchall()); d.close(); print(sorted(os.listdir('.')))", timeout=120),
    "ssl-connection": python("import ssl, socket, threading, subprocess\nsubprocess.run(['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', 'k', '-out', 'c', '-days', '2', '-subj', '/CN=localhost'], check=True, capture_output=True)\na, b = socket.socketpair()\ndef serve():\n    x = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER); x.load_cert_chain('c', 'k'); s = x.wrap_socket(b, server_side=True); s.sendall(s.recv(100).upper()); s.close()\nt = threading.Thread(target=serve); t.start(); y = ssl.create_default_context(cafile='c'); s = y.wrap_socket(a, server_hostname='localhost'); s.sendall(b'over tls'); print(s.recv(100), s.version()); t.join()", timeout=120),
    "fd-passing": python("import socket, os, array\na, b = socket.socketpair(); open('f', 'w').write('passed'); f = os.open('f', os.O_RDONLY); d = os.open('.', os.O_RDONLY)\nsocket.send_fds(a, [b'x'], [f, d]); os.close(f); os.close(d); m, fds, *_ = socket.recv_fds(b, 10, 5); print(m, os.read(fds[0], 100), sorted(os.listdir(fds[1])), os.fstat(fds[0]).st_size)\npid = os.fork()\nif pid == 0: m, fds, *_ = socket.recv_fds(b, 1, 1); os.write(fds[0], b'from child'); os._exit(0)\nr, w = os.pipe(); socket.send_fds(a, [b'y'], [w]); os.close(w); os.waitpid(pid, 0); print(os.read(r, 100))"),
    "ptys": python("import pty, os\npid, fd = pty.fork()\nif pid == 0: os.write(1, b'tty ' + str(os.isatty(0)).encode() + os.ttyname(0)[:9].encode()); os._exit(4)\nout = b''\ntry:\n    while chunk := os.read(fd, 100): out += chunk\nexcept OSError as e: print(e.errno)\nprint(out, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"),
    "signals": python("import signal, os, threading, time\nseen = []\nsignal.signal(signal.SIGUSR1, lambda n, f: seen.append(n)); signal.setitimer(signal.ITIMER_REAL, 0.05); signal.signal(signal.SIGALRM, lambda *a: seen.append('alarm')); time.sleep(0.2); os.kill(os.getpid(), signal.SIGUSR1); print(seen)\nsignal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2]); os.kill(os.getpid(), signal.SIGUSR2); print(signal.sigpending(), signal.sigwait([signal.SIGUSR2])); print(signal.sigtimedwait([signal.SIGUSR2], 0.01))\nr, w = os.pipe(); os.set_blocking(w, False); signal.set_wakeup_fd(w); threading.Thread(target=lambda: os.kill(os.getpid(), signal.SIGUSR1)).start(); print(os.read(r, 1)); print(signal.strsignal(9))"),
    "memory-maps": python("import mmap, os, ctypes\nf = open('m', 'w+b'); f.truncate(8192); a = mmap.mmap(f.fileno(), 8192); a[:4] = b'data'; a.flush(); print(open('m', 'rb').read(4)); b = mmap.mmap(f.fileno(), 8192, mmap.MAP_PRIVATE); b[:4] = b'priv'; print(a[:4], b[:4]); a.resize(16384); print(len(a), os.path.getsize('m')); s = mmap.mmap(-1, 4096)\nif os.fork() == 0: s[:3] = b'kid'; os._exit(0)\nos.wait(); print(s[:3], ctypes.CDLL(None).getpid() == os.getpid())", setup=SAMPLE),
    "temporary-files": python("import tempfile, os, stat\nwith tempfile.TemporaryFile() as f: f.write(b'x'); f.flush(); print(os.fstat(f.fileno()).st_nlink)\nwith tempfile.NamedTemporaryFile(dir='.') as f: print(os.path.exists(f.name))\nwith tempfile.TemporaryDirectory() as d: open(d + '/a', 'w').close()\nprint(os.path.exists(d)); f = os.open('.', os.O_TMPFILE | os.O_RDWR); os.write(f, b'linked'); os.link(f'/proc/self/fd/{f}', 'named', dst_dir_fd=None, src_dir_fd=os.open('/', os.O_RDONLY), follow_symlinks=True); print(open('named').read())\nfor n in ('user.a', 'user.b'): os.setxattr('named', n, b'v')\nprint(sorted(os.listxattr('named')), os.getxattr('named', 'user.a'))\nos.copy_file_range(f, os.open('c', os.O_CREAT | os.O_WRONLY), 6, 0); print(os.stat('c').st_size, os.sendfile(os.open('d', os.O_CREAT | os.O_WRONLY), f, 0, 6), stat.filemode(os.stat('d').st_mode))"),
    "pip-style-install": shell("mkdir -p pkg/demo; echo 'x = 1' >pkg/demo/__init__.py; /usr/bin/python3 -m compileall -q pkg; /usr/bin/python3 -m zipapp pkg -m demo:x -o a.pyz 2>/dev/null || true; /usr/bin/python3 -m zipfile -l a.pyz | wc -l; PYTHONPATH=pkg /usr/bin/python3 -c 'import demo; print(demo.x, demo.__cached__ is not None)'; /usr/bin/python3 -m py_compile pkg/demo/__init__.py; /usr/bin/python3 -m json.tool <<E\n{\"a\": [1]}\nE\n/usr/bin/python3 -m unittest discover -q pkg 2>&1 | tail -1; /usr/bin/python3 -m timeit -n 1 pass >/dev/null 2>&1 && echo timed"),
}
NODE: dict[str, Case] = {
    "ipc": node("const c=require('child_process');if(process.argv[2]==='kid'){}const k=c.fork('kid.js',['x']);k.on('message',m=>{console.log('parent got',m);k.send({bye:1})});k.on('exit',(s)=>console.log('exit',s))", setup=tree({"kid.js": "process.on('message',m=>{process.exit(m.bye?6:7)});process.send({hello:process.argv[2],n:[1,2,3]})\n"}), timeout=120),
    "watch": node("const fs=require('fs');const w=fs.watch('.',(e,f)=>{console.log(e,f);w.close()});setTimeout(()=>fs.writeFileSync('made','x'),50);", timeout=120),
    "streams": node("const fs=require('fs'),z=require('zlib'),{pipeline}=require('stream/promises'),{createInterface}=require('readline');(async()=>{await pipeline(fs.createReadStream('b/binary'),z.createGzip(),fs.createWriteStream('o.gz'));await pipeline(fs.createReadStream('o.gz'),z.createGunzip(),fs.createWriteStream('o'));console.log(fs.readFileSync('o').equals(fs.readFileSync('b/binary')));let n=0;for await(const l of createInterface({input:fs.createReadStream('a/deep/er/three.txt')}))n++;console.log(n);for await(const d of await fs.promises.opendir('a'))console.log(d.name.length>0);const h=await fs.promises.open('p','w+');await h.write('abc');await h.datasync();console.log((await h.stat()).size);await h.close();await fs.promises.cp('a','z',{recursive:true});await fs.promises.rm('z',{recursive:true});console.log(fs.existsSync('z'))})()", setup=SAMPLE, timeout=120),
    "http": node("const h=require('http');const s=h.createServer((q,r)=>r.end('got '+q.url)).listen(0,'127.0.0.1',()=>h.get({port:s.address().port,host:'127.0.0.1',path:'/p'},r=>{let d='';r.on('data',x=>d+=x);r.on('end',()=>{console.log(r.statusCode,d);s.close()})}))", flags=("--net", "loopback"), timeout=120),
    "unix-socket": node("const n=require('net');const s=n.createServer(c=>c.end('served')).listen('./s',()=>n.connect('./s').on('data',d=>console.log(String(d))).on('close',()=>s.close()))", timeout=120),
    "cluster": Case(argv=("/usr/bin/node", "main.js"), setup=tree({"main.js": "const c=require('cluster');if(c.isPrimary){let n=0;for(let i=0;i<2;i++)c.fork();c.on('message',(w,m)=>console.log('m',m));c.on('exit',(w,s)=>{if(++n==2)console.log('all',s)})}else{process.send('hi');setTimeout(()=>process.exit(0),50)}"}), timeout=120),
    "signals": node("process.on('SIGTERM',()=>{console.log('term');process.exit(3)});setInterval(()=>{},1000);setTimeout(()=>process.kill(process.pid,'SIGTERM'),20)", status=3, timeout=120),
    "shared-memory-workers": node("const {Worker}=require('worker_threads');const s=new SharedArrayBuffer(4),a=new Int32Array(s);let left=2;for(let i=0;i<2;i++)new Worker('const a=new Int32Array(require(\"worker_threads\").workerData);for(let i=0;i<10000;i++)Atomics.add(a,0,1)',{eval:true,workerData:s}).on('exit',()=>{if(!--left)console.log(a[0])})", timeout=120),
    "npm": shell("npm --version; npm config get registry; mkdir p; cd p; npm init -y >/dev/null; npm pkg set scripts.hi='echo from a script'; npm run -s hi", env={"HOME": "/tmp/pylibos-acceptance-npm", "npm_config_cache": "/tmp/pylibos-acceptance-npm", "npm_config_update_notifier": "false"}, timeout=240),
}
PERL: dict[str, Case] = {
    "ipc": perl(r'use IPC::Open3; use Socket; use IO::Select; my $p=open3(my $i,my $o,undef,"tr a-z A-Z"); print $i "text\n"; close $i; print <$o>; waitpid $p,0; socketpair(my $a,my $b,AF_UNIX,SOCK_STREAM,PF_UNSPEC); syswrite $a,"pair\n"; print scalar <$b>; pipe(my $r,my $w); if(!fork){print $w "kid\n"; exit} close $w; print <$r>; wait; local $SIG{CHLD}=sub{wait; print "reaped\n"}; if(!fork){exit} select undef,undef,undef,0.3; flock(STDIN,2); print "ok\n"'),
    "threads-and-dbm": perl(r'use Config; use Fcntl; use SDBM_File; tie my %h,"SDBM_File","db",O_RDWR|O_CREAT,0666; $h{a}=1; untie %h; print -s "db.pag","\n"; print $Config{useithreads}?"threads\n":"none\n"; require threads; print threads->create(sub{42})->join,"\n"; use Storable; store {x=>[1,2]},"st"; print retrieve("st")->{x}[1],"\n"; use Encode; print length(decode("UTF-8","h\xc3\xa9")),"\n"'),
}
JAVA = tree({"Hello.java": 'import java.nio.file.*; public class Hello { public static void main(String[] a) throws Exception { Thread t = new Thread(() -> System.out.println("thread")); t.start(); t.join(); Files.writeString(Path.of("out"), "x"); Process p = new ProcessBuilder("echo", "child").redirectErrorStream(true).start(); System.out.print(new String(p.getInputStream().readAllBytes())); System.exit(p.waitFor() + 4); } }\n'})
OTHERS: dict[str, Case] = {
    "java-version": shell("java -version 2>&1 | head -1", timeout=120),
    "java": shell("java -XX:-UsePerfData Hello.java || echo $?; cat out", setup=JAVA, timeout=240),
}
GO_PROGRAM = """
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGUSR1)
	syscall.Kill(os.Getpid(), syscall.SIGUSR1)
	fmt.Println(<-signals)
	command := exec.Command("sh", "-c", "read line; echo got $line; echo error >&2; exit 3")
	command.Stdin = strings.NewReader("input\\n")
	output, err := command.CombinedOutput()
	fmt.Printf("%q %v\\n", output, err)
	limited, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	fmt.Println(exec.CommandContext(limited, "sleep", "30").Run())
	var group sync.WaitGroup
	results := make([]string, 8)
	for index := range results {
		group.Add(1)
		go func(index int) {
			defer group.Done()
			text, _ := exec.Command("echo", fmt.Sprint(index)).Output()
			results[index] = string(text)
		}(index)
	}
	group.Wait()
	fmt.Printf("%q\\n", results)
	listener, err := net.Listen("unix", "socket")
	fmt.Println(err)
	go func() {
		connection, _ := listener.Accept()
		io.WriteString(connection, "over a socket")
		connection.Close()
	}()
	connection, err := net.Dial("unix", "socket")
	text, _ := io.ReadAll(connection)
	fmt.Println(string(text), err)
	filepath.WalkDir(".", func(path string, entry os.DirEntry, err error) error { fmt.Println(path, entry.Type()); return err })
	file, _ := os.CreateTemp(".", "x")
	os.Rename(file.Name(), "renamed")
	os.Symlink("renamed", "link")
	fmt.Println(os.Readlink("link"))
	ticker := time.NewTicker(time.Millisecond)
	for index := 0; index < 20; index++ {
		<-ticker.C
	}
	syscall.Kill(os.Getpid(), syscall.SIGTERM)
	select {}
}
"""


@pytest.mark.guest
@pytest.mark.slow
@pytest.mark.parametrize("name", PYTHON)
def test_python(comparer: Comparer, engine: str, name: str) -> None:
    comparer.check(f"acceptance-python::{name}", PYTHON[name], engine)


@pytest.mark.guest
@pytest.mark.slow
@pytest.mark.parametrize("name", NODE)
def test_node(comparer: Comparer, engine: str, name: str) -> None:
    comparer.check(f"acceptance-node::{name}", NODE[name], engine)


@pytest.mark.guest
@pytest.mark.parametrize("name", PERL)
def test_perl(comparer: Comparer, engine: str, name: str) -> None:
    comparer.check(f"acceptance-perl::{name}", PERL[name], engine)


@pytest.mark.guest
@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_others(comparer: Comparer, engine: str, name: str) -> None:
    comparer.check(f"acceptance-others::{name}", OTHERS[name], engine)


@pytest.fixture(scope="session")
def go_processes(scratch: Path) -> Path:
    """A static Go program about processes and signals, built natively; its cache goes with the session."""
    directory = scratch / "go-processes"
    directory.mkdir(mode=0o755)
    (directory / "main.go").write_text(GO_PROGRAM)
    env = {"PATH": os.environ["PATH"], "HOME": str(directory), "GOCACHE": str(directory / "cache"), "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod"}
    program = directory / "gopher"
    done = subprocess.run(["go", "build", "-o", str(program), "main.go"], cwd=directory, env=env, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    return program


@pytest.mark.guest
@pytest.mark.slow
def test_go_processes_and_signals(comparer: Comparer, engine: str, go_processes: Path) -> None:
    case = Case(argv=(str(go_processes),), status=143, flags=("--ro", str(go_processes)), timeout=120)
    comparer.check("acceptance-go::processes", case, engine)
