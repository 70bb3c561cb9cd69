"""What the gateway remembers of streams: their statuses, and the last few data items.

Source: go-livepeer `byoc/trickle.go` (`startEventsSubscribe`) and `media/segment_rw.go`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

from . import gojson

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from .gojson import JSONValue

_KEPT_KEYS = ("last_restart_logs", "last_params")


class Statuses:
    """The last status of each stream; beyond `limit` the oldest goes.

    Args:
        limit: How many streams are remembered.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._statuses: dict[str, dict[str, JSONValue]] = {}

    def get(self, stream_id: str) -> dict[str, JSONValue] | None:
        """The status, or None."""
        return self._statuses.get(stream_id)

    def clear(self, stream_id: str) -> None:
        """Forget the stream."""
        self._statuses.pop(stream_id, None)

    def put(self, stream_id: str, status: dict[str, JSONValue]) -> None:
        """Replace the whole status."""
        self._statuses.pop(stream_id, None)
        if len(self._statuses) >= self._limit:
            del self._statuses[next(iter(self._statuses))]
        self._statuses[stream_id] = status

    def put_key(self, stream_id: str, key: str, value: JSONValue) -> None:
        """Set one key."""
        self.put(stream_id, {**self._statuses.get(stream_id, {}), key: value})

    def put_event(self, stream_id: str, event: dict[str, JSONValue]) -> None:
        """Replace the status by a status event, which inherits logs and parameters it left out."""
        before = (self.get(stream_id) or {}).get("inference_status")
        now = event.get("inference_status")
        if isinstance(now, dict) and isinstance(before, dict):
            for key in _KEPT_KEYS:
                if now.get(key) is None:
                    now[key] = before.get(key)
        self.put(stream_id, event)


def read_event(segment: bytes) -> dict[str, JSONValue] | None:
    """The event in one segment of an events channel, or None for what does not count as one.

    An event is one JSON object, either itself or under `event` beside its `queue_event_type`.
    """
    try:
        wrapper = gojson.struct(segment, "", {"queue_event_type": "string", "event": "struct"})
        event = wrapper.get("event") or gojson.loads(segment)
    except gojson.GoJSONError:
        return None
    return event if isinstance(event, dict) else None


class FellBehind(Exception):
    """A reader was slower than the ring is long."""


class DataRing:
    """The last items of a data channel, for any number of readers.

    A reader begins with the newest item there is, and one that is `size` items behind is dropped.
    """

    def __init__(self, size: int = 5) -> None:
        self._items: deque[bytes] = deque(maxlen=size)
        self._next = 0
        self._closed = False
        self._changed = asyncio.Event()

    def put(self, item: bytes) -> None:
        """Add an item; the oldest makes room."""
        self._items.append(item)
        self._next += 1
        self._wake()

    def close(self) -> None:
        """End the readers once they have read what there is."""
        self._closed = True
        self._wake()

    async def read(self) -> AsyncGenerator[bytes]:
        """Items as they come; a reader that waits at the end gets one empty item first.

        Raises:
            FellBehind: Items were lost.
        """
        seq = max(self._next - 1, 0)
        while True:
            waited = False
            while seq >= self._next and not self._closed:
                waited = True
                await self._changed.wait()
            if seq >= self._next:
                if waited:
                    yield b""
                return
            oldest = self._next - len(self._items)
            if seq < oldest:
                raise FellBehind
            yield self._items[seq - oldest]
            seq += 1

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
