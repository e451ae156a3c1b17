"""The static busybox: its applets, each against its native run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.harness.comparison import NOBODY, Case
from tests.harness.plugin import Comparer
from tests.harness.programs import SAMPLE, busybox


def _with_fixed_times(work: Path) -> None:
    SAMPLE(work)
    os.utime(work / "a/one.txt", (1_000_000_000, 1_000_000_000))


CASES: dict[str, Case] = {
    "sh": busybox("sh", "-c", "x=5; for i in 1 2 3; do x=$((x*i)); done; echo $x; (exit 3); echo $?; echo a | tr a b", setup=SAMPLE),
    "sh-files": busybox("sh", "-c", "mkdir -p p/q; echo hi > p/q/r; cp -r p s; ln -s r p/q/t; mv p/q/r p/q/u; rm -r s", files=True, setup=SAMPLE),
    "ls": busybox("ls", "-1aR", setup=SAMPLE),
    "ls-long": busybox("ls", "-ln", "a/one.txt", "/bin/busybox", setup=_with_fixed_times),
    "find": busybox("find", ".", "-type", "f", "-size", "+0c", "-name", "*.txt", setup=SAMPLE, normalise=lambda o: b"\n".join(sorted(o.split()))),
    "find-exec": busybox("find", "a", "-name", "o*", "-exec", "cat", "{}", ";", setup=SAMPLE),
    "tar": busybox("sh", "-c", "busybox tar -cf t.tar a b && mkdir x && busybox tar -xf t.tar -C x && busybox tar -tf t.tar | busybox sort; rm t.tar", files=True, setup=SAMPLE),
    "awk": busybox("awk", "-F,", "NR>1 {s+=$2} END {print s, NR}", "b/data.csv", setup=SAMPLE),
    "sed": busybox("sed", "-e", "s/alpha/ALPHA/g;2d", "a/one.txt", setup=SAMPLE),
    "sed-in-place": busybox("sed", "-i", "s/beta/B/", "a/one.txt", files=True, setup=SAMPLE),
    "sort": busybox("sort", "-t,", "-k2", "-n", "b/data.csv", setup=SAMPLE),
    "wget-help": busybox("wget", "--help"),
    "grep": busybox("grep", "-rn", "alpha", "a/one.txt", "a/two.txt", setup=SAMPLE),
    "grep-none": busybox("grep", "zeta", "a/one.txt", setup=SAMPLE, status=1),
    "md5sum": busybox("md5sum", "b/binary", "a/one.txt", setup=SAMPLE),
    "gzip": busybox("sh", "-c", "busybox gzip -k b/binary && busybox zcat b/binary.gz | busybox cmp - b/binary && echo same; rm b/binary.gz", setup=SAMPLE, files=True),
    "vi-less": busybox("sh", "-c", "busybox head -3 a/deep/er/three.txt; busybox tail -2 a/deep/er/three.txt; busybox wc -l a/deep/er/three.txt", setup=SAMPLE),
    "diff": busybox("diff", "-u", "-L", "x", "-L", "y", "a/one.txt", "a/two.txt", setup=SAMPLE, status=1),
    "stat": busybox("stat", "-c", "%n %s %a %F %h %u %g", "a/one.txt", "a", "link", setup=SAMPLE),
    "dd": busybox("sh", "-c", "busybox dd if=b/binary of=out bs=100 skip=1 count=3 2>/dev/null; busybox md5sum out", setup=SAMPLE, files=True),
    "missing": busybox("cat", "does-not-exist", status=1),
    "no-applet": busybox("nosuchapplet", status=127),
    "test": busybox("sh", "-c", "[ -f a/one.txt ] && [ -d a ] && [ -L link ] && [ ! -e dangling ] && echo all", setup=SAMPLE),
    "xargs": busybox("sh", "-c", "echo 1 2 3 4 | busybox xargs -n 2 echo pair"),
    "seq-tee": busybox("sh", "-c", "busybox seq 1 5 | busybox tee out | busybox wc -l", files=True),
    "nobody": busybox("sh", "-c", "busybox id -u; echo x > mine; busybox stat -c '%u %g %a' mine; cat /etc/shadow 2>/dev/null; echo $?", user=NOBODY, files=True),
}




@pytest.mark.guest
@pytest.mark.parametrize("name", CASES)
def test_busybox(comparer: Comparer, engine: str, name: str) -> None:
    comparer.check(f"busybox::{name}", CASES[name], engine)
