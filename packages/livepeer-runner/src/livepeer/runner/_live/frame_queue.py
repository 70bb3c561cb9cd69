"""A bounded queue between two threads, where video gives way and audio does not."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Literal

from livepeer.runner._live.outbox import ClockRestart
from livepeer.runner._live.thread_queue import ThreadQueue
from livepeer.trickle.media import Item, VideoFrame

if TYPE_CHECKING:
    from collections.abc import Callable

Queued = Item | ClockRestart

OTHER_ITEMS = 512
"""How many audio frames and packets may wait; beyond that the source waits."""


class FrameQueue(ThreadQueue[Queued]):
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
        super().__init__()
        self._limit = video_frames
        self._wait_s = video_wait_s
        self._drop = policy == "drop"
        self._dropped = dropped
        self._came: deque[float] = deque()  # of the pictures among them
        self._got_came = 0.0

    def overtaken(self) -> bool:
        """Whether the picture that was got last should give way by now: it is counted, if so."""
        if not self._drop or not self._came:
            return False
        late = time.monotonic() - self._got_came > self._wait_s
        if late:
            self._dropped()
        return late

    def _has_room(self, item: Queued) -> bool:
        if not isinstance(item, VideoFrame):
            return len(self._items) - len(self._came) < OTHER_ITEMS
        if self._drop and not self._closed:
            self._make_room()
        return len(self._came) < self._limit

    def _added(self, item: Queued) -> None:
        if isinstance(item, VideoFrame):
            self._came.append(time.monotonic())

    def _taken(self, item: Queued) -> None:
        if isinstance(item, VideoFrame):
            self._got_came = self._came.popleft()

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
