"""Hand each frame to the author when the author can take it, and decide what else to do."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from livepeer.runner._live.outbox import ClockRestart, Outbox, Overlay, Waiting
from livepeer.trickle.media import AccessUnit, Kind, StreamInfo, VideoFrame

if TYPE_CHECKING:
    from livepeer.runner._live.frame_queue import FrameQueue, Queued
    from livepeer.runner._live.patience import Patience
    from livepeer.runner._live.stage import Answer, Frame, Stage
    from livepeer.runner._live.stats import SessionStats
    from livepeer.runner.settings import Settings

_POLL_S = 0.05
_AWAY_POLL_S = 0.005
# A reload shorter than this is waited for; the overlay is to show within 100 ms.
_AWAY_GRACE_S = 0.05


class Asking:
    """From the queue of frames to the outbox, on a thread of its own.

    Args:
        frames: What was decoded, or copied.
        outbox: Where answers and copied units go, in order.
        stage: The author's hooks.
        patience: How long an answer may take before others do not wait for it; None is for ever.
        settings: `emit_drain_s` and `overlay_after_s` are read.
        stats: Where drops and the time of hooks are counted.
    """

    def __init__(
        self,
        frames: FrameQueue,
        outbox: Outbox,
        stage: Stage,
        patience: Patience | None,
        settings: Settings,
        stats: SessionStats,
    ) -> None:
        self._frames = frames
        self._outbox = outbox
        self._stage = stage
        self._patience = patience
        self._overlay_after_s = settings.overlay_after_s
        self._emit_drain_s = settings.emit_drain_s
        self._stats = stats
        self._permits = threading.Semaphore(stage.frames_in_flight)
        self._open: deque[tuple[Answer, float]] = deque()
        self._interrupted = threading.Event()
        self._covering = False

    def run(self) -> None:
        """Until the frames end."""
        try:
            while (item := self._frames.get()) is not None:
                waiting = self._asked(item)
                if waiting is not None and not self._outbox.put(waiting):
                    return
            self._await_emitted()
        finally:
            self._outbox.close()

    def interrupt(self) -> None:
        """Let `run` end at its next step. Idempotent."""
        self._interrupted.set()

    def _asked(self, item: Queued) -> Waiting | None:
        if isinstance(item, ClockRestart):
            self._await_answers()
            return item
        if isinstance(item, (AccessUnit, StreamInfo)):
            return item
        kind: Kind = "video" if isinstance(item, VideoFrame) else "audio"
        return self._ask(item) if kind in self._stage.kinds else item

    def _ask(self, frame: Frame) -> Answer | Overlay | None:
        """The author's answer, open or not; or what stands in for it."""
        came = time.monotonic()
        while not self._interrupted.is_set():
            if self._stage.away is not None:
                self._covering |= time.monotonic() - came >= _AWAY_GRACE_S
                if self._covering and self._patience is not None:
                    return self._cover(frame)
                time.sleep(_AWAY_POLL_S)
            elif self._permits.acquire(timeout=0 if self._covering else _POLL_S):
                self._covering = False
                if isinstance(frame, VideoFrame) and self._frames.overtaken():
                    self._permits.release()
                    return None
                return self._submit(frame)
            elif self._is_overdue():
                self._covering = True
                return self._cover(frame)
            elif self._covering:
                time.sleep(_AWAY_POLL_S)
        return None

    def _submit(self, frame: Frame) -> Answer:
        answer, began = self._stage.submit(frame), time.monotonic()
        self._forget_done()
        self._open.append((answer, began))

        def done() -> None:
            took_s = time.monotonic() - began
            self._stats.took("hook", took_s)
            if self._patience is not None:
                self._patience.took(took_s)
            self._permits.release()

        answer.add_done_callback(done)
        return answer

    def _is_overdue(self) -> bool:
        """Whether the author has kept a frame for so long that others must not wait for it."""
        self._forget_done()
        if self._patience is None or not self._open:
            return False
        return time.monotonic() - self._open[0][1] > self._patience.seconds

    def _await_answers(self) -> None:
        """For a while, until no frame is open: what its hook emits comes before what follows."""
        until = time.monotonic() + self._overlay_after_s
        while self._open and not self._interrupted.is_set() and time.monotonic() < until:
            self._forget_done()
            time.sleep(_AWAY_POLL_S)

    def _forget_done(self) -> None:
        while self._open and self._open[0][0].done:
            self._open.popleft()

    def _cover(self, frame: Frame) -> Overlay:
        self._stats.drop("away")
        return Overlay(frame)

    def _await_emitted(self) -> None:
        """At the end of the input: what the author still emits, until there is a silence."""
        while (last := self._outbox.last_emit) is not None and not self._interrupted.is_set():
            left_s = last + self._emit_drain_s - time.monotonic()
            if left_s <= 0:
                return
            self._interrupted.wait(min(left_s, _POLL_S))
