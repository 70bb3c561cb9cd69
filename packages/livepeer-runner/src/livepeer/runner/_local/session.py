"""One stream's session on one orchestrator: its control, events and data channels.

Source: go-livepeer `byoc/trickle.go`. The local gateway takes no media and reads none, so that it
does not notice when only the media channels are gone.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from livepeer.trickle import TrickleError, TricklePublisher, TrickleSubscriber
from livepeer.trickle.errors import ChannelClosed, ChannelNotFound

from .lines import LineScanner
from .status import read_event

if TYPE_CHECKING:
    from .gojson import JSONValue
    from .status import DataRing
    from .stream_state import StreamState

logger = logging.getLogger("livepeer.runner.local")

_KEEPALIVE = b'{"keep":"alive"}'


class Kicked(Exception):
    """The orchestrator is to be left; the message goes to the runner with its stop."""


@dataclass(frozen=True, slots=True)
class Channels:
    """URLs of a stream's channels, "" for none."""

    control: str
    events: str
    data: str


class Session:
    """Keeps the control channel alive, and reads events and data, until something ends it."""

    def __init__(self, stream: StreamState, channels: Channels) -> None:
        self._stream = stream
        self._channels = channels
        self._settings = stream.orchestrators.settings
        self._event_at = time.monotonic()

    async def run(self) -> str:
        """Mind the channels until something ends the session; the reason."""
        reason = "context canceled"
        channels = self._channels
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._until_ended())
                group.create_task(self._mind_control(channels.control))
                watchdog = group.create_task(self._watch_events())
                group.create_task(self._mind_events(channels.events, watchdog))
                group.create_task(self._clear_status())
                if channels.data and self._stream.data is not None:
                    group.create_task(self._read_data(channels.data, self._stream.data))
        except* Kicked as kicked:
            reason = str(kicked.exceptions[0])
        return reason

    async def _until_ended(self) -> None:
        await self._stream.ended.wait()
        raise Kicked("context canceled")

    async def _clear_status(self) -> None:
        await asyncio.sleep(self._settings.status_clear_s)
        self._stream.statuses.clear(self._stream.id)

    async def _mind_control(self, url: str) -> None:
        publisher = TricklePublisher(
            url, content_type="application/json", session=self._stream.orchestrators.session
        )
        try:
            if self._stream.params is not None:
                await self._write_control(publisher, self._stream.params)
            while True:
                await asyncio.sleep(self._settings.keepalive_interval_s)
                await self._write_control(publisher, _KEEPALIVE)
        finally:
            await _close(publisher)

    async def _write_control(self, publisher: TricklePublisher, message: bytes) -> None:
        try:
            await publisher.write_segment(message)
        except (ChannelNotFound, ChannelClosed):
            raise Kicked("control channel does not exist") from None
        except TrickleError as reason:
            logger.info("stream %s: control message lost: %s", self._stream.id, reason)

    async def _mind_events(self, url: str, watchdog: asyncio.Task[None]) -> None:
        """Read events; when their channel ends, so does the watchdog, without a word."""
        await self._read_events(url)
        watchdog.cancel()

    async def _watch_events(self) -> None:
        settings = self._settings
        while True:
            await asyncio.sleep(settings.events_check_interval_s)
            if time.monotonic() - self._event_at > settings.events_gap_s:
                raise Kicked("timeout waiting for events")

    async def _read_events(self, url: str) -> None:
        try:
            async with TrickleSubscriber(
                url, start=-1, session=self._stream.orchestrators.session
            ) as subscriber:
                async for segment in subscriber:
                    try:
                        event = read_event(await segment.read())
                    except TrickleError as reason:
                        logger.info("stream %s: an event was lost: %s", self._stream.id, reason)
                        continue
                    if event is not None:
                        self._on_event(event)
        except ChannelNotFound:
            return
        except TrickleError as reason:
            raise Kicked(
                f"too many errors reading events; stopping subscription: {reason}"
            ) from None

    def _on_event(self, event: dict[str, JSONValue]) -> None:
        self._event_at = time.monotonic()
        info: dict[str, JSONValue] = {"address": "", "url": self._stream.current}
        event |= {
            "stream_id": self._stream.id,
            "request_id": self._stream.request_id,
            "pipeline_id": "",
            "orchestrator_info": info,
        }
        if event.get("type") == "status":
            self._stream.statuses.put_event(self._stream.id, event)

    async def _read_data(self, url: str, ring: DataRing) -> None:
        try:
            async with TrickleSubscriber(
                url, start=-1, session=self._stream.orchestrators.session
            ) as subscriber:
                async for segment in subscriber:
                    scanner = LineScanner()
                    async for chunk in segment:
                        _put(ring, scanner.feed(chunk))
                    _put(ring, scanner.end())
                    if scanner.too_long:
                        self._data_line_too_long()
        except TrickleError as reason:
            raise Kicked(f"data subscribe stopping: {reason}") from None
        raise Kicked("data subscribe stopping, stream not found, err=EOS")

    def _data_line_too_long(self) -> None:
        """Upstream reads the segment again and again; here the rest of it is dropped, loudly."""
        message = "a data line of more than 65535 bytes: the rest of its segment was dropped"
        logger.warning("stream %s: %s", self._stream.id, message)
        now: JSONValue = int(time.time() * 1000)
        if "error" not in (self._stream.statuses.get(self._stream.id) or {}):
            error: JSONValue = {"error_message": message, "error_time": now}
            self._stream.statuses.put_key(self._stream.id, "error", error)


def _put(ring: DataRing, lines: list[bytes]) -> None:
    for line in lines:
        ring.put(line)


async def _close(publisher: TricklePublisher) -> None:
    try:
        await publisher.close()
    except TrickleError as reason:
        logger.info("the control channel was not closed: %s", reason)
