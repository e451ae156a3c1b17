"""Chromium, a program of many processes: it renders a local page inside as it does natively."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.harness.comparison import Case
from tests.harness.plugin import Comparer
from tests.harness.png import Picture, decode
from tests.harness.programs import tree

BROWSER = shutil.which("chromium")
PAGE = """<!doctype html><html><head><style>
body { background: #eef; font-family: sans-serif }
div { width: 200px; height: 80px; background: linear-gradient(to right, red, blue); border-radius: 20px }
</style></head><body><h1>A page</h1><div></div><p id="p"></p>
<script>document.getElementById("p").textContent = "computed: " + [1, 2, 3].map(x => x * x).join(" ");</script>
<svg width="60" height="60"><circle cx="30" cy="30" r="25" fill="green"/></svg></body></html>
"""
WIDTH, HEIGHT = 400, 360
SECONDS = 45
"""Time for the native run; a contained one gets twice that."""


def rendering() -> Case:
    script = (
        "export HOME=$PWD XDG_CONFIG_HOME=$PWD/config XDG_CACHE_HOME=$PWD/cache; "
        f"exec chromium --headless --no-sandbox --disable-gpu --user-data-dir=$PWD/profile --window-size={WIDTH},{HEIGHT} "
        "--screenshot=$PWD/page.png file://$PWD/page.html"
    )
    return Case(argv=("/bin/sh", "-c", script), setup=tree({"page.html": PAGE}), grant="rw", timeout=SECONDS)


@pytest.fixture(scope="module")
def native_picture(comparer: Comparer) -> Picture:
    """What the page looks like without PyLibOS."""
    if BROWSER is None:
        pytest.skip("chromium is not installed")
    comparer.arena.native(rendering())
    picture = decode((comparer.arena.work / "page.png").read_bytes())
    assert (picture.width, picture.height) == (WIDTH, HEIGHT)
    assert picture.colours() > 100, "the native picture shows no gradient"
    return picture


@pytest.mark.guest
@pytest.mark.slow
def test_chromium_renders_a_page(comparer: Comparer, inside: str, native_picture: Picture) -> None:
    outcome = comparer.inside(rendering(), inside)
    assert outcome.completed.status == 0, outcome.completed.describe()
    assert not outcome.completed.leaked
    written: Path = comparer.arena.work / "page.png"
    assert written.exists(), outcome.completed.describe()
    assert native_picture.alike(decode(written.read_bytes())) > 0.999
