"""What a session counts, and what it tells of it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

_LATENCIES = 1000


@dataclass(slots=True)
class SessionStats:
    """Counters of one session; each is written by one thread and read by any.

    Attributes:
        segments_in: Segments read to their end.
        last_segment_in: The number of the last of them, -1 before the first.
        gaps: Segments that were missed.
        video_in: Pictures decoded, or copied.
        video_out: Pictures sent on.
        video_dropped: Pictures given up because the hook was slower than the source.
        hook_errors: Frames lost because a hook raised.
        segments_out: Segments published.
        segments_lost: Segments that did not reach the server whole.
    """

    segments_in: int = 0
    last_segment_in: int = -1
    gaps: int = 0
    video_in: int = 0
    audio_in: int = 0
    video_out: int = 0
    audio_out: int = 0
    video_dropped: int = 0
    hook_errors: int = 0
    segments_out: int = 0
    segments_lost: int = 0
    latencies_s: deque[float] = field(default_factory=lambda: deque[float](maxlen=_LATENCIES))

    def snapshot(self) -> dict[str, object]:
        """The counters as a JSON object; latencies in milliseconds, decoded to encoded."""
        latencies = sorted(self.latencies_s)
        report: dict[str, object] = {
            name: getattr(self, name) for name in self.__slots__ if name != "latencies_s"
        }
        if latencies:
            report["latency_ms"] = {
                "median": round(latencies[len(latencies) // 2] * 1000, 2),
                "p99": round(latencies[int(len(latencies) * 0.99)] * 1000, 2),
            }
        return report
