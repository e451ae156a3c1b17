"""docs/policy.md tells the truth: its example is read, and the default view it describes is the one enforced."""

from __future__ import annotations

import re
from pathlib import Path

from pylibos.abi.record import field_names
from pylibos.monitor.manifest import Limits, Manifest, MountMode, grant_flag, parse_manifest
from pylibos.monitor.manifest_resolve import MEMORY_DIRECTORIES, SYSTEM_EMPTY, Invocation, default_policy
from pylibos.monitor.policy import Operation, Policy


def test_the_example_is_a_policy_that_uses_every_key(checkout: Path) -> None:
    text = (checkout / "docs/policy.md").read_text()
    found = re.search(r"```toml\n(.*?)```", text, re.DOTALL)
    assert found is not None
    manifest = parse_manifest(found[1].encode(), "example")
    assert {grant.mode for grant in manifest.grants} == {MountMode.RO, MountMode.RW, MountMode.COW}
    assert {restriction.hidden for restriction in manifest.restrictions} == {True, False}
    assert [name for name in field_names(Limits) if getattr(manifest.limits, name) is None] == []
    assert manifest.environment.set
    assert manifest.environment.passed
    assert (manifest.tmpfs, manifest.cwd) == (("/scratch",), "/work")
    assert set(field_names(Manifest)) >= set(re.findall(r"^(\w+) = ", found[1].split("[files]")[0], re.MULTILINE)) - {"version"}


def test_the_default_view_is_as_described(checkout: Path) -> None:
    text = (checkout / "docs/policy.md").read_text()
    default = text[text.index("## The default") : text.index("## Flags")]
    for path in (*SYSTEM_EMPTY, *MEMORY_DIRECTORIES):
        assert f"`{path.decode()}`" in default
    policy = Policy.from_manifest(default_policy(Invocation(None, b"/nonexistent")))
    for shown in ("/usr", "/bin", "/sbin", "/etc", "/opt", "/nix", "/gnu"):
        assert f"`{shown}`" in default
        assert policy.check(Operation.READ, shown.encode() + b"/x").errno == 0


def test_flags_are_as_described(checkout: Path) -> None:
    text = (checkout / "docs/policy.md").read_text()
    for flag in ("--ro", "--rw"):
        assert f"`{flag} PATH`" in text
        assert grant_flag(flag, "/x").mode.value == flag[2:]
    assert grant_flag("-v", "/a:/b").mode is MountMode.COW
