"""An executive at rest, for the commands that look at it: as a run under the default policy would find it, but without a guest."""

from __future__ import annotations

import os

TYPE_CHECKING = False  # see main
if TYPE_CHECKING:
    from pylibos.emulation.config_manager.registry import Registry
    from pylibos.emulation.object_manager.manager import ObjectManager


def idle_executive() -> tuple[ObjectManager, Registry]:
    """The object manager and the registry of a new sandbox: mounts, devices and default settings are there, processes are not."""
    from pylibos.cli.policy import pin
    from pylibos.monitor.manifest import Manifest
    from pylibos.runtime.compose import build_executive
    from pylibos.runtime.config import RunConfig

    policy = pin(Manifest())
    mask = os.umask(0o022)
    try:
        composition = build_executive(RunConfig(argv=(), environment={}, policy=policy, cwd=policy.cwd))
        composition.close()
    finally:
        os.umask(mask)  # the host ABI's implementation sets it to 0, for good reasons of its own
    return composition.executive.objects, composition.executive.registry
