"""The bars that only this benchmark has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from _face import Bar

from .setup import OURS

if TYPE_CHECKING:
    from _face import Row


@dataclass(frozen=True)
class All(Bar):
    """As many as were asked for, in every round."""

    count: int

    def __str__(self) -> str:
        return f"all {self.count}"

    def shortfall(self, row: Row) -> str | None:
        """How many are missing; None when none are."""
        least = row.columns[OURS].low
        return f"{self.count - least:g} lost" if least < self.count else None
