"""An executive at rest, for the commands that look at it: object name space and registry as a run finds them, without a guest or a host."""

from __future__ import annotations

TYPE_CHECKING = False  # see main
if TYPE_CHECKING:
    from pylibos.emulation.config_manager.registry import Registry
    from pylibos.emulation.object_manager.manager import ObjectManager


def idle_executive() -> tuple[ObjectManager, Registry]:
    """The object manager with its standard directories and types, and the registry with the default hive, attached to it."""
    from pylibos.emulation.config_manager.defaults import load_defaults
    from pylibos.emulation.config_manager.registry import Registry
    from pylibos.emulation.object_manager.manager import ObjectManager

    objects = ObjectManager()
    registry = Registry()
    load_defaults(registry)
    registry.attach(objects)
    return objects, registry
