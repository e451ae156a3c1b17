"""What is enforced: pinning, the default view, the invoker's directory, the order of mounts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pylibos.monitor.manifest import Grant, Manifest, ManifestError, MountMode, Restriction, grant_flag, parse_manifest, root_flag
from pylibos.monitor.manifest_resolve import CREDENTIALS, Invocation, ResolvedManifest, current_invocation, default_policy, resolve
from pylibos.monitor.policy import EACCES, ENOENT, Operation, Policy

HOME = b"/nonexistent/home"


def errno(resolved: ResolvedManifest, operation: Operation, path: bytes) -> int:
    return Policy.from_manifest(resolved).check(operation, path).errno


def by_place(resolved: ResolvedManifest) -> dict[bytes, tuple[bytes, MountMode]]:
    return {mount.guest_path: (mount.source, mount.mode) for mount in resolved.mount_plan()}


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A directory that is its own real path."""
    return tmp_path.resolve()


@pytest.mark.parametrize(
    ("path", "read"),
    [
        (b"/", EACCES),
        (b"/usr/bin/env", 0),
        (b"/etc/passwd", 0),
        (b"/lib64", 0),
        (b"/var/lib/dpkg/status", 0),
        (b"/etc/shadow", ENOENT),
        (b"/etc/shadow-", ENOENT),
        (b"/etc/gshadow", ENOENT),
        (b"/etc/sudoers.d/x", ENOENT),
        (b"/etc/ssh/ssh_host_rsa_key", ENOENT),
        (b"/etc/ssh/ssh_host_rsa_key.pub", 0),
        (b"/etc/ssl/private/key.pem", ENOENT),
        (b"/root/.bashrc", ENOENT),
        (b"/home/u", ENOENT),
        (b"/proc/1/environ", ENOENT),
        (b"/sys/kernel", ENOENT),
        (b"/dev/sda", ENOENT),
        (b"/run/docker.sock", ENOENT),
        (b"/tmp/x", ENOENT),
        (b"/var/tmp/x", ENOENT),
        (b"/var/lib/mysql", ENOENT),
        (b"/data", ENOENT),
        (b"/usr/local/app/.ssh/id", ENOENT),
    ],
)
def test_the_default_view(path: bytes, read: int) -> None:
    resolved = default_policy(Invocation(None, HOME))
    assert errno(resolved, Operation.READ, path) == read
    for operation in Operation:
        if operation >= Operation.WRITE:
            assert errno(resolved, operation, path) in (EACCES, ENOENT)


def test_the_root_shows_only_what_is_there_on_purpose() -> None:
    hidden = Policy.from_manifest(default_policy(Invocation(None, HOME))).hidden_names(b"/")
    assert hidden is not None
    names = (b"usr", b"etc", b"tmp", b"home", b"proc", b"var", b"data", b"work", b"vmlinuz", b"lost+found")
    assert {name for name in names if not hidden(name)} == {b"usr", b"etc", b"tmp", b"home", b"proc", b"var"}


def test_default_mounts() -> None:
    mounts = by_place(default_policy(Invocation(None, HOME)))
    assert mounts[b"/"] == (b"/", MountMode.COW)
    for place in (b"/tmp", b"/var/tmp", b"/run", HOME):
        assert mounts[place] == (b"", MountMode.TMPFS)


def test_without_the_system(work: Path) -> None:
    resolved = resolve(parse_manifest(b"version = 1\nsystem = false"), Invocation(None, HOME))
    assert by_place(resolved)[b"/"] == (b"", MountMode.TMPFS)
    assert errno(resolved, Operation.READ, b"/usr/bin/env") == ENOENT


def test_mounts_are_ordered_outer_first(work: Path) -> None:
    (work / "a/b").mkdir(parents=True)
    grants = [Grant(str(work / "a/b"), MountMode.RW, "x"), Grant(str(work / "a"), MountMode.RO, "x")]
    grants.append(Grant(str(work), MountMode.COW, "x", "/zz"))
    places = [mount.guest_path for mount in resolve(Manifest().with_grants(grants), Invocation(None, HOME)).mount_plan()]
    assert places[0] == b"/"
    for index, place in enumerate(places):
        assert not any(place != inner and place.startswith(inner + b"/") for inner in places[index:])


def test_grants_are_pinned_to_real_paths(work: Path) -> None:
    (work / "real").mkdir()
    (work / "link").symlink_to("real")
    resolved = resolve(Manifest().with_grants([grant_flag("--rw", str(work / "link"))]), Invocation(None, HOME))
    real, link = os.fsencode(work / "real"), os.fsencode(work / "link")
    mounts = by_place(resolved)
    assert mounts[real] == mounts[link] == (real, MountMode.RW)
    (work / "link").unlink()
    (work / "link").symlink_to("/etc")
    assert errno(resolved, Operation.WRITE, real + b"/x") == 0
    assert errno(resolved, Operation.WRITE, link + b"/x") == ENOENT
    assert errno(resolved, Operation.WRITE, b"/etc/x") == EACCES


