"""Read a channel: one GET per segment, the next one always asked for ahead."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Self

import aiohttp
from yarl import URL

from ._http import CONNECT_TIMEOUT_S, owned_or_given
from ._reader import SegmentReader
from ._reporter import Reporter
from ._retry import persist
from ._wire import CLOSED, CURRENT, LATEST, NOT_HELD, SEQ, parse_header_seq
from .aio import cancel_and_wait
from .errors import (
    ChannelNotFound,
    ChannelRefused,
    ChannelUnreachable,
    SegmentTruncated,
    TrickleError,
)
from .stats import SubscriberStats

if TYPE_CHECKING:
    from collections.abc import Callable

    from .events import TrickleEvent

AHEAD_PAUSE_S = 0.25
"""How long to wait when the server says that its edge is behind the segment we ask for."""


class TrickleSubscriber:
    """Reads a channel, segment by segment, until it is closed. An async iterator.

    A segment is handed out when its first byte is here. What is left unread of it when the next
    one is asked for is given up. A segment that the server no longer holds is skipped, and the
    one after it says by `gap` how many were lost.

        async with TrickleSubscriber("http://127.0.0.1:8888/clock") as subscriber:
            async for segment in subscriber:
                async for chunk in segment:
                    ...

    Args:
        url: The channel's URL, without a sequence number.
        start: Where to begin: a number, -1 for the next to be written, -2 for the current one.
        session: A session to share; by default the subscriber has its own.
        retry_s: For how long a failing server is asked again before the iteration fails.
        refresh_s: A request on which nothing came for so long is made anew, which finds a
            connection that died unnoticed.
        on_event: Told of each `Gap`, each `Retry` and the end; it must not block.
    """

    def __init__(
        self,
        url: str,
        *,
        start: int = CURRENT,
        session: aiohttp.ClientSession | None = None,
        retry_s: float = 10.0,
        refresh_s: float = 20.0,
        on_event: Callable[[TrickleEvent], None] | None = None,
    ) -> None:
        self.url = url
        self._base = URL(url.rstrip("/"))
        self._seq = start
        self._given_session = session
        self._session: aiohttp.ClientSession | None = None
        self._retry_s = retry_s
        self._timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=refresh_s
        )
        self._reporter = Reporter(url, on_event)
        self._stats = SubscriberStats()
        self._ahead: asyncio.Task[SegmentReader | None] | None = None
        self._current: SegmentReader | None = None
        self._known = False
        self._over = False
        self._stack = AsyncExitStack()

    @property
    def stats(self) -> SubscriberStats:
        """Counts at this moment."""
        return replace(self._stats)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SegmentReader:
        """The next segment.

        Raises:
            ChannelNotFound: The server never knew the channel. (One that it knew has ended.)
            ChannelRefused: The server does not let us read the channel.
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
        if not task.done():
            # Not awaited itself: who is cancelled while waiting may ask again, and miss nothing.
            await asyncio.wait((task,))
        self._ahead = None
        reader = task.result()
        if reader is None:
            self._over = True
            raise StopAsyncIteration
        self._current = reader
        self._seq = reader.seq + 1
        self._stats.segments += 1
        self._stats.missed += reader.gap
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
        behind: int | None = None
        while True:
            response = await self._answer(session, wanted)
            if response.status == 200 and CLOSED not in response.headers:
                self._known = True
                return self._found(session, response, wanted, gap)
            response.close()
            if response.status != NOT_HELD or CLOSED in response.headers:
                self._end(response.status)
                return None
            self._known = True
            latest = parse_header_seq(response.headers.get(LATEST))
            if latest is not None and latest > wanted:
                gap += latest - wanted if wanted >= 0 else 0
                wanted = latest
            elif latest is not None and behind is not None and latest > behind:
                # The edge is behind us and moves: somebody publishes the channel from the start.
                self._reporter.gap(latest, 0)
                wanted, behind = latest, None
            else:
                behind = latest
                await asyncio.sleep(AHEAD_PAUSE_S)

    def _found(
        self,
        session: aiohttp.ClientSession,
        response: aiohttp.ClientResponse,
        wanted: int,
        gap: int,
    ) -> SegmentReader:
        number = _number(response, wanted)
        if wanted >= 0:
            gap += number - wanted
        if gap:
            self._reporter.gap(number, gap)
        return SegmentReader(
            response,
            number,
            gap,
            retry_s=self._retry_s,
            stats=self._stats,
            resume=lambda seq: self._again(session, seq),
        )

    def _end(self, status: int) -> None:
        if status == 404 and not self._known:
            raise ChannelNotFound("the channel does not exist", url=self.url, status=404)
        self._reporter.ended("not found" if status == 404 else "closed")

    async def _again(self, session: aiohttp.ClientSession, seq: int) -> aiohttp.ClientResponse:
        """The segment once more, from its start; raises `TrickleError` when it is not to be had."""
        response = await self._answer(session, seq)
        if response.status == 200 and CLOSED not in response.headers:
            return response
        response.close()
        raise SegmentTruncated(
            "the server no longer holds it", url=str(response.url), status=response.status
        )

    async def _answer(self, session: aiohttp.ClientSession, seq: int) -> aiohttp.ClientResponse:
        """An answer with a meaning: what fails for a while is asked again."""
        try:
            return await persist(
                lambda: self._get(session, seq),
                limit_s=self._retry_s,
                again=lambda error: error.retryable,
                on_retry=lambda n, wait_s, error: self._retried(seq, n, wait_s, error),
            )
        finally:
            self._reporter.settled(seq)

    async def _get(self, session: aiohttp.ClientSession, seq: int) -> aiohttp.ClientResponse:
        url = self._base / str(seq)
        while True:
            if session.closed:
                raise ChannelRefused("the shared session was closed", url=self.url)
            try:
                response = await session.get(url, timeout=self._timeout)
            except aiohttp.SocketTimeoutError:
                # Silence, which at the edge is ordinary.
                continue
            except (aiohttp.ClientError, OSError) as error:
                raise ChannelUnreachable(
                    f"segment {seq} could not be asked for: {error!r}", url=self.url
                ) from error
            if response.status == 200 and 0 <= _number(response, seq) < seq:
                response.close()
                raise ChannelUnreachable(
                    f"the server sent segment {_number(response, seq)} for {seq}", url=self.url
                )
            if response.status in (200, 404, NOT_HELD) or CLOSED in response.headers:
                return response
            response.close()
            refused: type[TrickleError] = (
                ChannelUnreachable if response.status >= 500 else ChannelRefused
            )
            raise refused(
                f"segment {seq} was refused with {response.status}",
                url=self.url,
                status=response.status,
            )

    def _retried(self, seq: int, attempt: int, wait_s: float, error: TrickleError) -> None:
        self._stats.retries += 1
        self._reporter.retry(seq, attempt, wait_s, error)


def _number(response: aiohttp.ClientResponse, wanted: int) -> int:
    number = parse_header_seq(response.headers.get(SEQ))
    return wanted if number is None else number
