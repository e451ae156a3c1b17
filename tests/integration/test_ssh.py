"""sshd and ssh as two guests of one sandbox: keys, privilege separation, commands, copies, a terminal; sshd run by root and by a user."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.harness.comparison import NOBODY, Case
from tests.harness.plugin import Comparer

pytestmark = pytest.mark.skipif(shutil.which("sshd", path="/usr/sbin:/usr/bin") is None, reason="openssh-server is not installed")

SERVER = r"""
set -e; umask 022; D=/tmp/ssh; mkdir -p $D; cd $D
ssh-keygen -q -t ed25519 -N '' -f host; ssh-keygen -q -t ed25519 -N '' -f id
cat >server <<E
Port 2222
ListenAddress 127.0.0.1
HostKey $D/host
AuthorizedKeysFile $D/id.pub
PidFile none
UsePAM no
StrictModes no
Subsystem sftp internal-sftp
E
cat >client <<E
Host there
HostName 127.0.0.1
Port 2222
User $LOGIN
IdentityFile $D/id
BatchMode yes
StrictHostKeyChecking accept-new
UserKnownHostsFile $D/known
LogLevel ERROR
E
/usr/sbin/sshd -D -e -f server 2>log & server=$!
trap 'kill $server' EXIT
n=0; until grep -q listening log || [ $n = 100 ]; do sleep 0.1; n=$((n+1)); done; grep -q listening log || { cat log; exit 9; }
"""
SESSION = r"""
set +e
ssh -F client there 'echo "$USER $(id -u) $(pwd)"; cat; exit 3' <<E
through standard input
E
echo "status $?"
head -c 2000000 /dev/urandom >big; scp -q -F client big there:/tmp/copy && cmp big /tmp/copy && echo copied
stat -c %U /tmp/copy
ssh -F client there 'head -c 3000000 /dev/zero' | wc -c
ssh -F client there 'kill -9 $$'; echo "status $?"
ssh -F client -tt there 'test -t 0 && stty size && tty' </dev/null | tr -d '\r' | sed 's,pts/[0-9]*$,pts/N,'
sed 's,/id$,/host,' client >wrong; ssh -F wrong there true 2>&1 | sed 's/ *(.*//'
"""
SESSION_OUTPUT = (
    "ada 1234 {home}\nthrough standard input\nstatus 3\ncopied\nada\n3000000\nstatus 255\n0 0\n/dev/pts/N\n"
    "ada@127.0.0.1: Permission denied\n"
)
ACCOUNTS = "root:x:0:0:root:/root:/bin/sh\nsshd:x:101:65534::/run/sshd:/usr/sbin/nologin\nada:x:1234:1234::/tmp:/bin/bash\n"


def check(comparer: Comparer, inside: str, script: str, output: str, flags: tuple[str, ...], user: int | None = None) -> None:
    case = Case(argv=("/bin/bash", "-c", script), flags=("--net", "loopback", *flags), user=user, timeout=60)
    outcome = comparer.inside(case, inside)
    assert outcome.completed.status == 0, outcome.completed.describe()
    assert outcome.stdout.decode() == output, outcome.completed.describe()
    assert not outcome.completed.leaked


@pytest.mark.guest
@pytest.mark.parametrize("user", [None, NOBODY], ids=["caller", "nobody"])
def test_sshd_of_root_lets_a_user_in(comparer: Comparer, inside: str, user: int | None) -> None:
    """Privilege separation: a server of root's, a chroot for the part before authentication, and the user's own processes after it."""
    if inside == "ptrace" and user is not None:
        pytest.skip("the caller's run covers this engine")
    prepare = "LOGIN=ada; mkdir -p -m 755 /run/sshd; : >/etc/shadow; useradd -u 1234 -m -p '*' ada 2>/dev/null; "
    output = SESSION_OUTPUT.format(home="/home/ada")
    check(comparer, inside, prepare + SERVER + SESSION, output, ("--as-root",), user)


@pytest.mark.guest
def test_sshd_of_an_ordinary_user(comparer: Comparer, inside: str, tmp_path: Path) -> None:
    if inside == "ptrace":
        pytest.skip("the other test covers this engine")
    tmp_path.chmod(0o755)
    (tmp_path / "passwd").write_text(ACCOUNTS)
    output = SESSION_OUTPUT.format(home="/tmp")
    flags = ("--uid", "1234", "--gid", "1234", "-v", f"{tmp_path}/passwd:/etc/passwd:ro")
    check(comparer, inside, "LOGIN=ada; " + SERVER + SESSION, output, flags)
