"""The acceptance list, development: git's longer commands, the linker's kinds of output, make and Rust, each against its native run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.harness.comparison import Case
from tests.harness.plugin import Comparer
from tests.harness.programs import SAMPLE, bash, shell, tree

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
COMMITS = "for i in 1 2 3 4; do echo $i >>log; git add log; git commit -qm \"change $i\"; done; "


def git(script: str) -> Case:
    return shell(INIT + script, env=IDENTITY, setup=SAMPLE, timeout=120)


GIT: dict[str, Case] = {
    "rebase": git(COMMITS + "git checkout -qb side HEAD~2; echo s >s; git add s; git commit -qm side; git rebase -q main 2>&1; git log --oneline; GIT_SEQUENCE_EDITOR='sed -i 2s/pick/fixup/' git rebase -q -i HEAD~3 2>&1; git log --format=%s; git reflog | wc -l"),
    "cherry-pick-and-revert": git(COMMITS + "git checkout -qb p HEAD~3; echo x >x; git add x; git commit -qm x; git checkout -q main; git cherry-pick p; git revert --no-edit HEAD; git log --format=%s; git bisect start HEAD HEAD~4 >/dev/null; git bisect run sh -c '! grep -q 3 log' | tail -3; git bisect reset >/dev/null 2>&1"),
    "stash": git("echo c >>a/one.txt; echo u >un; git stash -q -u; git stash list; git stash show -p --stat; git stash branch fromstash; git status --porcelain"),
    "gc-and-worktree": git(COMMITS + "git gc -q --prune=now --aggressive; git count-objects -v | grep -E '^(count|packs|in-pack)'; git worktree add -q ../work/w -b wb; (cd w; echo x >x; git add x; git commit -qm w); git worktree list | wc -l; git log --oneline wb | wc -l; git worktree remove w; git fsck --strict 2>&1"),
    "clone-and-fetch": git(COMMITS + "git clone -q file://$PWD c1; git clone -q --depth 2 file://$PWD c2; git -C c2 log --oneline | wc -l; git clone -q -s . c3; git clone -q --no-hardlinks . c4; cd c1; git checkout -qb up; echo n >n; git add n; git commit -qm n; git push -q origin up; cd ..; git merge -q up; git -C c4 pull -q; git -C c4 log --oneline | wc -l; git bundle create -q bun main; git clone -q bun c5 -b main; git -C c5 log --oneline | wc -l; git submodule --quiet status"),
    "patches": git(COMMITS + "git format-patch -q -2 -o p; ls p; git reset -q --hard HEAD~2; git am -q p/*; git log --format=%s; git apply --check -R p/0002*; git diff --no-index a b/empty >/dev/null || echo $?; git grep -n alpha; git shortlog -s HEAD; git describe --always --all; git notes add -m note; git log -1 --format=%N; git clean -fdxq; git ls-tree -r HEAD | wc -l; git rm -rq a; git mv b bb; git status -s | head -5; git restore --staged .; git sparse-checkout set b; ls; git sparse-checkout disable; git config --list | wc -l"),
}
LINK = tree(
    {
        "main.c": '#include <pthread.h>\n#include <stdio.h>\nint part(int);\nstatic __thread int local = 5;\nstatic void *run(void *p) { local += *(int *)p; printf("thread %d\\n", local); return 0; }\nint main(int c, char **v) { pthread_t t; pthread_create(&t, 0, run, &c); pthread_join(t, 0); printf("%d %d\\n", part(c), local); return 3; }\n',
        "part.c": "#include <stdlib.h>\nstatic int start;\n__attribute__((constructor)) static void init(void) { start = 100; }\nint part(int x) { char *p = malloc(1000000); p[999999] = 1; free(p); return start + x; }\n",
        "load.c": '#include <dlfcn.h>\n#include <stdio.h>\nint main(void) { void *h = dlopen("./libpart.so", RTLD_NOW); int (*f)(int) = (int (*)(int))dlsym(h, "part"); printf("%d\\n", f(1)); dlclose(h); return 0; }\n',
        "crash.c": "#include <stdlib.h>\n#include <signal.h>\nint main(int c, char **v) { if (c == 1) abort(); if (c == 2) return 1 / (c - 2); *(volatile int *)0 = 1; return 0; }\n",
        "x.cc": '#include <algorithm>\n#include <filesystem>\n#include <fstream>\n#include <future>\n#include <iostream>\n#include <thread>\n#include <vector>\nint main() { auto f = std::async(std::launch::async, [] { return 42; }); std::cout << f.get() << "\\n"; std::vector<std::thread> t; std::atomic<int> n{0}; for (int i = 0; i < 8; i++) t.emplace_back([&] { for (int j = 0; j < 1000; j++) n++; }); for (auto &x : t) x.join(); std::cout << n << "\\n"; std::ofstream("f") << "x"; std::cout << std::filesystem::file_size("f") << std::filesystem::exists("g") << "\\n"; try { throw 5; } catch (int e) { std::cout << e << "\\n"; } }\n',
        "CMakeLists.txt": "cmake_minimum_required(VERSION 3.10)\nproject(p C)\nfind_package(Threads)\nadd_library(part SHARED part.c)\nadd_executable(prog main.c)\ntarget_link_libraries(prog part Threads::Threads)\nenable_testing()\nadd_test(NAME t COMMAND sh -c \"test $($<TARGET_FILE:prog> | wc -l) = 2\")\n",
    }
)
BUILD: dict[str, Case] = {
    "kinds": bash("for k in -pie -no-pie -static -static-pie '-flto -O2' '-Wl,-z,now -s' '-Wl,-z,execstack' '-fsanitize=address -static-libasan' -pg; do gcc $k main.c part.c -o p -pthread 2>/dev/null || echo cannot; ./p >out; echo $? $k; sort out; done", setup=LINK, env={"ASAN_OPTIONS": "detect_leaks=0"}, timeout=240),
    "shared": shell("gcc -shared -fPIC part.c -o libpart.so; gcc main.c -L. -lpart -o p -pthread; LD_LIBRARY_PATH=. ./p || echo $?; ./p 2>/dev/null || echo $?; gcc load.c -o l -ldl; ./l; LD_PRELOAD=./libpart.so /bin/true; LD_BIND_NOW=1 LD_LIBRARY_PATH=. ./p || echo $?; LD_TRACE_LOADED_OBJECTS=1 ./l | wc -l; /lib64/ld-linux-x86-64.so.2 ./l", setup=LINK, timeout=120),
    "crashes": bash("gcc crash.c -o c; ./c; echo $?; ./c x; echo $?; ./c x y; echo $?", setup=LINK, timeout=120, normalise_stderr=lambda _: b""),
    "cplusplus": shell("g++ -std=c++17 -O1 x.cc -o x -pthread; ./x; g++ -std=c++17 -static x.cc -o s -pthread; ./s; g++ -std=c++17 -fPIE -pie -flto x.cc -o l -pthread; ./l; echo 'int x = \"no\";' >bad.cc; g++ bad.cc 2>/dev/null || echo $?", setup=LINK, timeout=240),
    "cmake": shell("cmake -S . -B b >/dev/null; cmake --build b -j2 >/dev/null; b/prog || echo $?; cd b; ctest 2>&1 | grep 'tests passed'; cmake -G Ninja -S .. -B ../n >/dev/null; ninja -C ../n >/dev/null; ../n/prog || echo $?", setup=LINK, timeout=300),
    "musl": shell("sed 's/pthread_t t; .*join(t, 0);//' main.c >m.c; for k in '' -static -no-pie; do musl-gcc $k m.c part.c -o m; ./m || echo $?; done; musl-gcc -static main.c part.c -o t -pthread; ./t || echo $?; musl-gcc -shared -fPIC part.c -o libpart.so; musl-gcc load.c -o l; ./l", setup=LINK, timeout=120),
    "debug-and-profile": shell("gcc -g -O0 main.c part.c -o p -pthread; objdump -h p | grep -c debug; objcopy --only-keep-debug p p.debug; strip -g p; ./p || echo $?; gcc --coverage main.c part.c -o cov -pthread; ./cov >/dev/null || echo $?; ls *.gcda; gcov -n cov-part.gcda | head -2; addr2line -e p.debug -f 0 | head -1; gcc -dumpmachine; cpp -dM </dev/null | wc -l; gcc -save-temps=obj -c part.c -o k.o; ls k.*", setup=LINK, timeout=120),
}
RUST_HOME = Path(os.environ.get("HOME", "/nonexistent"))
RUST = {"RUSTUP_HOME": str(RUST_HOME / ".rustup"), "CARGO_HOME": "/tmp/pylibos-acceptance-cargo", "PATH": f"{RUST_HOME}/.cargo/bin:/usr/bin:/bin"}


@pytest.mark.guest
@pytest.mark.slow
@pytest.mark.parametrize("name", GIT)
def test_git(comparer: Comparer, engine: str, name: str) -> None:
    comparer.check(f"acceptance-git::{name}", GIT[name], engine)


@pytest.mark.guest
@pytest.mark.slow
@pytest.mark.parametrize("name", BUILD)
def test_build(comparer: Comparer, engine: str, name: str) -> None:
    comparer.check(f"acceptance-build::{name}", BUILD[name], engine)


RUST_CASE = shell(
    "rustc --version; cargo new -q --vcs none hello; cd hello; cargo build -q --offline; target/debug/hello; cargo run -q --offline --release; cargo test -q --offline 2>&1 | grep -c passed; rm -rf target",
    env=RUST,
    flags=("--ro", str(RUST_HOME / ".rustup"), "--ro", str(RUST_HOME / ".cargo")),
    timeout=240,
)


@pytest.mark.guest
@pytest.mark.slow
@pytest.mark.skipif(not (RUST_HOME / ".cargo/bin/cargo").exists(), reason="no Rust tool chain in the home directory")
def test_rust(comparer: Comparer, engine: str) -> None:
    comparer.check("acceptance-rust", RUST_CASE, engine)
