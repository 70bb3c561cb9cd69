"""Read a channel: one GET per segment, the next one always asked for ahead."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

import aiohttp

from ._http import backoff, owned_or_given
from ._wire import CLOSED, CURRENT, LATEST, NOT_HELD, SEQ, parse_header_seq, segment_url
from .aio import cancel_and_wait
from .errors import ChannelNotFound, ChannelUnreachable, MessageError, SegmentTruncated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

AHEAD_PAUSE_S = 0.25
"""How long to wait when the server says that its edge is behind the segment we ask for."""


class _Refresh(Exception):
    """Nothing came for a while, which at the edge is ordinary."""


class SegmentReader:
    """One segment that is being read: iterate over its bytes as they arrive.

    Attributes:
        seq: The segment's number.
        gap: How many segments before this one were missed, because they were no longer held.
        content_type: The channel's media type.
    """

    def __init__(self, response: aiohttp.ClientResponse, seq: int, gap: int) -> None:
        self.seq = seq
        self.gap = gap
        self.content_type = response.headers.get("Content-Type", "")
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Chunks of the body, each as soon as it is here.

        Raises:
            SegmentTruncated: The connection was cut before the segment's end.
        """
        try:
            async for chunk in self._response.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, ConnectionError) as error:
            raise SegmentTruncated(
                f"segment {self.seq} was cut: {error!r}", url=str(self._response.url)
            ) from error

    async def read(self, max_bytes: int = 1024 * 1024) -> bytes:
        """The whole body.

        Raises:
            MessageError: It is larger than `max_bytes`.
            SegmentTruncated: The connection was cut before the segment's end.
        """
        body = bytearray()
        async for chunk in self:
            body += chunk
            if len(body) > max_bytes:
                self.close()
                raise MessageError(
                    f"segment {self.seq} is larger than {max_bytes} bytes",
                    url=str(self._response.url),
                )
        return bytes(body)

    def close(self) -> None:
        """Give the connection up, whatever is left of the body. Idempotent."""
        self._response.close()


class TrickleSubscriber:
    """Reads a channel, segment by segment, until it is closed. An async iterator.

    A segment is handed out when its first byte is here. What is left unread of it when the next
    one is asked for is given up. A segment that the server no longer holds is skipped, and the
    one after it says by `gap` how many were lost.

    Args:
        url: The channel's URL, without a sequence number.
        start: Where to begin: a number, -1 for the next to be written, -2 for the current one.
        session: A session to share; by default the subscriber has its own.
        retry_s: For how long a failing server is asked again before the iteration fails.
        refresh_s: A request that waited so long at the edge is made anew, which finds a
            connection that died unnoticed.
    """

    def __init__(
        self,
        url: str,
        *,
        start: int = CURRENT,
        session: aiohttp.ClientSession | None = None,
        retry_s: float = 10.0,
        refresh_s: float = 20.0,
    ) -> None:
        self.url = url
        self._seq = start
        self._given_session = session
        self._session: aiohttp.ClientSession | None = None
        self._retry_s = retry_s
        self._refresh_s = refresh_s
        self._ahead: asyncio.Task[SegmentReader | None] | None = None
        self._current: SegmentReader | None = None
        self._known = False
        self._over = False
        self._stack = AsyncExitStack()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SegmentReader:
        """The next segment.

        Raises:
            ChannelNotFound: The server never knew the channel. (One that it knew has ended.)
            ChannelUnreachable: The server failed for longer than `retry_s`.
        """
        if self._over:
            raise StopAsyncIteration
        if self._session is None:
            self._session = await self._stack.enter_async_context(
                owned_or_given(self._given_session)
            )
        if self._current is not None:
            self._current.close()
        task = self._ahead or asyncio.create_task(self._fetch(self._session, self._seq))
        self._ahead = task
        # Not awaited itself: who is cancelled while waiting may ask again, and miss nothing.
        await asyncio.wait((task,))
        self._ahead = None
        reader = task.result()
        if reader is None:
            self._over = True
            raise StopAsyncIteration
        self._current = reader
        self._seq = reader.seq + 1
        # Asked for at once: a fast publisher moves on by one window while a segment is read.
        self._ahead = asyncio.create_task(self._fetch(self._session, self._seq))
        return reader

    async def aclose(self) -> None:
        """Stop reading and give up every connection. Idempotent."""
        self._over = True
        ahead, self._ahead = self._ahead, None
        await cancel_and_wait(ahead)
        if ahead is not None and not ahead.cancelled() and ahead.exception() is None:
            fetched = ahead.result()
            if fetched is not None:
                fetched.close()
        if self._current is not None:
            self._current.close()
        await self._stack.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def _fetch(self, session: aiohttp.ClientSession, seq: int) -> SegmentReader | None:
        """Ask until there is a segment; None when the channel has ended."""
        wanted, gap = seq, 0
        while True:
            response = await self._answer(session, wanted)
            number = parse_header_seq(response.headers.get(SEQ))
            if response.status == 200 and CLOSED not in response.headers:
                self._known = True
                return SegmentReader(response, wanted if number is None else number, gap)
            response.close()
            if response.status != NOT_HELD or CLOSED in response.headers:
                if response.status == 404 and not self._known:
                    raise ChannelNotFound("the channel does not exist", url=self.url, status=404)
                return None
            self._known = True
            latest = parse_header_seq(response.headers.get(LATEST))
            if latest is not None and latest > wanted:
                gap += latest - wanted if wanted >= 0 else 0
                wanted = latest
            else:
                await asyncio.sleep(AHEAD_PAUSE_S)

    async def _answer(self, session: aiohttp.ClientSession, seq: int) -> aiohttp.ClientResponse:
        """An answer with a meaning: what fails for a while is asked again."""
        loop = asyncio.get_running_loop()
        waits, failing_since = backoff(), loop.time()
        while True:
            if session.closed:
                raise ChannelUnreachable("the shared session was closed", url=self.url)
            try:
                response = await self._get(session, seq)
            except _Refresh:
                failing_since = loop.time()
                continue
            except (aiohttp.ClientError, OSError) as error:
                failure = ChannelUnreachable(
                    f"segment {seq} could not be asked for: {error!r}", url=self.url
                )
            else:
                if response.status in (200, 404, NOT_HELD) or CLOSED in response.headers:
                    return response
                response.close()
                status = response.status
                failure = ChannelUnreachable(
                    f"segment {seq} was refused with {status}", url=self.url, status=status
                )
                if status < 500:
                    raise failure
            if loop.time() - failing_since > self._retry_s:
                raise failure
            await asyncio.sleep(next(waits))

    async def _get(self, session: aiohttp.ClientSession, seq: int) -> aiohttp.ClientResponse:
        try:
            async with asyncio.timeout(self._refresh_s) as limit:
                return await session.get(segment_url(self.url, seq))
        except TimeoutError:
            # A connect that timed out is a failure, and of the same builtin type.
            if limit.expired():
                raise _Refresh from None
            raise
