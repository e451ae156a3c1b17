"""coreutils, findutils, grep, sed, gawk, tar, compressors, diff and patch, each against its native run."""

from __future__ import annotations

import re

import pytest

from tests.harness.comparison import NOBODY, Case
from tests.harness.plugin import Comparer
from tests.harness.programs import SAMPLE, shell, sorted_lines

TIMES = "touch -d '2001-02-03 04:05:06.789 UTC' a/one.txt; touch -h -d @1000 link; touch -d @2000 a; "
TAR = "tar --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner"


def without_numbers(output: bytes) -> bytes:
    """For free space and speeds."""
    return re.sub(rb"\d[\d.,]*", b"N", output)


COREUTILS: dict[str, Case] = {
    "cp-archive": shell(TIMES + "cp -a . ../work/copy 2>/dev/null || true; cp -a a copy2; ls -A copy2; stat -c '%n %Y %a %s' copy2/one.txt copy2; cp -a link l2; readlink l2; stat -c %Y l2; rm -rf copy", files=True, setup=SAMPLE),
    "cp-options": shell("cp -r a r; cp -s $PWD/a/one.txt s; cp -l a/one.txt h; cp -u a/one.txt r/one.txt; cp --parents a/deep/er/three.txt b; cp -n b/empty a/one.txt; stat -c '%h %s' h; cp -v a/two.txt z", files=True, setup=SAMPLE),
    "cp-sparse": shell("truncate -s 1M sparse; echo end >>sparse; cp --sparse=always sparse copy; cmp sparse copy && stat -c %s copy; rm sparse copy", files=True),
    "mv": shell("mv a/one.txt a/uno; mv -T b c; mv -n a/uno a/two.txt || true; mv a c/inner; mv 'space name' c; mv link dangling c/inner; ls -R c", files=True, setup=SAMPLE),
    "mv-refusals": shell("mv a a/deep || echo refused; mv nowhere x || echo absent; mkdir full; touch full/f; mkdir e; touch e/full; mv -T a full || echo not empty", files=True, setup=SAMPLE),
    "ln": shell("ln a/one.txt hard; ln -s a sym; ln -sf b sym2; ln -sfn a sym; ln -r -s a/deep/er/three.txt b/rel; readlink b/rel sym; readlink -f sym/one.txt | sed 's:.*/work/::'; stat -c %h hard; ln a d || echo no", files=True, setup=SAMPLE, normalise_stderr=lambda o: o),
    "chmod": shell("chmod 640 a/one.txt; chmod u+x,g-w,o= a/two.txt; chmod -R a+rX b; chmod +t b; chmod g+s a; chmod --reference=a/one.txt b/empty; stat -c '%A %n' a/* b b/* a", files=True, setup=SAMPLE),
    "touch": shell("touch new; touch -c absent; touch -d @5 -a new; touch -d @6 -m new; stat -c '%X %Y %n' new; touch -r new a/one.txt; stat -c %Y a/one.txt; touch -h -d @7 link; stat -c %Y link; ls absent || true", files=True, setup=SAMPLE),
    "stat": shell("stat -c '%n %s %F %a %h %t:%T %u %g' a/one.txt a link dangling b/binary /dev/null; stat -L -c %F link; stat -c %N link; stat -f -c %l . ; stat nowhere || echo none", setup=SAMPLE),
    "df": shell("df -P . >/dev/null && df --output=target / | tail -1; df -P nowhere || echo none", setup=SAMPLE),
    "du": shell("du --apparent-size -b a/one.txt b/binary; du -b --max-depth=0 a/deep/er/three.txt; du -a --apparent-size -B1 b/binary", setup=SAMPLE),
    "sort": shell("sort -k2 -t, -n b/data.csv; seq 3000 | sort -R | sort -n | md5sum; sort -u a/one.txt a/two.txt; sort -c a/deep/er/three.txt || echo unsorted; seq 50000 | sort -r -S 64K -T . | head -1", setup=SAMPLE, normalise_stderr=lambda o: o),
    "dd": shell("dd if=/dev/zero of=z bs=64K count=5 status=none; dd if=b/binary of=z bs=1 seek=10 count=300 conv=notrunc status=none; cksum z; dd if=b/binary bs=1k count=2 2>/dev/null | wc -c; dd if=/dev/zero of=y bs=1M count=2 oflag=append conv=fsync status=none; stat -c %s y", files=True, setup=SAMPLE),
    "tee": shell("echo x | tee one two three; echo y | tee -a one; cat one; echo z | tee /dev/stderr 2>&1 | sort", files=True),
    "timeout": shell("timeout 0.2 sleep 20 || echo $?; timeout 5 true; echo $?; timeout -s KILL 0.2 sleep 20 || echo $?; timeout -k 0.2 0.2 sh -c 'trap \"\" TERM; sleep 20; sleep 20' || echo $?; timeout 5 sh -c 'exit 3' || echo $?"),
    "nohup": shell("nohup sh -c 'echo said; kill -HUP $$; echo survived' >out 2>&1; cat out", files=True),
    "mktemp": shell("f=$(mktemp); test -f $f; d=$(mktemp -d ./dXXXXXX); test -d $d; stat -c '%a %F' $f $d; rm $f; rmdir $d; mktemp -u x.XXXX | wc -c", files=True),
    "text": shell("cut -d, -f2 b/data.csv; tr a-z A-Z <a/one.txt; uniq -c a/one.txt; nl a/two.txt; fold -w 5 a/one.txt; paste -sd+ a/two.txt; join a/one.txt a/one.txt | head -3; comm -12 a/one.txt a/one.txt; tac a/two.txt; rev a/two.txt; od -An -tx1 -N16 b/binary; split -l 50 a/deep/er/three.txt p.; ls p.*; expand a/one.txt | head -1; shuf -i 1-5 | sort", files=True, setup=SAMPLE),
    "sums": shell("md5sum b/binary; sha256sum a/*.txt; cksum b/binary; b2sum b/empty; sha1sum a/one.txt >s; sha1sum -c s; base64 b/binary | md5sum", files=True, setup=SAMPLE),
    "heads-and-tails": shell("head -c 100 b/binary | md5sum; tail -n +195 a/deep/er/three.txt; tail -c 20 a/deep/er/three.txt; (sleep 0.2; echo more >>f) & echo start >f; timeout 1.5 tail -f f || true; wait", setup=SAMPLE),
    "rm": shell("rm a/one.txt; rm -r b; rm -f nowhere; rmdir empty-directory; rm a || echo directory; rm -rf a; ls -A", files=True, setup=SAMPLE),
    "directories": shell("mkdir -p x/y/z; mkdir -m 700 p; mkdir x || echo exists; rmdir -p x/y/z; ls -A1; realpath -m --relative-to=. ./q/../r; basename /a/b.c .c; dirname /a/b; pwd -P | sed 's:.*/::'", files=True),
    "ls": shell(TIMES + "ls -A1; ls -1R a; ls -1F; ls -1S b; ls -d */; ls -ln --time-style=+%s a/one.txt link; ls -1t a; ls nowhere || echo $?; ls -la --time-style=+ / >/dev/null", setup=SAMPLE),
    "special": shell("mkfifo p; (echo through >p &) ; cat p; test -p p; echo $?; truncate -s 12345 t; stat -c %s t; sync; sync t; shred -n 1 -u t; ls; link p q; unlink q", files=True),
    "environment": shell("env -i A=b env; printenv TZ; nice -n 5 nice; id -u; whoami; uname -sm; nproc >/dev/null; date -u -d @0 +%F; hostname >/dev/null || true; test -w .; expr 3 + 4; factor 360; seq -s, 5; yes | head -1; tty || true; arch; getconf PAGE_SIZE"),
    "install": shell("install -m 640 a/one.txt i; install -d j/k; install -D b/binary j/l/m; stat -c '%a %n' i j/k j/l/m", files=True, setup=SAMPLE),
    "nobody": shell("cp -r a mine; chmod 700 mine; stat -c '%u %a' mine mine/one.txt; chown 0 mine/one.txt 2>/dev/null || echo not allowed; touch /usr/x 2>/dev/null || echo read-only; cat /etc/passwd >/dev/null && echo readable; mv mine yours; rm -r yours/deep", files=True, setup=SAMPLE, user=NOBODY),
}
TOOLS: dict[str, Case] = {
    "find": shell("find . | sort; find . -type l | sort; find a -newer b/empty | sort; find . -name '*.txt' -printf '%f %s %m %y\\n' | sort; find . -empty | sort; find a -depth -delete; find . -perm -u+w -type f | sort; find . -xtype l", files=True, setup=SAMPLE),
    "find-exec": shell("find . -type f -exec md5sum {} + | sort; find a -name '*.txt' -print0 | sort -z | xargs -0 -n1 wc -l; find . -maxdepth 1 -type d -execdir echo {} \\; | sort; find b -type f -size +1k -ok echo {} \\; </dev/null 2>/dev/null || true", setup=SAMPLE),
    "xargs": shell("seq 20 | xargs -P 2 -n 5 echo | sort; seq 1000 | xargs echo | wc; printf 'a b\\n' | xargs -I{} echo '<{}>'; echo x | xargs false || echo $?"),
    "grep": shell("grep -n alpha a/*.txt; grep -rl beta . | sort; grep -c line a/deep/er/three.txt; grep -E '^line (1|2)$' a/deep/er/three.txt; grep -P '\\d{3}$' a/deep/er/three.txt | head -2; grep -v a a/two.txt; grep -q nothing a/one.txt || echo none; grep x nowhere || echo $?; grep -a -o -b line a/deep/er/three.txt | head -2; grep -z -c alpha a/one.txt", setup=SAMPLE),
    "sed": shell("sed -n '2,3p' a/one.txt; sed -i.bak 's/alpha/A/g' a/one.txt; cat a/one.txt; sed '$!N;s/\\n/-/' a/two.txt; sed -e '/beta/{w out' -e 'd}' a/one.txt; cat out; sed -s -n '$=' a/*.txt; sed -E 's/(.)(.)/\\2\\1/g' a/two.txt", files=True, setup=SAMPLE),
    "gawk": shell("gawk -F, '{t[$1]=$2} END {n=asorti(t,k); for(i=1;i<=n;i++) print k[i],t[k[i]]}' b/data.csv; gawk 'BEGIN{while((\"echo from command\"|getline l)>0) print l; print strftime(\"%Y\",0); printf \"%.3f\\n\", atan2(0,-1); print length(\"héllo\"); print \"piped\" | \"cat\"; close(\"cat\"); system(\"exit 3\")}'; gawk '{print > (\"out-\" NR%2)}' a/one.txt; gawk 'BEGIN{printf \"x\" > \"/dev/stderr\"}' 2>&1", files=True, setup=SAMPLE),
    "tar": shell(f"{TAR} -cf t.tar a b link; md5sum t.tar; mkdir x; tar -xpf t.tar -C x; diff -r a x/a && echo same; tar -tvf t.tar --utc | head -5; echo add >n; tar -rf t.tar n; tar -tf t.tar | tail -1; tar -cz a | tar -tz | sort | head -2; tar -xOf t.tar n; tar -df t.tar n; rm t.tar", files=True, setup=SAMPLE),
    "tar-special": shell("ln a/one.txt hard; mkfifo p; tar -cf t.tar hard a/one.txt p link; mkdir x; tar -xf t.tar -C x; stat -c '%F %h' x/hard x/p x/link; truncate -s 1M s; tar -Scf u.tar s; mkdir y; tar -xf u.tar -C y; stat -c %s y/s; rm t.tar u.tar", files=True, setup=SAMPLE),
    "gzip": shell("gzip -nk b/binary; gunzip -c b/binary.gz | cmp - b/binary && echo same; gzip -l b/binary.gz | wc -l; zcat b/binary.gz | md5sum; gzip -dkf b/binary.gz; md5sum b/binary.gz; gzip -t b/binary.gz; cat a/one.txt | gzip -n | md5sum", files=True, setup=SAMPLE),
    "xz": shell("xz -k b/binary; xz -dc b/binary.xz | cmp - b/binary && echo same; xz -l b/binary.xz | wc -l; xz -T2 -k a/deep/er/three.txt; xz -dc a/deep/er/three.txt.xz | md5sum; tar -cJf t.tar.xz a; tar -tJf t.tar.xz | sort; rm t.tar.xz", files=True, setup=SAMPLE),
    "diff-and-patch": shell("cp -r a old; sed -i s/alpha/changed/ a/one.txt; rm a/two.txt; echo new >a/new; diff -Nru --label x --label y old/one.txt a/one.txt || true; (cd old && diff -ru0 . ../a | grep -v '^[-+][-+][-+]\\|^diff\\|^@@\\|^Only' || true); diff -Nru old a >p || true; cp -r old again; (cd again && patch -s -p1 <../p); diff -r again a && echo equal; (cd again && patch -R -s -p1 <../p); diff -r again old && echo reversed; patch --dry-run -p1 -d again <p | sort; rm p", files=True, setup=SAMPLE),
    "cmp": shell("cmp a/one.txt a/two.txt || echo $?; cmp b/binary b/binary; diff3 -m a/one.txt a/one.txt a/two.txt || true; sdiff -s a/one.txt a/two.txt || true", setup=SAMPLE),
    "less-and-file": shell("cat a/one.txt | wc; md5sum </dev/null; cat - <a/two.txt; tail -1 /etc/passwd >/dev/null; printf 'x' | cat - a/one.txt | head -c 5", setup=SAMPLE),
}


@pytest.mark.guest
@pytest.mark.parametrize("name", COREUTILS)
def test_coreutils(comparer: Comparer, engine: str, name: str) -> None:
    comparer.check(f"coreutils::{name}", COREUTILS[name], engine)


@pytest.mark.guest
@pytest.mark.parametrize("name", TOOLS)
def test_tools(comparer: Comparer, engine: str, name: str) -> None:
    comparer.check(f"tools::{name}", TOOLS[name], engine)


def test_normalisers() -> None:
    assert without_numbers(b"12 of 3.5") == b"N of N"
    assert sorted_lines(b"b\na\n") == b"a\nb"
