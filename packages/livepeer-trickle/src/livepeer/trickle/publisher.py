"""Publish a channel: one POST per segment, the next one always connected ahead."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

import aiohttp

from ._http import backoff, owned_or_given
from ._wire import CLOSED, MPEGTS, segment_url
from .aio import cancel_and_wait
from .errors import (
    ChannelClosed,
    ChannelNotFound,
    ChannelUnreachable,
    SegmentError,
    SegmentRejected,
    SegmentTimeout,
    SegmentTruncated,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

BUFFER_BYTES = 1024 * 1024


class SegmentWriter:
    """One segment that is being published; an async context manager that closes it.

    Bytes go out as they are written. When `buffer_bytes` wait for the network, `write` waits too.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        channel_url: str,
        seq: int,
        content_type: str,
        *,
        buffer_bytes: int,
        write_timeout_s: float,
        retry_s: float,
    ) -> None:
        self.seq = seq
        self._session = session
        self._channel_url = channel_url
        self._url = segment_url(channel_url, seq)
        self._content_type = content_type
        self._buffer_bytes = buffer_bytes
        self._write_timeout_s = write_timeout_s
        self._retry_s = retry_s
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._ended = False
        self._begun = False
        self._changed = asyncio.Event()
        self._drained = asyncio.Event()
        self._post = asyncio.create_task(self._deliver(), name=f"trickle POST {seq}")
        # One that was connected ahead may fail and never be taken: its error is nobody's then.
        self._post.add_done_callback(lambda post: post.cancelled() or post.exception())

    async def write(self, data: bytes) -> None:
        """Append bytes to the segment.

        Raises:
            SegmentTimeout: The server took nothing for `write_timeout_s`.
            TrickleError: The segment or its channel failed; the bytes may be lost.
            ValueError: The segment was closed before.
        """
        if self._ended:
            raise ValueError(f"segment {self.seq} is closed")
        self.check()
        self._chunks.append(data)
        self._buffered += len(data)
        self._changed.set()
        while self._buffered > self._buffer_bytes:
            self._drained.clear()
            await self._wait_for_drain()

    async def close(self) -> None:
        """End the segment and wait until the server has all of it. Idempotent.

        Raises:
            TrickleError: The segment did not arrive whole.
        """
        self._ended = True
        self._changed.set()
        while not self._post.done():
            self._drained.clear()
            await self._wait_for_drain()
        self.check()

    async def abort(self) -> None:
        """Cut the connection and leave the segment unfinished. Idempotent."""
        self._ended = True
        await cancel_and_wait(self._post)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            await self.close()
        else:
            await self.abort()

    async def _wait_for_drain(self) -> None:
        draining = asyncio.ensure_future(self._drained.wait())
        try:
            done, _ = await asyncio.wait(
                (draining, self._post),
                timeout=self._write_timeout_s,
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            draining.cancel()
        if not done:
            await cancel_and_wait(self._post)
            raise SegmentTimeout(
                f"nothing was taken of segment {self.seq} for {self._write_timeout_s:g} s",
                url=self._url,
            )
        self.check()

    @property
    def ended(self) -> bool:
        """Whether the exchange with the server is over, well or badly."""
        return self._post.done()

    def check(self) -> None:
        """Raise what ended the segment before we did; nothing while it is well."""
        if not self._post.done():
            return
        if self._post.cancelled():
            raise SegmentError(f"segment {self.seq} was aborted", url=self._url)
        error = self._post.exception()
        if error is not None:
            raise error
        if not self._ended or self._chunks:
            raise SegmentRejected(f"the server ended segment {self.seq} early", url=self._url)

    async def _deliver(self) -> None:
        """Post the segment; begin anew for as long as no byte of it was handed to the network."""
        loop = asyncio.get_running_loop()
        waits = backoff()
        failing_since: float | None = None
        while True:
            started = loop.time()
            try:
                await self._attempt()
                return
            except SegmentRejected as error:
                if self._begun or not error.retryable:
                    raise
                failure: Exception = error
            except (aiohttp.ClientError, OSError) as error:
                if self._begun:
                    raise SegmentTruncated(
                        f"segment {self.seq} was cut: {error!r}", url=self._url
                    ) from error
                failure = ChannelUnreachable(
                    f"segment {self.seq} could not be delivered: {error!r}", url=self._url
                )
            now = loop.time()
            # A preconnect may wait long before it fails; only failures in a row count.
            if failing_since is None or now - started > self._retry_s:
                failing_since = now
            if now - failing_since > self._retry_s:
                raise failure
            await asyncio.sleep(next(waits))

    async def _attempt(self) -> None:
        headers = {"Content-Type": self._content_type}
        async with self._session.post(self._url, data=self._body(), headers=headers) as response:
            if response.status == 404:
                raise ChannelNotFound(
                    "the channel does not exist", url=self._channel_url, status=404
                )
            if CLOSED in response.headers:
                raise ChannelClosed("the channel was closed", url=self._channel_url)
            if response.status != 200:
                text = (await response.content.read(500)).decode(errors="replace").strip()
                raise SegmentRejected(
                    f"segment {self.seq} was refused with {response.status} {text!r}",
                    url=self._url,
                    status=response.status,
                )

    async def _body(self) -> AsyncIterator[bytes]:
        # aiohttp sends no request headers before the first chunk; an empty one makes this POST a
        # preconnect that the server sees.
        yield b""
        while True:
            while self._chunks:
                self._begun = True
                chunk = self._chunks.popleft()
                yield chunk
                self._buffered -= len(chunk)
                self._drained.set()
            if self._ended:
                return
            self._changed.clear()
            await self._changed.wait()


class TricklePublisher:
    """Publishes a channel, segment by segment. An async context manager.

    While one segment is written the next is connected already, so that it begins without a round
    trip and the server can tell early that the channel is gone.

    Args:
        url: The channel's URL, without a sequence number.
        content_type: The channel's media type, where this publisher creates it.
        session: A session to share; by default the publisher has its own.
        start_seq: The number of the first segment.
        buffer_bytes: How much of a segment may wait for the network before `write` waits.
        write_timeout_s: How long a write may wait.
        retry_s: For how long a segment of which nothing was sent is tried again.
    """

    def __init__(
        self,
        url: str,
        *,
        content_type: str = MPEGTS,
        session: aiohttp.ClientSession | None = None,
        start_seq: int = 0,
        buffer_bytes: int = BUFFER_BYTES,
        write_timeout_s: float = 10.0,
        retry_s: float = 10.0,
    ) -> None:
        self.url = url
        self.content_type = content_type
        self._given_session = session
        self._session: aiohttp.ClientSession | None = None
        self._next_seq = start_seq
        self._buffer_bytes = buffer_bytes
        self._write_timeout_s = write_timeout_s
        self._retry_s = retry_s
        self._ahead: SegmentWriter | None = None
        self._open: set[SegmentWriter] = set()
        self._stack = AsyncExitStack()
        self._closed = False

    @property
    def next_seq(self) -> int:
        """The number that the next opened segment will have."""
        return self._ahead.seq if self._ahead is not None else self._next_seq

    async def start(self) -> Self:
        """Connect the first segment ahead of its bytes. Idempotent, and implied by the others."""
        if self._closed:
            raise ValueError("the publisher is closed")
        if self._session is None:
            self._session = await self._stack.enter_async_context(
                owned_or_given(self._given_session)
            )
        if self._ahead is None:
            self._ahead = self._connect(self._session)
        return self

    async def open_segment(self) -> SegmentWriter:
        """Take the segment that was connected ahead, and connect the one after it.

        Raises:
            TrickleError: The segment failed before it began: the channel is not there, or the
                server was away for longer than `retry_s`.
        """
        await self.start()
        assert self._ahead is not None
        assert self._session is not None
        writer, self._ahead = self._ahead, None
        self._open = {open_ for open_ in self._open if not open_.ended} | {writer}
        self._ahead = self._connect(self._session)
        writer.check()
        return writer

    async def write_segment(self, data: bytes) -> None:
        """Publish one whole segment and wait until the server has it."""
        async with await self.open_segment() as writer:
            if data:
                await writer.write(data)

    async def close(self, *, delete: bool = True) -> None:
        """End what is open, and with `delete` close the channel for everybody. Idempotent.

        Segments that were closed have arrived whole before this; one that is still open is cut.
        """
        if self._closed:
            return
        self._closed = True
        writers = [*self._open, *([self._ahead] if self._ahead is not None else [])]
        try:
            for writer in writers:
                await writer.abort()
            if delete and self._session is not None:
                await self._delete(self._session)
        finally:
            await self._stack.aclose()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _connect(self, session: aiohttp.ClientSession) -> SegmentWriter:
        seq = self._next_seq
        self._next_seq += 1
        return SegmentWriter(
            session,
            self.url,
            seq,
            self.content_type,
            buffer_bytes=self._buffer_bytes,
            write_timeout_s=self._write_timeout_s,
            retry_s=self._retry_s,
        )

    async def _delete(self, session: aiohttp.ClientSession) -> None:
        timeout = aiohttp.ClientTimeout(total=self._write_timeout_s)
        try:
            async with session.delete(self.url, timeout=timeout) as response:
                # 400 and 404 say that it is gone already, which is what we want.
                if response.status not in (200, 400, 404):
                    raise ChannelUnreachable(
                        f"closing the channel was refused with {response.status}",
                        url=self.url,
                        status=response.status,
                    )
        except (aiohttp.ClientError, TimeoutError) as error:
            raise ChannelUnreachable(
                f"the channel could not be closed: {error!r}", url=self.url
            ) from error
