"""strace and gdb inside: what they say of a program is what they say of it natively, but for addresses and numbers of processes."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.harness.plugin import Comparer
from tests.harness.programs import bash

SOURCE = """
#include <pthread.h>
#include <stdio.h>
static pthread_barrier_t together;
static int square(int number) { return number * number; }
static void *body(void *argument) { pthread_barrier_wait(&together); return (void *)(long)square((int)(long)argument); }
int main(void)
{
    pthread_t thread[2];
    long sum = 0;
    pthread_barrier_init(&together, NULL, 2);
    for (long index = 0; index < 2; index++)
        pthread_create(&thread[index], NULL, body, (void *)(index + 2));
    for (int index = 0; index < 2; index++) {
        void *value;
        pthread_join(thread[index], &value);
        sum += (long)value;
    }
    printf("sum %ld\\n", sum);
    return sum == 13 ? 3 : 1;
}
"""
NUMBERS = [
    (re.compile(rb"0x[0-9a-f]+"), b"ADDRESS"),
    (re.compile(rb"\b(LWP|process|Process|pid|Thread) \d+"), rb"\1 N"),
    (re.compile(rb"^\[pid +\d+\]|^\d+ +", re.MULTILINE), b"[N]"),
    (re.compile(rb"si_pid=\d+|si_uid=\d+|si_utime=\d+|si_stime=\d+"), b"N"),
]


def without_numbers(output: bytes) -> bytes:
    for pattern, replacement in NUMBERS:
        output = pattern.sub(replacement, output)
    return output


def setup_program(work: Path) -> None:
    (work / "squares.c").write_text(SOURCE)


CASES = {
    "strace-follows-children": bash(
        "strace -f -qq -e trace=execve,chdir,exit_group,dup2 -e signal=none -o log sh -c 'cd /usr; (cd /; exit 3); echo $?; ls -d bin; ls -d lib'; sort log | sed 's/^[0-9]* *//; s/0x[0-9a-f]*/A/; s/[0-9]* vars/N vars/'",
    ),
    "strace-shows-signals": bash("strace -qq -e trace=none -o log sh -c 'trap \"echo got\" USR1; kill -USR1 $$; kill -TERM $$'; echo $?; sed 's/si_pid=[0-9]*/P/; s/si_uid=[0-9]*/U/' log"),
    "strace-injects-errors": bash("strace -qq -o log -e trace=mkdir -e inject=mkdir:error=EXDEV mkdir made; echo $?; ls; cat log"),
    "strace-decodes-results": bash("strace -qq -o log -e trace=openat,read,write,close,fstat,newfstatat cat /etc/hostname >/dev/null; grep -A3 hostname log | sed 's/= [0-9]*$/= N/; s/st_size=[0-9]*/S/; s/\"[^\"]*\"\\.*/STRING/g; s/, [0-9]*)/, N)/'"),
    "strace-attaches": bash(
        "sleep 30 & child=$!; strace -qq -o log -p $child & tracer=$!; until grep -q TracerPid.*[1-9] /proc/$child/status; do sleep 0.05; done; kill $child; wait $child; echo $?; wait $tracer; tail -1 log"
    ),
    "gdb-break-and-step": bash(
        "gcc -g -O0 -pthread -o squares squares.c && gdb -nx -batch -ex 'break main' -ex run -ex bt -ex next -ex 'info registers rflags' -ex 'print sum' -ex kill ./squares 2>&1 | grep -v -e '^warning' -e libthread_db -e '^Thread'",
        setup=setup_program,
        normalise=without_numbers,
        timeout=120,
    ),
    "gdb-threads": bash(
        "gcc -g -O0 -pthread -o squares squares.c && gdb -nx -batch -ex 'set print thread-events off' -ex 'break square' -ex run -ex 'bt 1' -ex continue -ex 'bt 1' -ex delete -ex continue ./squares 2>&1 | grep -e '^sum' -e '^#0.*square (' -e exited | sed 's/number=[23]/number=N/' | sort | uniq -c",
        setup=setup_program,
        normalise=without_numbers,
        timeout=120,
    ),
}


@pytest.mark.guest
@pytest.mark.parametrize("name", CASES)
def test_debugger(comparer: Comparer, engine: str, name: str) -> None:
    program = name.partition("-")[0]
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    comparer.check(f"debuggers::{name}", CASES[name], engine)
