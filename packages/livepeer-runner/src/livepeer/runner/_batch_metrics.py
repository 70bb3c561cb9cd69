"""What a batch runner counts, so that it can be scraped; no metrics library here."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

SECONDS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Upper bounds of the buckets of a request's time."""


class Load(NamedTuple):
    """What a runner does at one moment."""

    running: int
    """Calls, or streams, that run."""
    waiting: int
    """Calls that wait for a slot."""
    slots: int
    """How many may run at a time."""


@dataclass(frozen=True, slots=True)
class Served:
    """What was counted since the beginning.

    Attributes:
        requests: How many were answered, by route and status.
        counts: How many took how long, by route: one for each bucket of `SECONDS`, and last those
            beyond. Requests that were refused before any work are not in it.
        sums_s: The sums of those times in seconds, by route.
        out_of_memory: Calls that a GPU's memory did not suffice for.
    """

    requests: Mapping[tuple[str, int], int]
    counts: Mapping[str, list[int]]
    sums_s: Mapping[str, float]
    out_of_memory: int


class BatchMetrics:
    """Counts requests that have ended. All methods are for the server's loop.

    The routes must be those of the application, never the paths that a caller chose: each makes
    series of its own.
    """

    def __init__(self) -> None:
        self._requests: Counter[tuple[str, int]] = Counter()
        self._counts: dict[str, list[int]] = {}
        self._sums_s: dict[str, float] = {}
        self._out_of_memory = 0

    def refused(self, route: str, status: int) -> None:
        """A request was answered before any work was done for it."""
        self._requests[route, status] += 1

    def ended(self, route: str, status: int, seconds: float) -> None:
        """A request was worked on, and its answer has ended.

        Args:
            route: Which of the application's routes.
            status: Of the answer; 499 where its caller left before there was one.
            seconds: From its first byte to the last of its answer.
        """
        self._requests[route, status] += 1
        counts = self._counts.get(route)
        if counts is None:
            counts = self._counts[route] = [0] * (len(SECONDS) + 1)
            self._sums_s[route] = 0.0
        counts[bisect_left(SECONDS, seconds)] += 1
        self._sums_s[route] += seconds

    def ran_out(self) -> None:
        """A GPU's memory did not suffice for a call."""
        self._out_of_memory += 1

    def read(self) -> Served:
        """All of it as it is now."""
        return Served(
            requests=dict(self._requests),
            counts={route: list(counts) for route, counts in self._counts.items()},
            sums_s=dict(self._sums_s),
            out_of_memory=self._out_of_memory,
        )
