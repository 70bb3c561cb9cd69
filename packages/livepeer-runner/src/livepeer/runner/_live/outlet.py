"""Events and data of one session: bounded queues, and the tasks that publish them."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Protocol

from livepeer.trickle.aio import cancel_and_wait
from livepeer.trickle.channels import MAX_LINE_BYTES, JSONLPublisher, JSONPublisher, encode_message
from livepeer.trickle.errors import (
    ChannelClosed,
    ChannelNotFound,
    MessageError,
    TrickleError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import aiohttp

    from livepeer.runner._live.stage import Frame
    from livepeer.runner._network.sessions import Channels

_log = logging.getLogger(__name__)

QUEUE_MESSAGES = 256
"""How many messages may wait for the network; the oldest is dropped and counted."""


class _Publisher(Protocol):
    async def publish(self, message: bytes) -> None: ...

    async def close(self, *, delete: bool = False) -> None: ...


class _Queue:
    """Messages on their way to one channel, from any thread."""

    def __init__(self, publisher: _Publisher, name: str) -> None:
        self.dropped = 0
        self.gone = asyncio.Event()
        self._publisher = publisher
        self._name = name
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task = asyncio.create_task(self._drain(), name=f"publish {name}")

    def put(self, message: bytes) -> None:
        self._loop.call_soon_threadsafe(self._append, message)

    async def close(self, timeout_s: float) -> None:
        """Publish what waits, for a bounded time, and stop."""
        try:
            async with asyncio.timeout(timeout_s):
                # Once round the loop, for what other threads put a moment ago.
                await asyncio.sleep(0)
                await self._idle.wait()
        except TimeoutError:
            _log.log(
                logging.INFO if self.gone.is_set() else logging.WARNING,
                "%d messages for the %s channel were lost",
                len(self._waiting),
                self._name,
            )
        await cancel_and_wait(self._task)
        try:
            await self._publisher.close()
        except TrickleError as error:
            _log.debug("the %s channel was gone when it was closed: %s", self._name, error)

    def _append(self, message: bytes) -> None:
        if len(self._waiting) >= QUEUE_MESSAGES:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(message)
        self._idle.clear()
        self._wake.set()

    async def _drain(self) -> None:
        while True:
            while self._waiting:
                message = self._waiting.popleft()
                try:
                    await self._publisher.publish(message)
                except (ChannelNotFound, ChannelClosed) as error:
                    self.dropped += 1
                    if not self.gone.is_set():
                        _log.info("the %s channel is gone: %s", self._name, error)
                    self.gone.set()
                except TrickleError as error:
                    self.dropped += 1
                    _log.warning("a message for the %s channel was lost: %s", self._name, error)
            self._idle.set()
            self._wake.clear()
            await self._wake.wait()


class ChannelOutlet:
    """Publishes what hooks and the session itself emit. Make it on the network's loop.

    Attributes:
        frames: Takes the frames that hooks emit; None while there is nothing that could.
    """

    def __init__(self, channels: Channels, http: aiohttp.ClientSession) -> None:
        self.frames: Callable[[Frame], None] | None = None
        self._events = _Queue(JSONPublisher(channels.events, session=http), "events")
        self._data = (
            _Queue(JSONLPublisher(channels.data, session=http), "data") if channels.data else None
        )

    @property
    def dropped(self) -> int:
        """Messages that were lost because the network was slower, or gone."""
        return self._events.dropped + (self._data.dropped if self._data else 0)

    def emit_event(self, message: Mapping[str, object]) -> None:
        """Queue an event; its `type` is `event` unless it says another."""
        self._events.put(encode_message({"type": "event", **message}))

    def emit_data(self, message: Mapping[str, object]) -> None:
        """Queue a line of data; dropped when the caller asked for no data channel."""
        line = encode_message(message)
        if len(line) > MAX_LINE_BYTES:
            raise MessageError(
                f"the line has {len(line)} bytes, and the limit is {MAX_LINE_BYTES}: send less,"
                " or split it"
            )
        if self._data is not None:
            self._data.put(line)

    def emit_frame(self, frame: Frame) -> None:
        """Hand a frame to the media of the session."""
        if self.frames is None:
            _log.warning("a frame was dropped: the stream has no media that hooks process")
        else:
            self.frames(frame)

    async def wait_gone(self) -> None:
        """Until the events channel is gone: the orchestrator has removed the stream."""
        await self._events.gone.wait()

    async def close(self, timeout_s: float) -> None:
        """Publish what waits and stop; data before events, so that the last event is last."""
        if self._data is not None:
            await self._data.close(timeout_s)
        await self._events.close(timeout_s)
