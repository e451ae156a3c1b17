"""Credentials of a guest process (Linux ``struct cred``; NT's access token is a view of it, see token.py).

Owns user and group ids, supplementary groups, capability sets, securebits and no_new_privs, and the rules by which Linux lets
them change. Every check is made inside the guest's own view: guest uid 0 has all capabilities here and none on the host.
Must not know files, processes or the host. Ids are 32-bit unsigned; UNCHANGED (-1 as the guest passes it) means "leave".

Invariants: effective is a subset of permitted; ambient is a subset of permitted & inheritable. A value is owned by one process;
fork copies it (copy()). Attributes are read freely and written only by the methods here; every write is counted (changes.py).

Sources: Linux 6.18 kernel/sys.c (setuid family), security/commoncap.c (cap_emulate_setxuid, cap_task_fix_setuid, cap_capset,
cap_bprm_creds_from_file, cap_task_prctl), kernel/groups.c; capabilities(7), credentials(7).
"""

from __future__ import annotations

from typing import Final, Self

from pylibos.abi.errno import Errno
from pylibos.emulation.changes import context_changed
from pylibos.emulation.errors import SyscallError
from pylibos.emulation.security.capabilities import (
    FS_SET,
    FULL_SET,
    LAST_CAPABILITY,
    SECURE_ALL_BITS,
    SECURE_ALL_LOCKS,
    Capability,
    SecureBits,
)

UNCHANGED: Final = 0xFFFFFFFF
"""(uid_t)-1: "do not change" in setre*id and setres*id, invalid elsewhere."""

GROUPS_MAX: Final = 65536
"""NGROUPS_MAX of Linux."""

_SETUID: Final = 1 << Capability.SETUID
_SETGID: Final = 1 << Capability.SETGID
_SETPCAP: Final = 1 << Capability.SETPCAP


