"""A live stream that was started: its channels, its parameters, its end."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack, aclosing
from typing import TYPE_CHECKING, Self

from livepeer.trickle.aio import cancel_and_wait
from livepeer.trickle.errors import TrickleError

from ._wire import KEEP_ALIVE, redact
from .errors import ClientError, StreamError, StreamLost

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
    from types import TracebackType

    from livepeer.trickle import JSONPublisher, TricklePublisher, TrickleSubscriber

    from ._http import HTTP
    from ._wire import JSONValue
    from .transport import ChannelURLs, GatewayMediaURLs, JobTransport, StreamHandle

_log = logging.getLogger(__name__)


class BYOCJob:
    """A running stream job. An async context manager that stops it.

    `Client.start_stream` and `start_byoc_job` make these. While the job runs, and when it was
    started directly at an orchestrator, a task of its own writes a keep-alive to the control
    channel: a runner takes a silent control channel for a caller that is gone.

    Attributes:
        capability: The capability's name.
        stream_id: The id under which the network knows the stream.
        urls: The trickle channels; all None behind a gateway.
        media: Where a gateway takes and gives media; all empty without one.
        failure: What ended the job without our doing, once that was noticed.
    """

    def __init__(
        self,
        transport: JobTransport,
        stream: StreamHandle,
        http: HTTP,
        *,
        keep_alive_s: float,
        on_stop: Callable[[BYOCJob], None],
    ) -> None:
        self.capability = stream.capability
        self.stream_id = stream.stream_id
        self.urls: ChannelURLs = stream.channels
        self.media: GatewayMediaURLs = stream.media
        self.failure: StreamLost | None = None
        self._transport = transport
        self._stream = stream
        self._http = http
        self._keep_alive_s = keep_alive_s
        self._on_stop = on_stop
        self._resources = AsyncExitStack()
        self._control: JSONPublisher | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._stopping: asyncio.Task[None] | None = None
        if stream.channels.control is not None:
            self._keeper = asyncio.create_task(
                self._keep_alive(stream.channels.control), name=f"keep-alive {self.stream_id}"
            )

    async def update(self, params: Mapping[str, object]) -> JSONValue:
        """Give the runner new parameters and return what it answers, None when that is no JSON.

        Raises:
            RunnerError: The runner refuses them; the old ones stay in force.
            StreamError: The stream is stopped.
            ClientError: They did not reach it.
        """
        if self._stopping is not None:
            # An orchestrator would pass it on: it does not look whether the stream exists.
            raise StreamError(f"stream {self.stream_id} is stopped")
        return await self._transport.update(self._stream, params)

    async def status(self) -> dict[str, JSONValue] | None:
        """The runner's last status event as a gateway keeps it, or None when it has none.

        None does not mean that the stream ended: once in a stream's life, after a minute, a
        gateway forgets the status until the next event.

        Raises:
            StreamError: There is no gateway; read `events` instead.
        """
        return await self._transport.status(self._stream)

    async def stop(self) -> None:
        """Stop the stream; its channels close. Done once: a later call has the same outcome.

        When a call is cancelled the stop goes on all the same.

        Raises:
            ClientError: The node did not take it. The control channel is closed then, by which
                a runner notices, too.
        """
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(), name=f"stop {self.stream_id}")
        await asyncio.shield(self._stopping)

    def when_stopped(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Have `callback` awaited at the end of the stop, whether that succeeded or not."""
        self._resources.push_async_callback(callback)

    async def events(self) -> AsyncGenerator[dict[str, JSONValue]]:
        """What the runner reports, from the first event on, until the stream ends.

        Raises:
            StreamError: A gateway is between; it gives no events to its callers.
            StreamLost: The stream ended without our doing.
        """
        async with aclosing(self._watched(self._transport.events(self._stream))) as events:
            async for event in events:
                yield event
        if self._stopping is None:
            raise StreamLost(
                f"stream {self.stream_id} ended, and it was not stopped here",
                url=redact(self._stream.node_url),
            )

    async def data(self) -> AsyncGenerator[dict[str, JSONValue]]:
        """What the runner gives out as data, until it or the stream ends.

        Raises:
            StreamError: The stream was started without data.
            StreamLost: The stream is known to have ended without our doing.
        """
        async with aclosing(self._watched(self._transport.data(self._stream))) as items:
            async for item in items:
                yield item

    def publisher(self) -> TricklePublisher:
        """A publisher of the media that goes in (MPEG-TS). The caller closes it.

        Raises:
            StreamError: The stream has no such channel.
        """
        from livepeer.trickle import TricklePublisher  # lazy: aiohttp

        url = self._channel(self.urls.publish, "in", "video_in", self.media.rtmp)
        return TricklePublisher(url, session=self._http.trickle)

    def subscriber(self, *, start: int = 0) -> TrickleSubscriber:
        """A subscriber of the media that comes out (MPEG-TS). The caller closes it.

        Args:
            start: The segment to begin with: by default the first of the stream, or when that is
                no longer held, the next to be written; -2 for the current one.

        Raises:
            StreamError: The stream has no such channel.
        """
        from livepeer.trickle import TrickleSubscriber  # lazy: aiohttp

        url = self._channel(self.urls.subscribe, "out", "video_out", self.media.whep)
        return TrickleSubscriber(url, start=start, session=self._http.trickle)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self.stop()
        except ClientError as failure:
            if error is None:
                raise
            # What ended the context is the news; a failed stop must not hide it.
            _log.warning("stream %s was not stopped: %s", self.stream_id, failure)

    def __repr__(self) -> str:
        state = "running" if self._stopping is None else "stopped"
        return f"<BYOCJob {self.stream_id} of {self.capability!r}, {state}>"

    def _channel(self, url: str | None, way: str, option: str, elsewhere: str) -> str:
        if url is not None:
            return url
        if self.urls.control is None:
            at = f" at {redact(elsewhere)}" if elsewhere else " by its own protocols"
            raise StreamError(
                f"a gateway moves media {way}{at}; stream directly to an orchestrator for trickle"
            )
        raise StreamError(f"the stream was started without {option}")

    async def _watched(
        self, items: AsyncGenerator[dict[str, JSONValue]]
    ) -> AsyncGenerator[dict[str, JSONValue]]:
        try:
            async with aclosing(items):
                async for item in items:
                    yield item
        except TrickleError as error:
            if self._stopping is None:
                raise StreamLost(
                    f"a channel of stream {self.stream_id} is gone", url=redact(error.url)
                ) from error
        if self.failure is not None and self._stopping is None:
            raise self.failure

    async def _keep_alive(self, url: str) -> None:
        from livepeer.trickle import JSONPublisher  # lazy: aiohttp

        try:
            self._control = JSONPublisher(url, session=self._http.trickle)
            async with self._control as control:
                while True:
                    await asyncio.sleep(self._keep_alive_s)
                    await control.publish(KEEP_ALIVE)
        except TrickleError as error:
            self.failure = StreamLost(
                f"the control channel of stream {self.stream_id} is gone", url=redact(error.url)
            )
            self.failure.__cause__ = error
            _log.warning("%s", self.failure)

    async def _stop(self) -> None:
        self._on_stop(self)
        try:
            await cancel_and_wait(self._keeper)
            await self._transport.stop(self._stream)
        finally:
            await self._resources.aclose()
