"""Runs in turn, so that the machine's noise hits all alike, and the figures that come of them."""

from __future__ import annotations

import math
import statistics
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

T = TypeVar("T")


@dataclass(frozen=True)
class Series:
    """One figure, run by run; the n-th values of two series come from the same round."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float]) -> Series:
        """A series of what an iterable gives."""
        return cls(tuple(values))

    @property
    def median(self) -> float:
        """The figure that is reported."""
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        """The least of the runs."""
        return min(self.values)

    @property
    def high(self) -> float:
        """The most of the runs."""
        return max(self.values)

    def ratio(self, other: Series) -> float:
        """The median of the ratios, round by round: what slows a whole round cancels out."""
        return statistics.median(
            above / below if below else math.inf
            for above, below in zip(self.values, other.values, strict=True)
        )


def interleaved(rounds: int, jobs: Mapping[str, Callable[[], T]], title: str) -> dict[str, list[T]]:
    """Run each job once a round, beginning with another one each round."""
    results: dict[str, list[T]] = {name: [] for name in jobs}
    names = list(jobs)
    for number in range(rounds):
        note(f"{title}, {number + 1} of {rounds}")
        shift = number % len(names)
        for name in names[shift:] + names[:shift]:
            results[name].append(jobs[name]())
    return results


def note(text: str) -> None:
    """Tell who waits how far it is, apart from the report."""
    print(f"  {text}", file=sys.stderr, flush=True)
