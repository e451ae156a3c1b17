"""git, gcc, ld and make: a build from source to a running program, and a repository's life, each against its native run."""

from __future__ import annotations

from typing import Unpack

import pytest

from tests.harness.comparison import NOBODY, Case
from tests.harness.plugin import Comparer
from tests.harness.programs import SAMPLE, CaseOptions, shell, sorted_lines, tree

IDENTITY = {
    "GIT_AUTHOR_NAME": "A U Thor",
    "GIT_AUTHOR_EMAIL": "author@example.org",
    "GIT_AUTHOR_DATE": "1112911993 +0000",
    "GIT_COMMITTER_NAME": "C O Mitter",
    "GIT_COMMITTER_EMAIL": "committer@example.org",
    "GIT_COMMITTER_DATE": "1112911993 +0000",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_PAGER": "cat",
}
INIT = "git -c init.defaultBranch=main init -q; git add .; git commit -qm first; "
VARYING = (".git/index", ".git/objects/pack", ".git/objects/info", "clone/.git/index", "bare/index", ".git/worktrees", "w/.git")
"""git's index holds inode numbers and times."""


def git(script: str, **options: Unpack[CaseOptions]) -> Case:
    mine: CaseOptions = {"env": IDENTITY, "setup": SAMPLE, "ignore": VARYING, "files": True}
    mine.update(options)
    return shell(script, **mine)


