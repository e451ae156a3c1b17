"""`pylibos run -t` on a real terminal: job control, full-screen programs, the window, and the invoker's terminal as it was at any end."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import termios
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.harness.comparison import ENVIRONMENT, NOBODY, as_user, outer_environment, pylibos_argv
from tests.harness.plugin import Comparer, require_pylibos
from tests.harness.processes import descendants, process_table, run
from tests.harness.terminal import Terminal, on_terminal, wait_until

pytestmark = pytest.mark.guest
USERS = [None, NOBODY] if os.getuid() == 0 else [None]
INSIDE = {**ENVIRONMENT, "TERM": "xterm", "HOME": "/tmp", "SHELL": "/bin/sh", "PS1": "$ "}
SHELL = ("env", "TERM=dumb", "bash", "--norc", "--noprofile", "-i")
"""Its line editor writes no escape sequences."""
SECONDS = 20.0


class Sandbox:
    """Starts programs on terminals, inside and outside."""

    def __init__(self, engine: str, user: int | None, work: Path) -> None:
        self.engine = engine
        self.user = user
        self.work = work

    def command(self, argv: Sequence[str], flags: Sequence[str] = ("-t",)) -> list[str]:
        return as_user(self.user, pylibos_argv(self.engine, argv, flags, INSIDE))

    def start(self, argv: Sequence[str], flags: Sequence[str] = ("-t",), **options: Any) -> AbstractContextManager[Terminal]:
        def command(terminal: int) -> list[str]:
            return self.command([word.replace("$OUTER", str(os.fstat(terminal).st_rdev)) for word in argv], flags)

        return on_terminal(command, env={**outer_environment(), "TERM": "xterm"}, cwd=self.work, **options)

    @contextmanager
    def outer_shell(self) -> Iterator[Terminal]:
        """A bash of the host, with job control, that can start sandboxes."""
        with on_terminal([*SHELL], env={**outer_environment(), "TERM": "xterm", "PS1": "OUT "}, cwd=self.work) as terminal:
            terminal.expect(rb"OUT ")
            yield terminal

    def pipe(self, argv: Sequence[str], flags: Sequence[str], stdin: bytes) -> Any:
        return run(self.command(argv, flags), cwd=self.work, env=outer_environment(), stdin=stdin, timeout=60)


@pytest.fixture(params=USERS, ids=lambda user: "nobody" if user else "self")
def sandbox(comparer: Comparer, inside: str, request: pytest.FixtureRequest) -> Sandbox:
    require_pylibos()
    comparer.prepare(request.param)
    work = comparer.arena.work
    work.mkdir(mode=0o755, exist_ok=True)
    return Sandbox(inside, request.param, work)


def test_job_control(sandbox: Sandbox) -> None:
    with sandbox.start(SHELL, size=(30, 90)) as terminal:
        before = terminal.modes()
        terminal.expect(rb"\$ $")
        assert terminal.modes() != before, "the invoker's terminal must be raw while the guest has its own"
        terminal.send(b"tty; stty size; tput cols; stty -a | head -n 1; test -t 1 && echo is''atty\r")
        terminal.expect(rb"/dev/pts/\d+\r\n30 90\r\n90\r\nspeed 38400 baud; rows 30; columns 90; line = 0;\r\nisatty\r\n")
        terminal.send(b"sh -c 'echo up; exec sleep 100'\r")
        terminal.expect(rb"\nup\r\n")
        terminal.send(b"\x1a")
        terminal.expect(rb"\[1\]\+  Stopped +sh -c")
        terminal.send(b"jobs; bg; jobs\r")
        terminal.expect(rb"Stopped.*\[1\]\+ sh -c.*&.*Running")
        terminal.send(b"fg\r")
        terminal.expect(rb"fg\r\nsh -c")
        wait_until(lambda: foreground_is(terminal, b"sleep"), "sleep is in the foreground")
        terminal.send(b"\x03")
        terminal.expect(rb"\^C.*\$ $")
        terminal.send(b"echo status=$?\r")
        terminal.expect(rb"status=130")
        terminal.expect(rb"\$ $")
        terminal.send(b"cat\r")
        wait_until(lambda: foreground_is(terminal, b"cat"), "cat is in the foreground")
        terminal.expect(rb"cat\r\n")
        terminal.send(b"line\r")
        terminal.expect(rb"line\r\nline\r\n")
        terminal.send(b"\x04")
        terminal.expect(rb"\$ $")
        terminal.send(b"exit 7\r")
        assert terminal.wait() == 7
        assert terminal.modes() == before


def foreground_is(terminal: Terminal, name: bytes) -> bool:
    """Whether some process below the terminal's program with that name is in the foreground group of its own terminal."""
    for pid in descendants(terminal.process.pid):
        try:
            text = Path(f"/proc/{pid}/stat").read_bytes()
        except OSError:
            continue
        group, _session, _number, foreground = text.rpartition(b") ")[2].split()[2:6]
        command = Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/comm").read_bytes()
        if group == foreground and name in command:
            return True
    return False


