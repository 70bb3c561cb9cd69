"""A subscriber's GETs: each until there is an answer with a meaning."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from multidict import CIMultiDict

from ._http import (
    HEADERS,
    NETWORK_ERRORS,
    UNUSABLE,
    segment_timeout,
    segment_url,
    was_connected,
    words,
)
from ._retry import persist
from ._wire import CLOSED, NOT_HELD, SEQ, parse_header_seq
from .errors import ChannelRefused, ChannelUnreachable, SegmentTruncated, TrickleError

if TYPE_CHECKING:
    import aiohttp
    from yarl import URL

    from ._reporter import Reporter
    from .stats import SubscriberStats

_HEADERS: Final = CIMultiDict(HEADERS)


class Requests:
    """Asks for the segments of one channel; what fails for a while is asked again.

    Args:
        session: The HTTP session.
        channel: The channel's URL.
        reporter: Told of each retry.
        stats: Counts of the subscriber.
        retry_s: For how long a failing server is asked again.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        channel: URL,
        reporter: Reporter,
        stats: SubscriberStats,
        retry_s: float,
    ) -> None:
        self.retry_s = retry_s
        self._session = session
        self._channel = channel
        self._reporter = reporter
        self._stats = stats
        self._timeout = segment_timeout(retry_s)
        self._asking: dict[asyncio.Task[object], float] = {}
        self._tired: set[asyncio.Task[object]] = set()

    async def answer(self, seq: int) -> aiohttp.ClientResponse:
        """A 200, 404 or 470, or anything that says that the channel is closed.

        Raises:
            ChannelRefused: Another 4xx.
            ChannelUnreachable: The server failed for longer than `retry_s`.
        """
        began = time.monotonic()
        try:
            return await self._get(seq)
        except TrickleError as failure:
            return await persist(
                lambda: self._get(seq),
                failure,
                began=began,
                limit_s=self.retry_s,
                again=lambda error: error.retryable,
                on_retry=lambda n, wait_s, error: self._retried(seq, n, wait_s, error),
                stood=was_connected,
            )
        finally:
            self._reporter.settled(seq)

    async def again(self, seq: int) -> aiohttp.ClientResponse:
        """A segment once more, from its start.

        Raises:
            SegmentTruncated: The server does not hold it any more.
            ChannelError: As for `answer`.
        """
        response = await self.answer(seq)
        if response.status == 200 and CLOSED not in response.headers:
            return response
        response.close()
        raise SegmentTruncated(
            "the server no longer holds it", url=str(response.url), status=response.status
        )

    def cut(self, seq: int, error: TrickleError) -> None:
        """Report a body that was cut and will be asked for again."""
        self._reporter.retry(seq, 1, 0.0, error)

    def refresh(self, before: float) -> None:
        """Make those requests anew that have waited since before that time."""
        for task, since in self._asking.items():
            if since < before and task not in self._tired:
                # As `asyncio.timeout` does it, which would cost each request as much as its URL.
                self._tired.add(task)
                task.cancel()

    async def _get(self, seq: int) -> aiohttp.ClientResponse:
        url = segment_url(self._channel, seq)
        response: aiohttp.ClientResponse | None = None
        while response is None:
            try:
                response = await self._get_or_tire(url)
            except UNUSABLE as error:
                raise ChannelRefused(
                    f"segment {seq} cannot be asked for: {words(error)}", url=str(self._channel)
                ) from error
            except NETWORK_ERRORS as error:
                raise ChannelUnreachable(
                    f"segment {seq} could not be asked for: {words(error)}", url=str(self._channel)
                ) from error
        problem = self._problem(response, seq)
        if problem is not None:
            response.close()
            raise problem
        return response

    async def _get_or_tire(self, url: URL) -> aiohttp.ClientResponse | None:
        """The response, or None when nothing came for long, which at the edge is ordinary."""
        task = asyncio.current_task()
        assert task is not None
        self._asking[task] = time.monotonic()
        try:
            return await self._session.get(
                url, headers=_HEADERS, timeout=self._timeout, allow_redirects=False
            )
        except asyncio.CancelledError:
            # Ours is taken back; somebody else's, which may have come as well, is not.
            if task in self._tired and not task.uncancel():
                return None
            raise
        finally:
            self._tired.discard(task)
            del self._asking[task]

    def _problem(self, response: aiohttp.ClientResponse, seq: int) -> TrickleError | None:
        status, url = response.status, str(self._channel)
        if status == 200 and 0 <= number(response, seq) < seq:
            return ChannelUnreachable(
                f"the server sent segment {number(response, seq)} for {seq}", url=url
            )
        if status in (200, 404, NOT_HELD) or CLOSED in response.headers:
            return None
        refused = ChannelUnreachable if status >= 500 else ChannelRefused
        return refused(f"segment {seq} was refused with {status}", url=url, status=status)

    def _retried(self, seq: int, attempt: int, wait_s: float, error: TrickleError) -> None:
        self._stats.retries += 1
        self._reporter.retry(seq, attempt, wait_s, error)


def number(response: aiohttp.ClientResponse, wanted: int) -> int:
    """The number of the segment that came: what the server says, else what was asked for."""
    told = parse_header_seq(response.headers.get(SEQ))
    return wanted if told is None else told
