"""From a manifest to what is enforced: paths pinned to the host, rules for the monitor, mounts for the VFS.

What it is: the one moment at which names a person gave are resolved (realpath, once, at start). Owns the default view of the host. After
this no name of the policy is looked up again; what a name means later does not change what was granted.
Must not open anything below a granted path.

The default view: a copy-on-write root over the host's system directories; empty: home directories, /tmp, /run and the like;
hidden: credentials. The invoker's directory is granted copy-on-write unless that would grant the whole home or one of the places that
are empty on purpose.

With a root (Manifest.root) there is no view of the host: "/" is that directory, all of it, what looks like a credential included, and the
guest starts in it. Only /tmp (for a read-only root also /var/tmp and /run) is empty and in memory; the invoker's directory is not granted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Final

from pylibos.abi.record import record
from pylibos.monitor.globs import Pattern, PatternError, is_glob
from pylibos.monitor.manifest import Grant, Manifest, ManifestError, MountMode, Root
from pylibos.monitor.policy import Mode, Protection, Rule

_GLOB_LIMIT: Final = 4096
"""Grants one glob may become; more is a mistake (and a slow start)."""

SYSTEM_VISIBLE: Final = (
    b"/usr",
    b"/bin",
    b"/sbin",
    b"/lib",
    b"/lib32",
    b"/lib64",
    b"/libx32",
    b"/etc",
    b"/opt",
    b"/nix",
    b"/gnu",
    b"/var/lib/dpkg",
    b"/var/lib/rpm",
    b"/var/lib/apk",
    b"/var/lib/pacman",
    b"/var/lib/apt",
    b"/var/cache/apt",
    b"/var/cache/fontconfig",
    b"/var/cache/man",
    b"/var/run",
    b"/var/lock",
)
"""Read-only below the copy-on-write root. /var/run and /var/lock are symbolic links into /run, which is empty."""

SYSTEM_EMPTY: Final = (
    b"/home",
    b"/root",
    b"/tmp",
    b"/run",
    b"/var/tmp",
    b"/var/log",
    b"/var/mail",
    b"/var/spool",
    b"/mnt",
    b"/media",
    b"/srv",
    b"/dev",
    b"/proc",
    b"/sys",
)
"""The directory is there, nothing of what the host has in it."""

MEMORY_DIRECTORIES: Final = (b"/tmp", b"/var/tmp", b"/run")
"""Empty, writable and in memory for every guest."""

CREDENTIALS: Final = (
    "/etc/shadow*",
    "/etc/gshadow*",
    "/etc/sudoers*",
    "/etc/security/opasswd",
    "/etc/ssh/ssh_host_*_key",
    "/etc/ssl/private",
    "/etc/pki/tls/private",
    "/etc/letsencrypt",
    "/etc/wireguard",
    "/etc/ppp/*-secrets",
    "/etc/NetworkManager/system-connections",
    "/etc/krb5.keytab",
    "/etc/kubernetes",
    "/etc/mysql/debian.cnf",
    "/etc/apt/auth.conf*",
    "/etc/exim4/passwd.client",
    "/etc/postfix/sasl_passwd*",
    "**/.ssh",
    "**/.gnupg",
    "**/.aws",
    "**/.azure",
    "**/.kube",
    "**/.docker/config.json",
    "**/.config/gcloud",
    "**/.git-credentials",
    "**/.netrc",
    "**/.pgpass",
    "**/.pypirc",
    "**/.password-store",
)
"""Hidden wherever a wider grant would show them; a grant that names one (or something in it) shows it."""

_NEVER_STARTED_IN: Final = (b"/dev", b"/proc", b"/sys", b"/run")


@record
class Mount:
    """One mount of the guest's view. source: the pinned host path (b"" for tmpfs). guest_path: absolute, normal form."""

    source: bytes
    guest_path: bytes
    mode: MountMode
    origin: str = ""