def test_relative_and_home_grants(work: Path) -> None:
    (work / "here").mkdir()
    (work / "home/data").mkdir(parents=True)
    invocation = Invocation(os.fsencode(work), os.fsencode(work / "home"))
    manifest = parse_manifest(b'version = 1\ncwd = "/"\n[files]\nrw = ["./here"]\nro = ["~/data"]')
    resolved = resolve(manifest, invocation)
    assert errno(resolved, Operation.WRITE, os.fsencode(work / "here/x")) == 0
    assert errno(resolved, Operation.READ, os.fsencode(work / "home/data/x")) == 0
    assert errno(resolved, Operation.READ, os.fsencode(work / "home/x")) == ENOENT


def test_globs_are_expanded_once(work: Path) -> None:
    for name in ("a.txt", "b.txt", "c.dat"):
        (work / name).touch()
    resolved = resolve(Manifest().with_grants([grant_flag("--ro", str(work / "*.txt"))]), Invocation(None, HOME))
    assert {os.path.basename(mount.guest_path) for mount in resolved.mount_plan()} >= {b"a.txt", b"b.txt"}
    (work / "d.txt").touch()
    for name, expected in (("a.txt", 0), ("c.dat", ENOENT), ("d.txt", ENOENT)):
        assert errno(resolved, Operation.READ, os.fsencode(work / name)) == expected


def test_an_existing_name_is_not_a_glob(work: Path) -> None:
    (work / "[a]").mkdir()
    (work / "a").mkdir()
    resolved = resolve(Manifest().with_grants([grant_flag("--ro", str(work / "[a]"))]), Invocation(None, HOME))
    assert errno(resolved, Operation.LIST, os.fsencode(work / "[a]")) == 0
    assert errno(resolved, Operation.LIST, os.fsencode(work / "a")) == ENOENT


@pytest.mark.parametrize("source", ["/nonexistent/thing", "/", "/usr/.."])
def test_grants_that_cannot_be(source: str) -> None:
    with pytest.raises(ManifestError):
        resolve(Manifest().with_grants([grant_flag("--ro", source)]), Invocation(None, HOME))


def test_relative_grants_need_a_directory() -> None:
    with pytest.raises(ManifestError):
        resolve(Manifest().with_grants([grant_flag("--ro", "x")]), Invocation(None, HOME))


def test_the_widest_of_equal_grants_passes_the_monitor(work: Path) -> None:
    grants = [grant_flag("-v", f"{work}:/b:rw"), grant_flag("-v", f"{work}:/a:ro")]
    resolved = resolve(Manifest().with_grants(grants), Invocation(None, HOME))
    assert errno(resolved, Operation.WRITE, os.fsencode(work) + b"/x") == 0
    assert by_place(resolved)[b"/a"] == (os.fsencode(work), MountMode.RO)


def test_the_start_directory_is_copy_on_write(work: Path) -> None:
    cwd = os.fsencode(work)
    resolved = resolve(Manifest(), Invocation(cwd, HOME))
    assert resolved.cwd == cwd
    assert by_place(resolved)[cwd] == (cwd, MountMode.COW)
    assert errno(resolved, Operation.READ, cwd + b"/x") == 0
    assert errno(resolved, Operation.WRITE, cwd + b"/x") == EACCES


@pytest.mark.parametrize("below", [b"", b"/u", b"/u/project"])
def test_home_and_above_are_not_granted(work: Path, below: bytes) -> None:
    (work / "u/project").mkdir(parents=True)
    home = os.fsencode(work) + b"/u"
    cwd = os.fsencode(work) + below
    resolved = resolve(Manifest(), Invocation(cwd, home))
    granted = below == b"/u/project"
    assert resolved.cwd == (cwd if granted else home)
    assert (cwd in {mount.source for mount in resolved.mounts}) == granted
    # HOME may differ from the account's directory: neither is granted.
    other = resolve(Manifest(), Invocation(cwd, HOME, (home,)))
    assert (cwd in {mount.source for mount in other.mounts}) == granted


@pytest.mark.parametrize(
    ("cwd", "start"),
    [(b"/", HOME), (b"/proc", HOME), (b"/dev", HOME), (b"/tmp", b"/tmp"), (b"/usr/bin", b"/usr/bin"), (None, HOME)],
)
def test_start_directories_that_need_no_grant(cwd: bytes | None, start: bytes) -> None:
    if cwd == b"/tmp" and os.path.islink(cwd):
        pytest.skip("/tmp is a link here")
    resolved = resolve(Manifest(), Invocation(cwd, HOME))
    assert resolved.cwd == start
    assert not [mount for mount in resolved.mounts if mount.source not in (b"", b"/")]


def test_credentials_are_not_a_start_directory(work: Path) -> None:
    (work / "home/.ssh/deep").mkdir(parents=True)
    resolved = resolve(Manifest(), Invocation(os.fsencode(work / "home/.ssh/deep"), HOME))
    assert resolved.cwd == HOME


