"""Last of this directory: after all these programs the host is what it was.

Named so that it runs last. `--host-check contents` also compares the contents of every visible file (minutes); the default compares
everything else, change times included, which no write can leave alone.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.host_trees import ROOTS, HostBefore, changes, package_stamp, scan

SHOWN = 40


def test_the_visible_trees_are_untouched(host_before: HostBefore | None) -> None:
    if host_before is None:
        pytest.skip("--host-check off")
    if host_before.tests <= 1:
        pytest.skip("no other test of this directory has run")
    found = changes(host_before.entries, scan(ROOTS, contents=host_before.contents))
    if package_stamp() != host_before.packages:
        pytest.skip("packages were installed on the host meanwhile")
    assert len(host_before.entries) > 1000
    assert not found, f"{len(found)} entries of the host differ:\n" + "\n".join(found[:SHOWN])


def test_a_scan_sees_every_kind_of_change(tmp_path: Path) -> None:
    for name in ("same", "written", "mode", "gone", "replaced"):
        (tmp_path / name).write_text("text")
    (tmp_path / "link").symlink_to("same")
    (tmp_path / "below").mkdir()
    before = {contents: scan([str(tmp_path)], contents=contents) for contents in (False, True)}
    assert all(not changes(entries, scan([str(tmp_path)], contents=contents)) for contents, entries in before.items())
    (tmp_path / "written").write_text("TEXT")
    (tmp_path / "mode").chmod(0o600)
    (tmp_path / "gone").unlink()
    (tmp_path / "replaced").rename(tmp_path / "below" / "moved")
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to("mode")
    marks = ("~ ", "~ /below", "+ /below/moved", "- /gone", "~ /link", "~ /mode", "- /replaced", "~ /written")
    wanted = sorted(f"{mark[0]} {tmp_path}{mark[2:]}" for mark in marks)
    for contents, entries in before.items():
        assert sorted(changes(entries, scan([str(tmp_path)], contents=contents))) == wanted
