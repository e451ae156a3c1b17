"""Root directories for `--root`, made on the spot and without a network: one of busybox and musl, one of the host's own Debian packages.

What it must not know: pytest. A root that cannot be made here (no such packages) is a RootError that says what is missing.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

MUSL_LOADER = Path("/lib/ld-musl-x86_64.so.1")
APPLETS = (
    "sh ls cat id mount stat touch mkdir rm mv ln chown chmod ps df hostname env pwd mknod echo adduser addgroup su head od grep sort wc "
    "readlink whoami find test"
)
LEFT_OUT = tuple(f"/usr/share/{name}/" for name in ("doc", "man", "locale", "i18n", "info", "bug", "lintian"))
GENERATED = tuple(
    f"/etc/{name}" for name in ("pam.d", "nsswitch.conf", "ld.so.conf", "ld.so.conf.d", "ld.so.cache", "alternatives", "adduser.conf")
)
"""What a Debian system has and no package lists."""
DIRECTORIES = (
    "var/lib/dpkg/info var/lib/dpkg/updates var/lib/dpkg/alternatives var/lib/apt/lists/partial var/cache/apt/archives/partial var/log/apt "
    "etc/apt root"
)
WANTED = ("apt", "adduser", "passwd", "login")
_HELLO = '#include <stdio.h>\n#include <unistd.h>\nint main(void) { printf("musl, uid %d\\n", (int)getuid()); return 0; }\n'


class RootError(Exception):
    """This host does not have what a root is made of."""


def busybox_root(root: Path) -> None:
    """A tree like Alpine's: static busybox with links, musl's loader, and a program linked with musl."""
    busybox, compiler = shutil.which("busybox"), shutil.which("musl-gcc")
    if busybox is None or compiler is None or not MUSL_LOADER.exists():
        raise RootError("busybox-static, musl and musl-tools are not installed")
    for name in ("bin", "lib", "etc", "root", "usr/bin", "var/lib", "home/user"):
        (root / name).mkdir(parents=True)
    shutil.copy(busybox, root / "bin/busybox")
    for applet in APPLETS.split():
        (root / "bin" / applet).symlink_to("busybox")
    shutil.copy(MUSL_LOADER.resolve(), root / "lib" / MUSL_LOADER.name)
    subprocess.run([compiler, "-x", "c", "-", "-o", root / "usr/bin/hello"], input=_HELLO.encode(), check=True, timeout=60)
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:u:/home/user:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nuser:x:1000:\n")
    (root / "etc/hostname").write_text("small\n")


def debian_root(root: Path) -> None:
    """Debian's essential packages, apt and adduser, as they are installed here: their files, and a dpkg data-base of just them."""
    if shutil.which("dpkg-query") is None or shutil.which("apt-get") is None:
        raise RootError("this is not a Debian system")
    packages = _closure()
    listed = subprocess.run(["dpkg-query", "-L", *sorted(packages)], capture_output=True, text=True, check=True, timeout=60).stdout
    paths = [path for path in dict.fromkeys(listed.splitlines()) if path.startswith("/") and not path.startswith(LEFT_OUT)]
    for link in ("bin", "sbin", "lib", "lib64"):
        if os.path.islink(f"/{link}"):
            (root / link).symlink_to(os.readlink(f"/{link}"))
            (root / os.readlink(f"/{link}")).mkdir(parents=True, exist_ok=True)
    _copy(root, (path for path in paths if path not in ("/.", "/bin", "/sbin", "/lib", "/lib64")), recursive=False)
    _copy(root, (path for path in GENERATED if os.path.exists(path)), recursive=True)
    for directory in DIRECTORIES.split():
        (root / directory).mkdir(parents=True, exist_ok=True)
    _data_base(root, packages)
    for name in ("passwd", "group"):
        text = Path(f"/usr/share/base-passwd/{name}.master").read_text()
        (root / "etc" / name).write_text(text.replace(":*:", ":x:"))
    for name, column in (("shadow", ":*:19000:0:99999:7:::"), ("gshadow", ":*::")):
        users = (root / "etc" / ("passwd" if name == "shadow" else "group")).read_text().splitlines()
        (root / "etc" / name).write_text("".join(user.split(":")[0] + column + "\n" for user in users))
        (root / "etc" / name).chmod(0o640)


