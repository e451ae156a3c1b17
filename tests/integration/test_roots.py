"""`--root DIR`: another system's tree as the guest's "/", run by root and by an ordinary user; and its packages, users and devices."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.comparison import NOBODY, Case, Outcome, read_tree, remove_tree
from tests.harness.plugin import Comparer
from tests.harness.roots import RootError, busybox_root, debian_root, local_package
from tests.integration.test_walls import without_name_spaces

CALLER_AND_NOBODY = pytest.mark.parametrize("user", [None, NOBODY], ids=["caller", "nobody"])


@pytest.fixture(scope="module")
def small(scratch: Path) -> Iterator[Path]:
    """A root of busybox and musl."""
    yield from made(scratch / "small", busybox_root)


@pytest.fixture(scope="module")
def debian(scratch: Path) -> Iterator[Path]:
    """A root of the host's Debian packages."""
    yield from made(scratch / "debian", debian_root)


def made(root: Path, make: object) -> Iterator[Path]:
    root.mkdir(mode=0o755)
    try:
        make(root)  # type: ignore[operator]
        yield root
    except RootError as error:
        pytest.skip(str(error))
    finally:
        shutil.rmtree(root, ignore_errors=True)


def owned_by(root: Path, user: int) -> None:
    for directory, names, files in os.walk(root):
        for name in (".", *names, *files):
            path = f"{directory}/{name}"
            mode = os.lstat(path).st_mode
            os.chown(path, user, user, follow_symlinks=False)
            if not os.path.islink(path):
                os.chmod(path, mode & 0o7777)


def copy_for(root: Path, user: int | None, target: Path) -> Path:
    """A copy of a root that belongs to the user, as a tree that the user unpacked does."""
    if user is not None and os.getuid() != 0:
        pytest.skip("choosing a user needs root")
    subprocess.run(["cp", "-a", root, target], check=True, timeout=120)
    if user is not None:
        owned_by(target, user)
    return target


def inside_root(
    comparer: Comparer, inside: str, root: str, script: str, user: int | None = None, flags: tuple[str, ...] = ("--as-root",)
) -> Outcome:
    """Run a shell script in a root; it must succeed."""
    case = Case(argv=("/bin/sh", "-c", script), flags=("--root", root, *flags), user=user, timeout=60)
    outcome = comparer.inside(case, inside)
    assert outcome.completed.status == 0, outcome.completed.describe()
    assert not outcome.completed.leaked
    return outcome


@pytest.mark.guest
@CALLER_AND_NOBODY
def test_a_root_of_busybox_and_musl(comparer: Comparer, inside: str, small: Path, user: int | None, scratch: Path) -> None:
    root = copy_for(small, user, scratch / "copy")
    try:
        before = read_tree(root)
        script = (
            "id -u; echo $HOME; cat /etc/hostname; hello; stat -c '%u %g' / /bin/busybox /etc; "
            "echo new >/etc/new; chown 5:6 /etc/new; stat -c '%u:%g' /etc/new; rm /etc/hostname; mv /home/user /home/other; ls /home; "
            "ls /usr; mknod /null c 1 3; echo gone >/null; wc -c </null; "
            "test -d /proc/self; test -c /dev/null; test -w /tmp; mount | grep -c ' / '"
        )
        outcome = inside_root(comparer, inside, str(root), "set -e; " + script, user)
        assert outcome.stdout.decode().split("\n") == [
            "0", "/nonexistent", "small", "musl, uid 0", "0 0", "0 0", "0 0", "5:6", "other", "bin", "0", "1", "",
        ]  # fmt: skip
        assert read_tree(root) == before, "a copy-on-write root was written to"
    finally:
        remove_tree(root)


@pytest.mark.guest
@CALLER_AND_NOBODY
def test_a_writable_root_keeps_what_was_written(comparer: Comparer, inside: str, small: Path, user: int | None, scratch: Path) -> None:
    root = copy_for(small, user, scratch / "copy")
    try:
        script = "echo new >/etc/new; chown 0:0 /etc/new; stat -c '%u:%g' /etc/new /etc; rm /etc/hostname; echo x >/tmp/x"
        outcome = inside_root(comparer, inside, f"{root}:rw", "set -e; " + script, user)
        assert outcome.stdout.split() == [b"0:0", b"0:0"]
        assert (root / "etc/new").read_text() == "new\n"
        assert not (root / "etc/hostname").exists()
        assert (root / "etc/new").stat().st_uid == (os.getuid() if user is None else user)
        assert list((root / "tmp").iterdir()) == []
    finally:
        remove_tree(root)


