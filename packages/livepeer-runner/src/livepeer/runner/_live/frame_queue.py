"""A bounded queue between two threads, where video gives way and audio does not."""

from __future__ import annotations

import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Literal

from livepeer.runner._live.outbox import ClockRestart
from livepeer.trickle.media import Item, VideoFrame

if TYPE_CHECKING:
    from collections.abc import Callable

Queued = Item | ClockRestart

OTHER_ITEMS = 512
"""How many audio frames and packets may wait; beyond that the source waits."""


class FrameQueue:
    """Keeps the order of what goes through it.

    Args:
        video_frames: How many pictures may wait.
        video_wait_s: How long a picture may wait when newer ones do; bounds the latency.
        policy: Beyond either: `drop` the oldest picture, or make the source `wait`.
        dropped: Called for each picture that gave way, from either thread.
    """

    def __init__(
        self,
        video_frames: int,
        video_wait_s: float,
        policy: Literal["drop", "wait"],
        dropped: Callable[[], None],
    ) -> None:
        self._limit = video_frames
        self._wait_s = video_wait_s
        self._drop = policy == "drop"
        self._dropped = dropped
        self._items: deque[Queued] = deque()
        self._came: deque[float] = deque()  # of the pictures among them
        self._got_came = 0.0
        self._closed = False
        self._condition = threading.Condition()

    def __len__(self) -> int:
        return len(self._items)

    def put(self, item: Queued) -> bool:
        """Append an item; False when the queue was closed and it is lost."""
        video = isinstance(item, VideoFrame)
        with self._condition:
            if video and self._drop:
                self._make_room()
            while not self._closed and self._is_full(video):
                self._condition.wait()
            if self._closed:
                return False
            self._items.append(item)
            if video:
                self._came.append(time.monotonic())
            self._condition.notify_all()
            return True

    def get(self) -> Queued | None:
        """The next item; None when the queue is closed and empty."""
        with self._condition:
            while not self._items:
                if self._closed:
                    return None
                self._condition.wait()
            item = self._items.popleft()
            if isinstance(item, VideoFrame):
                self._got_came = self._came.popleft()
            self._condition.notify_all()
            return item

    def overtaken(self) -> bool:
        """Whether the picture that was got last should give way by now: it is counted, if so."""
        if not self._drop or not self._came:
            return False
        late = time.monotonic() - self._got_came > self._wait_s
        if late:
            self._dropped()
        return late

    def close(self) -> None:
        """Take nothing more; what waits can still be got. Idempotent."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()

    def abort(self) -> None:
        """Close, and forget what waits. Idempotent."""
        with self._condition:
            self._items.clear()
            self._came.clear()
        self.close()

    def _is_full(self, video: bool) -> bool:
        if video:
            return len(self._came) >= self._limit
        return len(self._items) - len(self._came) >= OTHER_ITEMS

    def _make_room(self) -> None:
        too_old = time.monotonic() - self._wait_s
        while self._came and (len(self._came) >= self._limit or self._came[0] < too_old):
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        for at, item in enumerate(self._items):
            if isinstance(item, VideoFrame):
                del self._items[at]
                self._came.popleft()
                self._dropped()
                return
