"""What waits for the encoder: answers and copied units in order, and frames that hooks emit."""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import Literal

from livepeer.runner._live.stage import Answer, Frame
from livepeer.trickle.media import AccessUnit, AudioFrame, StreamInfo, VideoFrame

PICTURES = 4
"""How many pictures, answered or not, may wait beside those that are in flight."""

SOUNDS = 512
"""How much sound, copied units among it, may wait; emitted sound for itself."""

EMITTED_PICTURES = 64
"""How many emitted pictures may wait; the oldest is dropped for one more."""

HOLD_BACK = 8
"""With so many emitted pictures waiting no more of the source is handed to hooks: it waits before
them, and gives way there if it must."""


@dataclass(frozen=True, slots=True)
class Emitted:
    """A frame that a hook sends in its own time."""

    frame: Frame


@dataclass(frozen=True, slots=True)
class Overlay:
    """The place of a frame that nobody can process now."""

    source: Frame


@dataclass(frozen=True, slots=True)
class ClockRestart:
    """From here on the source's clock is another one, which began further back."""


Waiting = (
    ClockRestart | Answer | AccessUnit | StreamInfo | VideoFrame | AudioFrame | Emitted | Overlay
)


_Class = Literal["picture", "sound", "emitted picture", "emitted sound"]


class Outbox:
    """A queue that keeps order; one thread puts, any thread emits, one thread gets.

    Args:
        in_flight: How many answers may be open at a time.
    """

    def __init__(self, in_flight: int) -> None:
        self.last_emit: float | None = None
        """When a frame was emitted last, by the monotonic clock."""
        self._limits: dict[_Class, int] = {
            "picture": PICTURES + in_flight,
            "sound": SOUNDS,
            "emitted picture": EMITTED_PICTURES,
            "emitted sound": SOUNDS,
        }
        self._items: deque[Waiting] = deque()
        self._waiting: Counter[_Class] = Counter()
        self._closed = False
        self._condition = threading.Condition()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Waiting) -> bool:
        """Append, once there is room; False when the box was closed and the item is lost."""
        of = _class(item)
        with self._condition:
            while not self._closed and not self._has_room(of):
                self._condition.wait()
            if self._closed:
                return False
            self._append(item, of)
            return True

    def emit(self, frame: Frame) -> bool:
        """Append an emitted frame; False when a frame, an older one or itself, was dropped."""
        item = Emitted(frame)
        of = _class(item)
        with self._condition:
            if self._closed:
                return False
            kept = self._waiting[of] < self._limits[of]
            if not kept:
                self._drop_oldest(of)
            self._append(item, of)
            self.last_emit = time.monotonic()
        return kept

    def get(self) -> Waiting | None:
        """The next item; None when the box is closed and empty."""
        with self._condition:
            while not self._items:
                if self._closed:
                    return None
                self._condition.wait()
            item = self._items.popleft()
            self._waiting[_class(item)] -= 1
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
            self._waiting.clear()
        self.close()

    def _append(self, item: Waiting, of: _Class) -> None:
        self._items.append(item)
        self._waiting[of] += 1
        self._condition.notify_all()

    def _has_room(self, of: _Class) -> bool:
        held_back = of == "picture" and self._waiting["emitted picture"] >= HOLD_BACK
        return not held_back and self._waiting[of] < self._limits[of]

    def _drop_oldest(self, of: _Class) -> None:
        at = next(at for at, item in enumerate(self._items) if _class(item) == of)
        del self._items[at]
        self._waiting[of] -= 1


def _class(item: Waiting) -> _Class:
    if isinstance(item, Emitted):
        return "emitted picture" if isinstance(item.frame, VideoFrame) else "emitted sound"
    if isinstance(item, (Answer, Overlay)):
        item = item.source
    return "picture" if isinstance(item, VideoFrame) else "sound"
