"""One segment that is being published: a POST that stands before its bytes do."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self, cast

from aiohttp.http import StreamWriter

from ._http import NETWORK_ERRORS, UNUSABLE, was_connected, words
from ._post import Body, raise_for_answer, unsent
from ._retry import persist
from ._wire import SEQ, parse_header_seq
from .aio import cancel_and_wait, start
from .errors import (
    ChannelRefused,
    ChannelUnreachable,
    SegmentAborted,
    SegmentRejected,
    SegmentTimeout,
    SegmentTruncated,
    TrickleError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import aiohttp
    from aiohttp.abc import AbstractStreamWriter
    from yarl import URL

# Under asyncio's own mark nobody is made to wait, and no deadline is needed.
_HIGH_WATER_BYTES: Final = 64 * 1024

# How long the server's answer may take to explain a connection that it closed.
_EXPLANATION_S: Final = 1.0

_GRACE_S: Final = 0.1

_BYTES: Final = (bytes, bytearray, memoryview)


@dataclass(frozen=True, kw_only=True)
class WriterOptions:
    """What all segments of a publisher share."""

    session: aiohttp.ClientSession
    channel_url: str
    buffer_bytes: int
    write_timeout_s: float
    retry_s: float
    timeout: aiohttp.ClientTimeout
    on_retry: Callable[[int, int, float, TrickleError], None]
    on_over: Callable[[SegmentWriter], None]


class SegmentWriter:
    """One segment that is being published; an async context manager that closes it.

    Bytes go out as they are written. While the network takes none, `write` waits.

    Attributes:
        seq: The segment's number.
        size: How many bytes were written to it.
    """

    def __init__(
        self, options: WriterOptions, url: URL, seq: int, headers: Mapping[str, str]
    ) -> None:
        self.seq = seq
        self.size = 0
        self._options = options
        self._url = url
        self._headers = headers
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._wire: StreamWriter | None = None
        self._begun = False
        self._ended = False
        self._whole = False
        self._refused = False
        self._failure: TrickleError | None = None
        self._over = False
        self._end: asyncio.Future[None] | None = None
        self._waiters: list[asyncio.Future[None]] = []
        self._unsent_before = 0
        self._waiting_since: float | None = None
        self._connected: StreamWriter | None = None
        self._post = start(self._deliver(), name="trickle POST")

    async def write(self, data: bytes) -> None:
        """Append bytes to the segment.

        Raises:
            SegmentTimeout: The server took nothing for the publisher's `write_timeout_s`.
            TrickleError: The segment or its channel failed; the bytes may be lost.
            ValueError: The segment was closed before.
        """
        self._take(data)
        if self._wire is not None and not self._waiting:
            await self._send(self._wire, data)
        elif data:
            self._waiting.append(data)
            self._waiting_bytes += len(data)
            while self._waiting_bytes > self._options.buffer_bytes:
                await self._wait_for_progress()

    async def close(self, last: bytes = b"") -> None:
        """End the segment, with `last` as its last bytes, and wait until the server has all of it.

        Idempotent.

        Raises:
            TrickleError: The segment did not arrive whole.
        """
        if last:
            self._take(last)
            if self._wire is not None and not self._waiting:
                await self._send(self._wire, last, end=True)
            else:
                self._waiting.append(last)
                self._waiting_bytes += len(last)
        self._ended = True
        if self._end is not None and not self._end.done():
            self._end.set_result(None)
        while not self._over:
            await self._wait_for_progress()
        self.check()

    async def abort(self) -> None:
        """Cut the connection and have the segment ended for its readers. Idempotent."""
        self._ended = True
        self._sever()
        await cancel_and_wait(self._post)
        # A task that is cancelled before its first step never comes to its own end.
        self._settle(self._aborted())

    def drop(self) -> None:
        """Give up a segment that nobody has taken."""
        self._sever()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            await self.close()
        else:
            await self.abort()

    @property
    def begun(self) -> bool:
        """Whether any byte may have reached the server."""
        return self._begun

    @property
    def over(self) -> bool:
        """Whether the exchange with the server is over, well or badly."""
        return self._over

    @property
    def failure(self) -> TrickleError | None:
        """Why the segment did not arrive whole; None while it is well."""
        return self._failure

    async def wait_over(self) -> None:
        """Wait until the exchange with the server is over, well or badly.

        Raises:
            SegmentTimeout: It took longer than the publisher's `write_timeout_s`.
        """
        timeout_s = self._options.write_timeout_s
        done, _ = await asyncio.wait((self._post,), timeout=timeout_s)
        if not done:
            raise SegmentTimeout(
                f"segment {self.seq} is still open after {timeout_s:g} s", url=str(self._url)
            )

    def check(self) -> None:
        """Raise what ended the segment before we did; nothing while it is well."""
        if self._failure is not None:
            raise self._failure

    def _take(self, data: bytes) -> None:
        if not isinstance(cast("object", data), _BYTES):  # an annotation keeps nobody from it
            raise TypeError(f"a segment takes bytes, not {type(data).__name__}")
        if self._ended:
            raise ValueError(f"segment {self.seq} is closed")
        self.check()
        self.size += len(data)

    async def _send(self, wire: StreamWriter, data: bytes, *, end: bool = False) -> None:
        self._begun = True
        try:
            if end and unsent(wire) + len(data) <= _HIGH_WATER_BYTES:
                # Data and end in one piece; aiohttp's own end is empty then.
                await wire.write_eof(data)
                return
            await wire.write(data, drain=False)
            if unsent(wire) > _HIGH_WATER_BYTES:
                self._unsent_before, self._waiting_since = self._unsent(), time.monotonic()
                try:
                    await wire.drain()
                finally:
                    self._waiting_since = None
        except NETWORK_ERRORS as error:
            await asyncio.wait((self._post,), timeout=_EXPLANATION_S)
            self.check()
            raise SegmentTruncated(
                f"segment {self.seq} was cut: {words(error)}", url=str(self._url)
            ) from error

    async def _wait_for_progress(self) -> None:
        if not self._over:
            moved: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(moved)
            self._unsent_before, self._waiting_since = self._unsent(), time.monotonic()
            try:
                await moved
            finally:
                self._waiting_since = None
        self.check()

    def _move(self) -> None:
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    def give_up(self, before: float) -> None:
        """End the segment if nothing of it moved since before that time; fewer bytes are a move."""
        if self._waiting_since is None or self._waiting_since >= before:
            return
        if self._connected is None:
            # While there is no connection the retries have their own limit.
            return
        unsent = self._unsent()
        if unsent < self._unsent_before:
            self._unsent_before, self._waiting_since = unsent, time.monotonic()
            return
        self._failure = SegmentTimeout(
            f"nothing was taken of segment {self.seq} for {self._options.write_timeout_s:g} s",
            url=str(self._url),
        )
        self._sever()

    def _sever(self) -> None:
        self._post.cancel()
        # To close it would be to wait until a peer that takes nothing has taken what is left.
        if not self._over and self._connected is not None and self._connected.transport is not None:
            self._connected.transport.abort()

    def _unsent(self) -> int:
        return self._waiting_bytes + (unsent(self._connected) if self._connected else 0)

    async def feed(self, wire: AbstractStreamWriter) -> None:
        """Send what waits, then let `write` have the connection until the segment's end."""
        assert isinstance(wire, StreamWriter)
        # aiohttp keeps the headers back until the first bytes; the server must see them now.
        wire.send_headers()
        self._connected = wire
        if self._refused:
            # Bytes that were sent once are not sent again: a server that refuses gets the time to
            # say so before it sees any.
            await asyncio.sleep(_GRACE_S)
        while self._waiting:
            self._begun = True
            await wire.write(self._waiting[0])
            self._waiting_bytes -= len(self._waiting.popleft())
            self._move()
        self._wire = wire
        try:
            if not self._ended:
                self._end = asyncio.get_running_loop().create_future()
                await self._end
            self._whole = True
            # Left to aiohttp, its failure would be a task's that nobody waits for.
            await wire.write_eof()
        finally:
            self._wire = None

    async def _deliver(self) -> None:
        """Post the segment, and settle what became of it."""
        began = time.monotonic()
        try:
            try:
                await self._attempt()
            except TrickleError as error:
                await self._begin_anew(error, began)
        except TrickleError as error:
            self._settle(error)
        else:
            self._settle(None)
        finally:
            # Cancelled, or what nobody expects: who waits must not wait for ever.
            self._settle(self._aborted())

    async def _begin_anew(self, failure: TrickleError, began: float) -> None:
        """Post it again, for as long as no byte of the segment was handed to the network."""
        options = self._options
        try:
            await persist(
                self._attempt,
                failure,
                began=began,
                limit_s=options.retry_s,
                again=lambda error: error.retryable and not self._begun,
                on_retry=lambda n, wait_s, error: options.on_retry(self.seq, n, wait_s, error),
                stood=was_connected,
            )
        except SegmentRejected as error:
            if not error.retryable or self._begun:
                raise
            raise ChannelUnreachable(
                f"every segment was refused for {options.retry_s:g} s, at last with {error.status}",
                url=options.channel_url,
                status=error.status,
            ) from error

    def _settle(self, failure: TrickleError | None) -> None:
        if self._over:
            return
        self._over = True
        self._failure = self._failure or failure
        self._options.on_over(self)
        self._move()

    def _aborted(self) -> SegmentAborted:
        return SegmentAborted(f"segment {self.seq} was aborted", url=str(self._url))

    async def _attempt(self) -> None:
        options = self._options
        post = options.session.post(
            self._url,
            data=Body(self.feed),
            headers=self._headers,
            timeout=options.timeout,
            allow_redirects=False,
        )
        try:
            async with post as response:
                await self._judge(response)
        except UNUSABLE as error:
            raise ChannelRefused(
                f"segment {self.seq} cannot be posted: {words(error)}", url=str(self._url)
            ) from error
        except NETWORK_ERRORS as error:
            if self._begun:
                raise SegmentTruncated(
                    f"segment {self.seq} was cut: {words(error)}", url=str(self._url)
                ) from error
            raise ChannelUnreachable(
                f"segment {self.seq} could not be delivered: {words(error)}", url=str(self._url)
            ) from error
        finally:
            self._connected = None

    async def _judge(self, response: aiohttp.ClientResponse) -> None:
        """What the server's answer means; returns only when it has the segment whole."""
        self._refused = response.status != 200
        await raise_for_answer(response, self.seq, self._options.channel_url)
        turned_away = self.size and response.headers.get("Connection", "").lower() == "close"
        if not self._whole or turned_away:
            raise SegmentRejected(
                f"the server ended segment {self.seq} early: it was published before, or somebody "
                "else ended it (resume=True goes on behind what the channel has)",
                url=str(self._url),
            )
        seq = parse_header_seq(response.headers.get(SEQ))
        self.seq = self.seq if seq is None else seq
