"""Events, data and frames that hooks emit, and the session's own events."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from livepeer.runner._live.message_queue import MessageQueue
from livepeer.trickle.channels import JSONLPublisher, JSONPublisher
from livepeer.trickle.messages import MAX_LINE_BYTES, MAX_MESSAGE_BYTES, encode_message, within

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import aiohttp

    from livepeer.runner._live.stage import Frame
    from livepeer.runner._network.sessions import Channels

_log = logging.getLogger(__name__)


class ChannelOutlet:
    """Publishes what hooks and the session itself emit. Make it on the network's loop.

    Attributes:
        frames: Takes the frames that hooks emit; None while there is nothing that could.
        failures: Takes what is reported; None while there is no session.
    """

    def __init__(self, channels: Channels, http: aiohttp.ClientSession) -> None:
        self.frames: Callable[[Frame], None] | None = None
        self.failures: Callable[[str], None] | None = None
        # Both before either queue: a URL that is none must leave no task behind.
        events = JSONPublisher(channels.events, session=http)
        data = JSONLPublisher(channels.data, session=http) if channels.data else None
        self._events = MessageQueue(events, "events")
        self._data = MessageQueue(data, "data") if data is not None else None

    @property
    def dropped(self) -> int:
        """Messages that were lost because the network was slower, or gone."""
        return self._events.dropped + (self._data.dropped if self._data else 0)

    def emit_event(self, message: Mapping[str, object]) -> None:
        """Queue an event; its `type` is `event` unless it says another."""
        self._events.put(_event(message))

    def tell(self, message: Mapping[str, object]) -> None:
        """Queue an event of the session's own, which those of hooks cannot push out.

        Raises:
            MessageError: It is not JSON, or larger than 1 MiB.
        """
        self._events.put(_event(message), own=True)

    def emit_data(self, message: Mapping[str, object]) -> None:
        """Queue a line of data; dropped when the caller asked for no data channel."""
        line = within(encode_message(message), MAX_LINE_BYTES, "line")
        if self._data is not None:
            self._data.put(line)

    def emit_frame(self, frame: Frame) -> None:
        """Hand a frame to the media of the session."""
        if self.frames is None:
            _log.warning("a frame was dropped: the stream has no media that hooks process")
        else:
            self.frames(frame)

    def report(self, message: str) -> None:
        """Tell a failure of the model: an `error` event, and the last error of the status."""
        if self.failures is None:
            _log.error("%s", message)
        else:
            self.failures(message)

    async def wait_gone(self) -> None:
        """Until the events channel is gone: the orchestrator has removed the stream."""
        await self._events.gone.wait()

    async def close(self, timeout_s: float, last: Sequence[Mapping[str, object]] = ()) -> None:
        """Publish what waits, and then the last events, for a bounded time; and stop."""
        queues = [self._events.close(timeout_s, [_event(message) for message in last])]
        if self._data is not None:
            queues.append(self._data.close(timeout_s))
        await asyncio.gather(*queues)


def _event(message: Mapping[str, object]) -> bytes:
    return within(encode_message({"type": "event", **message}), MAX_MESSAGE_BYTES, "event")
