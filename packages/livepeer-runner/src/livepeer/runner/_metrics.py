"""What live sessions count, summed up so that it can be scraped; no metrics library here."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, get_args

if TYPE_CHECKING:
    from collections.abc import Mapping

BOUNDS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.033, 0.05, 0.1, 0.2, 0.4, 1.0, 2.5)
"""Upper bounds of the buckets; 0.033 s is what a picture may take at 30 a second."""

RECENT = 512
"""How many of the last durations quantiles are taken of."""

Step = Literal["decode", "hook", "encode"]
"""Where the time of a frame goes."""

DropReason = Literal["slow", "late", "away", "hook_error", "emit_queue"]
"""Why a frame was given up: the hook was slower than the source; it came after a later one was
sent; the hooks could not be called; the hook raised; the encoder was slower than `emit_frame`."""

Refusal = Literal["capacity", "exists", "params", "hook", "away"]
"""Why a stream was not begun: no slot, its id is taken, its parameters do not fit,
`on_stream_start()` raised or took too long, the model cannot be reached."""

STEPS: tuple[Step, ...] = get_args(Step)


@dataclass(slots=True)
class Histogram:
    """Durations by bucket.

    Attributes:
        counts: How many fell in each bucket of `BOUNDS_S`, and last those beyond.
        sum_s: Their sum in seconds.
    """

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))
    sum_s: float = 0.0

    def merge(self, other: Histogram) -> None:
        """Add another's durations."""
        self.counts = [a + b for a, b in zip(self.counts, other.counts, strict=True)]
        self.sum_s += other.sum_s


class Durations:
    """Durations of one kind, added by any thread: all of them by bucket, and the last ones."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = [0] * (len(BOUNDS_S) + 1)
        self._sum_s = 0.0
        self._recent: deque[float] = deque(maxlen=RECENT)

    def add(self, seconds: float) -> None:
        """Count one; under a microsecond."""
        bucket = bisect_left(BOUNDS_S, seconds)
        with self._lock:
            self._counts[bucket] += 1
            self._sum_s += seconds
            self._recent.append(seconds)

    def recent(self) -> list[float]:
        """The last `RECENT` of them in seconds, sorted."""
        with self._lock:
            durations = list(self._recent)
        durations.sort()
        return durations

    def histogram(self) -> Histogram:
        """All of them so far."""
        with self._lock:
            return Histogram(self._counts.copy(), self._sum_s)


@dataclass(slots=True)
class Totals:
    """What one session, or several, counted since it began.

    Attributes:
        counts: The counters of `SessionStats`, by their names there.
        dropped: Frames that were given up, by reason.
        durations: Where time went, by stage, and the `latency` of all of it.
    """

    counts: Counter[str] = field(default_factory=Counter[str])
    dropped: Counter[str] = field(default_factory=Counter[str])
    durations: dict[str, Histogram] = field(default_factory=dict[str, Histogram])

    def merge(self, other: Totals) -> None:
        """Add what another counted."""
        self.counts.update(other.counts)
        self.dropped.update(other.dropped)
        for name, histogram in other.durations.items():
            self.durations.setdefault(name, Histogram()).merge(histogram)


class Counted(Protocol):
    """The statistics of a session, as they are read here."""

    def totals(self) -> Totals:
        """What it counted since it began."""
        ...

    def depths(self) -> Mapping[str, int]:
        """How much waits in each of its queues."""
        ...


@dataclass(frozen=True, slots=True)
class Reading:
    """What a runner has to tell at one moment.

    Attributes:
        capacity: How many streams may run at a time.
        sessions: How many run.
        started: Sessions that began.
        ended: Sessions that ended.
        refused: Streams that were not begun, by reason; all reasons are there.
        restarts: How often the model's process was begun again.
        totals: What all sessions counted, the ended ones included.
        depths: How much waits in the queues of all sessions together.
    """

    capacity: int
    sessions: int
    started: int
    ended: int
    refused: Mapping[str, int]
    restarts: int
    totals: Totals
    depths: Mapping[str, int]


class LiveMetrics:
    """Sums up the sessions of a runner; what an ended one counted stays in the sums.

    All methods are for the network's loop.

    Args:
        capacity: How many streams may run at a time.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._running: dict[int, Counted] = {}
        self._ended_totals = Totals()
        self._started = 0
        self._ended = 0
        self._refused: Counter[str] = Counter()
        self._restarts = 0

    @property
    def capacity(self) -> int:
        """How many streams may run at a time."""
        return self._capacity

    @property
    def sessions(self) -> int:
        """How many run."""
        return len(self._running)

    def add(self, stats: Counted) -> None:
        """A session began."""
        self._running[id(stats)] = stats
        self._started += 1

    def remove(self, stats: Counted) -> None:
        """A session ended; one that did not begin, or ended before, changes nothing."""
        if self._running.pop(id(stats), None) is not None:
            self._ended_totals.merge(stats.totals())
            self._ended += 1

    def refused(self, reason: Refusal) -> None:
        """A stream was not begun."""
        self._refused[reason] += 1

    def restarted(self) -> None:
        """The model's process was begun again, for whatever reason."""
        self._restarts += 1

    def read(self) -> Reading:
        """All of it as it is now."""
        totals = Totals()
        totals.merge(self._ended_totals)
        depths: Counter[str] = Counter()
        for stats in self._running.values():
            totals.merge(stats.totals())
            depths.update(stats.depths())
        return Reading(
            capacity=self._capacity,
            sessions=len(self._running),
            started=self._started,
            ended=self._ended,
            refused={reason: self._refused[reason] for reason in get_args(Refusal)},
            restarts=self._restarts,
            totals=totals,
            depths=depths,
        )
