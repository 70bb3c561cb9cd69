"""What a session tells: events of its own, again and again or once, and lines of its log."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, NamedTuple

from livepeer.runner._live.status import now_ms
from livepeer.runner.errors import InvalidParams
from livepeer.trickle.errors import MessageError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from livepeer.runner._live.outlet import ChannelOutlet
    from livepeer.runner._live.stats import SessionStats
    from livepeer.runner._live.status import StreamStatus
    from livepeer.runner.settings import Settings

_log = logging.getLogger(__name__)

MAX_TEXT = 2000
"""Longest text of an error, in characters: some exceptions carry a whole array."""

_MAX_FAULTS = 32


class StopReason(NamedTuple):
    """Why a session is stopped.

    Attributes:
        reason: In words.
        done: The network asked for it. Else the runner ends it by itself, because it goes or takes
            the caller for gone; one who is there after all may go on at another runner.
    """

    reason: str
    done: bool = False


class Reports:
    """Tells of one session.

    Args:
        stream_id: The network's name for it.
        outlet: Where events go.
        stats: What the session counts.
        status: What the `status` event says.
    """

    def __init__(
        self, stream_id: str, outlet: ChannelOutlet, stats: SessionStats, status: StreamStatus
    ) -> None:
        self._stream_id = stream_id
        self._outlet = outlet
        self._stats = stats
        self._status = status

    def tell(self, type_: str, **fields: object) -> None:
        """Queue an event; one that is no message, or too large, is left out and logged."""
        try:
            self._outlet.tell(self._event(type_, fields))
        except MessageError as error:
            _log.error("the event %r is left out: %s", type_, error)

    def updated(self, params: Mapping[str, object]) -> None:
        """Parameters were put in force."""
        self._status.updated(params)

    def error(self, message: str, **fields: object) -> None:
        """From any thread: an `error` event, and the last error of the status."""
        message = shortened(message)
        self._status.failed(message)
        self.tell("error", message=message, **fields)

    def refused(self, error: Exception) -> None:
        """An update that nobody waits for did not fit."""
        text = shortened(str(error))
        _log.warning("an update by the control channel was refused: %s", text)
        faults = {"errors": error.errors[:_MAX_FAULTS]} if isinstance(error, InvalidParams) else {}
        self.error(text, **faults)

    def failed(self, what: str, error: BaseException) -> None:
        """Something of ours failed; the session goes on."""
        _log.error("stream %s: %s failed", self._stream_id, what, exc_info=error)
        self.error(f"{what} failed: {type(error).__name__}: {error}")

    def end_of_stream(self, segments: int) -> None:
        """The media has ended: how many segments there are, and what was counted."""
        self.tell("end_of_stream", segments=segments, **self._counts())

    def last(self, why: StopReason) -> list[Mapping[str, object]]:
        """The events that end the session."""
        return [self._event("stats", self._counts()), self._event("stop", why._asdict())]

    def repeated(
        self, settings: Settings, away: Callable[[], str | None] | None
    ) -> dict[str, Coroutine[None, None, None]]:
        """What is told again and again, by its name and each for a task.

        Args:
            settings: How often.
            away: Why the author's hooks cannot be called; None for a stream without media, which
                has no status.
        """

        def status() -> None:
            assert away is not None
            self.tell("status", **self._status.fields(away()))

        beat_s, stats_s = settings.heartbeat_interval_s, settings.stats_interval_s
        work: dict[str, Coroutine[None, None, None]] = {
            "heartbeats": self._repeat("the heartbeat", lambda: self.tell("heartbeat"), beat_s),
            "statistics": self._repeat("statistics", self._tell_stats, stats_s, first_s=stats_s),
        }
        if away is not None:
            work["status"] = self._repeat("the status", status, beat_s)
        if line_s := settings.stats_log_interval_s:
            work["log"] = self._repeat("the log", self._log_line, line_s, first_s=line_s)
        return work

    async def _repeat(
        self, what: str, tell: Callable[[], None], every_s: float, first_s: float = 0.0
    ) -> None:
        failing = False
        await asyncio.sleep(first_s)
        while True:
            try:
                tell()
            except Exception as error:  # noqa: BLE001 - a supervisor: the next one may do better
                if not failing:
                    self.failed(what, error)
                failing = True
            else:
                failing = False
            await asyncio.sleep(every_s)

    def _tell_stats(self) -> None:
        self.tell("stats", **self._counts())

    def _log_line(self) -> None:
        self._stats.messages_dropped = self._outlet.dropped
        _log.info("%s", self._stats.line())

    def _counts(self) -> dict[str, object]:
        self._stats.messages_dropped = self._outlet.dropped
        return self._stats.snapshot()

    def _event(self, type_: str, fields: Mapping[str, object]) -> dict[str, object]:
        return {
            "type": type_,
            "stream_id": self._stream_id,
            "timestamp": now_ms(),
            **fields,
        }


def shortened(text: str) -> str:
    """No longer than `MAX_TEXT`."""
    return text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 1] + "…"
