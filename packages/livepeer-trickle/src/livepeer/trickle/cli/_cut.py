"""How a stream of bytes becomes segments: by size and time, or by lines."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, Protocol

from livepeer.trickle.aio import cancel_and_wait
from livepeer.trickle.errors import MessageError, SegmentError, SegmentTimeout

if TYPE_CHECKING:
    from livepeer.trickle._writer import SegmentWriter
    from livepeer.trickle.publisher import TricklePublisher

_MAX_LINE_BYTES: Final = 1024 * 1024


class Cutter(Protocol):
    """Publishes bytes as segments."""

    @property
    def due_s(self) -> float | None:
        """In how many seconds the open segment has to be ended; None for never."""
        ...

    async def write(self, data: bytes) -> None:
        """Publish bytes that follow those before."""
        ...

    async def cut(self) -> None:
        """End the open segment."""
        ...

    async def finish(self) -> None:
        """End the open segment, and wait until the server has everything."""
        ...

    async def give_up(self) -> None:
        """Wait for nothing any more."""
        ...


class BySize:
    """Begins a new segment after so many bytes or seconds.

    The end of a segment is not waited for before the next one is begun, but before that one ends:
    the network is never idle for the length of a round trip.
    """

    def __init__(self, publisher: TricklePublisher, max_bytes: int, max_s: float) -> None:
        self._publisher = publisher
        self._max_bytes = max_bytes
        self._max_s = max_s
        self._segment: SegmentWriter | None = None
        self._cut_at = 0.0
        self._ending: asyncio.Task[None] | None = None

    @property
    def due_s(self) -> float | None:
        return None if self._segment is None else max(0.0, self._cut_at - time.monotonic())

    async def write(self, data: bytes) -> None:
        while data:
            if self._segment is None:
                self._segment = await self._publisher.open_segment()
                self._cut_at = time.monotonic() + self._max_s
            piece = data[: self._max_bytes - self._segment.size]
            data = data[len(piece) :]
            try:
                await self._segment.write(piece)
            except SegmentError as error:
                _pass(error)
                self._segment = None
                continue
            if self._segment.size >= self._max_bytes or not self.due_s:
                await self.cut()

    async def cut(self) -> None:
        segment, self._segment = self._segment, None
        if segment is not None:
            await self._end()
            self._ending = asyncio.create_task(segment.close(), name="livepeer trickle cut")

    async def finish(self) -> None:
        await self.cut()
        await self._end()

    async def give_up(self) -> None:
        await cancel_and_wait(self._ending)

    async def _end(self) -> None:
        ending, self._ending = self._ending, None
        if ending is not None:
            try:
                await ending
            except SegmentError as error:
                _pass(error)
            finally:
                await cancel_and_wait(ending)


class ByLine:
    """Publishes each line as a segment of its own, without its line break; empty ones are none."""

    due_s = None

    def __init__(self, publisher: TricklePublisher) -> None:
        self._publisher = publisher
        self._rest = bytearray()

    async def write(self, data: bytes) -> None:
        self._rest += data
        *lines, self._rest = self._rest.split(b"\n") if b"\n" in data else (self._rest,)
        if max(map(len, (*lines, self._rest))) > _MAX_LINE_BYTES:
            raise MessageError(f"a line is longer than {_MAX_LINE_BYTES} bytes")
        for line in lines:
            await self._publish(bytes(line))

    async def cut(self) -> None:
        """There is no segment that is open between two lines."""

    async def finish(self) -> None:
        await self._publish(bytes(self._rest))

    async def give_up(self) -> None:
        """Nothing is under way but what is waited for."""

    async def _publish(self, line: bytes) -> None:
        line = line.removesuffix(b"\r")
        if line:
            try:
                await self._publisher.write_segment(line)
            except SegmentError as error:
                _pass(error)


def _pass(error: SegmentError) -> None:
    """Bear a bad moment of the network, which the publisher counts and tells.

    The next segment may not meet it. What a server refuses it will refuse again.
    """
    if not (error.retryable or isinstance(error, SegmentTimeout)):
        raise error
