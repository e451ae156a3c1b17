"""Modules of the standard library that most runs never touch: imported when something of them is first used.

``re`` costs 3 ms, and without a policy file there is nothing to match. Used as ``if TYPE_CHECKING: import re`` / ``else: re = Late("re")``.
"""

from __future__ import annotations

import sys


class Late:
    """Stands for a module until an attribute is asked for; after that it is as fast as the module."""

    def __init__(self, name: str) -> None:
        self._late_name = name

    def __getattr__(self, attribute: str) -> object:
        name = self._late_name
        __import__(name)
        value: object = getattr(sys.modules[name], attribute)
        self.__dict__[attribute] = value
        return value
