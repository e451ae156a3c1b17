"""The acceptance list, tools: what the other tables of programs leave out, each against its native run."""

from __future__ import annotations

import re

import pytest

from tests.harness.comparison import NOBODY, Case
from tests.harness.plugin import Comparer
from tests.harness.programs import SAMPLE, bash, busybox, shell


def without_numbers(output: bytes) -> bytes:
    """For sizes, times and process numbers."""
    return re.sub(rb" *\d[\d.,]*", b"N", output)


COREUTILS: dict[str, Case] = {
    "split": shell("split -n 3 b/binary s.; split -l 70 -d a/deep/er/three.txt n.; split -b 1k --filter='cksum' b/binary; csplit -s a/deep/er/three.txt '/line 50$/' '{0}'; ls; cat n.* | cmp - a/deep/er/three.txt", setup=SAMPLE, files=True),
    "shuf": shell("seq 10 | shuf --random-source=/bin/ls; shuf -n 1 -e x; shuf -i 1-9 -o out; sort out | tr -d '\\n'", setup=SAMPLE),
    "truncate-fallocate": shell("truncate -s 5K t; truncate -s +1 t; truncate -r t u; truncate -s %512 t; fallocate -l 1M f; fallocate -p -o 4096 -l 8192 f; fallocate -c -o 0 -l 4096 f 2>/dev/null || true; stat -c '%s %n' t u; rm f", files=True),
    "realpath": shell("realpath a/../link | sed 's:.*/work/::'; realpath -e dangling || echo $?; realpath -s link | sed 's:.*/::'; readlink -f dangling | sed 's:.*/::'; realpath /proc/self/cwd | sed 's:.*/::'", setup=SAMPLE),
    "sync": shell("sync; echo x >f; sync f; sync -d f; sync -f f; dd if=f of=g conv=fdatasync status=none; dd if=/dev/zero of=d bs=4096 count=4 oflag=direct status=none && stat -c %s d", files=True),
    "pathchk-and-friends": shell("pathchk -p a/one.txt; mkfifo -m 600 p; stat -c '%a %F' p; numfmt --to=iec 2048; tsort <<E\na b\nb c\nE\nptx -h >/dev/null 2>&1 || true; pr -t -2 a/two.txt; od -c b/binary | head -3; stdbuf -oL echo hi; chcon 2>/dev/null || echo no; users; who; logname 2>/dev/null || echo none", setup=SAMPLE),
    "ownership": shell("chown $(id -u):$(id -g) a/one.txt; chgrp $(id -g) a; stat -c '%a %h' a/one.txt; chmod 4755 a/two.txt; stat -c %A a/two.txt; echo x >>a/two.txt; stat -c %A a/two.txt", setup=SAMPLE, files=True, user=NOBODY),
    "cp-attributes": shell("touch -d @12345 a/one.txt; cp -p a/one.txt p; stat -c '%Y %a' p; cp --attributes-only a/two.txt q; stat -c %s q; cp --reflink=auto b/binary r; cp -d link l; cp -L link m; cp -rT a n; cp -t b a/one.txt a/two.txt; cp --backup=numbered a/one.txt a/two.txt; ls a b", setup=SAMPLE, files=True),
    "mv-across": shell("mkdir /tmp/pylibos-acceptance-$$; mv a b /tmp/pylibos-acceptance-$$/; ls /tmp/pylibos-acceptance-$$/a; mv /tmp/pylibos-acceptance-$$/a back; rm -r /tmp/pylibos-acceptance-$$; ls back", setup=SAMPLE, files=True),
    "big-directory": shell("mkdir d; cd d; seq 1500 | xargs touch; ls | wc -l; rm 1[0-9][0-9]; ls -f | wc -l; find . -name '2*' -delete; ls | md5sum; cd ..; cp -r d e; rm -rf d; ls e | wc -l; rm -rf e", timeout=120),
    "pipe-sizes": shell("dd if=/dev/zero bs=1M count=40 status=none | wc -c; head -c 3000000 /dev/zero | tr '\\0' x | md5sum; cat b/binary | tee >/dev/null c; cmp b/binary c; yes | head -n 100000 | md5sum", setup=SAMPLE, files=True),
    "locks": bash("exec 9>lock; flock 9; flock -n lock true; echo $?; (flock -w 0.1 lock true; echo $?); flock -u 9; flock -n lock echo got; (flock 8; sleep 0.2; echo first) 8>l2 & sleep 0.1; flock l2 echo second; wait"),
    "sessions": shell("setsid -w sh -c 'ps -o pid=,sid= -p $$ | { read p s; test $p = $s && echo leader; }'; nice -n 3 nice; ionice -c 3 true 2>/dev/null; chrt -p $$ | head -1 | sed 's/.*: //'; taskset -p 1 $$ >/dev/null; nproc; prlimit -n=77:77 sh -c 'ulimit -n'"),
    "unshare-refused": shell("chroot / true 2>/dev/null || echo $?; mount -t tmpfs x /mnt 2>/dev/null || echo no; umount /proc 2>/dev/null || echo no", user=NOBODY),
}
PROGRAMS: dict[str, Case] = {
    "vim-script": shell("vim -N -u NONE -i NONE -n -es -c '%s/alpha/omega/g' -c 'normal Gofinis' -c wq a/one.txt </dev/null; cat a/one.txt; printf 'g/beta/d\\nw\\nq\\n' | ex -s a/one.txt 2>/dev/null || true; cat a/one.txt", setup=SAMPLE, files=True),
    "ed": shell("printf ',s/alpha/E/\\n1,2p\\n!echo shell\\nw out\\nq\\n' | ed -s a/one.txt; cat out", setup=SAMPLE, files=True),
    "bc-and-dc": shell("echo 'scale=30; 4*a(1); 2^200; define f(x){ if(x<2) return 1; return x*f(x-1)}; f(30)' | bc -l; dc -e '2 100 ^ p' 2>/dev/null || true"),
    "dpkg": shell("dpkg -l | wc -l; dpkg -s bash | head -3; dpkg -L coreutils | md5sum; dpkg -S /bin/ls; dpkg --print-architecture; dpkg-query -W -f '${Version}\\n' bash tar; dpkg --compare-versions 1.0 lt 2.0 && echo less", timeout=120),
    "dpkg-deb": shell("mkdir -p p/DEBIAN p/usr/share/x; printf 'Package: x\\nVersion: 1\\nArchitecture: all\\nMaintainer: a <a@b>\\nDescription: x\\n' >p/DEBIAN/control; echo data >p/usr/share/x/f; SOURCE_DATE_EPOCH=0 dpkg-deb -b --root-owner-group p x.deb; dpkg-deb -c x.deb | awk '{print $1,$2,$6}'; dpkg-deb -x x.deb out; cat out/usr/share/x/f; dpkg-deb -I x.deb | tail -5; rm x.deb", timeout=120),
    "apt": shell("apt-cache policy bash | head -3; apt-cache show tar | head -2; apt-config dump | head -3; apt list --installed 2>/dev/null | wc -l", timeout=240),
    "man": shell("man -P cat ls | head -20; man -w ls; man -k . 2>/dev/null | wc -l; man nosuchpage || echo $?; apropos -e bash 2>/dev/null | head -2 || true", env={"MANWIDTH": "80"}, timeout=120),
    "less": shell("less </dev/null a/one.txt; less a/one.txt | tail -1; lesspipe a/one.txt | wc -l; more a/two.txt </dev/null", setup=SAMPLE),
    "file": shell("file a/one.txt b/binary b/empty link dangling a /dev/null /bin/busybox; file -b --mime-type a/one.txt /usr/bin/python3.11; file -L link", setup=SAMPLE),
    "binutils": shell("strings -n 8 /bin/true | head -5; nm -D /bin/true | wc -l; readelf -d /bin/true | head -4; objdump -f /bin/true | head -3; size /bin/true; ar rcD l.a a/one.txt; ar t l.a; objcopy -O binary -j .text /bin/true t; cksum t; ldd /bin/true | sed 's/(.*//' | grep -v vdso", setup=SAMPLE, files=True),
    "openssl": shell("openssl version | cut -d' ' -f1; echo data | openssl dgst -sha256; openssl rand -hex 8 | wc -c; openssl genrsa -out k 1024 2>/dev/null; openssl req -new -x509 -key k -subj /CN=x -days 1 -out c; openssl x509 -in c -noout -subject; openssl verify -CAfile c c; echo secret | openssl enc -aes-128-cbc -pbkdf2 -pass pass:x -out e; openssl enc -d -aes-128-cbc -pbkdf2 -pass pass:x -in e; openssl speed -seconds 1 md5 >/dev/null 2>&1 || true; rm k c e", timeout=120),
    "curl": shell("curl --version | head -1; curl -s file:///etc/debian_version; curl -sS http://127.0.0.1:1/ || echo $?; curl -sS http://name.invalid/ 2>/dev/null || echo $?; wget -q -O- http://127.0.0.1:1/ || echo $?", normalise_stderr=lambda _: b"", flags=("--net", "loopback")),
    "zip": shell("zip -qrX z.zip a b link; unzip -l z.zip | tail -1; mkdir x; unzip -q z.zip -d x; diff -r a x/a && echo same; unzip -p z.zip a/two.txt; zip -qd z.zip a/one.txt; unzip -t z.zip | tail -1; rm z.zip", setup=SAMPLE, files=True),
    "ssh-keygen": shell("ssh-keygen -q -t ed25519 -N '' -C c -f k; ssh-keygen -l -f k.pub | cut -d' ' -f1,3,4; ssh-keygen -q -t rsa -b 2048 -N '' -f r -m PEM; head -1 r; stat -c '%a %n' k k.pub; ssh-keygen -y -f k | cut -c1-11; rm k k.pub r r.pub; ssh -V 2>&1 | cut -c1-7", files=True, timeout=120),
    "tmux": shell("tmux -V"),
    "m4-and-friends": shell("echo 'define(x,y)x' | m4 2>/dev/null || true; cpio --version 2>/dev/null | head -1 || true; find . -type f | cpio -o --quiet 2>/dev/null | cpio -t --quiet 2>/dev/null | sort; bzip2 -k b/binary; bzcat b/binary.bz2 | cmp - b/binary; zstd -q b/binary 2>/dev/null && zstd -dc b/binary.zst | cmp - b/binary; hexdump -C b/binary | head -2; xxd b/binary 2>/dev/null | tail -1; column -t -s, b/data.csv; cal 1 2000 2>/dev/null | head -1; true", setup=SAMPLE, files=True),
    "locale-and-iconv": shell("locale; locale -a | head -3; printf 'h\\303\\251\\n' | iconv -f utf8 -t latin1 | od -An -tx1; getent passwd root; getent group 0; getent hosts localhost >/dev/null; echo $?; date -d 2001-02-03T04:05:06 +%s; TZ=Europe/Berlin date -d @0 +%H"),
    "script-and-pty": shell("script -qec 'tty; stty size; echo in a pty; exit 4' out </dev/null | tr -d '\\r'; sed 1d out | grep -c 'in a pty'", normalise=without_numbers),
    "expect-pty": shell("/usr/bin/python3 -Ic 'import pty,os,sys\nr=pty.spawn([\"sh\",\"-c\",\"stty -echo; test -t 0 && test -t 1 && echo terminal; stty size; exit 5\"])\nprint(os.waitstatus_to_exitcode(r))' </dev/null"),
    "busybox-sh": busybox("sh", "-c", "trap 'echo bye' EXIT; f() { local a=$1; echo $((a*2)); }; f 21; cat <<E | busybox sed s/x/y/\nx $(f 2)\nE\n(sleep 0.1; echo bg) & wait; busybox ls -d /proc/self; busybox ps >/dev/null && echo ps; busybox df / >/dev/null && echo df; busybox find a -type f | busybox sort | busybox xargs busybox md5sum; busybox cp -a a z; busybox diff -r a z && echo same; busybox timeout 1 busybox sleep 0.1; busybox mktemp -d ./XXXXXX >/dev/null; busybox rm -r z; busybox free >/dev/null && busybox uptime >/dev/null && echo ok; exit 7", setup=SAMPLE, status=7),
    "busybox-net": busybox("sh", "-c", "busybox wget --help 2>&1 | busybox head -2; busybox wget -O- http://127.0.0.1:1/ 2>&1; echo $?; busybox hostname >/dev/null; busybox ifconfig lo >/dev/null 2>&1; busybox nslookup x 127.0.0.1 >/dev/null 2>&1; echo end", normalise=lambda o: o.splitlines()[-1], flags=("--net", "loopback")),
}
GRANTED: dict[str, Case] = {
    "run-what-was-made": shell("cp /bin/echo e; ./e copied; printf '#!/bin/sh\\necho script\\n' >s; chmod +x s; ./s; ln e f; ./f linked", grant="rw", files=True, user=NOBODY),
    "read-only-new-files": bash("(umask 777; echo x >a; cat a; echo y >>a); (umask 222; echo z >b; cat b; echo >>b; echo $?); stat -c '%a %s' a b; install -m 444 b c; cp -p b d; rm -f a b", grant="rw", files=True, user=NOBODY),
    "fifo": shell("mkfifo p; (echo through >p &) ; cat p; stat -c %F p", grant="rw", files=True, user=NOBODY),
    "follow": shell("echo start >f; (sleep 0.3; echo more >>f; sleep 0.3; echo end >>f) & timeout 1.5 tail -f f || true; wait", grant="rw", user=NOBODY),
}


@pytest.mark.guest
@pytest.mark.parametrize("name", GRANTED)
def test_granted(comparer: Comparer, engine: str, name: str) -> None:
    """In a writable grant, as an ordinary user: the host's own checks are in the way here and nowhere else."""
    comparer.check(f"acceptance-granted::{name}", GRANTED[name], engine)


@pytest.mark.guest
@pytest.mark.parametrize("name", COREUTILS)
def test_coreutils(comparer: Comparer, engine: str, name: str) -> None:
    comparer.check(f"acceptance-coreutils::{name}", COREUTILS[name], engine)


@pytest.mark.guest
@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_programs(comparer: Comparer, engine: str, name: str) -> None:
    comparer.check(f"acceptance-programs::{name}", PROGRAMS[name], engine)


def test_without_numbers() -> None:
    assert without_numbers(b"a 12 b 3.5") == b"aN bN"
