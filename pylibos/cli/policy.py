"""Policies on the command line: a file (or the name of one that comes with PyLibOS), then flags, merged and pinned to the host.

Owns finding and reading policy files and what is refused because nothing enforces it yet. The schema is pylibos.monitor.manifest's, the
pinning pylibos.monitor.manifest_resolve's; their errors become UsageErrors here.
"""

from __future__ import annotations

import os

from pylibos.abi.record import field_names, replace
from pylibos.cli.options import Parsed, UsageError, nearest
from pylibos.cli.values import guest_path
from pylibos.monitor.manifest import (
    Grant,
    Limits,
    Manifest,
    ManifestError,
    OnDeny,
    grant_flag,
    parse_duration,
    parse_manifest,
    parse_size,
    root_flag,
)
from pylibos.monitor.manifest_resolve import Invocation, ResolvedManifest, current_invocation, pin_root, resolve
from pylibos.runtime.config import ENFORCED_LIMITS

PRESET_DIRECTORY = os.path.join(os.path.dirname(__file__), "presets")
UNENFORCED = "take it out; what cannot be enforced is refused, not ignored"
GRANT_FLAGS = {"ro": "--ro", "rw": "--rw", "volume": "-v"}


def preset_names() -> list[str]:
    """Names of the policies that come with PyLibOS."""
    return sorted(name.removesuffix(".toml") for name in os.listdir(PRESET_DIRECTORY) if name.endswith(".toml"))


def policy_path(text: str) -> str:
    """The file a --policy value means: a path, or a bare preset name. Raises UsageError."""
    if text in preset_names() and not os.path.exists(text):
        return os.path.join(PRESET_DIRECTORY, f"{text}.toml")
    if not os.path.exists(text):
        remedy = "" if "/" in text else nearest(text, preset_names())
        raise UsageError(f"policy {text}: there is no such file", remedy or "'pylibos profile list' names those that come with PyLibOS")
    return text


def read_policy(text: str) -> Manifest:
    """The manifest a --policy value means. Raises UsageError."""
    path = policy_path(text)
    try:
        with open(path, "rb") as file:
            data = file.read((1 << 20) + 1)
    except OSError as error:
        raise UsageError(f"policy {text}: {os.strerror(error.errno or 0)}", "give a file you may read") from None
    try:
        return parse_manifest(data, text)
    except ManifestError as error:
        raise UsageError(str(error), f"'pylibos check {text}' checks it again") from None


def refuse_unenforced(manifest: Manifest) -> None:
    """A rule that is not enforced would be a lie: refuse it at the start. Raises UsageError."""
    for name in field_names(Limits):
        if getattr(manifest.limits, name) is not None and name not in ENFORCED_LIMITS:
            key = name.removesuffix("_ns")
            raise UsageError(f"{manifest.name}: limits.{key} is not enforced yet", UNENFORCED)
    if manifest.on_deny is OnDeny.KILL:
        raise UsageError(f'{manifest.name}: on_deny = "kill" is not enforced yet', UNENFORCED)


def with_flags(manifest: Manifest, parsed: Parsed) -> Manifest:
    """The manifest after the flags of a command line. Raises ManifestError and UsageError."""
    grants: list[Grant] = [grant_flag(GRANT_FLAGS[key], value) for key, value in parsed.order if key in GRANT_FLAGS]
    tmpfs = [guest_path(value, "--tmpfs") for value in parsed.all("tmpfs")]
    manifest = manifest.with_grants(grants, tmpfs)
    manifest = manifest.with_network(parsed.all("net"), parsed.all("publish"))
    root, cwd = parsed.last("root"), parsed.last("cwd")
    timeout, pids, memory = parsed.last("timeout"), parsed.last("pids"), parsed.last("memory")
    if root is not None:
        manifest = replace(manifest, root=root_flag(root))
    if cwd is not None:
        manifest = replace(manifest, cwd=guest_path(cwd, "--cwd"))
    if timeout is not None:
        manifest = replace(manifest, limits=replace(manifest.limits, timeout_ns=parse_duration(timeout)))
    if memory is not None:
        manifest = replace(manifest, limits=replace(manifest.limits, memory=parse_size(memory)))
    if pids is not None:
        if not (pids.isascii() and pids.isdigit()) or not 0 < int(pids) < 1 << 31:
            raise UsageError(f"--pids {pids}: not a number from 1 to {(1 << 31) - 1}", "write --pids 64")
        manifest = replace(manifest, limits=replace(manifest.limits, processes=int(pids)))
    return manifest


def pin(manifest: Manifest, invocation: Invocation | None = None, uid: int | None = None) -> ResolvedManifest:
    """The manifest as the monitor enforces it. uid: who the guest is, None for the invoker. Raises UsageError."""
    try:
        invocation = invocation or current_invocation()
        if manifest.root is not None:
            from pylibos.cli.accounts import account_inside

            directory = pin_root(manifest.root, invocation).source
            home = account_inside(directory, os.getuid() if uid is None else uid).home
            invocation = replace(invocation, home_inside=home)
        return resolve(manifest, invocation)
    except ManifestError as error:
        raise UsageError(str(error), "a grant must name something that exists") from None


def merged_policy(parsed: Parsed, uid: int | None = None) -> ResolvedManifest:
    """File, then flags, then pinned. uid: who the guest is. Raises UsageError."""
    name = parsed.last("policy")
    manifest = read_policy(name) if name is not None else Manifest()
    try:
        manifest = with_flags(manifest, parsed)
    except ManifestError as error:
        raise UsageError(str(error), "'pylibos run --help' shows the forms") from None
    refuse_unenforced(manifest)
    return pin(manifest, uid=uid)
