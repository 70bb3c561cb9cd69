"""Bytes from the event loop to a thread, bounded, in runs that a gap separates."""

from __future__ import annotations

import asyncio
import threading
from collections import deque

LIMIT_BYTES = 4 * 1024 * 1024


class BytePipe:
    """A bounded pipe: a coroutine writes, a thread reads as from a file.

    A *run* is a stretch of bytes without a gap. At the end of a run `read` gives `b""`, and
    `next_run` goes on to the next one; so one reader can be thrown away and another begun where
    bytes are missing.

    Args:
        limit_bytes: With so many unread bytes `write` waits.
    """

    def __init__(self, limit_bytes: int = LIMIT_BYTES) -> None:
        self._limit = limit_bytes
        # None stands between two runs.
        self._chunks: deque[bytes | None] = deque()
        self._taken = 0  # bytes of the first one that were read
        self._size = 0
        self._closed = False
        self._condition = threading.Condition()
        self._room: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._writer_waits = False

    async def write(self, data: bytes) -> None:
        """Append bytes; waits while the pipe is full, and gives up silently once it is closed."""
        if self._room is None:
            self._room = (asyncio.get_running_loop(), asyncio.Event())
        _, room = self._room
        while True:
            with self._condition:
                if self._closed:
                    return
                if not self._size or self._size + len(data) <= self._limit:
                    self._chunks.append(data)
                    self._size += len(data)
                    self._condition.notify()
                    return
                room.clear()
                self._writer_waits = True
            await room.wait()

    def cut(self) -> None:
        """End the present run: bytes are missing before what comes next."""
        with self._condition:
            self._chunks.append(None)
            self._condition.notify()

    def close(self) -> None:
        """No more bytes; what is in the pipe can still be read. Idempotent."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        self._make_room()

    def abort(self) -> None:
        """Close, and forget what was not read. Idempotent."""
        with self._condition:
            self._chunks.clear()
            self._size = self._taken = 0
        self.close()

    def read(self, size: int) -> bytes:
        """From the reading thread: up to `size` bytes of this run, b"" at its end."""
        with self._condition:
            while not self._chunks and not self._closed:
                self._condition.wait()
            if not self._chunks or self._chunks[0] is None:
                return b""
            chunk, begin = self._chunks[0], self._taken
            self._taken += size
            if self._taken >= len(chunk):
                self._chunks.popleft()
                self._taken = 0
            data = chunk[begin : begin + size]
            self._size -= len(data)
        self._make_room()
        return data

    def next_run(self) -> bool:
        """From the reading thread: go to the next run when it has bytes; False at the end.

        What was not read of the present run is skipped when a gap follows it.
        """
        with self._condition:
            while True:
                while self._chunks and self._chunks[0] is None:
                    self._chunks.popleft()
                if self._chunks:
                    return True
                if self._closed:
                    return False
                self._condition.wait()

    def _make_room(self) -> None:
        if self._room is not None and self._writer_waits:
            self._writer_waits = False
            loop, room = self._room
            if not loop.is_closed():
                loop.call_soon_threadsafe(room.set)
