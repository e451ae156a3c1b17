"""perl, CPython, node, sqlite and a static Go program, each against its native run."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.harness.comparison import NOBODY, Case
from tests.harness.plugin import Comparer
from tests.harness.programs import SAMPLE, node, perl, python, shell

PERL: dict[str, Case] = {
    "core": perl(r'print "v$]\n" =~ /^v5/ ? "five\n" : "no\n"; my %h=(b=>2,a=>1); print join(",", map {"$_$h{$_}"} sort keys %h), "\n"; printf "%.3f\n", atan2(1,1)*4; print scalar reverse("abc"), "\n"; exit 4', status=4),
    "files": perl(r'open my $f,">","out" or die; print $f "x\n" x 3; close $f; open $f,"<","out"; my @l=<$f>; print scalar(@l),"\n"; mkdir "d"; rename "out","d/out"; opendir my $d,"d"; print join(" ",sort readdir $d),"\n"; print -s "d/out","\n"; symlink "d/out","l"; print readlink "l","\n"; chmod 0600,"d/out"; printf "%o\n",(stat "d/out")[2]&07777; unlink "l"', files=True),
    "processes": perl(r'$|=1; my $p=fork; if(!$p){exit 7} waitpid $p,0; print $?>>8,"\n"; print `echo from backticks`; system("exit 3"); print $?>>8,"\n"; open my $o,"-|","seq 3"; print <$o>; close $o; local $SIG{ALRM}=sub{die "alarm\n"}; eval{alarm 1; sleep 10}; print $@; kill 0,$$ and print "alive\n"; print "$0\n"'),
    "modules": perl(r'use File::Temp "tempfile"; use File::Path "make_path","remove_tree"; use POSIX qw(floor strftime); use Digest::MD5 "md5_hex"; use Cwd; use IO::Handle; use Time::HiRes "usleep"; use Socket; use List::Util "sum"; make_path("a/b/c"); print -d "a/b/c","\n"; remove_tree("a"); print md5_hex("x"),floor(2.7),strftime("%Y",gmtime 0),sum(1..4),"\n"; usleep 1000; socketpair(my $x,my $y,AF_UNIX,SOCK_STREAM,PF_UNSPEC); syswrite $x,"hi"; sysread $y,my $b,2; print "$b\n"'),
    "find-and-sort": perl(r'use File::Find; my @f; find(sub{push @f,$File::Find::name if -f},"."); print "$_\n" for sort @f; print "done\n"', setup=SAMPLE),
}
PYTHON: dict[str, Case] = {
    "imports": python("import json, re, os, sys, hashlib, subprocess, threading, socket, select, ctypes, decimal, asyncio, email, http.client, xml.etree.ElementTree, zipfile, lzma, bz2, zlib, tempfile, shutil, logging, unittest, multiprocessing, concurrent.futures, ssl, sqlite3, curses, uuid, random; print(sys.version_info[:2], len(sys.modules) > 200)"),
    "threads": python("import threading, queue\nq = queue.Queue(); out = []\ndef work():\n    while (n := q.get()) is not None: out.append(n * n)\nts = [threading.Thread(target=work) for _ in range(8)]\n[t.start() for t in ts]\n[q.put(i) for i in range(500)]\n[q.put(None) for _ in ts]\n[t.join() for t in ts]\nprint(sum(out), threading.active_count())"),
    "subprocess": python("import subprocess as s, signal\nprint(s.run(['echo', 'hi'], capture_output=True, text=True).stdout, s.run('exit 5', shell=True).returncode, s.check_output(['tr', 'a-z', 'A-Z'], input=b'abc'))\np = s.Popen(['sleep', '20']); p.send_signal(signal.SIGTERM); print(p.wait())\ntry: s.run(['sleep', '20'], timeout=0.2)\nexcept s.TimeoutExpired: print('timed out')\ntry: s.run(['nosuchprogram'])\nexcept FileNotFoundError as e: print(e.errno)\nps = [s.Popen(['sh', '-c', f'exit {i}'], stdout=s.PIPE, preexec_fn=(lambda: None) if i % 2 else None) for i in range(6)]\nprint([p.wait() for p in ps]); [p.stdout.close() for p in ps]"),
    "multiprocessing": python("import multiprocessing as m\nm.set_start_method('fork')\ndef f(x): return x * x\ndef g(q, l, v):\n    with l: v.value += 1\n    q.put(v.value)\nif True:\n    with m.Pool(3) as p: print(p.map(f, range(20)))\n    q, l, v = m.Queue(), m.Lock(), m.Value('i', 0)\n    ps = [m.Process(target=g, args=(q, l, v)) for _ in range(4)]\n    [p.start() for p in ps]; got = sorted(q.get() for _ in ps); [p.join() for p in ps]\n    print(got, v.value, [p.exitcode for p in ps])\n    a, b = m.Pipe(); p = m.Process(target=lambda: b.send({'x': 1})); p.start(); print(a.recv()); p.join()\nfrom multiprocessing import shared_memory\ns = shared_memory.SharedMemory(create=True, size=4096); s.buf[0] = 7; t = shared_memory.SharedMemory(s.name); print(t.buf[0]); t.close(); s.close(); s.unlink()", timeout=120),
    "futures": python("import concurrent.futures as c, os\nwith c.ThreadPoolExecutor(4) as e: print(list(e.map(lambda x: x + 1, range(10))))\nwith c.ProcessPoolExecutor(2) as e: print(sorted(e.map(abs, range(-5, 0))))", timeout=120),
    "sqlite": python("import sqlite3\nd = sqlite3.connect('t.db'); d.execute('create table t(a integer primary key, b text)'); d.executemany('insert into t(b) values (?)', [(str(i),) for i in range(1000)]); d.commit()\nprint(d.execute('select count(*), sum(a) from t').fetchone()); d.execute('delete from t where a % 2'); d.commit(); d.execute('vacuum'); print(d.execute('pragma integrity_check').fetchone()); d.close()", files=True),
    "ssl": python("import ssl, hashlib, hmac, secrets\nc = ssl.create_default_context(); print(c.verify_mode.name, ssl.OPENSSL_VERSION.split()[0], len(secrets.token_bytes(8)), hmac.digest(b'k', b'm', 'sha256').hex()[:8], hashlib.sha512(b'x').hexdigest()[:8])"),
    "venv": Case(argv=("/bin/sh", "-ec", "/usr/bin/python3 -I -m venv --without-pip v; v/bin/python -I -c 'import sys; print(sys.prefix != sys.base_prefix, sys.prefix.rsplit(\"/\", 1)[1])'; ls v v/bin | sort"), files=True, env={"PYTHONDONTWRITEBYTECODE": "1"}),
    "files": python("import os, shutil, pathlib, tempfile, glob, stat, mmap, fcntl\nshutil.copytree('a', 'z'); shutil.move('b', 'y'); pathlib.Path('p/q').mkdir(parents=True); pathlib.Path('p/q/r').write_text('r')\nprint(sorted(glob.glob('**/*.txt', recursive=True)), sorted(e.name for e in os.scandir('.')))\nfor r, d, f in sorted(os.walk('.')): print(r, sorted(d), sorted(f))\nwith tempfile.TemporaryDirectory() as t: print(os.path.isdir(t))\nwith open('m', 'w+b') as f:\n    f.truncate(8192); m = mmap.mmap(f.fileno(), 0); m[100:105] = b'hello'; m.close(); f.seek(100); print(f.read(5)); fcntl.flock(f, fcntl.LOCK_EX)\nshutil.make_archive('arch', 'tar', 'z'); shutil.unpack_archive('arch.tar', 'u'); os.remove('arch.tar')\nprint(shutil.disk_usage('.').total > 0, os.path.realpath('link').rsplit('/', 2)[1:]); shutil.rmtree('z')", files=True, setup=SAMPLE),
    "os": python("import os, signal, time, resource, pwd, platform\nprint(os.getuid() == os.geteuid(), os.cpu_count() > 0, platform.system(), pwd.getpwuid(0).pw_name, os.sysconf('SC_PAGE_SIZE'))\nr, w = os.pipe()\npid = os.fork()\nif pid == 0: os.write(w, b'child'); os._exit(3)\nprint(os.read(r, 10), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\nsignal.signal(signal.SIGALRM, lambda *_: print('alarm')); signal.setitimer(signal.ITIMER_REAL, 0.05); time.sleep(0.2)\nprint(os.listdir('/proc/self/fd') != [], os.readlink('/proc/self/exe'), open('/proc/self/comm').read(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 0, os.environ['TZ'])\npid = os.posix_spawn('/bin/echo', ['echo', 'spawned'], {}); os.waitpid(pid, 0)\nprint(len(os.urandom(16)), os.get_terminal_size.__name__, os.umask(0o77))"),
    "asyncio": python("import asyncio\nasync def main():\n    p = await asyncio.create_subprocess_exec('sort', stdin=-1, stdout=-1); print((await p.communicate(b'b\\na\\n'))[0], p.returncode)\n    print(await asyncio.gather(*(asyncio.sleep(0.01 * i, i) for i in range(5))))\n    try: await asyncio.wait_for(asyncio.sleep(20), 0.1)\n    except asyncio.TimeoutError: print('timeout')\n    print(await asyncio.to_thread(lambda: 5))\nasyncio.run(main())"),
    "sockets": python("import socket, threading, socketserver, urllib.request, http.server\nclass H(http.server.BaseHTTPRequestHandler):\n    def do_GET(self): self.send_response(200); self.end_headers(); self.wfile.write(b'page ' + self.path.encode())\n    def log_message(self, *a): pass\ns = http.server.ThreadingHTTPServer(('127.0.0.1', 0), H); threading.Thread(target=s.serve_forever, daemon=True).start()\nprint(urllib.request.urlopen(f'http://127.0.0.1:{s.server_port}/x').read()); s.shutdown()", flags=("--net", "loopback")),
    "exit-status": python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(42)", status=42),
    "exception": python("def f(): raise ValueError('boom')\nf()", status=1),
    "recursion-and-memory": python("import sys; sys.setrecursionlimit(20000)\ndef f(n): return n and f(n - 1) + 1\nprint(f(10000)); b = bytearray(200 << 20); b[-1] = 1; print(len(b)); print(sum(range(10**6)))"),
    "nobody": python("import os\nprint(os.getuid(), os.getgroups())\nfor p in ('/root/x', '/etc/x', '/usr/x'):\n    try: open(p, 'w')\n    except OSError as e: print(type(e).__name__)\nopen('mine', 'w').write('x'); print(os.stat('mine').st_uid); os.chmod('mine', 0o600)", user=NOBODY, files=True),
}

def _node_project(work: Path) -> None:
    SAMPLE(work)
    (work / "main.js").write_text("const m = require('./lib/m'); console.log(m.f(process.argv[2]), __dirname.split('/').pop(), require('./data.json').k);\n")
    (work / "lib").mkdir()
    (work / "lib/m.js").write_text("exports.f = x => 'got ' + x;\n")
    (work / "data.json").write_text('{"k": [1, 2]}\n')


NODE: dict[str, Case] = {
    "fs": node("const fs=require('fs'),p=require('path');fs.mkdirSync('x/y',{recursive:true});fs.writeFileSync('x/y/z','data');console.log(fs.readFileSync('x/y/z','utf8'),fs.readdirSync('.',{withFileTypes:true}).map(e=>e.name+e.isDirectory()).sort());fs.renameSync('x/y/z','x/w');fs.symlinkSync('x/w','l');console.log(fs.readlinkSync('l'),fs.statSync('l').size,fs.lstatSync('l').isSymbolicLink());fs.appendFileSync('x/w','!');fs.copyFileSync('x/w','c');fs.chmodSync('c',0o600);fs.utimesSync('c',1,2);console.log(fs.statSync('c').mtimeMs);fs.rmSync('x/y',{recursive:true});fs.promises.readFile('c').then(b=>console.log(b.length));const s=fs.createWriteStream('s');for(let i=0;i<1000;i++)s.write('line '+i+'\\n');s.end(()=>console.log(fs.statSync('s').size));try{fs.openSync('none')}catch(e){console.log(e.code)}console.log(fs.realpathSync('.').split('/').pop(),fs.existsSync('/etc/passwd'))", files=True, timeout=120),
    "child-process": node("const c=require('child_process');console.log(c.execSync('echo sync').toString(),c.spawnSync('sh',['-c','exit 7']).status);const p=c.spawn('sort');p.stdout.on('data',d=>console.log(String(d)));p.on('close',k=>{console.log('closed',k);c.exec('kill -9 $$',(e)=>{console.log(e.signal);const f=c.fork('-e',['process.send({n:1})'],{execArgv:[],silent:true});f.on('error',()=>0);f.on('exit',x=>console.log('fork',x!==null))})});p.stdin.end('b\\na\\n');c.execFile('nosuch',(e)=>console.log(e.code))", timeout=120),
    "workers": node("const {Worker}=require('worker_threads');let n=0;for(let i=0;i<3;i++){const w=new Worker(\"const {parentPort,workerData}=require('worker_threads');let s=0;for(let i=0;i<1e6;i++)s+=i%(workerData+2);parentPort.postMessage(s)\",{eval:true,workerData:i});w.on('message',m=>n+=m);w.on('exit',()=>0)}process.on('exit',()=>console.log(n));const b=new SharedArrayBuffer(4),a=new Int32Array(b);new Worker(\"const {workerData}=require('worker_threads');Atomics.store(new Int32Array(workerData),0,5);Atomics.notify(new Int32Array(workerData),0)\",{eval:true,workerData:b}).on('exit',()=>console.log(a[0]))", timeout=120),
    "timers-and-crypto": node("const c=require('crypto'),z=require('zlib');console.log(c.createHash('sha256').update('x').digest('hex').slice(0,8),c.randomBytes(8).length,z.gunzipSync(z.gzipSync('zipped')).toString());const t=Date.now();setTimeout(()=>console.log('later',Date.now()-t>=50),50);setImmediate(()=>console.log('immediate'));process.nextTick(()=>console.log('tick'));Promise.resolve().then(()=>console.log('promise'));console.log(process.platform,process.argv.length,typeof process.pid,require('os').cpus().length>0)", timeout=120),
    "exit": node("process.on('exit',c=>console.log('exit',c));console.error('err');process.exitCode=9", status=9, timeout=120),
    "script-file": Case(argv=("/usr/bin/node", "main.js", "arg"), setup=_node_project, timeout=120),
}
SQLITE: dict[str, Case] = {
    "wal": shell("sqlite3 t.db 'pragma journal_mode=wal; create table t(a,b); insert into t values(1,2),(3,4); select sum(a),sum(b) from t; pragma wal_checkpoint(truncate);'; ls; sqlite3 t.db 'select * from t; update t set b=b*2; select b from t order by b'; file=t.db; sqlite3 t.db .dump"),
    "wal-two-processes": shell("sqlite3 t.db 'pragma journal_mode=wal; create table t(a)'; for i in 1 2 3 4; do (for j in 1 2 3; do sqlite3 -cmd '.timeout 20000' t.db \"insert into t values($i*10+$j)\"; done) & done; wait; sqlite3 t.db 'select count(*),sum(a) from t; pragma integrity_check'", timeout=120),
    "rollback": shell("sqlite3 t.db 'create table t(a unique); begin; insert into t values(1); commit; begin; insert into t values(2); rollback; select * from t'; sqlite3 t.db 'insert into t values(1)' || echo conflict; sqlite3 t.db 'create index i on t(a); analyze; vacuum; pragma integrity_check'; sqlite3 :memory: 'with recursive n(x) as (select 1 union all select x+1 from n where x<1000) select sum(x) from n'", files=True),
    "import-export": shell("printf '1,a\\n2,b\\n' >in.csv; printf '.mode csv\\n.import in.csv t\\n.output out\\nselect * from t;\\n' | sqlite3 t.db; cat out; sqlite3 t.db '.backup copy.db'; cmp t.db copy.db && echo same; sqlite3 t.db .schema", files=True),
}




@pytest.mark.guest
@pytest.mark.parametrize("name", PERL)
def test_perl(comparer: Comparer, engine: str, name: str) -> None:
    comparer.check(f"perl::{name}", PERL[name], engine)


@pytest.mark.guest
@pytest.mark.parametrize("name", PYTHON)
def test_python(comparer: Comparer, engine: str, name: str) -> None:
    comparer.check(f"python::{name}", PYTHON[name], engine)


@pytest.mark.guest
@pytest.mark.slow
@pytest.mark.parametrize("name", NODE)
def test_node(comparer: Comparer, engine: str, name: str) -> None:
    comparer.check(f"node::{name}", NODE[name], engine)


@pytest.mark.guest
@pytest.mark.parametrize("name", SQLITE)
def test_sqlite(comparer: Comparer, engine: str, name: str) -> None:
    comparer.check(f"sqlite::{name}", SQLITE[name], engine)


GO_PROGRAM = """
package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sort"
	"sync"
	"time"
)

