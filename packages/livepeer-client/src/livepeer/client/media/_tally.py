"""What a transfer counts, and what it came to."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from livepeer.trickle.media.clock import TICKS_PER_S, seconds

from .source import START

if TYPE_CHECKING:
    from collections.abc import Sequence

    from livepeer.client._streams.ends import Reconnected
    from livepeer.trickle.media import AccessUnit, Kind

_TICKS_PER_MS: Final = TICKS_PER_S // 1000
# Of a stream without an end; an hour or so.
_REMEMBERED: Final = 100_000
_AWAITED: Final = 10_000


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a transfer stands.

    Attributes:
        sent_s: How much of the source went in, in seconds of media.
        frames_in: Pictures that went in.
        frames_out: Pictures that came out.
    """

    sent_s: float
    frames_in: int
    frames_out: int


@dataclass(frozen=True, kw_only=True)
class Gap:
    """A stream that went on at another orchestrator.

    Attributes:
        from_url: The one that was lost.
        to_url: The one that has the stream now.
        gap_s: Seconds between.
        reason: What happened.
    """

    from_url: str
    to_url: str
    gap_s: float
    reason: str


@dataclass(frozen=True, kw_only=True)
class Summary:
    """What a transfer came to. Frames are pictures, or where there are none, units of sound.

    Attributes:
        frames_in: Frames that went in.
        frames_out: Frames that came out.
        dropped: Frames that went in and did not come out.
        seconds: From the first frame in to the last frame out.
        rate: Frames out for each of these seconds.
        latency_ms: Median and 99th percentile of the time from a frame's way in to its way out,
            of the last 100,000; None where no presentation time came out again.
        errors: What the runner reported, and why the source could not be read to its end.
        reconnects: Each time that the stream went on elsewhere.
    """

    frames_in: int
    frames_out: int
    dropped: int
    seconds: float
    rate: float
    latency_ms: tuple[float, float] | None
    errors: tuple[str, ...]
    reconnects: tuple[Gap, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """The same as JSON has it."""
        return asdict(self)


class Tally:
    """Counts the frames of the leading track.

    Args:
        lead: The track whose units count.

    Attributes:
        frames_in: Frames that went in.
        frames_out: Frames that came out.
    """

    def __init__(self, lead: Kind) -> None:
        self.frames_in = self.frames_out = 0
        self._lead = lead
        # By milliseconds, which is what RTMP keeps of a time.
        self._sent: dict[int, float] = {}
        self._first_in: float | None = None
        self._last_out: float | None = None
        self._latencies: deque[float] = deque(maxlen=_REMEMBERED)

    def count_in(self, unit: AccessUnit) -> Progress | None:
        """Count a unit that goes in; where the transfer stands, when it was a frame."""
        if unit.kind != self._lead:
            return None
        now = time.monotonic()
        self._first_in = now if self._first_in is None else self._first_in
        self._sent[round(unit.pts / _TICKS_PER_MS)] = now
        if len(self._sent) > _AWAITED:
            del self._sent[next(iter(self._sent))]
        self.frames_in += 1
        return Progress(
            sent_s=seconds(unit.dts - START),
            frames_in=self.frames_in,
            frames_out=self.frames_out,
        )

    def count_out(self, unit: AccessUnit, at: float) -> None:
        """Count a unit that came out at `at`, by the monotonic clock."""
        if unit.kind != self._lead:
            return
        self.frames_out += 1
        self._last_out = at
        sent = self._sent.pop(round(unit.pts / _TICKS_PER_MS), None)
        if sent is not None:
            self._latencies.append(at - sent)

    def summary(self, errors: Sequence[str], reconnects: Sequence[Reconnected]) -> Summary:
        """What it came to."""
        begin, end = self._first_in, self._last_out
        seconds = end - begin if begin is not None and end is not None else 0.0
        ordered = sorted(self._latencies)
        latency = None
        if ordered:
            median, late = ordered[len(ordered) // 2], ordered[int(len(ordered) * 0.99)]
            latency = (median * 1000, late * 1000)
        return Summary(
            frames_in=self.frames_in,
            frames_out=self.frames_out,
            dropped=max(self.frames_in - self.frames_out, 0),
            seconds=seconds,
            rate=self.frames_out / seconds if seconds else 0.0,
            latency_ms=latency,
            errors=tuple(errors),
            reconnects=tuple(
                Gap(
                    from_url=one.from_url,
                    to_url=one.to_url,
                    gap_s=one.gap_s,
                    reason=one.end.text,
                )
                for one in reconnects
            ),
        )
