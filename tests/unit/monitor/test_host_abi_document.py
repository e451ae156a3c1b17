"""docs/host-abi.md, the Protocol and both implementations have exactly the same calls."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from pylibos.monitor.fake_host import FakeHost
from pylibos.monitor.host_abi import HostABI
from pylibos.monitor.linux_host import LinuxHost

LIMIT = 48


def calls(kind: type) -> dict[str, list[str]]:
    """Public methods by name, with their parameters' names."""
    found = inspect.getmembers(kind, callable)
    return {name: list(inspect.signature(method).parameters) for name, method in found if not name.startswith("_")}


def test_the_interface_is_small() -> None:
    assert 40 < len(calls(HostABI)) <= LIMIT


@pytest.mark.parametrize("kind", [LinuxHost, FakeHost])
def test_implementations_have_exactly_these_calls(kind: type) -> None:
    assert calls(kind) == calls(HostABI)


def test_every_call_is_documented(checkout: Path) -> None:
    text = (checkout / "docs/host-abi.md").read_text()
    sections = re.findall(r"^### (\w+)\n`\(([^`]*?)\)", text, re.MULTILINE)
    documented = {name: [part.split("=")[0].strip() for part in parameters.split(",") if part.strip()] for name, parameters in sections}
    expected = {name: parameters[1:] for name, parameters in calls(HostABI).items()}
    assert documented == expected


def test_every_call_says_its_errors(checkout: Path) -> None:
    text = (checkout / "docs/host-abi.md").read_text()
    for section in re.split(r"^### ", text, flags=re.MULTILINE)[1:]:
        assert re.search(r"\bE[A-Z0-9]{3,}\b|EBADF", section), section.splitlines()[0]