func main() {
	var group sync.WaitGroup
	var mutex sync.Mutex
	total := 0
	for worker := 0; worker < 50; worker++ {
		group.Add(1)
		go func(worker int) {
			defer group.Done()
			for index := 0; index < 1000; index++ {
				mutex.Lock()
				total += worker
				mutex.Unlock()
				if index%100 == 0 {
					runtime.Gosched()
				}
			}
		}(worker)
	}
	group.Wait()
	fmt.Println("total", total)
	channel := make(chan int)
	go func() {
		for index := 0; index < 5; index++ {
			time.Sleep(time.Millisecond)
			channel <- index
		}
		close(channel)
	}()
	for value := range channel {
		fmt.Println(value)
	}
	os.MkdirAll("go/dir", 0o755)
	os.WriteFile("go/dir/file", []byte("written by go\\n"), 0o644)
	file, err := os.Open("go/dir/file")
	scanner := bufio.NewScanner(file)
	for scanner.Scan() {
		fmt.Println(scanner.Text(), err)
	}
	entries, _ := os.ReadDir("go")
	names := []string{}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	sort.Strings(names)
	output, err := exec.Command("echo", "from a child").Output()
	fmt.Printf("%v %q %v\\n", names, output, err)
	_, err = os.Open("missing")
	fmt.Println(os.IsNotExist(err), len(os.Args))
	block := make([][]byte, 0)
	for index := 0; index < 200; index++ {
		block = append(block, make([]byte, 100000))
	}
	runtime.GC()
	fmt.Println(len(block))
	func() {
		defer func() { fmt.Println("recovered", recover() != nil) }()
		var pointer *int
		*pointer = 1
	}()
	os.Exit(6)
}
"""


@pytest.fixture(scope="session")
def go_program(scratch: Path) -> Path:
    """A static Go program, built natively. Its cache is thrown away with the session."""
    directory = scratch / "go"
    directory.mkdir(mode=0o755)
    (directory / "main.go").write_text(GO_PROGRAM)
    env = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(directory), "GOCACHE": str(directory / "cache"), "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod"}
    program = directory / "gopher"
    done = subprocess.run(["go", "build", "-o", str(program), "main.go"], cwd=directory, env=env, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    return program


@pytest.mark.guest
@pytest.mark.slow
def test_static_go_program(comparer: Comparer, engine: str, go_program: Path) -> None:
    case = Case(argv=(str(go_program), "x"), status=6, files=True, flags=("--ro", str(go_program)), timeout=120)
    comparer.check("go::static", case, engine)