class Credentials:
    """Ids, groups and capability sets. ``uid`` and ``gid`` are aliases of the real ids."""

    __slots__ = (
        "_group_set",
        "ambient",
        "bounding",
        "effective",
        "egid",
        "euid",
        "fsgid",
        "fsuid",
        "groups",
        "inheritable",
        "no_new_privs",
        "permitted",
        "rgid",
        "ruid",
        "securebits",
        "sgid",
        "suid",
    )

    def __init__(self, uid: int, gid: int, groups: tuple[int, ...] = ()) -> None:
        """All user ids uid, all group ids gid. uid 0 starts with every capability, others with none."""
        self.ruid = self.euid = self.suid = self.fsuid = uid
        self.rgid = self.egid = self.sgid = self.fsgid = gid
        self.groups: tuple[int, ...] = groups
        self._group_set = frozenset(groups)
        self.permitted = self.effective = FULL_SET if uid == 0 else 0
        self.inheritable = 0
        self.bounding = FULL_SET
        self.ambient = 0
        self.securebits = 0
        self.no_new_privs = False

    @property
    def uid(self) -> int:
        """The real user id."""
        return self.ruid

    @property
    def gid(self) -> int:
        """The real group id."""
        return self.rgid

    @property
    def elevated(self) -> bool:
        """Whether a program that starts with these must not trust its environment (AT_SECURE), nor be looked into by its caller."""
        return self.euid != self.ruid or self.egid != self.rgid

    def copy(self) -> Self:
        """An independent equal value (fork, or the token a privileged change is prepared on)."""
        new = object.__new__(type(self))
        write = object.__setattr__  # nobody has the new value yet: nothing has changed
        for name in Credentials.__slots__:
            write(new, name, getattr(self, name))
        return new

    def __setattr__(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)
        context_changed()

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Credentials):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in Credentials.__slots__)

    __hash__ = None  # type: ignore[assignment]  # mutable

    @property
    def acts_as_real(self) -> bool:
        """Whether files are looked for with the real ids anyway (Linux fs/open.c:access_need_override_creds)."""
        return self.fsuid == self.ruid and self.fsgid == self.rgid and self.effective == (self.permitted if self.ruid == 0 else 0)

    def by_real_ids(self) -> Self:
        """What access(2) looks with: the real ids, and no capabilities unless the real user is root."""
        new = self.copy()
        new.fsuid, new.fsgid = self.ruid, self.rgid
        new.effective = self.permitted if self.ruid == 0 else 0
        return new

    def has_capability(self, number: int) -> bool:
        """Whether capability ``number`` is effective."""
        return bool(self.effective >> number & 1)

    def in_group(self, gid: int) -> bool:
        """Whether gid is the file-system group or a supplementary group (Linux in_group_p)."""
        return gid == self.fsgid or gid in self._group_set

    def in_effective_group(self, gid: int) -> bool:
        """Whether gid is the effective group or a supplementary group (Linux in_egroup_p)."""
        return gid == self.egid or gid in self._group_set

    # -- user ids ------------------------------------------------------------------------------------------------
    def setuid(self, uid: int) -> None:
        """setuid(2). Raises EINVAL for -1, EPERM when uid is neither real nor saved and CAP_SETUID is missing."""
        _valid(uid)
        if self.effective & _SETUID:
            self._change_uids(uid, uid, uid)
        elif uid in (self.ruid, self.suid):
            self._change_uids(self.ruid, uid, self.suid)
        else:
            raise SyscallError(Errno.EPERM)

    def setreuid(self, ruid: int, euid: int) -> None:
        """setreuid(2); UNCHANGED leaves a field. The saved id follows euid when the real id is set or euid leaves it."""
        if not self.effective & _SETUID:
            _allowed(ruid, (self.ruid, self.euid))
            _allowed(euid, (self.ruid, self.euid, self.suid))
        new_real = self.ruid if ruid == UNCHANGED else ruid
        new_effective = self.euid if euid == UNCHANGED else euid
        follows = ruid != UNCHANGED or (euid not in (UNCHANGED, self.ruid))
        self._change_uids(new_real, new_effective, new_effective if follows else self.suid)

    def setresuid(self, ruid: int, euid: int, suid: int) -> None:
        """setresuid(2); UNCHANGED leaves a field."""
        if not self.effective & _SETUID:
            current = (self.ruid, self.euid, self.suid)
            for uid in (ruid, euid, suid):
                _allowed(uid, current)
        self._change_uids(
            self.ruid if ruid == UNCHANGED else ruid,
            self.euid if euid == UNCHANGED else euid,
            self.suid if suid == UNCHANGED else suid,
        )

    def setfsuid(self, uid: int) -> int:
        """setfsuid(2): the old value, whether or not the change was allowed."""
        old = self.fsuid
        permitted = uid in (self.ruid, self.euid, self.suid, old) or self.effective & _SETUID
        if uid == UNCHANGED or not permitted:
            return old
        self.fsuid = uid
        if not self.securebits & SecureBits.NO_SETUID_FIXUP:
            if old == 0 and uid != 0:
                self.effective &= ~FS_SET
            elif old != 0 and uid == 0:
                self.effective |= self.permitted & FS_SET
        return old

    def _change_uids(self, ruid: int, euid: int, suid: int) -> None:
        had_root = 0 in (self.ruid, self.euid, self.suid)
        old_euid = self.euid
        self.ruid, self.euid, self.suid, self.fsuid = ruid, euid, suid, euid
        if self.securebits & SecureBits.NO_SETUID_FIXUP:
            return
        if had_root and 0 not in (ruid, euid, suid):
            if not self.securebits & SecureBits.KEEP_CAPS:
                self.permitted = self.effective = 0
            self.ambient = 0
        if old_euid == 0 and euid != 0:
            self.effective = 0
        elif old_euid != 0 and euid == 0:
            self.effective = self.permitted

    # -- group ids -----------------------------------------------------------------------------------------------
    def setgid(self, gid: int) -> None:
        """setgid(2). Raises EINVAL for -1, EPERM as setuid does."""
        _valid(gid)
        if self.effective & _SETGID:
            self.rgid = self.egid = self.sgid = self.fsgid = gid
        elif gid in (self.rgid, self.sgid):
            self.egid = self.fsgid = gid
        else:
            raise SyscallError(Errno.EPERM)

    def setregid(self, rgid: int, egid: int) -> None:
        """setregid(2); UNCHANGED leaves a field."""
        if not self.effective & _SETGID:
            _allowed(rgid, (self.rgid, self.egid))
            _allowed(egid, (self.rgid, self.egid, self.sgid))
        follows = rgid != UNCHANGED or (egid not in (UNCHANGED, self.rgid))
        if rgid != UNCHANGED:
            self.rgid = rgid
        if egid != UNCHANGED:
            self.egid = egid
        if follows:
            self.sgid = self.egid
        self.fsgid = self.egid

    def setresgid(self, rgid: int, egid: int, sgid: int) -> None:
        """setresgid(2); UNCHANGED leaves a field."""
        if not self.effective & _SETGID:
            current = (self.rgid, self.egid, self.sgid)
            for gid in (rgid, egid, sgid):
                _allowed(gid, current)
        if rgid != UNCHANGED:
            self.rgid = rgid
        if egid != UNCHANGED:
            self.egid = egid
        if sgid != UNCHANGED:
            self.sgid = sgid
        self.fsgid = self.egid

    def setfsgid(self, gid: int) -> int:
        """setfsgid(2): the old value, whether or not the change was allowed."""
        old = self.fsgid
        if gid != UNCHANGED and (gid in (self.rgid, self.egid, self.sgid, old) or self.effective & _SETGID):
            self.fsgid = gid
        return old

    def setgroups(self, groups: tuple[int, ...]) -> None:
        """setgroups(2). Raises EPERM without CAP_SETGID, EINVAL for too many or an invalid id."""
        if not self.effective & _SETGID:
            raise SyscallError(Errno.EPERM)
        if len(groups) > GROUPS_MAX or UNCHANGED in groups:
            raise SyscallError(Errno.EINVAL)
        self.groups = tuple(sorted(groups))
        self._group_set = frozenset(groups)

    # -- capabilities --------------------------------------------------------------------------------------------
    def set_capabilities(self, effective: int, permitted: int, inheritable: int) -> None:
        """capset(2) of oneself. Unknown bits are dropped; EPERM when a set may not be raised like that."""
        effective, permitted, inheritable = effective & FULL_SET, permitted & FULL_SET, inheritable & FULL_SET
        may_inherit = self.inheritable | self.permitted
        if self.effective & _SETPCAP:
            may_inherit = FULL_SET
        if (
            inheritable & ~may_inherit
            or inheritable & ~(self.inheritable | self.bounding)
            or permitted & ~self.permitted
            or effective & ~permitted
        ):
            raise SyscallError(Errno.EPERM)
        self.effective, self.permitted, self.inheritable = effective, permitted, inheritable
        self.ambient &= permitted & inheritable

    def drop_bounding(self, number: int) -> None:
        """prctl(PR_CAPBSET_DROP). Raises EPERM without CAP_SETPCAP, EINVAL for an unknown number."""
        if not self.effective & _SETPCAP:
            raise SyscallError(Errno.EPERM)
        self.bounding &= ~_bit(number)

    def raise_ambient(self, number: int) -> None:
        """prctl(PR_CAP_AMBIENT_RAISE). Raises EPERM unless permitted and inheritable (or locked by securebits)."""
        bit = _bit(number)
        if not self.permitted & self.inheritable & bit or self.securebits & SecureBits.NO_CAP_AMBIENT_RAISE:
            raise SyscallError(Errno.EPERM)
        self.ambient |= bit

    def lower_ambient(self, number: int) -> None:
        """prctl(PR_CAP_AMBIENT_LOWER)."""
        self.ambient &= ~_bit(number)

    def clear_ambient(self) -> None:
        """prctl(PR_CAP_AMBIENT_CLEAR_ALL)."""
        self.ambient = 0

    def set_securebits(self, bits: int) -> None:
        """prctl(PR_SET_SECUREBITS). Raises EPERM: unknown bits, locked bits changed, locks opened, CAP_SETPCAP missing."""
        old = self.securebits
        changed_locked = (old & SECURE_ALL_LOCKS) >> 1 & (old ^ bits)
        unlocked = old & SECURE_ALL_LOCKS & ~bits
        unknown = bits & ~(SECURE_ALL_BITS | SECURE_ALL_LOCKS)
        if changed_locked or unlocked or unknown or not self.effective & _SETPCAP:
            raise SyscallError(Errno.EPERM)
        self.securebits = bits

    def set_keep_capabilities(self, keep: bool) -> None:
        """prctl(PR_SET_KEEPCAPS). Raises EPERM when the bit is locked."""
        if self.securebits & SecureBits.KEEP_CAPS_LOCKED:
            raise SyscallError(Errno.EPERM)
        self.securebits = (self.securebits & ~SecureBits.KEEP_CAPS) | (SecureBits.KEEP_CAPS if keep else 0)

    # -- execve --------------------------------------------------------------------------------------------------
    def for_exec(self, set_uid: int | None = None, set_gid: int | None = None) -> Self:
        """The credentials of the program after execve of a file that is set-user-id to set_uid and/or set-group-id to set_gid.

        no_new_privs makes both no-ops. File capabilities are not honoured (no file of the view carries them).
        """
        new = self.copy()
        gained = False
        if not self.no_new_privs:
            gained = (set_uid is not None and set_uid != self.euid) or (set_gid is not None and set_gid != self.egid)
            new.euid = self.euid if set_uid is None else set_uid
            new.egid = self.egid if set_gid is None else set_gid
        new.suid = new.fsuid = new.euid
        new.sgid = new.fsgid = new.egid
        if gained:
            new.ambient = 0
        new.permitted = new.ambient
        new.effective = new.ambient
        if not self.securebits & SecureBits.NOROOT and 0 in (new.ruid, new.euid):
            new.permitted = self.bounding | self.inheritable
            new.effective = new.permitted if new.euid == 0 else new.ambient
        new.securebits &= ~SecureBits.KEEP_CAPS
        return new


def _valid(value: int) -> None:
    if value == UNCHANGED or not 0 <= value < UNCHANGED:
        raise SyscallError(Errno.EINVAL)


def _allowed(value: int, current: tuple[int, ...]) -> None:
    if value != UNCHANGED and value not in current:
        raise SyscallError(Errno.EPERM)


def _bit(number: int) -> int:
    if not 0 <= number <= LAST_CAPABILITY:
        raise SyscallError(Errno.EINVAL)
    return 1 << number
