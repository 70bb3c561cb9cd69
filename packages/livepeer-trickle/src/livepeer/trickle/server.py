"""The trickle server: channels that many publishers and subscribers share over HTTP."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from aiohttp import web

from ._answers import error
from ._changefeed import CHANGES, Changefeed
from ._fanout import Fanout
from ._gatekeeper import Authorize, Gatekeeper, refuse
from ._ingest import Ingest
from ._listen import listen
from ._ring import SLOTS, Channel, NotHeld
from ._wire import EXPECT_CONTENT, LATEST, NEXT, NOT_HELD, RESET, SEQ, TRUNCATED, parse_seq
from .aio import cancel_and_wait
from .stats import ServerStats

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

MAX_SEGMENT_BYTES = 64 * 1024 * 1024


class TrickleServer:
    """Channels of segments, published and read while they are being written.

    Mount it on an aiohttp application with `add_routes`, or run it alone with `listening`. It
    serves what go-livepeer's trickle server serves (`trickle/trickle_server.go`), on HTTP/1.1.

    Args:
        autocreate: A first segment posted to an unknown channel creates it.
        changefeed: Tell on the channel `_changes` which channels come and go.
        listing: Answer a GET of the base with the channels, as JSON. go-livepeer has no such route,
            and whoever knows a channel's name may read it.
        authorize: Asked before each operation with its kind, the channel's name ("" for the list)
            and the request's headers. False is answered 403; `Refused` says why. The wire itself
            knows no authentication.
        idle_timeout_s: A channel that nobody wrote to for so long is closed, and a publisher that
            fell silent within a segment is cut off. Names that begin with an underscore never
            expire.
        sweep_interval_s: How often idle channels and stalled connections are looked for.
        first_byte_tick_s: How often a publisher that has not begun yet is told that we wait.
        stall_timeout_s: A reader that takes nothing for so long is cut off.
        slots: How many segments a channel holds, at least 2; go-livepeer's holds 5.
        max_segment_bytes: A larger segment is cut off and answered 413.
        max_channels: With so many, the creation of another is answered 503.
        max_subscribers: With so many reading or waiting, another is answered 503.
        max_publishers: With so many segments being published or connected ahead, another is
            answered 503.
    """

    def __init__(
        self,
        *,
        autocreate: bool = False,
        changefeed: bool = False,
        listing: bool = False,
        authorize: Authorize | None = None,
        idle_timeout_s: float = 300.0,
        sweep_interval_s: float = 60.0,
        first_byte_tick_s: float = 10.0,
        stall_timeout_s: float = 60.0,
        slots: int = SLOTS,
        max_segment_bytes: int = MAX_SEGMENT_BYTES,
        max_channels: int = 1024,
        max_subscribers: int = 4096,
        max_publishers: int = 4096,
    ) -> None:
        if slots < 2:
            raise ValueError(f"slots={slots}: a channel needs the segment before its edge, so 2")
        self._autocreate = autocreate
        self._listing = listing
        self._idle_timeout_s = idle_timeout_s
        self._sweep_interval_s = sweep_interval_s
        self._stall_timeout_s = stall_timeout_s
        self._slots = slots
        self._max_channels = max_channels
        self._stats = ServerStats()
        self._gate = Gatekeeper(
            self._stats, authorize, max_publishers=max_publishers, max_subscribers=max_subscribers
        )
        self._fanout = Fanout(self._stats)
        self._ingest = Ingest(
            self._stats, first_byte_tick_s=first_byte_tick_s, max_segment_bytes=max_segment_bytes
        )
        self._changes = Changefeed(time.monotonic, slots) if changefeed else None
        self._channels: dict[str, Channel] = (
            {CHANGES: self._changes.channel} if self._changes is not None else {}
        )

    @property
    def stats(self) -> ServerStats:
        """Counts at this moment."""
        return replace(self._stats, channels=len(self._channels))

    def add_routes(self, app: web.Application, base: str = "/") -> None:
        """Mount the wire's routes under `base` and tie the idle sweeper to the application.

        Run the application with `handler_cancellation=True`: readers that go away while they wait
        at the edge, as go-livepeer's do every 20 s, would otherwise stay until the segment ends.
        """
        base, guard = base.rstrip("/"), self._gate.guard
        channel, segment = base + "/{name}", base + "/{name}/{seq}"
        app.router.add_post(channel, guard("create", self._create))
        app.router.add_delete(channel, guard("delete", self._delete))
        app.router.add_get(channel + "/next", guard("subscribe", self._next))
        app.router.add_get(segment, guard("subscribe", self._read))
        app.router.add_post(segment, guard("publish", self._publish))
        app.router.add_delete(segment, guard("delete_segment", self._delete_segment))
        if self._listing:
            for path in {base or "/", base + "/"}:
                app.router.add_get(path, guard("list", self._list))
        app.cleanup_ctx.append(self._sweeping)
        app.on_shutdown.append(self._close_all)

    @asynccontextmanager
    async def listening(
        self, host: str = "127.0.0.1", port: int = 0, base: str = "/"
    ) -> AsyncGenerator[str]:
        """Serve these channels alone for as long as the context lasts; port 0 takes a free one.

        Yields:
            The base URL, to which `/CHANNEL` is appended.

        Raises:
            OSError: The address cannot be had.
        """
        app = web.Application()
        self.add_routes(app, base)
        async with listen(app, host, port) as url:
            yield url + base.rstrip("/")

    def create_channel(self, name: str, content_type: str = "") -> bool:
        """Create a channel; False when it exists, which leaves it untouched.

        Raises:
            OverflowError: There are `max_channels` already.
        """
        if name in self._channels:
            return False
        if len(self._channels) >= self._max_channels:
            raise OverflowError(f"this server holds its limit of {self._max_channels} channels")
        self._channels[name] = Channel(name, content_type, time.monotonic(), self._slots)
        if self._changes is not None:
            self._changes.tell("added", name)
        return True

    def close_channel(self, name: str) -> bool:
        """Close a channel for everybody and forget it; False when it is unknown."""
        channel = self._channels.pop(name, None)
        if channel is None:
            return False
        channel.close()
        if self._changes is not None and name != CHANGES:
            self._changes.tell("removed", name)
        return True

    def has_channel(self, name: str) -> bool:
        """Whether the channel exists."""
        return name in self._channels

    def sweep(self) -> None:
        """Close channels that were idle for too long, and cut off whoever stalls."""
        now = time.monotonic()
        idle_since = now - self._idle_timeout_s
        for name, channel in tuple(self._channels.items()):
            if channel.written_at < idle_since and not name.startswith("_"):
                self.close_channel(name)
        self._ingest.abort_stalled(idle_since)
        self._fanout.abort_stalled(now - self._stall_timeout_s)

    async def _sweeping(self, _: web.Application) -> AsyncIterator[None]:
        async def forever() -> None:
            while True:
                await asyncio.sleep(self._sweep_interval_s)
                self.sweep()

        task = asyncio.create_task(forever(), name="trickle sweep")
        yield
        await cancel_and_wait(task)

    async def _close_all(self, _: web.Application) -> None:
        for channel in self._channels.values():
            channel.close()
        self._channels.clear()

    async def _list(self, _: web.Request) -> web.Response:
        channels = [
            {"name": name, "next": channel.next, "content_type": channel.content_type}
            for name, channel in self._channels.items()
        ]
        return web.json_response({"channels": channels})

    async def _create(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if not self._autocreate and name not in self._channels:
            return error(404, "Stream not found")
        refused = self._try_create(name, request.headers.get(EXPECT_CONTENT, ""))
        return refused or web.Response()

    async def _delete(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if self._is_feed(name):
            return error(403, "The changefeed is the server's own")
        return web.Response() if self.close_channel(name) else error(400, "Invalid stream")

    async def _next(self, request: web.Request) -> web.Response:
        channel = self._channels.get(request.match_info["name"])
        if channel is None:
            return error(404, "Stream not found")
        return web.Response(text=str(channel.next), headers={LATEST: str(channel.next)})

    async def _delete_segment(self, request: web.Request) -> web.Response:
        channel = self._channels.get(request.match_info["name"])
        if channel is None:
            return error(404, "Stream not found")
        if self._is_feed(channel.name):
            return error(403, "The changefeed is the server's own")
        seq = parse_seq(request.match_info["seq"])
        if seq is None or seq < 0:
            return error(400, "Invalid idx")
        held = channel.held(seq)
        if held is not None and held.size and not held.ended and TRUNCATED in request.headers:
            channel.drop(held)
            return web.Response()
        return web.Response() if channel.finish_held(seq) else error(400, "Nonexistent segment")

    async def _publish(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["name"]
        if self._is_feed(name):
            return await refuse(
                request, error(403, "The changefeed is the server's own"), "publish"
            )
        if name not in self._channels:
            # Told before any byte of the body is read: it may never come.
            refused = self._try_autocreate(name, request.headers.get("Content-Type", ""))
            if refused is not None:
                return await refuse(request, refused, "publish")
        channel = self._channels[name]
        seq = parse_seq(request.match_info["seq"])
        if seq is None or seq < NEXT:
            return error(400, "Invalid idx")
        segment = channel.for_write(seq)
        if request.headers.get(RESET):
            channel.reset(below=segment.seq)
        return await self._ingest.take(request, channel, segment)

    async def _read(self, request: web.Request) -> web.StreamResponse:
        channel = self._channels.get(request.match_info["name"])
        if channel is None:
            return error(404, "Stream not found")
        seq = parse_seq(request.match_info["seq"])
        if seq is None:
            return error(400, "Invalid idx")
        edge = channel.next
        try:
            segment = channel.for_read(seq)
        except NotHeld as not_held:
            return web.Response(
                status=NOT_HELD,
                reason="Entry not found",
                text="Entry not found",
                headers={LATEST: str(channel.next), SEQ: str(not_held.seq)},
            )
        return await self._fanout.send(request, channel, segment, edge)

    def _is_feed(self, name: str) -> bool:
        return self._changes is not None and name == CHANGES

    def _try_autocreate(self, name: str, content_type: str) -> web.Response | None:
        if not self._autocreate:
            return error(404, "Stream not found")
        return self._try_create(name, content_type)

    def _try_create(self, name: str, content_type: str) -> web.Response | None:
        try:
            self.create_channel(name, content_type)
        except OverflowError as full:
            self._stats.refused += 1
            return error(503, str(full))
        return None
