"""Rows of figures, the bars that they are held to, and how both look."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .runs import Series

OURS = "ours"
FLOOR = "floor"


class Bar(ABC):
    """Something that a row has to satisfy; its text is what the row shows of it."""

    @abstractmethod
    def shortfall(self, row: Row) -> str | None:
        """What is missing, in words; None when the bar holds."""

    def remark(self, row: Row) -> str | None:
        """What has to be said of a bar that holds; None when nothing has."""
        del row
        return None


@dataclass(frozen=True)
class AtMost(Bar):
    """A limit: to the ratio to the floor, or where there is no floor to the figure itself."""

    limit: float
    of: str = "floor"

    def __str__(self) -> str:
        return f"<= {self.limit:g} {self.of}"

    def shortfall(self, row: Row) -> str | None:
        """What is missing, in words; None when the bar holds."""
        value = row.ratio if row.ratio is not None else row.columns[OURS].median
        return f"{value:.2f} > {self.limit:g}" if value > self.limit else None


@dataclass(frozen=True)
class AtLeast(Bar):
    """A least ratio to the floor, where more is better."""

    limit: float

    def __str__(self) -> str:
        return f">= {self.limit:g} floor"

    def shortfall(self, row: Row) -> str | None:
        """What is missing, in words; None when the bar holds."""
        ratio = row.ratio
        if ratio is None:
            return "there is no floor"
        return f"{ratio:.2f} < {self.limit:g}" if ratio < self.limit else None


@dataclass(frozen=True)
class Ahead(Bar):
    """Less than every peer; a peer within the floor's own spread counts as level."""

    def __str__(self) -> str:
        return "ahead of peers"

    def shortfall(self, row: Row) -> str | None:
        """Who is ahead of us and not level; None when nobody is."""
        ahead = [peer for peer in self._not_behind(row) if not self._is_level(row, peer)]
        return f"behind {', '.join(ahead)}" if ahead else None

    def remark(self, row: Row) -> str | None:
        """With whom we are level; None when all are behind us."""
        level = self._not_behind(row)
        return f"level with {', '.join(level)}" if level else None

    def _not_behind(self, row: Row) -> list[str]:
        ours = row.columns[OURS].median
        return [peer for peer in row.peers if row.columns[peer].median <= ours]

    def _is_level(self, row: Row, peer: str) -> bool:
        floor = row.columns.get(FLOOR)
        return floor is not None and floor.low <= row.columns[peer].median <= floor.high


@dataclass(frozen=True)
class Fastest(Bar):
    """More than every peer."""

    def __str__(self) -> str:
        return "ahead of peers"

    def shortfall(self, row: Row) -> str | None:
        """Who is faster; None when nobody is."""
        ours = row.columns[OURS].median
        faster = [peer for peer in row.peers if row.columns[peer].median > ours]
        return f"behind {', '.join(faster)}" if faster else None


@dataclass(frozen=True)
class Row:
    """One measure of everybody; `bars` empty makes it information.

    Attributes:
        columns: The figures by who they are of: `ours`, `floor`, and the peers.
        compared: Whose ratio is shown, the first divided by the second; None shows none.
        absent: Who could not be measured, and why.
    """

    measure: str
    unit: str
    columns: dict[str, Series]
    bars: tuple[Bar, ...] = ()
    compared: tuple[str, str] | None = (OURS, FLOOR)
    absent: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def peers(self) -> list[str]:
        """Who is neither we nor the floor."""
        return [name for name in self.columns if name not in (OURS, FLOOR)]

    @property
    def ratio(self) -> float | None:
        """The first of the compared, divided by the second; None where one is missing."""
        if self.compared is None:
            return None
        above, below = (self.columns.get(name) for name in self.compared)
        return above.ratio(below) if above is not None and below is not None else None

    @property
    def shortfalls(self) -> list[str]:
        """What is missing to each bar that does not hold."""
        found = (bar.shortfall(self) for bar in self.bars)
        return [words for words in found if words is not None]

    @property
    def verdict(self) -> str:
        """`holds` and what has to be said of it, `falls short` and of what, or `information`."""
        if not self.bars:
            return "information"
        if self.shortfalls:
            return f"falls short: {'; '.join(self.shortfalls)}"
        return ", ".join(["holds", *filter(None, (bar.remark(self) for bar in self.bars))])

    def plain(self) -> dict[str, object]:
        """The row as JSON has it."""
        return {
            "measure": self.measure,
            "unit": self.unit,
            "columns": {
                name: {
                    "median": series.median,
                    "min": series.low,
                    "max": series.high,
                    "values": list(series.values),
                }
                for name, series in self.columns.items()
            },
            "absent": self.absent,
            "compared": self.compared,
            "ratio": self.ratio,
            "bars": [str(bar) for bar in self.bars],
            "verdict": self.verdict,
        }


@dataclass(frozen=True)
class Section:
    """Rows that have the same columns."""

    title: str
    rows: Sequence[Row]

    def lines(self) -> list[str]:
        """The section as a Markdown table whose columns are aligned."""
        names = list(dict.fromkeys(name for row in self.rows for name in row.columns))
        absent = dict.fromkeys(name for row in self.rows for name in row.absent)
        names += [name for name in absent if name not in names]
        head = ["measure", "unit", *names, "ratio", "bar", "verdict"]
        table = [head, *(_cells(row, names) for row in self.rows)]
        widths = [max(len(line[n]) for line in table) for n in range(len(head))]
        rule = ["-" * width for width in widths]
        aligned = ([cell.ljust(w) for cell, w in zip(line, widths, strict=True)] for line in table)
        first, *rest = (f"| {' | '.join(line)} |" for line in aligned)
        return [f"## {self.title}", "", first, f"| {' | '.join(rule)} |", *rest, ""]


def _cells(row: Row, names: Sequence[str]) -> list[str]:
    figures = [_figure(row.columns.get(name), row.absent.get(name)) for name in names]
    ratio = "-" if row.ratio is None else f"{row.ratio:.2f}"
    bars = ", ".join(str(bar) for bar in row.bars) or "none"
    return [row.measure, row.unit, *figures, ratio, bars, row.verdict]


def _figure(series: Series | None, absent: str | None) -> str:
    if series is None:
        return "-" if absent is None else "absent"
    if len(series.values) == 1:
        return _short(series.median)
    return f"{_short(series.median)} ({_short(series.low)}..{_short(series.high)})"


def _short(value: float) -> str:
    """Three figures, which is what they are worth."""
    whole = len(str(int(abs(value))))
    return f"{value:.{max(0, 3 - whole)}f}"