def test_a_given_start_directory_grants_nothing(work: Path) -> None:
    resolved = resolve(parse_manifest(b'version = 1\ncwd = "/usr"'), Invocation(os.fsencode(work), HOME))
    assert resolved.cwd == b"/usr"
    assert errno(resolved, Operation.READ, os.fsencode(work) + b"/x") == ENOENT


def test_grants_do_not_show_credentials(work: Path) -> None:
    (work / ".ssh").mkdir()
    (work / ".ssh/config").touch()
    resolved = resolve(Manifest().with_grants([grant_flag("--rw", str(work))]), Invocation(None, HOME))
    assert errno(resolved, Operation.READ, os.fsencode(work) + b"/.ssh/config") == ENOENT
    named = resolve(Manifest().with_grants([grant_flag("--ro", str(work / ".ssh/config"))]), Invocation(None, HOME))
    assert errno(named, Operation.READ, os.fsencode(work) + b"/.ssh/config") == 0
    assert errno(named, Operation.READ, os.fsencode(work) + b"/.ssh/id_rsa") == ENOENT


def test_restrictions_follow_the_links_of_their_directory(work: Path) -> None:
    (work / "real").mkdir()
    (work / "link").symlink_to("real")
    manifest = Manifest(restrictions=(Restriction(f"{work}/link/secret*", hidden=True, origin="p"),))
    resolved = resolve(manifest.with_grants([grant_flag("--rw", str(work))]), Invocation(None, HOME))
    assert errno(resolved, Operation.READ, os.fsencode(work) + b"/real/secret-x") == ENOENT
    assert errno(resolved, Operation.READ, os.fsencode(work) + b"/real/open") == 0


def test_invocation_of_this_process() -> None:
    invocation = current_invocation()
    assert invocation.home.startswith(b"/")
    assert invocation.cwd == os.getcwdb()


def test_all_credential_patterns_parse() -> None:
    assert len(default_policy(Invocation(None, HOME)).protections) == len(CREDENTIALS)


@pytest.mark.parametrize(("text", "mode"), [("{}", MountMode.COW), ("{}:rw", MountMode.RW), ("{}:ro", MountMode.RO)])
def test_a_root_is_all_there_is(work: Path, text: str, mode: MountMode) -> None:
    manifest = Manifest(root=root_flag(text.format(work)), grants=(grant_flag("--ro", "/usr/lib"),))
    resolved = resolve(manifest, Invocation(b"/usr", HOME, home_inside=b"/home/ada"))
    places = by_place(resolved)
    assert places[b"/"] == (os.fsencode(work), mode)
    assert places[b"/tmp"][1] is MountMode.TMPFS
    assert (b"/run" in places) is (mode is MountMode.RO)
    assert (resolved.cwd, resolved.home) == (b"/", b"/home/ada")
    assert errno(resolved, Operation.READ, os.fsencode(work) + b"/etc/passwd") == 0
    assert errno(resolved, Operation.WRITE, os.fsencode(work) + b"/etc/passwd") == (0 if mode is MountMode.RW else EACCES)
    assert errno(resolved, Operation.READ, b"/etc/passwd") == ENOENT
    assert errno(resolved, Operation.READ, b"/usr/lib/x") == 0


def test_what_a_root_has_is_the_guests_own_secrets_included(work: Path) -> None:
    hidden = Manifest(root=root_flag(str(work)), restrictions=(Restriction("**/secret", hidden=True, origin="policy"),))
    resolved = resolve(hidden, Invocation(None, HOME))
    assert errno(resolved, Operation.READ, os.fsencode(work) + b"/root/.ssh/id") == 0
    assert errno(resolved, Operation.READ, os.fsencode(work) + b"/root/secret") == ENOENT
    above = resolve(Manifest(grants=(grant_flag("--ro", str(work)),)), Invocation(None, HOME))
    assert errno(above, Operation.READ, os.fsencode(work) + b"/root/.ssh/id") == ENOENT


@pytest.mark.parametrize("text", ["/no/such", "/", "/etc/passwd"])
def test_roots_that_are_none(text: str) -> None:
    with pytest.raises(ManifestError, match=r"No such file|whole host|not a directory"):
        resolve(Manifest(root=root_flag(text)), Invocation(None, HOME))


def test_the_root_of_a_policy_file() -> None:
    plain = parse_manifest(b'version = 1\nroot = "./tree"')
    table = parse_manifest(b'version = 1\n[root]\nsource = "~/tree"\nmode = "rw"')
    assert plain.root is not None
    assert table.root is not None
    assert (plain.root.source, plain.root.mode, plain.root.origin) == ("./tree", MountMode.COW, "policy:2 root")
    assert (table.root.source, table.root.mode) == ("~/tree", MountMode.RW)
    for wrong, message in {
        "root = true": "--as-root",
        'root = "tree"': "must start with",
        'root = {sorce = "/x"}': 'did you mean "source"',
        'root = {mode = "rw"}': "needs source",
        'root = {source = "/x", mode = "tmpfs"}': "unknown mode",
        "root = 3": "must be a string",
    }.items():
        with pytest.raises(ManifestError, match=message):
            parse_manifest(b"version = 1\n" + wrong.encode())
