"""The one thing of the build that pyproject.toml cannot say: cffi compiles pylibos.tracer._shim (which embeds the guest loader)."""

from __future__ import annotations

from setuptools import setup

setup(cffi_modules=["c_shim/build_shim.py:ffibuilder"])
