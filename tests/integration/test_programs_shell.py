"""bash and dash: the constructs scripts are made of, each against its native run."""

from __future__ import annotations

import pytest

from tests.harness.comparison import NOBODY, Case
from tests.harness.plugin import Comparer
from tests.harness.programs import SAMPLE, bash, shell

CASES: dict[str, Case] = {
    "pipeline": bash("seq 1 1000 | sort -rn | head -5 | tac; echo ${PIPESTATUS[*]}; false | true; echo $?; set -o pipefail; false | true; echo $?"),
    "long-pipeline": bash("seq 500 | cat | cat | cat | cat | cat | cat | wc -l"),
    "subshells": bash("x=1; (x=2; cd /; echo $x $PWD; exit 7); echo $? $x; y=$(echo a; echo b); echo \"$y\"; echo $(( $(echo 3) + 4 ))"),
    "here-documents": bash("cat <<END\nvalue $((6*7))\nEND\ncat <<'END'\n$untouched\nEND\ncat <<<\"here string\"\nwc -c <<END\n" + "x" * 70_000 + "\nEND"),
    "traps": bash("trap 'echo exit $?' EXIT; trap 'echo usr1' USR1; trap 'echo err' ERR; kill -USR1 $$; false; (exit 4); exit 5", status=5),
    "trap-in-wait": bash("sleep 20 & p=$!; trap 'echo caught; kill $p; exit 9' TERM; (sleep 0.1; kill -TERM $$) & wait $p", status=9),
    "background": bash("for i in 1 2 3; do (sleep 0.0$i; echo job $i > out$i) & done; wait; cat out1 out2 out3; sleep 0 & wait $!; echo $?; wait 99999; echo $?", files=True),
    "wait-n": bash("(exit 3) & wait -n; echo $?; (exit 4) & p=$!; wait $p; echo $?"),
    "job-control": bash("set -m; sleep 30 & jobs; kill -STOP %1; sleep 0.1; jobs; kill -CONT %1; sleep 0.1; jobs; kill %1; wait %1; echo $?"),
    "foreground": bash("set -m; (sleep 0.1; exit 6) & fg %1; echo $?"),
    "stopped-job": bash("set -m; bash -c 'kill -STOP $$; exit 8' & wait; sleep 0.1; jobs; fg; echo $?", normalise_stderr=lambda _: b""),
    "arrays": bash("a=(one 'two three' four); a[5]=six; echo ${#a[@]} ${!a[@]}; for x in \"${a[@]}\"; do echo \"<$x>\"; done; declare -A m=([k]=v [x]=y); echo ${m[k]}${m[x]}"),
    "process-substitution": bash("diff <(seq 1 3) <(seq 2 4); paste <(echo a) <(echo b); echo to | tee >(cat > copy) >/dev/null; sleep 0.2; cat copy"),
    "redirections": bash("exec 3>out 4<&0; echo three >&3; exec 3>&-; cat out; { echo o; echo e >&2; } 2>&1 | sort; echo append >>out; cat <out; echo both &>both; cat both; ls nothere 2>/dev/null; echo $?"),
    "noclobber": bash("set -C; echo a >f; echo b >f; echo $?; echo c >|f; cat f", normalise_stderr=lambda o: o.split(b":")[-1]),
    "read-loops": bash("while IFS=, read -r a b; do echo \"$b-$a\"; done <b/data.csv; mapfile -t lines <a/one.txt; echo ${#lines[@]}; read -n 2 x <<<abcdef; echo $x", setup=SAMPLE),
    "globs": bash("echo *; echo a/*.txt; echo a/**/*.txt; shopt -s globstar nullglob dotglob; echo **/*.txt; echo none*; echo {a,b}{1..3}", setup=SAMPLE),
    "tests": bash("[[ -f a/one.txt && -L link && ! -e dangling && -d a && -s b/binary && -r link && -x a ]] && echo yes; [[ a/one.txt -ef link ]] && echo same; [[ abc =~ b(.) ]] && echo ${BASH_REMATCH[1]}", setup=SAMPLE),
    "functions": bash("fib() { local n=$1; if ((n<2)); then echo $n; else echo $(( $(fib $((n-1))) + $(fib $((n-2))) )); fi; }; fib 9", timeout=120),
    "strings": bash("s=hello.world; echo ${s%.*} ${s#*.} ${s/o/0} ${s^^} ${#s} ${s:2:3}; printf '%05d|%-5s|%x\\n' 42 ab 255; echo -e 'a\\tb'"),
    "coprocess": bash("coproc cat; echo through >&${COPROC[1]}; read -u ${COPROC[0]} line; echo $line; exec {COPROC[1]}>&-; wait"),
    "signals-and-status": bash("bash -c 'kill -9 $$'; echo $?; bash -c 'kill -TERM $$'; echo $?; bash -c 'exit 300'; echo $?; nosuchcommand; echo $?; /etc; echo $?", normalise_stderr=lambda _: b""),
    "pipe-closed": bash("yes | head -2; echo ${PIPESTATUS[*]}"),
    "exec": bash("exec -a renamed bash -c 'echo $0 $1' x y"),
    "script-file": bash("printf '#!/bin/bash\\necho args: \"$@\"\\nexit 3\\n' >s; chmod +x s; ./s a 'b c'; echo $?; printf 'echo no shebang\\n' >t; chmod +x t; ./t; . ./t", files=True),
    "environment": bash("export A=1; B=2 env | grep -E '^(A|B|HOME|TZ)='; env -i X=1 /usr/bin/env; unset A; echo ${A-unset}", normalise=lambda o: b"\n".join(sorted(o.split()))),
    "ulimit": bash("ulimit -n 50; ulimit -n; ulimit -f 100; ulimit -f; (ulimit -t 1; ulimit -t)"),
    "times-and-random": bash("[ $RANDOM -ge 0 ] && [ $SECONDS -ge 0 ] && [ $PPID -gt 0 ] && [ $$ -gt 0 ] && [ $BASHPID = $$ ] && echo fine"),
    "cd-and-pwd": bash("cd a/deep; pwd -P | sed 's:.*/work/::'; cd ..; pwd | sed 's:.*/work/::'; cd - >/dev/null; cd /; pwd; cd nowhere; echo $?; pushd /usr; popd", setup=SAMPLE, normalise_stderr=lambda _: b""),
    "umask-and-modes": bash("umask 077; touch p; mkdir d; stat -c '%a %n' p d; umask 022; touch q; stat -c %a q; umask", files=True),
    "dash": shell("x=abc; case $x in a*) echo starts;; esac; i=0; while [ $i -lt 5 ]; do i=$((i+1)); done; echo $i; set -- a b c; shift; echo $*; printf '%s\\n' \"$@\"; eval 'echo $x'"),
    "many-forks": bash("for i in $(seq 60); do /bin/true; done; echo done; for i in $(seq 40); do x=$(echo $i); done; echo $x"),
    "nobody": bash("id -u; id -g; echo x >f; stat -c '%u %g' f; echo y >/etc/pylibos-test; echo $?; mkdir /pylibos-test; echo $?; cd /root; echo $?", user=NOBODY, files=True, normalise_stderr=lambda _: b""),
    "read-write-grant": bash("echo new >made; mkdir -p x/y; mv a/two.txt x/y/; rm b/empty; ln -s made l; chmod 600 made; echo more >>a/one.txt", setup=SAMPLE, grant="rw", files=True),
    "read-write-grant-nobody": bash("echo new >made; mkdir -p x/y; mv a/two.txt x/y/; rm b/empty; ln -s made l; chmod 600 made; echo more >>a/one.txt; stat -c %u made", setup=SAMPLE, grant="rw", files=True, user=NOBODY),
}


@pytest.mark.guest
@pytest.mark.parametrize("name", CASES)
def test_shell(comparer: Comparer, engine: str, name: str) -> None:
    comparer.check(f"shell::{name}", CASES[name], engine)
