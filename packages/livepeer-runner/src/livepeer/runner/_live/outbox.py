"""What waits for the encoder: answers and copied units in order, and frames that hooks emit."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from livepeer.runner._live.stage import Answer, Frame
from livepeer.runner._live.thread_queue import ThreadQueue
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


class Outbox(ThreadQueue[Waiting]):
    """A queue that keeps order; one thread puts, any thread emits, one thread gets.

    Args:
        in_flight: How many answers may be open at a time.
    """

    def __init__(self, in_flight: int) -> None:
        super().__init__()
        self.last_emit: float | None = None
        """When a frame was emitted last, by the monotonic clock."""
        self._limits: dict[_Class, int] = {
            "picture": PICTURES + in_flight,
            "sound": SOUNDS,
            "emitted picture": EMITTED_PICTURES,
            "emitted sound": SOUNDS,
        }
        self._waiting: Counter[_Class] = Counter()

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
            self._append(item)
            self.last_emit = time.monotonic()
        return kept

    def _has_room(self, item: Waiting) -> bool:
        of = _class(item)
        held_back = of == "picture" and self._waiting["emitted picture"] >= HOLD_BACK
        return not held_back and self._waiting[of] < self._limits[of]

    def _added(self, item: Waiting) -> None:
        self._waiting[_class(item)] += 1

    def _taken(self, item: Waiting) -> None:
        self._waiting[_class(item)] -= 1

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
