"""The NT view of a guest's credentials: an access token (Se) with user, groups and privileges by name.

Owns nothing: it reads a Credentials value when asked, so the object name space and `pylibos objects` can show security in the
executive's own vocabulary. SIDs are those Samba gives Unix ids (S-1-22-1-UID, S-1-22-2-GID). Must not decide access.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pylibos.emulation.security.capabilities import Capability

if TYPE_CHECKING:
    from pylibos.emulation.security.credentials import Credentials

PRIVILEGES: Final = {
    "SeTakeOwnershipPrivilege": Capability.CHOWN,
    "SeBackupPrivilege": Capability.DAC_READ_SEARCH,
    "SeRestorePrivilege": Capability.DAC_OVERRIDE,
    "SeAssignPrimaryTokenPrivilege": Capability.SETUID,
    "SeLockMemoryPrivilege": Capability.IPC_LOCK,
    "SeLoadDriverPrivilege": Capability.SYS_MODULE,
    "SeDebugPrivilege": Capability.SYS_PTRACE,
    "SeTcbPrivilege": Capability.SYS_ADMIN,
    "SeShutdownPrivilege": Capability.SYS_BOOT,
    "SeIncreaseBasePriorityPrivilege": Capability.SYS_NICE,
    "SeIncreaseQuotaPrivilege": Capability.SYS_RESOURCE,
    "SeSystemtimePrivilege": Capability.SYS_TIME,
    "SeAuditPrivilege": Capability.AUDIT_WRITE,
    "SeSecurityPrivilege": Capability.AUDIT_CONTROL,
}
"""NT privilege name -> the Linux capability that means the same."""


class Token:
    """A read-only token over credentials; follows their changes."""

    __slots__ = ("credentials",)

    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials

    @property
    def user(self) -> str:
        """SID of the effective user."""
        return f"S-1-22-1-{self.credentials.euid}"

    @property
    def groups(self) -> tuple[str, ...]:
        """SIDs of the effective group and the supplementary groups, without repeats."""
        ids = dict.fromkeys((self.credentials.egid, *self.credentials.groups))
        return tuple(f"S-1-22-2-{gid}" for gid in ids)

    def privileges(self) -> tuple[tuple[str, bool], ...]:
        """(name, enabled) of each privilege held: held = capability permitted, enabled = effective."""
        permitted, effective = self.credentials.permitted, self.credentials.effective
        return tuple(
            (name, bool(effective >> capability & 1)) for name, capability in PRIVILEGES.items() if permitted >> capability & 1
        )
