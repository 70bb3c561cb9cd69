"""What waits for the encoder: answers and copied units in order, and frames that hooks emit."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

from livepeer.runner._live.stage import Answer, Frame
from livepeer.trickle.media import AccessUnit, AudioFrame, StreamInfo, VideoFrame

PICTURES = 4
"""How many pictures, answered or not, may wait beside those that are in flight."""

OTHERS = 512
"""How much sound, copied units among it, may wait."""

EMITTED = 8
"""How many emitted frames may wait; the oldest is dropped for one more."""


@dataclass(frozen=True, slots=True)
class Emitted:
    """A frame that a hook sends in its own time."""

    frame: Frame


@dataclass(frozen=True, slots=True)
class Overlay:
    """The place of a picture that nobody can process now."""

    source: VideoFrame


@dataclass(frozen=True, slots=True)
class ClockRestart:
    """From here on the source's clock is another one, which began further back."""


Waiting = (
    ClockRestart | Answer | AccessUnit | StreamInfo | VideoFrame | AudioFrame | Emitted | Overlay
)


class Outbox:
    """A queue that keeps order; one thread puts, any thread emits, one thread gets.

    Args:
        in_flight: How many answers may be open at a time.
    """

    def __init__(self, in_flight: int) -> None:
        self.last_emit: float | None = None
        """When a frame was emitted last, by the monotonic clock."""
        self._picture_limit = PICTURES + in_flight
        self._items: deque[Waiting] = deque()
        self._pictures = self._emitted = 0
        self._closed = False
        self._condition = threading.Condition()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Waiting) -> bool:
        """Append, once there is room; False when the box was closed and the item is lost."""
        picture = _is_picture(item)
        with self._condition:
            while not self._closed and self._is_full(picture):
                self._condition.wait()
            if self._closed:
                return False
            self._items.append(item)
            self._pictures += picture
            self._condition.notify_all()
            return True

    def emit(self, frame: Frame) -> bool:
        """Append an emitted frame; False when a frame, an older one or itself, was dropped."""
        with self._condition:
            if self._closed:
                return False
            kept = self._emitted < EMITTED or not self._drop_oldest()
            self._items.append(Emitted(frame))
            self._emitted += 1
            self.last_emit = time.monotonic()
            self._condition.notify_all()
        return kept

    def get(self) -> Waiting | None:
        """The next item; None when the box is closed and empty."""
        with self._condition:
            while not self._items:
                if self._closed:
                    return None
                self._condition.wait()
            item = self._items.popleft()
            self._emitted -= isinstance(item, Emitted)
            self._pictures -= _is_picture(item)
            self._condition.notify_all()
            return item

    def close(self) -> None:
        """Take nothing more; what waits can still be got. Idempotent."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def abort(self) -> None:
        """Close, and forget what waits. Idempotent."""
        with self._condition:
            self._items.clear()
            self._pictures = self._emitted = 0
        self.close()

    def _is_full(self, picture: bool) -> bool:
        if picture:
            return self._pictures >= self._picture_limit
        return len(self._items) - self._pictures - self._emitted >= OTHERS

    def _drop_oldest(self) -> bool:
        for at, item in enumerate(self._items):
            if isinstance(item, Emitted):
                del self._items[at]
                self._emitted -= 1
                return True
        return False


def _is_picture(item: Waiting) -> bool:
    if isinstance(item, Answer):
        item = item.source
    return isinstance(item, (VideoFrame, Overlay))
