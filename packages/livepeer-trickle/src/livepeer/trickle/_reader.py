"""One segment that is being read."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import aiohttp

from ._http import NETWORK_ERRORS, words
from .errors import MessageError, SegmentTruncated, TrickleError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ._requests import Requests
    from .stats import SubscriberStats

_PAUSE_S: Final = 0.1
_PIECE_BYTES: Final = 64 * 1024


class _Silence(aiohttp.ClientError):
    """Nothing came for a while, which is no failure."""


class SegmentReader:
    """One segment that is being read: iterate over its bytes as they arrive.

    A body that is cut, or falls silent, is asked for again from the same server; what was handed
    out before is skipped, so that no byte is lost or seen twice.

    Attributes:
        seq: The segment's number.
        gap: How many segments before this one were missed, because they were no longer held.
        content_type: The channel's media type.
    """

    def __init__(
        self,
        response: aiohttp.ClientResponse,
        seq: int,
        gap: int,
        requests: Requests,
        stats: SubscriberStats,
    ) -> None:
        self.seq = seq
        self.gap = gap
        self.content_type = response.headers.get("Content-Type", "")
        self._response = response
        self._requests = requests
        self._stats = stats
        self._waiting_since: float | None = None
        self._received = 0
        self._latest = b""
        self._given_up = False
        self._failing_since: float | None = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Chunks of the body, each as soon as it is here.

        Raises:
            SegmentTruncated: The connection was cut before the segment's end, and the server does
                not hold the segment any more or failed for longer than `retry_s`.
        """
        while True:
            chunk, self._waiting_since = b"", time.monotonic()
            failure: Exception | None = None
            try:
                chunk = await self._response.content.readany()
            except NETWORK_ERRORS as error:
                failure = error
            finally:
                self._waiting_since = None
            if failure is not None:
                await self._take_up(failure)
                continue
            if not chunk:
                self._given_up = True
                return
            self._received += len(chunk)
            self._stats.bytes += len(chunk)
            self._latest = chunk
            self._failing_since = None
            yield chunk

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
        # At its end aiohttp has given the connection back already.
        if not self._given_up:
            self._given_up = True
            self._response.close()

    def refresh(self, before: float) -> None:
        """Have the body asked for anew if nothing came on it since before that time."""
        if self._waiting_since is not None and self._waiting_since < before:
            self._response.content.set_exception(_Silence())

    async def _take_up(self, error: Exception) -> None:
        """Go on where the body was cut."""
        while True:
            if self._given_up:
                raise self._truncated("it was given up") from error
            self._response.close()
            # Silence is no failure: a request that nothing comes on is only made anew.
            if not isinstance(error, _Silence):
                await self._be_patient(error)
            try:
                self._response = await self._requests.again(self.seq)
                await self._skip()
            except TrickleError as failure:
                raise self._truncated(str(failure)) from error
            except NETWORK_ERRORS as again:
                error = again
            else:
                self._stats.resumed += 1
                return

    async def _be_patient(self, error: Exception) -> None:
        now = time.monotonic()
        if self._failing_since is None:
            self._failing_since = now
            self._requests.cut(self.seq, self._truncated(words(error)))
            return
        if now - self._failing_since > self._requests.retry_s:
            raise self._truncated(
                f"again and again for {self._requests.retry_s:g} s: {words(error)}"
            ) from error
        await asyncio.sleep(_PAUSE_S)

    async def _skip(self) -> None:
        """Pass over what was handed out before, and see by its end that it is the same."""
        content = self._response.content
        left = self._received - len(self._latest)
        try:
            while left:
                self._waiting_since = time.monotonic()
                piece = await content.read(min(left, _PIECE_BYTES))
                if not piece:
                    raise self._truncated("the server holds less of it than before")
                left -= len(piece)
            self._waiting_since = time.monotonic()
            same = await content.readexactly(len(self._latest)) == self._latest
        except asyncio.IncompleteReadError:
            same = False
        finally:
            self._waiting_since = None
        if not same:
            raise self._truncated("the server holds another of that number")

    def _truncated(self, why: str) -> SegmentTruncated:
        return SegmentTruncated(
            f"segment {self.seq} was cut after {self._received} bytes: {why}",
            url=str(self._response.url),
        )
