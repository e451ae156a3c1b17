"""Fixtures of the monitor's tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.monitor.hosts import KINDS, Setup, make_host


@pytest.fixture(params=KINDS)
def setup(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Setup]:
    with make_host(request.param, tmp_path) as made:
        yield made
