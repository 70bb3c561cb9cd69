"""Pieces of MPEG-TS to the output channel, segment by segment."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from livepeer.trickle import TricklePublisher
from livepeer.trickle.errors import ChannelClosed, ChannelNotFound, SegmentError, TrickleError

if TYPE_CHECKING:
    import aiohttp

    from livepeer.runner._live.stats import SessionStats
    from livepeer.trickle import SegmentWriter
    from livepeer.trickle.media import Piece

_log = logging.getLogger(__name__)

CLOSING = 2
"""How many ended segments may wait for the server's word while the next is written."""

BUFFER_BYTES = 256 * 1024
"""How much of a segment may wait for a connection.

Both are little, because they are time: what waits here is published late, and frames that find no
room before it are dropped and counted. One key frame always fits.
"""


class Output:
    """Publishes the stream that goes out.

    A segment that fails is given up, which the publisher logs, and the stream goes on with the next
    one; a channel that is gone ends the output, and `put` raises.
    """

    def __init__(self, url: str, http: aiohttp.ClientSession, stats: SessionStats) -> None:
        self._publisher = TricklePublisher(url, session=http, buffer_bytes=BUFFER_BYTES)
        self._stats = stats
        self._gone = asyncio.Event()
        self._segment: SegmentWriter | None = None
        self._begun = 0
        self._closing: set[asyncio.Task[None]] = set()
        stats.watch_depth("output", lambda: len(self._closing))

    @property
    def segments(self) -> int:
        """How many segments were begun, whatever became of them."""
        return self._begun

    async def put(self, piece: Piece) -> None:
        """Send bytes on; waits while the network is slower than the stream.

        Raises:
            ChannelError: The channel is gone.
        """
        try:
            if piece.starts:
                await self._end_segment()
                self._begun += 1
                self._segment = await self._publisher.open_segment()
            if self._segment is not None:
                await self._segment.write(piece.data)
        except SegmentError as error:
            _log.debug("the rest of output segment %d is left out: %s", self._begun - 1, error)
            self._stats.segments_lost += 1
            self._segment = None
        except (ChannelNotFound, ChannelClosed):
            self._gone.set()
            raise

    async def wait_gone(self) -> None:
        """Until the server has said that there is no such channel any more."""
        await self._gone.wait()

    async def finish(self) -> None:
        """End the last segment and wait until the server has all of them."""
        await self._end_segment()
        if self._closing:
            await asyncio.wait(self._closing)

    async def close(self, *, delete: bool) -> None:
        """Stop; with `delete` readers see the end of the channel. Idempotent."""
        try:
            await self._publisher.close(delete=delete)
        except TrickleError as error:
            _log.debug("the output channel was gone when it was closed: %s", error)

    async def _end_segment(self) -> None:
        segment, self._segment = self._segment, None
        if segment is None:
            return
        if len(self._closing) >= CLOSING:
            await asyncio.wait(self._closing, return_when=asyncio.FIRST_COMPLETED)
        # Not awaited: the next segment must not wait for a round trip.
        task = asyncio.create_task(self._close(segment), name=f"end of segment {segment.seq}")
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close(self, segment: SegmentWriter) -> None:
        try:
            await segment.close()
            self._stats.segments_out += 1
        except TrickleError as error:
            self._stats.segments_lost += 1
            if isinstance(error, (ChannelNotFound, ChannelClosed)):
                self._gone.set()
            _log.debug("output segment %d did not arrive whole: %s", segment.seq, error)
