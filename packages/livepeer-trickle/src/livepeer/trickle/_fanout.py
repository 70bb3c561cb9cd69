"""The server's side of its readers: one segment to many of them, while it grows."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, TypeVar

from aiohttp import web

from ._wire import CLOSED, CLOSED_VALUE, LATEST, SEQ

if TYPE_CHECKING:
    from ._ring import Channel, Segment
    from .stats import ServerStats

ResponseT = TypeVar("ResponseT", bound=web.StreamResponse)

_DRAIN_LOOK_S: Final = 0.02

_ONE_SEND_BYTES: Final = 64 * 1024
"""A segment that is whole and no larger goes out with its headers in one piece."""


class Fanout:
    """Sends segments to readers.

    A reader that keeps up gets each chunk from within the publisher's own call, framed once for
    all readers; one that falls behind catches up in its own task, at its own pace.
    """

    def __init__(self, stats: ServerStats) -> None:
        self._stats = stats
        self._readers: set[_Reader] = set()
        self._frame = _Frame()

    async def send(
        self, request: web.Request, channel: Channel, segment: Segment, edge: int
    ) -> web.StreamResponse:
        """Answer a GET; `edge` is what the channel's was when the request came."""
        reader = _Reader(request, segment, self._frame)
        self._stats.subscribers += 1
        segment.watch(reader.wake)
        self._readers.add(reader)
        try:
            await reader.wait_for_data()
            return await reader.answer(channel, edge)
        finally:
            self._stats.subscribers -= 1
            self._stats.bytes_out += reader.sent_bytes
            segment.unwatch(reader.wake)
            self._readers.discard(reader)

    def abort_stalled(self, before: float) -> None:
        """Cut off readers that have taken nothing since `before` although there was something."""
        for reader in tuple(self._readers):
            reader.abort_if_stalled(before)


class _Frame:
    """The HTTP chunk of the latest bytes, made once for all who send them."""

    def __init__(self) -> None:
        self._of: bytes = b""
        self._framed: bytes = b""

    def __call__(self, chunk: bytes) -> bytes:
        if chunk is not self._of:
            self._of = chunk
            self._framed = b"%x\r\n%b\r\n" % (len(chunk), chunk)
        return self._framed


class _Reader:
    """One reader of one segment."""

    def __init__(self, request: web.Request, segment: Segment, frame: _Frame) -> None:
        self.sent_bytes = 0
        self._request = request
        self._segment = segment
        self._frame = frame
        self._sent = 0
        self._changed = asyncio.Event()
        self._live = False
        self._chunked = request.version >= (1, 1)
        self._blocked_since: float | None = None

    def wake(self) -> None:
        """The segment changed: send what came, or leave it to the task."""
        transport, segment = self._request.transport, self._segment
        if (
            self._live
            and not segment.ended
            and transport is not None
            and self._sent == len(segment.chunks) - 1
            # aiohttp's own chunks go through its writer, which knows how to wait; these do not,
            # and are for a transport that has nothing left to send.
            and not transport.get_write_buffer_size()
            and not transport.is_closing()
        ):
            chunk = segment.chunks[self._sent]
            transport.write(self._frame(chunk))
            self._count(chunk)
        else:
            self._changed.set()

    async def wait_for_data(self) -> None:
        """Until there is a byte, or none will come."""
        while not self._segment.chunks and not self._segment.ended:
            await self._changed.wait()
            self._changed.clear()

    async def answer(self, channel: Channel, edge: int) -> web.StreamResponse:
        """The whole exchange, from the headers on."""
        segment = self._segment
        headers = {SEQ: str(segment.seq)}
        if not segment.chunks:
            headers[LATEST] = str(channel.next)
            if channel.closed:
                headers[CLOSED] = CLOSED_VALUE
            return web.Response(headers=headers)
        if segment.seq != edge:
            headers[LATEST] = str(edge)
        headers["Content-Type"] = channel.content_type
        if segment.ended and not segment.cut and segment.size <= _ONE_SEND_BYTES:
            body = b"".join(segment.chunks)
            self.sent_bytes += len(body)
            whole = _chunked(self._request, web.Response(body=body, headers=headers))
            with suppress(ConnectionError):
                await whole.prepare(self._request)
                await self._finish(whole)
            return whole
        response = _chunked(self._request, web.StreamResponse(headers=headers))
        # A reader that goes away is ordinary.
        with suppress(ConnectionError):
            await response.prepare(self._request)
            if self._request.method != "HEAD":
                await self._stream(response)
        return response

    async def _stream(self, response: web.StreamResponse) -> None:
        segment = self._segment
        while True:
            while self._sent < len(segment.chunks):
                chunk = segment.chunks[self._sent]
                self._blocked_since = time.monotonic()
                await response.write(chunk)
                self._count(chunk)
            self._blocked_since = None
            if segment.ended:
                break
            self._changed.clear()
            # Without chunks (HTTP/1.0) there is nothing to frame.
            self._live = self._chunked
            await self._changed.wait()
            self._live = False
        if segment.cut:
            await self._cut_off()
            return
        await self._finish(response)

    async def _finish(self, response: web.StreamResponse) -> None:
        """End the body, and wait until the system has taken all of it."""
        self._blocked_since = time.monotonic()
        transport = self._request.transport
        if transport is None:
            return
        # What is left in the transport after the answer would be nobody's to give up.
        transport.set_write_buffer_limits(high=0)
        try:
            await response.write_eof()
        finally:
            transport.set_write_buffer_limits()

    def _count(self, chunk: bytes) -> None:
        self._sent += 1
        self.sent_bytes += len(chunk)

    async def _cut_off(self) -> None:
        """Close without the last chunk, so that the reader sees an error and not an end."""
        transport = self._request.transport
        if transport is None:
            return
        self._blocked_since = time.monotonic()
        # Left to `close`, what a reader does not take would be nobody's to give up; and there is
        # no event for it.
        while transport.get_write_buffer_size() and not transport.is_closing():  # noqa: ASYNC110
            await asyncio.sleep(_DRAIN_LOOK_S)
        if self._chunked:
            transport.close()
        else:
            # Without chunks an end is an end; only a reset is none.
            transport.abort()

    def abort_if_stalled(self, before: float) -> None:
        """Let go of a reader that takes nothing."""
        transport = self._request.transport
        stalled = self._blocked_since is not None and self._blocked_since < before
        if stalled and transport is not None:
            transport.abort()


def _chunked(request: web.Request, response: ResponseT) -> ResponseT:
    # HTTP/1.0 readers get the body up to the close of the connection.
    if request.version >= (1, 1):
        response.enable_chunked_encoding()
    return response
