"""Pieces from a thread to the event loop, bounded, without a task for each."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from livepeer.trickle.media import Piece

LIMIT_BYTES = 256 * 1024
"""With so much waiting for the network, the thread waits. Little, because it is time: a second at
2 Mbit/s; one key frame always fits."""

LIMIT_PIECES = 128
"""The same for streams of few bits: a second or two of pictures and sound."""


class Handover:
    """One thread puts and one coroutine iterates. Make it on the loop."""

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit = limit_bytes
        self._pieces: deque[Piece] = deque()
        self._size = 0
        self._closed = False
        self._condition = threading.Condition()
        self._loop = asyncio.get_running_loop()
        self._wake = asyncio.Event()
        self._asleep = False

    def __len__(self) -> int:
        return len(self._pieces)

    def put(self, piece: Piece) -> bool:
        """From the thread: append a piece, once there is room; False when it was closed."""
        with self._condition:
            while not self._closed and self._is_full():
                self._condition.wait()
            if self._closed:
                return False
            self._pieces.append(piece)
            self._size += len(piece.data)
            wake, self._asleep = self._asleep, False
        if wake:
            self._loop.call_soon_threadsafe(self._wake.set)
        return True

    def _is_full(self) -> bool:
        return self._size > self._limit or len(self._pieces) >= LIMIT_PIECES

    def close(self) -> None:
        """From any thread: no more pieces; those that wait are still handed over. Idempotent."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake.set)

    def abort(self) -> None:
        """Close, and forget what waits. Idempotent."""
        with self._condition:
            self._pieces.clear()
            self._size = 0
        self.close()

    async def __aiter__(self) -> AsyncGenerator[Piece, None]:
        while True:
            with self._condition:
                piece = self._pieces.popleft() if self._pieces else None
                if piece is not None:
                    self._size -= len(piece.data)
                    self._condition.notify_all()
                elif self._closed:
                    return
                else:
                    self._asleep = True
                    self._wake.clear()
            if piece is not None:
                yield piece
            else:
                await self._wake.wait()
