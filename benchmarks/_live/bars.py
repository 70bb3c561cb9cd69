"""The bars that only this benchmark has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from _face import Bar

from .setup import FLOOR, OURS

if TYPE_CHECKING:
    from _face import Row


@dataclass(frozen=True)
class Within(Bar):
    """At most so much more than the floor; the median of the differences within a round."""

    more: float
    unit: str = "ms"

    def __str__(self) -> str:
        return f"<= floor + {self.more:g} {self.unit}"

    def shortfall(self, row: Row) -> str | None:
        """What is missing, in words; None when the bar holds."""
        floor = row.columns[FLOOR]
        value = row.columns[OURS].minus(floor).median
        return f"floor + {value:.1f} > {self.more:g}" if value > self.more else None


@dataclass(frozen=True)
class Lightest(Bar):
    """At most the least of the peers' figures."""

    def __str__(self) -> str:
        return "<= the lighter peer"

    def shortfall(self, row: Row) -> str | None:
        """Who has less; None when nobody has."""
        ours = row.columns[OURS].median
        less = [peer for peer in row.peers if row.columns[peer].median < ours]
        return f"more than {', '.join(less)}" if less else None
