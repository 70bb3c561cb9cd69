"""Encode what the author answered, in order, with the overlay where no answer came."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

from livepeer.runner._live.encoding import Encoding
from livepeer.runner._live.outbox import ClockRestart, Emitted, Outbox, Overlay
from livepeer.runner._live.overlay import LoadingOverlay, silence
from livepeer.runner._live.stage import Answer
from livepeer.runner.errors import HookFailed, StageAway
from livepeer.trickle.errors import MediaError
from livepeer.trickle.media import (
    AccessUnit,
    AudioFrame,
    Item,
    Piece,
    StreamInfo,
    VideoFrame,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from livepeer.runner._live.patience import Patience
    from livepeer.runner._live.stage import Frame
    from livepeer.runner._live.stats import SessionStats
    from livepeer.runner._metrics import DropReason
    from livepeer.runner.settings import Settings

_log = logging.getLogger(__name__)

_ENTERED = 1024
_AHEAD_S = 2.0
_TELL_S = 1.0


class Publishing:
    """From the outbox to pieces of MPEG-TS, on a thread of its own.

    Args:
        outbox: Answers, copied units and emitted frames.
        patience: How long an answer is awaited; None is for ever.
        settings: `segment_s` and `hardware` are read.
        stats: Where things are counted.
        send: Takes each piece; False when no more are wanted.
        report: Told each hook failure that begins a run of failures.
    """

    def __init__(
        self,
        outbox: Outbox,
        patience: Patience | None,
        settings: Settings,
        stats: SessionStats,
        send: Callable[[Piece], bool],
        report: Callable[[HookFailed], None],
    ) -> None:
        self._outbox = outbox
        self._patience = patience
        self._stats = stats
        self._send = send
        self._report = report
        self._encoding = Encoding(settings.segment_s, settings.hardware)
        self._overlay = LoadingOverlay()
        self._interrupted = threading.Event()
        self._failing: set[type[Frame]] = set()
        self._told: dict[type[Frame], float] = {}
        self._last_s: dict[type[Frame], float] = {}
        self._source_s: float | None = None
        self._entered: dict[int, float] = {}

    def run(self) -> None:
        """Until the outbox is closed and empty."""
        while (item := self._outbox.get()) is not None:
            if isinstance(item, Answer):
                self._publish_answer(item)
            elif isinstance(item, Overlay):
                self._stand_in(item.source)
            elif isinstance(item, ClockRestart):
                self._last_s.clear()
            elif isinstance(item, Emitted):
                self._publish_emitted(item.frame)
            else:
                self._encode(item)
        if not self._interrupted.is_set():
            self._send_all(self._encoding.flush())

    def interrupt(self) -> None:
        """Send nothing any more. Idempotent."""
        self._interrupted.set()

    def entered(self, frame: VideoFrame) -> None:
        """From the decoding thread: the latency of this picture begins here."""
        self._entered[frame.pts] = time.monotonic()
        if len(self._entered) > _ENTERED:  # dropped ones never leave
            del self._entered[next(iter(self._entered))]

    def _publish_answer(self, answer: Answer) -> None:
        self._source_s = answer.source.time
        patience_s = None if self._patience is None else self._patience.seconds
        try:
            while (frame := answer.get(patience_s)) is not None:
                self._publish(frame)
        except TimeoutError:
            # The answer may still come: it is too late then, and nobody reads it.
            self._cover(answer.source, "late")
        except HookFailed as error:
            self._fail(error, type(answer.source))
            return
        except StageAway:
            if not self._interrupted.is_set():
                self._cover(answer.source, "away")
        else:
            self._failing.discard(type(answer.source))

    def _cover(self, source: Frame, reason: DropReason) -> None:
        self._stats.drop(reason)
        if self._patience is not None:
            self._stand_in(source)

    def _stand_in(self, source: Frame) -> None:
        if isinstance(source, VideoFrame):
            self._encode(self._overlay.frame(source))
        else:
            self._encode(silence(source))

    def _publish_emitted(self, frame: Frame) -> None:
        last_s = self._last_s.get(type(frame))
        # One that lies ahead of the source is of a clock that the source no longer has.
        is_old = self._source_s is not None and frame.time > self._source_s + _AHEAD_S
        if is_old or (last_s is not None and frame.time < last_s):
            self._stats.drop("late")
            return
        self._publish(frame)

    def _publish(self, frame: Frame) -> None:
        if isinstance(frame, VideoFrame):
            self._overlay.published(frame)
        self._encode(frame)

    def _fail(self, error: HookFailed, kind: type[Frame]) -> None:
        """Count a lost frame; the first of several of its kind in a row is told, once a second."""
        self._stats.hook_errors += 1
        self._stats.drop("hook_error")
        now = time.monotonic()
        if kind not in self._failing and now - self._told.get(kind, -_TELL_S) >= _TELL_S:
            self._failing.add(kind)
            self._told[kind] = now
            _log.error("%s; the frame is dropped", error, exc_info=error.__cause__)
            self._report(error)

    def _encode(self, item: Item) -> None:
        if self._interrupted.is_set():
            return
        began = time.thread_time()
        try:
            pieces = self._encoding.add(item)
        except MediaError as error:
            kind = AudioFrame if isinstance(item, AudioFrame) else VideoFrame
            self._fail(HookFailed(str(error)), kind)
            return
        if isinstance(item, (VideoFrame, AudioFrame)):
            self._stats.took("encode", time.thread_time() - began)
            self._last_s[type(item)] = item.time
        self._send_all(pieces)
        self._count(item)

    def _send_all(self, pieces: list[Piece]) -> None:
        for piece in pieces:
            if not self._send(piece):
                self._interrupted.set()
                return

    def _count(self, item: Item) -> None:
        if isinstance(item, VideoFrame):
            self._stats.video_out += 1
            entered = self._entered.pop(item.pts, None)
            if entered is not None:
                self._stats.latency(time.monotonic() - entered)
        elif isinstance(item, AccessUnit) and item.kind == "video":
            self._stats.video_out += 1
        elif not isinstance(item, StreamInfo):
            self._stats.audio_out += 1
