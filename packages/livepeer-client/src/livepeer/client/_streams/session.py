"""One life of a stream at one node: kept alive, watched and paid until it ends."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Final
from weakref import WeakSet

from livepeer.client._wire.encoding import KEEP_ALIVE, redact
from livepeer.client.errors import ClientError, NodeUnreachable, StreamError, StreamLost
from livepeer.trickle.aio import cancel_and_wait
from livepeer.trickle.errors import (
    ChannelClosed,
    ChannelNotFound,
    ChannelRefused,
    TrickleError,
)

from .closing import unless
from .ends import STOPPED, EndReason, StreamEnd, lost
from .paying import StreamPayments
from .watch import NodeWatch, channel_probe, closed, gateway_probe

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping

    from livepeer.client._net.http import HTTP
    from livepeer.client._nodes.transport import ChannelURLs, GatewayMediaURLs, StreamHandle
    from livepeer.client._wire.encoding import JSONValue
    from livepeer.trickle import JSONPublisher, TricklePublisher, TrickleSubscriber

    from .ends import StreamSettings
    from .paying import Carrier

_log = logging.getLogger(__name__)

CLOSE_S: Final = 1.0
"""For each step of an orderly end that the other side takes part in."""

CLOSING_S: Final = 3.0
"""How long the end of one channel waits to be known as the end of the whole session."""

LINGER_S: Final = 2.0
"""How long the last words of a runner may take to get here once its session has ended."""

_CHANNEL_GONE: Final = (ChannelNotFound, ChannelClosed, ChannelRefused)

_LAST_WORDS: Final = (EndReason.CALLER, EndReason.RUNNER, EndReason.PAYMENT)
"""Ends of a session whose orchestrator lives on, and has what the runner gave out last."""


class StreamSession:
    """A stream at one node, from its start there to its end. Jobs make these.

    Attributes:
        number: 1 for the first session of a job, one more after each reconnect.
        stream_id: The id under which this node knows the stream.
        node_url: The node, without secrets.
        urls: The trickle channels; all None behind a gateway.
        media: Where a gateway takes and gives media; all empty without one.
        heard_at: The last sign of life of the node, by the monotonic clock.
        read_to: The last segment of the input that the runner says it reads; -1 before.
        media_silent_s: For how long a gateway's media server may take nothing.
    """

    def __init__(
        self,
        number: int,
        stream: StreamHandle,
        carrier: Carrier,
        http: HTTP,
        settings: StreamSettings,
        on_event: Callable[[dict[str, JSONValue]], None],
    ) -> None:
        self.number = number
        self.stream_id = stream.stream_id
        self.node_url = redact(stream.node_url)
        self.urls: ChannelURLs = stream.channels
        self.media: GatewayMediaURLs = stream.media
        self.handle = stream
        self.heard_at = time.monotonic()
        self.read_to = -1
        self.media_silent_s = settings.media_silent_s
        self._carrier = carrier
        self._http = http
        self._settings = settings
        self._on_event = on_event
        self._ended: asyncio.Future[StreamEnd] = asyncio.get_running_loop().create_future()
        self._reported: asyncio.Future[TrickleError | StreamLost] = (
            asyncio.get_running_loop().create_future()
        )
        self._watcher = _watcher(http, stream, settings)
        self._publishers: WeakSet[TricklePublisher] = WeakSet()
        self._subscribers: WeakSet[TrickleSubscriber] = WeakSet()
        self._reading: asyncio.Task[StreamEnd] | None = None
        self._control = _publisher(http, stream.channels.control)
        self._event_at = time.monotonic()
        self._last_words = ""
        self._done = False
        self._payments = StreamPayments(carrier, stream, self._watcher, settings.pay_again_s)

    @property
    def end(self) -> StreamEnd | None:
        """Why the session ended; None while it stands."""
        return self._ended.result() if self._ended.done() else None

    async def ended(self) -> StreamEnd:
        """Wait for the end of the session."""
        return await asyncio.shield(self._ended)

    async def ended_within(self, seconds: float = CLOSING_S) -> StreamEnd | None:
        """The end of the session; None when it still stands after so long.

        For a reader whose channel was closed: by the runner, which goes on, or with all others.
        """
        await asyncio.wait((self._ended,), timeout=seconds)
        return self.end

    def report(self, error: TrickleError | StreamLost) -> None:
        """Say that a media channel, or server, cannot be used any more, which ends the session.

        One segment that failed is no reason. Without effect when the session has ended.
        """
        if not self._reported.done():
            self._reported.set_result(error)

    def publisher(self) -> TricklePublisher:
        """A publisher of the media that goes in (MPEG-TS). The caller closes it.

        Raises:
            StreamError: The stream has no such channel.
        """
        from livepeer.trickle import TricklePublisher  # lazy: aiohttp

        url = self._channel(self.urls.publish, "in", "video_in", self.media.rtmp)
        publisher = TricklePublisher(
            url, session=self._http.trickle_session(url), retry_s=self._settings.lost_after_s
        )
        self._publishers.add(publisher)
        return publisher

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
        subscriber = TrickleSubscriber(
            url,
            start=start,
            session=self._http.trickle_session(url),
            retry_s=self._settings.lost_after_s,
        )
        self._subscribers.add(subscriber)
        return subscriber

    async def data(self) -> AsyncGenerator[dict[str, JSONValue]]:
        """What the runner gives out as data, until it closes the channel or the session ends.

        Raises:
            StreamError: The stream was started without data.
            ClientError: A gateway failed that is not lost.
            TrickleError: The channel failed.
        """
        over = asyncio.create_task(self._heard_out(), name=f"stream {self.stream_id} data")
        try:
            async with aclosing(self._carrier.data(self.handle)) as items:
                # A reader alone is patient with a node that is gone.
                while (item := await unless(over, anext(items, None))) is not None:
                    yield item
        except NodeUnreachable:
            # The watch knows whether that was the end, or soon will.
            if await self.ended_within(self._watcher.lost_after_s + CLOSING_S) is None:
                raise
        finally:
            await cancel_and_wait(over)

    async def tell(self, message: Mapping[str, object]) -> None:
        """Publish a message on the control channel.

        Raises:
            TrickleError: It did not arrive.
        """
        if self._control is None:
            raise StreamError("the stream has no control channel", url=self.node_url)
        await self._control.publish(message)

    async def run(self) -> StreamEnd:
        """Keep the session alive, watch and pay it, until one of these says why it is over.

        Cancelled, it leaves the session standing; whoever stops it says so by `finish`. Events are
        read on until `close`, for the runner's last ones.
        """
        tasks = [
            asyncio.create_task(duty, name=f"stream {self.stream_id} {name}")
            for name, duty in self._duties().items()
        ]
        if self.urls.events is not None:
            self._reading = asyncio.create_task(
                self._read_events(), name=f"stream {self.stream_id} events"
            )
            tasks.append(self._reading)
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            end = next(task for task in tasks if task in done).result()
        finally:
            await cancel_and_wait(*(task for task in tasks if task is not self._reading))
        self.finish(end)
        return end

    async def cut_media(self) -> None:
        """End what waits for a node that does not answer: else it would wait for long.

        Where a node closed its channels, or is dead, publishers and subscribers know.
        """
        if self.end is None or self.end.reason is not EndReason.NETWORK:
            return
        for subscriber in tuple(self._subscribers):
            await subscriber.aclose()
        for publisher in tuple(self._publishers):
            with suppress(TrickleError, TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await publisher.close(delete=False)

    async def close_control(self) -> None:
        """Close the control channel for everybody, by which a runner learns that we are gone."""
        if self.urls.control is not None:
            with suppress(ClientError):
                await self._http.exchange("DELETE", self.urls.control, timeout_s=CLOSE_S)

    async def close(self) -> None:
        """Give up what is left; after our own stop, once the last events had a moment to come."""
        if self._reading is not None:
            if self.end is STOPPED:
                await asyncio.wait((self._reading,), timeout=CLOSE_S)
            await cancel_and_wait(self._reading)
        if self._control is not None:
            with suppress(TrickleError, TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await self._control.close()

    def finish(self, end: StreamEnd) -> None:
        """Note the end. The first counts."""
        if not self._ended.done():
            self._ended.set_result(end)

    def __repr__(self) -> str:
        state = "standing" if self.end is None else f"ended by {self.end.reason}"
        return f"<StreamSession {self.number} of {self.stream_id} at {self.node_url}, {state}>"

    def _duties(self) -> dict[str, Coroutine[None, None, StreamEnd]]:
        duties: dict[str, Coroutine[None, None, StreamEnd]] = {
            "payments": self._payments.run(),
            "report": self._media_lost(),
            "watch": self._watch(self._watcher),
        }
        if self._control is not None:
            duties["keep-alive"] = self._keep_alive(self._control)
        return duties

    async def _keep_alive(self, control: JSONPublisher) -> StreamEnd:
        """Signs of life, without which a runner takes its caller for gone."""
        while True:
            await asyncio.sleep(self._settings.keep_alive_s)
            try:
                await control.publish(KEEP_ALIVE)
            except _CHANNEL_GONE as error:
                return self._settled(closed(self.node_url), error)
            except TrickleError as error:
                # The watch decides whether the orchestrator is lost; the next may arrive.
                _log.debug("a keep-alive of stream %s is lost: %s", self.stream_id, error)

    async def _watch(self, watch: NodeWatch) -> StreamEnd:
        while True:
            end = await watch.heard()
            self.heard_at = watch.heard_at
            if end is None:
                end = self._silent()
            if end is not None:
                return self._settled(end)

    def _silent(self) -> StreamEnd | None:
        """Whether the runner has not reported for too long, while its orchestrator answers."""
        limit_s = self._settings.events_silent_s
        if self.urls.events is None or time.monotonic() - self._event_at < limit_s:
            return None
        text = f"the runner has not reported for {limit_s:g} s"
        return lost(EndReason.RUNNER, text, url=self.node_url)

    async def _read_events(self) -> StreamEnd:
        try:
            async with aclosing(self._carrier.events(self.handle)) as events:
                async for event in events:
                    self._event_at = self.heard_at = time.monotonic()
                    if isinstance(read_to := event.get("last_segment_in"), int):
                        self.read_to = max(self.read_to, read_to)
                    self._on_event(event)
                    kind = event.get("type")
                    if kind == "error":
                        self._last_words = str(event.get("message", ""))
                    elif kind == "end_of_stream":
                        self._done = True
                    elif kind == "stop":
                        # One that is redeployed, or heard too little of us, says that it is not
                        # done: another one may go on.
                        self._done = self._done or event.get("done") is not False
                        return await self._runner_ended(str(event.get("reason", "")))
        except TrickleError as error:
            if not isinstance(error, _CHANNEL_GONE):
                # The watch knows more, and decides sooner.
                return await self.ended()
            return self._settled(closed(self.node_url), error)
        return await self._runner_ended(self._last_words)

    async def _runner_ended(self, words: str) -> StreamEnd:
        """The runner has said its last, or its channel was closed: by itself, or with all."""
        if (end := await self.ended_within(self._settings.settle_s)) is not None:
            return end
        if await self._watcher.exists() is False:
            return self._settled(closed(self.node_url))
        text = f"the runner ended the stream{': ' if words else ''}{words}"
        if self._done:
            return StreamEnd(reason=EndReason.RUNNER, text=text)
        return lost(EndReason.RUNNER, text, url=self.node_url)

    async def _media_lost(self) -> StreamEnd:
        error = await self._reported
        if isinstance(error, StreamLost):
            # Of a gateway's media server; the gateway itself may well answer.
            return StreamEnd(reason=EndReason.NETWORK, text=str(error), error=error)
        # Who closed all channels is for the others to find out.
        await asyncio.sleep(self._settings.settle_s * 2)
        return self._settled(
            lost(EndReason.ORCHESTRATOR, f"a media channel is gone: {error}", url="", cause=error)
        )

    def _settled(self, end: StreamEnd, cause: BaseException | None = None) -> StreamEnd:
        """The end, or the payment that failed before it: an orchestrator closes without a word."""
        if end.error is not None and cause is not None:
            end.error.__cause__ = cause
        return self._payments.explain(end)

    async def _heard_out(self) -> None:
        """Until the session has ended, and whatever was given out before that had time to come."""
        if (await self.ended()).reason in _LAST_WORDS:
            await asyncio.sleep(LINGER_S)

    def _channel(self, url: str | None, way: str, option: str, elsewhere: str) -> str:
        if url is not None:
            return url
        if self.urls.control is None:
            at = f" at {redact(elsewhere)}" if elsewhere else " by its own protocols"
            raise StreamError(
                f"a gateway moves media {way}{at}; stream directly to an orchestrator for trickle"
            )
        raise StreamError(f"the stream was started without {option}")


def _publisher(http: HTTP, url: str | None) -> JSONPublisher | None:
    from livepeer.trickle import JSONPublisher  # lazy: aiohttp

    return None if url is None else JSONPublisher(url, session=http.trickle_session(url))


def _watcher(http: HTTP, stream: StreamHandle, settings: StreamSettings) -> NodeWatch:
    control = stream.channels.control
    return NodeWatch(
        http,
        channel_probe(control)
        if control is not None
        else gateway_probe(stream.node_url, stream.stream_id),
        missing_ends=control is not None,
        probe_s=settings.gateway_probe_s if control is None else settings.probe_s,
        away_s=settings.away_s,
    )
