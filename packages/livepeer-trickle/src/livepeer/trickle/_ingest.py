"""The server's side of a publisher: one POST into one segment."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from aiohttp import web

from ._answers import end_exchange, error
from ._wire import CLOSED, CLOSED_VALUE, SEQ

if TYPE_CHECKING:
    from ._ring import Channel, Segment
    from .stats import ServerStats

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


@dataclass(eq=False)
class _Body:
    """A body that is being read: its connection, and when bytes came last."""

    transport: asyncio.Transport | None
    moved_at: float


class Ingest:
    """Takes the bodies of segments.

    Args:
        stats: Counts of the server.
        first_byte_tick_s: How often a publisher that has not begun yet is told that we wait.
        max_segment_bytes: A larger segment is cut off and answered 413.
    """

    def __init__(
        self, stats: ServerStats, *, first_byte_tick_s: float, max_segment_bytes: int
    ) -> None:
        self._stats = stats
        self._first_byte_tick_s = first_byte_tick_s
        self._max_segment_bytes = max_segment_bytes
        self._bodies: set[_Body] = set()

    async def take(self, request: web.Request, channel: Channel, segment: Segment) -> web.Response:
        """Read the body into the segment and answer when it ends.

        A body that is cut off leaves the segment open: another POST of its number may go on.
        """
        self._stats.publishers += 1
        try:
            chunk = await self._first_chunk(request, segment)
            if chunk is None:
                return await self._turn_away(request, channel, segment)
            # The first byte of every POST moves the edge, or its end without one.
            channel.rewind(segment)
            if not chunk:
                channel.finish(segment, time.monotonic())
                self._stats.segments += 1
                return await end_exchange(request, web.Response(headers={SEQ: str(segment.seq)}))
            return await self._read_body(request, channel, segment, chunk)
        except (ConnectionError, web.RequestPayloadError):
            return error(500, "Server error")
        finally:
            self._stats.publishers -= 1

    def abort_stalled(self, before: float) -> None:
        """Cut off publishers that are within a body and have sent nothing since `before`."""
        for body in tuple(self._bodies):
            if body.moved_at < before and body.transport is not None:
                body.transport.abort()

    async def _read_body(
        self, request: web.Request, channel: Channel, segment: Segment, chunk: bytes
    ) -> web.Response:
        content, stats, whole = request.content, self._stats, True
        body = _Body(request.transport, time.monotonic())
        self._bodies.add(body)
        try:
            while chunk:
                if segment.size + len(chunk) > self._max_segment_bytes:
                    channel.drop(segment)
                    stats.refused += 1
                    too_large = error(413, f"Segment larger than {self._max_segment_bytes} bytes")
                    return await end_exchange(request, too_large)
                body.moved_at = time.monotonic()
                whole = channel.write(segment, chunk, body.moved_at)
                stats.bytes_in += len(chunk)
                chunk = await content.readany()
        finally:
            self._bodies.discard(body)
        answer = web.Response(headers={SEQ: str(segment.seq)})
        if not channel.closed and (segment.cut or not whole):
            # A close is what tells a publisher that its bytes went nowhere.
            return await end_exchange(request, answer)
        channel.finish(segment, time.monotonic())
        stats.segments += 1
        return answer

    async def _first_chunk(self, request: web.Request, segment: Segment) -> bytes | None:
        """The first bytes of the body, b"" at its end, or None when the segment ended before."""
        while not segment.ended:
            try:
                async with asyncio.timeout(self._first_byte_tick_s) as limit:

                    def stop_waiting(limit: asyncio.Timeout = limit) -> None:
                        if segment.ended and not limit.expired():
                            limit.reschedule(0)

                    segment.watch(stop_waiting)
                    try:
                        return _if_open(segment, await request.content.readany())
                    finally:
                        segment.unwatch(stop_waiting)
            except TimeoutError:
                _tick(request, segment)
        return None

    async def _turn_away(
        self, request: web.Request, channel: Channel, segment: Segment
    ) -> web.Response:
        """Answer a publisher whose segment somebody else ended before its first byte."""
        channel.rewind(segment)
        headers = {SEQ: str(segment.seq)}
        if channel.closed:
            headers[CLOSED] = CLOSED_VALUE
        return await end_exchange(request, web.Response(headers=headers))


def _if_open(segment: Segment, chunk: bytes) -> bytes | None:
    # Both may have come at once, and what is written after the end goes nowhere.
    return None if segment.ended else chunk


def _tick(request: web.Request, segment: Segment) -> None:
    if not segment.ended and request.transport is not None:
        request.transport.write(_CONTINUE)
