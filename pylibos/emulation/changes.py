"""One counter: how often a root, current directory or credential of any process has changed.

Whoever keeps answers that depend on them (fs/published.py, through the engine's table) compares the counter instead of being told:
it is bumped by the attribute writes of FsContext and Credentials themselves, so that no call can forget it. The counter is shared by
all sandboxes of a supervisor process (there is one), lives at one address for ever, and only its changes mean anything.
"""

from __future__ import annotations

from typing import Final

CONTEXT_CHANGES: Final = memoryview(bytearray(8)).cast("Q")


def context_changed() -> None:
    """Some process has another root, directory, or set of credentials than before."""
    CONTEXT_CHANGES[0] += 1
