"""Who owns a host file, as the guest sees it.

An ordinary user who is root inside owns what root would own: a tree unpacked by that user (a root directory, a project) then looks as it
was packed. So one host user and group may stand for the guest's 0 and the other way round; every other id is told as it is. When the
supervisor is root, or the guest is who the invoker is, there is nothing to exchange. Owns the two numbers; pure functions of them.
"""

from __future__ import annotations

from typing import Final

ROOT: Final = 0


class Owners:
    """The host ids that stand for root inside; None: none does."""

    __slots__ = ("group", "user")

    def __init__(self, user: int | None = None, group: int | None = None) -> None:
        self.user = user
        self.group = group

    def inside(self, uid: int, gid: int) -> tuple[int, int]:
        """What a guest is told of the owner and group of a host file."""
        return ROOT if uid == self.user else uid, ROOT if gid == self.group else gid

    def outside(self, uid: int | None, gid: int | None) -> tuple[int | None, int | None]:
        """The host ids to set for what a guest asks for; None stays None."""
        return (
            self.user if uid == ROOT and self.user is not None else uid,
            self.group if gid == ROOT and self.group is not None else gid,
        )


AS_THEY_ARE: Final = Owners()
