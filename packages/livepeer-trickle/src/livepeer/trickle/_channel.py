"""Requests about a channel as a whole, and about segments that nobody writes any more."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import aiohttp

from ._http import NETWORK_ERRORS, UNUSABLE, segment_url, words
from ._retry import persist
from ._wire import EXPECT_CONTENT, LATEST, TRUNCATED, parse_header_seq
from .errors import ChannelNotFound, ChannelRefused, ChannelUnreachable, TrickleError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from yarl import URL


class ChannelRequests:
    """Creates, asks about and closes one channel.

    Args:
        session: The HTTP session.
        channel: The channel's URL.
        timeout_s: How long an answer may take.
        retry_s: For how long a failing server is asked again.
        on_retry: Told before each wait, as by `persist`.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        channel: URL,
        *,
        timeout_s: float,
        retry_s: float,
        on_retry: Callable[[int, float, TrickleError], None],
    ) -> None:
        self._session = session
        self._channel = channel
        self._timeout = aiohttp.ClientTimeout(total=timeout_s)
        self._retry_s = retry_s
        self._on_retry = on_retry

    async def create(self, content_type: str) -> None:
        """Create the channel; one that exists stays as it is.

        Raises:
            ChannelNotFound: The server creates none.
            ChannelError: It failed or refused.
        """
        status, _ = await self._ask("POST", self._channel, {EXPECT_CONTENT: content_type})
        if status == 404:
            raise ChannelNotFound(
                "the server creates no channels", url=str(self._channel), status=status
            )
        if status != 200:
            raise self._refused("the channel", status)

    async def edge(self) -> int | None:
        """The number of the next segment to be written; None where there is no such channel.

        Raises:
            ChannelError: The server failed, or does not tell.
        """
        status, headers = await self._ask("GET", self._channel / "next")
        if status == 404:
            return None
        edge = parse_header_seq(headers.get(LATEST))
        if status != 200 or edge is None:
            raise self._refused("the channel's edge", status)
        return edge

    async def delete(self) -> None:
        """Close the channel for everybody; one attempt, for its owner is about to leave.

        Raises:
            ChannelError: The server failed or refused.
        """
        status, _ = await self._ask_once("DELETE", self._channel, None)
        # 400 and 404 say that it is gone already, which is what we want.
        if status not in (200, 400, 404):
            raise self._refused("the end of the channel", status)

    async def cut_segment(self, seq: int) -> None:
        """End a segment that was begun and will not be whole, which its readers ought to see.

        The header is ours; go-livepeer's server ends the segment as if it were whole.

        Raises:
            ChannelError: The server failed.
        """
        await self._ask("DELETE", segment_url(self._channel, seq), {TRUNCATED: "1"})

    async def _ask(
        self, method: str, url: URL, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, str]]:
        began = time.monotonic()
        try:
            return await self._ask_once(method, url, headers)
        except TrickleError as failure:
            return await persist(
                lambda: self._ask_once(method, url, headers),
                failure,
                began=began,
                limit_s=self._retry_s,
                again=lambda error: error.retryable,
                on_retry=self._on_retry,
            )

    async def _ask_once(
        self, method: str, url: URL, headers: Mapping[str, str] | None
    ) -> tuple[int, Mapping[str, str]]:
        request = self._session.request(
            method, url, headers=headers, timeout=self._timeout, allow_redirects=False
        )
        try:
            async with request as response:
                status, answered = response.status, response.headers
        except UNUSABLE as error:
            raise ChannelRefused(f"{method} is impossible: {words(error)}", url=str(url)) from error
        except NETWORK_ERRORS as error:
            raise ChannelUnreachable(f"{method} failed: {words(error)}", url=str(url)) from error
        if status >= 500:
            raise self._refused(method, status)
        return status, answered

    def _refused(self, what: str, status: int) -> ChannelUnreachable | ChannelRefused:
        kind = ChannelUnreachable if status >= 500 else ChannelRefused
        return kind(f"{what} was refused with {status}", url=str(self._channel), status=status)
