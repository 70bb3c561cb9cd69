"""Publish a channel: one POST per segment, the next one always connected ahead."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Self

from multidict import CIMultiDict

from ._channel import ChannelRequests
from ._http import HEADERS, channel_url, owned_or_given, segment_timeout, segment_url
from ._reporter import Reporter
from ._wire import MPEGTS, NEXT, RESET
from ._writer import SegmentWriter, WriterOptions
from .aio import cancel_and_wait
from .errors import (
    ChannelClosed,
    ChannelError,
    ChannelNotFound,
    ChannelUnreachable,
    SegmentRejected,
    SegmentTimeout,
    TrickleError,
)
from .stats import PublisherStats

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from types import TracebackType

    import aiohttp

    from .events import TrickleEvent

_log = logging.getLogger(__name__)

_LOOKS: Final = 4
"""How often within a timeout stalls are looked for; a timer for each write would cost more."""

_HOPELESS: Final = 3
"""So many failures in a row, over more than `retry_s`, and the publisher gives up."""

BUFFER_BYTES = 1024 * 1024


class TricklePublisher:
    """Publishes a channel, segment by segment. An async context manager.

    While one segment is written the next is connected already, so that it begins without a round
    trip and the server can tell early that the channel is gone.

        async with TricklePublisher("http://127.0.0.1:8888/clock") as publisher:
            async with publisher.open_segment() as segment:
                await segment.write(b"tick")

    Args:
        url: The channel's URL, without a sequence number.
        content_type: The channel's media type, where this publisher creates it.
        session: A session to share; by default the publisher has its own.
        start_seq: The number of the first segment.
        resume: Go on behind what the channel has, instead of at `start_seq`, and have everything
            before that ended for its readers: for a publisher that was restarted.
        buffer_bytes: How much of a segment may wait for a connection before `write` waits.
        write_timeout_s: How long the network may take nothing (and up to a quarter longer).
        retry_s: For how long a segment of which nothing was sent is tried again.
        on_event: Told of each `Retry` and of the end; it must not block.
    """

    def __init__(
        self,
        url: str,
        *,
        content_type: str = MPEGTS,
        session: aiohttp.ClientSession | None = None,
        start_seq: int = 0,
        resume: bool = False,
        buffer_bytes: int = BUFFER_BYTES,
        write_timeout_s: float = 10.0,
        retry_s: float = 10.0,
        on_event: Callable[[TrickleEvent], None] | None = None,
    ) -> None:
        self.url = url
        self.content_type = content_type
        self._base = channel_url(url)
        self._headers = CIMultiDict(HEADERS, **{"Content-Type": content_type})
        self._given_session = session
        self._next_seq = start_seq
        self._resume = resume
        self._buffer_bytes = buffer_bytes
        self._write_timeout_s = write_timeout_s
        self._retry_s = retry_s
        self._reporter = Reporter(url, on_event)
        self._stats = PublisherStats()
        self._channel: ChannelRequests | None = None
        self._options: WriterOptions | None = None
        self._ahead: SegmentWriter | None = None
        self._open: set[SegmentWriter] = set()
        self._releases: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._is_foreign = False
        self._failures = 0
        self._failing_since = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        self._deleting = False

    @property
    def next_seq(self) -> int:
        """The number that the next opened segment will have; -1 while only the server knows."""
        return self._ahead.seq if self._ahead is not None else self._next_seq

    @property
    def stats(self) -> PublisherStats:
        """Counts at this moment."""
        return replace(self._stats)

    async def create(self) -> None:
        """Create the channel, on a server that lets publishers do so; one that exists stays.

        Not needed where a first segment creates it (`autocreate`), or an orchestrator did.

        Raises:
            ChannelNotFound: The server does not let publishers create channels.
            TrickleError: It could not be reached, or refused.
        """
        channel = await self._connect()
        await channel.create(self.content_type)

    async def start(self) -> Self:
        """Connect the first segment ahead of its bytes. Idempotent, and implied by the others."""
        async with self._turn:
            if self._ahead is None:
                self._ahead = await self._first_writer()
        return self

    def open_segment(self) -> Opening:
        """Take the segment that was connected ahead, and connect the one after it.

        Use it as `async with publisher.open_segment() as segment:`, or await it and close the
        segment yourself.

        Raises:
            TrickleError: The segment failed before it began: the channel is not there, or the
                server was away for longer than `retry_s`.
            ChannelUnreachable: The last three segments and more failed, for longer than `retry_s`.
        """
        return Opening(self._take_ahead())

    async def write_segment(self, data: bytes) -> None:
        """Publish one whole segment and wait until the server has it."""
        segment = await self._take_ahead()
        try:
            await segment.close(data)
        except BaseException:
            await segment.abort()
            raise

    async def close(self, *, delete: bool = True) -> None:
        """End what is open, and with `delete` close the channel for everybody. Idempotent.

        A channel that refused every segment, because somebody else has published it, stays.
        Segments that were closed have arrived whole before this; one that is still open is cut.

        Raises:
            ChannelUnreachable: The channel could not be closed.
        """
        if self._closed:
            return
        self._closed, self._deleting = True, delete
        try:
            for writer in (*self._open, *([] if self._ahead is None else [self._ahead])):
                await writer.abort()
            if self._releases and not delete:
                await asyncio.wait(self._releases, timeout=self._write_timeout_s)
            if delete and self._channel is not None and not self._is_foreign:
                await self._channel.delete()
        finally:
            if self._timer is not None:
                self._timer.cancel()
            await cancel_and_wait(*self._releases)
            await self._stack.aclose()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            await self.close()
        except TrickleError as error:
            # What ended the context says more than what followed from it.
            if kind is None:
                raise
            _log.debug("%s", error)

    async def _connect(self) -> ChannelRequests:
        if self._closed:
            raise ValueError("the publisher is closed")
        if self._channel is None or self._options is None:
            session = await self._stack.enter_async_context(owned_or_given(self._given_session))
            self._channel = ChannelRequests(
                session,
                self._base,
                timeout_s=self._write_timeout_s,
                retry_s=self._retry_s,
                on_retry=lambda n, wait_s, error: self._retried(NEXT, n, wait_s, error),
            )
            self._options = WriterOptions(
                session=session,
                channel_url=self.url,
                buffer_bytes=self._buffer_bytes,
                write_timeout_s=self._write_timeout_s,
                retry_s=self._retry_s,
                timeout=segment_timeout(self._retry_s),
                on_retry=self._retried,
                on_over=self._over,
            )
            self._look()
        return self._channel

    async def _take_ahead(self) -> SegmentWriter:
        if self._failures >= _HOPELESS and time.monotonic() - self._failing_since > self._retry_s:
            raise ChannelUnreachable(
                f"{self._failures} segments in a row failed in more than {self._retry_s:g} s",
                url=self.url,
            )
        if self._ahead is not None and not self._turn.locked():
            return self._take(self._ahead)
        async with self._turn:
            return self._take(self._ahead or await self._first_writer())

    def _take(self, writer: SegmentWriter) -> SegmentWriter:
        """Hand out the segment that was connected ahead, and connect the one after it."""
        self._ahead = None
        if writer.over and isinstance(writer.failure, ChannelUnreachable):
            self._go_back(writer.seq)
            raise writer.failure
        if not writer.over:
            self._open.add(writer)
        # The number behind one that only the server knows is known when it has answered.
        if writer.seq != NEXT:
            self._ahead = self._next_writer(self._headers)
        writer.check()
        return writer

    async def _first_writer(self) -> SegmentWriter:
        channel = await self._connect()
        headers = self._headers
        if self._resume:
            self._next_seq = await self._edge(channel)
            self._resume = False
            headers = CIMultiDict(headers, **{RESET: "1"})
        elif self._next_seq == NEXT:
            for writer in tuple(self._open):
                await writer.wait_over()
        return self._next_writer(headers)

    def _next_writer(self, headers: CIMultiDict[str]) -> SegmentWriter:
        if self._closed or self._options is None:
            raise ValueError("the publisher is closed")
        seq = self._next_seq
        if seq != NEXT:
            self._next_seq = seq + 1
        return SegmentWriter(self._options, segment_url(self._base, seq), seq, headers)

    async def _edge(self, channel: ChannelRequests) -> int:
        """Where the channel's edge is; -1, which means the same to the server, if it won't say."""
        try:
            return await channel.edge() or 0
        except ChannelError as error:
            if error.status is None:
                raise
            return NEXT
        finally:
            self._reporter.settled(NEXT)

    def _retried(self, seq: int, attempt: int, wait_s: float, error: TrickleError) -> None:
        self._stats.retries += 1
        self._reporter.retry(seq, attempt, wait_s, error)

    def _over(self, writer: SegmentWriter) -> None:
        """A segment's exchange with the server is over."""
        known = writer in self._open
        self._open.discard(writer)
        self._reporter.settled(writer.seq)
        self._stats.bytes += writer.size
        failure = writer.failure
        if failure is None:
            self._failures = 0
            self._is_foreign = False
            self._stats.segments += 1
            if self._next_seq == NEXT and writer.seq != NEXT:
                self._next_seq = writer.seq + 1
            return
        if isinstance(failure, (ChannelClosed, ChannelNotFound)):
            self._reporter.ended("closed" if isinstance(failure, ChannelClosed) else "not found")
        if known:
            self._let_go(writer, failure)

    def _let_go(self, writer: SegmentWriter, failure: TrickleError) -> None:
        """Count a segment that failed, and see to it that its readers do not wait for it."""
        if isinstance(failure, SegmentRejected) and not self._stats.segments:
            self._is_foreign = True
        if writer.size and not self._closed:
            self._stats.lost += 1
            if writer.begun or isinstance(failure, SegmentRejected):
                self._reporter.lost(writer.seq, failure)
        if failure.retryable or isinstance(failure, SegmentTimeout):
            if not self._failures:
                self._failing_since = time.monotonic()
            self._failures += 1
        if isinstance(failure, ChannelUnreachable) and not writer.begun:
            self._go_back(writer.seq)
        elif not (self._deleting or self._channel is None or isinstance(failure, ChannelError)):
            release = self._release(self._channel, writer.seq)
            task = asyncio.create_task(release, name="trickle DELETE")
            self._releases.add(task)
            task.add_done_callback(self._releases.discard)

    def _go_back(self, seq: int) -> None:
        """Begin again with a number of which the server has seen nothing; readers wait for it."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.drop()
        if seq != NEXT:
            self._next_seq = min(seq, self._next_seq)

    def _look(self) -> None:
        """Give up segments of which nothing is taken."""
        before = time.monotonic() - self._write_timeout_s
        for writer in tuple(self._open):
            writer.give_up(before)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._write_timeout_s / _LOOKS, self._look)

    async def _release(self, channel: ChannelRequests, seq: int) -> None:
        try:
            await channel.cut_segment(seq)
        except TrickleError as error:
            _log.debug("the cut segment %d could not be ended: %s", seq, error)
        finally:
            self._reporter.settled(NEXT)


class Opening:
    """What `open_segment` gives: to be awaited, or entered with `async with`."""

    def __init__(self, opening: Coroutine[None, None, SegmentWriter]) -> None:
        self._opening = opening
        self._writer: SegmentWriter | None = None

    def __await__(self) -> Generator[None, None, SegmentWriter]:
        return self._opening.__await__()

    async def __aenter__(self) -> SegmentWriter:
        self._writer = await self._opening
        return self._writer

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._writer is not None
        await self._writer.__aexit__(kind, error, trace)
