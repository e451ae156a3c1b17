"""The file systems every sandbox has besides its mount plan: /dev, /proc, /sys."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pylibos.emulation.executive import Executive
    from pylibos.emulation.fs.filesystem import Plan


def standard_mounts(executive: Executive) -> list[Plan]:
    """Mounts to make after the root and before the rest of the plan."""
    return []
