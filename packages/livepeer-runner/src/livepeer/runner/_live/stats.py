"""What a session counts, and what it tells of it."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING

from livepeer.runner._metrics import STEPS, Durations, Totals

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from livepeer.runner._metrics import DropReason, Step

_COUNTERS = (
    "segments_in",
    "last_segment_in",
    "gaps",
    "video_in",
    "video_out",
    "audio_in",
    "audio_out",
    "hook_errors",
    "segments_out",
    "segments_lost",
    "messages_dropped",
)
_RATES = {
    "fps_in": "video_in",
    "fps_out": "video_out",
    "audio_fps_in": "audio_in",
    "audio_fps_out": "audio_out",
}
_LATENCY = "latency"
_SHORTEST_WINDOW_S = 0.1


class SessionStats:
    """Counts of one session.

    The counters are attributes, each written by one thread; the methods are for any thread.

    Attributes:
        segments_in: Segments read to their end.
        last_segment_in: The number of the last of them, -1 before the first.
        gaps: Segments that were missed.
        video_in: Pictures decoded, or copied.
        video_out: Pictures sent on.
        audio_in: Audio frames decoded, or copied.
        audio_out: Audio frames sent on.
        hook_errors: Frames lost because a hook raised.
        segments_out: Segments published.
        segments_lost: Segments that did not reach the server whole.
        messages_dropped: Events and lines of data that were lost.
    """

    def __init__(self) -> None:
        self.segments_in = 0
        self.last_segment_in = -1
        self.gaps = 0
        self.video_in = 0
        self.video_out = 0
        self.audio_in = 0
        self.audio_out = 0
        self.hook_errors = 0
        self.segments_out = 0
        self.segments_lost = 0
        self.messages_dropped = 0
        self._lock = threading.Lock()
        self._dropped: Counter[str] = Counter()
        self._durations = {name: Durations() for name in (*STEPS, _LATENCY)}
        self._depths: dict[str, Callable[[], int]] = {}
        self._events = _Window()
        self._lines = _Window()

    def drop(self, reason: DropReason, n: int = 1) -> None:
        """Count frames that were given up."""
        with self._lock:
            self._dropped[reason] += n

    @property
    def dropped(self) -> dict[str, int]:
        """Frames that were given up, by reason; without those that never occurred."""
        with self._lock:
            return dict(self._dropped)

    def took(self, stage: Step, seconds: float) -> None:
        """Count the time that one frame took in a stage."""
        self._durations[stage].add(seconds)

    def latency(self, seconds: float) -> None:
        """Count the time of one picture from decoded to encoded."""
        self._durations[_LATENCY].add(seconds)

    def watch_depth(self, name: str, depth: Callable[[], int]) -> None:
        """Ask `depth` how much waits in a queue whenever it is to be told.

        Args:
            name: One of a few, whatever the stream: it becomes a label of a metric.
            depth: Called on the network's loop; must not block.
        """
        self._depths[name] = depth

    def unwatch(self) -> None:
        """Ask no queue any more: they have ended."""
        self._depths.clear()

    def depths(self) -> dict[str, int]:
        """How much waits in each watched queue."""
        return {name: depth() for name, depth in tuple(self._depths.items())}

    def totals(self) -> Totals:
        """What was counted since the session began."""
        return Totals(
            Counter(self._counts()),
            Counter(self.dropped),
            {name: durations.histogram() for name, durations in self._durations.items()},
        )

    def snapshot(self) -> dict[str, object]:
        """All of it as a JSON object, for the `stats` event.

        Counters are since the session began, rates (frames a second) since the last snapshot,
        times in milliseconds of the last 512 frames, and there only once there was one. Latency
        is from decoded to encoded.
        """
        counts = self._counts()
        dropped = self.dropped
        rates = self._events.since(counts).rates
        report: dict[str, object] = {
            **counts,
            **{name: round(rates[counter], 1) for name, counter in _RATES.items()},
            "video_dropped": sum(dropped.values()),
            "dropped": dropped,
            "queues": self.depths(),
        }
        for step in STEPS:
            if recent := self._durations[step].recent():
                report[f"{step}_ms"] = _ms(recent, 0.5)
        if recent := self._durations[_LATENCY].recent():
            report["latency_ms"] = {"median": _ms(recent, 0.5), "p99": _ms(recent, 0.99)}
        return report

    def line(self) -> str:
        """What happened since the last line, for a person who reads the log."""
        dropped = self.dropped
        now = self._lines.since({**self._counts(), **_prefixed(dropped)})
        parts = [f"segments {now.counts['segments_in']} in, {now.counts['segments_out']} out"]
        parts += [
            f"{kind} {now.rates[f'{kind}_in']:.1f}/s in, {now.rates[f'{kind}_out']:.1f}/s out"
            for kind in ("video", "audio")
            if getattr(self, f"{kind}_in") or getattr(self, f"{kind}_out")
        ]
        parts.append(
            _list("dropped", {name: now.counts.get(f"drop {name}", 0) for name in dropped})
        )
        troubles = ("gaps", "hook_errors", "segments_lost", "messages_dropped")
        parts += [
            f"{name.replace('_', ' ')} {now.counts[name]}" for name in troubles if now.counts[name]
        ]
        if recent := self._durations[_LATENCY].recent():
            parts.append(f"latency {_ms(recent, 0.5):.1f} ms (p99 {_ms(recent, 0.99):.1f})")
        parts += [
            f"{step} {_ms(recent, 0.5):.1f} ms"
            for step in STEPS
            if (recent := self._durations[step].recent())
        ]
        parts.append(_list("waiting", self.depths()))
        return "; ".join(part for part in parts if part)

    def _counts(self) -> dict[str, int]:
        return {name: getattr(self, name) for name in _COUNTERS}


class _Change:
    """Between two readings: how much was counted, and how fast."""

    def __init__(self, counts: Mapping[str, int], elapsed_s: float) -> None:
        self.counts = counts
        self.rates = {name: count / elapsed_s for name, count in counts.items()}


class _Window:
    """The time from one reading to the next, of one reader."""

    def __init__(self) -> None:
        self._at = time.monotonic()
        self._then: Mapping[str, int] = {}
        self._last: _Change | None = None

    def since(self, counts: Mapping[str, int]) -> _Change:
        """What changed since the last reading.

        A reading that follows at once (the last one of a session) tells what the one before it
        told: over so short a time a rate means nothing.
        """
        elapsed = time.monotonic() - self._at
        if self._last is None or elapsed >= _SHORTEST_WINDOW_S:
            change = {name: count - self._then.get(name, 0) for name, count in counts.items()}
            self._last = _Change(change, max(elapsed, _SHORTEST_WINDOW_S))
            self._at += elapsed
            self._then = counts
        return self._last


def _ms(sorted_s: Sequence[float], quantile: float) -> float:
    return round(sorted_s[int(len(sorted_s) * quantile)] * 1000, 2)


def _list(title: str, counts: Mapping[str, int]) -> str:
    """Counts in one part of a line; nothing when there is nothing to tell."""
    told = [f"{count} {name}" for name, count in counts.items() if count]
    return f"{title} {', '.join(told)}" if told else ""


def _prefixed(dropped: Mapping[str, int]) -> dict[str, int]:
    return {f"drop {name}": count for name, count in dropped.items()}
