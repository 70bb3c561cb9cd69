"""The trickle server: channels that many publishers and subscribers share over HTTP."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from aiohttp import web

from ._ring import Channel, NotHeld, Segment
from ._wire import CLOSED, CLOSED_VALUE, EXPECT_CONTENT, LATEST, NOT_HELD, RESET, SEQ, parse_seq
from .aio import cancel_and_wait

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

MAX_SEGMENT_BYTES = 64 * 1024 * 1024
MAX_CHANNELS = 1024


class TrickleServer:
    """Channels of segments, published and read while they are being written.

    Mount it on an aiohttp application with `add_routes`. It serves what go-livepeer's trickle
    server serves (`trickle/trickle_server.go`), on HTTP/1.1.

    Args:
        autocreate: A first segment posted to an unknown channel creates it.
        idle_timeout_s: A channel that nobody wrote to for so long is closed. Names that begin
            with an underscore never expire.
        sweep_interval_s: How often idle channels are looked for.
        first_byte_tick_s: How often a publisher that has not begun yet is told that we wait.
        max_segment_bytes: A larger segment is cut off and answered 413.
        max_channels: With so many, the creation of another is answered 503.
    """

    def __init__(
        self,
        *,
        autocreate: bool = False,
        idle_timeout_s: float = 300.0,
        sweep_interval_s: float = 60.0,
        first_byte_tick_s: float = 10.0,
        max_segment_bytes: int = MAX_SEGMENT_BYTES,
        max_channels: int = MAX_CHANNELS,
    ) -> None:
        self.autocreate = autocreate
        self.idle_timeout_s = idle_timeout_s
        self.sweep_interval_s = sweep_interval_s
        self.first_byte_tick_s = first_byte_tick_s
        self.max_segment_bytes = max_segment_bytes
        self.max_channels = max_channels
        self._channels: dict[str, Channel] = {}

    def add_routes(self, app: web.Application, base: str = "/") -> None:
        """Mount the wire's routes under `base` and tie the idle sweeper to the application.

        Run the application with `handler_cancellation=True`: readers that go away while they wait
        at the edge, as go-livepeer's do every 20 s, would otherwise stay until the segment ends.
        """
        base = base.rstrip("/")
        app.router.add_route("POST", base + "/{name}", self._create)
        app.router.add_route("DELETE", base + "/{name}", self._delete)
        app.router.add_get(base + "/{name}/next", self._next)
        app.router.add_get(base + "/{name}/{seq}", self._read)
        app.router.add_route("POST", base + "/{name}/{seq}", self._publish)
        app.router.add_route("DELETE", base + "/{name}/{seq}", self._delete_segment)
        app.cleanup_ctx.append(self._sweeping)
        app.on_shutdown.append(self._close_all)

    def create_channel(self, name: str, content_type: str = "") -> bool:
        """Create a channel; False when it exists, which leaves it untouched.

        Raises:
            OverflowError: There are `max_channels` already.
        """
        if name in self._channels:
            return False
        if len(self._channels) >= self.max_channels:
            raise OverflowError(f"this server holds its limit of {self.max_channels} channels")
        self._channels[name] = Channel(name, content_type, time.monotonic())
        return True

    def close_channel(self, name: str) -> bool:
        """Close a channel for everybody and forget it; False when it is unknown."""
        channel = self._channels.pop(name, None)
        if channel is None:
            return False
        channel.close()
        return True

    def has_channel(self, name: str) -> bool:
        """Whether the channel exists."""
        return name in self._channels

    def sweep(self) -> None:
        """Close every channel that has been idle for longer than `idle_timeout_s`."""
        oldest = time.monotonic() - self.idle_timeout_s
        for name, channel in tuple(self._channels.items()):
            if channel.written_at < oldest and not name.startswith("_"):
                self.close_channel(name)

    async def _sweeping(self, _: web.Application) -> AsyncIterator[None]:
        async def forever() -> None:
            while True:
                await asyncio.sleep(self.sweep_interval_s)
                self.sweep()

        task = asyncio.create_task(forever(), name="trickle sweep")
        yield
        await cancel_and_wait(task)

    async def _close_all(self, _: web.Application) -> None:
        for name in tuple(self._channels):
            self.close_channel(name)

    async def _create(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if not self.autocreate and name not in self._channels:
            return _error(404, "Stream not found")
        return self._try_create(name, request.headers.get(EXPECT_CONTENT, "")) or web.Response()

    async def _delete(self, request: web.Request) -> web.Response:
        closed = self.close_channel(request.match_info["name"])
        return web.Response() if closed else _error(400, "Invalid stream")

    async def _next(self, request: web.Request) -> web.Response:
        channel = self._channels.get(request.match_info["name"])
        if channel is None:
            return _error(404, "Stream not found")
        return web.Response(text=str(channel.next), headers={LATEST: str(channel.next)})

    async def _delete_segment(self, request: web.Request) -> web.Response:
        channel = self._channels.get(request.match_info["name"])
        if channel is None:
            return _error(404, "Stream not found")
        seq = parse_seq(request.match_info["seq"])
        if seq is None or seq < 0:
            return _error(400, "Invalid idx")
        return web.Response() if channel.finish_held(seq) else _error(400, "Nonexistent segment")

    def _try_create(self, name: str, content_type: str) -> web.Response | None:
        try:
            self.create_channel(name, content_type)
        except OverflowError as error:
            return _error(503, str(error))
        return None

    async def _publish(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if name not in self._channels:
            # Told before any byte of the body is read: it may never come.
            if not self.autocreate:
                return _error(404, "Stream not found", close=True)
            refused = self._try_create(name, request.headers.get("Content-Type", ""))
            if refused is not None:
                return refused
        channel = self._channels[name]
        seq = parse_seq(request.match_info["seq"])
        if seq is None or seq < -1:
            return _error(400, "Invalid idx")
        segment = channel.for_write(seq)
        if request.headers.get(RESET):
            channel.reset(below=segment.seq)
        headers = {SEQ: str(segment.seq)}
        first = await self._first_chunk(request, segment)
        if first is None:
            return await _turned_away(request, channel, segment, headers)
        if not first:
            channel.end(segment, time.monotonic())
            return _closing(web.Response(headers=headers))
        chunk = first
        while chunk:
            if segment.size + len(chunk) > self.max_segment_bytes:
                channel.end(segment, time.monotonic())
                return _error(
                    413, f"Segment larger than {self.max_segment_bytes} bytes", close=True
                )
            channel.write(segment, chunk, time.monotonic())
            chunk = await request.content.readany()
        channel.end(segment, time.monotonic())
        return web.Response(headers=headers)

    async def _first_chunk(self, request: web.Request, segment: Segment) -> bytes | None:
        """The first bytes of the body, b"" at its end, or None when the segment ended before."""
        if segment.finished:
            return None
        ended = asyncio.Event()
        unwatch = segment.watch(lambda: ended.set() if segment.finished else None)
        reading = asyncio.ensure_future(request.content.readany())
        ending = asyncio.ensure_future(ended.wait())
        try:
            while not reading.done() and not ending.done():
                await asyncio.wait(
                    (reading, ending),
                    timeout=self.first_byte_tick_s,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if not reading.done() and not ending.done() and request.transport is not None:
                    request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            return await reading if reading.done() else None
        finally:
            unwatch()
            for waiting in (reading, ending):
                waiting.cancel()
                with suppress(asyncio.CancelledError, ConnectionError):
                    await waiting

    async def _read(self, request: web.Request) -> web.StreamResponse:
        channel = self._channels.get(request.match_info["name"])
        if channel is None:
            return _error(404, "Stream not found")
        seq = parse_seq(request.match_info["seq"])
        if seq is None:
            return _error(400, "Invalid idx")
        edge = channel.next
        try:
            segment = channel.for_read(seq)
        except NotHeld as error:
            return web.Response(
                status=NOT_HELD,
                reason="Entry not found",
                text="Entry not found",
                headers={LATEST: str(channel.next), SEQ: str(error.seq)},
            )
        changed = asyncio.Event()
        unwatch = segment.watch(changed.set)
        try:
            while not segment.chunks and not segment.finished:
                await changed.wait()
                changed.clear()
            return await _send(request, channel, segment, edge, changed)
        finally:
            unwatch()


async def _send(
    request: web.Request, channel: Channel, segment: Segment, edge: int, changed: asyncio.Event
) -> web.StreamResponse:
    headers = {SEQ: str(segment.seq)}
    if not segment.chunks:
        headers[LATEST] = str(channel.next)
        if channel.closed:
            headers[CLOSED] = CLOSED_VALUE
        return web.Response(headers=headers)
    if segment.seq != edge:
        headers[LATEST] = str(edge)
    response = web.StreamResponse(headers=headers | {"Content-Type": channel.content_type})
    # HTTP/1.0 readers get the body up to the close of the connection.
    if request.version >= (1, 1):
        response.enable_chunked_encoding()
    await response.prepare(request)
    if request.method == "HEAD":
        return response
    sent = 0
    while True:
        for chunk in segment.chunks[sent:]:
            await response.write(chunk)
            sent += 1
        if sent < len(segment.chunks):
            continue
        if segment.finished:
            break
        changed.clear()
        await changed.wait()
    await response.write_eof()
    return response


async def _turned_away(
    request: web.Request, channel: Channel, segment: Segment, headers: Mapping[str, str]
) -> web.Response:
    """Answer a publisher whose segment somebody else ended before its first byte."""
    channel.rewind(segment)
    closed = {CLOSED: CLOSED_VALUE} if channel.closed else {}
    response = _closing(web.Response(headers={**headers, **closed}))
    await response.prepare(request)
    await response.write_eof()
    if request.transport is not None and not request.content.total_bytes:
        # Nothing unread, so nothing is lost; aiohttp would linger for a body that never comes.
        request.transport.close()
    return response


def _error(status: int, text: str, *, close: bool = False) -> web.Response:
    """A refusal in the shape of Go's `http.Error`."""
    headers = {"X-Content-Type-Options": "nosniff"}
    response = web.Response(status=status, text=text + "\n", headers=headers)
    return _closing(response) if close else response


def _closing(response: web.Response) -> web.Response:
    """Announce that the connection closes after this answer, and have it closed."""
    response.headers["Connection"] = "close"
    response.force_close()
    return response
