"""Finds and loads the compiled shim (cffi module pylibos.tracer._shim).

Owns only the question where it lies: in the directory scripts/pylibos names, beside this file, or in the directory that
scripts/pylibos names with -X pylibos_build=DIR (a checkout may be read-only).
"""

from __future__ import annotations

import os
import sys
from _frozen_importlib import ModuleSpec  # importlib.util, which does the same, brings four modules along
from _frozen_importlib_external import ExtensionFileLoader
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType

MODULE = "pylibos.tracer._shim"
FILE = "_shim.abi3.so"


class ShimMissing(ImportError):  # noqa: N818 - says what is wrong, as the CLI prints it
    """The C parts are not compiled."""


def _load() -> ModuleType:
    named = sys._xoptions.get("pylibos_build", "")
    directories = [str(named), os.path.dirname(__file__)]
    for directory in filter(None, directories):
        path = os.path.join(directory, FILE)
        if os.path.exists(path):
            loader = ExtensionFileLoader(MODULE, path)
            spec = ModuleSpec(MODULE, loader, origin=path)
            module: ModuleType = loader.create_module(spec)
            module.__spec__ = spec
            sys.modules[MODULE] = module
            loader.exec_module(module)
            return module
    raise ShimMissing("the C parts are not compiled: run scripts/pylibos once, or python c_shim/build_shim.py --out pylibos/tracer")


_module = _load()
ffi: Any = _module.ffi
lib: Any = _module.lib


def loader_image() -> bytes:
    """The static loader's ELF file."""
    return bytes(ffi.buffer(lib.shim_loader, lib.shim_loader_size))
