"""`scripts/conformance [options] [MODULE...]`: CPython's own tests inside, and the table that docs/conformance.md shows.

`scripts/conformance stress-ng [options] [STRESSOR...]` is another suite: see stress_ng.py.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from tests.conformance.cpython_suite import (
    MODULES,
    PYTHON,
    Judgement,
    ModuleRun,
    Suite,
    TestOutcome,
    available,
    default_user,
    describe,
    judge,
    load_gaps,
    stop_on_signals,
)
from tests.harness.comparison import ROOT, as_user, outer_environment, remove_tree, scratch_directory
from tests.harness.processes import become_subreaper, run


def arguments() -> argparse.Namespace:
    """The command line."""
    about = "Run modules of CPython's test suite natively and inside, and compare."
    parser = argparse.ArgumentParser(prog="scripts/conformance", description=about)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="test_os ... (default: the whole list)")
    parser.add_argument("-k", dest="only", action="append", metavar="ID", help="only this test (full id); may be repeated, with one module")
    parser.add_argument("--engine", choices=("notify", "ptrace"), default="notify")
    parser.add_argument("--python", type=Path, default=Path(PYTHON), help="another interpreter that has its tests (default: Debian's)")
    parser.add_argument("--bare", action="store_true", help="run PyLibOS where it can make no name space, as in many containers")
    parser.add_argument("--root", action="store_true", help="run the tests as root (default: as nobody when run by root)")
    parser.add_argument("--use", default="", help="regrtest resources, by commas: cpu,largefile,walltime,...")
    parser.add_argument("--test-seconds", type=float, default=180.0, help="a test that says nothing for so long hangs")
    parser.add_argument("--module-seconds", type=float, default=1200.0)
    parser.add_argument("--results", type=Path, help="keep results here: native ones are used again, logs and outcomes are written")
    return parser.parse_args()


def load_native(path: Path | None) -> ModuleRun | None:
    """A native run kept by an earlier command."""
    if path is None or not path.exists():
        return None
    kept = json.loads(path.read_text())
    return ModuleRun({name: TestOutcome(**outcome) for name, outcome in kept["outcomes"].items()}, kept["seconds"])


def save(path: Path, result: ModuleRun) -> None:
    """Keep a run as JSON."""
    path.write_text(json.dumps(asdict(result), indent=1))


def row(verdict: Judgement) -> str:
    """One line of the table."""
    native, inside = verdict.native, verdict.inside
    passed = native.passed()
    return (
        f"| {verdict.module} | {len(passed)} | {len(passed & inside.passed())} | {len(verdict.known) + len(verdict.unexpected)} |"
        f" {native.seconds:.0f} s | {inside.seconds:.0f} s |"
    )


def main() -> int:
    """Run what was asked for. Status 1 when something differs that is not in the list, or something in the list does not differ."""
    if sys.argv[1:2] == ["stress-ng"]:
        from tests.conformance import stress_ng

        return stress_ng.main(sys.argv[2:])
    options = arguments()
    if (missing := available(options.python)) is not None:
        print(missing, file=sys.stderr)
        return 125
    become_subreaper()
    stop_on_signals()
    os.umask(0o022)
    user = 0 if options.root else default_user()
    run(as_user(user, [str(ROOT / "scripts" / "pylibos"), "doctor"]), cwd=ROOT, env=outer_environment(), timeout=300)
    scratch = scratch_directory("pylibos-conformance-")
    red, passed, gaps, known = 0, 0, 0, load_gaps()
    kind = ("root" if user == 0 else "user") + ("-bare" if options.bare else "")
    try:
        resources = [word for word in options.use.split(",") if word]
        seconds = {"test_seconds": options.test_seconds, "module_seconds": options.module_seconds}
        suite = Suite(scratch, resources=resources, name_spaces=not options.bare, python=options.python.resolve(), **seconds)
        if options.results:
            options.results.mkdir(parents=True, exist_ok=True)
        print("| module | native passed | inside passed | gaps | native | inside |\n|---|---:|---:|---:|---:|---:|", flush=True)
        for module in options.modules or MODULES:
            keep = None if options.results is None or options.only else options.results / f"{module}-{kind}"
            kept = keep and Path(f"{str(keep).removesuffix('-bare')}-native.json")
            log = keep and Path(f"{keep}-{options.engine}.log")
            verdict = judge(suite, module, options.engine, user, known, only=options.only, native=load_native(kept), log=log)
            if keep and kept:
                save(kept, verdict.native)
                save(Path(f"{keep}-{options.engine}.json"), verdict.inside)
            print("\n".join([row(verdict), *describe(verdict)]), flush=True)
            if options.only:
                print("\n".join(f"{name}: {outcome.outcome}\n{outcome.why}" for name, outcome in verdict.inside.outcomes.items()))
            red += len(verdict.unexpected) + len(verdict.closed)
            passed += len(verdict.native.passed())
            gaps += len(verdict.known) + len(verdict.unexpected)
    finally:
        remove_tree(scratch)
    print(f"as {kind}, engine {options.engine}: {passed} pass natively, {gaps} of them not inside ({100 * gaps / max(passed, 1):.2f} %)")
    return 1 if red else 0


if __name__ == "__main__":
    sys.exit(main())
