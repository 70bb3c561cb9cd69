"""The `status` event: what the gateway keeps of a stream and shows in its own status API.

Source: go-livepeer `byoc/trickle.go` and `server/ai_live_video.go`, `startEventsSubscribe`: the
last object of this type is stored as it is, and of `inference_status` the last `last_params` that
were not null.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from livepeer.runner._live.stats import SessionStats

State = Literal["OFFLINE", "ONLINE", "DEGRADED_INPUT", "DEGRADED_INFERENCE"]


def now_ms() -> int:
    """The time of day, as events tell it."""
    return int(time.time() * 1000)


class StreamStatus:
    """What a session tells of itself, from one `status` event to the next.

    Args:
        pipeline: The pipeline's name.
        stats: What the session counts.
    """

    def __init__(self, pipeline: str, stats: SessionStats) -> None:
        self._pipeline = pipeline
        self._stats = stats
        self._began = self._state_since = now_ms()
        self._state: State = "OFFLINE"
        self._read_at = time.monotonic()
        self._counts = (0, 0)
        self._last_in: int | None = None
        self._last_out: int | None = None
        self._params: Mapping[str, object] | None = None
        self._params_at: int | None = None
        self._error: str | None = None
        self._error_at: int | None = None

    def updated(self, params: Mapping[str, object]) -> None:
        """Parameters were put in force."""
        self._params, self._params_at = dict(params), now_ms()

    def failed(self, message: str) -> None:
        """Something went wrong."""
        self._error, self._error_at = message, now_ms()

    def fields(self, away: str | None) -> dict[str, object]:
        """The fields of the event; rates are since the last one.

        Args:
            away: Why the author's hooks cannot be called now.
        """
        came, went = self._count()
        state: State = "ONLINE"
        if not came:
            state = "OFFLINE" if self._last_in is None else "DEGRADED_INPUT"
        elif away or not went:
            state = "DEGRADED_INFERENCE"
        if state != self._state:
            self._state, self._state_since = state, now_ms()
        return {
            "pipeline": self._pipeline,
            "start_time": self._began,
            "state": state,
            "last_state_update_time": self._state_since,
            "input_status": {"last_input_time": self._last_in, "fps": came},
            "inference_status": {
                "last_output_time": self._last_out,
                "fps": went,
                "last_params_update_time": self._params_at,
                "last_params": self._params,
                "last_error_time": self._error_at,
                "last_error": self._error,
            },
        }

    def _count(self) -> tuple[float, float]:
        """Pictures in and out, a second, since the last reading."""
        counts = (self._stats.video_in, self._stats.video_out)
        elapsed = max(time.monotonic() - self._read_at, 0.001)
        came, went = (new - old for new, old in zip(counts, self._counts, strict=True))
        self._read_at += elapsed
        self._counts = counts
        self._last_in = now_ms() if came else self._last_in
        self._last_out = now_ms() if went else self._last_out
        return round(came / elapsed, 1), round(went / elapsed, 1)
