"""Runs in turn, so that the machine's noise hits all alike, and the figures that come of them."""

from __future__ import annotations

import math
import statistics
import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from .processes import Failed

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

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

    def minus(self, other: Series) -> Series:
        """The differences, round by round."""
        pairs = zip(self.values, other.values, strict=True)
        return Series(tuple(above - below for above, below in pairs))

    def ratio(self, other: Series) -> float:
        """The median of the ratios, round by round: what slows a whole round cancels out."""
        return statistics.median(
            above / below if below else math.inf
            for above, below in zip(self.values, other.values, strict=True)
        )


def columns_of(runs: Mapping[str, Iterable[T]], figure: Callable[[T], float]) -> dict[str, Series]:
    """One figure of everybody's runs, as a row has it."""
    return {name: Series.of(map(figure, made)) for name, made in runs.items()}


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


def all_that_work(
    rounds: int,
    jobs: Mapping[str, Callable[[], T]],
    title: str,
    absent: dict[str, str],
    needed: Collection[str],
) -> dict[str, list[T]]:
    """Run all as `interleaved` does; one that fails is left out and named in `absent`.

    Args:
        rounds: How often each job is run.
        jobs: What is run.
        title: What to call it to who waits.
        absent: Who cannot be measured, and why; whoever is in it already is not run.
        needed: Without these nothing can be said, so their failure is raised.
    """

    def guarded(name: str, job: Callable[[], T]) -> T | None:
        if name in absent:
            return None
        try:
            return job()
        except Failed as error:
            if name in needed:
                raise
            note(f"{name} failed: {error}")
            absent[name] = f"failed in {title}: {error}"
            return None

    guards = {name: partial(guarded, name, job) for name, job in jobs.items()}
    runs = interleaved(rounds, guards, title)
    return {
        name: [run for run in made if run is not None]
        for name, made in runs.items()
        if name not in absent
    }


def note(text: str) -> None:
    """Tell who waits how far it is, apart from the report."""
    print(f"  {text}", file=sys.stderr, flush=True)