GIT: dict[str, Case] = {
    "init-add-commit": git(INIT + "git log --stat; git status; git rev-parse HEAD; git ls-files -s; git cat-file -p HEAD^{tree}; git count-objects"),
    "status": git(INIT + "echo change >>a/one.txt; rm a/two.txt; echo new >untracked; ln -sf b link; chmod +x b/empty; git status --porcelain; git diff; git add -A; git status -s; git diff --cached --stat; git stash -q; git status --porcelain; git stash pop -q; git status -s"),
    "branch-and-merge": git(INIT + "git checkout -qb side; echo side >s; git add s; git commit -qm side; git checkout -q main; echo main >m; git add m; git commit -qm main; git merge -q side -m merged; git log --oneline --graph; git branch -a; git tag v1; git describe --tags"),
    "conflict": git(INIT + "git checkout -qb x; echo x >a/one.txt; git commit -qam x; git checkout -q main; echo y >a/one.txt; git commit -qam y; git merge x || echo conflict; cat a/one.txt; git status -s; git checkout --theirs a/one.txt; git commit -qam resolved; git log --oneline | wc -l; git rebase -q HEAD~1 || true; git reset -q --hard HEAD~1; git reflog | wc -l"),
    "clone": git(INIT + "git clone -q . clone; cd clone; git log --oneline; echo x >x; git add x; git commit -qm x; git push -q origin HEAD:refs/heads/pushed; cd ..; git branch; git clone -q --bare . bare; ls bare; git fetch -q bare main; rm -rf clone/.git/logs"),
    "plumbing": git(INIT + "echo data | git hash-object -w --stdin; git gc -q; git fsck --full 2>&1 | head -3; git repack -adq; ls .git/objects/pack | sed 's/.*[.]//' | sort; git archive HEAD | tar -t | sort; git show HEAD:a/two.txt; git blame -s a/one.txt; git grep -n alpha; git rm -q a/two.txt; git mv a/one.txt moved; git commit -qm moved; git log --follow --oneline moved; git bisect start -q 2>&1 | head -1; git bisect reset 2>/dev/null || true; git format-patch -1 --stdout | head -5 || true"),
    "hooks-and-worktrees": git(INIT + "printf '#!/bin/sh\\necho hook ran\\n' >.git/hooks/pre-commit; chmod +x .git/hooks/pre-commit; echo h >h; git add h; git commit -m hooked 2>&1 | head -2; git worktree add -q w HEAD~1 2>&1; ls w; git worktree remove w; git worktree list | wc -l; git config user.email || true; git submodule status"),
    "nobody": git(INIT + "git log --oneline; git status -s; stat -c %u .git/HEAD", user=NOBODY),
}
HELLO = r"""
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
int helper(int);
int main(int argc, char **argv)
{
    printf("%d %.4f %s\n", helper(argc), sqrt(argc * 2.0), argc > 1 ? argv[1] : "");
    return helper(40);
}
"""
SOURCES = tree(
    {
        "main.c": HELLO,
        "helper.c": "int helper(int x) { return x + 2; }\n",
        "main.cc": '#include <iostream>\n#include <map>\n#include <stdexcept>\nint main() { std::map<int, std::string> m{{1, "one"}}; try { throw std::runtime_error("thrown"); } catch (const std::exception &e) { std::cout << m[1] << e.what() << std::endl; } }\n',
        "bad.c": "int main() { return undeclared; }\n",
        "start.s": '.globl _start\n_start: mov $60, %eax\n mov $33, %edi\n syscall\n',
        "Makefile": "OBJECTS = $(patsubst %,o%.o,1 2 3 4 5 6 7 8)\nall: lib.a prog\n\techo done\no%.o: Makefile\n\techo 'int f$*(void) { return $*; }' > t$*.c\n\t$(CC) -c -o $@ t$*.c\nlib.a: $(OBJECTS)\n\tar rcD $@ $^\nprog: lib.a\n\techo 'int f3(void); int main(void) { return f3(); }' | $(CC) -x c - -x none lib.a -o $@\nclean:\n\trm -f *.o *.a\n.PHONY: all clean\n",
    }
)
BUILD: dict[str, Case] = {
    "compile-link-run": shell("gcc -O2 -Wall -c main.c helper.c; gcc -o prog main.o helper.o -lm; ./prog argument || echo $?; ls -1; nm prog | grep -c helper; size prog | wc -l", files=True, setup=SOURCES, timeout=120),
    "one-step": shell("gcc main.c helper.c -o prog -lm; ./prog || echo $?; gcc -static main.c helper.c -o sprog -lm; ./sprog x y || echo $?", files=True, setup=SOURCES, timeout=120),
    "stages": shell("gcc -E main.c | tail -3; gcc -S -O1 helper.c; grep -c helper helper.s; as -o start.o start.s; ld -o start start.o; ./start || echo $?; strip start; ./start || echo $?; objdump -d start | tail -3; readelf -h start | grep Entry", files=True, setup=SOURCES, timeout=120),
    "shared-library": shell("gcc -shared -fPIC -o libh.so helper.c; gcc main.c -L. -lh -lm -o prog -Wl,-rpath,'$ORIGIN'; ./prog || echo $?; LD_LIBRARY_PATH=. ldd ./prog | grep -c libh; gcc main.c helper.c -lm -fsanitize=undefined -o san && ./san || echo $?", setup=SOURCES, timeout=120),
    "cplusplus": shell("g++ -O1 main.cc -o cc; ./cc", setup=SOURCES, timeout=120),
    "errors": shell("gcc bad.c -o bad || echo failed $?; ls bad || true; gcc nowhere.c || echo $?; gcc main.c -o x -lm || echo unresolved", setup=SOURCES, timeout=120, normalise_stderr=lambda output: b"\n".join(line for line in output.splitlines() if b"/tmp/cc" not in line)),
    "make": shell("make -s -j2; ./prog || echo $?; make -s; touch Makefile; make -s -j2 lib.a; make -n clean; make -s clean; make nothing || echo $?", files=True, setup=SOURCES, timeout=120, normalise=sorted_lines),
    "musl": shell("musl-gcc main.c helper.c -o m -lm; ./m a || echo $?; musl-gcc -static main.c helper.c -o s -lm; ./s b || echo $?", files=True, setup=SOURCES, timeout=120),
}


@pytest.mark.guest
@pytest.mark.parametrize("name", GIT)
def test_git(comparer: Comparer, engine: str, name: str) -> None:
    comparer.check(f"git::{name}", GIT[name], engine)


@pytest.mark.guest
@pytest.mark.slow
@pytest.mark.parametrize("name", BUILD)
def test_build(comparer: Comparer, engine: str, name: str) -> None:
    comparer.check(f"build::{name}", BUILD[name], engine)