def test_the_window_changes(sandbox: Sandbox) -> None:
    script = "trap 'stty size; exit 3' WINCH; echo ready; while :; do sleep 0.05; done"
    with sandbox.start(["bash", "-c", script]) as terminal:
        terminal.expect(rb"ready\r\n")
        terminal.resize(41, 101)
        terminal.expect(rb"41 101\r\n")
        assert terminal.wait() == 3


def test_full_screen_programs(sandbox: Sandbox) -> None:
    missing = [name for name in ("vim", "less", "top", "tmux", "script") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {missing}")
    with sandbox.start(SHELL, size=(30, 90)) as terminal:
        terminal.send(b"export TERM=xterm; vim -u NONE -N /tmp/f; cat /tmp/f\r")
        terminal.expect(rb"~")
        terminal.send(b"ihello from vim\x1b")
        terminal.expect(rb"hello from vim")
        terminal.send(b":wq\r")
        terminal.expect(rb"written.*hello from vim\r\n")
        terminal.send(b"seq 1 500 >/tmp/n; less /tmp/n; echo less is do''ne\r")
        terminal.expect(rb"\n28\r\n.*29")
        terminal.send(b"G")
        terminal.expect(rb"500\r\n")
        terminal.send(b"q")
        terminal.expect(rb"less is done")
        terminal.send(b"top; echo top is do''ne\r")
        terminal.expect(rb"load average.*COMMAND.*top")
        terminal.send(b"q")
        terminal.expect(rb"top is done")
        terminal.send(b"script -qec 'tty; stty size; exit 5' /tmp/log; echo status=$?\r")
        terminal.expect(rb"/dev/pts/\d+\r\n30 90\r\n.*status=5\r\n")
        terminal.send(
            b"tmux -f /dev/null new-session -d -s a -x 80 -y 24; tmux send-keys -t a 'echo in $((6*7)); tty > /tmp/t' Enter; "
            b"while ! test -s /tmp/t; do sleep 0.1; done; tmux capture-pane -p -t a; cat /tmp/t; tmux ls; tmux kill-server\r"
        )
        terminal.expect(rb"in 42\r\n.*/dev/pts/\d+\r\n.*a: 1 windows")
        terminal.send(b"exit\r")
        assert terminal.wait() == 0


def test_terminals_made_by_guests(sandbox: Sandbox) -> None:
    """Python's own ways, on a terminal and without one."""
    program = (
        "import os, pty, sys\n"
        "m, s = os.openpty()\n"
        "print(os.ttyname(s), os.stat(os.ttyname(s)).st_rdev == os.fstat(s).st_rdev, flush=True)\n"
        "own = {os.minor(os.stat(f'/dev/pts/{name}').st_rdev) for name in os.listdir('/dev/pts') if name != 'ptmx'}\n"
        "print(own == {os.minor(os.fstat(fd).st_rdev) for fd in (s, 0) if os.isatty(fd)}, flush=True)\n"
        "sys.exit(os.waitstatus_to_exitcode(pty.spawn(['sh', '-c', 'tty; read line; echo got $line; exit 4'])))"
    )
    wanted = rb"/dev/pts/\d+ True\r?\nTrue\r?\n(some words\r\n)?/dev/pts/\d+\r\n"
    with sandbox.start(["python3", "-c", program]) as terminal:
        terminal.expect(wanted)
        terminal.send(b"some words\r")
        terminal.expect(rb"got some words\r\n")
        assert terminal.wait() == 4
    completed = sandbox.pipe(["python3", "-c", program], (), b"some words\n")
    assert re.search(wanted + rb".*got some words", completed.stdout, re.DOTALL), completed.describe()
    assert completed.status == 4


def test_the_invokers_terminal_stays_outside(sandbox: Sandbox) -> None:
    """With -t no descriptor of it is in the guest, and nothing can be typed into it or into the guest's own."""
    program = (
        "import fcntl, os, sys\n"
        "def device(fd):\n"
        "    try: return os.fstat(fd).st_rdev\n"
        "    except OSError: return 0\n"
        "print('theirs' if int(sys.argv[1]) in map(device, range(2048)) else 'own', device(0) == os.stat(os.ttyname(0)).st_rdev)\n"
        "def attempt(command, argument=b'x'):\n"
        "    try: fcntl.ioctl(0, command, argument); return 'done'\n"
        "    except OSError as error: return os.strerror(error.errno)\n"
        "for command in (0x5412, 0x541C, 0x541D, 0x5437, 0x541F, 0x540C): print(hex(command), attempt(command))\n"
    )
    answers = {0x5412: "Input/output error", 0x541C: "Inapp", 0x541D: "Operation not", 0x5437: "Operation not", 0x541F: "Inapp"}
    refused = rb"[^\r]*\r\n".join(f"{command:#x} {answer}".encode() for command, answer in answers.items())
    for flags, whose, exclusive in (("-t",), rb"own True\r\n", rb"0x540c done\r\n"), ((), rb"theirs True\r\n", rb"0x540c Operation not"):
        with sandbox.start(["python3", "-c", program, "$OUTER"], flags) as terminal:
            terminal.expect(whose)
            terminal.expect(refused)
            terminal.expect(exclusive)
            assert terminal.wait() == 0


def children(pid: int) -> list[int]:
    return [child for child, (parent, _state, _name) in process_table().items() if parent == pid]


@pytest.mark.parametrize("end", ["exit", "guest-kill", "timeout", "term", "hup", "sandbox-kill", "relay-kill"])
def test_the_invokers_terminal_comes_back(sandbox: Sandbox, end: str) -> None:
    flags = ["-t", "--timeout", "1s"] if end == "timeout" else ["-t"]
    body = {"exit": "stty raw; echo up; exit 9", "guest-kill": "stty raw; echo up; kill -9 $$"}.get(end, "stty raw; echo up; exec sleep 60")
    with sandbox.start(["sh", "-c", body], flags) as terminal:
        before = terminal.modes()
        terminal.expect(rb"up")
        relay = terminal.process.pid
        if end not in ("exit", "guest-kill"):
            assert terminal.modes() != before
        if end in ("term", "hup", "relay-kill"):
            below = set(descendants(relay))
            os.kill(relay, {"term": signal.SIGTERM, "hup": signal.SIGHUP, "relay-kill": signal.SIGKILL}[end])
            status = terminal.wait(SECONDS)
            if end == "relay-kill":
                wait_until(lambda: not below & set(descendants(os.getpid())), "no guest outlives the relay", SECONDS)
                wait_until(lambda: terminal.modes() == before, "the sandbox's process gives the terminal back", SECONDS)
        else:
            if end == "sandbox-kill":
                os.kill(children(relay)[0], signal.SIGKILL)
            status = terminal.wait(SECONDS)
        expected = {"exit": 9, "guest-kill": 137, "timeout": 124, "term": 143, "hup": 129, "sandbox-kill": 125, "relay-kill": -9}
        assert status == expected[end], terminal.seen
        assert terminal.modes() == before
        assert not descendants(relay)


def test_without_its_own_terminal_modes_come_back_too(sandbox: Sandbox) -> None:
    with sandbox.start(["sh", "-c", "stty raw -echo; echo up; kill -9 $$"], ()) as terminal:
        before = terminal.modes()
        terminal.expect(rb"up")
        assert terminal.wait() == 137
        assert terminal.modes() == before


def test_a_job_of_the_invokers_shell(sandbox: Sandbox) -> None:
    """Stopped, continued, put in the background: no signal of the terminal wedges it, and the shell always has its own modes."""
    command = " ".join(f"'{word}'" for word in sandbox.command(["bash", "-c", "echo up; read line; echo got $line; read line; exit 6"]))
    with sandbox.outer_shell() as terminal:
        terminal.send(command.encode() + b"\r")
        terminal.expect(rb"up\r\n")
        relay = next(pid for pid in children(terminal.process.pid) if b"\0run\0" in Path(f"/proc/{pid}/cmdline").read_bytes())
        os.kill(relay, signal.SIGTSTP)
        terminal.expect(rb"Stopped.*OUT ")
        terminal.send(b"echo shell $((40+2)) again\r")
        terminal.expect(rb"shell 42 again\r\n")
        terminal.send(b"fg\r")
        wait_until(lambda: not terminal.modes()[3] & termios.ICANON, "raw again")
        time.sleep(0.3)  # the shell, too, is in a raw mode until it has started the job
        terminal.send(b"one\r")
        terminal.expect(rb"got one\r\n")
        terminal.send(b"two\r")
        terminal.expect(rb"OUT ")
        terminal.send(command.encode() + b" &\r")
        terminal.expect(rb"up\r+\n")
        terminal.send(b"echo shell $((40+3)) again\r")
        terminal.expect(rb"shell 43 again\r\n")
        terminal.send(b"jobs\r")
        terminal.expect(rb"Running")
        terminal.send(b"fg\r")
        terminal.expect(rb"fg\r\n")
        time.sleep(0.5)  # it is seen within a fifth of a second: no signal tells of it
        terminal.send(b"three\r")
        terminal.expect(rb"got three\r\n")
        terminal.send(b"four\r")
        terminal.expect(rb"OUT ")
        terminal.send(b"echo status=$?\r")
        terminal.expect(rb"status=6\r\n")
        terminal.send(b"exit\r")
        assert terminal.wait() == 0


def test_the_invokers_terminal_goes_away(sandbox: Sandbox) -> None:
    """A closed window: the guest's session gets SIGHUP, and everything ends."""
    with sandbox.start(["sh", "-c", "echo up; exec sleep 60"]) as terminal:
        terminal.expect(rb"up")
        spare = os.open(os.devnull, os.O_RDWR)
        os.dup2(spare, terminal.master)
        os.close(spare)
        assert terminal.process.wait(SECONDS) in (129, -signal.SIGHUP)


def test_pipes(sandbox: Sandbox) -> None:
    """-t without a terminal outside: the guest has one all the same; the end of input is its end of file, as often as it is read."""
    completed = sandbox.pipe(["sh", "-c", "tty; stty size; cat; echo and; cat; exit 2"], ["-t"], b"words\nno newline")
    assert completed.status == 2, completed.describe()
    echoed, end = rb"(words\r\nno newline)?", rb"(\^D\x08\x08)*"
    pattern = echoed + rb"/dev/pts/\d+\r\n24 80\r\n" + echoed + rb"words\r\nno newline" + end + rb"and\r\n" + end
    assert re.fullmatch(pattern, completed.stdout), completed.describe()
    big = b"".join(b"%d\n" % number for number in range(50_000))
    completed = sandbox.pipe(["seq", "0", "49999"], ["-t"], b"")
    assert completed.stdout.replace(b"\r\n", b"\n").replace(b"^D\x08\x08", b"") == big
    completed = sandbox.pipe(["sh", "-c", "test ! -t 0 && test ! -t 1 && cat"], ["-i"], bytes(range(256)) * 1000)
    assert completed.stdout == bytes(range(256)) * 1000
    with subprocess.Popen(
        sandbox.command(["yes"]), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, cwd=sandbox.work, env=outer_environment()
    ) as process:
        assert process.stdout is not None
        assert process.stdout.read(10) == b"y\r\ny\r\ny\r\ny"
        process.stdout.close()
        assert process.wait(SECONDS) == 129, "nobody reads any more: as when a window is closed"


def test_messages_and_status(sandbox: Sandbox, tmp_path: Path) -> None:
    with sandbox.start(["/nonexistent/program"]) as terminal:
        before = terminal.modes()
        assert terminal.wait() == 127
        assert b"no such program" in terminal.seen
        assert terminal.modes() == before
    status = tmp_path / "status"
    status.touch(mode=0o666)
    status.chmod(0o666)
    for parent in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        parent.chmod(0o755)
    with sandbox.start(["sh", "-c", "exit 3"], ["-t", "--status-file", str(status)]) as terminal:
        assert terminal.wait() == 3
    assert status.read_text().count('"code": 3') == 1


def test_cpython_says_the_same(sandbox: Sandbox) -> None:
    """CPython's own tests of terminals, on one: natively they pass, and inside."""
    if len(USERS) > 1 and (sandbox.user is None) != (sandbox.engine == "notify"):
        pytest.skip("each user and each engine once")
    tests = ["test_pty", "test_openpty", "test_getpass", "test_ioctl", "test_curses"]
    python = next((path for path in sorted(Path("/usr/lib").glob("python3.*/test/test_pty.py"))), None)
    if python is None:
        pytest.skip("CPython's tests are not installed")
    argv = [f"/usr/bin/{python.parent.parent.name}", "-m", "test", "-u", "curses", *tests]
    with on_terminal(as_user(sandbox.user, argv), env=INSIDE, cwd="/tmp") as terminal:
        assert terminal.wait(100) == 0, terminal.seen[-2000:]
    with sandbox.start(argv, ["-t", "-C", "/tmp"]) as terminal:
        assert terminal.wait(100) == 0, terminal.seen[-2000:]
        assert b"All 5 tests OK" in terminal.seen, terminal.seen[-2000:]
