"""Interception: turns real processes into events and back. Knows registers and the kernel's interfaces, not Linux semantics.

The compiled module pylibos.tracer._shim lies in this package when PyLibOS was installed, and in an environment's build directory when it
runs from a checkout (scripts/make_environment.py): the starter names that directory with ``-X pylibos_build=DIR``, which, unlike an
environment variable, nobody but the command line can set.
"""

import sys

if isinstance(_build := sys._xoptions.get("pylibos_build"), str):
    __path__.insert(0, _build)
