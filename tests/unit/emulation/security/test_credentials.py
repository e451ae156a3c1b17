"""Set*id rules of credentials, checked against the tables of setuid(2), setresuid(2) and capabilities(7)."""

from __future__ import annotations

import pytest

from pylibos.abi.errno import Errno
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.security.capabilities import FS_SET, FULL_SET, Capability, SecureBits
from pylibos.emulation.security.credentials import UNCHANGED, Credentials
from pylibos.emulation.security.token import Token


def uids(c: Credentials) -> tuple[int, int, int, int]:
    return c.ruid, c.euid, c.suid, c.fsuid


def gids(c: Credentials) -> tuple[int, int, int, int]:
    return c.rgid, c.egid, c.sgid, c.fsgid


def test_root_has_every_capability_and_a_user_none() -> None:
    assert Credentials(0, 0).effective == FULL_SET
    user = Credentials(1000, 100)
    assert (user.effective, user.permitted) == (0, 0)
    assert not user.has_capability(Capability.CHOWN)
    assert Credentials(0, 0).has_capability(Capability.CHECKPOINT_RESTORE)


def test_root_setuid_sets_all_and_drops_capabilities() -> None:
    c = Credentials(0, 0)
    c.setuid(7)
    assert uids(c) == (7, 7, 7, 7)
    assert (c.effective, c.permitted) == (0, 0)
    with pytest.raises(SyscallError) as caught:
        c.setuid(0)
    assert caught.value.errno is Errno.EPERM


def test_keep_capabilities_keeps_permitted_only() -> None:
    c = Credentials(0, 0)
    c.set_keep_capabilities(True)
    c.setresuid(7, 7, 7)
    assert (c.permitted, c.effective) == (FULL_SET, 0)


def test_temporary_drop_and_return() -> None:
    c = Credentials(0, 0)
    c.setresuid(UNCHANGED, 7, UNCHANGED)
    assert uids(c) == (0, 7, 0, 7)
    assert (c.permitted, c.effective) == (FULL_SET, 0)
    c.setuid(0)
    assert uids(c) == (0, 0, 0, 0)
    assert c.effective == FULL_SET


@pytest.mark.parametrize(
    ("start", "arguments", "expected"),
    [
        pytest.param((1, 2, 3), (2, 1), (2, 1, 1, 1), id="swap"),
        pytest.param((1, 2, 3), (UNCHANGED, 1), (1, 1, 3, 1), id="effective-to-real-keeps-saved"),
        pytest.param((1, 2, 3), (UNCHANGED, 3), (1, 3, 3, 3), id="effective-to-saved"),
        pytest.param((1, 2, 3), (UNCHANGED, UNCHANGED), (1, 2, 3, 2), id="nothing"),
        pytest.param((1, 2, 3), (3, UNCHANGED), None, id="real-to-saved-refused"),
        pytest.param((1, 2, 3), (UNCHANGED, 9), None, id="foreign-refused"),
    ],
)
def test_setreuid(start: tuple[int, int, int], arguments: tuple[int, int], expected: tuple[int, ...] | None) -> None:
    c, g = Credentials(1, 1), Credentials(1, 1)
    c.ruid, c.euid, c.suid = start
    g.rgid, g.egid, g.sgid = start
    if expected is None:
        with pytest.raises(SyscallError):
            c.setreuid(*arguments)
        with pytest.raises(SyscallError):
            g.setregid(*arguments)
        assert (c.ruid, c.euid, c.suid) == start
        assert (g.rgid, g.egid, g.sgid) == start
    else:
        c.setreuid(*arguments)
        g.setregid(*arguments)
        assert uids(c) == expected
        assert gids(g) == expected


def test_setresuid_is_all_or_nothing() -> None:
    c = Credentials(1, 1)
    c.suid = 3
    with pytest.raises(SyscallError):
        c.setresuid(3, 3, 9)
    assert uids(c) == (1, 1, 3, 1)
    c.setresuid(3, UNCHANGED, 1)
    assert uids(c) == (3, 1, 1, 1)


def test_setfsuid_returns_the_old_value_and_moves_file_capabilities() -> None:
    c = Credentials(0, 0)
    assert c.setfsuid(5) == 0
    assert c.effective == FULL_SET & ~FS_SET
    assert c.setfsuid(0) == 5
    assert c.effective == FULL_SET
    user = Credentials(5, 5)
    assert user.setfsuid(6) == 5
    assert user.fsuid == 5


def test_minus_one_is_invalid() -> None:
    for call in (Credentials(0, 0).setuid, Credentials(0, 0).setgid):
        with pytest.raises(SyscallError) as caught:
            call(UNCHANGED)
        assert caught.value.errno is Errno.EINVAL


def test_groups() -> None:
    c = Credentials(0, 0)
    c.setgroups((9, 4))
    assert c.groups == (4, 9)
    assert c.in_group(9)
    assert c.in_group(0)
    assert not c.in_group(5)
    c.setuid(1)
    with pytest.raises(SyscallError):
        c.setgroups(())


def test_capset_rules() -> None:
    c = Credentials(0, 0)
    chown = 1 << Capability.CHOWN
    c.set_capabilities(chown, chown, chown)
    assert c.effective == chown
    c.raise_ambient(Capability.CHOWN)
    with pytest.raises(SyscallError):
        c.set_capabilities(FULL_SET, FULL_SET, 0)
    c.set_capabilities(0, chown, 0)
    assert c.ambient == 0
    with pytest.raises(SyscallError):
        c.raise_ambient(Capability.CHOWN)


def test_securebits_locks() -> None:
    c = Credentials(0, 0)
    c.set_securebits(SecureBits.KEEP_CAPS_LOCKED)
    with pytest.raises(SyscallError):
        c.set_keep_capabilities(True)
    with pytest.raises(SyscallError):
        c.set_securebits(0)


def test_exec_of_set_uid_root() -> None:
    user = Credentials(5, 5)
    root = user.for_exec(set_uid=0)
    assert uids(root) == (5, 0, 0, 0)
    assert root.effective == FULL_SET
    user.no_new_privs = True
    assert user.for_exec(set_uid=0).effective == 0
    assert uids(user.for_exec(set_uid=0)) == (5, 5, 5, 5)


def test_exec_keeps_ambient_and_root_regains() -> None:
    user = Credentials(5, 5)
    user.permitted = user.inheritable = 3
    user.raise_ambient(1)
    assert user.for_exec().effective == 2
    assert user.for_exec(set_gid=8).effective == 0
    root = Credentials(0, 0)
    root.set_capabilities(0, 0, 0)
    assert root.for_exec().effective == FULL_SET


def test_copy_is_independent() -> None:
    c = Credentials(0, 0)
    d = c.copy()
    assert c == d
    d.setuid(4)
    assert c != d
    assert c.ruid == 0


def test_token_speaks_nt() -> None:
    token = Token(Credentials(0, 7, (7, 8)))
    assert token.user == "S-1-22-1-0"
    assert token.groups == ("S-1-22-2-7", "S-1-22-2-8")
    assert ("SeDebugPrivilege", True) in token.privileges()
    assert Token(Credentials(5, 5)).privileges() == ()
