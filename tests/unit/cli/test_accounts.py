"""The account data-base of a root directory, which may be anybody's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pylibos.cli.accounts import account_inside


def accounts(root: Path, text: str) -> bytes:
    (root / "etc").mkdir()
    (root / "etc/passwd").write_text(text)
    return os.fsencode(root)


def test_name_and_home_are_the_roots_own(tmp_path: Path) -> None:
    root = accounts(tmp_path, "broken\nroot:x:0:0:root:/r:/bin/sh\nada:x:7:7::/home/../home/ada/:/bin/sh\nnone:x:8:8::relative:/bin/sh\n")
    assert [(account.name, account.home) for account in (account_inside(root, uid) for uid in (0, 7, 8, 9))] == [
        ("root", b"/r"), ("ada", b"/home/ada"), ("none", b"/"), ("9", b"/"),
    ]  # fmt: skip


@pytest.mark.parametrize("what", ["nothing", "directory-link", "file-link", "fifo"])
def test_nothing_is_read_through_a_link(tmp_path: Path, what: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "passwd").write_text("secret:x:0:0::/secret:/bin/sh\n")
    root = tmp_path / "root"
    root.mkdir()
    if what == "directory-link":
        (root / "etc").symlink_to(elsewhere)
    elif what != "nothing":
        (root / "etc").mkdir()
        if what == "fifo":
            os.mkfifo(root / "etc/passwd")
        else:
            (root / "etc/passwd").symlink_to(elsewhere / "passwd")
    account = account_inside(os.fsencode(root), 0)
    assert (account.name, account.home) == ("root", b"/root")