@pytest.mark.guest
def test_a_read_only_root(comparer: Comparer, inside: str, small: Path) -> None:
    script = "touch /etc/new 2>&1; rm /etc/passwd 2>&1; for d in /tmp /var/tmp /run; do echo x >$d/x && echo $d; done"
    outcome = inside_root(comparer, inside, f"{small}:ro", script)
    assert outcome.stdout.decode().splitlines() == [
        "touch: /etc/new: Read-only file system", "rm: can't remove '/etc/passwd': Read-only file system", "/tmp", "/var/tmp", "/run",
    ]  # fmt: skip
    assert not (small / "etc/new").exists()


@pytest.mark.guest
def test_an_ordinary_user_of_a_root(comparer: Comparer, inside: str, small: Path) -> None:
    """The root's own accounts say who the guest is, and permissions hold in it."""
    script = "whoami; echo $USER; touch /etc/no 2>&1; touch /home/user/no 2>&1; cat /etc/hostname; hello"
    outcome = inside_root(comparer, inside, str(small), script, None, ("--uid", "1000", "--gid", "1000"))
    expected = ["user", "tester", "small", "musl, uid 1000"]  # the harness sets USER
    assert [line for line in outcome.stdout.decode().splitlines() if "denied" not in line] == expected
    assert outcome.stdout.count(b"denied") == (2 if os.getuid() == 0 else 0)


@pytest.mark.guest
def test_links_of_a_root_stay_in_it(comparer: Comparer, inside: str, small: Path, scratch: Path) -> None:
    """A root may come from anybody: where its links and mount points lead is inside, too."""
    root = copy_for(small, None, scratch / "copy")
    try:
        secret = scratch / "secret"
        secret.write_text("secret of the host\n")
        for name, target in {"absolute": str(secret), "up": "../" * 20 + str(secret)[1:], "etc/passwd": str(secret), "tmp": "/etc"}.items():
            path = root / name
            path.unlink(missing_ok=True)
            path.symlink_to(target)
        (root / "proc").symlink_to("proc")
        script = "cat /absolute /up /etc/passwd 2>/dev/null; ls /proc/self/fd | head -1; echo x >/tmp/x; ls /tmp; ls /etc"
        outcome = inside_root(comparer, inside, str(root), script)
        assert b"secret" not in outcome.stdout
        assert outcome.stdout.split()[:2] == [b"0", b"x"]
        assert b"x" not in outcome.stdout.split()[2:]
    finally:
        remove_tree(root)


PACKAGES = r"""
set -e; export DEBIAN_FRONTEND=noninteractive LC_ALL=C
dpkg -i /in/sample.deb >/dev/null
dpkg-query -W -f '${Package} ${Status}\n' pylibos-sample
stat -c '%U:%G' /usr/share/pylibos-sample/data; cat /etc/pylibos-sample.conf
dpkg -r pylibos-sample >/dev/null; test ! -e /usr/share/pylibos-sample; cat /etc/pylibos-sample.conf
dpkg -P pylibos-sample >/dev/null; test ! -e /etc/pylibos-sample.conf; ! id sample 2>/dev/null
apt-get install -qq -y /in/sample.deb >/dev/null 2>/tmp/errors || { cat /tmp/errors; exit 1; }
dpkg-query -W -f '${Package} ${Status}\n' pylibos-sample
apt-get remove -qq -y pylibos-sample >/dev/null 2>&1
dpkg -l | grep -c '^ii'; apt-get --version | head -1 | cut -d' ' -f1
dpkg --audit
"""

USERS = r"""
set -e; export LC_ALL=C
useradd -m -u 1500 -s /bin/sh bob; stat -c '%U %a' /home/bob; groupadd -g 1600 crew; usermod -aG crew bob
su bob -c 'id -u; id -Gn; echo $HOME; cat /etc/shadow 2>&1; touch /etc/no 2>&1; kill -0 $PPID 2>/dev/null || echo no signal' || true
setpriv --reuid=bob --regid=bob --init-groups -- sh -c 'id -Gn; echo x >/tmp/own; stat -c %U /tmp/own; chown root /tmp/own 2>&1' || true
echo bob:secret | chpasswd; grep -c '^bob:\$' /etc/shadow; passwd -S bob | cut -d' ' -f1,2
install -m 4755 -o root -g crew /usr/bin/id /usr/bin/setid; stat -c '%a %U %G' /usr/bin/setid
install -m 2755 -o root -g crew /usr/bin/id /usr/bin/group
su bob -c 'setid -u; setid -ur; group -gn; setpriv --no-new-privs setid -u'
su bob -c 'LD_DEBUG=libs setid -u 2>&1 | wc -l; LD_DEBUG=libs id 2>&1 | grep -c init: | grep -c .'
useradd -m carol; echo carol:other | chpasswd
su bob -c 'echo other | su carol -c "id -un; id -ru" 2>/dev/null'
deluser --quiet bob crew; userdel -r bob 2>/dev/null; ! id bob 2>/dev/null; test ! -d /home/bob && echo removed
"""


