"""The bars that only this benchmark has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from _face import Bar

from .setup import FLOOR, OURS

if TYPE_CHECKING:
    from _face import Row

TOLERANCE = 0.95


@dataclass(frozen=True)
class Level(Bar):
    """At least the floor's figure; within the floor's own spread, and 5 %, it counts as level.

    Attributes:
        less: Whether less is better.
    """

    less: bool = False

    def __str__(self) -> str:
        return "level with the floor"

    def shortfall(self, row: Row) -> str | None:
        """What is missing, in words; None when the bar holds."""
        ratio = row.ratio
        if ratio is None:
            return "there is no floor"
        if self._gain(ratio) >= 1 or (self._gain(ratio) >= TOLERANCE and self._in_spread(row)):
            return None
        return f"{ratio:.2f} {'> 1' if self.less else '< 1'}"

    def remark(self, row: Row) -> str | None:
        """That it is level; None when it is better."""
        ratio = row.ratio
        return "level" if ratio is not None and self._gain(ratio) < 1 else None

    def _gain(self, ratio: float) -> float:
        return 1 / ratio if self.less and ratio else ratio

    def _in_spread(self, row: Row) -> bool:
        floor, ours = row.columns[FLOOR], row.columns[OURS].median
        return floor.low <= ours <= floor.high
