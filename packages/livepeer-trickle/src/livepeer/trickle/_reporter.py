"""How an endpoint tells about trouble: to its user's callback, and in one line of the log."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from .errors import SegmentAborted, redact
from .events import Ended, Gap, Retry

if TYPE_CHECKING:
    from collections.abc import Callable

    from .errors import TrickleError
    from .events import TrickleEvent

_log = logging.getLogger(__name__)


class Reporter:
    """Tells of gaps, retries and the end of one channel.

    A path that is away fails every request of an endpoint, and each again and again; the log has
    one line for all of that, and the callback has everything.
    """

    def __init__(self, url: str, on_event: Callable[[TrickleEvent], None] | None) -> None:
        self._url = redact(url)
        self._on_event = on_event
        self._troubled: set[int] = set()
        self._ended = False

    def retry(self, seq: int, attempt: int, wait_s: float, error: TrickleError) -> None:
        """A request for a segment failed and will be made again."""
        level = logging.DEBUG if self._troubled else logging.WARNING
        _log.log(level, "trying again: %s", error)
        self._troubled.add(seq)
        self._tell(Retry(self._url, seq, attempt, wait_s, str(error)))

    def settled(self, seq: int) -> None:
        """The requests for a segment are over, well or badly."""
        self._troubled.discard(seq)

    def lost(self, seq: int, error: TrickleError) -> None:
        """A segment that was begun did not arrive whole."""
        level = logging.DEBUG if isinstance(error, SegmentAborted) else logging.WARNING
        _log.log(level, "segment %d is lost: %s", seq, error)

    def gap(self, seq: int, missed: int) -> None:
        """Segments before `seq` were lost to this reader."""
        why = f"missed {missed} segments" if missed else "the channel began anew"
        _log.warning("%s, going on with segment %d (%s)", why, seq, self._url)
        self._tell(Gap(self._url, seq, missed))

    def ended(self, reason: str) -> None:
        """The channel is over; told once."""
        if not self._ended:
            self._ended = True
            _log.debug("the channel ended: %s (%s)", reason, self._url)
            self._tell(Ended(self._url, reason))

    def _tell(self, event: TrickleEvent) -> None:
        if self._on_event is None:
            return
        try:
            self._on_event(event)
        except Exception:  # the user's hook, which must not end a transfer  # noqa: BLE001
            _log.exception("on_event raised")
