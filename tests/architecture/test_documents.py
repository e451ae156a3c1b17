"""The documents keep their promises: files they link to exist, commands they show parse, modules they name are there."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest

from pylibos.cli.main import SUMMARIES
from pylibos.cli.options import Parser
from pylibos.cli.run import OPTIONS

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
EXIT_CODES = ("124", "125", "126", "127", "128+n")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def shell_lines(text: str) -> list[str]:
    """Command lines of the fenced shell blocks of a page."""
    blocks = re.findall(r"```(?:sh|console)\n(.*?)```", text, re.DOTALL)
    lines = [line.removeprefix("$ ").strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not re.match(r"[a-z]+:", target):
            assert (page.parent / target).exists(), f"{name(page)} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_commands_shown_are_commands_we_have(page: Path) -> None:
    for line in shell_lines(page.read_text(encoding="utf-8")):
        words = shlex.split(line, comments=True)
        starter = next((word for word in words if word.startswith("./")), None)
        if starter is not None:
            assert (ROOT / starter).exists(), f"{name(page)}: {line}"
        for index, word in enumerate(words):
            if word in ("./scripts/pylibos", "pylibos") and index + 1 < len(words):
                assert words[index + 1] in (*SUMMARIES, "--help", "--version"), f"{name(page)}: {line}"
                if words[index + 1] == "run":
                    assert Parser("run", OPTIONS, interspersed=False).parse(words[index + 2 :]).rest, f"{name(page)}: {line}"
            if word == "make" and words[0] == "make":
                assert re.search(rf"^{words[1]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), f"{name(page)}: {line}"


@pytest.mark.parametrize("path", [ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))], ids=name)
def test_modules_named_exist(path: Path) -> None:
    for mention in re.findall(r"`((?:pylibos|c_shim|scripts|tests|examples|docs)/[\w./-]+)`", path.read_text(encoding="utf-8")):
        assert (ROOT / mention).exists(), f"{name(path)} names {mention}"


def test_the_readme_has_the_exit_codes() -> None:
    text = (ROOT / "README.md").read_text()
    assert [code for code in EXIT_CODES if f"| {code} |" not in text] == []


def test_make_help_lists_every_target() -> None:
    text = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z-]*):", text, re.MULTILINE))
    shown = subprocess.run(["make", "-C", str(ROOT), "--no-print-directory", "help"], capture_output=True, text=True, check=True).stdout
    assert {line.split()[0] for line in shown.splitlines()} == targets


def test_every_dependency_is_justified() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    project = tomllib.loads(text)["project"]
    for requirement in [*project["dependencies"], *(text for extra in project["optional-dependencies"].values() for text in extra)]:
        line = next(line for line in text.splitlines() if line.strip().startswith(f'"{requirement}"'))
        assert "#" in line, f"{requirement} has no reason"


def test_decisions_are_numbered_and_complete() -> None:
    pages = sorted((ROOT / "docs/adr").glob("[0-9]*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        text = page.read_text()
        for heading in ("## Context", "## Decision", "## Consequences"):
            assert heading in text, f"{page.name} lacks {heading}"