@record
class Invocation:
    """Where pylibos was started: the working directory (None when it is gone) and home directories, as the person has them."""

    cwd: bytes | None
    home: bytes
    other_homes: tuple[bytes, ...] = ()
    home_inside: bytes = b"/"
    """The guest's home directory when the manifest has a root (its own account data-base says it)."""


@record
class ResolvedManifest:
    """A manifest with everything pinned. rules and protections are the monitor's, mounts the VFS's; cwd is a guest path."""

    manifest: Manifest
    rules: tuple[Rule, ...]
    protections: tuple[Protection, ...]
    mounts: tuple[Mount, ...]
    cwd: bytes
    home: bytes

    def mount_plan(self) -> list[Mount]:
        """Mounts in the order to make them: outer before inner, later before earlier replaced. The first is the root."""
        by_place = {mount.guest_path: mount for mount in self.mounts}
        return sorted(by_place.values(), key=lambda mount: (mount.guest_path != b"/", mount.guest_path.count(b"/"), mount.guest_path))


def current_invocation() -> Invocation:
    """The invocation of this very process."""
    import pwd

    try:
        cwd = os.getcwdb()
    except FileNotFoundError:
        cwd = None
    try:
        account = os.fsencode(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        account = b"/"
    variable = os.fsencode(os.environ.get("HOME", ""))
    home = account if account.startswith(b"/") else b"/"
    return Invocation(cwd, home, (variable,) if variable.startswith(b"/") else ())


def resolve(manifest: Manifest, invocation: Invocation) -> ResolvedManifest:
    """Pin everything. Raises ManifestError for a grant of something that is not there."""
    home = _normal(invocation.home)
    pinned = [pin for grant in manifest.grants for pin in _pin(grant, invocation)]
    root = pin_root(manifest.root, invocation) if manifest.root is not None else None
    start = _start_directory(manifest, invocation, pinned) if root is None else _Start(b"/", None)
    if start is not None and start.grant is not None:
        pinned.append(start.grant)
    rules = [*_default_rules(manifest), *(_rule(pin) for pin in _widest_last(pinned))]
    protections = tuple(_protections(manifest, home))
    if root is not None:
        home = _normal(invocation.home_inside)
        rules.append(Rule(root.source, Mode.RW if root.mode is MountMode.RW else Mode.RO, root.origin, reveals=True))
    return ResolvedManifest(
        manifest=manifest,
        rules=tuple(rules),
        protections=protections,
        mounts=tuple(_mounts(manifest, home, pinned) if root is None else _mounts_below(root, manifest, pinned)),
        cwd=os.fsencode(manifest.cwd) if manifest.cwd is not None else start.path if start is not None else home,
        home=home,
    )


def pin_root(root: Root, invocation: Invocation) -> Mount:
    """The mount of the guest's "/". Raises ManifestError."""
    path = _expand(root.source, invocation, root.origin)
    try:
        source = os.path.realpath(path, strict=True)
    except OSError as error:
        raise ManifestError(f"{root.origin}: {os.fsdecode(path)}: {error.strerror}; to be root inside write --as-root") from None
    if not os.path.isdir(source):
        raise ManifestError(f"{root.origin}: not a directory; to be root inside write --as-root")
    if source == b"/":
        raise ManifestError(f"{root.origin}: the whole host cannot be granted; without --root the guest sees a view of it")
    return Mount(source, b"/", root.mode, root.origin)


@record
class _Pinned:
    """A grant whose source is one real host path."""

    source: bytes
    targets: tuple[bytes, ...]
    mode: MountMode
    origin: str


@record
class _Start:
    """Where the guest starts, and the grant that makes it possible if one is needed."""

    path: bytes
    grant: _Pinned | None


def _normal(path: bytes) -> bytes:
    """Absolute path in normal form; POSIX's special // becomes /."""
    path = os.path.normpath(path)
    return b"/" + path.lstrip(b"/")


def _is_at_or_below(path: bytes, above: bytes) -> bool:
    return above in (b"/", path) or path.startswith(above + b"/")


def _expand(text: str, invocation: Invocation, origin: str) -> bytes:
    """~ and relative names made absolute, links not yet resolved."""
    path = os.fsencode(text)
    if path == b"~" or path.startswith(b"~/"):
        return _normal(invocation.home + path[1:])
    if not path.startswith(b"/"):
        if invocation.cwd is None:
            raise ManifestError(f"{origin}: the current directory no longer exists")
        path = invocation.cwd + b"/" + path
    return path


def _pin(grant: Grant, invocation: Invocation) -> Iterator[_Pinned]:
    """The grant's sources as they are now: one, or all a glob matches."""
    path = _expand(grant.source, invocation, grant.origin)
    if is_glob(path) and not os.path.lexists(path):
        import glob  # start-up is lean: most grants are plain paths

        matches = sorted(glob.iglob(path, recursive=True))
        if len(matches) > _GLOB_LIMIT:
            raise ManifestError(f"{grant.origin}: matches more than {_GLOB_LIMIT} paths")
        if grant.target is not None and len(matches) != 1:
            raise ManifestError(f"{grant.origin}: a mount needs one source, this matches {len(matches)}")
    else:
        matches = [path]
    for match in matches:
        try:
            source = os.path.realpath(match, strict=True)
        except OSError as error:
            raise ManifestError(f"{grant.origin}: {os.fsdecode(match)}: {error.strerror}") from None
        if grant.target is not None:
            targets: tuple[bytes, ...] = (_normal(os.fsencode(grant.target)),)
        else:
            # The name as given works inside too, when its last component is a link (its directory's links are the guest's own).
            given = os.path.join(os.path.realpath(os.path.dirname(_normal(match))), os.path.basename(_normal(match)))
            targets = (source,) if given == source else (source, given)
        if source == b"/":
            raise ManifestError(f"{grant.origin}: the whole host cannot be granted; name the directories")
        yield _Pinned(source, targets, grant.mode, grant.origin)


def _start_directory(manifest: Manifest, invocation: Invocation, pinned: Sequence[_Pinned]) -> _Start | None:
    """The invoker's directory if the guest can have it, else None (it then starts in its home)."""
    if invocation.cwd is None or manifest.cwd is not None:
        return None
    cwd = os.path.realpath(invocation.cwd)
    if any(_is_at_or_below(cwd, pin.source) and pin.source in pin.targets for pin in pinned):
        return _Start(cwd, None)
    homes = {_normal(home) for home in (invocation.home, *invocation.other_homes)}
    homes |= {os.path.realpath(home) for home in homes}
    # A home of "/" (system accounts) is nobody's home: only the root itself is then out of question.
    if cwd == b"/" or any(_is_at_or_below(home, cwd) for home in homes if home != b"/"):
        return None
    if any(_is_at_or_below(cwd, place) for place in _NEVER_STARTED_IN):
        return None
    if cwd in SYSTEM_EMPTY:
        return _Start(cwd, None)
    if manifest.system and any(_is_at_or_below(cwd, place) for place in SYSTEM_VISIBLE):
        return _Start(cwd, None)
    if any(_covers(Pattern.parse(text.encode()), cwd) for text in CREDENTIALS):
        return None
    return _Start(cwd, _Pinned(cwd, (cwd,), MountMode.COW, "default: current directory"))


def _covers(pattern: Pattern, path: bytes) -> bool:
    """Whether the pattern matches the path or a directory above it."""
    states = pattern.start()
    for name in path.split(b"/")[1:]:
        states = pattern.step(states, name)
        if pattern.accepts(states):
            return True
    return False


_WIDTH: Final = {MountMode.RO: 0, MountMode.COW: 0, MountMode.RW: 1}


def _widest_last(pinned: Sequence[_Pinned]) -> list[_Pinned]:
    """Grants of one path in several modes: the monitor must let the widest pass, the mounts keep the narrower ones narrow."""
    return sorted(pinned, key=lambda pin: _WIDTH[pin.mode])


def _rule(pin: _Pinned) -> Rule:
    """Copy-on-write needs reading only: what is written stays in the sandbox."""
    return Rule(pin.source, Mode.RW if pin.mode is MountMode.RW else Mode.RO, pin.origin)


def _default_rules(manifest: Manifest) -> Iterator[Rule]:
    if manifest.system and manifest.root is None:
        for path in SYSTEM_VISIBLE:
            yield Rule(path, Mode.RO, "default: system directory", explicit=False)
    for path in SYSTEM_EMPTY:
        yield Rule(path, Mode.EMPTY, "default: empty directory", explicit=False)


def _protections(manifest: Manifest, home: bytes) -> Iterator[Protection]:
    for text in CREDENTIALS:
        yield Protection(Pattern.parse(text.encode()), hidden=True, origin="default: credentials", default=True)
    for restriction in manifest.restrictions:
        text_bytes = os.fsencode(restriction.pattern)
        if text_bytes.startswith(b"~/"):
            text_bytes = home + text_bytes[1:]
        try:
            pattern = Pattern.parse(text_bytes)
        except PatternError as error:
            raise ManifestError(f"{restriction.origin}: {error}") from None
        yield Protection(pattern, restriction.hidden, restriction.origin)
        real = _real_pattern(text_bytes)
        if real != text_bytes:
            yield Protection(Pattern.parse(real), restriction.hidden, restriction.origin)


def _real_pattern(text: bytes) -> bytes:
    """A pattern whose literal head is resolved: the host paths that are compared never contain a link."""
    if not text.startswith(b"/"):
        return text
    head: list[bytes] = []
    parts = [part for part in text.split(b"/") if part]
    while parts and not is_glob(parts[0]):
        head.append(parts.pop(0))
    real = os.path.realpath(b"/" + b"/".join(head))
    return b"/" + b"/".join([*(part for part in real.split(b"/") if part), *parts])


def _mounts(manifest: Manifest, home: bytes, pinned: Sequence[_Pinned]) -> Iterator[Mount]:
    if manifest.system:
        yield Mount(b"/", b"/", MountMode.COW, "default: system")
    else:
        yield Mount(b"", b"/", MountMode.TMPFS, "default: empty root")
    for path in MEMORY_DIRECTORIES:
        yield Mount(b"", path, MountMode.TMPFS, "default: memory")
    if home != b"/":
        yield Mount(b"", home, MountMode.TMPFS, "default: home")
    for text in manifest.tmpfs:
        yield Mount(b"", _normal(os.fsencode(text)), MountMode.TMPFS, f"{manifest.name} tmpfs")
    for pin in pinned:
        for target in pin.targets:
            yield Mount(pin.source, target, pin.mode, pin.origin)


def _mounts_below(root: Mount, manifest: Manifest, pinned: Sequence[_Pinned]) -> Iterator[Mount]:
    """The mounts when "/" is a directory: it, what must be writable and private, and the grants."""
    yield root
    for path in MEMORY_DIRECTORIES if root.mode is MountMode.RO else (b"/tmp",):
        yield Mount(b"", path, MountMode.TMPFS, "default: memory")
    for text in manifest.tmpfs:
        yield Mount(b"", _normal(os.fsencode(text)), MountMode.TMPFS, f"{manifest.name} tmpfs")
    for pin in pinned:
        for target in pin.targets:
            yield Mount(pin.source, target, pin.mode, pin.origin)


def default_policy(invocation: Invocation | None = None, manifest: Manifest | None = None) -> ResolvedManifest:
    """What ``pylibos run`` without flags enforces."""
    return resolve(manifest or Manifest(), invocation or current_invocation())
