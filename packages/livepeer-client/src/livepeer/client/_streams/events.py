"""What a runner reports, kept for any number of readers. Bounded: the oldest goes first."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from livepeer.client._wire.encoding import JSONValue

_log = logging.getLogger(__name__)


class EventLog:
    """The last events of a stream, across its sessions.

    Args:
        keep: How many are kept; a reader that is further behind misses the oldest.
    """

    def __init__(self, keep: int) -> None:
        self._kept: deque[dict[str, JSONValue]] = deque(maxlen=keep)
        self._count = 0
        self._closed = False
        self._changed = asyncio.Event()

    def add(self, event: dict[str, JSONValue]) -> None:
        """Give one event to every reader."""
        self._kept.append(event)
        self._count += 1
        self._wake()

    def close(self) -> None:
        """End every reader behind what is kept."""
        self._closed = True
        self._wake()

    async def read(self) -> AsyncGenerator[dict[str, JSONValue]]:
        """What is kept, and then each event as it comes, until the log is closed."""
        following = self._count - len(self._kept)
        while True:
            first = self._count - len(self._kept)
            if following < first:
                _log.warning("a slow reader missed %d events", first - following)
                following = first
            if following < self._count:
                following += 1
                yield self._kept[following - 1 - first]
            elif self._closed:
                return
            else:
                await self._changed.wait()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
