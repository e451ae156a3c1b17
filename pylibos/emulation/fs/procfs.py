"""procfs: /proc. Puts the parts together: process directories, system texts, /proc/sys, the links self and thread-self.

create_procfs(executive) makes the volume; the runtime mounts it. Content is made when asked for (synthetic.py). Nothing of the host's
/proc is passed through but facts of the machine (processors, memory, load, uptime). Names of processes are guest pids.

    self thread-self mounts net          links as on Linux
    PID/...                              proc_process.py, texts in proc_text.py, proc_memory.py; init: proc_above.py
    cpuinfo meminfo stat ...             proc_system.py
    net/...                              proc_net.py
    sys/...                              proc_sys.py, backed by the registry

Missing: pagemap, kcore (a zero-length file nobody may read), kallsyms.
Source: proc(5), Linux fs/proc/root.c.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pylibos.abi.files import PROC_MAGIC
from pylibos.emulation.fs import proc_above, proc_net, proc_sys, proc_system
from pylibos.emulation.fs.inode import Inode
from pylibos.emulation.fs.proc_process import ProcessDirectories, decimal
from pylibos.emulation.fs.synthetic import (
    StaticDirectory,
    StaticLink,
    SyntheticDirectory,
    SyntheticFile,
    SyntheticLink,
    SyntheticVolume,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pylibos.emulation.executive import Executive
    from pylibos.emulation.process.thread import Thread


def create_procfs(executive: Executive) -> SyntheticVolume:
    """The volume for /proc."""
    volume = SyntheticVolume(executive.host, executive.files.new_device(), b"proc", PROC_MAGIC)
    volume.registry = executive.files.registry
    volume.no_suid = volume.no_device = volume.no_exec = True
    processes = ProcessDirectories(volume)
    above: list[Inode] = []

    def lookup(name: bytes, _thread: Thread | None) -> Inode | None:
        tid = decimal(name)
        if tid <= 0:
            return None
        if tid == executive.processes.above:
            if not above:
                first = executive.processes.init
                above.append(proc_above.create(volume, tid, 0 if first is None else first.start_ns // 10_000_000))
            return above[0]
        process = executive.processes.process(tid)
        if process is not None and executive.processes.exists(process):
            return processes.directory(process)
        thread = executive.processes.thread(tid)  # /proc/TID works for any thread, though it is not listed
        return None if thread is None else processes.directory(thread.process, thread)

    def names(_thread: Thread | None) -> Iterator[bytes]:
        pids = [process.pid for process in executive.processes.processes()]
        return iter([b"%d" % pid for pid in ([executive.processes.above, *pids] if executive.processes.above > 0 else pids)])

    root = SyntheticDirectory(volume, lookup, names, 0o555, number=1)
    volume.root = root
    _fill(volume, root, processes, executive)
    return volume


def _fill(volume: SyntheticVolume, root: SyntheticDirectory, processes: ProcessDirectories, executive: Executive) -> None:
    root.add(b"self", SyntheticLink(volume, lambda thread: b"%d" % thread.process.pid))
    root.add(b"thread-self", SyntheticLink(volume, lambda thread: b"%d/task/%d" % (thread.process.pid, thread.tid)))
    root.add(b"mounts", StaticLink(volume, b"self/mounts"))
    root.add(b"net", StaticLink(volume, b"self/net"))
    for name, render in proc_system.FILES.items():
        root.add(name, SyntheticFile(volume, render))
    for name in (b"kmsg", b"kcore"):
        root.add(name, SyntheticFile(volume, lambda _: b"", None, 0o400))
    network = StaticDirectory(volume, 0o555)
    for name, render in proc_net.FILES.items():
        network.add(name, SyntheticFile(volume, render))
    processes.network = network
    root.add(b"sys", proc_sys.build(volume, proc_sys.boot_id(executive.host.random_bytes(16))))
    for name in (b"bus", b"driver", b"fs", b"irq", b"tty", b"sysvipc"):
        root.add(name, StaticDirectory(volume, 0o555))
    sysvipc = root.entries[b"sysvipc"]
    assert isinstance(sysvipc, StaticDirectory)
    for name, heading in _SYSVIPC.items():
        sysvipc.add(name, SyntheticFile(volume, _objects(name, heading)))


_SYSVIPC = {
    b"msg": b"       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  cuid  cgid      stime      rtime      ctime\n",
    b"sem": b"       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n",
    b"shm": b"       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      atime      dtime      ctime"
    b"                   rss                  swap\n",
}


def _objects(name: bytes, heading: bytes) -> Callable[[Thread], bytes]:
    def render(thread: Thread) -> bytes:
        ipc = thread.executive.ipc
        return heading if ipc is None else heading + ipc.lines(name)

    return render


def _constant(text: bytes) -> Callable[[Thread], bytes]:
    def render(_thread: Thread) -> bytes:
        return text

    return render
