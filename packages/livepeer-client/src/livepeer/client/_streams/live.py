"""A live stream as its caller holds it, whatever its kind."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack, aclosing
from typing import TYPE_CHECKING, Self

from livepeer.client.errors import ClientError, StreamError
from livepeer.trickle.aio import cancel_and_wait
from livepeer.trickle.errors import TrickleError

from .chain import SessionChain
from .closing import through
from .ends import Reconnect
from .session import CLOSING_S

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable

    from livepeer.client._net.http import HTTP
    from livepeer.client._nodes.transport import ChannelURLs, GatewayMediaURLs
    from livepeer.client._wire.encoding import JSONValue
    from livepeer.trickle import TricklePublisher, TrickleSubscriber

    from .chain import StreamWay
    from .ends import Reconnected, StreamEnd, StreamSettings
    from .session import StreamSession

_log = logging.getLogger(__name__)


class StreamJob:
    """What the jobs of each kind have in common. An async context manager that stops the job.

    A job lives from its start to its stop, or to its end by other hands. In between it has one
    `StreamSession` after the other: one, unless it reconnects.

    Attributes:
        capability: The capability's name.
    """

    def __init__(
        self,
        capability: str,
        way: StreamWay,
        http: HTTP,
        *,
        settings: StreamSettings,
        reconnect: bool | Reconnect,
        on_reconnect: Callable[[Reconnected], None] | None,
        on_stop: Callable[[Self], None] | None = None,
    ) -> None:
        self.capability = capability
        self._way = way
        self._stopping: asyncio.Task[None] | None = None
        self._resources = AsyncExitStack()
        self._chain = SessionChain(
            way,
            http,
            settings,
            reconnect=Reconnect() if reconnect is True else reconnect or None,
            on_reconnect=on_reconnect,
            on_end=lambda: None if on_stop is None else on_stop(self),
        )

    async def start(self) -> Self:
        """Start the stream. Once; `Client.start_stream` and its like have done it.

        Raises:
            StreamError: It was stopped meanwhile.
            ClientError: No node took it; the job is over.
        """
        await self._chain.start()
        return self

    @property
    def session(self) -> StreamSession:
        """The current session; when the job has ended, the last.

        Raises:
            StreamError: The job was never started.
        """
        if self._chain.session is None:
            raise StreamError("the stream was not started")
        return self._chain.session

    @property
    def stream_id(self) -> str:
        """The id under which the node of the current session knows the stream."""
        return self.session.stream_id

    @property
    def urls(self) -> ChannelURLs:
        """The trickle channels of the current session; all None behind a gateway."""
        return self.session.urls

    @property
    def media(self) -> GatewayMediaURLs:
        """Where a gateway takes and gives media; all empty without one."""
        return self.session.media

    @property
    def end(self) -> StreamEnd | None:
        """Why the job ended; None while it goes on, also while it reconnects."""
        return self._chain.end

    @property
    def reconnects(self) -> tuple[Reconnected, ...]:
        """The last 100 times that the stream went on elsewhere, each with its gap."""
        return tuple(self._chain.reconnects)

    async def ended(self) -> StreamEnd:
        """Wait until the job has ended."""
        return await self._chain.ended()

    async def next_session(
        self, after: StreamSession | None = None, *, within_s: float | None = None
    ) -> StreamSession | None:
        """The session that stands, or the one that follows `after`, as soon as there is one.

        Args:
            after: One that has ended, or is about to.
            within_s: For how long it is waited for; None for as long as the job goes on.

        Returns:
            None when the job has ended, or there was none in time.
        """
        return await self._chain.next_session(after, within_s)

    async def sessions(self) -> AsyncGenerator[StreamSession]:
        """The session that stands, and each that follows, until the job ends."""
        session: StreamSession | None = None
        while (session := await self.next_session(session)) is not None:
            yield session

    async def stop(self) -> None:
        """Stop the stream; its channels close. Done once: a later call has the same outcome.

        When a call is cancelled the stop goes on all the same. A job that has ended is only
        tidied up.

        Raises:
            ClientError: The node did not take it. The control channel is closed then, by which
                a runner notices, too.
        """
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop(), name=f"stop {self.capability}")
        await asyncio.shield(self._stopping)

    async def give_up(self) -> None:
        """Wait no longer for a stop that goes on."""
        await cancel_and_wait(self._stopping)

    def when_stopped(self, callback: Callable[[], Awaitable[None]]) -> None:
        """Have `callback` awaited at the end of the stop, whether that succeeded or not."""
        self._resources.push_async_callback(callback)

    async def events(self) -> AsyncGenerator[dict[str, JSONValue]]:
        """What the runners report, from the first event that is remembered, until the job ends.

        Any number may read; one that is more than `StreamSettings.keep_events` behind misses some.

        Raises:
            StreamError: A gateway is between; it gives no events to its callers.
            StreamLost: The stream ended without our doing.
            PaymentRequiredError: It ended because it was not paid.
        """
        if self.session.urls.control is None:
            events = self._way.events(self.session.handle)
        else:
            events = self._chain.events.read()
        async with aclosing(events):
            async for event in events:
                yield event
        self._raise_end()

    async def data(self) -> AsyncGenerator[dict[str, JSONValue]]:
        """What the runners give out as data, until they close it or the job ends.

        Raises:
            StreamError: The stream was started without data.
            StreamLost: The stream ended without our doing.
            PaymentRequiredError: It ended because it was not paid.
        """
        async with aclosing(self.sessions()) as sessions:
            async for session in sessions:
                try:
                    async with aclosing(session.data()) as items:
                        async for item in items:
                            yield item
                except TrickleError as error:
                    session.report(error)
                    await session.ended()
                # A gateway that ends it has no more to say.
                closing_s = 0 if session.urls.control is None else CLOSING_S
                if await session.ended_within(closing_s) is None:
                    return
        self._raise_end()

    def publisher(self) -> TricklePublisher:
        """A publisher of the media that goes into the current session; see `StreamSession`."""
        return self.session.publisher()

    def subscriber(self, *, start: int = 0) -> TrickleSubscriber:
        """A subscriber of what comes out of the current session; see `StreamSession`."""
        return self.session.subscriber(start=start)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            await through(asyncio.create_task(self.stop()))
        except ClientError as failure:
            if kind is None:
                raise
            # What ended the context is the news; a failed stop must not hide it.
            _log.warning("%r was not stopped: %s", self, failure)

    def __repr__(self) -> str:
        state = "running" if self.end is None else f"ended by {self.end.reason}"
        session = self._chain.session
        at = "" if session is None else f" {session.stream_id}"
        return f"<{type(self).__name__}{at} of {self.capability!r}, {state}>"

    def _raise_end(self) -> None:
        if self.end is not None and self.end.error is not None:
            # Each reader has a trace of its own.
            raise self.end.error.with_traceback(None)

    async def _standing(self) -> StreamSession:
        """The session that stands; one that is being sought is waited for.

        Raises:
            StreamError: The job has ended.
        """
        if self._stopping is None and (session := await self.next_session()) is not None:
            return session
        self._raise_end()
        ended = "is stopped" if self.end is None else f"has ended: {self.end.text}"
        raise StreamError(f"stream {self.stream_id} {ended}")

    async def _stop(self) -> None:
        try:
            await self._chain.stop()
        finally:
            await self._resources.aclose()
