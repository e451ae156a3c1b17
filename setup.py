"""The part of the build that pyproject.toml cannot say: the C parts.

cffi compiles pylibos.tracer._shim (c_shim/build_shim.py:ffibuilder); the loader ELF is not a Python extension, so it is compiled by the
same script's build_loader() and put beside it in the package. Everything else stands in pyproject.toml.
"""

from __future__ import annotations

import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent


class BuildExtensionAndLoader(build_ext):  # type: ignore[misc]  # setuptools is untyped
    """build_ext, then the static loader into the same package directory."""

    def run(self) -> None:
        """Compile the extension modules, then the loader."""
        super().run()
        sys.path.insert(0, str(ROOT / "c_shim"))
        from build_shim import build_loader

        package = ROOT if self.inplace else Path(self.build_lib)
        build_loader(package / "pylibos" / "tracer")


setup(cffi_modules=["c_shim/build_shim.py:ffibuilder"], cmdclass={"build_ext": BuildExtensionAndLoader})
