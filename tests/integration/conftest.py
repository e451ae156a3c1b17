"""Around all tests of this directory: a scan of what the host shows to guests, taken before the first one."""

from __future__ import annotations

import pytest

from tests.harness.host_trees import ROOTS, HostBefore, package_stamp, scan


@pytest.fixture(scope="session")
def host_before(request: pytest.FixtureRequest) -> HostBefore | None:
    """None with --host-check off."""
    wanted = str(request.config.getoption("--host-check"))
    if wanted == "off":
        return None
    contents = wanted == "contents"
    return HostBefore(contents, scan(ROOTS, contents=contents), package_stamp())


@pytest.fixture(autouse=True)
def _host_is_watched(host_before: HostBefore | None) -> None:
    if host_before is not None:
        host_before.tests += 1
