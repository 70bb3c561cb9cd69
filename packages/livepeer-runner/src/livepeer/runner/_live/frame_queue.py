"""A bounded queue between two threads, where video gives way and audio does not."""

from __future__ import annotations

import threading
from collections import deque
from typing import Literal

from livepeer.trickle.media import Item, VideoFrame

OTHER_ITEMS = 512
"""How many audio frames and packets may wait; beyond that the source waits."""


class FrameQueue:
    """Keeps the order of what goes through it.

    Args:
        video_frames: How many pictures may wait.
        policy: When so many wait: `drop` the oldest picture, or make the source `wait`.
    """

    def __init__(self, video_frames: int, policy: Literal["drop", "wait"]) -> None:
        self.dropped = 0
        self._limit = video_frames
        self._drop = policy == "drop"
        self._items: deque[Item] = deque()
        self._video = 0
        self._closed = False
        self._condition = threading.Condition()

    def put(self, item: Item) -> bool:
        """Append an item; False when the queue was closed and it is lost."""
        video = isinstance(item, VideoFrame)
        with self._condition:
            while not self._closed and self._is_full(video):
                if video and self._drop:
                    self._drop_oldest()
                else:
                    self._condition.wait()
            if self._closed:
                return False
            self._items.append(item)
            self._video += video
            self._condition.notify_all()
            return True

    def get(self) -> Item | None:
        """The next item; None when the queue is closed and empty."""
        with self._condition:
            while not self._items:
                if self._closed:
                    return None
                self._condition.wait()
            item = self._items.popleft()
            self._video -= isinstance(item, VideoFrame)
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
            self._video = 0
        self.close()

    def _is_full(self, video: bool) -> bool:
        if video:
            return self._video >= self._limit
        return len(self._items) - self._video >= OTHER_ITEMS

    def _drop_oldest(self) -> None:
        for at, item in enumerate(self._items):
            if isinstance(item, VideoFrame):
                del self._items[at]
                self._video -= 1
                self.dropped += 1
                return
