"""What has no native oracle: process listings, the command line's exit codes, and that the host is left as it was."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from pathlib import Path

import pytest

from tests.harness.comparison import ENVIRONMENT, NOBODY, Case, read_tree
from tests.harness.plugin import Comparer
from tests.harness.programs import SAMPLE, bash, busybox, shell

VISIBLE = ("/etc", "/usr/local", "/usr/include", "/opt", "/srv", "/var/lib/dpkg/alternatives")
"""Trees a contained program sees that are small enough to checksum before and after."""


def checksum(roots: tuple[str, ...]) -> str:
    """Names, types, modes, owners, sizes and modification times of everything below the roots."""
    digest = hashlib.sha256()
    for root in roots:
        for directory, names, files in os.walk(root):
            names.sort()
            for name in (".", *sorted(files)):
                path = f"{directory}/{name}"
                try:
                    status = os.lstat(path)
                except OSError:
                    continue
                digest.update(repr((path, status.st_mode, status.st_uid, status.st_gid, status.st_size, status.st_mtime_ns)).encode())
    return digest.hexdigest()


@pytest.mark.guest
def test_ps_shows_only_the_guests(comparer: Comparer, inside: str) -> None:
    case = bash("sleep 30 & sleep 0.1; ps -e -o pid=,ppid=,comm=; ps aux | wc -l; ps -p $$ -o comm=; kill $!; wait 2>/dev/null; ps -e -o comm= | sort | uniq -c")
    outcome = comparer.inside(case, inside)
    text = outcome.stdout.decode()
    assert outcome.completed.status == 0, outcome.completed.describe()
    commands = {line.split()[-1] for line in text.splitlines() if re.match(r"\s*\d+\s+\d+\s", line)}
    assert {"bash", "sleep", "ps"} <= commands <= {"bash", "sleep", "ps", "init", "pylibos"}, text


@pytest.mark.guest
def test_top_runs_once(comparer: Comparer, inside: str) -> None:
    outcome = comparer.inside(bash("top -b -n1; true"), inside)
    text = outcome.stdout.decode()
    assert outcome.completed.status == 0, outcome.completed.describe()
    assert not outcome.stderr, outcome.completed.describe()
    assert text.startswith("top - "), text
    assert re.search(r"^Tasks:\s+\d+ total", text, re.MULTILINE), text
    assert re.search(r"MiB Mem\s*:", text), text
    assert re.search(r"\s(top)$", text, re.MULTILINE), text


SAME_MACHINE = {
    "nproc": "nproc; nproc --all; getconf _NPROCESSORS_CONF _NPROCESSORS_ONLN PAGESIZE CLK_TCK; lscpu -p=CPU,CORE,SOCKET",
    "getconf": "getconf -a | grep -v 'AVPHYS_PAGES\\|LINK_MAX\\|FILESIZEBITS\\|_CACHE_'",
    "python": "python3 -c 'import os; print(os.cpu_count(), os.sysconf(\"SC_PHYS_PAGES\"), os.sysconf(\"SC_OPEN_MAX\"))'",
    "node": "node -p 'const os = require(\"os\"); [os.cpus().length, os.cpus()[0].model, os.totalmem(), os.arch(), os.availableParallelism()]'",
    "java": "java -XshowSettings:system -version 2>&1 | grep 'Effective CPU Count'",
    "free": "free -b | awk '/Mem:/ { print $2 }'; awk '/MemTotal/ { print $2 }' /proc/meminfo; swapon -s",
}


@pytest.mark.guest
@pytest.mark.parametrize("what", sorted(SAME_MACHINE))
def test_the_machine_has_one_size(comparer: Comparer, engine: str, what: str) -> None:
    """Processors and memory as each run-time system finds them: as natively, where nothing limits the sandbox."""
    if what in ("node", "java") and shutil.which(what) is None:
        pytest.skip(f"{what} is not installed")
    if engine == "ptrace" and what in ("java", "getconf"):
        pytest.skip("slow here, and the files are the same")
    comparer.check(f"machine/{what}", bash(SAME_MACHINE[what]), engine)


LISTENERS = """
import socket, time
server, datagrams, path, name = socket.create_server(("127.0.0.1", 8080)), *(socket.socket(*kind) for kind in ((2, 2), (1, 1), (1, 1)))
datagrams.bind(("127.0.0.1", 5353)), path.bind("/tmp/sock"), path.listen(), name.bind("\\0abstract"), name.listen()
print(flush=True)
time.sleep(30)
"""


@pytest.mark.guest
@pytest.mark.skipif(shutil.which("ss") is None or shutil.which("lsof") is None, reason="needs iproute2 and lsof")
def test_sockets_are_listed(comparer: Comparer, inside: str) -> None:
    """ss and lsof find the sandbox's sockets, and whose they are; nothing of the host's."""
    script = (
        f"coproc python3 -c '{LISTENERS}'; read -u ${{COPROC[0]}}; ss -Htlnp 2>/dev/null | tr -s ' '; ss -Hulnp 2>/dev/null | tr -s ' '; "
        "ss -Hxl 2>/dev/null | awk '{ print $5 }' | sort; lsof -nP -i | awk 'NR > 1 { print $1, $8, $9 }'; kill $COPROC_PID"
    )
    outcome = comparer.inside(bash(script, flags=("--net", "loopback")), inside)
    lines = [re.sub(r"pid=\d+", "pid=N", line).strip() for line in outcome.stdout.decode().splitlines()]
    assert lines == [
        'LISTEN 0 0 127.0.0.1:8080 0.0.0.0:* users:(("python3",pid=N,fd=3))', 'UNCONN 0 0 127.0.0.1:5353 0.0.0.0:* users:(("python3",pid=N,fd=4))',
        "/tmp/sock", "@abstract", "python3 TCP 127.0.0.1:8080", "python3 UDP 127.0.0.1:5353",
    ], outcome.completed.describe()  # fmt: skip


@pytest.mark.guest
def test_a_limit_is_what_programs_find(comparer: Comparer, inside: str) -> None:
    script = "cat /sys/fs/cgroup/pids.max; awk '$5 == \"/sys/fs/cgroup\" { print $(NF - 2) }' /proc/self/mountinfo; cat /proc/self/cgroup"
    outcome = comparer.inside(bash(script + "; test $(cat /sys/fs/cgroup/pids.current) -ge 1", flags=("--pids", "77")), inside)
    assert outcome.completed.status == 0, outcome.completed.describe()
    assert outcome.stdout.split() == [b"77", b"cgroup2", b"0::/"], outcome.completed.describe()


@pytest.mark.guest
def test_other_listings(comparer: Comparer, inside: str) -> None:
    """Programs that read /proc and /sys run and find themselves."""
    outcome = comparer.inside(bash("pgrep -c bash; pidof bash | wc -w; free | head -1 | wc -w; uptime | grep -c load; vmstat >/dev/null; echo $?; w -h; mount | grep -c ' /proc '; cat /proc/self/mounts >/dev/null && echo mounts"), inside)
    lines = outcome.stdout.decode().split()
    assert outcome.completed.status == 0, outcome.completed.describe()
    assert lines[0] == "1", outcome.completed.describe()
    assert lines[-1] == "mounts", outcome.completed.describe()


BUSY = bash(
    "touch /etc/new /usr/local/new; echo x >>/etc/passwd; rm -rf /usr/include; mkdir -p /opt/a/b; chmod 777 /etc; chown 1:1 /etc/hosts; "
    "mv /etc/hostname /etc/moved; ln -s x /srv/l; truncate -s 0 /etc/group; touch -d @0 /etc/fstab; cp -a /bin/ls /usr/local/bin/ls; echo y >a/one.txt; rm -r b; "
    "sed -i s/root/toor/ /etc/passwd; head -1 /etc/passwd; ls /usr/include 2>/dev/null | wc -l; find . | sort",
    setup=SAMPLE,
    normalise_stderr=lambda _: b"",
)


@pytest.mark.guest
@pytest.mark.parametrize("user", [None, NOBODY], ids=["caller", "nobody"])
def test_the_host_is_untouched(comparer: Comparer, inside: str, user: int | None) -> None:
    if user is not None and os.getuid() != 0:
        pytest.skip("choosing a user needs root")
    case = Case(argv=BUSY.argv, setup=SAMPLE, user=user)
    before = checksum(VISIBLE)
    outcome = comparer.inside(case, inside)
    assert not outcome.completed.timed_out, outcome.completed.describe()
    assert checksum(VISIBLE) == before
    work = comparer.arena.work
    left = read_tree(work)
    comparer.arena.fresh(case)
    assert left == read_tree(work), "a copy-on-write directory was written to"
    if user is None and os.getuid() == 0:
        assert outcome.stdout.startswith(b"toor:"), "the program itself must see its changes"


@pytest.mark.guest
def test_a_writable_grant_is_written_and_nothing_beside_it(comparer: Comparer, inside: str, tmp_path: Path) -> None:
    comparer.prepare(None)
    granted, beside = tmp_path / "granted", tmp_path / "beside"
    granted.mkdir()
    beside.mkdir()
    (beside / "f").write_text("before")
    (granted / "out").symlink_to(beside)
    script = f"echo in >{granted}/f; echo changed >{beside}/f; echo through >{granted}/out/f; mv {granted}/f {beside}/moved; echo again >{granted}/g; ln {beside}/f {granted}/hard; rm -r {beside}; true"
    case = shell(script, flags=("--rw", str(granted), "-v", f"{beside}:{beside}:cow"), normalise_stderr=lambda _: b"")
    outcome = comparer.inside(case, inside)
    assert not outcome.completed.timed_out, outcome.completed.describe()
    assert (beside / "f").read_text() == "before"
    assert sorted(path.name for path in beside.iterdir()) == ["f"]
    assert (granted / "g").read_text() == "again\n"
    assert not (granted / "f").exists(), "moving a file out of the grant removes it there"


@pytest.mark.guest
@pytest.mark.parametrize(
    ("argv", "status"),
    [
        (("/bin/true",), 0),
        (("/bin/sh", "-c", "exit 255"), 255),
        (("/bin/sh", "-c", "exit 125"), 125),
        (("/bin/sh", "-c", "kill -9 $$"), 137),
        (("/bin/sh", "-c", "kill -SEGV $$"), 139),
        (("/etc/passwd",), 126),
        (("/etc",), 126),
        (("/no-such-place/program",), 127),
        (("nosuchprogram",), 127),
    ],
    ids=str,
)
def test_exit_status(comparer: Comparer, inside: str, argv: tuple[str, ...], status: int) -> None:
    outcome = comparer.inside(Case(argv=argv), inside)
    assert outcome.completed.status == status, outcome.completed.describe()


@pytest.mark.guest
def test_timeout_is_124_and_leaves_nothing(comparer: Comparer, inside: str) -> None:
    case = bash("trap '' TERM; (setsid sleep 300 &); sleep 300", flags=("--timeout", "1s"))
    outcome = comparer.inside(case, inside)
    assert outcome.completed.status == 124, outcome.completed.describe()
    assert not outcome.completed.leaked


@pytest.mark.guest
def test_children_do_not_outlive_the_program(comparer: Comparer, inside: str) -> None:
    """When the entry program ends, what it left in the background ends too."""
    outcome = comparer.inside(bash("(setsid sleep 300 >/dev/null 2>&1 &); (trap '' HUP TERM; sleep 300 >/dev/null 2>&1) & echo started; exit 3"), inside)
    assert outcome.completed.status == 3, outcome.completed.describe()
    assert outcome.stdout == b"started\n"
    assert not outcome.completed.leaked


@pytest.mark.guest
def test_busybox_sees_the_environment_it_is_given(comparer: Comparer, inside: str) -> None:
    outcome = comparer.inside(busybox("env", env={"EXTRA": "value"}), inside)
    names = {line.partition("=")[0] for line in outcome.stdout.decode().splitlines()}
    assert {"EXTRA", "PATH", "HOME", "TZ"} <= names
    unasked = names - set(ENVIRONMENT)
    assert not {name for name in unasked if name.startswith(("LD_", "PYTEST", "PYTHON", "SSH_", "XDG_"))}, names