def package_directory(scratch: Path) -> Path:
    directory = scratch / "package"
    if not directory.exists():
        directory.mkdir(mode=0o755)
        local_package(directory)
    return directory


@pytest.mark.guest
@CALLER_AND_NOBODY
def test_packages_and_users_in_a_debian_root(comparer: Comparer, inside: str, debian: Path, user: int | None, scratch: Path) -> None:
    if user is not None and inside == "ptrace":
        pytest.skip("the notify engine has run it, and the engines differ in nothing that depends on the user here")
    packages = package_directory(scratch)
    root = copy_for(debian, user, scratch / "copy") if user is not None else debian
    try:
        outcome = inside_root(comparer, inside, str(root), PACKAGES, user, ("--as-root", "-v", f"{packages}:/in:ro"))
        check_packages(outcome)
        check_users(inside_root(comparer, inside, str(root), USERS, user))
    finally:
        if root is not debian:
            remove_tree(root)


@pytest.mark.guest
def test_packages_and_users_without_name_spaces(comparer: Comparer, inside: str, debian: Path, scratch: Path) -> None:
    """As in a default container: nothing of it may depend on what the host kernel can set apart."""
    if inside == "ptrace":
        pytest.skip("one engine is enough")
    packages = package_directory(scratch)
    flags = ("--root", str(debian), "--as-root", "-v", f"{packages}:/in:ro")
    for script, check in ((PACKAGES, check_packages), (USERS, check_users)):
        done = without_name_spaces(None, inside, ["/bin/sh", "-c", script], flags)
        check(Outcome(done, done.stdout, done.stderr, {}))


def check_packages(outcome: Outcome) -> None:
    lines = outcome.stdout.decode().splitlines()
    installed = "pylibos-sample install ok installed"
    assert lines[:5] == [installed, "sample:sample", "setting = 1", "setting = 1", installed], outcome.completed.describe()
    assert int(lines[5]) > 50
    assert lines[6:] == ["apt"], outcome.completed.describe()


def check_users(outcome: Outcome) -> None:
    assert outcome.stdout.decode().splitlines() == [
        "bob 755", "1500", "bob crew", "/home/bob",
        "cat: /etc/shadow: Permission denied", "touch: cannot touch '/etc/no': Permission denied",
        "no signal", "bob crew", "bob",
        "chown: changing ownership of '/tmp/own': Operation not permitted",
        "1", "bob P", "4755 root crew", "0", "1500", "crew", "1500", "1", "1",
        "carol", "1501", "removed",
    ], outcome.completed.describe()  # fmt: skip


@pytest.mark.guest
@pytest.mark.network
def test_a_root_made_by_debootstrap(comparer: Comparer, inside: str, scratch: Path, pytestconfig: pytest.Config) -> None:
    """With --debootstrap: the same in what Debian's own tool makes from a mirror (a minute), or in a directory made before."""
    where = str(pytestconfig.getoption("--debootstrap"))
    if not where:
        pytest.skip("needs --debootstrap DIR (made there with a mirror if it is empty)")
    root = Path(where)
    if not (root / "var/lib/dpkg/status").exists():
        made = subprocess.run(["debootstrap", "--variant=minbase", "stable", root], capture_output=True, timeout=280, check=False)
        assert made.returncode == 0, made.stdout.decode()[-2000:]
    packages = package_directory(scratch)
    check_packages(inside_root(comparer, inside, str(root), PACKAGES, None, ("--as-root", "-v", f"{packages}:/in:ro")))


@pytest.mark.guest
def test_package_tools_in_the_host_view(comparer: Comparer, inside: str) -> None:
    """They read the host's data-base, and an installation into the copy-on-write view leaves the host alone."""
    if shutil.which("dpkg") is None:
        pytest.skip("this is not a Debian system")
    case = Case(argv=("/bin/sh", "-c", "apt-get --version | head -1 | cut -d' ' -f1; dpkg -l dpkg | tail -1 | cut -c1-8"))
    assert comparer.inside(case, inside).stdout.split() == [b"apt", b"ii", b"dpkg"]