def _copy(root: Path, paths: Iterable[str], *, recursive: bool) -> None:
    """Put files of the host at the same places below root."""
    names = "\0".join(path.lstrip("/") for path in paths if os.path.lexists(path)).encode()
    depth = "--recursion" if recursive else "--no-recursion"
    pack = subprocess.run(["tar", "-C", "/", depth, "--null", "-T", "-", "-c"], input=names, capture_output=True, check=True, timeout=120)
    subprocess.run(["tar", "-C", root, "--keep-directory-symlink", "-xp"], input=pack.stdout, check=True, timeout=120)


def _data_base(root: Path, packages: set[str]) -> None:
    """dpkg's status and file lists of these packages."""
    info = Path("/var/lib/dpkg/info")
    stanzas = []
    for stanza in Path("/var/lib/dpkg/status").read_text().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in stanza.splitlines() if ": " in line and not line.startswith(" "))
        if fields.get("Package") not in packages:
            continue
        stanzas.append(stanza.strip("\n") + "\n")
        for stem in (fields["Package"], f"{fields['Package']}:{fields['Architecture']}"):
            for path in info.glob(f"{stem}.*"):
                shutil.copy(path, root / "var/lib/dpkg/info" / path.name)
    (root / "var/lib/dpkg/status").write_text("\n".join(stanzas))


def _closure() -> set[str]:
    """The essential packages, WANTED, and what they depend on."""
    shown = "${Package}\t${Essential}\t${Provides}\t${Depends}, ${Pre-Depends}\n"
    text = subprocess.run(["dpkg-query", "-W", "-f", shown], capture_output=True, text=True, check=True, timeout=60).stdout
    needs: dict[str, str] = {}
    provided: dict[str, str] = {}
    todo = list(WANTED)
    for line in text.splitlines():
        package, essential, provides, depends = line.split("\t")
        needs[package] = depends
        provided |= dict.fromkeys(_names(provides), package)
        if essential == "yes":
            todo.append(package)
    missing = [package for package in WANTED if package not in needs]
    if missing:
        raise RootError(f"not installed: {' '.join(missing)}")
    found: set[str] = set()
    while todo:
        package = todo.pop()
        if package in found:
            continue
        found.add(package)
        for alternatives in needs[package].split(","):
            known = [name if name in needs else provided.get(name) for name in _names(alternatives.replace("|", ","))]
            todo += [name for name in known if name is not None][:1]
    return found


def _names(relation: str) -> list[str]:
    """Package names of a dependency field, without versions and architectures."""
    return [word.split()[0].split(":")[0] for word in relation.split(",") if word.strip()]


def local_package(directory: Path) -> Path:
    """A .deb whose scripts make a system user and give it a file."""
    tree = directory / "tree"
    (tree / "DEBIAN").mkdir(parents=True)
    (tree / "usr/share/pylibos-sample").mkdir(parents=True)
    (tree / "etc").mkdir()
    (tree / "DEBIAN/control").write_text(
        "Package: pylibos-sample\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@example.com>\nDepends: adduser, passwd\n"
        "Description: a sample\n"
    )
    (tree / "DEBIAN/conffiles").write_text("/etc/pylibos-sample.conf\n")
    (tree / "etc/pylibos-sample.conf").write_text("setting = 1\n")
    (tree / "usr/share/pylibos-sample/data").write_text("data\n")
    scripts = {
        "postinst": '[ "$1" != configure ] || { adduser --quiet --system --group --home /var/lib/sample sample; '
        "chown sample:sample /usr/share/pylibos-sample/data; }",
        "postrm": '[ "$1" != purge ] || deluser --quiet --system sample || true',
    }
    for name, body in scripts.items():
        (tree / "DEBIAN" / name).write_text(f"#!/bin/sh\nset -e\n{body}\n")
        (tree / "DEBIAN" / name).chmod(0o755)
    package = directory / "sample.deb"
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, package], check=True, capture_output=True, timeout=60)
    return package
