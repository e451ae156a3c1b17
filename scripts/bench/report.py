"""Results, their verdicts and the table.

A Row holds every figure of every way; medians and ratios are computed from it, never stored beside it, so that a saved file
cannot disagree with itself. Times are nanoseconds for operations and seconds for programs (`unit`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median

from scripts.bench.ways import NATIVE, PROOT
from scripts.bench.workloads import Target

FORWARDED_LIMIT = 1.3
EXEC_LIMIT = 2.5
STARTUP_LIMIT_S = 0.150
SUPERVISOR_LIMIT_KIB = 45 * 1024


@dataclass(slots=True)
class Row:
    """One measured thing: figures[way] is one figure per round, errors[way] the first failure's text."""

    name: str
    unit: str
    target: Target
    figures: dict[str, list[float]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)

    def value(self, way: str) -> float | None:
        """The median figure, or None when the way failed or was not run."""
        taken = self.figures.get(way)
        return median(taken) if taken and way not in self.errors else None

    def ratio(self, way: str, base: str) -> float | None:
        """The way's median over the base's."""
        mine, other = self.value(way), self.value(base)
        return mine / other if mine is not None and other else None

    def verdict(self, way: str) -> str:
        """ "met", "missed" or "" when there is nothing to judge; a failed way has missed."""
        if way in self.errors:
            return "missed"
        value = self.value(way)
        if value is None or self.target is Target.NONE:
            return ""
        limit = {Target.FORWARDED: FORWARDED_LIMIT, Target.EXEC: EXEC_LIMIT, Target.EMULATED: 1.0, Target.STARTUP: 0.0}[self.target]
        if self.target is Target.STARTUP:
            return "met" if value <= STARTUP_LIMIT_S else "missed"
        against = self.ratio(way, PROOT if self.target is Target.EMULATED else NATIVE)
        if against is None:
            return ""
        return "met" if against <= limit else "missed"

    def to_json(self) -> dict[str, object]:
        """The row as it is saved."""
        return {
            "name": self.name,
            "unit": self.unit,
            "target": self.target.value,
            "figures": self.figures,
            "errors": self.errors,
            "medians": {way: self.value(way) for way in self.figures},
        }


def show_time(value: float | None, unit: str) -> str:
    """A time with three significant digits: ns, us, ms or s."""
    if value is None:
        return "-"
    nanoseconds = value if unit == "ns" else value * 1e9
    for scale, name in ((1e9, "s"), (1e6, "ms"), (1e3, "us")):
        if nanoseconds >= scale:
            return f"{nanoseconds / scale:.3g} {name}" if nanoseconds / scale < 1000 else f"{nanoseconds / scale:.0f} {name}"
    return f"{nanoseconds:.0f} ns"


def _cell(row: Row, way: str) -> str:
    if way in row.errors:
        return "failed"
    return show_time(row.value(way), row.unit)


def _show_ratio(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2f}" if value < 100 else f"{value:.0f}"


def table(rows: list[Row], ways: list[str], *, markdown: bool) -> str:
    """The rows as text: each way's median, each other way's ratio to native, PyLibOS's to PRoot, the target and its verdict."""
    ours = [way for way in ways if way.startswith("pylibos")]
    compared = [way for way in ways if way != NATIVE]
    head = ["row", *ways, *(f"{way}/native" for way in compared), *(f"{way}/proot" for way in ours if PROOT in ways), "target", *ours[:1]]
    lines: list[list[str]] = []
    for row in rows:
        line = [row.name, *(_cell(row, way) for way in ways), *(_show_ratio(row.ratio(way, NATIVE)) for way in compared)]
        line += [_show_ratio(row.ratio(way, PROOT)) for way in ours if PROOT in ways]
        lines.append([*line, row.target.value, *(row.verdict(way) for way in ours[:1])])
    widths = [max(len(line[column]) for line in [head, *lines]) for column in range(len(head))]
    if markdown:
        body = [head, ["---", *("---:" for _ in head[1:])], *lines]
        return "\n".join("| " + " | ".join(line) + " |" for line in body)
    rule = ["-" * width for width in widths]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in [head, rule, *lines]
    )
