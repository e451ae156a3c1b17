"""What every test shares: where the checkout is, the fixtures that run guests, and hypothesis without a database on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import settings

pytest_plugins = ["tests.harness.plugin"]

ROOT = Path(__file__).resolve().parents[1]

# The checkout may be read-only (CI runs the tests as an ordinary user too), and an example database would have to be written into it.
settings.register_profile("pylibos", database=None, deadline=None)
settings.load_profile("pylibos")


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of the source tree."""
    return ROOT
