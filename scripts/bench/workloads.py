"""What is measured: the rows of the table, and the files they work on.

Three kinds of row: operations of micro.c (nanoseconds for one operation), whole programs (wall time of one run), and start-up.
`Target` says what a row must meet; it is judged in report.py, here it is only written down beside the row.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

TREE_FILES = 2000
TREE_DIRECTORIES = 40
SHELL_COMMANDS = 200
SQLITE_ROWS = 2000
SQLITE_TRANSACTIONS = 100
OLD_TIME = 1_700_000_000
"""Modification time of every fixture file: older than the git index, so that git need not read a file to trust its stat."""


class Target(Enum):
    """What a row must meet."""

    FORWARDED = "at most 1.3 x native"
    EMULATED = "less than PRoot"
    EXEC = "at most 2.5 x native"
    STARTUP = "at most 150 ms"
    NONE = "reported only"


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of micro.c."""

    name: str
    target: Target


OPERATIONS = (
    Operation("getppid", Target.EMULATED),
    Operation("read_zero_64", Target.FORWARDED),
    Operation("pread_4k", Target.FORWARDED),
    Operation("write_null", Target.FORWARDED),
    Operation("fstat", Target.EMULATED),
    Operation("stat_hit", Target.EMULATED),
    Operation("stat_miss", Target.EMULATED),
    Operation("open_close", Target.EMULATED),
    Operation("create_unlink", Target.EMULATED),
    Operation("readdir_100", Target.EMULATED),
    Operation("mmap_anonymous_64k", Target.FORWARDED),
    Operation("mmap_file_64k", Target.FORWARDED),
    Operation("mmap_new_file_64k", Target.FORWARDED),
    Operation("eventfd", Target.FORWARDED),
    Operation("epoll_wait_ready", Target.FORWARDED),
    Operation("signal_self", Target.EMULATED),
    Operation("pipe_ping_pong", Target.FORWARDED),
    Operation("tcp_ping_pong", Target.FORWARDED),
    Operation("thread_create_join", Target.EMULATED),
    Operation("thread_ping_pong", Target.FORWARDED),
    Operation("fork_wait", Target.EMULATED),
    Operation("fork_exec_wait", Target.EXEC),
)


@dataclass(frozen=True, slots=True)
class Program:
    """One whole program: its arguments, the names it leaves in the work directory, and its fixture."""

    name: str
    argv: tuple[str, ...]
    target: Target
    prepare: Callable[[Path], None]
    leaves: tuple[str, ...] = ()

    def is_available(self) -> bool:
        """Whether the program is on this machine (the fixture may still need more)."""
        return shutil.which(self.argv[0]) is not None


PYTHON_IMPORTS = "import json, re, socket, sqlite3, ssl, subprocess, tempfile, threading, unittest, xml.etree.ElementTree"
SHELL_SCRIPT = f"i=0; while [ $i -lt {SHELL_COMMANDS} ]; do /bin/true; i=$((i+1)); done"


def _nothing(work: Path) -> None:
    """Fixture of a row that needs none."""


def _tree(work: Path) -> None:
    """tree/: TREE_FILES small files in TREE_DIRECTORIES directories, committed to a git repository of its own."""
    root = work / "tree"
    if root.exists():
        return
    for index in range(TREE_FILES):
        path = root / f"part-{index % TREE_DIRECTORIES:02d}" / f"file-{index:04d}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"line {index}\n" * (1 + index % 60), encoding="ascii")
        os.utime(path, (OLD_TIME, OLD_TIME))
    git = ["git", "-c", "user.name=bench", "-c", "user.email=bench@localhost", "-c", "init.defaultBranch=main", "-C", str(root)]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "fixture"], ["status", "--short"]):
        subprocess.run([*git, *arguments], check=True, stdout=subprocess.DEVNULL, env={**os.environ, "HOME": str(work)})


def _source(work: Path) -> None:
    """medium.c: 120 functions over the usual headers, about 1,500 lines."""
    headers = ["stdio.h", "stdlib.h", "string.h", "unistd.h", "errno.h", "pthread.h", "sys/stat.h", "sys/socket.h", "math.h"]
    parts = [f"#include <{header}>\n" for header in headers]
    parts += [
        f"struct node{index} {{ struct node{index} *next; int key; char name[32]; }};\n"
        f"int insert{index}(struct node{index} **head, int key, const char *name)\n{{\n"
        f"    struct node{index} *n = malloc(sizeof *n);\n    if (!n)\n        return -1;\n"
        f'    n->key = key * {index + 3};\n    snprintf(n->name, sizeof n->name, "%s-%d", name, {index});\n'
        f"    for (int i = 0; i < key; i++)\n        n->key ^= (n->key << 3) + i;\n"
        f"    n->next = *head;\n    *head = n;\n    return n->key;\n}}\n"
        for index in range(120)
    ]
    (work / "medium.c").write_text("".join(parts), encoding="ascii")


def _sql(work: Path) -> None:
    """one-transaction.sql and many-transactions.sql, without fsync: the disk of the machine is not what is compared."""
    head = "PRAGMA synchronous=OFF;\nCREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, value REAL);\n"
    rows = [f"INSERT INTO t(name, value) VALUES('name {index}', {index * 0.5});\n" for index in range(SQLITE_ROWS)]
    (work / "one-transaction.sql").write_text(head + "BEGIN;\n" + "".join(rows) + "COMMIT;\n", encoding="ascii")
    (work / "many-transactions.sql").write_text(head + "".join(rows[:SQLITE_TRANSACTIONS]), encoding="ascii")


def _sqlite(script: str) -> tuple[str, ...]:
    return ("/usr/bin/sqlite3", "-batch", "bench.db", f".read {script}")


PROGRAMS = (
    Program("true", ("/bin/true",), Target.STARTUP, _nothing),
    Program("python_imports", ("/usr/bin/python3", "-c", PYTHON_IMPORTS), Target.EMULATED, _nothing),
    Program("git_status_2000", ("/usr/bin/git", "-C", "tree", "status", "--short"), Target.EMULATED, _tree),
    Program("tar_2000", ("/bin/tar", "-cf", "tree.tar", "tree"), Target.EMULATED, _tree, ("tree.tar",)),
    Program("gcc_compile", ("/usr/bin/gcc", "-O1", "-c", "medium.c", "-o", "medium.o"), Target.EMULATED, _source, ("medium.o",)),
    Program("bash_loop_200", ("/bin/bash", "-c", SHELL_SCRIPT), Target.EMULATED, _nothing),
    Program("sqlite_1_transaction", _sqlite("one-transaction.sql"), Target.EMULATED, _sql, ("bench.db", "bench.db-journal")),
    Program("sqlite_100_transactions", _sqlite("many-transactions.sql"), Target.EMULATED, _sql, ("bench.db", "bench.db-journal")),
)


def compile_micro(work: Path) -> Path:
    """Build micro.c statically into the work directory. Raises CalledProcessError or FileNotFoundError."""
    binary = work / "micro"
    here = Path(__file__).resolve().parent
    sources = [str(here / name) for name in ("micro.c", "micro_parties.c")]
    compiler = os.environ.get("CC", "cc")
    subprocess.run([compiler, "-O2", "-Wall", "-Wextra", "-static", "-pthread", "-o", str(binary), *sources], check=True)
    return binary


def remove_leavings(work: Path, names: Sequence[str]) -> None:
    """Delete what an earlier run of a program left, so that every run starts from the same state."""
    for name in names:
        (work / name).unlink(missing_ok=True)
