"""Admission: so many calls run, so many wait, and the next one is refused at once."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from livepeer.runner.errors import AtCapacity

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


class Gate:
    """Slots for running calls, and a bounded queue in front of them, first come first served."""

    def __init__(self, slots: int, queue: int) -> None:
        self._slots = slots
        self._queue = queue
        self._admitted = 0
        self._free = asyncio.Semaphore(slots)

    @asynccontextmanager
    async def slot(self) -> AsyncGenerator[None, None]:
        """Hold a slot, after a wait in the queue if need be; cancelling leaves the queue.

        Raises:
            AtCapacity: The queue is full.
        """
        if self._admitted >= self._slots + self._queue:
            raise AtCapacity(
                f"busy: {self._slots} running and {self._queue} waiting; try again later"
            )
        self._admitted += 1
        try:
            async with self._free:
                yield
        finally:
            self._admitted -= 1
