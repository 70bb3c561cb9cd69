"""JSON over trickle: events and control (one object a segment), data (JSON lines)."""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Self

from ._wire import JSON, JSONL
from .aio import cancel_and_wait
from .errors import MessageError, SegmentError, TrickleError
from .messages import (
    KEEP_ALIVE,
    MAX_LINE_BYTES,
    MAX_MESSAGE_BYTES,
    decode_message,
    encode_message,
    within,
)
from .publisher import TricklePublisher
from .subscriber import TrickleSubscriber

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import aiohttp

    from ._reader import SegmentReader
    from ._writer import SegmentWriter

_log = logging.getLogger(__name__)


class JSONPublisher:
    """Publishes JSON objects, each as a segment of its own (control, events)."""

    def __init__(self, url: str, *, session: aiohttp.ClientSession | None = None) -> None:
        self._publisher = TricklePublisher(url, content_type=JSON, session=session)
        self._order = asyncio.Lock()

    async def publish(self, message: Mapping[str, object] | bytes) -> None:
        """Publish one object and wait until the server has it; calls are kept in order.

        Bytes are published as they are: what `encode_message` made of an object before.

        Raises:
            MessageError: It is larger than 1 MiB, which no reader takes.
        """
        data = message if isinstance(message, bytes) else encode_message(message)
        within(data, MAX_MESSAGE_BYTES, "message")
        async with self._order:
            await self._publisher.write_segment(data)

    async def close(self, *, delete: bool = False) -> None:
        """Stop publishing; with `delete` the channel is closed for everybody. Idempotent."""
        await self._publisher.close(delete=delete)

    async def __aenter__(self) -> Self:
        await self._publisher.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class JSONLPublisher:
    """Publishes JSON lines, many to a segment (data).

    Args:
        url: The channel's URL.
        session: A session to share.
        rotate_s: For how long a segment is kept open for more lines.
    """

    def __init__(
        self, url: str, *, session: aiohttp.ClientSession | None = None, rotate_s: float = 10.0
    ) -> None:
        self._publisher = TricklePublisher(url, content_type=JSONL, session=session)
        self._rotate_s = rotate_s
        self._order = asyncio.Lock()
        self._segment: SegmentWriter | None = None
        self._rotation: asyncio.Task[None] | None = None

    async def publish(self, message: Mapping[str, object] | bytes) -> None:
        """Publish one object as a line, or the bytes of one; readers get it at once.

        Raises:
            MessageError: The line would be 64 KiB or longer.
        """
        line = message if isinstance(message, bytes) else encode_message(message)
        within(line, MAX_LINE_BYTES, "line")
        async with self._order:
            try:
                await self._write(line + b"\n")
            except SegmentError:
                # Readers have whole lines only; this one goes into the next segment.
                self._segment = None
                await self._write(line + b"\n")

    async def _write(self, line: bytes) -> None:
        if self._segment is None:
            await cancel_and_wait(self._rotation)
            self._segment = await self._publisher.open_segment()
            self._rotation = asyncio.create_task(self._rotate(self._segment))
        await self._segment.write(line)

    async def close(self, *, delete: bool = False) -> None:
        """End the open segment and stop. Idempotent."""
        await cancel_and_wait(self._rotation)
        async with self._order:
            segment, self._segment = self._segment, None
            try:
                if segment is not None:
                    await segment.close()
            finally:
                await self._publisher.close(delete=delete)

    async def __aenter__(self) -> Self:
        await self._publisher.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _rotate(self, segment: SegmentWriter) -> None:
        await asyncio.sleep(self._rotate_s)
        async with self._order:
            if self._segment is segment:
                self._segment = None
                try:
                    await segment.close()
                except TrickleError as error:
                    _log.debug("the lines since the last rotation are lost: %s", error)


class _MessageReader(ABC):
    """What both JSON readers do: iterate over messages, log and skip what is none."""

    def __init__(
        self,
        url: str,
        *,
        start: int = -2,
        session: aiohttp.ClientSession | None = None,
        max_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        self._subscriber = TrickleSubscriber(url, start=start, session=session)
        self._max_bytes = max_bytes

    async def __aiter__(self) -> AsyncIterator[dict[str, object]]:
        async for segment in self._subscriber:
            try:
                async for data in self._documents(segment):
                    try:
                        message = decode_message(data)
                    except MessageError as error:
                        _log.warning("skipped a message of segment %d: %s", segment.seq, error)
                        continue
                    if message != KEEP_ALIVE:
                        yield message
            except TrickleError as error:
                _log.warning("skipped the rest of segment %d: %s", segment.seq, error)

    @abstractmethod
    def _documents(self, segment: SegmentReader) -> AsyncIterator[bytes]:
        """The documents of one segment."""

    async def aclose(self) -> None:
        """Stop reading. Idempotent."""
        await self._subscriber.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class JSONSubscriber(_MessageReader):
    """Reads JSON objects, one a segment; keep-alives are not shown.

    What is no JSON object is logged and skipped, as go-livepeer's own reader does.
    """

    async def _documents(self, segment: SegmentReader) -> AsyncIterator[bytes]:
        body = await segment.read(self._max_bytes)
        if body:
            yield body


class JSONLSubscriber(_MessageReader):
    """Reads JSON lines, each as soon as its line break is here; keep-alives are not shown.

    A line that is no JSON object, or longer than `max_bytes`, is logged and skipped.
    """

    async def _documents(self, segment: SegmentReader) -> AsyncIterator[bytes]:
        rest = b""
        async for chunk in segment:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line.strip():
                    yield line
            if len(rest) > self._max_bytes:
                raise MessageError(f"a line is longer than {self._max_bytes} bytes")
        if rest.strip():
            yield rest
